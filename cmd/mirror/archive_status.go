package main

import (
	"maps"
	"time"

	"tandem/internal/archive"
	"tandem/internal/archive/store"
	"tandem/internal/metrics"
	"tandem/internal/status"
)

// archives are the archives of the process, in the order of the file.
func (b *board) archives() (all []*archiving) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.flows {
		if a := b.teed[f]; a != nil {
			all = append(all, a)
		}
	}
	return all
}

// Archives implements status.Source.
func (b *board) Archives() (all []status.Archive) {
	for _, a := range b.archives() {
		s, began := a.standing()
		state := "archiving"
		switch {
		case a.failed.Load():
			state = "failed"
		case !began:
			state = "waiting"
		}
		all = append(all, status.Archive{Flow: a.conf().Flow.String(), State: state, Age: age(s).Seconds(), Behind: s.Behind})
	}
	return all
}

// shownKinds are kinds of errors that are shown with 0 too, so that a rate has a beginning.
var shownKinds = []store.Kind{store.Transient, store.Throttled, store.AccessDenied, store.Settings, store.Full, store.Other}

func (b *board) archiveFigures() (all []metrics.Archive) {
	for _, a := range b.archives() {
		s, began := a.standing()
		m := metrics.Archive{
			Flow: a.conf().Flow.String(), Up: began && !a.failed.Load(), Age: age(s), Behind: s.Behind,
			Bundles: s.Bundles, Bytes: s.Bytes, Gaps: s.Gaps, Memory: s.Memory, Errors: make(map[string]int64),
		}
		for _, kind := range shownKinds {
			m.Errors[kind.String()] = 0
		}
		for kind, n := range s.Errors {
			m.Errors[kind.String()] += n
		}
		all = append(all, m)
	}
	return all
}

// standing is that of the writer, with the errors that the store itself has tried again after.
func (a *archiving) standing() (s archive.Standing, began bool) {
	w := a.writer.Load()
	a.mu.Lock()
	defer a.mu.Unlock()
	if s = a.last; w != nil {
		s, began = w.Standing()
	}
	if s.Errors = maps.Clone(s.Errors); s.Errors == nil {
		s.Errors = make(map[store.Kind]int64)
	}
	for kind, n := range a.errors {
		s.Errors[kind] += n
	}
	return s, began
}

func age(s archive.Standing) time.Duration {
	if s.Oldest.IsZero() {
		return 0
	}
	return time.Since(s.Oldest)
}
