package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/cli"
	"tandem/internal/drill"
	"tandem/internal/kafka"
)

// drillOptions are the flags of drill.
type drillOptions struct {
	from, to   string
	topics     string
	partitions int
	records    int
	seed       uint64
	timeout    time.Duration
	reports    string
	asJSON     bool
	sourceWait time.Duration
	countWait  time.Duration
}

func drillCommand() *cobra.Command {
	var o drillOptions
	cmd := &cobra.Command{
		Use:   "drill FILE --from A --to B",
		Short: "Rehearse a planned switch with groups that are thrown away",
		Long: `drill does what a planned switch does, with groups of its own: it makes some at A with positions at the beginning, in the
middle, somewhere and at the end of partitions drawn at random, waits until mirror has translated them, plans and applies their move to B
by the code of plan and apply, compares records of both clusters from there on, one by one, goes the way back, measures, and takes away
what it made. Your groups and topics stay as they are, and mirror goes on. It fails if a position is not exact, or a record of B is
missing, changed, repeated or not of A.

The groups are called tandem-drill-ID-N. The settings groups and groups.exclude must let them pass. The user needs, on groups of that
name, the right to Read and Delete on both clusters; else what mirror and failover need.

Exit statuses: 0 passed, 1 failed (what is wrong is printed), 2 cannot run (bad arguments or file, a cluster that does not answer, no
mirror that runs, another drill going on).`,
		Example: `  failover drill mm2.properties --from primary --to backup
  failover drill mm2.properties --from primary --to backup --topics 'orders|payments' --records 1000 --report /var/lib/tandem/drills
  failover drill mm2.properties --from primary --to backup --json`,
		Args: argument("mm2.properties", "failover drill FILE --from A --to B; see failover drill --help"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("seed") {
				o.seed = rand.Uint64N(1 << 32)
			}
			return rehearse(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), args[0], o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.from, "from", "", "alias of the cluster that groups would leave")
	flags.StringVar(&o.to, "to", "", "alias of the cluster where they would go on")
	flags.StringVar(&o.topics, "topics", "", "only topics whose whole name, with or without aliases, matches this regular expression")
	flags.IntVar(&o.partitions, "partitions", 50, "how many partitions are looked at, drawn at random, each topic first")
	flags.IntVar(&o.records, "records", 100, "how many records are compared in each; a partition with no more of them is compared whole")
	flags.Uint64Var(&o.seed, "seed", 0, "draw what the drill with this seed drew (default: another each time)")
	flags.DurationVar(&o.timeout, "timeout", 5*time.Minute, "how long it may take, without the cleaning up")
	flags.StringVar(&o.reports, "report", "", "write the report into this directory, as JSON and as a page")
	flags.BoolVar(&o.asJSON, "json", false, "print the report as JSON")
	flags.DurationVar(&o.sourceWait, "source-timeout", 5*time.Second, "how long A has for its first answer")
	countFlag(cmd, &o.countWait)
	return cmd
}

func (o drillOptions) check() error {
	switch {
	case o.from == "" || o.to == "" || o.from == o.to:
		return errors.New("say which clusters: --from A --to B, by their aliases in the file")
	case o.partitions < 1:
		return fmt.Errorf("--partitions is %d; it must be 1 or more", o.partitions)
	case o.records < 1:
		return fmt.Errorf("--records is %d; it must be 1 or more", o.records)
	case o.timeout <= 0:
		return fmt.Errorf("--timeout is %s; it must be more than nothing", o.timeout)
	}
	return nil
}

const (
	cleanWait   = time.Minute      // for the cleaning up
	hurriedWait = 20 * time.Second // for the cleaning up after Ctrl-C or SIGTERM
)

// rehearse is the command. What stands in the way of a drill is an error; what a drill finds is in its report.
func rehearse(ctx context.Context, stdout, stderr io.Writer, file string, o drillOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	p, err := open(file, o.from, o.to, o.sourceWait)
	if err != nil {
		return err
	}
	defer p.close()
	if p.flow == nil {
		return fmt.Errorf("%s enables no flow %s->%s", file, o.from, o.to)
	}
	r := newRehearsal(p, o, stderr)
	defer r.line.Clear()
	limited, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	if err := r.prepare(limited); err != nil {
		return r.unfit(ctx, limited, err)
	}
	defer r.close()
	release, err := r.claim(limited)
	if err != nil {
		return r.unfit(ctx, limited, err)
	}
	defer release()
	if err := r.sweepBefore(limited); err != nil {
		return r.unfit(ctx, limited, err)
	}
	r.perform(limited)
	r.clean(ctx)
	release()
	r.line.Clear()
	if ctx.Err() != nil {
		return r.interrupted()
	}
	return r.tell(ctx, stdout, stderr)
}

// unfit puts an error into words that kept a drill from beginning.
func (r *rehearsal) unfit(ctx, limited context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted before it began; nothing was changed")
	case limited.Err() != nil:
		return fmt.Errorf("not even begun after %s (--timeout): %w", r.o.timeout, err)
	}
	return err
}

// interrupted is the end after Ctrl-C or SIGTERM: no verdict, and no outcome is kept.
func (r *rehearsal) interrupted() error {
	if len(r.report.Remaining) == 0 {
		return errors.New("interrupted; what the drill had made is taken away")
	}
	return fmt.Errorf("interrupted, and not everything could be taken away; the next drill does it, or by hand: %s", strings.Join(r.report.Remaining, "; "))
}

func newRehearsal(p *pair, o drillOptions, stderr io.Writer) *rehearsal {
	return &rehearsal{pair: p, o: o, line: cli.NewProgress(stderr), random: rand.New(rand.NewPCG(o.seed, 0)),
		report: drill.Report{Version: drill.ReportVersion, Kind: drill.Failover, Flow: p.flow.Flow, FlowName: p.flow.Flow.String(),
			Tandem: cli.Current(version).Version, Started: time.Now().UTC(), Steps: []drill.Step{}, Figures: []drill.Figure{},
			Findings: []drill.Finding{}, Remaining: []string{}}}
}

// step does one thing of the drill and notes how it went. The error ends the drill.
func (r *rehearsal) step(ctx context.Context, name string, do func(context.Context) (detail string, err error)) error {
	r.line.Show("%s ...", name)
	began, before := time.Now(), r.fatal()
	detail, err := do(ctx)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("not done after %s (--timeout)", r.o.timeout)
	}
	if err != nil {
		r.fail("", "%s: %s", name, kafka.Explain(err))
	}
	r.report.Steps = append(r.report.Steps, drill.Step{Name: name, Seconds: time.Since(began).Seconds(), Passed: r.fatal() == before, Detail: detail})
	return err
}

// fatal is how many findings fail the drill.
func (r *rehearsal) fatal() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.report.Findings {
		if f.Fatal {
			n++
		}
	}
	return n
}

const mostFindings = 200

// fail adds a finding that fails the drill.
func (r *rehearsal) fail(where, format string, args ...any) { r.find(true, where, format, args...) }

// note adds one that does not.
func (r *rehearsal) note(where, format string, args ...any) { r.find(false, where, format, args...) }

func (r *rehearsal) find(fatal bool, where, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.report.Findings) < mostFindings {
		r.report.Findings = append(r.report.Findings, drill.Finding{Fatal: fatal, Where: where, What: fmt.Sprintf(format, args...)})
	} else {
		r.report.Findings[mostFindings-1] = drill.Finding{Fatal: true, What: "and more"}
	}
}

func (r *rehearsal) measured(name string, value float64, unit, note string) {
	r.report.Figures = append(r.report.Figures, drill.Figure{Name: name, Value: value, Unit: unit, Note: note})
}

// perform goes through the drill until something ends it.
func (r *rehearsal) perform(ctx context.Context) {
	for _, s := range []struct {
		name string
		do   func(context.Context) (string, error)
	}{
		{"make throw-away groups", r.make},
		{"wait for their checkpoints", r.translated},
		{"plan their move", r.draft},
		{"apply the plan", r.move},
		{"compare records of both clusters", r.compare},
		{"go the way back", r.wayBack},
	} {
		if err := r.step(ctx, s.name, s.do); err != nil || r.ended {
			return
		}
	}
}

// untilClean is a context for the cleaning up: it outlives ctx, but once that has ended not for long.
func untilClean(ctx context.Context) (context.Context, context.CancelFunc) {
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanWait)
	hurry := context.AfterFunc(ctx, func() {
		pause(clean, hurriedWait)
		cancel()
	})
	return clean, func() { hurry(); cancel() }
}
