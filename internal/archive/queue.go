package archive

import (
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/stream"
)

const (
	chunkBytes   = 4 << 20 // chunks are made of the pieces of a partition up to this
	eventCost    = 256     // what an item costs beside its bytes
	largestEvent = 4 << 20
	mostItems    = 50_000 // in one bundle: its footer has a limit
)

// item is one thing that waits to be archived, in the order in which it came: batches of a partition, an event, or only a place.
type item struct {
	track      *track // nil of an event that concerns no partition
	topic      bundle.Topic
	from, next stream.Upstream
	epoch      int32
	batches    []byte
	aborted    []stream.AbortedTransaction
	committed  bool

	event *bundle.Event
	fresh bool // what was archived before says nothing of the transactions open at next
	first bool // it cannot stand in one bundle with what came before it

	charge int64 // bytes of memory that are counted for it
	since  time.Time
}

// queue holds what waits, and counts the memory.
type queue struct {
	items   []*item
	used    int64 // of all that waits and is on its way, and of the pages being read
	waiting int64 // of used, by what waits
}

func (q *queue) add(i *item) {
	q.items = append(q.items, i)
	q.used += i.charge
	q.waiting += i.charge
}

// cut takes from the front what one bundle is to have: up to so many bytes, at least one item.
func (q *queue) cut(bytes int64) (out []*item, charge int64) {
	n := 0
	for _, i := range q.items {
		if n > 0 && (charge+i.charge > bytes || i.first || n == mostItems) {
			break
		}
		charge += i.charge
		n++
	}
	out = append(out, q.items[:n]...)
	clear(q.items[:n])
	q.items = append(q.items[:0], q.items[n:]...)
	q.waiting -= charge
	return out, charge
}

// drop gives up what waits of one life of a partition.
func (q *queue) drop(p stream.Partition, life bundle.Topic) {
	kept := q.items[:0]
	for _, i := range q.items {
		if i.track != nil && i.track.source == p && i.topic == life {
			q.used -= i.charge
			q.waiting -= i.charge
			continue
		}
		kept = append(kept, i)
	}
	clear(q.items[len(kept):])
	q.items = kept
}

// push queues an item. a.mu is held.
func (a *Archiver) push(i *item) {
	i.since = time.Now()
	a.add(i)
	if len(a.items) == 1 || a.waiting >= a.flushBytes() {
		wake(a.flushWake)
	}
}

// charge counts more memory for an item that waits. a.mu is held.
func (a *Archiver) charge(i *item, bytes int64) {
	i.charge += bytes
	a.used += bytes
	a.waiting += bytes
	if a.waiting >= a.flushBytes() {
		wake(a.flushWake)
	}
}
