package offsetsync

import (
	"math"
	"slices"
	"sort"

	"tandem/internal/stream"
)

// partition is the map of one remote partition. The methods are called under the lock of the Map.
type partition struct {
	remote, source stream.Partition
	sourced        bool              // source is known
	start, end     stream.Downstream // of the target's log, as last told
	sourceStart    stream.Upstream

	segs  []*segment // by target offset; between two of them there may be a gap, inside there is none
	tail  *builder   // the steps of the last segment, while it grows
	cache *cache
	gens  []generation              // nil when it has to be found again
	dead  map[stream.Downstream]int // keys that are to leave the topic, and the flush that has them in hand

	points []Sync            // MM2's, ascending, below the first segment
	wanted []stream.Upstream // offsets that were asked for in stretches that are counted only then
	urgent bool              // a generation began, or the target was cut
	broken bool              // what comes next begins a generation, whatever its offsets
	queued bool              // has something to be appended to the topic
}

// generation is a row of segments, all of the source topic as it is now, in which source offsets only grow. A later one takes the
// place of this one from limit on.
type generation struct {
	from, to int
	limit    stream.Upstream

	// Where records of the next generations stand of which it is not known where they begin, until is the end of that stretch.
	until stream.Downstream
}

func (p *partition) last() *segment {
	if len(p.segs) == 0 {
		return nil
	}
	return p.segs[len(p.segs)-1]
}

// topic is one copy of a topic's id for all of its segments.
func (p *partition) topic(id stream.TopicID) *stream.TopicID {
	if last := p.last(); last != nil && *last.topic == id {
		return last.topic
	}
	return &id
}

func sameTopic(a, b *stream.TopicID) bool {
	return a == b || *a == *b || *a == stream.TopicID{} || *b == stream.TopicID{}
}

// append takes in records that the target holds. A run without records notes a place.
func (p *partition) append(topic *stream.TopicID, r stream.Run) {
	last := p.last()
	if last != nil && r.Down < last.endDown {
		p.cut(r.Down)
		last = p.last()
	}
	p.end = min(p.end, r.Down) // else what was beyond is gone, or not ours
	if last == nil || !last.joins(topic, r) || !p.grows(r.Count) {
		p.begin(topic, r)
		return
	}
	s := step{hole: int64(r.Up - last.lastUp), foreign: int64(r.Down - last.endDown), count: r.Count}
	if s.hole > 0 && s.foreign > 0 { // first what needs no copy, then what is not ours
		p.tail.add(step{hole: s.hole}, 1)
		s.hole = 0
	}
	if r.Count > 0 && (s.hole > 0 || s.foreign > 0 || p.tail.open.count == 0) {
		last.runs++
	}
	p.tail.add(s, 1)
	last.lastUp, last.endUp, last.endDown = r.Up+stream.Upstream(r.Count), r.Up+stream.Upstream(r.Count), r.Down+stream.Downstream(r.Count)
	last.counted = false
	last.touch()
}

// place says that the segment has no records: it says only what is below it.
func (s *segment) place() bool { return s.down == s.endDown }

// joins says that a run goes on where the segment ends, and nothing is unknown between them.
func (s *segment) joins(topic *stream.TopicID, r stream.Run) bool {
	if !sameTopic(s.topic, topic) {
		return false
	}
	if r.Down == s.endDown {
		return r.Up >= s.lastUp
	}
	return r.Up == s.endUp
}

// grows makes the last segment ready to take records in; it is not when it is full, or not in memory.
func (p *partition) grows(records int64) bool {
	last := p.last()
	if p.tail == nil {
		ops, ok := p.cache.steps(last)
		if !ok {
			return false
		}
		b, err := rebuild(ops, last.up, last.down)
		if err != nil {
			return false
		}
		p.tail, last.ops = b, nil
		p.cache.drop(last)
	}
	return records == 0 || len(p.tail.ops) < segmentSize
}

// begin starts a segment with a run.
func (p *partition) begin(topic *stream.TopicID, r stream.Run) {
	breaks := p.broken
	p.broken = false
	if last := p.last(); last != nil {
		same := sameTopic(last.topic, topic)
		p.urgent = p.urgent || r.Up < last.endUp || !same
		if !same {
			p.points = nil
		}
		if same && r.Down == last.endDown && r.Up >= last.lastUp && r.Up < last.endUp && p.held() {
			last.endUp = r.Up
			last.touch()
		}
		p.close()
		if last.place() && last.down == r.Down { // one segment a key
			breaks = true
			p.remove(len(p.segs) - 1)
		}
	}
	_, written := p.dead[r.Down]
	delete(p.dead, r.Down)
	s := &segment{up: r.Up, down: r.Down, topic: topic, at: -1, written: written, breaks: breaks}
	p.tail = &builder{open: step{count: r.Count}}
	s.lastUp, s.endUp, s.endDown = r.Up+stream.Upstream(r.Count), r.Up+stream.Upstream(r.Count), r.Down+stream.Downstream(r.Count)
	if r.Count > 0 {
		s.runs = 1
	}
	s.touch()
	p.segs, p.gens = append(p.segs, s), nil
}

// close puts the steps of the last segment where those of the others are.
func (p *partition) close() {
	last := p.last()
	if p.tail != nil {
		last.ops, p.tail = p.tail.bytes(), nil
		last.size = int32(len(last.ops))
	}
	if last != nil && last.ops != nil && !last.changed {
		p.cache.put(last, last.ops)
		last.ops = nil
	}
}

// remove takes a segment out, and its record out of the topic.
func (p *partition) remove(i int) {
	s := p.segs[i]
	if i == len(p.segs)-1 {
		p.tail = nil
	}
	if s.written {
		p.kill(s.down)
	}
	s.touch() // a flush that has it in hand is of no use any more
	p.cache.drop(s)
	p.segs, p.gens = slices.Delete(p.segs, i, i+1), nil
}

func (p *partition) kill(down stream.Downstream) {
	if p.dead == nil {
		p.dead = map[stream.Downstream]int{}
	}
	p.dead[down] = 0
}

// cut forgets what stood at a target offset and beyond: the target was truncated or made anew. A segment whose steps are not in
// memory goes as a whole; its stretch is then counted again.
func (p *partition) cut(down stream.Downstream) {
	for i := len(p.segs) - 1; i >= 0 && p.segs[i].endDown > down; i-- {
		s := p.segs[i]
		ops, ok := p.steps(s)
		if s.down >= down || !ok {
			if i > 0 && !p.follows(i) && p.segs[i-1].endDown < down {
				p.broken = true // it has begun in what is left, nobody knows where
			}
			p.remove(i)
			continue
		}
		p.tail, s.lastUp, s.endDown = below(s.walk(ops), down)
		s.endUp, s.ops = s.lastUp, nil
		s.runs = runsIn(s.walk(p.tail.bytes()))
		p.cache.drop(s)
		p.gens = nil
		s.touch()
	}
	p.urgent, p.end = true, min(p.end, down)
	p.points = slices.DeleteFunc(p.points, func(s Sync) bool { return s.Down >= down })
}

// steps are the steps of a segment, if they are in memory.
func (p *partition) steps(s *segment) ([]byte, bool) {
	if p.tail != nil && s == p.last() {
		return p.tail.bytes(), true
	}
	return p.cache.steps(s)
}

// settle notes that the source needs no copy below a place of which nothing else is new.
func (p *partition) settle(topic *stream.TopicID, up stream.Upstream, down stream.Downstream) {
	last := p.last()
	if last != nil && down == last.endDown && up >= last.lastUp && sameTopic(last.topic, topic) {
		p.covers(up)
		p.end = min(p.end, down)
		return
	}
	p.append(topic, stream.Run{Up: up, Down: down})
}

// covers moves the end of what is known over offsets that need no copy.
func (p *partition) covers(next stream.Upstream) {
	last := p.last()
	switch {
	case last == nil || next <= last.endUp:
	case !p.held():
		p.begin(last.topic, stream.Run{Up: next, Down: last.endDown})
	default:
		last.endUp = next
		last.touch()
	}
}

// held says that the steps of the last segment are in memory to stay, so that it may change. They are not where a cut has made it
// the last.
func (p *partition) held() bool { return p.tail != nil || p.last().ops != nil }

// generations of the source topic as it is now, oldest first.
func (p *partition) generations() []generation {
	if p.gens != nil || len(p.segs) == 0 {
		return p.gens
	}
	g := generation{to: len(p.segs), limit: math.MaxInt64}
	for i, s := range slices.Backward(p.segs) {
		if i > 0 && p.follows(i) {
			continue
		}
		g.from = i
		p.gens = append(p.gens, g)
		if i == 0 || !sameTopic(p.segs[i-1].topic, p.last().topic) {
			break
		}
		g.to, g.limit = i, min(g.limit, s.up)
		if s.down > p.segs[i-1].endDown {
			g.until = max(g.until, s.down)
		}
	}
	slices.Reverse(p.gens)
	return p.gens
}

// follows says that segment i is of the generation of the one before it.
func (p *partition) follows(i int) bool {
	a, b := p.segs[i-1], p.segs[i]
	return sameTopic(a.topic, b.topic) && b.up >= a.endUp && !b.breaks
}

// byUp is the last segment of a generation that begins at or below a source offset.
func (p *partition) byUp(g generation, up stream.Upstream) int {
	return g.from + sort.Search(g.to-g.from, func(i int) bool { return p.segs[g.from+i].up > up }) - 1
}

// byDown is the last segment that begins at or below a target offset; -1 is none.
func (p *partition) byDown(down stream.Downstream) int {
	return sort.Search(len(p.segs), func(i int) bool { return p.segs[i].down > down }) - 1
}
