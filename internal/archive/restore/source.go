package restore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tandem/internal/stream"
)

const (
	lanes       = 4                     // pretended brokers: what they read, they read at the same time
	chunksAhead = 4                     // requests that a lane has on their way
	smallChunk  = 128 << 10             // if chunks are smaller on the average, there is one lane, which reads those of one object together
	smallAhead  = 8                     // requests that it has on their way
	joinMax     = 512 << 10             // bytes of a chunk that is read together with others
	togetherMax = 4 << 20               // bytes of one request for several
	apartMax    = 64 << 10              // bytes between two chunks that are read for nothing rather than by another request
	idleWait    = 50 * time.Millisecond // of a fetch that finds nothing: all is read, or will be asked for soon
)

// Source is an archive as a cluster of a few pretended brokers.
type Source struct {
	logs     map[stream.Partition]*Log
	lane     map[stream.Partition]int32
	throttle *Throttle
	failed   func(error)
	read     atomic.Int64 // bytes handed out
	alone    bool         // there is one lane, of small chunks

	mu   sync.Mutex
	left map[stream.Partition]*tally
}

// tally counts what was left out of a partition, each span once: a place may be read again.
type tally struct {
	next int // spans before were counted
	LeftOut
}

// NewSource makes a source of logs, by the partition that they are of. failed is told what cannot be read: no waiting mends it. It must
// not block.
func NewSource(logs map[stream.Partition]*Log, throttle *Throttle, failed func(error)) *Source {
	s := &Source{logs: logs, lane: make(map[stream.Partition]int32), throttle: throttle, failed: failed, left: make(map[stream.Partition]*tally)}
	order := make([]stream.Partition, 0, len(logs))
	for p := range logs {
		order = append(order, p)
		s.left[p] = &tally{}
	}
	slices.SortFunc(order, func(a, b stream.Partition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Number, b.Number))
	})
	n := lanesFor(logs)
	s.alone = n == 1
	for i, p := range order {
		s.lane[p] = int32(i % n)
	}
	return s
}

// lanesFor is how many pretended brokers serve logs best. Chunks of different partitions stand side by side in one object, in no order
// that is known before: only who reads all of them can read them together.
func lanesFor(logs map[stream.Partition]*Log) int {
	var chunks, bytes int64
	for _, l := range logs {
		for i := range l.spans {
			if s := &l.spans[i]; !s.out {
				chunks, bytes = chunks+1, bytes+s.Entry.Stored
			}
		}
	}
	if bytes < chunks*smallChunk {
		return 1
	}
	return lanes
}

// Leaders tells which pretended broker has which partition.
func (s *Source) Leaders(_ context.Context, topics []string) (map[stream.Partition]stream.Leader, error) {
	leaders := make(map[stream.Partition]stream.Leader)
	for p, lane := range s.lane {
		if slices.Contains(topics, p.Topic) {
			leaders[p] = stream.Leader{Broker: lane, Epoch: -1}
		}
	}
	return leaders, nil
}

// Read is how many bytes have been handed out.
func (s *Source) Read() int64 { return s.read.Load() }

// LeftOut is what was read and left out, of all partitions.
func (s *Source) LeftOut() LeftOut {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all LeftOut
	for _, t := range s.left {
		all.add(t.LeftOut)
	}
	return all
}

func (s *Source) leftOut(p stream.Partition, span int, left LeftOut) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.left[p]; span >= t.next {
		t.next = span + 1
		t.add(left)
	}
}

// Session reads from one pretended broker. It is used by one goroutine.
func (s *Source) Session(int32) *Session {
	return &Session{source: s, places: make(map[stream.Partition]stream.Place)}
}

// Session is a fetch session.
type Session struct {
	source *Source
	places map[stream.Partition]stream.Place
	turn   []stream.Partition // of those that may have something, in the order in which they are to be read
}

// Set adds a partition, or moves its place.
func (s *Session) Set(p stream.Place) {
	if _, ok := s.places[p.Partition]; !ok {
		s.turn = append(s.turn, p.Partition)
	}
	s.places[p.Partition] = p
}

// Forget takes a partition out.
func (s *Session) Forget(p stream.Partition) {
	if _, ok := s.places[p]; ok {
		delete(s.places, p)
		s.turn = slices.DeleteFunc(s.turn, func(other stream.Partition) bool { return other == p })
	}
}

// task is a span to be read.
type task struct {
	partition stream.Partition
	log       *Log
	span      int
	from      stream.Upstream
	raw       []byte
	page      page
}

// Fetch reads the next chunks of some partitions, about as many bytes as it may and one chunk at least. A partition that has more is
// read again when the others have been.
func (s *Session) Fetch(ctx context.Context, bounds stream.FetchBounds) ([]stream.Fetched, error) {
	tasks := s.tasks(s.source.throttle.page(int64(bounds.MaxBytes)))
	if len(tasks) == 0 {
		return nil, s.idle(ctx, time.Duration(bounds.MaxWaitMillis)*time.Millisecond)
	}
	if err := s.readAll(ctx, tasks); err != nil {
		if ctx.Err() == nil {
			s.source.failed(err)
		}
		return nil, fmt.Errorf("read archive: %w", err)
	}
	var all []stream.Fetched
	bytes := int64(0)
	for i := range tasks {
		t := &tasks[i]
		for _, piece := range t.page.joined() {
			bytes += int64(len(piece))
			all = append(all, stream.Fetched{Partition: t.partition, HighWatermark: t.log.End(), LogStart: t.log.First(), Records: piece})
		}
		s.source.leftOut(t.partition, t.span, t.page.left)
	}
	if err := s.source.throttle.take(ctx, bytes); err != nil {
		return nil, err
	}
	s.source.read.Add(bytes)
	return all, nil
}

// idle waits for a moment.
func (s *Session) idle(ctx context.Context, most time.Duration) error {
	timer := time.NewTimer(min(most, idleWait))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// size is about how many bytes a page of the span has.
func (s *span) size() int64 {
	if s.out {
		return 1
	}
	return max(s.Entry.Plain, 1)
}
