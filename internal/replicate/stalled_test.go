package replicate

import (
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/stream"
)

// TestPipeStalledPartitionsLeaveRoom: forty partitions that the target does not take, with far more to send than the budget
// has, and one that it takes.
func TestPipeStalledPartitionsLeaveRoom(t *testing.T) {
	for _, c := range []struct {
		name  string
		stall func(m *sim, bad []Assignment)
		limit time.Duration
	}{
		{"no replicas", func(m *sim, _ []Assignment) {
			m.before = func(broker int32, _ stream.Appending) error {
				if broker == 2 {
					return code(stream.CodeNotEnoughReplicas)
				}
				return nil
			}
		}, 20 * time.Second},
		{"no replicas after a while", func(m *sim, _ []Assignment) {
			calls := 0
			m.before = func(broker int32, _ stream.Appending) error {
				if broker == 2 {
					if calls++; calls > 100 {
						return code(stream.CodeNotEnoughReplicas)
					}
				}
				return nil
			}
		}, 20 * time.Second},
		{"no leader", func(m *sim, bad []Assignment) {
			for _, a := range bad {
				delete(m.leads, a.Remote)
			}
		}, 20 * time.Second},
		{"broker hangs", func(m *sim, _ []Assignment) { m.hung.Store(2) }, 60 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newSim(1)
				var bad []Assignment
				for i := range int32(40) {
					a := m.addPlain("bad", i, 20)
					m.leads[a.Remote] = 2
					bad = append(bad, a)
				}
				good := m.addPlain("good", 0, 150)
				c.stall(m, bad)
				budget := NewBudget(8 << 20)
				runUntil(t, m.pipe(newSimMemory(), budget), append(bad, good), c.limit, func() bool {
					m.mu.Lock()
					defer m.mu.Unlock()
					return len(m.targets[good.Remote].values) == len(m.logs[good.Source].want)
				})
				if used := budget.InUse(); used != 0 {
					t.Errorf("%d bytes of the budget were not given back", used)
				}
			})
		})
	}
}
