package offsetsync

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"tandem/internal/stream"
)

var remote = stream.Partition{Topic: "A.orders"}

// copied is a record of the target's log: a copy, or somebody else's.
type copied struct {
	ours  bool
	alive bool // the source still has the record
	up    int64
}

// log is the internal topic in memory.
type log struct {
	next    int64
	records []stream.Record
}

func (l *log) append(records []stream.Record) {
	for i := range records {
		records[i].Offset = l.next
		l.records = append(l.records, records[i])
		l.next++
	}
}

// compact keeps the last record of each key at its offset, and drops old tombstones.
func (l *log) compact() {
	last := map[string]int64{}
	for _, r := range l.records {
		last[string(r.Key)] = r.Offset
	}
	l.records = slices.DeleteFunc(l.records, func(r stream.Record) bool { return last[string(r.Key)] != r.Offset || r.Value == nil })
}

func (l *log) Segment(_ context.Context, at int64) (stream.Record, error) {
	i, ok := slices.BinarySearchFunc(l.records, at, func(r stream.Record, at int64) int { return int(r.Offset - at) })
	if !ok {
		return stream.Record{}, errors.New("compacted away")
	}
	return l.records[i], nil
}

// world is a source partition, its copy, the map of it, and what is true.
type world struct {
	t      testing.TB
	rnd    *rand.Rand
	m      *Map
	topic  log
	limit  int64
	id     stream.TopicID
	next   int64 // source offset of the next record
	start  int64 // of the target's log
	target []copied
	points []Sync
	forgot bool // nothing is left that tells that the source was truncated
	story  []string
}

func (w *world) did(format string, args ...any) {
	w.story = append(w.story, fmt.Sprintf(format, args...))
}

func (w *world) end() stream.Downstream { return stream.Downstream(len(w.target)) }

// copy appends records to the target, with holes in the source and foreign records between them, as one batch.
func (w *world) copy(runs int) stream.Ack {
	a := stream.Ack{Source: orders, Remote: remote, Topic: w.id, Bytes: 1}
	mode := w.rnd.IntN(3)
	for range runs {
		if mode > 0 {
			w.next += w.rnd.Int64N(3)
		}
		n := 1 + w.rnd.Int64N(4)
		if mode == 1 {
			n = 1
		}
		a.Runs = append(a.Runs, run(w.next, int64(len(w.target)), n))
		for range n {
			w.target = append(w.target, copied{ours: true, alive: true, up: w.next})
			w.next++
		}
	}
	a.Next, a.NextDown = stream.Upstream(w.next), w.end()
	w.did("copied %v, next %d", a.Runs, a.Next)
	return a
}

func (w *world) settled() stream.Ack {
	return stream.Ack{Source: orders, Remote: remote, Topic: w.id, Next: stream.Upstream(w.next), NextDown: w.end()}
}

func (w *world) ack(a stream.Ack) {
	w.did("ack %v next %d at %d", a.Runs, a.Next, a.NextDown)
	w.m.Ack(a)
}

func (w *world) flush() {
	records := w.m.Changed()
	w.did("flush %d records", len(records))
	switch w.rnd.IntN(6) { // what happens while they are appended
	case 0:
		w.ack(w.copy(1 + w.rnd.IntN(3)))
	case 1:
		w.count()
	}
	w.topic.append(records)
	w.m.Stored(records)
}

// restart loads the map of a process that was killed.
func (w *world) restart() {
	w.did("restart, target %d to %d", w.start, w.end())
	w.m = NewMap(w.limit, &w.topic)
	for _, r := range w.topic.records {
		if err := w.m.Load(r); err != nil {
			w.t.Fatal(err)
		}
	}
	w.m.Stands(remote, orders, stream.Downstream(w.start), w.end())
	w.m.Below(remote, w.points)
	if w.rnd.IntN(2) == 0 {
		w.ack(w.settled())
	}
}

func (w *world) step() {
	switch w.rnd.IntN(24) {
	case 0, 1, 2, 3, 4, 5, 6, 7:
		w.ack(w.copy(1 + w.rnd.IntN(6)))
	case 8: // appended at an unknown place
		a := w.copy(1 + w.rnd.IntN(3))
		a.Runs = nil
		w.ack(a)
	case 9: // markers
		w.next += w.rnd.Int64N(4)
		w.ack(w.settled())
	case 10:
		for range 1 + w.rnd.IntN(3) {
			w.target = append(w.target, copied{})
		}
		w.did("foreign records up to %d", len(w.target))
	case 11, 12, 13:
		w.flush()
	case 14: // an append that fails, perhaps half way
		records := w.m.Changed()
		n := w.rnd.IntN(len(records) + 1)
		w.did("flush of %d records fails after %d", len(records), n)
		w.topic.append(slices.Clone(records[:n]))
	case 15:
		w.did("compaction")
		w.topic.compact()
	case 16, 17:
		w.restart()
	case 18, 19, 20, 21:
		w.count()
	case 22:
		w.trim()
	case 23:
		w.accident()
	}
}

// accident is what happens once in the life of a cluster.
func (w *world) accident() {
	switch w.rnd.IntN(6) {
	case 0:
		w.id[0]++
		w.next, w.points = 0, nil
		w.m.Below(remote, nil)
		for i := range w.target {
			w.target[i].alive = false
		}
		w.did("the source topic is made anew")
		w.ack(w.copy(1))
	case 1: // the source was truncated, and goes on with a record
		_, known, _ := w.m.Covered(remote)
		w.forgot = w.forgot || known < w.end() // nothing tells that records of the gap are among those
		w.next = w.rnd.Int64N(w.next + 1)
		for i := range w.target {
			if w.target[i].up >= w.next {
				w.target[i].alive = false
			}
		}
		w.points = slices.DeleteFunc(w.points, func(s Sync) bool { return int64(s.Up) >= w.next })
		w.did("the source is truncated to %d", w.next)
		a := stream.Ack{Source: orders, Remote: remote, Topic: w.id, Bytes: 1, Runs: []stream.Run{run(w.next, int64(w.end()), 1)}}
		w.target = append(w.target, copied{ours: true, alive: true, up: w.next})
		w.next++
		a.Next, a.NextDown = stream.Upstream(w.next), w.end()
		w.ack(a)
	case 2: // the target lost its end
		at := w.start + w.rnd.Int64N(int64(len(w.target))-w.start+1)
		w.target = w.target[:at]
		w.forgot = slices.ContainsFunc(w.target, func(c copied) bool { return c.ours && !c.alive })
		if w.rnd.IntN(2) == 0 { // and is copied to again from there on
			w.next = 0
			for _, c := range w.target {
				if c.alive && c.ours {
					w.next = max(w.next, c.up+1)
				}
			}
		}
		w.points = slices.DeleteFunc(w.points, func(s Sync) bool { return int64(s.Down) >= at })
		w.did("the target is cut at %d, goes on with %d", at, w.next)
		if w.rnd.IntN(2) == 0 {
			w.m.Stands(remote, orders, stream.Downstream(w.start), w.end())
		}
		w.ack(w.copy(1))
	default:
		return
	}
	// A process that dies before this knows less than it must: see the package comment.
	w.flush()
}

func (w *world) trim() {
	w.start += w.rnd.Int64N(int64(len(w.target))-w.start+1) / 4
	source := w.next
	for _, c := range w.target[w.start:] {
		if c.ours && c.alive {
			source = min(source, c.up)
		}
	}
	w.did("trim %d, %d", source, w.start)
	w.m.Trim(remote, stream.Upstream(source), stream.Downstream(w.start))
}

// count fills a gap with what is true.
func (w *world) count() {
	gaps := w.m.Gaps()
	if len(gaps) == 0 {
		return
	}
	g := gaps[w.rnd.IntN(len(gaps))]
	var runs []stream.Run
	from, to, whole := max(g.From, g.Wanted, 0), g.To, g.From != -1 && int64(g.FromDown) >= w.start
	for d := max(g.FromDown, stream.Downstream(w.start)); d < g.ToDown; d++ {
		c := w.target[d]
		if !c.ours || !c.alive {
			whole = false
			continue
		}
		if c.up < int64(from) && g.From == -1 {
			continue
		}
		if c.up < int64(from) || to != -1 && c.up >= int64(to) {
			return // counting would not come out
		}
		if n := len(runs); n > 0 {
			last := &runs[n-1]
			if c.up < int64(last.Up)+last.Count {
				return
			}
			if c.up == int64(last.Up)+last.Count && int64(d) == int64(last.Down)+last.Count {
				last.Count++
				continue
			}
		}
		runs = append(runs, run(c.up, int64(d), 1))
	}
	if g.From == -1 && len(runs) == 0 {
		return
	}
	certain := !whole || w.rnd.IntN(2) == 0
	w.did("fill %+v with %v, certain %v", g, runs, certain)
	if err := w.m.Fill(w.t.Context(), g, runs, certain); err != nil {
		w.fatal("fill %+v with %v: %v", g, runs, err)
	}
}

func (w *world) fatal(format string, args ...any) {
	w.t.Helper()
	for _, s := range w.story[max(0, len(w.story)-60):] {
		w.t.Log(s)
	}
	for _, p := range w.m.partitions {
		for i, s := range p.segs {
			w.t.Logf("segment %d: %d..%d (%d) at %d..%d topic %d counted %v", i, s.up, s.endUp, s.lastUp, s.down, s.endDown, s.topic[0], s.counted)
		}
		w.t.Logf("points %v, wanted %v, start %d, end %d, generations %v", p.points, p.wanted, p.start, p.end, p.generations())
	}
	w.t.Fatalf(format, args...)
}

// check compares every offset with the truth.
func (w *world) check(classes *[2][4]int) {
	w.t.Helper()
	for up := int64(0); up < w.next+3; up++ {
		got, err := w.m.Translate(w.t.Context(), remote, stream.Upstream(up))
		if err != nil {
			w.fatal("translate %d: %v", up, err)
		}
		classes[0][got.Class]++
		w.translated(up, got)
	}
	for down := int64(0); down < int64(len(w.target))+3; down++ {
		got, err := w.m.Return(w.t.Context(), remote, stream.Downstream(down))
		if err != nil {
			w.fatal("return %d: %v", down, err)
		}
		classes[1][got.Class]++
		w.returned(down, got)
	}
}

func (w *world) translated(up int64, got stream.Translated) {
	w.t.Helper()
	if got.Class == stream.Unknown {
		if got.Offset != -1 || got.Reason == "" {
			w.fatal("%d: %+v", up, got)
		}
		return
	}
	first := int64(len(w.target))
	for d := first - 1; d >= w.start; d-- {
		if c := w.target[d]; c.ours && c.alive && c.up >= up {
			first = d
		}
	}
	if int64(got.Offset) > first {
		w.fatal("%d is at %d, but %+v skips it", up, first, got)
	}
	if got.Class != stream.Exact {
		if got.Reason == "" {
			w.fatal("%d: %+v has no reason", up, got)
		}
		return
	}
	for d := int64(got.Offset); d < w.start; d++ { // deleted since
		if c := w.target[d]; c.ours && c.alive && c.up >= up {
			return
		}
	}
	for d := max(int64(got.Offset), w.start); d < first; d++ {
		if c := w.target[d]; c.ours && (c.alive || !w.forgot) {
			w.fatal("%d is at %d, but %+v reads %d (%+v) before it", up, first, got, d, w.target[d])
		}
	}
}

func (w *world) returned(down int64, got stream.Returned) {
	w.t.Helper()
	if got.Class == stream.Unknown {
		return
	}
	for d := max(down, w.start); d < int64(len(w.target)); d++ {
		if c := w.target[d]; c.ours && c.alive && c.up < int64(got.Offset) {
			w.fatal("%d comes from %d, but %d is returned to %+v, which skips it", d, c.up, down, got)
		}
	}
	if got.Class != stream.Exact {
		return
	}
	for d := w.start; d < min(down, int64(len(w.target))); d++ {
		if c := w.target[d]; c.ours && c.alive && c.up >= int64(got.Offset) {
			w.fatal("%d is returned to %+v, which reads %d at %d again", down, got, c.up, d)
		}
	}
}

func smallSegments(t testing.TB, size int) {
	t.Helper()
	was := segmentSize
	segmentSize = size
	t.Cleanup(func() { segmentSize = was })
}

// Whatever befalls, nothing is skipped, and what is called exact is.
func TestMapAgainstEveryRecord(t *testing.T) {
	var classes [2][4]int
	for seed := range uint64(testSeeds(t)) {
		rnd := rand.New(rand.NewPCG(seed, 11))
		smallSegments(t, []int{1, 8, 40, 4096}[rnd.IntN(4)])
		w := &world{t: t, rnd: rnd, limit: []int64{0, 300, 1 << 20}[rnd.IntN(3)], next: rnd.Int64N(20), id: stream.TopicID{1}}
		if rnd.IntN(2) == 0 { // MM2 has copied before
			for range rnd.IntN(6) {
				for _, r := range w.copy(1 + rnd.IntN(4)).Runs {
					if rnd.IntN(2) == 0 {
						w.points = append(w.points, Sync{Source: orders, Up: r.Up, Down: r.Down})
					}
				}
			}
			if rnd.IntN(2) == 0 {
				w.start = rnd.Int64N(int64(len(w.target)) + 1)
			}
		}
		w.restart()
		for range 60 {
			w.did("-- seed %d", seed)
			w.step()
			w.invariants()
			if rnd.IntN(3) == 0 {
				w.check(&classes)
			}
		}
	}
	t.Logf("exact, clamped, ahead, unknown: translated %v, returned %v", classes[0], classes[1])
}

func testSeeds(t testing.TB) int {
	t.Helper()
	if testing.Short() {
		return 300
	}
	return 600
}

// invariants are what the index promises.
func (w *world) invariants() {
	w.t.Helper()
	p := w.m.partitions[remote]
	for i, s := range p.segs {
		if i > 0 && (s.down < p.segs[i-1].endDown || s.down == p.segs[i-1].down) {
			w.fatal("segments %d and %d overlap", i-1, i)
		}
		if s.lastUp > s.endUp || s.up > s.lastUp {
			w.fatal("segment %d: %+v", i, s)
		}
		if _, dead := p.dead[s.down]; dead {
			w.fatal("segment %d is to be deleted", i)
		}
		if s.changed && s.ops == nil && (p.tail == nil || s != p.last()) || !s.changed && s.at < 0 {
			w.fatal("segment %d is nowhere", i)
		}
		ops, ok := p.steps(s)
		if !ok {
			continue
		}
		c := s.walk(ops)
		if runs := runsIn(c); c.err != nil || runs != s.runs || c.up != s.lastUp || c.down != s.endDown {
			w.fatal("segment %d has %d runs to %d at %d (%v): %+v", i, runs, c.up, c.down, c.err, s)
		}
	}
}
