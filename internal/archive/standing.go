package archive

import (
	"maps"
	"time"

	"tandem/internal/archive/store"
)

// Standing is how an Archiver gets on; numbers count from its start.
type Standing struct {
	Oldest  time.Time // since when what is not durable has waited for longest; zero: all that is known of is durable
	Heard   time.Time // as of when the source has told last what it has, of all partitions; zero: there are none
	Behind  int       // partitions that are read from the source, since it has more than was taken
	Memory  int64     // bytes in use, of Config.Memory
	Bundles int64     // stored
	Bytes   int64     // of them
	Gaps    int64     // places where the source no longer had what was to be archived next
	Errors  map[store.Kind]int64
}

// counts are what is counted for a Standing.
type counts struct {
	bundles, bytes, gaps int64
	errors               map[store.Kind]int64 // after which it was tried again
	flying               time.Time            // since when the oldest thing has waited that is on its way to the store
}

// deaf is from when on it counts as waiting that a source does not tell what it has. While it answers it is asked several times.
const deaf = 30 * time.Second

// Standing tells how the archive gets on, and whether it has begun: whether the store has told where it goes on.
func (a *Archiver) Standing() (s Standing, began bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s = Standing{Memory: a.used, Bundles: a.bundles, Bytes: a.bytes, Gaps: a.gaps, Errors: maps.Clone(a.errors)}
	oldest := func(t time.Time) {
		if !t.IsZero() && (s.Oldest.IsZero() || t.Before(s.Oldest)) {
			s.Oldest = t
		}
	}
	if a.adopted == 0 {
		oldest(a.made)
	}
	oldest(a.flying)
	if len(a.items) > 0 {
		oldest(a.items[0].since)
	}
	for _, t := range a.tracks {
		if oldest(t.behind); !t.behind.IsZero() {
			s.Behind++
		}
		if s.Heard.IsZero() || t.heard.Before(s.Heard) {
			s.Heard = t.heard
		}
	}
	if time.Since(s.Heard) >= deaf { // what the source got since may wait as well, if it is still there
		oldest(s.Heard)
	}
	return s, a.adopted > 0
}

// Placed says that all partitions that were assigned are begun with, at a place that is known: from here on offers are taken.
func (a *Archiver) Placed() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.adopted == 0 || a.adopted != a.assigned {
		return false
	}
	for _, t := range a.tracks {
		if !t.placed {
			return false
		}
	}
	return true
}
