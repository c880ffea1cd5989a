package offsetsync

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"tandem/internal/stream"
)

var (
	first  = stream.TopicID{1}
	second = stream.TopicID{2}
)

// acks takes in runs of a topic, one ack each.
func acks(m *Map, id stream.TopicID, runs ...stream.Run) {
	for _, r := range runs {
		m.Ack(stream.Ack{Source: orders, Remote: remote, Topic: id, Runs: []stream.Run{r}, Bytes: 1,
			Next: r.Up + stream.Upstream(r.Count), NextDown: r.Down + stream.Downstream(r.Count)})
	}
}

func settle(m *Map, id stream.TopicID, next, down int64) {
	m.Ack(stream.Ack{Source: orders, Remote: remote, Topic: id, Next: stream.Upstream(next), NextDown: stream.Downstream(down)})
}

func syncs(pairs ...int64) (points []Sync) {
	for i := 0; i < len(pairs); i += 2 {
		points = append(points, Sync{Source: orders, Up: stream.Upstream(pairs[i]), Down: stream.Downstream(pairs[i+1])})
	}
	return points
}

type answer struct {
	from, to int64
	class    stream.Class
	again    int64
}

func TestRules(t *testing.T) {
	const exact, clamped, ahead, unknown = stream.Exact, stream.Clamped, stream.Ahead, stream.Unknown
	for _, c := range []struct {
		story string
		do    func(m *Map)
		there []answer
		back  []answer
		gaps  []stream.Gap // without the partitions
	}{
		{
			story: "nothing is known",
			do:    func(*Map) {},
			there: []answer{{5, -1, unknown, 0}},
			back:  []answer{{5, -1, unknown, 0}},
		},
		{
			story: "one run, from the beginning of both",
			do:    func(m *Map) { acks(m, first, run(0, 0, 50), run(50, 50, 50)) },
			there: []answer{{0, 0, exact, 0}, {99, 99, exact, 0}, {100, 100, exact, 0}, {101, 100, ahead, 0}},
			back:  []answer{{0, 0, exact, 0}, {99, 99, exact, 0}, {100, 100, exact, 0}, {105, 100, ahead, 0}},
		},
		{
			story: "a hole in the source",
			do:    func(m *Map) { acks(m, first, run(0, 0, 10), run(13, 10, 10)) },
			there: []answer{{9, 9, exact, 0}, {10, 10, exact, 0}, {12, 10, exact, 0}, {13, 10, exact, 0}, {14, 11, exact, 0}},
			back:  []answer{{9, 9, exact, 0}, {10, 13, exact, 0}},
		},
		{
			story: "foreign records on the target",
			do:    func(m *Map) { acks(m, first, run(0, 0, 10), run(10, 15, 10)) },
			there: []answer{{9, 9, exact, 0}, {10, 15, exact, 0}},
			back:  []answer{{9, 9, exact, 0}, {10, 10, exact, 0}, {14, 10, exact, 0}, {15, 10, exact, 0}, {16, 11, exact, 0}},
		},
		{
			story: "markers at the end, noted, and then foreign records",
			do: func(m *Map) {
				acks(m, first, run(0, 0, 10))
				settle(m, first, 12, 10)
				acks(m, first, run(12, 15, 5))
			},
			there: []answer{{10, 15, exact, 0}, {11, 15, exact, 0}, {12, 15, exact, 0}, {17, 20, exact, 0}},
			back:  []answer{{10, 12, exact, 0}, {14, 12, exact, 0}},
		},
		{
			story: "a group at the very end, behind markers",
			do: func(m *Map) {
				acks(m, first, run(0, 0, 10))
				settle(m, first, 12, 10)
			},
			there: []answer{{10, 10, exact, 0}, {12, 10, exact, 0}, {13, 10, ahead, 0}},
			back:  []answer{{10, 12, exact, 0}},
		},
		{
			story: "a place below what is known to need no copy is not a rewind",
			do: func(m *Map) {
				acks(m, first, run(0, 0, 10))
				settle(m, first, 12, 10)
				settle(m, first, 10, 10)
				acks(m, first, run(12, 10, 1))
			},
			there: []answer{{11, 10, exact, 0}, {12, 10, exact, 0}},
		},
		{
			story: "both sides jump: a gap",
			do:    func(m *Map) { acks(m, first, run(0, 0, 10), run(20, 18, 10)) },
			there: []answer{{9, 9, exact, 0}, {10, 10, exact, 0}, {11, 10, clamped, 1}, {19, 10, clamped, 8}, {20, 18, exact, 0}},
			back:  []answer{{10, 10, exact, 0}, {11, 10, clamped, 1}, {17, 10, clamped, 7}, {18, 20, exact, 0}},
			gaps:  []stream.Gap{{From: 10, FromDown: 10, To: 20, ToDown: 18, Wanted: 10}},
		},
		{
			story: "an ack without a place leaves a gap",
			do: func(m *Map) {
				acks(m, first, run(0, 0, 10))
				m.Ack(stream.Ack{Source: orders, Remote: remote, Topic: first, Bytes: 7, Next: 15, NextDown: 15})
				acks(m, first, run(15, 15, 5))
			},
			there: []answer{{12, 10, clamped, 2}, {15, 15, exact, 0}},
			gaps:  []stream.Gap{{From: 10, FromDown: 10, To: 15, ToDown: 15, Wanted: 10}},
		},
		{
			story: "the process died before it flushed: the target has more",
			do: func(m *Map) {
				acks(m, first, run(0, 0, 10))
				m.Stands(remote, orders, 0, 14)
			},
			there: []answer{{10, 10, exact, 0}, {12, 10, clamped, 2}, {90, 10, clamped, 4}},
			back:  []answer{{12, 10, clamped, 2}, {14, 10, clamped, 4}},
			gaps:  []stream.Gap{{From: 10, FromDown: 10, To: -1, ToDown: 14, Wanted: 10}},
		},
		{
			story: "and goes on",
			do: func(m *Map) {
				acks(m, first, run(0, 0, 10))
				m.Stands(remote, orders, 0, 14)
				settle(m, first, 16, 14)
			},
			there: []answer{{12, 10, clamped, 2}, {16, 14, exact, 0}, {17, 14, ahead, 0}},
			gaps:  []stream.Gap{{From: 10, FromDown: 10, To: 16, ToDown: 14, Wanted: 10}},
		},
		{
			story: "nothing stands before the first run",
			do: func(m *Map) {
				m.Stands(remote, orders, 0, 0)
				acks(m, first, run(1000, 0, 10))
			},
			there: []answer{{0, 0, clamped, 0}, {999, 0, clamped, 0}, {1000, 0, exact, 0}},
			back:  []answer{{0, 1000, exact, 0}},
		},
		{
			story: "MM2 copied before, and no sync is there: counted only where somebody asks",
			do: func(m *Map) {
				m.Stands(remote, orders, 0, 500)
				acks(m, first, run(600, 500, 10))
			},
			there: []answer{{300, -1, unknown, 0}, {200, -1, unknown, 0}, {600, 500, exact, 0}},
			gaps:  []stream.Gap{{From: -1, FromDown: 0, To: 600, ToDown: 500, Wanted: 200}},
		},
		{
			story: "MM2 copied before: its syncs, and no more to count than between them",
			do: func(m *Map) {
				m.Stands(remote, orders, 0, 500)
				acks(m, first, run(600, 500, 10))
				m.Below(remote, syncs(100, 90, 200, 180, 210, 170, 400, 350, 605, 505))
			},
			there: []answer{{99, -1, unknown, 0}, {100, 90, exact, 0}, {150, 91, clamped, 49}, {399, 171, clamped, 179},
				{400, 350, exact, 0}, {500, 351, clamped, 99}, {599, 351, clamped, 149}, {600, 500, exact, 0}},
			back: []answer{{89, -1, unknown, 0}, {90, 100, exact, 0}, {95, 101, clamped, 4}, {499, 401, clamped, 148}},
			gaps: []stream.Gap{
				{From: -1, FromDown: 0, To: 100, ToDown: 90, Wanted: 0},
				{From: 100, FromDown: 90, To: 210, ToDown: 170, Wanted: 100},
				{From: 210, FromDown: 170, To: 400, ToDown: 350, Wanted: 399},
				{From: 400, FromDown: 350, To: 600, ToDown: 500, Wanted: 400},
			},
		},
		{
			story: "MM2's syncs alone",
			do: func(m *Map) {
				m.Stands(remote, orders, 0, 500)
				m.Below(remote, syncs(100, 90, 400, 350))
			},
			there: []answer{{99, -1, unknown, 0}, {100, 90, exact, 0}, {150, 91, clamped, 49}, {700, 351, clamped, 149}},
		},
		{
			story: "the source was truncated and goes on",
			do:    func(m *Map) { acks(m, first, run(0, 0, 100), run(80, 100, 10)) },
			there: []answer{{79, 79, exact, 0}, {80, 100, exact, 0}, {85, 105, exact, 0}, {90, 110, exact, 0}, {95, 110, ahead, 0}},
			back:  []answer{{79, 79, exact, 0}, {80, 80, exact, 0}, {95, 80, exact, 0}, {100, 80, exact, 0}, {105, 85, exact, 0}},
		},
		{
			story: "truncated, and what came first after it is not known",
			do:    func(m *Map) { acks(m, first, run(0, 0, 100), run(90, 110, 10)) },
			there: []answer{{50, 50, clamped, 60}, {85, 85, clamped, 25}, {90, 110, exact, 0}},
			back:  []answer{{50, -1, unknown, 0}, {105, -1, unknown, 0}, {110, 90, exact, 0}},
			gaps:  []stream.Gap{{From: -1, FromDown: 100, To: 90, ToDown: 110, Wanted: 80}},
		},
		{
			story: "the source topic was made anew",
			do:    func(m *Map) { acks(m, first, run(0, 0, 100)); acks(m, second, run(0, 100, 10)) },
			there: []answer{{0, 100, exact, 0}, {50, 110, ahead, 0}},
			back:  []answer{{50, 0, clamped, 0}, {105, 5, exact, 0}},
		},
		{
			story: "made anew, and its first offsets were deleted before they were copied",
			do:    func(m *Map) { acks(m, first, run(0, 0, 100)); acks(m, second, run(7, 100, 10)) },
			there: []answer{{3, 100, clamped, 0}, {7, 100, exact, 0}},
			back:  []answer{{50, 7, clamped, 0}},
		},
		{
			story: "made anew, and what came first is not known",
			do:    func(m *Map) { acks(m, first, run(0, 0, 100)); acks(m, second, run(7, 105, 10)) },
			there: []answer{{3, 100, clamped, 3}, {7, 105, exact, 0}},
			back:  []answer{{50, -1, unknown, 0}, {103, -1, unknown, 0}, {105, 7, exact, 0}},
			gaps:  []stream.Gap{{From: -1, FromDown: 100, To: 7, ToDown: 105, Wanted: 2}},
		},
		{
			story: "the target was cut, as an ack shows",
			do:    func(m *Map) { acks(m, first, run(0, 0, 100), run(100, 60, 10)) },
			there: []answer{{59, 59, exact, 0}, {60, 60, exact, 0}, {99, 60, exact, 0}, {100, 60, exact, 0}, {105, 65, exact, 0}},
			back:  []answer{{59, 59, exact, 0}, {60, 100, exact, 0}},
		},
		{
			story: "the target was made anew",
			do: func(m *Map) {
				acks(m, first, run(0, 0, 100))
				m.Below(remote, syncs(0, 0))
				m.Stands(remote, orders, 0, 0)
				acks(m, first, run(100, 0, 10))
			},
			there: []answer{{50, 0, clamped, 0}, {105, 5, exact, 0}},
		},
	} {
		t.Run(c.story, func(t *testing.T) {
			m := NewMap(1<<20, &log{})
			c.do(m)
			for range 2 { // asking changes no answer
				for _, a := range c.there {
					got, err := m.Translate(t.Context(), remote, stream.Upstream(a.from))
					if err != nil || got.Offset != stream.Downstream(a.to) || got.Class != a.class || got.Again != a.again ||
						(got.Reason == "") != (a.class == exact) {
						t.Errorf("translated %d: %+v %v, want %+v", a.from, got, err, a)
					}
				}
				for _, a := range c.back {
					got, err := m.Return(t.Context(), remote, stream.Downstream(a.from))
					if err != nil || got.Offset != stream.Upstream(a.to) || got.Class != a.class || got.Again != a.again ||
						(got.Reason == "") != (a.class == exact) {
						t.Errorf("returned %d: %+v %v, want %+v", a.from, got, err, a)
					}
				}
			}
			gaps := m.Gaps()
			if len(gaps) != len(c.gaps) {
				t.Fatalf("gaps %+v, want %+v", gaps, c.gaps)
			}
			for i, want := range c.gaps {
				want.Source, want.Remote = orders, remote
				if gaps[i] != want {
					t.Errorf("gap %+v, want %+v", gaps[i], want)
				}
			}
		})
	}
}

func TestFill(t *testing.T) {
	closed := stream.Gap{Source: orders, Remote: remote, From: 10, FromDown: 10, To: 20, ToDown: 18}
	tail := stream.Gap{Source: orders, Remote: remote, From: 30, FromDown: 28, To: -1, ToDown: 33}
	begin := stream.Gap{Source: orders, Remote: remote, From: -1, FromDown: -10, To: 0, ToDown: 0}
	for _, c := range []struct {
		story   string
		gap     stream.Gap
		runs    []stream.Run
		certain bool
		bad     bool
		there   []answer
		left    int // gaps
	}{
		{"all of it", closed, []stream.Run{run(10, 10, 3), run(15, 13, 5)}, false, false, []answer{{12, 12, 0, 0}, {14, 13, 0, 0}, {19, 17, 0, 0}}, 1},
		{"nothing", closed, nil, false, true, nil, 2},
		{"one record too few", closed, []stream.Run{run(10, 10, 3), run(15, 13, 4)}, false, true, nil, 2},
		{"one too few, for one is not ours", closed, []stream.Run{run(10, 10, 3), run(15, 13, 4)}, true, false, []answer{{18, 16, 0, 0}, {19, 18, 0, 0}}, 1},
		{"the first is missing", closed, []stream.Run{run(13, 11, 7)}, false, true, nil, 2},
		{"the first is not ours", closed, []stream.Run{run(13, 11, 7)}, true, false, []answer{{10, 11, 0, 0}, {12, 11, 0, 0}, {13, 11, 0, 0}}, 1},
		{"none is ours", closed, nil, true, false, []answer{{10, 18, 0, 0}, {15, 18, 0, 0}}, 1},
		{"one too many", closed, []stream.Run{run(10, 10, 9)}, true, true, nil, 2},
		{"not in order", closed, []stream.Run{run(14, 10, 3), run(12, 13, 5)}, true, true, nil, 2},
		{"a run of nothing", closed, []stream.Run{run(10, 10, 0)}, true, true, nil, 2},
		{"the tail", tail, []stream.Run{run(31, 28, 5)}, false, false, []answer{{30, 28, 0, 0}, {35, 32, 0, 0}, {36, 33, 0, 0}, {40, 33, stream.Ahead, 0}}, 1},
		{"half of the tail", tail, []stream.Run{run(31, 28, 2)}, false, false, []answer{{33, 30, 0, 0}, {34, 30, stream.Clamped, 1}}, 2},
		{"the tail is not ours", tail, nil, true, false, []answer{{30, 33, 0, 0}}, 1},
		{"too much for the tail", tail, []stream.Run{run(31, 28, 6)}, false, true, nil, 2},
		{"a gap that never was", begin, []stream.Run{run(10, 10, 3)}, true, true, nil, 2},
	} {
		t.Run(c.story, func(t *testing.T) {
			m := NewMap(1<<20, &log{})
			acks(m, first, run(0, 0, 10), run(20, 18, 10))
			m.Stands(remote, orders, 0, 33)
			err := m.Fill(t.Context(), c.gap, c.runs, c.certain)
			if c.bad != errors.Is(err, ErrMisfit) || !c.bad && err != nil {
				t.Fatalf("error %v", err)
			}
			for _, a := range c.there {
				got, err := m.Translate(t.Context(), remote, stream.Upstream(a.from))
				if err != nil || got.Offset != stream.Downstream(a.to) || got.Class != a.class || got.Again != a.again {
					t.Errorf("translated %d: %+v %v, want %+v", a.from, got, err, a)
				}
			}
			if gaps := m.Gaps(); len(gaps) != c.left {
				t.Errorf("gaps %+v", gaps)
			}
		})
	}
}

// Below all that is known, the source has nothing left between the offset that was asked for and the next known place: a marker,
// say. Then the next place is the right one, and what lies before the offset is not known still.
func TestNothingBelow(t *testing.T) {
	for _, c := range []struct {
		story  string
		points []Sync
		ask    int64
		down   int64
	}{
		{"before the first run", nil, 27, 18},
		{"before an offset sync", syncs(12, 9), 11, 9},
	} {
		t.Run(c.story, func(t *testing.T) {
			m := NewMap(1<<20, &log{})
			acks(m, first, run(30, 18, 10))
			m.Stands(remote, orders, 0, 28)
			m.Below(remote, c.points)
			translate := func(up int64) stream.Translated {
				t.Helper()
				got, err := m.Translate(t.Context(), remote, stream.Upstream(up))
				if err != nil {
					t.Fatal(err)
				}
				return got
			}
			if got := translate(c.ask); got.Class != stream.Unknown {
				t.Fatalf("%+v, want it to be unknown", got)
			}
			for _, certain := range []bool{false, true} {
				if err := m.Fill(t.Context(), m.Gaps()[0], nil, certain); certain != (err == nil) {
					t.Fatalf("filled (%v): %v", certain, err)
				}
			}
			if got := translate(c.ask); got.Class != stream.Exact || got.Offset != stream.Downstream(c.down) {
				t.Errorf("%+v, want exactly %d", got, c.down)
			}
			if got := translate(c.ask - 1); got.Class != stream.Unknown {
				t.Errorf("below it: %+v, want it to be unknown", got)
			}
			gaps := m.Gaps()
			if len(gaps) != 1 || gaps[0].To != stream.Upstream(c.ask) || gaps[0].ToDown != stream.Downstream(c.down) {
				t.Errorf("gaps %+v", gaps)
			}
		})
	}
}

// A gap whose end came to be known while it was counted takes the runs all the same.
func TestTailIsClosedWhileItIsCounted(t *testing.T) {
	m := NewMap(1<<20, &log{})
	acks(m, first, run(0, 0, 10))
	m.Stands(remote, orders, 0, 14)
	g := m.Gaps()[0]
	acks(m, first, run(16, 14, 5))
	if err := m.Fill(t.Context(), g, []stream.Run{run(11, 10, 4)}, false); err != nil {
		t.Fatal(err)
	}
	if s := m.Size(); len(m.Gaps()) != 0 || s.Segments != 1 || s.Runs != 3 {
		t.Errorf("gaps %v, size %+v", m.Gaps(), s)
	}
}

// Segments are rewritten under their keys, and those that were joined leave the topic.
func TestFlushes(t *testing.T) {
	topic := &log{}
	m := NewMap(1<<20, topic)
	flush := func(want int) []stream.Record {
		t.Helper()
		records := m.Changed()
		if len(records) != want {
			t.Fatalf("%d records to append, want %d", len(records), want)
		}
		return records
	}
	store := func(records []stream.Record) {
		topic.append(records)
		m.Stored(records)
	}
	acks(m, first, run(0, 0, 10), run(20, 18, 10))
	flush(2)
	store(flush(2)) // the first try failed
	flush(0)
	acks(m, first, run(30, 28, 10))
	records := flush(1)
	acks(m, first, run(40, 38, 10)) // while it is appended
	store(records)
	store(flush(1))
	if err := m.Fill(t.Context(), m.Gaps()[0], []stream.Run{run(10, 10, 8)}, false); err != nil {
		t.Fatal(err)
	}
	records = flush(2)
	if records[0].Value != nil || records[1].Value == nil {
		t.Errorf("the tombstone does not come first: %+v", records)
	}
	store(records)
	flush(0)
	m.Stored(records) // again: of no effect
	acks(m, second, run(0, 48, 1))
	if !m.Urgent() {
		t.Error("a topic made anew is not urgent")
	}
	store(flush(1))
	if m.Urgent() {
		t.Error("still urgent")
	}
	topic.compact()
	if len(topic.records) != 2 {
		t.Errorf("%d records are left", len(topic.records))
	}
	m = NewMap(1<<20, topic)
	for _, r := range append(topic.records, stream.Record{Key: []byte{1, 'P'}, Value: []byte("other")}) {
		if err := m.Load(r); err != nil {
			t.Fatal(err)
		}
	}
	if up, down, ok := m.Covered(remote); !ok || up != 1 || down != 49 || m.Size().Runs != 3 {
		t.Errorf("loaded %d at %d, %+v", up, down, m.Size())
	}
	m.Forget(remote)
	if _, _, ok := m.Covered(remote); ok || m.Size().Partitions != 0 {
		t.Errorf("forgotten: %+v", m.Size())
	}
}

func TestTrim(t *testing.T) {
	smallSegments(t, 1)
	m := NewMap(0, &log{})
	for i := range int64(100) { // a segment every few runs
		acks(m, first, run(i*20+i%3, i*10, 10))
	}
	before := m.Size().Segments
	m.Trim(remote, 1000, 300) // the target keeps more
	half := m.Size().Segments
	if m.Trim(remote, 0, 990); m.Size().Segments != half || half >= before || half == 0 {
		t.Errorf("%d segments, then %d, then %d", before, half, m.Size().Segments)
	}
	got, err := m.Translate(t.Context(), remote, 700)
	if err != nil || got.Class != stream.Exact || got.Offset != 350 {
		t.Errorf("%+v %v", got, err)
	}
}

func TestReadsAgain(t *testing.T) {
	smallSegments(t, 8)
	topic := &log{}
	m := NewMap(0, topic)
	for i := range int64(1000) {
		acks(m, first, run(i*7+i*i%5, i*3, 3))
	}
	records := m.Changed()
	topic.append(records)
	m.Stored(records)
	if got, err := m.Translate(t.Context(), remote, 3501); err != nil || got.Class != stream.Exact || got.Offset != 1501 {
		t.Errorf("%+v %v", got, err)
	}
	topic.records = topic.records[len(topic.records)-1:]
	if _, err := m.Translate(t.Context(), remote, 3501); err == nil || !strings.Contains(err.Error(), "compacted away") {
		t.Errorf("a segment that is gone: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Return(ctx, remote, 1501); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// For the race detector: acks go on while others ask, flush and count.
func TestAtOnce(t *testing.T) {
	smallSegments(t, 64)
	topic := &log{}
	var mu sync.Mutex
	m := NewMap(500, segmentsFunc(func(ctx context.Context, at int64) (stream.Record, error) {
		mu.Lock()
		defer mu.Unlock()
		return topic.Segment(ctx, at)
	}))
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range int64(3000) {
			acks(m, first, run(i*7+i*i%5, i*3, 3))
		}
	})
	wg.Go(func() {
		for range 50 {
			records := m.Changed()
			mu.Lock()
			topic.append(records)
			mu.Unlock()
			m.Stored(records)
		}
	})
	wg.Go(func() {
		for i := range 3000 {
			up := stream.Upstream(i * 7)
			got, err := m.Translate(t.Context(), remote, up)
			if err != nil || int64(got.Offset) > int64(i*3) {
				t.Errorf("%d: %+v %v", up, got, err)
			}
			_, _ = m.Gaps(), m.Size()
		}
	})
	wg.Wait()
}

type segmentsFunc func(ctx context.Context, at int64) (stream.Record, error)

func (f segmentsFunc) Segment(ctx context.Context, at int64) (stream.Record, error) {
	return f(ctx, at)
}
