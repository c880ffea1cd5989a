package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"tandem/internal/drill/compare"
	"tandem/internal/failover"
	"tandem/internal/stream"
)

const (
	comparisons = 4       // at a time
	searched    = 200_000 // records on either side that are read on for later ones of keys that a cleaner took
	mostOfOne   = 5       // findings of one partition
)

// window is a part of a partition to compare: from a place on both sides.
type window struct {
	spot     spot
	up, down int64 // down is -1 where it is still to be translated
	limit    int64 // 0: to the end
	end      int64 // of the source, asked for after that of the target
	downEnd  int64
	done     bool
	why      string // it is not
}

// tally adds up what windows have found.
type tally struct {
	mu sync.Mutex // guards what follows
	compare.Result
	byPartition map[stream.Partition]int // findings
	different   int64
}

// compare reads records of both clusters from the groups' positions on, and the last ones. The ends are fixed, that of the target first; then
// it waits until the map of offsets tells of all that stands below them.
func (r *rehearsal) compare(ctx context.Context) (string, error) {
	began := time.Now()
	rules, err := r.rules(ctx)
	if err != nil {
		return "", err
	}
	windows, err := r.windows(ctx)
	if err != nil {
		return "", err
	}
	sum := &tally{byPartition: make(map[stream.Partition]int)}
	for deadline, round := time.Now().Add(r.noticed()), 0; ; round++ {
		if err := r.rounds(ctx, windows, rules, sum); err != nil {
			return "", err
		}
		var open []*window
		for _, w := range windows {
			if !w.done {
				open = append(open, w)
			}
		}
		if windows = open; len(windows) == 0 {
			break
		}
		if time.Now().After(deadline) {
			for _, w := range windows {
				r.fail(w.spot.From.String(), "from offset %d on: %s, in %s: see whether mirror stands still there", w.up, w.why, r.noticed())
			}
			break
		}
		r.line.Show("wait until the mirror has noted where the last records stand: %d stretches are left ...", len(windows))
		if pause(ctx, time.Second); ctx.Err() != nil {
			return "", ctx.Err()
		}
		if err := r.lookAgain(ctx, windows); err != nil {
			return "", err
		}
	}
	r.retention(ctx, rules)
	return r.summed(sum, time.Since(began)), nil
}

// lookAgain reads the map anew, and counts where it has gaps.
func (r *rehearsal) lookAgain(ctx context.Context, open []*window) error {
	c, err := r.planChoice()
	if err != nil {
		return err
	}
	s, err := gather(ctx, r.pair, c)
	if err != nil {
		return err
	}
	r.scene = s
	wanted := make(gapFilter)
	for _, w := range open {
		wanted[w.spot.To] = true
		if _, err := s.forward.offsets.Translate(ctx, w.spot.To, stream.Upstream(w.up)); err != nil { // so that the gap is one that is asked for
			return r.look.away(r.to, err)
		}
	}
	limit, cancel := context.WithTimeout(ctx, r.o.countWait)
	defer cancel()
	return s.fill(limit, s.flow, s.forward, s.back, wanted)
}

// windows chooses what is compared of each partition: all of a short one, else a part behind each group's position, and the last records.
func (r *rehearsal) windows(ctx context.Context) ([]*window, error) {
	var remotes, sources []stream.Partition
	for _, s := range r.spots {
		remotes, sources = append(remotes, s.To), append(sources, s.From)
	}
	downEnds, failed := r.remote.StableOffsets(ctx, remotes)
	if err := anyOf(failed); err != nil {
		return nil, r.look.away(r.to, err)
	}
	ends, err := r.ends(ctx, sources)
	if err != nil {
		return nil, err
	}
	planned := make(map[string]map[stream.Partition]int64)
	for _, g := range r.plan.Groups {
		planned[g.Group] = make(map[stream.Partition]int64)
		for _, p := range g.Positions {
			planned[g.Group][p.SourcePartition()] = p.New
		}
	}
	var all []*window
	add := func(s spot, up, down, limit int64) {
		all = append(all, &window{spot: s, up: up, down: down, limit: limit, end: ends[s.From], downEnd: downEnds[s.To]})
	}
	part := max(1, int64(r.o.records)/4)
	for _, s := range r.spots {
		at := func(n int) int64 { return planned[r.names[n]][s.From] }
		end := ends[s.From]
		if end-s.low <= int64(r.o.records) {
			add(s, s.low, at(0), 0)
			continue
		}
		for n := range 3 { // at the end, where the last group stands, are only those records that came since
			add(s, s.at[n], at(n), part)
		}
		add(s, max(s.low, end-part), -1, 0)
	}
	return all, nil
}

// rounds compares the windows that are left, several at a time.
func (r *rehearsal) rounds(ctx context.Context, windows []*window, rules map[string]rules, sum *tally) error {
	var workers errgroup.Group
	workers.SetLimit(comparisons)
	for i, w := range windows {
		workers.Go(func() error {
			r.line.Show("compare %s (%d of %d) ...", w.spot.From, i+1, len(windows))
			return r.one(ctx, w, rules[w.spot.From.Topic].Rules, sum)
		})
	}
	return workers.Wait()
}

// one compares a window.
func (r *rehearsal) one(ctx context.Context, w *window, rules compare.Rules, sum *tally) error {
	up, down, ok, err := r.begin(ctx, w)
	if err != nil || !ok {
		return err
	}
	rules.Limit = w.limit
	source := newLogReader(r.source, w.spot.From, r.scene.From.Starts[w.spot.From], up, w.end, r.flow.IsolationLevel == "read_committed")
	target := newLogReader(r.remote, w.spot.To, r.scene.To.Starts[w.spot.To], down, w.downEnd, true)
	found, err := compare.Logs(ctx, source, target, exactPlaces{r.scene.forward.offsets, w.spot.To}, rules)
	if err != nil {
		return fmt.Errorf("compare %s with %s: %w", w.spot.From, w.spot.To, err)
	}
	if found.Uncovered >= 0 {
		w.why = fmt.Sprintf("where offset %d stands on %s is not noted", found.Uncovered, r.to)
		return nil
	}
	w.done = true
	sum.add(found)
	for i, d := range found.Differences {
		if !sum.room(w.spot.From) {
			r.fail(w.spot.From.String(), "and %d more, at least", len(found.Differences)-i)
			break
		}
		r.fail(fmt.Sprintf("%s offset %s, %s offset %s", w.spot.From, offsetOr(d.Up), w.spot.To, offsetOr(d.Down)), "%s", d.What)
	}
	return nil
}

func offsetOr(offset int64) string {
	if offset < 0 {
		return "none"
	}
	return strconv.FormatInt(offset, 10)
}

// begin finds the place on both sides. Where retention on the target is ahead of the source's, it is the first that the target has.
func (r *rehearsal) begin(ctx context.Context, w *window) (up, down int64, ok bool, err error) {
	offsets := r.scene.forward.offsets
	if up, down = w.up, w.down; down < 0 {
		t, err := offsets.Translate(ctx, w.spot.To, stream.Upstream(up))
		if err != nil || t.Class != stream.Exact {
			w.why = fmt.Sprintf("offset %d has no exact place on %s (%s)", up, r.to, t.Reason)
			return 0, 0, false, err
		}
		down = int64(t.Offset)
	}
	if start := r.scene.To.Starts[w.spot.To]; down <= start {
		down = start
		back, err := offsets.Return(ctx, w.spot.To, stream.Downstream(start))
		if err != nil || back.Class != stream.Exact {
			w.why = fmt.Sprintf("which offset stands where %s begins on %s is not known (%s)", w.spot.To, r.to, back.Reason)
			return 0, 0, false, err
		}
		if w.spot.Way != failover.Both {
			up = max(up, int64(back.Offset))
		}
	}
	return up, down, true, nil
}

func (t *tally) add(x compare.Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Same, t.GoneSource, t.GoneTarget = t.Same+x.Same, t.GoneSource+x.GoneSource, t.GoneTarget+x.GoneTarget
	t.Others, t.Unsure = t.Others+x.Others, t.Unsure+x.Unsure
	t.different += int64(len(x.Differences))
}

// room says that another finding of the partition is worth telling.
func (t *tally) room(p stream.Partition) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byPartition[p]++
	return t.byPartition[p] <= mostOfOne
}

func (r *rehearsal) summed(sum *tally, took time.Duration) string {
	r.measured("records that are the same on both", float64(sum.Same), "records", fmt.Sprintf("in %d partitions: key, value, headers and timestamp", len(r.spots)))
	if sum.different > 0 {
		r.measured("records that differ", float64(sum.different), "records", "at least")
	}
	for _, x := range []struct {
		n          int64
		name, note string
	}{
		{sum.GoneTarget, "records that only " + r.from + " has", "the log cleaner or retention took them from " + r.to},
		{sum.GoneSource, "records that only " + r.to + " has", "the log cleaner or retention took them from " + r.from},
		{sum.Others, "records of others", "in topics that both directions copy under one name"},
		{sum.Unsure, "records that may have been compacted", fmt.Sprintf("on one side only, and no later record of the key within %d", searched)},
	} {
		if x.n > 0 {
			r.measured(x.name, float64(x.n), "records", x.note)
		}
	}
	if sum.Same == 0 && sum.different == 0 {
		r.fail("", "no record was compared: none was found on both clusters")
	}
	return fmt.Sprintf("%d records are the same, %d differ; %.0f records a second", sum.Same, sum.different, float64(sum.Same)/max(took.Seconds(), 0.001))
}

// wayBack translates the positions on the target back to the source: each must come back to where it was, or to the first record behind.
func (r *rehearsal) wayBack(ctx context.Context) (string, error) {
	identical, checked := 0, 0
	ways := make(map[stream.Partition]spot, len(r.spots))
	for _, s := range r.spots {
		ways[s.From] = s
	}
	offsets := r.scene.forward.offsets
	for _, g := range r.plan.Groups {
		for _, p := range g.Positions {
			s := ways[p.SourcePartition()]
			if s.Way == failover.Both || p.Class != stream.Exact.String() {
				continue // there the place on the target is that of others too, or has gone
			}
			checked++
			where := fmt.Sprintf("group %s, %s offset %d", g.Group, p.RemotePartition(), p.New)
			back, err := offsets.Return(ctx, s.To, stream.Downstream(p.New))
			if err != nil {
				return "", r.look.away(r.to, err)
			}
			if back.Class != stream.Exact {
				r.fail(where, "the way back to %s is %s: %s", r.from, back.Class, back.Reason)
				continue
			}
			again, err := offsets.Translate(ctx, s.To, back.Offset)
			if err != nil {
				return "", r.look.away(r.to, err)
			}
			if again.Class != stream.Exact || int64(again.Offset) != p.New {
				r.fail(where, "the way back leads to offset %d of %s, and that to %d", back.Offset, s.From, again.Offset)
				continue
			}
			between, err := r.between(ctx, s, p.Source, int64(back.Offset))
			if err != nil {
				return "", err
			}
			if between >= 0 {
				r.fail(where, "the group left %s at %d and would come back to %d, and there is a record at %d", s.From, p.Source, back.Offset, between)
				continue
			}
			identical++
		}
	}
	r.measured("positions that come back to where they were", float64(identical), "positions", fmt.Sprintf("of %d", checked))
	return fmt.Sprintf("%d of %d positions lead back to where they came from", identical, checked), nil
}

// between is the first record of the source that lies between two of its offsets, which mean the same if there is none: -1.
func (r *rehearsal) between(ctx context.Context, s spot, a, b int64) (int64, error) {
	if a == b {
		return -1, nil
	}
	log := newLogReader(r.source, s.From, r.scene.From.Starts[s.From], min(a, b), max(a, b), r.flow.IsolationLevel == "read_committed")
	rec, ok, err := log.Next(ctx)
	if err != nil || !ok {
		return -1, err
	}
	return rec.Offset, nil
}
