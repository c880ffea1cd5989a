package restore

import (
	"context"
	"math"
	"slices"
	"sort"
	"sync"

	"tandem/internal/archive/catalog"
	"tandem/internal/stream"
)

// Chunks reads the batches of chunks. catalog.Opener does.
type Chunks interface {
	// Chunk reads the batches of a chunk into buf where it is large enough, checked against the footer.
	Chunk(ctx context.Context, o *catalog.Object, chunk int, buf []byte) ([]byte, error)
	// Together is Chunk for several that stand near each other, ascending, with one request.
	Together(ctx context.Context, o *catalog.Object, chunks []int) ([][]byte, error)
}

// Ends of time, for cuts that have none.
const (
	Always int64 = math.MinInt64
	Never  int64 = math.MaxInt64
)

// Cut is what of a partition is restored.
type Cut struct {
	From  stream.Upstream // first offset
	End   stream.Upstream // behind the last offset
	Since int64           // milliseconds; records before are out, and those without a timestamp. Always: none are
	Until int64           // milliseconds; records behind it are out, and transactions that were committed behind it. Never: none are
	Raw   bool            // records of aborted transactions, and of those that were open at the cut, are in
}

// span is what of a cut one chunk has: From <= offset < To.
type span struct {
	catalog.Stretch
	clean bool // the span before ends where this one begins, at the end of a chunk: the first batch begins here
	plain bool // nothing of it can be of a transaction
	out   bool // nothing of it is in, so it is not read
	clear bool // nothing of it has to be left out by its timestamp
	lost  bool // its chunk cannot be read: it counts as a hole
}

// whole says that the span is all of its chunk.
func (s *span) whole() bool { return s.From == s.Entry.First && s.To == s.Entry.Next }

// Log is the cut of one partition, as a log to be read. It is safe for concurrent use.
type Log struct {
	cut    Cut
	spans  []span
	chunks Chunks
	fates  *fates

	mu     sync.Mutex
	counts map[int]int64 // records of spans that had to be read to be counted
}

// NewLog makes a log of what is archived of a partition.
func NewLog(part catalog.Part, cut Cut, chunks Chunks) *Log {
	l := &Log{cut: cut, chunks: chunks, counts: make(map[int]int64)}
	for i, st := range part.Stretches {
		s := span{Stretch: st, clean: i == 0 && st.From == 0}
		if i > 0 {
			before := &part.Stretches[i-1]
			s.clean = before.To == st.From && before.To == before.Entry.Next
		}
		if s.From < cut.From {
			s.From, s.clean = cut.From, false
		}
		s.To = min(s.To, cut.End)
		if s.From >= s.To {
			continue
		}
		e := s.Entry
		s.plain = e.Markers == 0 && len(e.Open) == 0 && len(e.Aborted) == 0
		s.clear = e.MaxTimestamp <= cut.Until && (cut.Since == Always || e.MinExact && e.MinTimestamp >= cut.Since)
		s.out = e.Batches == 0 || e.Records == 0 ||
			e.MinExact && e.MinTimestamp > cut.Until || cut.Since != Always && e.MaxTimestamp < cut.Since
		l.spans = append(l.spans, s)
	}
	l.fates = newFates(part)
	return l
}

// First is the offset at which reading begins.
func (l *Log) First() stream.Upstream {
	if len(l.spans) == 0 {
		return l.cut.From
	}
	return l.spans[0].From
}

// End is behind the last offset; it is First where there is nothing.
func (l *Log) End() stream.Upstream {
	if len(l.spans) == 0 {
		return l.cut.From
	}
	return l.spans[len(l.spans)-1].To
}

// Lose takes a chunk that cannot be read for a hole; false where the log has nothing of it. Nobody may be reading the log.
func (l *Log) Lose(object string, chunk int) bool {
	found := false
	for i := range l.spans {
		if s := &l.spans[i]; s.Object.Name == object && s.Chunk == chunk {
			s.out, s.lost, found = true, true, true
			delete(l.counts, i)
		}
	}
	return found
}

// at is the first span that has offsets at or behind one; len(spans) where there is none.
func (l *Log) at(offset stream.Upstream) int {
	return sort.Search(len(l.spans), func(i int) bool { return l.spans[i].To > offset })
}

// Bytes is about how many bytes of the store are to be read from an offset on.
func (l *Log) Bytes(from stream.Upstream) int64 {
	var n int64
	for i := l.at(from); i < len(l.spans); i++ {
		if !l.spans[i].out {
			n += l.spans[i].Entry.Stored
		}
	}
	return n
}

// Objects are the names of the objects to be read, each once.
func (l *Log) Objects() []string {
	var names []string
	for i := range l.spans {
		if !l.spans[i].out {
			names = append(names, l.spans[i].Object.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Largest is a size that some record is known to have or exceed, as a batch of its own: that of records which came alone.
func (l *Log) Largest() (bytes int64) {
	for i := range l.spans {
		s := &l.spans[i]
		if e := s.Entry; s.whole() && !s.out && s.clear && s.plain && e.Records == e.Batches && e.Batches > 0 {
			bytes = max(bytes, (e.Plain+e.Batches-1)/e.Batches)
		}
	}
	return bytes
}

// Times are the timestamps between which the records of the log are, as far as their chunks tell without being read: oldest is the
// largest timestamp of the oldest chunk, which is when the target would begin to delete; -1 where nothing is known.
func (l *Log) Times() (oldest, least, most int64) {
	oldest, least, most = -1, -1, -1
	for i := range l.spans {
		e := l.spans[i].Entry
		if l.spans[i].out || e.MaxTimestamp < 0 {
			continue
		}
		last := min(e.MaxTimestamp, l.cut.Until)
		if oldest < 0 || last < oldest {
			oldest = last
		}
		if e.MinTimestamp >= 0 && (least < 0 || e.MinTimestamp < least) {
			least = e.MinTimestamp
		}
		most = max(most, last)
	}
	return oldest, least, most
}
