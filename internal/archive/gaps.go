package archive

import (
	"context"
	"fmt"
	"sync"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/stream"
)

const (
	readers   = 4       // partitions that are read at a time
	pageBytes = 1 << 20 // read at a time, and joined of smaller pieces; less where the memory is small

	firstLook = time.Second // after a read that brought nothing, doubled up to lastLook
	lastLook  = 5 * time.Minute
)

func (a *Archiver) page() int64 { return min(pageBytes, a.cfg.Memory/16) }

// hurry makes a gap read due. a.mu is held.
func (a *Archiver) hurry(t *track) {
	t.pause = 0
	t.due = time.Now()
	if t.behind.IsZero() {
		t.behind = t.due
	}
	wake(a.gapWake)
}

// gapLoop reads the partitions that are due.
func (a *Archiver) gapLoop(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	slots := make(chan struct{}, readers)
	for {
		select {
		case <-ctx.Done():
			return nil
		case slots <- struct{}{}:
		}
		t, left := a.nextDue()
		if t == nil {
			<-slots
			if !pause(ctx, left, a.gapWake) {
				return nil
			}
			continue
		}
		all.Go(func() {
			asked := time.Now()
			more, err := a.read(ctx, t)
			a.looked(ctx, t, asked, more, err)
			<-slots
			wake(a.gapWake)
		})
	}
}

// nextDue takes the partition that is due for longest, and memory for a page of it; or says when to look again.
func (a *Archiver) nextDue() (t *track, left time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.used > 0 && a.used+a.page() > a.cfg.Memory {
		return nil, lastLook // the next bundle frees some, and wakes the loop
	}
	now := time.Now()
	for _, other := range a.tracks {
		if !other.busy && !other.due.After(now) && other.placed && a.held(other, now) {
			other.due = now.Add(firstLook)
		}
		if !other.busy && (t == nil || other.due.Before(t.due)) {
			t = other
		}
	}
	if t == nil {
		return nil, lastLook
	}
	if left := t.due.Sub(now); left > 0 {
		return nil, left
	}
	t.busy = true
	a.used += a.page()
	return t, 0
}

// looked notes how a read went that was asked for at a time.
func (a *Archiver) looked(ctx context.Context, t *track, asked time.Time, more bool, err error) {
	a.mu.Lock()
	a.used -= a.page()
	t.busy = false
	told := t.silent
	if t.silent = err != nil; !t.silent {
		t.hears(asked)
	}
	if more {
		t.pause = 0
		t.due = time.Now()
	} else {
		t.pause = min(max(2*t.pause, firstLook), lastLook)
		t.due = time.Now().Add(t.pause)
		if err == nil {
			t.behind, t.empty = time.Time{}, t.end
		}
	}
	a.mu.Unlock()
	if err != nil && !told && ctx.Err() == nil {
		a.report(stream.Warn, "a partition cannot be read for the archive; trying again", stream.F("partition", t.source), stream.F("error", err))
	}
}

// read reads one page of a partition, from where its archive ends. more says that the next one is worth asking for at once.
func (a *Archiver) read(ctx context.Context, t *track) (more bool, err error) {
	a.mu.Lock()
	placed, at := t.placed, t.at
	a.mu.Unlock()
	if !placed {
		return a.begin(ctx, t)
	}
	f, err := a.fetch(ctx, t, at, a.page())
	if code, ok := stream.CodeOf(err); ok && code == stream.CodeOffsetOutOfRange {
		return a.outOfRange(ctx, t, at)
	}
	if err != nil {
		return false, err
	}
	if f.Diverged != nil {
		return a.diverged(t, at, *f.Diverged), nil
	}
	batches, next, err := frame(f.Records, at.next)
	if err != nil {
		return false, fmt.Errorf("read %s at %d: %w", t.source, at.next, err)
	}
	if next == at.next {
		return false, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tracks[t.source] != t {
		return false, nil
	}
	switch a.take(t, Piece{
		Source: t.source, Topic: t.asked, From: at.next, Next: next, LeaderEpoch: at.epoch,
		Batches: batches, Aborted: f.Aborted, Committed: a.cfg.Committed,
	}) {
	case fits, stale:
		return true, nil
	default:
		if t.at != at {
			return true, nil // offers were taken meanwhile
		}
		return false, fmt.Errorf("read %s at %d: leader epochs go back from %d", t.source, at.next, at.epoch)
	}
}

func (a *Archiver) fetch(ctx context.Context, t *track, at place, bytes int64) (stream.Fetched, error) {
	f, err := a.src.Read(ctx, stream.Place{
		Partition: t.source, Topic: t.asked, Offset: at.next, Epoch: -1, LastEpoch: at.epoch, MaxBytes: int32(bytes),
	}, a.cfg.Committed)
	if err == nil {
		err = f.Err
	}
	if err != nil {
		return f, fmt.Errorf("read %s at %d: %w", t.source, at.next, err)
	}
	return f, nil
}

// begin finds the place of a partition of a topic of which nothing is archived.
func (a *Archiver) begin(ctx context.Context, t *track) (bool, error) {
	when := stream.Earliest
	if a.cfg.FromNow {
		when = stream.Latest
	}
	at, err := a.offset(ctx, t, when)
	if err != nil {
		return false, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tracks[t.source] == t && !t.placed {
		a.move(t, place{next: at, epoch: -1}, nil)
	}
	return true, nil
}

func (a *Archiver) offset(ctx context.Context, t *track, when int64) (stream.Upstream, error) {
	found, failed, err := a.src.Offsets(ctx, []stream.Partition{t.source}, when)
	if err == nil {
		err = failed[t.source]
	}
	at, ok := found[t.source]
	if err == nil && !ok {
		err = fmt.Errorf("no answer")
	}
	if err != nil {
		return 0, fmt.Errorf("read offsets of %s: %w", t.source, err)
	}
	return stream.Upstream(at), nil
}

// outOfRange finds out what became of a place that the source does not have: its retention has overtaken the archive, or its log
// has lost its end.
func (a *Archiver) outOfRange(ctx context.Context, t *track, at place) (bool, error) {
	start, err := a.offset(ctx, t, stream.Earliest)
	if err != nil {
		return false, err
	}
	end, err := a.offset(ctx, t, stream.Latest)
	if err != nil {
		return false, err
	}
	to := place{next: min(start, end), epoch: -1}
	var body bundle.Body
	switch truncated := (bundle.Truncated{Topic: t.topic, Partition: t.source.Number, LeaderEpoch: -1, From: at.next}); {
	case start > at.next:
		body = bundle.Gap{
			Topic: t.topic, Partition: t.source.Number, From: at.next, To: start, Reason: "deleted by the source before it was archived",
		}
	case end < at.next:
		to.next, truncated.To = end, end
		body = truncated
	default:
		// The log is there. If it is refused once more, the broker knows of no leader epoch as old as ours: whatever it has was
		// written after it, also what it has below our place.
		_, err := a.fetch(ctx, t, at, a.page())
		if code, ok := stream.CodeOf(err); !ok || code != stream.CodeOffsetOutOfRange {
			return err == nil, err
		}
		if truncated.To = start; start < at.next {
			body = truncated
		}
	}
	// Offsets are asked for by name. If the topic was made anew meanwhile they are another one's, and this read fails.
	if _, err := a.fetch(ctx, t, to, a.page()); err != nil {
		return false, err
	}
	return a.lost(t, at, to, body), nil
}

// diverged goes back to where the source's log parts from what is archived.
func (a *Archiver) diverged(t *track, at place, end stream.EpochEnd) bool {
	to := place{next: max(min(end.End, at.next), 0), epoch: end.Epoch}
	return a.lost(t, at, to, bundle.Truncated{
		Topic: t.topic, Partition: t.source.Number, LeaderEpoch: end.Epoch, From: at.next, To: to.next,
	})
}

// lost moves a partition to where its source goes on, and says so for all time.
func (a *Archiver) lost(t *track, at, to place, body bundle.Body) bool {
	a.mu.Lock()
	if a.tracks[t.source] != t || t.at != at {
		a.mu.Unlock()
		return true // the offers know better
	}
	a.move(t, to, body)
	if body != nil {
		a.gaps++
	}
	a.mu.Unlock()
	if body != nil {
		a.report(stream.Error, "the source no longer has what the archive was to read next", stream.F("partition", t.source),
			stream.F("event", body.String()))
	}
	return true
}

// move sets where the archive of a partition goes on, other than behind what it has; body is why, nil at its beginning. a.mu is held.
func (a *Archiver) move(t *track, to place, body bundle.Body) {
	i := &item{track: t, topic: t.topic, from: to.next, next: to.next, epoch: to.epoch, charge: eventCost, fresh: true}
	if body != nil {
		i.event = &bundle.Event{At: time.Now(), Body: body}
	}
	// In a footer chunks and events have no common order: behind a truncation offsets come again, so it begins a bundle.
	_, i.first = body.(bundle.Truncated)
	a.push(i)
	t.placed, t.at, t.last = true, to, nil
}

// happened queues an event of the archiver's own. a.mu is held.
func (a *Archiver) happened(at time.Time, body bundle.Body) {
	a.push(&item{event: &bundle.Event{At: at, Body: body}, charge: eventCost})
}
