package offsetsync

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sort"

	"tandem/internal/stream"
)

// Load takes in a record of the topic, in the order of the log; records of other kinds are passed over. It may be called again
// later, for the records of a partition that has come from another process.
//
// Where two segments overlap the later record counts, and the other is removed: the process died between two appends.
func (m *Map) Load(r stream.Record) error {
	remote, down, ours, err := parseKey(r.Key)
	if !ours {
		return nil
	}
	if err != nil {
		return fmt.Errorf("decode key of map segment at %d: %w", r.Offset, err)
	}
	if r.Value == nil {
		m.unload(remote, down)
		return nil
	}
	s, ops, err := parseValue(r.Value, down)
	if err != nil {
		return fmt.Errorf("decode map segment of %s at %d: %w", remote, r.Offset, err)
	}
	s.at = r.Offset
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.of(remote)
	i := p.clear(s)
	if len(p.dead) > 0 {
		m.changed(p)
	}
	p.insert(i, s, ops)
	return nil
}

// unload takes a segment out whose record was deleted.
func (m *Map) unload(remote stream.Partition, down stream.Downstream) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.partitions[remote]
	if p == nil {
		return
	}
	if i := p.byDown(down); i >= 0 && p.segs[i].down == down {
		p.remove(i)
	}
	delete(p.dead, down)
	if len(p.segs) == 0 && !p.sourced && len(p.dead) == 0 {
		delete(m.partitions, remote)
	}
}

// clear removes what a loaded segment overlaps, and tells where it belongs.
func (p *partition) clear(s *segment) int {
	i := sort.Search(len(p.segs), func(i int) bool { return p.segs[i].endDown > s.down || p.segs[i].down >= s.down })
	for i < len(p.segs) && (p.segs[i].down == s.down || p.segs[i].down < s.endDown && s.down < p.segs[i].endDown) {
		p.remove(i)
	}
	delete(p.dead, s.down)
	return i
}

// insert puts a loaded segment in its place.
func (p *partition) insert(i int, s *segment, ops []byte) {
	for _, near := range []int{i - 1, i} {
		if near >= 0 && near < len(p.segs) && *p.segs[near].topic == *s.topic {
			s.topic = p.segs[near].topic
		}
	}
	if i == len(p.segs) {
		p.close()
		s.ops = ops
	} else {
		p.cache.put(s, ops)
	}
	p.segs, p.gens = slices.Insert(p.segs, i, s), nil
}

// taken is what a record that Changed gave out stands for.
type taken struct {
	p       *partition
	s       *segment // nil for a tombstone
	version uint32
	down    stream.Downstream
}

// Changed gives what is to be appended to the topic, in this order. It goes on being given until Stored confirms it. One caller
// at a time.
func (m *Map) Changed() []stream.Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.flushes++
	m.taken = m.taken[:0]
	var records []stream.Record
	for _, p := range m.queue {
		if m.partitions[p.remote] != p || !m.holds(p.remote) {
			continue
		}
		p.urgent = false
		// What is gone leaves first: half of the records in the topic then mean less knowledge, not a wrong one.
		for _, down := range slices.SortedFunc(maps.Keys(p.dead), cmp.Compare[stream.Downstream]) {
			p.dead[down] = m.flushes
			m.taken = append(m.taken, taken{p: p, down: down})
			records = append(records, stream.Record{Key: segmentKey(p.remote, down)})
		}
		for _, s := range p.segs {
			if !s.changed {
				continue
			}
			ops, _ := p.steps(s)
			s.written = true
			m.taken = append(m.taken, taken{p: p, s: s, version: s.version, down: s.down})
			records = append(records, stream.Record{Key: segmentKey(p.remote, s.down), Value: s.value(ops)})
		}
	}
	return records
}

// Urgent says that something is to be appended soon, because nothing else would tell of it after a kill: the source or the target
// was truncated, or the source made anew. It is seldom, and no longer said once Changed has given it.
func (m *Map) Urgent() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(m.queue, func(p *partition) bool { return p.urgent && m.holds(p.remote) })
}

// Stored says that the records that Changed gave last are in the topic, and at which offsets.
func (m *Map) Stored(records []stream.Record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(records) != len(m.taken) {
		return // of another Changed: they are given again
	}
	for i, t := range m.taken {
		if t.s == nil {
			if t.p.dead[t.down] == m.flushes {
				delete(t.p.dead, t.down)
			}
			continue
		}
		t.s.at = records[i].Offset
		if t.s.version != t.version {
			continue
		}
		t.s.changed = false
		if t.s != t.p.last() && t.s.ops != nil {
			t.p.cache.put(t.s, t.s.ops)
			t.s.ops = nil
		}
	}
	m.taken = nil
	m.queue = slices.DeleteFunc(m.queue, func(p *partition) bool {
		p.queued = m.partitions[p.remote] == p && p.dirty()
		return !p.queued
	})
}

func (p *partition) dirty() bool {
	return len(p.dead) > 0 || slices.ContainsFunc(p.segs, func(s *segment) bool { return s.changed })
}
