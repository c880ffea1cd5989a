package offsetsync

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"tandem/internal/stream"
)

var orders = stream.Partition{Topic: "orders"}

func ack(p stream.Partition, runs ...stream.Run) stream.Ack { return stream.Ack{Source: p, Runs: runs} }

func run(up, down, count int64) stream.Run {
	return stream.Run{Up: stream.Upstream(up), Down: stream.Downstream(down), Count: count}
}

// drain takes everything that is due, each sync acknowledged at once.
func drain(w *Writer) []Sync {
	var all []Sync
	for {
		due := w.Due(math.MaxInt)
		if len(due) == 0 {
			return all
		}
		w.Done(len(due))
		all = append(all, due...)
	}
}

// The pairs are those by which MM2's own test pins the rule, one record an ack.
func TestPinnedRhythm(t *testing.T) {
	for _, c := range []struct {
		lag   int64
		steps []struct {
			up, down int64
			due      bool
		}
	}{
		{lag: 50, steps: []struct {
			up, down int64
			due      bool
		}{
			{0, 100, true}, {2, 102, true}, {3, 152, false}, {4, 153, true}, {5, 154, false}, {6, 203, false},
			{7, 204, true}, {2, 206, true}, {3, 207, false}, {4, 3, true}, {5, 4, false}, {7, 6, true},
		}},
		{lag: 0, steps: []struct {
			up, down int64
			due      bool
		}{{0, 100, true}, {2, 102, true}, {3, 153, true}, {4, 154, true}, {5, 155, true}}},
	} {
		w := NewWriter(c.lag)
		for i, s := range c.steps {
			w.Ack(ack(orders, run(s.up, s.down, 1)))
			got := drain(w)
			var want []Sync
			if s.due {
				want = []Sync{{Source: orders, Up: stream.Upstream(s.up), Down: stream.Downstream(s.down)}}
			}
			if !slices.Equal(got, want) {
				t.Errorf("lag %d, step %d (%d, %d): emitted %v, want %v", c.lag, i, s.up, s.down, got, want)
			}
		}
	}
}

// A real MM2 with offset.lag.max=100 copied a topic without holes. Fed the same records, the writer must emit every sync
// that MM2 sent, each from the one before it.
func TestCapturedRhythm(t *testing.T) {
	last := map[stream.Partition]Sync{}
	for i, r := range captured(t) {
		s, err := Decode(r)
		if err != nil {
			t.Fatal(err)
		}
		before, known := last[s.Source]
		last[s.Source] = s
		if !known {
			continue
		}
		w := NewWriter(100)
		w.Ack(ack(s.Source, run(int64(before.Up), int64(before.Down), 1)))
		drain(w)
		w.Ack(ack(s.Source, run(int64(before.Up)+1, int64(before.Down)+1, int64(s.Up-before.Up))))
		if got := drain(w); len(got) != 1 || got[0] != s {
			t.Errorf("captured sync %d, %v: the writer emits %v", i, s, got)
		}
	}
	if len(last) != 4 {
		t.Errorf("%d partitions captured, want 4", len(last))
	}
}

func TestPendingAndDelayed(t *testing.T) {
	payments := stream.Partition{Topic: "payments", Number: 1}
	sync := func(p stream.Partition, up, down int64) Sync {
		return Sync{Source: p, Up: stream.Upstream(up), Down: stream.Downstream(down)}
	}
	for _, c := range []struct {
		story string
		do    func(w *Writer)
		want  []Sync // everything that is due afterwards
	}{
		{"nothing acknowledged, nothing due", func(w *Writer) { w.Promote() }, nil},
		{"an empty ack says nothing", func(w *Writer) { w.Ack(ack(orders)); w.Ack(ack(orders, run(5, 5, 0))); w.Promote() }, nil},
		{"the first record is due, the rest of its run waits for the flush",
			func(w *Writer) { w.Ack(ack(orders, run(0, 0, 90))) }, []Sync{sync(orders, 0, 0)}},
		{"the flush makes the end of a quiet topic exact",
			func(w *Writer) { w.Ack(ack(orders, run(0, 0, 90))); drain(w); w.Promote() }, []Sync{sync(orders, 89, 89)}},
		{"promoting replaces what is pending of the same partition",
			func(w *Writer) { w.Ack(ack(orders, run(0, 0, 90))); w.Promote() }, []Sync{sync(orders, 89, 89)}},
		{"a long run leaves its last step",
			func(w *Writer) { w.Ack(ack(orders, run(0, 1000, 1_000_000))) }, []Sync{sync(orders, 999_900, 1_000_900)}},
		{"and, once flushed, its last record",
			func(w *Writer) { w.Ack(ack(orders, run(0, 1000, 1_000_000))); drain(w); w.Promote() }, []Sync{sync(orders, 999_999, 1_000_999)}},
		{"a run that ends on the step leaves nothing delayed",
			func(w *Writer) { w.Ack(ack(orders, run(0, 0, 102))); drain(w); w.Promote() }, nil},
		{"a due sync drops the delayed one before it",
			func(w *Writer) {
				w.Ack(ack(orders, run(0, 0, 50)))
				w.Ack(ack(orders, run(60, 50, 1)))
				drain(w)
				w.Promote()
			}, nil},
		{"a hole in the source is due at its far edge",
			func(w *Writer) { w.Ack(ack(orders, run(0, 0, 10), run(12, 10, 5))) }, []Sync{sync(orders, 12, 10)}},
		{"a source read again from the start is due",
			func(w *Writer) { w.Ack(ack(orders, run(0, 0, 10))); drain(w); w.Ack(ack(orders, run(0, 10, 10))) }, []Sync{sync(orders, 0, 10)}},
		{"a remote topic made anew is due",
			func(w *Writer) { w.Ack(ack(orders, run(0, 50, 10))); drain(w); w.Ack(ack(orders, run(10, 0, 10))) }, []Sync{sync(orders, 10, 0)}},
		{"partitions leave in the order in which they became due, a replaced sync keeps its place",
			func(w *Writer) {
				w.Ack(ack(payments, run(0, 0, 1)))
				w.Ack(ack(orders, run(0, 0, 1)))
				w.Ack(ack(payments, run(5, 1, 1)))
			}, []Sync{sync(payments, 5, 1), sync(orders, 0, 0)}},
		{"of a forgotten partition nothing is emitted",
			func(w *Writer) {
				w.Ack(ack(orders, run(0, 0, 50)))
				w.Ack(ack(payments, run(0, 0, 1)))
				w.Forget(orders)
				w.Promote()
			}, []Sync{sync(payments, 0, 0)}},
		{"when it comes back its first record is due",
			func(w *Writer) {
				w.Ack(ack(orders, run(0, 0, 50)))
				w.Forget(orders)
				w.Ack(ack(orders, run(50, 50, 1)))
			}, []Sync{sync(orders, 50, 50)}},
	} {
		t.Run(c.story, func(t *testing.T) {
			w := NewWriter(100)
			c.do(w)
			if got := drain(w); !slices.Equal(got, c.want) {
				t.Errorf("due %v, want %v", got, c.want)
			}
		})
	}
}

func TestExtremeLags(t *testing.T) {
	for _, lag := range []int64{-5, 0} {
		w := NewWriter(lag)
		w.Ack(ack(orders, run(0, 0, 1000)))
		if got := drain(w); len(got) != 1 || got[0].Up != 999 {
			t.Errorf("lag %d: every record is due, so the last one is sent; got %v", lag, got)
		}
	}
	w := NewWriter(math.MaxInt64)
	w.Ack(ack(orders, run(0, 0, math.MaxInt64)))
	if got := drain(w); len(got) != 1 || got[0].Up != 0 {
		t.Errorf("the largest lag: only the first record is due; got %v", got)
	}
}

func TestTenInFlight(t *testing.T) {
	w := NewWriter(0)
	for n := range int32(25) {
		w.Ack(ack(stream.Partition{Topic: "orders", Number: n}, run(0, 0, 1)))
	}
	steps := []struct{ max, done, want int }{
		{max: 4, want: 4}, {max: 100, want: 6}, {max: 100, want: 0}, {done: 3, max: 100, want: 3}, {done: 10, max: 7, want: 7},
		{max: 100, want: 3}, {done: 10, max: 100, want: 2}, {done: 10, max: 100, want: 0},
	}
	next := int32(0)
	for i, s := range steps {
		w.Done(s.done)
		got := w.Due(s.max)
		if len(got) != s.want {
			t.Fatalf("step %d: %d due, want %d", i, len(got), s.want)
		}
		for _, sync := range got {
			if sync.Source.Number != next {
				t.Errorf("step %d: partition %d, want %d", i, sync.Source.Number, next)
			}
			next++
		}
	}
}

// oracle is MM2's rule word for word, record by record.
type oracle struct {
	lag     int64
	state   map[stream.Partition]progress
	pending map[stream.Partition]Sync
	delayed map[stream.Partition]Sync
}

func (o *oracle) record(p stream.Partition, up stream.Upstream, down stream.Downstream) {
	s, known := o.state[p]
	if !known {
		s = progress{prevUp: -1, prevDown: -1, lastSyncDown: -1}
	}
	sync := Sync{Source: p, Up: up, Down: down}
	switch {
	case s.lastSyncDown == -1, int64(down)-(int64(s.lastSyncDown)+1) >= o.lag, up-s.prevUp != 1, down < s.prevDown:
		s.lastSyncDown = down
		delete(o.delayed, p)
		o.pending[p] = sync
	default:
		o.delayed[p] = sync
	}
	s.prevUp, s.prevDown = up, down
	o.state[p] = s
}

func TestRunsEqualRecords(t *testing.T) {
	for seed := range uint64(600) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		lag := []int64{0, 1, 2, 7, 50, 100}[rnd.IntN(6)]
		w := NewWriter(lag)
		o := &oracle{lag, map[stream.Partition]progress{}, map[stream.Partition]Sync{}, map[stream.Partition]Sync{}}
		up, down := map[stream.Partition]int64{}, map[stream.Partition]int64{}
		for step := range 30 {
			p := stream.Partition{Topic: "orders", Number: rnd.Int32N(3)}
			switch rnd.IntN(12) {
			case 0:
				w.Promote()
				maps.Copy(o.pending, o.delayed)
				clear(o.delayed)
			case 1:
				for _, s := range drain(w) {
					if o.pending[s.Source] != s {
						t.Fatalf("seed %d step %d: sent %v, oracle has %v", seed, step, s, o.pending[s.Source])
					}
					delete(o.pending, s.Source)
				}
			default:
				a := stream.Ack{Source: p}
				for range 1 + rnd.IntN(4) {
					switch rnd.IntN(8) { // mostly contiguous
					case 0:
						up[p] += rnd.Int64N(5)
					case 1:
						down[p] += rnd.Int64N(120)
					case 2:
						up[p] = max(up[p]-rnd.Int64N(50), 0)
					case 3:
						down[p] = max(down[p]-rnd.Int64N(50), 0)
					}
					r := run(up[p], down[p], rnd.Int64N(1+rnd.Int64N(400)))
					a.Runs = append(a.Runs, r)
					for i := range r.Count {
						o.record(p, r.Up+stream.Upstream(i), r.Down+stream.Downstream(i))
					}
					up[p], down[p] = up[p]+r.Count, down[p]+r.Count
				}
				w.Ack(a)
			}
			if err := same(w, o); err != nil {
				t.Fatalf("seed %d step %d lag %d: %v", seed, step, lag, err)
			}
		}
	}
}

func same(w *Writer, o *oracle) error {
	if !maps.Equal(w.pending, o.pending) {
		return fmt.Errorf("pending %v, oracle %v", w.pending, o.pending)
	}
	if !maps.Equal(w.delayed, o.delayed) {
		return fmt.Errorf("delayed %v, oracle %v", w.delayed, o.delayed)
	}
	if len(w.queue) != len(w.pending) {
		return fmt.Errorf("%d queued, %d pending", len(w.queue), len(w.pending))
	}
	for p, s := range o.state {
		if *w.partitions[p] != s {
			return fmt.Errorf("%s: state %+v, oracle %+v", p, *w.partitions[p], s)
		}
	}
	return nil
}
