package offsetsync

import (
	"cmp"
	"maps"
	"slices"

	"tandem/internal/stream"
)

// maxInFlight is how many syncs may be unacknowledged at a time, as in MM2. What is due beyond them waits, and while it
// waits a newer sync of the same partition takes its place.
const maxInFlight = 10

// none stands where no offset has been seen.
const none = -1

// Writer decides which acknowledged records become offset syncs. A record's sync is due when
//
//   - it is the first of its partition in the life of this Writer,
//   - its downstream offset is offset.lag.max or more past the offset to which the last due sync translates,
//   - its upstream offset does not follow the record before (compaction, transaction markers, a rewind), or
//   - its downstream offset is lower than that of the record before (the remote topic was truncated or made anew).
//
// Of several records due in one Ack only the last gives a sync: the ones before would be replaced while they wait.
//
// A Writer is a value in memory without a lock; its owner serializes the calls.
type Writer struct {
	lag        int64
	partitions map[stream.Partition]*progress
	pending    map[stream.Partition]Sync
	queue      []stream.Partition // the keys of pending, in the order in which they became pending
	delayed    map[stream.Partition]Sync
	inFlight   int
}

// progress is what the next decision on a source partition needs.
type progress struct {
	prevUp       stream.Upstream
	prevDown     stream.Downstream
	lastSyncDown stream.Downstream // of the last due sync; none before the first
}

// NewWriter starts with nothing known. lagMax is offset.lag.max; 0, or less, makes every record due.
func NewWriter(lagMax int64) *Writer {
	return &Writer{
		lag:        max(lagMax, 0),
		partitions: map[stream.Partition]*progress{},
		pending:    map[stream.Partition]Sync{},
		delayed:    map[stream.Partition]Sync{},
	}
}

// Ack takes in records that the target has appended. Acks of one source partition come in order.
func (w *Writer) Ack(a stream.Ack) {
	p := w.partitions[a.Source]
	if p == nil {
		p = &progress{prevUp: none, prevDown: none, lastSyncDown: none}
		w.partitions[a.Source] = p
	}
	for _, r := range a.Runs {
		if r.Count <= 0 {
			continue
		}
		up, due := p.advance(r, w.lag)
		if due {
			w.enqueue(Sync{Source: a.Source, Up: up, Down: p.lastSyncDown})
		}
		if last := (Sync{Source: a.Source, Up: p.prevUp, Down: p.prevDown}); !due || up != last.Up {
			w.delayed[a.Source] = last
		}
	}
}

// advance moves over a run and says whether one of its records is due, and the upstream offset of the last such.
func (p *progress) advance(r stream.Run, lag int64) (up stream.Upstream, due bool) {
	// Only the first record of a run can follow a hole or go back, so it alone meets all four conditions.
	if p.lastSyncDown == none || int64(r.Down-p.lastSyncDown)-1 >= lag || r.Up-p.prevUp != 1 || r.Down < p.prevDown {
		p.lastSyncDown, up, due = r.Down, r.Up, true
	}
	p.prevUp = r.Up + stream.Upstream(r.Count) - 1
	p.prevDown = r.Down + stream.Downstream(r.Count) - 1

	// Within the run offsets are contiguous, so syncs fall due at every lag+1st record after the last one. The condition
	// keeps lag+1 from overflowing.
	if past := int64(p.prevDown - p.lastSyncDown); past-1 >= lag {
		p.lastSyncDown += stream.Downstream(past / (lag + 1) * (lag + 1))
		up, due = r.Up+stream.Upstream(p.lastSyncDown-r.Down), true
	}
	return up, due
}

// enqueue makes a sync pending, in place of an older one of its partition.
func (w *Writer) enqueue(s Sync) {
	delete(w.delayed, s.Source)
	if _, waiting := w.pending[s.Source]; !waiting {
		w.queue = append(w.queue, s.Source)
	}
	w.pending[s.Source] = s
}

// Promote makes the delayed syncs pending. MM2 does so whenever it flushes positions, and when it stops.
func (w *Writer) Promote() {
	for _, s := range inOrder(w.delayed) {
		w.enqueue(s)
	}
}

// inOrder lists syncs by topic and partition, so that what is emitted does not depend on the order of a map.
func inOrder(syncs map[stream.Partition]Sync) []Sync {
	list := slices.Collect(maps.Values(syncs))
	slices.SortFunc(list, func(a, b Sync) int {
		return cmp.Or(cmp.Compare(a.Source.Topic, b.Source.Topic), cmp.Compare(a.Source.Number, b.Source.Number))
	})
	return list
}

// Due takes pending syncs to be sent, at most limit of them and no more than may be in flight. Each one taken is in
// flight until Done is told of it.
func (w *Writer) Due(limit int) []Sync {
	n := min(limit, maxInFlight-w.inFlight, len(w.queue))
	if n <= 0 {
		return nil
	}
	taken := make([]Sync, n)
	for i, p := range w.queue[:n] {
		taken[i] = w.pending[p]
		delete(w.pending, p)
	}
	w.queue = slices.Delete(w.queue, 0, n)
	w.inFlight += n
	return taken
}

// Done says that n syncs in flight were appended, or failed: a failed sync is not sent again, for a newer one will come.
func (w *Writer) Done(n int) { w.inFlight = max(w.inFlight-n, 0) }

// Forget drops a source partition that is no longer ours, with what was to be sent of it: a sync emitted after another
// process has gone on would look like a rewind to every reader. To leave without loss, Promote and send what is Due
// before.
func (w *Writer) Forget(p stream.Partition) {
	delete(w.partitions, p)
	delete(w.delayed, p)
	if _, waiting := w.pending[p]; waiting {
		delete(w.pending, p)
		w.queue = slices.DeleteFunc(w.queue, func(q stream.Partition) bool { return q == p })
	}
}
