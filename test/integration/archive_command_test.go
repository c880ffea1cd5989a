package integration

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// runArchive runs a command of archive to its end.
func runArchive(t *testing.T, args ...string) ran {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, archiveBinary, args...)
	var out, complaint strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("archive %s: %v %v\n%s%s", strings.Join(args, " "), err, ctx.Err(), out.String(), complaint.String())
	}
	return ran{out.String(), complaint.String(), cmd.ProcessState.ExitCode()}
}
