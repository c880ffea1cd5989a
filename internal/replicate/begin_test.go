package replicate

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/stream"
)

// Where partitions begin when something has happened to the source or to the target meanwhile.

// TestPipeTopicMadeAnewWhileInFlight: the source topic is deleted and made anew while a batch of the old one is on its way.
// The new one's first batch has as many records and must not pass for it.
func TestPipeTopicMadeAnewWhileInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newSim(1)
		m.followNew = true
		a := m.addPlain("orders", 0, 1)
		a.Topic, m.logs[a.Source].id = stream.TopicID{1}, stream.TopicID{1}
		old := m.logs[a.Source].want
		m.lag.Store(int64(2 * time.Second))
		pipe := m.pipe(newSimMemory(), NewBudget(8<<20))
		anew := a
		anew.Topic = stream.TopicID{2}
		start := time.Now()
		runUntil(t, pipe, []Assignment{a}, time.Minute, func() bool {
			if since := time.Since(start); since > time.Second && since < 1100*time.Millisecond && m.logs[a.Source].id != anew.Topic {
				l := &simLog{id: anew.Topic}
				l.plain("new", 3, 2000)
				m.mu.Lock()
				m.logs[a.Source] = l
				m.mu.Unlock()
				_ = pipe.Assign(t.Context(), []Assignment{anew})
			}
			m.mu.Lock()
			defer m.mu.Unlock()
			return len(m.targets[a.Remote].values) >= 8000
		})
		got := m.targets[a.Remote].values
		if want := append(old, m.logs[a.Source].want...); !equalValues(got, want) {
			t.Errorf("%d records, want %d", len(got), len(want))
		}
	})
}

func equalValues(a, b []string) bool { return strings.Join(a, " ") == strings.Join(b, " ") }

// TestPipeRetentionWhileDown: the process was killed after it had sent 50000 records from its last note on, and retention
// has moved the log start before it comes back.
func TestPipeRetentionWhileDown(t *testing.T) {
	for _, c := range []struct {
		start int64
		held  int
		lost  string
	}{
		{30000, 50000, ""},
		{50000, 50000, ""},
		{60000, 50000, "records 50000 to 59999 of orders/0"},
		{20000, 0, "records 0 to 19999 of orders/0"},
	} {
		t.Run(fmt.Sprintf("starts at %d, held %d", c.start, c.held), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newSim(1)
				a := m.addPlain("orders", 0, 40)
				if c.held > 0 {
					m.hold(a, c.held)
				}
				l := m.logs[a.Source]
				l.start, l.batches = c.start, l.batches[c.start/2000:]
				memory := newSimMemory()
				memory.anchors[a.Remote] = Start{}
				want := append([]string(nil), l.want[:c.held]...)
				want = append(want, l.want[max(int64(c.held), c.start):]...)
				runUntil(t, m.pipe(memory, NewBudget(8<<20)), []Assignment{a}, time.Minute, func() bool {
					m.mu.Lock()
					defer m.mu.Unlock()
					return len(m.targets[a.Remote].values) >= len(want)
				})
				if got := m.targets[a.Remote].values; !equalValues(got, want) {
					t.Errorf("%d records, want %d", len(got), len(want))
				}
				told := m.told("deleted by the source's retention")
				if c.lost == "" && len(told) > 0 || c.lost != "" && (len(told) != 1 || !strings.HasPrefix(told[0], c.lost)) {
					t.Errorf("told %q, want %q", told, c.lost)
				}
				if at := memory.anchors[a.Remote]; at.Next < stream.Upstream(c.start) {
					t.Errorf("noted place is %+v", at)
				}
			})
		})
	}
}

// TestPipePositionNewerThanAnchor: MM2's topic is further than the anchor, and the target further than the anchor as well. If the
// position is our own, written after the anchor, the target's count decides; if MM2 has run since, its position does.
func TestPipePositionNewerThanAnchor(t *testing.T) {
	for _, c := range []struct {
		name     string
		ours     int // records that the target has of us
		position stream.Upstream
		copied   int // records that the target has at all
	}{
		{"our own position, in the middle of what the target has", 50000, 40000 - 1, 50000},
		{"our own position, at the end", 50000, 50000 - 1, 50000},
		{"MM2 has run since", 50000, 61000 - 1, 61000},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newSim(1)
				a := m.addPlain("orders", 0, 40)
				target := m.targets[a.Remote]
				target.values = append(target.values, m.logs[a.Source].want[:c.copied]...)
				target.known, target.last = true, int32(c.ours-10000-1)
				memory := newSimMemory()
				memory.anchors[a.Remote] = Start{Next: 10000}
				memory.positions[a.Source] = c.position
				runUntil(t, m.pipe(memory, NewBudget(8<<20)), []Assignment{a}, time.Minute, m.complete)
				m.compare(t)
			})
		})
	}
}

// TestPipePositionNewerThanAnchorOverHoles: with holes in the source, offsets run ahead of counts.
func TestPipePositionNewerThanAnchorOverHoles(t *testing.T) {
	for seed := range dice(10) {
		synctest.Test(t, func(t *testing.T) {
			m := newSim(seed)
			a := m.add("orders", 0, 150)
			l := m.logs[a.Source]
			held := len(l.want) / 2
			m.hold(a, held)
			memory := newSimMemory()
			memory.anchors[a.Remote] = Start{}
			memory.positions[a.Source] = stream.Upstream(l.wantAt[held-1-m.rand.IntN(held/4)])
			runUntil(t, m.pipe(memory, NewBudget(8<<20)), []Assignment{a}, time.Minute, m.complete)
			m.compare(t)
		})
	}
}

// TestPipeAcknowledgesWhatItPassedOver: positions follow although nothing is left to send.
func TestPipeAcknowledgesWhatItPassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newSim(1)
		a := m.addPlain("orders", 0, 5)
		m.hold(a, 10000)
		memory := newSimMemory()
		memory.anchors[a.Remote] = Start{}
		runUntil(t, m.pipe(memory, NewBudget(8<<20)), []Assignment{a}, 2*time.Minute, func() bool {
			m.mu.Lock()
			defer m.mu.Unlock()
			acks := m.acks[a.Remote]
			return len(acks) == 1 && acks[0].Next == 10000 && acks[0].NextSequence == 10000
		})
	})
}

// TestPipeTargetThatLostRecords: the target's log was cut. What it lost cannot be copied again, but it is told.
func TestPipeTargetThatLostRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newSim(1)
		a := m.addPlain("orders", 0, 10)
		m.hold(a, 9000)
		memory := newSimMemory()
		memory.anchors[a.Remote] = Start{Next: 10000, Sequence: 10000}
		runUntil(t, m.pipe(memory, NewBudget(8<<20)), []Assignment{a}, time.Minute, func() bool {
			m.mu.Lock()
			defer m.mu.Unlock()
			return len(m.targets[a.Remote].values) >= 19000
		})
		if told := m.told("lost the last 1000 records"); len(told) != 1 {
			t.Errorf("told %q", told)
		}
	})
}

// TestPipeCountsWhatOnlyTheLeaderHad: after a kill the target's leader counts records that its followers do not have yet, and
// then it dies. What was passed over on its word is sent after all.
func TestPipeCountsWhatOnlyTheLeaderHad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newSim(1)
		a := m.addPlain("orders", 0, 40)
		target := m.targets[a.Remote]
		m.hold(a, 30000)
		target.replicated()
		m.hold(a, 50000)
		target.values = m.logs[a.Source].want[:50000:50000]
		memory := newSimMemory()
		memory.anchors[a.Remote] = Start{}
		died := false
		m.before = func(int32, stream.Appending) error {
			if !died {
				died = true
				target.fail()
			}
			return nil
		}
		runUntil(t, m.pipe(memory, NewBudget(8<<20)), []Assignment{a}, time.Minute, m.complete)
		m.compare(t)
		if told := m.told("lost"); len(told) > 0 {
			t.Errorf("told %q", told)
		}
	})
}
