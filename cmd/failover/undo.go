package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/config"
	"tandem/internal/failover"
	"tandem/internal/kafka"
)

func undoCommand() *cobra.Command {
	var o applyOptions
	cmd := &cobra.Command{
		Use:   "undo PLAN | undo --plan ID FILE",
		Short: "Put the old positions back",
		Long: `undo puts back what apply has changed: the positions that groups had on the target before, or none where they had none.
A position that has moved on since is left alone, and so is a group with members.

If the file of the plan is lost, give the id of the failover, which status shows, and the configuration: the cluster that the
groups went to keeps what they had before.

` + statusesHelp,
		Example: `  failover undo plan.json
  failover undo --plan 20261120T120000Z-1a2b3c4d mm2.properties`,
		Args: argument("plan", "failover undo PLAN, or failover undo --plan ID FILE; see failover undo --help"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return undo(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), args[0], o)
		},
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&o.id, "plan", "", "id of the failover, instead of the file of its plan")
	return cmd
}

func undo(ctx context.Context, stdout, stderr io.Writer, file string, o applyOptions) error {
	d, err := take(ctx, stderr, file, o)
	if err != nil {
		return err
	}
	defer d.pair.close()
	r := result{Plan: d.plan.ID, Did: "nothing", Groups: len(d.plan.Groups), Failed: []failover.Failure{}, Problems: []string{}}
	id, err := d.pair.toAdmin.ClusterID(ctx)
	if err != nil {
		return fmt.Errorf("cluster %s: %s", d.pair.to, kafka.Explain(err))
	}
	switch {
	case d.done == nil:
		r.Problems = append(r.Problems, fmt.Sprintf("plan %s was never applied: there is nothing to undo", d.plan.ID))
	case d.done.State == failover.Undone:
		return report(stdout, o, r, fmt.Sprintf("plan %s was undone at %s by %s: nothing to do", d.plan.ID, d.done.At.UTC().Format(time.RFC3339), d.done.By))
	case d.done.State == failover.Returned:
		r.Problems = append(r.Problems, fmt.Sprintf("the groups of plan %s went back at %s: undo the plan of the way back first", d.plan.ID, d.done.At.UTC().Format(time.RFC3339)))
	case d.plan.To.ClusterID != "" && id != d.plan.To.ClusterID:
		r.Problems = append(r.Problems, fmt.Sprintf("%s is another cluster than when the plan was made (id %s, was %s): look at its bootstrap.servers", d.pair.to, id, d.plan.To.ClusterID))
	}
	if len(r.Problems) > 0 {
		if err := report(stdout, o, r, strings.Join(r.Problems, "\n")); err != nil {
			return err
		}
		return refused{errors.New("nothing was undone")}
	}
	out, err := d.mover.Undo(ctx, d.plan, *d.done)
	d.line.Clear()
	return d.finish(stdout, o, r, "undone", out, err)
}

// recall finds a failover by its id in what the flows' targets keep. One that does not answer is passed over, unless the
// failover is on none of the others.
func recall(ctx context.Context, file, id string) (failover.Plan, error) {
	conf, err := config.Load(file, nil)
	if err != nil {
		return failover.Plan{}, err
	}
	if conf.Path, err = filepath.Abs(file); err != nil {
		return failover.Plan{}, err
	}
	var ids []string
	var failed error
	for _, f := range conf.Flows {
		if !f.Enabled {
			continue
		}
		all, err := failoversOf(ctx, f, id)
		failed = errors.Join(failed, err)
		for _, r := range all {
			if ids = append(ids, r.Plan); r.Plan == id {
				return r.AsPlan(conf.Path), nil
			}
		}
	}
	switch {
	case failed != nil:
		return failover.Plan{}, failed
	case len(ids) == 0:
		return failover.Plan{}, refused{errors.New("no failover is noted on any target")}
	}
	return failover.Plan{}, refused{fmt.Errorf("no failover %s is noted; there are %s", id, strings.Join(ids, ", "))}
}

func failoversOf(ctx context.Context, f config.Flow, whole string) ([]failover.Record, error) {
	client, err := kafka.Parse(f.TargetAdmin)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", f.Target, err)
	}
	admin := kafka.NewAdmin(client)
	defer func() { _ = admin.Close() }() // it only reads
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	n, err := readNoted(ctx, admin, f.Flow, whole)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %s", f.Target, kafka.Explain(err))
	}
	return n.records.All(), nil
}
