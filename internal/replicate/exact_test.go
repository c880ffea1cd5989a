package replicate

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/stream"
)

// Where a killed process's successor goes on when counting does not tell, or is not all there is to tell.

// compact takes records out of the source below an offset, as its cleaner does: batches keep their last offset.
func (l *simLog) compact(topic string, below int64, keeps func(offset int64) bool) {
	l.want, l.wantAt = nil, nil
	var batches []simEntry
	base := int64(0)
	for _, e := range l.batches {
		var offsets []int64
		var values []string
		for o := base; o <= e.last; o++ {
			if o >= below || keeps(o) {
				offsets, values = append(offsets, o), append(values, fmt.Sprintf("%s:%d", topic, o))
			}
		}
		if len(offsets) > 0 {
			batches = append(batches, simEntry{e.last, simRecords(base, e.last, offsets, values, -1)})
			l.see(topic, offsets)
		}
		base = e.last + 1
	}
	l.batches = batches
}

// arrived waits until the target has as many values, and compares them.
func (m *sim) arrived(t *testing.T, pipe *Pipe, a Assignment, want []string) {
	t.Helper()
	values := func() []string {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.targets[a.Remote].values
	}
	runUntil(t, pipe, []Assignment{a}, 5*time.Minute, func() bool { return len(values()) >= len(want) })
	got := values()
	if equalValues(got, want) {
		return
	}
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	t.Errorf("%d records, want %d; first difference at %d", len(got), len(want), i)
}

// behind is what a target has in the end that held the first so many records before the source was compacted.
func behind(before []string, held int, l *simLog, from int64) []string {
	want := append([]string(nil), before[:held]...)
	for i, o := range l.wantAt {
		if o >= from {
			want = append(want, l.want[i])
		}
	}
	return want
}

// TestPipeKillThenCompaction: the process was killed after it had sent some thousands of records from its last note on; then
// the source's cleaner took many of them, and of those behind. Whatever is left of the others arrives once.
func TestPipeKillThenCompaction(t *testing.T) {
	for seed := range dice(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newSim(seed)
				a := m.addPlain("orders", 0, 40)
				l, target := m.logs[a.Source], m.targets[a.Remote]
				before := l.want
				noted := m.rand.IntN(50000)
				held := noted + 1 + m.rand.IntN(20000)
				m.hold(a, held)
				memory := newSimMemory()
				memory.anchors[a.Remote] = Start{Next: stream.Upstream(noted), Sequence: int32(noted)}
				if m.rand.IntN(3) > 0 {
					memory.anchors[a.Remote] = Start{Next: stream.Upstream(noted), Sequence: int32(noted), Down: BaseOf(stream.Downstream(noted))}
					target.known = m.rand.IntN(2) == 0
				}
				share := m.rand.IntN(100)
				l.compact(a.Source.String(), int64(held+m.rand.IntN(10000)), func(int64) bool { return m.rand.IntN(100) < share })
				want := behind(before, held, l, int64(held))
				m.arrived(t, m.pipe(memory, NewBudget(8<<20)), a, want)
				if at := memory.anchors[a.Remote]; at.Next < stream.Upstream(held) && m.reads > 0 {
					t.Errorf("noted place is %+v", at)
				}
			})
		})
	}
}

// TestPipeLosesTrackOverHoles: answers get lost while a source with holes is copied: the same process asks where it stands.
func TestPipeLosesTrackOverHoles(t *testing.T) {
	for seed := range dice(10) {
		synctest.Test(t, func(t *testing.T) {
			m := newSim(seed)
			a := m.addPlain("orders", 0, 40)
			m.logs[a.Source].compact(a.Source.String(), 60000, func(int64) bool { return m.rand.IntN(3) == 0 })
			calls := 0
			m.after = func(int32, stream.Appending) error {
				if calls++; calls%4 == 0 {
					return code(stream.CodeOutOfOrderSequence)
				}
				return nil
			}
			runUntil(t, m.pipe(newSimMemory(), NewBudget(8<<20)), []Assignment{a}, 5*time.Minute, m.complete)
			m.compare(t)
		})
	}
}

// forgotten makes a target that has forgotten our producer id and holds so many records, of which the last are not noted.
func forgotten(m *sim, a Assignment, noted, held int) simMemory {
	m.hold(a, held)
	m.targets[a.Remote].known = false
	memory := newSimMemory()
	memory.anchors[a.Remote] = Start{Next: stream.Upstream(noted), Sequence: int32(noted), Down: BaseOf(stream.Downstream(noted))}
	return memory
}

// TestPipeForgottenProducer: nothing but the target's records tells how far a killed process had come.
func TestPipeForgottenProducer(t *testing.T) {
	for _, c := range []struct {
		name   string
		held   int
		change func(*simTarget)
		told   string
	}{
		{"stopped in order", 10000, nil, ""},
		{"killed", 50001, nil, ""},
		{"killed, then retention took some of it", 50000, func(s *simTarget) { s.start = 30000 }, "no longer has all"},
		{"killed, then retention took all of it", 50000, func(s *simTarget) { s.start = 50000 }, "no longer has all"},
		{"stopped, then retention took all of it", 10000, func(s *simTarget) { s.start = 10000 }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newSim(1)
				a := m.addPlain("orders", 0, 40)
				memory := forgotten(m, a, 10000, c.held)
				if c.change != nil {
					c.change(m.targets[a.Remote])
				}
				m.arrived(t, m.pipe(memory, NewBudget(8<<20)), a, m.logs[a.Source].want)
				if told := m.told(c.told); c.told != "" && len(told) != 1 || c.told == "" && len(told) > 0 {
					t.Errorf("told %q, want %q", told, c.told)
				}
				for _, ack := range m.acks[a.Remote] {
					for _, run := range ack.Runs {
						if int64(run.Up) != int64(run.Down) {
							t.Fatalf("source %d is at %d", run.Up, run.Down)
						}
					}
				}
			})
		})
	}
}

// TestPipeRemoteTopicThatIsEmpty: what was copied is gone and stays so; the rest arrives, and it is told.
func TestPipeRemoteTopicThatIsEmpty(t *testing.T) {
	for _, when := range []string{"while away", "while away, after a kill", "while running"} {
		t.Run(when, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newSim(1)
				a := m.addPlain("orders", 0, 40)
				target := m.targets[a.Remote]
				memory := forgotten(m, a, 10000, 10000)
				want := m.logs[a.Source].want[10000:]
				switch when {
				case "while away", "while away, after a kill":
					target.values = nil
				default:
					calls := 0
					m.before = func(int32, stream.Appending) error {
						if calls++; calls == 3 {
							want = m.logs[a.Source].want[len(target.values):]
							*target = simTarget{}
							return code(stream.CodeUnknownTopicOrPartition)
						}
						if calls > 3 && calls < 10 {
							return code(stream.CodeUnknownTopicOrPartition) // until it is there again
						}
						return nil
					}
				}
				done := func() bool {
					m.mu.Lock()
					defer m.mu.Unlock()
					return len(target.values) > 0 && target.values[len(target.values)-1] == want[len(want)-1]
				}
				runUntil(t, m.pipe(memory, NewBudget(8<<20)), []Assignment{a}, 5*time.Minute, done)
				if !equalValues(target.values, want) {
					t.Errorf("%d records, want %d", len(target.values), len(want))
				}
				if told := m.told("made anew"); len(told) != 1 {
					t.Errorf("told %q", told)
				}
				if told := m.told("held"); len(told) > 0 {
					t.Errorf("told %q", told)
				}
			})
		})
	}
}

// intrude has somebody else write to a remote partition.
func (s *simTarget) intrude(records int) {
	if s.foreign == nil {
		s.foreign = make(map[int64]bool)
	}
	for i := range records {
		s.foreign[int64(len(s.values))] = true
		s.values = append(s.values, fmt.Sprintf("foreign:%d", i))
	}
}

// TestPipeForeignWriter: somebody else has written to the remote partition. It is held until a restart, which goes on behind
// those records; nothing of ours is lost or repeated.
func TestPipeForeignWriter(t *testing.T) {
	for _, when := range []string{"while running", "while away", "after a kill", "while away, and the producer id is forgotten", "after a kill, and the producer id is forgotten"} {
		t.Run(when, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newSim(1)
				a := m.addPlain("orders", 0, 40)
				target := m.targets[a.Remote]
				held := 10000
				if strings.Contains(when, "kill") {
					held = 50000
				}
				memory := forgotten(m, a, 10000, held)
				target.known = !strings.Contains(when, "forgotten")
				if when == "while running" {
					calls := 0
					m.before = func(int32, stream.Appending) error {
						if calls++; calls == 4 {
							target.intrude(7)
						}
						return nil
					}
				} else {
					target.intrude(7)
				}
				run := func(until func() bool) {
					t.Helper()
					runUntil(t, m.pipe(memory, NewBudget(8<<20)), []Assignment{a}, 5*time.Minute, until)
				}
				start := time.Now()
				run(func() bool { return time.Since(start) > 3*time.Minute })
				told := m.told("somebody else")
				if len(told) != 1 || !strings.Contains(told[0], "halted") || !strings.Contains(told[0], "a producer without an id") {
					t.Errorf("told %q", told)
				}
				if m.complete() {
					t.Error("it was not held")
				}
				for remote, acks := range m.acks { // as the anchors are written
					last := acks[len(acks)-1]
					memory.anchors[remote] = Start{Next: last.Next, Sequence: last.NextSequence, Down: BaseOf(last.NextDown)}
				}
				total := len(m.logs[a.Source].want) + 7
				run(func() bool { m.mu.Lock(); defer m.mu.Unlock(); return len(target.values) >= total })
				var ours []string
				for o, v := range target.values {
					if !target.foreign[int64(o)] {
						ours = append(ours, v)
					}
				}
				if !equalValues(ours, m.logs[a.Source].want) {
					t.Errorf("%d records of ours, want %d", len(ours), len(m.logs[a.Source].want))
				}
				for _, ack := range m.acks[a.Remote] {
					for _, r := range ack.Runs {
						if got, want := target.values[r.Down], m.logs[a.Source].want[r.Up]; got != want {
							t.Fatalf("ack says that %s is at %d, there is %s", want, r.Down, got)
						}
					}
				}
			})
		})
	}
}

// TestPipeRetentionAmongHoles: the process was killed, and the source was compacted and its log start moved into what is to
// be passed over, or beyond.
func TestPipeRetentionAmongHoles(t *testing.T) {
	for seed := range dice(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newSim(seed)
				a := m.addPlain("orders", 0, 40)
				l := m.logs[a.Source]
				before, held := l.want, 10001+m.rand.IntN(40000)
				memory := forgotten(m, a, 10000, held)
				m.targets[a.Remote].known = true
				l.compact(a.Source.String(), int64(held+m.rand.IntN(10000)), func(int64) bool { return m.rand.IntN(3) == 0 })
				l.start = 10001 + m.rand.Int64N(int64(held))
				for l.batches[0].last < l.start {
					l.batches = l.batches[1:]
				}
				want := behind(before, held, l, max(int64(held), l.start))
				m.arrived(t, m.pipe(memory, NewBudget(8<<20)), a, want)
				if told := m.told("deleted by the source's retention"); len(told) > 0 && l.start <= 10000 || len(told) == 0 && l.start > int64(held) {
					t.Errorf("log start %d, held %d: told %q", l.start, held, told)
				}
			})
		})
	}
}

// TestPipeBothAreCompacted: the target's cleaner has been there as well, so it does not have all that was copied. What cannot be
// told apart from records that were never copied comes again; nothing is missing.
func TestPipeBothAreCompacted(t *testing.T) {
	for seed := range dice(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newSim(seed)
				a := m.addPlain("orders", 0, 40)
				l, target := m.logs[a.Source], m.targets[a.Remote]
				held := 20000 + m.rand.IntN(20000)
				memory := forgotten(m, a, 10000, held)
				target.known = m.rand.IntN(2) == 0
				target.compacted = make(map[int64]bool)
				for o := range int64(held) {
					target.compacted[o] = m.rand.IntN(2) == 0
				}
				l.compact(a.Source.String(), int64(held), func(int64) bool { return m.rand.IntN(2) == 0 })
				last := l.want[len(l.want)-1]
				runUntil(t, m.pipe(memory, NewBudget(8<<20)), []Assignment{a}, 5*time.Minute, func() bool {
					m.mu.Lock()
					defer m.mu.Unlock()
					return target.values[len(target.values)-1] == last
				})
				// The last coming of each record is behind that of the one before it.
				index := make(map[string]int)
				for i, v := range target.values {
					index[v] = i
				}
				previous := -1
				for i, o := range l.wantAt {
					at, ok := index[l.want[i]]
					if !ok || o >= int64(held) && at <= previous {
						t.Fatalf("record %d is at %d of the target (%v), the one before it at %d", o, at, ok, previous)
					}
					previous = at
				}
				if told := m.told("some records may come again"); len(told) != 1 {
					t.Errorf("told %q", told)
				}
			})
		})
	}
}
