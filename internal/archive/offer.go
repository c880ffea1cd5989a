package archive

import (
	"slices"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/stream"
)

// Piece is a stretch of a source partition as a broker has served it.
type Piece struct {
	Source      stream.Partition
	Topic       stream.TopicID
	From, Next  stream.Upstream // all that the source has at From <= offset < Next
	LeaderEpoch int32           // of the batch before From, if a broker has checked it or it was read with them; -1 when unknown
	Batches     []byte          // whole batches, CRC checked, control batches and aborted ones too; the first may begin before From
	Aborted     []stream.AbortedTransaction
	Committed   bool // fetched with read_committed; Aborted is then the answer's list
}

// quiet is how long a partition may go without an offer before the archiver looks for itself.
const quiet = 10 * time.Second

// catchUp is how long a gap read waits for offers that come from behind.
const catchUp = 30 * time.Second

// held says that a gap read has to wait for offers. What replication is about to read as well is read once: a gap read goes no further than
// the offers, and waits at the start for the first of them. Where they do not catch up, as after the target was away, the archive goes on
// without them. a.mu is held.
func (a *Archiver) held(t *track, now time.Time) bool {
	if !a.cfg.Offers || now.Sub(t.offeredAt) >= quiet || t.at.next < t.offered {
		return false
	}
	if t.heldSince.IsZero() {
		t.heldSince = now
	}
	return now.Sub(t.heldSince) < catchUp
}

// Offer hands over what replication has fetched. It never waits; the bytes are copied. False says that they were not taken: the
// archiver will read them from the source. Safe for concurrent use.
func (a *Archiver) Offer(p Piece) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.tracks[p.Source]
	if t == nil || !t.placed || p.Topic != t.asked {
		return false
	}
	t.offered, t.offeredAt = p.Next, time.Now()
	if a.used+int64(len(p.Batches)) > a.offerLimit() {
		a.hurry(t)
		return false
	}
	switch f := a.take(t, p); f {
	case fits:
		t.pause, t.due, t.behind, t.heldSince = quiet, time.Now().Add(quiet), time.Time{}, time.Time{}
		t.hears(t.offeredAt)
		return true
	case stale:
		return false // replication comes from behind: nothing is missing
	default:
		a.hurry(t)
		return false
	}
}

// offerLimit leaves a quarter of the memory to gap reads, so that offers cannot starve them.
func (a *Archiver) offerLimit() int64 { return a.cfg.Memory - a.cfg.Memory/4 }

// Behind says that replication should not fetch now: with archive.on.failure=pause, while more than half of the memory waits for the
// store, or the store has not told yet where partitions go on. Without it, it is always false.
func (a *Archiver) Behind() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cfg.Pause && (a.used > a.cfg.Memory/2 || a.adopted == 0 || a.adopted != a.assigned)
}

// Event adds what happened at a time by the clock of this process: topics, configs, groups, runs. False says that no memory is free,
// or that it is too large: hand it over again later, as it is then. Safe for concurrent use.
func (a *Archiver) Event(at time.Time, body bundle.Body) bool {
	size := int64(len(body.String())) + eventCost
	a.mu.Lock()
	defer a.mu.Unlock()
	if size > largestEvent || a.used+size > a.offerLimit() {
		return false
	}
	a.push(&item{event: &bundle.Event{At: at, Body: body}, charge: size})
	a.noted(body)
	return true
}

// join appends to what waits, in memory that grows by halves, up to a limit: it is all counted.
func join(b, more []byte, limit int) []byte {
	if need := len(b) + len(more); need > cap(b) {
		b = append(make([]byte, 0, max(need, min(cap(b)+cap(b)/2, limit))), b...)
	}
	return append(b, more...)
}

// take queues what of a piece goes on behind the archive of its partition. a.mu is held.
func (a *Archiver) take(t *track, p Piece) fit {
	rest, after, f := follow(t.at, p)
	if f != fits {
		return f
	}
	from := t.at.next
	t.at = after
	if i := t.last; i != nil && len(i.batches)+len(rest) <= int(a.page()) && i.committed == p.Committed && len(p.Aborted) == 0 {
		before := cap(i.batches)
		i.batches = join(i.batches, rest, int(a.page()))
		i.next, i.epoch = after.next, after.epoch
		a.charge(i, int64(cap(i.batches)-before))
		return fits
	}
	i := &item{
		track: t, topic: t.topic, from: from, next: after.next, epoch: after.epoch, committed: p.Committed,
		batches: join(nil, rest, 0), aborted: slices.Clone(p.Aborted),
	}
	i.charge = int64(cap(i.batches)) + int64(len(i.aborted))*16 + eventCost
	a.push(i)
	t.last = i
	return fits
}
