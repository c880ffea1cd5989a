package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/cli"
	"tandem/internal/config"
	"tandem/internal/doctor"
)

// checkOptions are the flags of mirror check.
type checkOptions struct {
	clusters        []string
	json            bool
	effective, plan bool
	timeout         time.Duration
}

// blocked is the answer of a check that found something which keeps a flow from running.
type blocked struct{ error }

func checkCommand() *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:   "check FILE",
		Short: "Say what stands in the way of the flows of a file",
		Long: `check reads the file as mirror does, asks every cluster of its flows, and says what stands in the way: clusters that do
not answer, rights that are missing (each with the kafka-acls line that grants it), replication factors, message sizes, names, lists
that match nothing, loops, clocks, MirrorMaker 2 running beside. It changes nothing on any cluster, and may be run beside mirror.

With --effective it prints every setting of each flow and where it comes from, and asks no cluster; with --plan which remote
topics, configs and ACLs mirror would create and alter on the targets if it started now.

Exit statuses: 0 nothing blocks, 1 there is a blocker, 2 cannot run (bad arguments, or no file; with --effective and --plan also
errors of the file and clusters that do not answer).`,
		Example: `  mirror check mm2.properties
  mirror check mm2.properties --clusters west       only the flows into west
  mirror check mm2.properties --json
  mirror check mm2.properties --effective
  mirror check mm2.properties --plan`,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := fileArgument("mirror check FILE; see mirror check --help")(cmd, args); err != nil {
				return err
			}
			switch {
			case o.effective && o.plan:
				return cannotRun{errors.New("either --effective or --plan")}
			case o.timeout <= 0:
				return cannotRun{errors.New("--timeout must be more than nothing, such as 30s")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.clusters = append(o.clusters, args[1:]...) // MM2 separates aliases by blanks
			return check(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), args[0], o)
		},
	}
	cmd.Flags().StringSliceVar(&o.clusters, "clusters", nil, "look only at the flows whose target is one of these aliases")
	cmd.Flags().BoolVar(&o.json, "json", false, "print as JSON")
	cmd.Flags().BoolVar(&o.effective, "effective", false, "print the settings of each flow and where they come from")
	cmd.Flags().BoolVar(&o.plan, "plan", false, "print which remote topics, configs and ACLs would be created and altered on the targets")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 30*time.Second, "how long the clusters have to answer")
	return cmd
}

func check(ctx context.Context, stdout, stderr io.Writer, file string, o checkOptions) error {
	conf, err := config.Load(file, nil)
	if err == nil && len(o.clusters) > 0 {
		if conf, err = config.Load(file, o.clusters); err != nil {
			return cannotRun{err}
		}
	}
	if err != nil && (o.effective || o.plan || unread(err, file)) {
		return cannotRun{err}
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	line := cli.NewProgress(stderr)
	defer line.Clear()
	switch {
	case o.effective:
		return effective(stdout, conf, o.json)
	case o.plan:
		return plan(ctx, stdout, line, conf, o.json)
	}
	facts := &doctor.Facts{Now: time.Now(), File: problems(conf, err)}
	if err == nil {
		gather(ctx, facts, conf, line)
	}
	line.Clear()
	return report(stdout, file, facts, o.json)
}

// unread tells whether a file itself could not be read, rather than what it says or names.
func unread(err error, file string) bool {
	path, ok := errors.AsType[*fs.PathError](err)
	return ok && path.Path == file
}

// report prints the findings.
func report(w io.Writer, file string, facts *doctor.Facts, asJSON bool) error {
	found, looked := doctor.Examine(facts), facts.Summary()
	blockers := doctor.Count(found, doctor.Blocker)
	if asJSON {
		err := printed(w, struct {
			File     string           `json:"file"`
			Blockers int              `json:"blockers"`
			Warnings int              `json:"warnings"`
			Notes    int              `json:"notes"`
			Findings []doctor.Finding `json:"findings"`
			Checked  doctor.Checked   `json:"checked"`
		}{file, blockers, doctor.Count(found, doctor.Warning), doctor.Count(found, doctor.Note), append([]doctor.Finding{}, found...), looked})
		if err != nil {
			return err
		}
	} else {
		doctor.Text(w, found, looked)
	}
	if blockers > 0 {
		return blocked{fmt.Errorf("%s: %d of the findings would keep a flow from running as it should", file, blockers)}
	}
	return nil
}

func printed(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// problems are what the reading of the file complained about: each line of its error, and its warnings.
func problems(conf *config.Config, err error) []doctor.Problem {
	var all []doctor.Problem
	if err != nil {
		for text := range strings.Lines(err.Error()) {
			all = append(all, doctor.Problem{Bad: true, Text: strings.TrimSpace(text)})
		}
		all[len(all)-1].Text += " (no cluster was asked)"
	}
	if err == nil {
		if lacking := drillsCanRun(conf); lacking != nil {
			all = append(all, doctor.Problem{Bad: true, Text: lacking.Error()})
		}
	}
	for _, w := range conf.Warnings {
		all = append(all, doctor.Problem{Line: w.Line, Key: w.Key, Text: w.Text()})
	}
	return all
}
