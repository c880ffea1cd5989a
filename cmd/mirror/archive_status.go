package main

import (
	"context"
	"maps"
	"time"

	"tandem/internal/archive"
	"tandem/internal/archive/store"
	"tandem/internal/kafka"
	"tandem/internal/status"
)

// Archives tells of all flows that archive.
func (b *board) Archives(ctx context.Context) (all []status.Archive) {
	archives := b.archives()
	for _, a := range archives {
		a.alive.want()
	}
	waited, cancel := context.WithTimeout(ctx, probeWithin) // for all together: the flows are to be asked, too
	defer cancel()
	for _, a := range archives {
		s, began := a.standing()
		one := status.Archive{Flow: a.conf().Flow.String(), State: archiveGoesOn, Age: age(s).Seconds(), Behind: s.Behind, Durable: durable(s, began), Restorable: a.looks.restorable()}
		since, unreachable := a.alive.state(waited)
		switch {
		case a.failed.Load():
			one.State, one.Reason = archiveFailed, a.why()
		case unreachable != nil:
			one.State, one.Reason, one.Since = archiveUnreachable, kafka.Explain(unreachable), since
		case !began:
			one.State = archiveWaiting
		}
		all = append(all, one)
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
