package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/cli"
	"tandem/internal/failover"
	"tandem/internal/kafka"
)

// applyOptions are the flags of apply, back apply and undo.
type applyOptions struct {
	id         string // of the plan, whose file is lost: then the argument is the configuration
	config     string
	dryRun     bool
	asJSON     bool
	maxAge     time.Duration
	sourceWait time.Duration
}

func (o *applyOptions) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.config, "config", "", "mm2.properties (default: the file that the plan was made from)")
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print the outcome as JSON")
	cmd.Flags().DurationVar(&o.sourceWait, "source-timeout", 5*time.Second, "how long the cluster that groups leave has for its first answer")
}

func applyCommand(w way) *cobra.Command {
	var o applyOptions
	name := "failover apply"
	if w.back {
		name = "failover back apply"
	}
	cmd := &cobra.Command{
		Use:   "apply PLAN",
		Short: "Carry out a plan",
		Long: `apply looks at everything that the plan rests on once more, and does nothing if any of it has changed. Then it notes the
failover on the target and commits the new offsets of groups without members, each looked at just before and read back after.
If it is stopped half way, or some groups could not be moved, run it again with the same plan: it goes on where it stopped.

` + statusesHelp,
		Example: "  " + name + " plan.json\n  " + name + " plan.json --dry-run",
		Args:    argument("plan", name+" PLAN; see "+name+" --help"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return apply(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), args[0], w, o)
		},
	}
	o.flags(cmd)
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "look at everything and change nothing")
	cmd.Flags().DurationVar(&o.maxAge, "max-age", 15*time.Minute, "the oldest plan that is carried out")
	return cmd
}

// result is the outcome of a command for machines.
type result struct {
	Plan     string             `json:"plan"`
	Did      string             `json:"did"` // applied, undone, checked, nothing
	Groups   int                `json:"groups"`
	Changed  int                `json:"changed"`
	Already  int                `json:"already"`
	Failed   []failover.Failure `json:"failed"`
	Problems []string           `json:"problems"` // why nothing was done
}

// desk is what a plan file is carried out with.
type desk struct {
	plan  failover.Plan
	pair  *pair
	mover *failover.Mover
	done  *failover.Record // of this plan; nil if it was never applied
	line  *cli.Progress
}

// take reads a plan and opens what it needs.
func take(ctx context.Context, stderr io.Writer, file string, o applyOptions) (*desk, error) {
	d := &desk{line: cli.NewProgress(stderr)}
	var err error
	if o.id != "" {
		d.plan, err = recall(ctx, file, o.id)
	} else {
		d.plan, err = readPlan(file)
	}
	if err != nil {
		return nil, err
	}
	config := d.plan.Config
	if o.config != "" {
		config = o.config
	}
	if d.pair, err = open(config, d.plan.From.Alias, d.plan.To.Alias, o.sourceWait); err != nil {
		return nil, err
	}
	if err := d.prepare(ctx); err != nil {
		d.pair.close()
		return nil, err
	}
	return d, nil
}

func readPlan(file string) (failover.Plan, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return failover.Plan{}, fmt.Errorf("read plan: %w", err)
	}
	p, err := failover.Decode(data)
	switch {
	case errors.Is(err, failover.ErrChanged):
		return p, refused{fmt.Errorf("%s: %w", file, err)}
	case err != nil:
		return p, fmt.Errorf("%s: %w", file, err)
	}
	return p, nil
}

// prepare reads the failovers that are noted, and finds out whether the cluster that groups leave answers.
func (d *desk) prepare(ctx context.Context) error {
	p := d.pair
	keeper, flow, alias := p.toAdmin, p.flow, p.to
	if d.plan.Kind == failover.Back {
		keeper, flow, alias = p.fromAdmin, p.home, p.from
	}
	if flow == nil {
		return fmt.Errorf("%s does not enable the flow %s any more", p.conf.Path, d.plan.Flow())
	}
	first, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	if _, err := keeper.ClusterID(first); err != nil {
		return fmt.Errorf("cluster %s: %s", alias, kafka.Explain(err))
	}
	noted, err := readNoted(ctx, keeper, flow.Flow, "")
	if err != nil {
		return fmt.Errorf("cluster %s: %s", alias, kafka.Explain(err))
	}
	d.done = noted.records.Find(d.plan.ID)
	d.mover = &failover.Mover{
		Target: p.toAdmin, Logs: p.toAdmin, Notes: &notes{admin: keeper, flow: flow},
		Failovers: noted.records.All(), Noted: noted.known.Groups, Now: time.Now, By: operator(), Explain: kafka.Explain,
		Progress: func(done, all int) { d.line.Show("%d of %d groups", done, all) },
	}
	source, cancel := context.WithTimeout(ctx, p.sourceWait)
	defer cancel()
	id, err := p.fromAdmin.ClusterID(source)
	if err == nil {
		d.mover.Source = p.fromAdmin
	}
	if want := d.plan.From.ClusterID; err == nil && want != "" && want != id {
		return refused{fmt.Errorf("%s is another cluster than when the plan was made (id %s, was %s): look at its bootstrap.servers", p.from, id, want)}
	}
	return ctx.Err()
}

// operator is user@host.
func operator() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return name + "@" + host
}

func apply(ctx context.Context, stdout, stderr io.Writer, file string, w way, o applyOptions) error {
	d, err := take(ctx, stderr, file, o)
	if err != nil {
		return err
	}
	defer d.pair.close()
	if w.back && d.plan.Kind != failover.Back {
		return fmt.Errorf("%s is not a plan of a way back; use failover apply", file)
	}
	r := result{Plan: d.plan.ID, Did: "nothing", Groups: len(d.plan.Groups), Failed: []failover.Failure{}, Problems: []string{}}
	if d.done != nil && d.done.State == failover.Applied {
		r.Already = r.Groups
		return report(stdout, o, r, fmt.Sprintf("plan %s was applied at %s by %s: nothing to do", d.plan.ID, d.done.At.UTC().Format(time.RFC3339), d.done.By))
	}
	if r.Problems, err = d.mover.Check(ctx, d.plan, d.done, o.maxAge); err != nil {
		return fmt.Errorf("look at what the plan rests on (nothing was changed): %w", err)
	}
	if len(r.Problems) > 0 {
		if err := report(stdout, o, r, strings.Join(r.Problems, "\n")); err != nil {
			return err
		}
		return refused{fmt.Errorf("plan %s is not applied, for %d reasons; nothing was changed", d.plan.ID, len(r.Problems))}
	}
	r.Problems = []string{}
	if o.dryRun {
		r.Did = "checked"
		return report(stdout, o, r, fmt.Sprintf("plan %s can be applied: %d groups; nothing was changed (--dry-run)", d.plan.ID, r.Groups))
	}
	out, err := d.mover.Apply(ctx, d.plan, d.done)
	d.line.Clear()
	return d.finish(stdout, o, r, "applied", out, err)
}

// finish tells what became of the groups.
func (d *desk) finish(stdout io.Writer, o applyOptions, r result, did string, out failover.Outcome, failed error) error {
	r.Changed, r.Already, r.Failed = out.Changed, out.Already, append(r.Failed, out.Failed...)
	var lines []string
	for _, f := range out.Failed {
		lines = append(lines, fmt.Sprintf("group %s: %s", f.Group, f.Reason))
	}
	if failed == nil && len(out.Failed) == 0 {
		r.Did = did
	}
	lines = append(lines, fmt.Sprintf("plan %s: %d groups changed on %s and read back, %d were there already, %d failed",
		d.plan.ID, out.Changed, d.plan.To.Alias, out.Already, len(out.Failed)))
	if r.Did == "applied" && d.plan.Kind == failover.Over {
		lines = append(lines, fmt.Sprintf("next: start the consumers and producers on %s", d.plan.To.Alias))
	}
	if err := report(stdout, o, r, strings.Join(lines, "\n")); err != nil {
		return err
	}
	switch {
	case failed != nil:
		return refused{fmt.Errorf("%w; %w", failed, errAgain)}
	case len(out.Failed) > 0:
		return refused{fmt.Errorf("%d groups failed: do what is said of them, then %w", len(out.Failed), errAgain)}
	}
	return nil
}

var errAgain = errors.New("run the command again: it goes on where it stopped")

func report(w io.Writer, o applyOptions, r result, text string) error {
	if o.asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	_, err := fmt.Fprintln(w, text)
	return err
}
