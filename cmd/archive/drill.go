package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/archive/catalog"
	archivedrill "tandem/internal/archive/drill"
	"tandem/internal/cli"
	"tandem/internal/drill"
	"tandem/internal/policy"
	"tandem/internal/stream"
)

// drillFlags are what drill is called with.
type drillFlags struct {
	selection
	topics, bytes, to, report string
	partitions, records       int
	timeout                   time.Duration
	seed                      uint64
	factor                    int16

	bytesEach int64 // bytes
	chosen    *policy.Filter
}

func drillCommand() *cobra.Command {
	var f drillFlags
	cmd := &cobra.Command{
		Use:   "drill FILE",
		Short: "Rehearse a restore: a sample into scratch topics, compared with the replica",
		Long: `drill restores a sample of what is archived into scratch topics, by the code that restore runs, and compares every record of it with the
replica: key, value, headers, timestamp and order, by the exact map of offsets. Where the flow keeps no replica, or the map does not know a
stretch, the source is compared instead. It measures how fast that was, and takes the scratch topics away again, whatever happens. mirror may
run meanwhile, or not; nothing that it copies, and no group, is touched.

The partitions are drawn at random, one of each topic first; of each a stretch is tried: the oldest, the newest, or one inside, in turn. The
seed is in the report, and --seed draws the same again. What retention or the log cleaner has removed from the replica is passed over, and
counted. It fails by a record of the replica that is changed, missing or there twice, by one that somebody else wrote, by a damaged bundle and
by a hole of the archive that nothing explains.

Scratch topics are named __tandem-drill.*: neither mirror nor MirrorMaker 2 copies such names. Those that a killed drill has left are taken
away by the next one. How it came out is kept in the store, below reports/, where mirror's metrics and status page find it.

Exit statuses: 0 passed, 1 failed (differences were found, something is damaged, or something could not be taken away), 2 cannot run, or was
stopped (bad arguments or file, missing rights, or a store or cluster that is needed does not answer).`,
		Example: `  archive drill mm2.properties
  archive drill mm2.properties --topics 'orders|payments.*' --records 10000 --report /var/lib/tandem/drills
  archive drill mm2.properties --flow 'primary->backup' --to lab --json`,
		Args: arguments(1, "archive drill FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runDrill(cmd, args[0], f)
		},
	}
	f.flags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.topics, "topics", "", "regexes of topics, separated by commas (default all that are archived)")
	flags.IntVar(&f.partitions, "partitions", 0, "partitions to try, at most (default what drill.partitions says)")
	flags.IntVar(&f.records, "records", 0, "records to try of each partition, at most (default what drill.records says)")
	flags.StringVar(&f.bytes, "bytes", "16MiB", "bytes to try of each partition, about; one record at least")
	flags.StringVar(&f.to, "to", "", "cluster to restore into, by its alias in the file (default the target of the flow)")
	flags.Int16Var(&f.factor, "replication-factor", 0, "replication factor of the scratch topics (default what the topics had)")
	flags.StringVar(&f.report, "report", "", "folder for the report, as JSON and as an HTML page")
	flags.DurationVar(&f.timeout, "timeout", 5*time.Minute, "how long it may take before it counts as failed")
	flags.Uint64Var(&f.seed, "seed", 0, "draw as the drill with this seed did (default a new one)")
	return cmd
}

// check refuses flags that make no sense.
func (f *drillFlags) check(given func(string) bool) (err error) {
	switch {
	case given("partitions") && f.partitions < 1:
		return fmt.Errorf("--partitions %d: at least 1 is wanted", f.partitions)
	case given("records") && f.records < 1:
		return fmt.Errorf("--records %d: at least 1 is wanted", f.records)
	case f.timeout <= 0:
		return fmt.Errorf("--timeout %s: a time such as 5m is wanted", f.timeout)
	}
	if f.bytesEach, err = byteSize(f.bytes); err != nil {
		return fmt.Errorf("--bytes %w", err)
	}
	if f.chosen, err = filterOf(f.topics, ""); err != nil {
		return fmt.Errorf("--topics: %w", err)
	}
	if !given("seed") {
		f.seed = rand.Uint64() >> 11 // JSON readers take numbers of 53 bits
	}
	return nil
}

// drilling is a drill on its way.
type drilling struct {
	flags  drillFlags
	cmd    *cobra.Command
	open   *opened
	flow   stream.Flow
	run    archivedrill.Run
	show   *cli.Progress
	report drill.Report

	scratch    *restoreTarget // where the sample goes
	replica    *restoreTarget // nil: there is none, or it does not answer
	source     *restoreTarget // nil: not asked yet, or it does not answer
	noOther    string         // why there is no replica
	sourceGone string         // why there is no source

	state   *catalog.State
	over    catalog.Overview
	chunks  *catalog.Opener
	offsets *exactMap
	tried   []*trial
	topics  []string // scratch topics that were, or may have been, created

	restored figures
	counts   archivedrill.Counts
}

// trial is a stretch and what came of it.
type trial struct {
	archivedrill.Stretch
	archived []archivedrill.Record
	into     stream.Partition
}

// figures are what the restore of the sample took.
type figures struct {
	records, bytes int64
	took           time.Duration
}

func runDrill(cmd *cobra.Command, file string, f drillFlags) error {
	if err := f.check(cmd.Flags().Changed); err != nil {
		return err
	}
	begun := time.Now()
	ctx, cancel := context.WithTimeout(cmd.Context(), f.timeout)
	defer cancel()
	if err := writableFolder(f.report); err != nil {
		return err
	}
	o, err := openArchive(ctx, file, f.selection)
	if err != nil {
		return err
	}
	defer o.close()
	d := &drilling{flags: f, cmd: cmd, open: o, flow: o.flow.Flow, show: cli.NewProgress(cmd.ErrOrStderr()),
		run: archivedrill.Run{Deadline: begun.Add(f.timeout), Host: thisHost(), PID: os.Getpid()}}
	d.report = drill.Report{Kind: drill.Archive, Flow: o.flow.Flow, Tandem: cli.Current(version).Version, Started: begun.UTC()}
	d.flags.fill(o.flow.Drill.Partitions, o.flow.Drill.Records)
	defer d.show.Clear()
	if debug.SetMemoryLimit(-1) >= 1<<62 { // a limit that the user has set stays
		debug.SetMemoryLimit(restoreBudget + restoreRoom)
	}
	d.chunks = catalog.NewOpener(o.store, o.keeper, openBundles)
	defer d.close()
	if err := d.reach(ctx); err != nil {
		return err
	}
	err = d.rehearse(ctx)
	d.cleanUp(cmd.Context())
	return d.end(ctx, err)
}

func (f *drillFlags) fill(partitions, records int) {
	if f.partitions == 0 {
		f.partitions = max(partitions, 1)
	}
	if f.records == 0 {
		f.records = max(records, 1)
	}
}

// writableFolder finds out before anything is done whether the report can be written.
func writableFolder(dir string) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("--report: %w", err)
	}
	f, err := os.CreateTemp(dir, ".drill-*")
	if err != nil {
		return fmt.Errorf("--report: %w", err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// thisHost tells this machine from others, and this container from others of the machine: process ids are of it.
func thisHost() string {
	name, _ := os.Hostname()                                  // a name that is not known is one as well
	space, _ := os.Readlink("/proc/self/ns/pid")              // where there are none, there is one
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // or process ids begin anew
	return name + " " + space + " " + string(boot)
}

// reach opens the clusters.
func (d *drilling) reach(ctx context.Context) (err error) {
	if d.flags.to == "" {
		d.flags.to = d.flow.Target
	}
	if d.scratch, err = openRestoreTarget(d.open.conf, d.open.flow, d.flags.to); err != nil {
		return err
	}
	if err := d.scratch.reach(ctx); err != nil {
		return err
	}
	switch {
	case !d.open.flow.Enabled:
		d.noOther = fmt.Sprintf("%s replicates nothing", d.flow)
	case d.flags.to == d.flow.Target:
		d.replica = d.scratch
	default:
		if d.replica, err = d.other(ctx, d.flow.Target); err != nil {
			d.noOther = err.Error()
			d.finding(false, d.flow.Target, "the replica cannot be compared: "+err.Error())
		}
	}
	return nil
}

// other is a cluster that is asked for records only.
func (d *drilling) other(ctx context.Context, alias string) (*restoreTarget, error) {
	t, err := openRestoreTarget(d.open.conf, d.open.flow, alias)
	if err != nil {
		return nil, err
	}
	if err := t.reach(ctx); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

func (d *drilling) close() {
	if d.replica == d.scratch {
		d.replica = nil
	}
	for _, t := range []*restoreTarget{d.source, d.replica, d.scratch} {
		if t != nil {
			t.close()
		}
	}
}

// rehearse does it, step by step. An error ends it: refused, where it says that the drill has failed.
func (d *drilling) rehearse(ctx context.Context) error {
	for _, s := range []struct {
		name string
		do   func(context.Context) (string, error)
	}{
		{"take away what a killed drill has left", d.sweep},
		{"look at the archive", d.look},
		{"choose", d.choose},
		{"read the archive", d.readArchived},
		{"restore", d.restore},
		{"compare what was restored", d.compareRestored},
		{"compare the replica", d.compareReplica},
	} {
		if err := d.step(ctx, s.name, s.do); err != nil {
			return err
		}
	}
	return nil
}

// step runs one step, and notes how it went.
func (d *drilling) step(ctx context.Context, name string, do func(context.Context) (string, error)) error {
	begun, before := time.Now(), d.failures()
	d.show.Show("drill: %s", name)
	detail, err := do(ctx)
	d.show.Clear()
	s := drill.Step{Name: name, Seconds: time.Since(begun).Seconds(), Passed: err == nil && d.failures() == before, Detail: detail}
	if err != nil {
		s.Detail = err.Error()
	}
	d.report.Steps = append(d.report.Steps, s)
	return err
}
