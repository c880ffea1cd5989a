package replicate

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"tandem/internal/batch"
	"tandem/internal/stream"
)

// The simulated clusters of two-way pairs: each is read by one flow and written by the other, and by producers of its own.

// node is one cluster of a two-way pair: its logs are read by one flow and written by the other, and by local producers.
type node struct {
	mu     sync.Mutex
	rand   *rand.Rand
	name   string
	logs   map[stream.Partition]*nodeLog
	faults int
	mute   bool // does not tell what it knows of producer ids
}

type nodeLog struct {
	simLog
	states map[int64]*nodeProducer
	local  []string // what local producers have written, in order, but for what was aborted
}

type nodeProducer struct {
	last   int32
	recent []simRange
}

func (n *node) fault() bool { return n.faults > 0 && n.rand.IntN(n.faults) == 0 }

// draw is a number below n.
func (n *node) draw(below int) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rand.IntN(below)
}

// write is a local producer's work: some records, in a transaction at times, aborted at times.
func (n *node) write(p stream.Partition) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.logs[p]
	offsets := make([]int64, 1+n.rand.IntN(40))
	for i := range offsets {
		offsets[i] = l.end + int64(i)
	}
	last := offsets[len(offsets)-1]
	producer := int64(100 + n.rand.IntN(3))
	attributes, aborts := int16(0), false
	if n.rand.IntN(4) == 0 {
		attributes, producer, aborts = 0x10, int64(1000+len(l.batches)), n.rand.IntN(2) == 0
	}
	if aborts {
		l.aborted = append(l.aborted, stream.AbortedTransaction{ProducerID: producer, First: stream.Upstream(l.end)})
	} else {
		for _, o := range offsets {
			l.local = append(l.local, fmt.Sprintf("%s:%d", n.name, o))
		}
	}
	l.append(simBatch(n.name, l.end, offsets, attributes, producer), last)
	if attributes != 0 {
		l.append(simMarker(l.end, producer, aborts), l.end)
	}
}

// take is the broker's decision on one batch of a flow.
func (l *nodeLog) take(raw []byte) (int64, error) {
	raw = slices.Clone(raw)
	v, _, err := batch.Next(raw)
	if err != nil || v.Verify() != nil || v.ProducerID() < 0 || v.LastOffset()+1 != int64(v.Records()) {
		return 0, code(stream.CodeInvalidRecord)
	}
	first, records := v.BaseSequence(), int64(v.Records())
	last := following(first, records-1)
	s := l.states[v.ProducerID()]
	if s == nil {
		s = &nodeProducer{last: following(first, -1)}
		l.states[v.ProducerID()] = s
	}
	for _, r := range s.recent {
		if r.first == first && r.last == last {
			return r.base, nil
		}
	}
	if first != following(s.last, 1) {
		return 0, code(stream.CodeOutOfOrderSequence)
	}
	base := l.end
	binary.BigEndian.PutUint64(raw, uint64(base))
	binary.BigEndian.PutUint32(raw[12:], 0)
	l.append(raw, base+records-1)
	s.last = last
	if s.recent = append(s.recent, simRange{first, last, base}); len(s.recent) > 5 {
		s.recent = s.recent[1:]
	}
	return base, nil
}

func (n *node) Leaders(context.Context, []string) (map[stream.Partition]stream.Leader, error) {
	leaders := make(map[stream.Partition]stream.Leader)
	for p := range n.logs {
		leaders[p] = stream.Leader{Broker: 1}
	}
	return leaders, nil
}

func (n *node) Offsets(_ context.Context, list []stream.Partition, at int64) (map[stream.Partition]int64, map[stream.Partition]error, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	offsets := make(map[stream.Partition]int64)
	for _, p := range list {
		offsets[p] = n.logs[p].start
		if at == stream.Latest {
			offsets[p] = n.logs[p].end
		}
	}
	return offsets, nil, nil
}

func (n *node) EpochEnds(_ context.Context, epochs map[stream.Partition]int32) (map[stream.Partition]stream.EpochEnd, map[stream.Partition]error, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	ends := make(map[stream.Partition]stream.EpochEnd)
	for p := range epochs {
		ends[p] = stream.EpochEnd{Epoch: 0, End: stream.Upstream(n.logs[p].end)}
	}
	return ends, nil, nil
}

func (n *node) ProducerStates(_ context.Context, id int64, list []stream.Partition) (map[stream.Partition]stream.ProducerState, map[stream.Partition]error, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	states := make(map[stream.Partition]stream.ProducerState)
	for _, p := range list {
		if s := n.logs[p].states[id]; s != nil && !n.mute {
			states[p] = stream.ProducerState{LastSequence: s.last}
		}
	}
	return states, nil, nil
}

func (n *node) Read(_ context.Context, p stream.Partition, offset int64, maxBytes int32, committed bool) (stream.Fetched, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.logs[p].fetch(p, offset, min(maxBytes, 20<<10), committed), nil
}

// fetch answers as a broker does: whole batches, and of the aborted transactions those that reach into them.
func (l *nodeLog) fetch(p stream.Partition, offset int64, most int32, committed bool) stream.Fetched {
	f := stream.Fetched{Partition: p, HighWatermark: stream.Upstream(l.end)}
	at, _ := slices.BinarySearchFunc(l.batches, offset, func(e simEntry, o int64) int { return int(e.last - o) })
	for _, e := range l.batches[at:] {
		if len(f.Records) > 0 && len(f.Records)+len(e.raw) > int(most) {
			break
		}
		f.Records = append(f.Records, e.raw...)
	}
	if committed {
		f.Aborted = l.aborted
	}
	return f
}

type nodeSession struct {
	*node
	places map[stream.Partition]stream.Place
}

func (s *nodeSession) Set(p stream.Place)        { s.places[p.Partition] = p }
func (s *nodeSession) Forget(p stream.Partition) { delete(s.places, p) }

func (s *nodeSession) Fetch(ctx context.Context, bounds stream.FetchBounds) ([]stream.Fetched, error) {
	for range 2 {
		var all []stream.Fetched
		s.mu.Lock()
		fault := s.fault()
		for p, place := range s.places {
			if f := s.logs[p].fetch(p, int64(place.Offset), min(place.MaxBytes, 20<<10), true); len(f.Records) > 0 {
				all = append(all, f)
			}
		}
		s.mu.Unlock()
		if fault {
			return nil, errors.New("connection reset")
		}
		if len(all) > 0 {
			return all, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Duration(bounds.MaxWaitMillis) * time.Millisecond):
		}
	}
	return nil, nil
}

type nodeSender struct {
	*node
	calls chan func()
}

func (n *node) sender(ctx context.Context, _ int32) Sender {
	s := &nodeSender{n, make(chan func(), 16)}
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case call := <-s.calls:
				time.Sleep(2 * time.Millisecond)
				if ctx.Err() == nil {
					call()
				}
			}
		}
	}()
	return s
}

func (s *nodeSender) Send(_ context.Context, items []stream.Appending, done func([]stream.Appended, error)) {
	s.calls <- func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.fault() {
			done(nil, errors.New("connection refused"))
			return
		}
		var all []stream.Appended
		for _, item := range items {
			base, err := s.logs[item.Remote].take(item.Batch)
			all = append(all, stream.Appended{Remote: item.Remote, Base: stream.Downstream(base), Err: err})
		}
		if s.fault() {
			done(nil, errors.New("connection reset after the append"))
			return
		}
		done(all, nil)
	}
}
