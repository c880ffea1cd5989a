package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/archive/catalog"
	"tandem/internal/archive/restore"
	"tandem/internal/cli"
	"tandem/internal/kafka"
	"tandem/internal/policy"
	"tandem/internal/stream"
)

// restoreFlags are what restore is called with.
type restoreFlags struct {
	selection
	until, from, clock, point string
	topics, exclude           string
	partitions                []int32
	renames                   []string
	prefix                    string
	groups                    string
	noGroups, raw, acls       bool
	to                        string
	dryRun, yes, again        bool
	append, missing           bool
	holes, keepOld            bool
	factor                    int16
	throttle                  string
	bytesPerSecond            int64 // throttle
}

func restoreCommand() *cobra.Command {
	var f restoreFlags
	cmd := &cobra.Command{
		Use:   "restore FILE --to CLUSTER",
		Short: "Bring topics and consumer groups back as of a moment",
		Long: `restore writes what is archived into a cluster of the file: topics with the partitions and configs that they had, every record with its
key, value, headers, timestamp and order, and the positions of consumer groups, on the same records. It shows its plan and asks.

The moment is --until T, by the records' timestamps or, with --clock archive, by when they were archived; or a --point that archive mark
has named; or, with neither, all that is archived. Records of transactions that were aborted, or open at the moment, are left out.

It can be stopped and killed at any time: the same command goes on where it was, and nothing is lost or written twice. Once it is done,
the same command writes nothing.

Topics that are there already are not written to, unless --append says so. A group with live members is left alone, and named; once they
have left, the same command sets its positions, and touches nothing else.

` + statusesHelp,
		Example: `  archive restore mm2.properties --to backup --dry-run
  archive restore mm2.properties --to backup --until 2026-11-20T14:05:00Z --topics 'orders|payments.*'
  archive restore mm2.properties --to primary --point before-deploy-42 --topics orders --rename orders=orders-restored`,
		Args: arguments(1, "archive restore FILE --to CLUSTER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runRestore(cmd, args[0], f)
		},
	}
	f.selection.flags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.to, "to", "", "cluster to restore into, by its alias in the file")
	flags.StringVar(&f.until, "until", "", "moment to restore, as 2026-11-20T14:05:00Z")
	flags.StringVar(&f.clock, "clock", "record", "clock of --until: record (timestamps) or archive (when it was archived)")
	flags.StringVar(&f.point, "point", "", "named point to restore, instead of --until")
	flags.StringVar(&f.from, "from", "", "leave out records with an earlier timestamp, or none")
	flags.StringVar(&f.topics, "topics", "", "regexes of topics, separated by commas (default all that are archived)")
	flags.StringVar(&f.exclude, "topics-exclude", "", "regexes of topics to leave out")
	flags.Int32SliceVar(&f.partitions, "partitions", nil, "only these partitions of each topic")
	flags.StringArrayVar(&f.renames, "rename", nil, "write topic A into B: A=B (repeatable)")
	flags.StringVar(&f.prefix, "rename-prefix", "", "put this before the names of all topics that --rename does not name")
	flags.StringVar(&f.groups, "groups", "", "regexes of consumer groups, separated by commas (default all)")
	flags.BoolVar(&f.noGroups, "no-groups", false, "restore no positions of consumer groups")
	flags.BoolVar(&f.acls, "acls", false, "restore the ACLs that name the restored topics")
	flags.BoolVar(&f.raw, "raw", false, "restore records of aborted and open transactions too")
	flags.BoolVar(&f.dryRun, "dry-run", false, "show the plan and end")
	flags.BoolVar(&f.yes, "yes", false, "do not ask")
	flags.BoolVar(&f.append, "append", false, "write into topics that are there, behind what they have")
	flags.BoolVar(&f.missing, "missing-only", false, "write only what topics that are there lack at their ends")
	flags.BoolVar(&f.again, "again", false, "begin anew where the same restore is finished, or says that it cannot go on")
	flags.BoolVar(&f.holes, "allow-holes", false, "restore what is there where the archive has lost records")
	flags.BoolVar(&f.keepOld, "keep-old", false, "create topics that do not delete by age or size, where old records would be deleted at once")
	flags.Int16Var(&f.factor, "replication-factor", 0, "replication factor of topics that are created (default what they had)")
	flags.StringVar(&f.throttle, "throttle", "", "bytes per second at most, such as 20MiB or 500000")
	return cmd
}

// check refuses flags that contradict each other.
func (f *restoreFlags) check() error {
	switch {
	case f.to == "":
		return errors.New("into which cluster? --to names one of the file")
	case f.point != "" && (f.until != "" || f.clock != string(restore.RecordClock)):
		return errors.New("--point is a moment of its own: leave out --until and --clock")
	case f.clock != string(restore.RecordClock) && f.clock != string(restore.ArchiveClock):
		return fmt.Errorf("--clock %s: record or archive", f.clock)
	case f.noGroups && f.groups != "":
		return errors.New("--groups and --no-groups contradict each other")
	case f.append && f.missing:
		return errors.New("--append and --missing-only contradict each other")
	}
	if f.throttle != "" {
		var err error
		if f.bytesPerSecond, err = byteSize(f.throttle); err != nil {
			return fmt.Errorf("--throttle %s: bytes per second are wanted, such as 20MiB or 500000", f.throttle)
		}
	}
	return nil
}

// selected is what the flags ask for.
func (f *restoreFlags) selected() (s restore.Selection, err error) {
	s = restore.Selection{Clock: restore.Clock(f.clock), Point: f.point, Raw: f.raw, ACLs: f.acls, Partitions: f.partitions}
	if s.Until, err = atFlag("--until", f.until); err != nil {
		return s, err
	}
	if s.From, err = atFlag("--from", f.from); err != nil {
		return s, err
	}
	topics, err := filterOf(f.topics, f.exclude)
	if err != nil {
		return s, fmt.Errorf("--topics: %w", err)
	}
	s.Topics = topics.Accepts
	if !f.noGroups {
		groups, err := filterOf(f.groups, "")
		if err != nil {
			return s, fmt.Errorf("--groups: %w", err)
		}
		s.Groups = groups.Accepts
	}
	s.Rename, err = f.rename()
	return s, err
}

func filterOf(include, exclude string) (*policy.Filter, error) {
	list := func(text string) []string {
		if text == "" {
			return nil
		}
		return strings.Split(text, ",")
	}
	wanted := list(include)
	if wanted == nil {
		wanted = []string{".*"}
	}
	return policy.NewFilter(wanted, list(exclude))
}

// rename gives topics their names on the target.
func (f *restoreFlags) rename() (func(string) string, error) {
	names := make(map[string]string)
	for _, r := range f.renames {
		from, to, ok := strings.Cut(r, "=")
		if !ok || from == "" || to == "" {
			return nil, fmt.Errorf("--rename %s: A=B is wanted, topic A into topic B", r)
		}
		if other, twice := names[from]; twice && other != to {
			return nil, fmt.Errorf("--rename: topic %s into %s and into %s", from, other, to)
		}
		names[from] = to
	}
	return func(topic string) string {
		if to, ok := names[topic]; ok {
			return to
		}
		return f.prefix + topic
	}, nil
}

// asked is what makes two restores the same.
func (f *restoreFlags) asked() string {
	renames := slices.Clone(f.renames)
	slices.Sort(renames)
	partitions := slices.Clone(f.partitions)
	slices.Sort(partitions)
	parts := map[string]string{
		"until": f.until, "from": f.from, "point": f.point, "topics": f.topics, "topics-exclude": f.exclude, "rename": strings.Join(renames, " "),
		"rename-prefix": f.prefix, "groups": f.groups,
	}
	if f.clock != string(restore.RecordClock) {
		parts["clock"] = f.clock
	}
	if len(partitions) > 0 {
		parts["partitions"] = fmt.Sprint(partitions)
	}
	for name, on := range map[string]bool{"no-groups": f.noGroups, "raw": f.raw, "acls": f.acls, "append": f.append, "missing-only": f.missing} {
		if on {
			parts[name] = "yes"
		}
	}
	var text []string
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		if parts[name] != "" {
			text = append(text, fmt.Sprintf("--%s %s", name, parts[name]))
		}
	}
	return strings.Join(text, " ")
}

// restoring is a restore on its way.
type restoring struct {
	flags  restoreFlags
	asks   restore.Selection
	cmd    *cobra.Command
	open   *opened
	target *restoreTarget
	ledger *restore.Ledger
	plan   *restore.Plan
	state  *catalog.State
	chunks *catalog.Opener
	show   *cli.Progress
	source string // cluster id of what was archived, where the archive tells
	begun  time.Time

	resumed bool // an earlier run has begun to write

	// Of a drill, which restores a few partitions into others than those of their own numbers.
	into  map[stream.Partition]stream.Partition // by source partition
	acked func(stream.Ack)
}

const openBundles = 64 // kept open: each holds the end of its object

func runRestore(cmd *cobra.Command, file string, f restoreFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	asks, err := f.selected()
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	o, err := openArchive(ctx, file, f.selection)
	if err != nil {
		return err
	}
	defer o.close()
	target, err := openRestoreTarget(o.conf, o.flow, f.to)
	if err != nil {
		return err
	}
	defer target.close()
	r := &restoring{flags: f, asks: asks, cmd: cmd, open: o, target: target, show: cli.NewProgress(cmd.ErrOrStderr()), begun: time.Now(),
		chunks: catalog.NewOpener(o.store, o.keeper, openBundles)}
	defer r.show.Clear()
	err = r.run(ctx)
	if err != nil && ctx.Err() != nil {
		return refused{errors.New("stopped; run it again: it goes on")}
	}
	return err
}

func (r *restoring) run(ctx context.Context) error {
	if err := r.target.reach(ctx); err != nil {
		return err
	}
	var err error
	r.ledger, err = restore.OpenLedger(ctx, r.open.store, r.open.flow.Source, r.flags.asked(), r.target.id, r.flags.again)
	if err != nil {
		return err
	}
	if done := r.ledger.Finished; done != nil {
		return r.already(done)
	}
	r.resumed = r.ledger.Begun != nil
	if r.ledger.Written != nil && !r.flags.dryRun {
		r.plan = r.ledger.Plan
		r.say("the records of restore %s are there, written by the same command; going on with its groups", r.ledger.ID)
		return r.execute(ctx)
	}
	if err := r.prepare(ctx); err != nil {
		return err
	}
	if r.flags.dryRun {
		return r.showPlan(ctx, true)
	}
	if r.ledger.Plan == nil {
		if err := r.showPlan(ctx, false); err != nil {
			return err
		}
		if err := confirm(r.cmd, r.flags.yes, fmt.Sprintf("Restore this into %s?", r.flags.to)); err != nil {
			return err
		}
		if err := r.ledger.SetPlan(ctx, r.plan); err != nil {
			return err
		}
	} else {
		r.say("going on with restore %s, begun by the same command", r.ledger.ID)
	}
	return r.execute(ctx)
}

// prepare reads the archive and makes the plan, or takes the one that was noted.
func (r *restoring) prepare(ctx context.Context) error {
	moment, err := r.moment(ctx)
	if err != nil {
		return err
	}
	noted := r.ledger.Plan
	if noted != nil {
		moment = noted.Moment
	}
	r.state, err = catalog.Load(ctx, r.open.store, r.open.options(r.show, "reading the archive"), moment, r.asks.Topics)
	r.show.Clear()
	if err != nil {
		return fmt.Errorf("read archive: %w", err)
	}
	if noted != nil {
		r.plan = noted
		return nil
	}
	if r.plan, err = restore.Make(r.state, r.asks); err != nil {
		return refused{err}
	}
	if r.flags.missing {
		if err := r.planMissing(ctx); err != nil {
			return err
		}
	}
	r.plan.Moment, r.plan.Cluster, r.plan.Asked, r.plan.Append = moment, r.target.id, r.flags.asked(), r.flags.append
	if len(r.plan.Topics) == 0 {
		return refused{fmt.Errorf("nothing of what is asked for is archived; archive ls %s says what is", r.open.conf.Path)}
	}
	if r.flags.factor > 0 {
		for i := range r.plan.Topics {
			r.plan.Topics[i].Factor = r.flags.factor
		}
	}
	return r.addObjects(ctx)
}

// addObjects notes which bundles the plan needs, and asks one of them which cluster was archived.
func (r *restoring) addObjects(ctx context.Context) error {
	logs, err := r.plan.Logs(r.state, r.chunks)
	if err != nil {
		return err
	}
	names := make(map[string]bool)
	for _, log := range logs {
		for _, name := range log.Objects() {
			names[name] = true
		}
	}
	r.plan.Objects = slices.Sorted(maps.Keys(names))
	for _, life := range r.state.Lives {
		for _, part := range life.Parts {
			if n := len(part.Stretches); n > 0 {
				f, err := r.chunks.Footer(ctx, part.Stretches[n-1].Object)
				if err == nil { // else reading it says so
					r.source = f.Header.ClusterID
				}
				return nil
			}
		}
	}
	return nil
}

// moment is that of the state that is needed.
func (r *restoring) moment(ctx context.Context) (time.Time, error) {
	if r.flags.point == "" || r.ledger.Plan != nil {
		return r.asks.Until, nil
	}
	s, err := catalog.Load(ctx, r.open.store, r.open.options(r.show, "looking for the point"), time.Time{}, func(string) bool { return false })
	r.show.Clear()
	if err != nil {
		return time.Time{}, fmt.Errorf("read archive: %w", err)
	}
	at, err := r.asks.Moment(s.Points)
	if err != nil {
		return at, refused{err}
	}
	return at, nil
}

func (r *restoring) say(format string, args ...any) {
	r.show.Clear()
	fmt.Fprintf(r.cmd.ErrOrStderr(), format+"\n", args...)
}

// reason is an error of the target in words.
func reason(what string, err error) error { return fmt.Errorf("%s: %s", what, kafka.Explain(err)) }
