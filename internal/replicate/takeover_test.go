package replicate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/stream"
)

// Taking over from MM2, and from a process of our own that is not dead.

// copied has MM2 write records of the source to the target.
func (m *sim) copied(a Assignment, from, to int) {
	target := m.targets[a.Remote]
	if target.foreign == nil {
		target.foreign = make(map[int64]bool)
	}
	for _, v := range m.logs[a.Source].want[from:to] {
		target.foreign[int64(len(target.values))] = true
		target.values = append(target.values, v)
	}
}

// TestPipeTakesOverFromMM2: MM2 was killed, its last position is older than what it had copied. The target's last records
// tell where to go on.
func TestPipeTakesOverFromMM2(t *testing.T) {
	type stretch struct{ from, to int }
	for _, c := range []struct {
		name     string
		position int // of the last record that was noted
		copied   []stretch
		next     int // that has to come
		told     string
	}{
		{"stopped in order", 9999, []stretch{{0, 10000}}, 10000, ""},
		{"killed before it noted anything", -1, []stretch{{0, 7000}}, 7000, "behind what MM2 has copied"},
		{"killed at once", 0, []stretch{{0, 300}}, 300, "behind what MM2 has copied"},
		{"killed", 9999, []stretch{{0, 23456}}, 23456, "behind what MM2 has copied"},
		{"killed twice, and repeated what it had not noted", 9999, []stretch{{0, 15000}, {10000, 12000}}, 12000, "behind what MM2 has copied"},
		{"killed again just after it had repeated some", 9999, []stretch{{0, 15000}, {10000, 10007}}, 10007, "behind what MM2 has copied"},
		{"its records are not the source's", 9999, []stretch{{50000, 51000}}, 10000, "goes on at 10000: the last 1000 records"},
		{"nothing is left of them", 9999, nil, 10000, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newSim(1)
				a := m.addPlain("orders", 0, 20)
				memory := newSimMemory()
				if c.position >= 0 {
					memory.positions[a.Source] = stream.Upstream(c.position)
				}
				for _, s := range c.copied {
					if s.from == 50000 { // of another history
						m.targets[a.Remote].intrude(1000)
						continue
					}
					m.copied(a, s.from, s.to)
				}
				want := append(append([]string(nil), m.targets[a.Remote].values...), m.logs[a.Source].want[c.next:]...)
				m.arrived(t, m.pipe(memory, NewBudget(8<<20)), a, want)
				if told := m.told("orders/0 goes on"); c.told == "" && len(told) > 0 || c.told != "" && (len(told) != 1 || !strings.Contains(told[0], c.told)) {
					t.Errorf("told %q, want %q", told, c.told)
				}
			})
		})
	}
}

// TestPipeAfterMM2RanOnceMore: Tandem ran, then MM2, then Tandem again. The anchor is older than what MM2 has copied.
func TestPipeAfterMM2RanOnceMore(t *testing.T) {
	for _, c := range []struct {
		name     string
		known    bool // the producer id
		position int
		to       int
	}{
		{"MM2 stopped in order", true, 23000 - 1, 23000},
		{"MM2 was killed", true, 15000 - 1, 23000},
		{"MM2 was killed before it noted anything", true, 10000 - 1, 23000},
		{"and was killed soon", true, 10000 - 1, 10300},
		{"MM2 stopped in order a week later", false, 23000 - 1, 23000},
		{"MM2 was killed a week later", false, 15000 - 1, 23000},
		{"MM2 was killed a week later before it noted anything", false, 10000 - 1, 23000},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newSim(1)
				a := m.addPlain("orders", 0, 20)
				memory := forgotten(m, a, 10000, 10000)
				m.targets[a.Remote].known = c.known
				memory.positions[a.Source] = stream.Upstream(c.position)
				m.copied(a, 10000, c.to)
				m.arrived(t, m.pipe(memory, NewBudget(8<<20)), a, m.logs[a.Source].want)
				if told := m.told("held"); len(told) > 0 {
					t.Errorf("told %q", told)
				}
			})
		})
	}
}

// TestLocator: against every place tried one by one, on sequences of few different records.
func TestLocator(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		source, tail := make([]uint64, r.IntN(60)), make([]uint64, 1+r.IntN(12))
		for _, list := range [][]uint64{source, tail} {
			for i := range list {
				list[i] = r.Uint64N(3)
			}
		}
		if len(source) > 20 && r.IntN(2) == 0 {
			at := r.IntN(len(source) - len(tail))
			copy(tail, source[at:at+len(tail)])
		}
		best, after := 0, int64(-1)
		for end := 1; end <= len(source); end++ {
			n := 0
			for n < end && n < len(tail) && source[end-1-n] == tail[len(tail)-1-n] {
				n++
			}
			if n > best {
				best, after = n, int64(end-1)
			}
			if best == len(tail) {
				break
			}
		}
		l := newLocator(tail)
		for i, digest := range source {
			if l.add(mark{int64(i), digest}) {
				break
			}
		}
		if l.best != best || l.after != after {
			t.Fatalf("seed %d: source %v, tail %v: %d records up to %d, want %d up to %d", seed, source, tail, l.best, l.after, best, after)
		}
	}
}

// TestPipeTwoProcesses: a process that stood still for a while wakes up when another has taken over. Both send, and each
// record is there once.
func TestPipeTwoProcesses(t *testing.T) {
	for seed := range dice(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newSim(seed)
				var list []Assignment
				for i := range int32(3) {
					list = append(list, m.add("orders", i, 400))
				}
				m.faults = 30
				m.lag.Store(int64(time.Duration(m.rand.IntN(50)) * time.Millisecond))
				memory := &liveMemory{simMemory: newSimMemory(), sim: m}
				takesOverAfter := time.Duration(m.rand.Int64N(int64(2 * time.Second)))
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error)
				old := m.pipe(memory, NewBudget(8<<20))
				go func() { ended <- old.Run(ctx) }()
				if err := old.Assign(ctx, list); err != nil {
					t.Fatal(err)
				}
				time.Sleep(takesOverAfter)
				next := m.pipe(memory, NewBudget(8<<20))
				runUntil(t, next, list, 60*time.Minute, m.complete)
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
				m.late.Wait()
				for source, l := range m.logs {
					remote := stream.Partition{Topic: "A." + source.Topic, Number: source.Number}
					if !equalValues(m.targets[remote].values, l.want) {
						t.Errorf("%s: %d records, want %d", remote, len(m.targets[remote].values), len(l.want))
					}
				}
				if told := m.told("held"); len(told) > 0 {
					t.Errorf("told %q", told)
				}
			})
		})
	}
}
