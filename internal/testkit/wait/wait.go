// Package wait has tests wait for a condition instead of a time.
package wait

import (
	"testing"
	"time"
)

// Until asks at each interval until the condition holds. Where that takes longer than patience, the test ends with why it does not.
func Until(t testing.TB, patience, every time.Duration, what string, holds func() error) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		err := holds()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("wait for %s: %v", what, err)
		}
	}
}
