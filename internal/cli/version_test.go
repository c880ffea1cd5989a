package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestVersion(t *testing.T) {
	said := func(version string, args ...string) string {
		var out bytes.Buffer
		cmd := Version("archive", version)
		cmd.SetOut(&out)
		cmd.SetArgs(args)
		if err := cmd.Execute(); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if s := said("1.2"); !strings.HasPrefix(s, "archive 1.2 (go1") {
		t.Error(s)
	}
	var flagged bytes.Buffer
	root := &cobra.Command{Use: "mirror FILE", Args: cobra.ExactArgs(1), RunE: func(*cobra.Command, []string) error { return nil }}
	OfferVersion(root, "1.2")
	root.SetOut(&flagged)
	root.SetArgs([]string{"--version"})
	if err := root.Execute(); err != nil || !strings.HasPrefix(flagged.String(), "mirror 1.2 (go1") || strings.Count(flagged.String(), "\n") != 1 {
		t.Errorf("--version: %q, %v", flagged.String(), err)
	}
	var info Info
	if err := json.Unmarshal([]byte(said("", "--json")), &info); err != nil || info.Version == "" || !strings.HasPrefix(info.Go, "go1") {
		t.Errorf("%+v, %v", info, err)
	}
}
