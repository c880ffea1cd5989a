package archive

import (
	"testing"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/stream"
)

// The partitions have no leader for two minutes, while replication has nothing either: the archive waits, asks seldom, takes it for no
// gap, and goes on where it was.
func TestNoLeaderForTwoMinutes(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		p := boot(t, w.cfg, w.src, w.shelf)
		w.add(20, 100)
		pass(time.Minute)
		fail := func(err error) {
			w.src.mu.Lock()
			defer w.src.mu.Unlock()
			w.src.fail = err
		}
		fail(&stream.BrokerError{Code: stream.CodeNotLeaderOrFollower, Name: "NOT_LEADER_OR_FOLLOWER"})
		w.add(20, 100)
		before := w.src.count()
		pass(2 * time.Minute)
		if n := w.src.count() - before; n > 1000 {
			t.Errorf("%d reads in two minutes without a leader", n)
		}
		fail(nil)
		w.add(20, 100)
		pass(2 * time.Minute)
		w.finish(p) // compares with the source, record by record
		if _, footers := w.shelf.read(t); len(gapsIn(footers)) > 0 {
			t.Errorf("gaps: %v", gapsIn(footers))
		}
	})
}

func gapsIn(footers []bundle.Footer) (all []bundle.Event) {
	for _, f := range footers {
		for _, e := range f.Events {
			if e.Kind() == bundle.KindGap || e.Kind() == bundle.KindTruncated {
				all = append(all, e)
			}
		}
	}
	return all
}
