package replicate

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/stream"
)

// TestPipeTellsWhereItStands: what needs no copy moves the place, and somebody is told, once.
func TestPipeTellsWhereItStands(t *testing.T) {
	type want struct {
		next    stream.Upstream
		records int64
	}
	aborted := func(l *simLog) {
		l.aborted = append(l.aborted, stream.AbortedTransaction{ProducerID: 77, First: stream.Upstream(l.end)})
		l.append(simBatch("x", l.end, []int64{l.end, l.end + 1}, 0x10, 77), l.end+1)
		l.append(simMarker(l.end, 77, true), l.end)
	}
	for _, c := range []struct {
		name string
		log  func(l *simLog)
		want []want
	}{
		{"an empty partition", func(*simLog) {}, []want{{0, 0}}},
		{"records only", func(l *simLog) { l.plain("orders/0", 1, 10) }, []want{{10, 10}}},
		{"a marker at the end", func(l *simLog) { l.plain("orders/0", 1, 10); l.append(simMarker(10, 5, false), 10) }, []want{{10, 10}, {11, 0}}},
		{"nothing but what was aborted", aborted, []want{{0, 0}, {3, 0}}},
		{"aborted, then records", func(l *simLog) { aborted(l); l.plain("orders/0", 1, 10) }, []want{{13, 10}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newSim(1)
				a := m.addPlain("orders", 0, 0)
				c.log(m.logs[a.Source])
				start := time.Now()
				runUntil(t, m.pipe(newSimMemory(), NewBudget(8<<20)), []Assignment{a}, time.Minute, func() bool { return time.Since(start) > 20*time.Second })
				var got []want
				for _, k := range m.acks[a.Remote] {
					got = append(got, want{k.Next, k.Records()})
					if down := stream.Downstream(len(m.logs[a.Source].want)); k.Next > 3 && (k.NextDown != down || k.NextSequence != int32(down)) {
						t.Errorf("%+v, want the target offset %d", k, down)
					}
				}
				// The place of the start may be told before the rest.
				if len(got) > 0 && got[0] == (want{}) && c.want[0] != (want{}) {
					got = got[1:]
				}
				if !slices.Equal(got, c.want) && !(len(c.want) > 1 && c.want[0] == (want{}) && slices.Equal(got, c.want[1:])) {
					t.Errorf("told %v, want %v", got, c.want)
				}
			})
		})
	}
}

// TestPipeSmallTransactionsDoNotDoubleTheAcks: each batch is followed by its marker.
func TestPipeSmallTransactionsDoNotDoubleTheAcks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newSim(1)
		a := m.addPlain("orders", 0, 0)
		l := m.logs[a.Source]
		const transactions = 1000
		start, n := time.Now(), 0
		runUntil(t, m.pipe(newSimMemory(), NewBudget(8<<20)), []Assignment{a}, 5*time.Minute, func() bool {
			if n < transactions { // one each 5 ms
				m.mu.Lock()
				offsets := []int64{l.end}
				l.append(simBatch(a.Source.String(), l.end, offsets, 0x10, 9), l.end)
				l.see(a.Source.String(), offsets)
				l.append(simMarker(l.end, 9, false), l.end)
				m.mu.Unlock()
				n++
			}
			return time.Since(start) > 30*time.Second
		})
		m.compare(t)
		empty := 0
		for _, k := range m.acks[a.Remote] {
			if k.Bytes == 0 {
				empty++
			}
		}
		last := m.acks[a.Remote][len(m.acks[a.Remote])-1]
		if empty > 8 || int64(last.Next) != l.end {
			t.Errorf("%d acks of %d without records, the last up to %d of %d", empty, len(m.acks[a.Remote]), last.Next, l.end)
		}
	})
}

// TestPipeTellsHowNewItIs as SourceEnd wants it.
func TestPipeTellsHowNewItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newSim(1)
		a := m.addPlain("orders", 0, 1)
		pipe := m.pipe(newSimMemory(), NewBudget(8<<20))
		runUntil(t, pipe, []Assignment{a}, time.Minute, func() bool {
			list := pipe.Standings(t.Context())
			return len(list) == 1 && list[0].Newest.Equal(time.UnixMilli(1700000000000))
		})
	})
}
