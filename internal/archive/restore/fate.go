package restore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"sync"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	"tandem/internal/batch"
	"tandem/internal/stream"
)

// fate is what became of a transaction as of the cut.
type fate int8

const (
	committed fate = iota
	aborted
	undecided // nobody had seen its end at the cut
)

// ended is an aborted transaction: records of its producer from first up to end, where its marker stands.
type ended struct{ first, end stream.Upstream }

// mark is a transaction marker.
type mark struct {
	producer int64
	at       stream.Upstream
	abort    bool
	time     int64
}

// fates are what is known of the transactions of a partition.
type fates struct {
	aborted map[int64][]ended // by producer, by first offset

	mu    sync.Mutex
	marks map[int][]mark // of spans that were read for them
	ended bool           // open is known
	open  map[int64]stream.Upstream
}

// marksKept is how many spans' markers are kept: those that are read again are the last ones.
const marksKept = 64

func newFates(part catalog.Part) *fates {
	type transaction struct {
		producer int64
		first    stream.Upstream
	}
	markers := make(map[transaction]stream.Upstream)
	firsts := make(map[int64][]stream.Upstream) // where transactions of a producer begin, as far as entries tell
	for _, s := range part.Stretches {
		for _, t := range s.Entry.Open {
			firsts[t.ProducerID] = append(firsts[t.ProducerID], t.First)
		}
		for _, a := range s.Entry.Aborted {
			// What a chunk says of offsets that are not read from it is of another branch of the log, or said by another chunk too.
			if a.Marker >= 0 && (a.Marker < s.From || a.Marker >= s.To) || a.Marker < 0 && a.First >= s.To {
				continue
			}
			key := transaction{a.ProducerID, a.First}
			if known, ok := markers[key]; !ok || known < 0 {
				markers[key] = a.Marker
			}
			firsts[a.ProducerID] = append(firsts[a.ProducerID], a.First)
		}
	}
	f := &fates{aborted: make(map[int64][]ended), marks: make(map[int][]mark)}
	for key, marker := range markers {
		if marker < 0 { // it lasts until another one of the producer begins
			marker = math.MaxInt64
			for _, first := range firsts[key.producer] {
				if first > key.first {
					marker = min(marker, first)
				}
			}
		}
		f.aborted[key.producer] = append(f.aborted[key.producer], ended{key.first, marker})
	}
	for _, list := range f.aborted {
		slices.SortFunc(list, func(a, b ended) int { return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.end, b.end)) })
	}
	return f
}

// end says where the aborted transaction ends that has the offset.
func (f *fates) end(producer int64, at stream.Upstream) (stream.Upstream, bool) {
	list := f.aborted[producer]
	for i := sort.Search(len(list), func(i int) bool { return list[i].first > at }) - 1; i >= 0; i-- {
		if at < list[i].end {
			return list[i].end, true
		}
	}
	return 0, false
}

// fate is that of a transactional batch of span i. raw is the span's chunk, which is at hand.
func (l *Log) fate(ctx context.Context, i int, producer int64, at stream.Upstream, raw []byte) (fate, error) {
	if end, ok := l.fates.end(producer, at); ok {
		if end >= l.cut.End && end != math.MaxInt64 {
			return undecided, nil
		}
		return aborted, nil
	}
	if l.cut.Until == Never {
		if l.spans[i].Entry.Committed {
			return committed, nil
		}
		return l.fateAtEnd(ctx, producer, at)
	}
	m, found, err := l.markerBehind(ctx, i, producer, at, raw)
	switch {
	case err != nil:
		return 0, err
	case !found:
		return l.fateAtEnd(ctx, producer, at)
	case m.abort:
		return aborted, nil
	case m.time > l.cut.Until:
		return undecided, nil
	}
	return committed, nil
}

// fateAtEnd is that of a transaction of which no marker has been seen.
func (l *Log) fateAtEnd(ctx context.Context, producer int64, at stream.Upstream) (fate, error) {
	open, err := l.openAtEnd(ctx)
	if first, ok := open[producer]; ok && first <= at {
		return undecided, err
	}
	return committed, err
}

// markerBehind finds the marker that ends the transaction of a record. Chunks are read on for as long as the transaction is open at
// their ends.
func (l *Log) markerBehind(ctx context.Context, i int, producer int64, at stream.Upstream, raw []byte) (mark, bool, error) {
	behind := false // a hole, in which the marker may have been
	for j := i; j < len(l.spans); j++ {
		s := &l.spans[j]
		behind = behind || j > i && l.spans[j-1].To != s.From
		if s.Entry.Markers > 0 && !s.lost {
			marks, err := l.marksOf(ctx, j, raw)
			if err != nil {
				return mark{}, false, err
			}
			first := sort.Search(len(marks), func(n int) bool { return marks[n].at > at })
			for _, m := range marks[first:] {
				if m.producer == producer {
					// Entries tell of all that was aborted, and from where on: this is the end of a later one.
					return m, !m.abort || !behind, nil
				}
			}
		}
		if s.To == s.Entry.Next && !openAt(s.Entry.Open, producer, at) {
			break
		}
		raw = nil
	}
	return mark{}, false, nil
}

func openAt(open []bundle.Transaction, producer int64, at stream.Upstream) bool {
	return slices.ContainsFunc(open, func(t bundle.Transaction) bool { return t.ProducerID == producer && t.First <= at })
}

// marksOf are the markers of a span.
func (l *Log) marksOf(ctx context.Context, i int, raw []byte) ([]mark, error) {
	f := l.fates
	f.mu.Lock()
	marks, ok := f.marks[i]
	f.mu.Unlock()
	if ok {
		return marks, nil
	}
	err := l.each(ctx, i, raw, func(v batch.View) error {
		if !v.Control() {
			return nil
		}
		abort, err := v.Aborts()
		marks = append(marks, mark{v.ProducerID(), stream.Upstream(v.BaseOffset()), abort, v.MaxTimestamp()})
		return err
	})
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.marks) >= marksKept {
		clear(f.marks)
	}
	f.marks[i] = marks
	return marks, nil
}

// each goes through the batches that have offsets of a span.
func (l *Log) each(ctx context.Context, i int, raw []byte, do func(batch.View) error) error {
	s := &l.spans[i]
	if raw == nil {
		var err error
		if raw, err = l.chunk(ctx, i); err != nil {
			return err
		}
	}
	for len(raw) > 0 {
		v, rest, err := batch.Next(raw)
		if err == nil && stream.Upstream(v.BaseOffset()) >= s.To {
			return nil
		}
		if err == nil && stream.Upstream(v.LastOffset()) >= s.From {
			err = do(v)
		}
		if err != nil {
			return l.broken(i, err)
		}
		raw = rest
	}
	return nil
}

// chunk reads the chunk of a span.
func (l *Log) chunk(ctx context.Context, i int) ([]byte, error) {
	s := &l.spans[i]
	raw, err := l.chunks.Chunk(ctx, s.Object, s.Chunk, nil)
	if err != nil {
		return nil, l.broken(i, err)
	}
	return raw, nil
}

// broken says which offsets an error is about.
func (l *Log) broken(i int, err error) error {
	if known := (*bundle.ChunkError)(nil); errors.As(err, &known) {
		return err
	}
	s := &l.spans[i]
	return &bundle.ChunkError{
		Object: s.Object.Name, Chunk: s.Chunk, Topic: s.Entry.Topic, Partition: s.Entry.Partition, First: s.From, Next: s.To, Err: err,
	}
}

// openAtEnd are the transactions that are open at the end of the cut, by producer, and where each began.
func (l *Log) openAtEnd(ctx context.Context) (map[int64]stream.Upstream, error) {
	f := l.fates
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return f.open, nil
	}
	open := make(map[int64]stream.Upstream)
	// Where a chunk is cut inside, its footer does not say what is open there: its batches do, from the last place that is known.
	first := len(l.spans)
	for first > 0 {
		s := &l.spans[first-1]
		if s.To == s.Entry.Next {
			for _, t := range s.Entry.Open {
				open[t.ProducerID] = t.First
			}
			break
		}
		if first--; first > 0 && l.spans[first-1].To != s.From {
			break
		}
	}
	for i := first; i < len(l.spans); i++ {
		if l.spans[i].plain || l.spans[i].lost {
			continue
		}
		err := l.each(ctx, i, nil, func(v batch.View) error {
			switch p := v.ProducerID(); {
			case v.Control():
				delete(open, p)
			case v.Transactional():
				if _, ok := open[p]; !ok {
					open[p] = stream.Upstream(v.BaseOffset())
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	f.ended, f.open = true, open
	return open, nil
}

// Undecided is how many transactions were open at the end of the cut.
func (l *Log) Undecided(ctx context.Context) (int, error) {
	open, err := l.openAtEnd(ctx)
	if err != nil {
		return 0, fmt.Errorf("find transactions that were open: %w", err)
	}
	return len(open), nil
}
