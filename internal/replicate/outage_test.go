package replicate

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/stream"
)

// TestPipeTellsAnOutageOnce however many partitions it stops and however long it lasts, and tells its end.
func TestPipeTellsAnOutageOnce(t *testing.T) {
	for _, c := range []struct {
		name, told string
		begin, end func(m *sim)
	}{
		{"no replicas", "cannot be written",
			func(m *sim) {
				m.before = func(int32, stream.Appending) error { return code(stream.CodeNotEnoughReplicas) }
			},
			func(m *sim) { m.before = nil }},
		{"nobody answers where partitions stand", "cannot start yet",
			func(m *sim) { m.silent = fmt.Errorf("describe producers: %w", code(stream.CodeLeaderNotAvailable)) },
			func(m *sim) { m.silent = nil }},
		{"source away", "cannot be read",
			func(m *sim) { m.reading = func(stream.Place) error { return code(stream.CodeKafkaStorageError) } },
			func(m *sim) { m.reading = nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newSim(1)
				var list []Assignment
				for i := range int32(200) {
					list = append(list, m.addPlain("orders", i, int(i%2))) // every other one is empty
				}
				c.begin(m)
				start := time.Now()
				runUntil(t, m.pipe(newSimMemory(), NewBudget(8<<20)), list, 5*time.Minute, func() bool {
					m.mu.Lock()
					defer m.mu.Unlock()
					if time.Since(start) > time.Minute {
						c.end(m)
					}
					return time.Since(start) > 3*time.Minute
				})
				if told := m.told(c.told + ", trying again"); len(told) != 1 {
					t.Errorf("told %d times: %q", len(told), told[:min(len(told), 3)])
				}
				if told := m.told("no partition waits any more that " + c.told); len(told) != 1 {
					t.Errorf("its end was told %d times", len(told))
				}
				if len(m.events) > 4 {
					t.Errorf("%d events", len(m.events))
				}
				m.compare(t)
			})
		})
	}
}
