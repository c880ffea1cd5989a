package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	"tandem/internal/archive/restore"
	"tandem/internal/replicate"
	"tandem/internal/stream"
)

// usualRate is what the time is estimated with before anything has been measured.
const usualRate = 80 << 20 // bytes per second

// planJSON is the plan as --json shows it.
type planJSON struct {
	ID       string            `json:"id"`
	To       string            `json:"to"`
	Plan     *restore.Plan     `json:"plan"`
	Problems []restore.Problem `json:"problems"`
	Seconds  float64           `json:"estimatedSeconds"`
}

// showPlan prints the plan and what stands against it. Where something does, it is the error.
func (r *restoring) showPlan(ctx context.Context, only bool) error {
	out := r.cmd.OutOrStdout()
	problems, err := r.problems(ctx)
	if err != nil {
		return err
	}
	total := r.plan.Totals()
	seconds := float64(total.Bytes) / float64(r.rate())
	if r.flags.json && only {
		if err := printJSON(out, planJSON{ID: r.ledger.ID, To: r.flags.to, Plan: r.plan, Problems: problems, Seconds: seconds}); err != nil {
			return err
		}
	} else if !r.flags.json {
		r.printPlan(out, problems, total, seconds)
	}
	n := 0
	for _, p := range problems {
		if p.Refused {
			n++
		}
	}
	if n > 0 {
		text := "see above"
		if r.flags.json && !only {
			var lines []string
			for _, p := range problems {
				lines = append(lines, p.String())
			}
			text = strings.Join(lines, "\n")
		}
		return refused{fmt.Errorf("%s in the way of the restore: %s; nothing was done", count(n, "thing"), text)}
	}
	return nil
}

func (r *restoring) rate() int64 {
	if r.flags.bytesPerSecond > 0 {
		return r.flags.bytesPerSecond
	}
	return usualRate
}

// problems are what stands against the plan. A restore that was begun has met its topics already.
func (r *restoring) problems(ctx context.Context) ([]restore.Problem, error) {
	if r.ledger.Plan != nil {
		return nil, nil
	}
	target, err := r.target.look(ctx, r.plan, r.flags.keepOld)
	if err != nil {
		return nil, err
	}
	target.Same = r.same()
	problems := r.plan.Check(target, restore.Allowed{Append: r.flags.append || r.flags.missing, Holes: r.flags.holes})
	return append(problems, r.lostBundles()...), nil
}

// lostBundles are those that cannot be read. Which topics they hold nobody can tell, so they stand in the way of all.
func (r *restoring) lostBundles() (problems []restore.Problem) {
	refuse := func(remedy, format string, args ...any) {
		problems = append(problems, restore.Problem{Refused: !r.flags.holes, Text: fmt.Sprintf(format, args...),
			Remedy: remedy + "; --allow-holes goes on without what they hold"})
	}
	var locked []catalog.Damaged
	for _, d := range r.state.Damaged {
		if errors.Is(d.Err, bundle.ErrKey) {
			locked = append(locked, d)
			continue
		}
		refuse("archive verify says more", "a bundle cannot be used: %v", d.Err)
	}
	if len(locked) > 0 {
		refuse("archive keys check says which key is missing", "%s cannot be opened with the keys of %s: %v", count(len(locked), "bundle"), keySetting, locked[0].Err)
	}
	for _, name := range r.state.Missing {
		refuse("archive verify says more", "a bundle is missing: %s", name)
	}
	return problems
}

// same says that the target is the cluster that was archived.
func (r *restoring) same() bool {
	return r.flags.to == r.open.flow.Source || r.source != "" && r.source == r.target.id
}

func (r *restoring) printPlan(out io.Writer, problems []restore.Problem, total restore.Totals, seconds float64) {
	p := r.plan
	fmt.Fprintf(out, "Restore of %s into %s, %s\n\n", p.Source, r.flags.to, r.asOf())
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TOPIC\tINTO\tPARTITIONS\tRECORDS\tSTORED\tFROM\tUNTIL")
	for _, t := range p.Topics {
		var records, bytes int64
		exact, least, most := true, int64(-1), int64(-1)
		for _, x := range t.Parts {
			records, bytes, exact = records+x.Records, bytes+x.Bytes, exact && x.Exact
			if x.Least >= 0 && (least < 0 || x.Least < least) {
				least = x.Least
			}
			most = max(most, x.Most)
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\t%s\n", t.Name, t.To, t.Partitions, roughly(records, exact), byteCount(bytes), milli(least), milli(most))
	}
	_ = w.Flush() // what out says of it, the next line says again
	fmt.Fprintf(out, "\n%s, %s records, %s in %s of the store; about %s at %s/s", count(total.Topics, "topic"), roughly(total.Records, total.Exact),
		byteCount(total.Bytes), count(len(p.Objects), "object"), duration(seconds), byteCount(r.rate()))
	if len(p.Groups) > 0 {
		fmt.Fprintf(out, "; positions of %s", count(len(p.Groups), "group"))
	}
	if len(p.ACLs) > 0 {
		fmt.Fprintf(out, "; %s", count(len(p.ACLs), "ACL"))
	}
	fmt.Fprintln(out, ".")
	for _, t := range p.Topics {
		switch there := slices.ContainsFunc(p.Ends, func(e restore.Base) bool { return e.Topic == t.To }); {
		case len(t.Parts) == 0 && p.Missing && there:
			fmt.Fprintf(out, "- %s lacks nothing that is archived of %s\n", t.To, t.Name)
		case len(t.Parts) == 0:
			fmt.Fprintf(out, "- of %s nothing is archived: it is created without records\n", t.Name)
		}
		_, changed := t.CreateConfigs(r.flags.keepOld, t.Factor)
		for _, c := range changed {
			fmt.Fprintf(out, "- %s\n", c)
		}
	}
	if p.Moment.After(r.state.Newest) {
		fmt.Fprintf(out, "- the moment lies behind the newest bundle of the archive, of %s: what was written since may not be archived\n", stamp(r.state.Newest))
	}
	for _, n := range p.Notes {
		fmt.Fprintf(out, "- %s\n", n)
	}
	for _, problem := range problems {
		mark := "- "
		if problem.Refused {
			mark = "! "
		}
		fmt.Fprintf(out, "%s%s\n", mark, problem)
	}
	fmt.Fprintln(out)
}

func (r *restoring) asOf() string {
	switch {
	case r.plan.Point != "":
		return fmt.Sprintf("as of point %s (%s)", r.plan.Point, stamp(r.plan.Moment))
	case r.plan.Moment.IsZero():
		return "all that is archived; the newest bundle is of " + stamp(r.state.Newest)
	case r.plan.Until == nil:
		return "as archived at " + stamp(r.plan.Moment)
	}
	return "as of " + stamp(r.plan.Moment)
}

func roughly(n int64, exact bool) string {
	if exact {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("~%d", n)
}

func milli(ms int64) string {
	if ms < 0 {
		return "-"
	}
	return stamp(time.UnixMilli(ms))
}

func duration(seconds float64) string {
	return max(time.Duration(seconds*float64(time.Second)).Round(time.Second), time.Second).String()
}

// already says that there is nothing to do.
func (r *restoring) already(f *restore.Finished) error {
	if r.flags.json {
		return printJSON(r.cmd.OutOrStdout(), endJSON{ID: r.ledger.ID, Finished: f, Already: true})
	}
	_, err := fmt.Fprintf(r.cmd.OutOrStdout(), "This restore was finished at %s (%d records, %s); nothing was written. --again does it anew.\n",
		stamp(f.At), f.Records, count(f.Groups, "group"))
	return err
}

// endJSON is the report at the end as --json shows it.
type endJSON struct {
	ID       string            `json:"id"`
	Already  bool              `json:"alreadyFinished,omitempty"`
	Finished *restore.Finished `json:"result"`
	Bytes    int64             `json:"bytesThisRun"`
	Seconds  float64           `json:"secondsThisRun"`
	Waiting  map[string]string `json:"groupsWaiting,omitempty"` // the same command tries them again
	Clamped  []string          `json:"groupsClamped,omitempty"`
}

// showEnd says what came out. What could not be done is the error.
func (r *restoring) showEnd(f *restore.Finished, c *copied, g *groupsDone) error {
	out, w := r.cmd.OutOrStdout(), r.ledger.Written
	if r.flags.json {
		if err := printJSON(out, endJSON{ID: r.ledger.ID, Finished: f, Bytes: c.bytes, Seconds: c.took.Seconds(), Waiting: g.waiting, Clamped: w.Clamped}); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(out, "Restored %d records into %s", f.Records, r.flags.to)
		if c.took > 0 {
			fmt.Fprintf(out, "; this run: %s in %s (%s/s)", byteCount(c.bytes), c.took.Round(time.Millisecond),
				byteCount(int64(float64(c.bytes)/max(c.took.Seconds(), 0.001))))
		}
		fmt.Fprintln(out, ".")
		r.printLeftOut(out, w)
		if g.restored > 0 {
			fmt.Fprintf(out, "Positions of %s are committed and read back.\n", count(g.restored, "group"))
		}
		for _, line := range w.Clamped {
			fmt.Fprintf(out, "Group %s.\n", line)
		}
		for _, list := range []map[string]string{g.kept, g.waiting} {
			for _, name := range slices.Sorted(maps.Keys(list)) {
				fmt.Fprintf(out, "Left alone: group %s: %s.\n", name, list[name])
			}
		}
	}
	switch {
	case len(g.waiting) > 0:
		return refused{fmt.Errorf("the records are restored; %s left alone (see above): run the same command again when that has changed", were(len(g.waiting), "group"))}
	case len(g.kept) > 0:
		return refused{errors.New("the records are restored; some groups keep positions of their own, see above")}
	}
	return nil
}

// printLeftOut says what is archived and not on the target.
func (r *restoring) printLeftOut(out io.Writer, w *restore.Written) {
	since := ""
	if w.Resumed {
		since = " (in what the last run read; those before it did not count)"
	}
	for _, line := range []struct {
		n    int64
		what string
	}{
		{w.Out.Aborted, "records of aborted transactions"}, {w.Out.Undecided, "records of transactions that were open at the moment"},
		{w.Out.Later, "records behind the moment, in chunks that were read"}, {w.Out.Earlier, "records before --from, in chunks that were read"},
	} {
		if line.n > 0 {
			fmt.Fprintf(out, "Left out: %d %s%s.\n", line.n, line.what, since)
		}
	}
	for _, l := range w.Lost {
		fmt.Fprintf(out, "Left out: offsets %d to %d of %s/%d, which cannot be read: %s.\n", l.From, l.To-1, l.Topic, l.Partition, l.Why)
	}
	if w.Open > 0 {
		fmt.Fprintf(out, "%s open at the end of what is archived.\n", were(w.Open, "transaction"))
	}
}

func were(n int, one string) string {
	if n == 1 {
		return "1 " + one + " was"
	}
	return fmt.Sprintf("%d %ss were", n, one)
}

// meter shows how far the data is: a line that is written over on a terminal, else one now and then.
type meter struct {
	r      *restoring
	logs   map[stream.Partition]*restore.Log
	source *restore.Source
	all    int64 // bytes of the store, from the beginning
	begun  time.Time
	looked time.Time
	said   time.Time
	read   int64 // bytes at the last look
	rate   float64
}

const (
	showEvery = time.Second
	sayEvery  = 10 * time.Second
)

func newMeter(r *restoring, logs map[stream.Partition]*restore.Log, source *restore.Source) *meter {
	m := &meter{r: r, logs: logs, source: source, begun: time.Now(), looked: time.Now(), said: time.Now()}
	for _, log := range logs {
		m.all += log.Bytes(0)
	}
	return m
}

func (m *meter) show(standings []replicate.Standing) {
	now := time.Now()
	passed := now.Sub(m.looked)
	if passed < showEvery {
		return
	}
	read := m.source.Read()
	rate := float64(read-m.read) / passed.Seconds()
	if m.rate == 0 {
		m.rate = rate
	}
	m.rate = 0.7*m.rate + 0.3*rate
	m.looked, m.read = now, read
	left := int64(0)
	waiting := ""
	for _, s := range standings {
		left += m.logs[s.Source].Bytes(s.Acked)
		if s.State == replicate.Stalled && waiting == "" {
			waiting = "; waiting: " + s.Reason
		}
	}
	line := fmt.Sprintf("restored %.0f %%, %s/s, %s left%s", 100*float64(m.all-left)/float64(max(m.all, 1)), byteCount(int64(m.rate)), m.timeLeft(left), waiting)
	m.r.show.Show("%s", line)
	if !m.r.show.Visible() && now.Sub(m.said) >= sayEvery {
		m.said = now
		m.r.say("%s", line)
	}
}

func (m *meter) timeLeft(bytes int64) string {
	if m.rate < 1 {
		return "unknown time"
	}
	return duration(float64(bytes) / m.rate)
}
