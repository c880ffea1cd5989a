package replicate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/stream"
)

// TestQuarantineNamesTheRecord: one record in a large batch is refused. Those before it arrive, it is named with its offset, and when the
// target takes it, it and the rest follow without a restart.
func TestQuarantineNamesTheRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newSim(5)
		a, other := m.addPlain("orders", 0, 5), m.addPlain("other", 0, 5)
		l := m.logs[a.Source]
		target := m.targets[a.Remote]
		bad := l.want[1234]
		target.refused = map[string]error{bad: code(stream.CodeInvalidTimestamp)}
		pipe := m.pipe(newSimMemory(), NewBudget(8<<20))
		start := time.Now()
		runUntil(t, pipe, []Assignment{a, other}, 5*time.Minute, func() bool {
			if time.Since(start) < time.Minute {
				return false
			}
			m.mu.Lock()
			defer m.mu.Unlock()
			if target.refused != nil {
				if n := len(target.values); n != 1234 {
					t.Errorf("%d records before the refused one, want 1234", n)
				}
				if n := len(m.targets[other.Remote].values); n != len(m.logs[other.Source].want) {
					t.Errorf("the other partition stands at %d", n)
				}
				target.refused = nil
			}
			return len(target.values) == len(l.want)
		})
		m.compare(t)
		told := m.told("held")
		if len(told) != 1 || !strings.Contains(told[0], "quarantined") || !strings.Contains(told[0], "offset 1234 ") || !strings.Contains(told[0], "message.timestamp") {
			t.Errorf("told %q", told)
		}
	})
}

// TestSkipSetsRefusedRecordsAside: they are kept with their places, the rest arrives once and in order, also over a kill right
// after one was set aside.
func TestSkipSetsRefusedRecordsAside(t *testing.T) {
	for seed := range dice(10) {
		synctest.Test(t, func(t *testing.T) {
			m := newSim(seed)
			a := m.add("orders", 0, 60)
			l, target := m.logs[a.Source], m.targets[a.Remote]
			target.refused = make(map[string]error)
			var want []string
			for i, v := range l.want {
				if m.rand.IntN(len(l.want)) < 12 || i == 0 {
					target.refused[v] = code(stream.CodeInvalidRecord)
				} else {
					want = append(want, v)
				}
			}
			memory := newSimMemory()
			var aside []string
			for _, part := range []int{1, 2, 3} {
				p := m.pipe(memory, NewBudget(8<<20))
				p.setAside = func(_ context.Context, r Refused) error {
					m.mu.Lock()
					defer m.mu.Unlock()
					values := simValues(r.Batch)
					if len(values) != 1 || !strings.HasSuffix(values[0], ":"+offsetText(r.Offset)) {
						t.Errorf("set aside %v as offset %d", values, r.Offset)
					}
					if !slices.Contains(aside, values[0]) {
						aside = append(aside, values[0])
					}
					return nil
				}
				runUntil(t, p, []Assignment{a}, 10*time.Minute, func() bool {
					m.mu.Lock()
					defer m.mu.Unlock()
					return len(target.values)+len(aside) >= len(l.want)*part/3 && (part < 3 || len(target.values) >= len(want))
				})
			}
			if !slices.Equal(target.values, want) {
				t.Errorf("seed %d: %d records arrived, want %d", seed, len(target.values), len(want))
			}
			if len(aside) != len(target.refused) {
				t.Errorf("seed %d: %d records set aside, want %d", seed, len(aside), len(target.refused))
			}
		})
	}
}

// TestStates: what people see of a partition while it goes from its start to its end and into trouble.
func TestStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newSim(2)
		a := m.addPlain("orders", 0, 5)
		pipe := m.pipe(newSimMemory(), NewBudget(8<<20))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- pipe.Run(ctx) }()
		if err := pipe.Assign(ctx, []Assignment{a}); err != nil {
			t.Fatal(err)
		}
		becomes := func(want State, moves bool, reason string) {
			t.Helper()
			var s Standing
			for range 2000 {
				s = pipe.Standings(ctx)[0]
				if s.State == want && s.Moves == moves && strings.Contains(s.Reason, reason) {
					return
				}
				time.Sleep(50 * time.Millisecond)
			}
			t.Fatalf("is %+v, want %s, moves %v, because of %q", s, want, moves, reason)
		}
		becomes(Live, true, "")
		set := func(change func()) { m.mu.Lock(); change(); m.mu.Unlock() }
		set(func() { delete(m.leads, a.Remote) })
		set(func() { m.logs[a.Source].fill(m.rand, a.Source.String(), 3) })
		becomes(Stalled, false, "B")
		set(func() { m.leads[a.Remote] = 2 })
		becomes(Live, true, "")
		set(func() {
			m.targets[a.Remote].refuse = code(stream.CodeMessageTooLarge)
			m.logs[a.Source].fill(m.rand, a.Source.String(), 3)
		})
		becomes(Quarantined, false, "max.message.bytes")
		set(func() { m.targets[a.Remote].refuse = nil })
		becomes(Live, true, "")
		if s := pipe.Standings(ctx)[0]; s.Lag() != 0 || s.Behind != 0 {
			t.Errorf("live and still behind: %+v", s)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func offsetText(o stream.Upstream) string { return fmt.Sprint(int64(o)) }
