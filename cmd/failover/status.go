package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/cli"
	"tandem/internal/config"
	"tandem/internal/failover"
)

func statusCommand() *cobra.Command {
	var asJSON bool
	var sourceWait, countWait time.Duration
	cmd := &cobra.Command{
		Use:   "status FILE",
		Short: "Show how flows and groups stand",
		Long: `status shows for each flow how far the mirror is behind, in records and seconds, and how each group's positions would be
found on the target: exact, clamped (nothing skipped, some records read again), ahead (of the mirror), or unknown, with the
reason. It shows which failovers are in force. A flow's source may be dead: then the last that the target heard of it counts.

` + statusesHelp,
		Example: "  failover status mm2.properties\n  failover status mm2.properties --json",
		Args:    argument("mm2.properties", "failover status FILE; see failover status --help"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return status(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), args[0], asJSON, sourceWait, countWait)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	cmd.Flags().DurationVar(&sourceWait, "source-timeout", 5*time.Second, "how long a source has for its first answer")
	countFlag(cmd, &countWait)
	return cmd
}

func status(ctx context.Context, w, stderr io.Writer, file string, asJSON bool, sourceWait, countWait time.Duration) error {
	conf, err := config.Load(file, nil)
	if err != nil {
		return err
	}
	if conf.Path, err = filepath.Abs(file); err != nil {
		return err
	}
	var all []failover.Status
	var failed error
	for _, f := range conf.Flows {
		if !f.Enabled {
			continue
		}
		s, err := look(ctx, conf, f, sourceWait, choice{kind: failover.Over, countWait: countWait, line: cli.NewProgress(stderr)})
		if err != nil { // the other flows are shown all the same
			failed = errors.Join(failed, fmt.Errorf("flow %s: %w", f.Flow, err))
			continue
		}
		all = append(all, s)
	}
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		if err := e.Encode(struct {
			Flows []failover.Status `json:"flows"`
		}{append([]failover.Status{}, all...)}); err != nil {
			return err
		}
		return failed
	}
	for i, s := range all {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := s.Text(w); err != nil {
			return err
		}
	}
	return failed
}

func look(ctx context.Context, conf *config.Config, f config.Flow, sourceWait time.Duration, c choice) (failover.Status, error) {
	p, err := pairOf(conf, f.Source, f.Target, sourceWait)
	if err != nil {
		return failover.Status{}, err
	}
	defer p.close()
	s, err := gather(ctx, p, c)
	if err != nil {
		return failover.Status{}, err
	}
	return failover.Look(ctx, s.Situation)
}
