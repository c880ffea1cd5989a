package offsetsync

import (
	"context"
	"sync"
	"sync/atomic"
	"unsafe"

	"tandem/internal/stream"
)

// Segments reads a segment's record again, by the offset that Load or Stored told. A record that is no longer there is
// ErrGone.
type Segments interface {
	Segment(ctx context.Context, at int64) (stream.Record, error)
}

// Map knows which source offset the records of remote partitions have. See the package comment. It is safe for concurrent use;
// only Translate, Return and Fill read segments, and they hold no lock meanwhile.
type Map struct {
	segments Segments

	mu         sync.Mutex // guards what follows
	partitions map[stream.Partition]*partition
	queue      []*partition // those with queued set
	cache      *cache
	taken      []taken // what Changed gave out last
	flushes    int

	held func(remote stream.Partition) bool // nil: all are

	damaged atomic.Int64 // see Damaged
}

// NewMap starts empty. limit is how many bytes of segments that can be read again are kept in memory, beside the last segment of
// each partition, which always is.
func NewMap(limit int64, segments Segments) *Map {
	return &Map{segments: segments, partitions: map[stream.Partition]*partition{}, cache: newCache(limit)}
}

// Held says, before the first use, which remote partitions are copied by this process. Of the others the map is what [Map.Load] brings:
// nothing of them is appended to the topic, or counted. It is asked while the map is locked.
func (m *Map) Held(held func(remote stream.Partition) bool) { m.held = held }

func (m *Map) holds(remote stream.Partition) bool { return m.held == nil || m.held(remote) }

// of is the map of a remote partition; nothing is known of a new one.
func (m *Map) of(remote stream.Partition) *partition {
	p := m.partitions[remote]
	if p == nil {
		p = &partition{remote: remote, cache: m.cache}
		m.partitions[remote] = p
	}
	return p
}

// changed puts a partition into the queue of those with something to append.
func (m *Map) changed(p *partition) {
	if !p.queued {
		p.queued = true
		m.queue = append(m.queue, p)
	}
}

// Stands says where the target's log of a remote partition starts and ends, before the first Ack of a process that starts to copy
// it: what lies beyond the end is gone, and what lies between the map's end and the log's is to be counted.
func (m *Map) Stands(remote, source stream.Partition, start, end stream.Downstream) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.of(remote)
	p.source, p.sourced = source, true
	if last := p.last(); last != nil && end < last.endDown {
		p.cut(end)
		m.changed(p)
	}
	p.start, p.end = start, end
}

// Ack takes in what the target has appended. Acks of one remote partition come in order.
//
// An ack without runs and bytes says that below Next everything stands below NextDown, and the rest at or beyond. One with bytes
// and no runs says nothing: its records stand at an unknown place, and the next ack leaves a gap.
func (m *Map) Ack(a stream.Ack) {
	if len(a.Runs) == 0 && (a.Bytes > 0 || a.NextDown < 0) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.of(a.Remote)
	p.source, p.sourced = a.Source, true
	topic := p.topic(a.Topic)
	if len(a.Runs) == 0 {
		p.settle(topic, a.Next, a.NextDown)
	}
	for _, r := range a.Runs {
		if r.Count > 0 {
			p.append(topic, r)
		}
	}
	if len(a.Runs) > 0 {
		p.covers(a.Next)
	}
	m.changed(p)
}

// Covered is the end of what is known of a remote partition: source records below up that are on the target stand below down.
func (m *Map) Covered(remote stream.Partition) (up stream.Upstream, down stream.Downstream, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.partitions[remote]
	if p == nil || len(p.segs) == 0 {
		return 0, 0, false
	}
	return p.last().endUp, p.last().endDown, true
}

// Below gives the offset syncs of MM2 for what was mirrored before the first run; see [Store.Points]. Those that do not fit with
// what is known are passed over.
func (m *Map) Below(remote stream.Partition, points []Sync) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of(remote).below(points)
}

// Forget drops a remote partition that is no longer ours. What was not appended of it is lost; its records stay in the topic.
func (m *Map) Forget(remote stream.Partition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.partitions[remote]
	if p == nil {
		return
	}
	for _, s := range p.segs {
		m.cache.drop(s)
	}
	delete(m.partitions, remote)
}

// Trim drops segments that lie below both log starts. Others stay whole.
func (m *Map) Trim(remote stream.Partition, source stream.Upstream, target stream.Downstream) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.partitions[remote]
	if p == nil {
		return
	}
	p.start, p.sourceStart = max(p.start, target), max(p.sourceStart, source)
	for len(p.segs) > 1 && p.segs[1].down <= target { // the next one then stands at the start, with nothing before it
		first := p.segs[0]
		for _, g := range p.generations()[:1] {
			if g.from == 0 && min(first.endUp, g.limit) > source {
				return
			}
		}
		p.remove(0)
		m.changed(p)
	}
}

// Damaged is how often a segment was gone, or not what it must be, since the start. Unlike Size it looks at nothing.
func (m *Map) Damaged() int64 { return m.damaged.Load() }

// Size is what a Map holds.
type Size struct {
	Partitions int
	Segments   int
	Runs       int64
	Bytes      int64 // of memory, about
}

// Size adds up.
func (m *Map) Size() Size {
	m.mu.Lock()
	defer m.mu.Unlock()
	size := Size{Partitions: len(m.partitions), Bytes: m.cache.bytes}
	for _, p := range m.partitions {
		const entry = 48 // of the map of partitions
		size.Bytes += int64(unsafe.Sizeof(*p)) + entry + int64(len(p.remote.Topic)+len(p.source.Topic)) +
			8*int64(cap(p.segs)+cap(p.wanted)) + int64(unsafe.Sizeof(Sync{}))*int64(cap(p.points))
		if p.tail != nil {
			size.Bytes += int64(unsafe.Sizeof(*p.tail)) + int64(cap(p.tail.ops))
		}
		size.Segments += len(p.segs)
		for i, s := range p.segs {
			size.Runs += s.runs
			size.Bytes += int64(unsafe.Sizeof(*s)) + int64(cap(s.ops))
			if i == 0 || s.topic != p.segs[i-1].topic {
				size.Bytes += int64(unsafe.Sizeof(*s.topic))
			}
		}
	}
	return size
}
