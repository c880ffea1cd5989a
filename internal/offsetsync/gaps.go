package offsetsync

import (
	"cmp"
	"math"
	"slices"

	"tandem/internal/stream"
)

// maxWanted bounds what is remembered of offsets that were asked for: one for each stretch between two offset syncs of MM2, of
// which there are no more than 64, and as many again for what was counted in between.
const maxWanted = 128

// gap is what is not known before segment i, or behind the last one. There is none where only one side jumps: a hole in the
// source, or foreign records on the target.
//
// From is -1 where nothing tells which source offset comes first: before the first segment, and where a generation begins.
func (p *partition) gap(i int) (stream.Gap, bool) {
	g := stream.Gap{Source: p.source, Remote: p.remote, From: -1, FromDown: p.start, To: -1, ToDown: p.end, Wanted: -1}
	if i < len(p.segs) {
		g.To, g.ToDown = p.segs[i].up, p.segs[i].down
	}
	if i > 0 {
		g.From, g.FromDown = p.segs[i-1].endUp, p.segs[i-1].endDown
		if i < len(p.segs) && !p.follows(i) {
			g.From = -1
		}
	}
	if i == len(p.segs) && i == 0 && len(p.points) > 0 {
		g.ToDown = max(g.ToDown, p.points[len(p.points)-1].Down+1)
	}
	return g, g.ToDown > g.FromDown && g.To != 0 && (g.To == -1 || g.From != g.To)
}

// later says that the gap before segment i is counted only where somebody asks for an offset inside: it lies below the first run
// that was acknowledged to us, and may be all that MM2 ever copied.
func (p *partition) later(i int) bool {
	return i == 0 || i < len(p.segs) && p.segs[i-1].counted && p.follows(i)
}

// below takes MM2's offset syncs in, the newest of which are trusted most.
func (p *partition) below(points []Sync) {
	bound := Sync{Up: math.MaxInt64, Down: math.MaxInt64}
	if len(p.segs) > 0 {
		bound.Up, bound.Down = p.segs[0].up, p.segs[0].down
	}
	for i, s := range p.segs {
		if p.later(i) {
			bound.Up, bound.Down = s.up, s.down
		}
	}
	p.points = nil
	for _, s := range slices.Backward(points) {
		if s.Up < bound.Up && s.Down < bound.Down && s.Up >= 0 && s.Down >= 0 {
			p.points, bound = append(p.points, s), s
		}
	}
	slices.Reverse(p.points)
	p.points = slices.Clip(p.points)
}

// usable are the offset syncs that no later generation has made void.
func (p *partition) usable() []Sync {
	if gens := p.generations(); len(gens) > 0 {
		n, _ := slices.BinarySearchFunc(p.points, gens[0].limit, func(s Sync, up stream.Upstream) int { return cmp.Compare(s.Up, up) })
		return p.points[:n]
	}
	return p.points
}

// piece narrows a gap to the stretch between the offset syncs around one of its offsets. point says that a sync is its From.
func (p *partition) piece(g stream.Gap, up stream.Upstream) (narrow stream.Gap, point bool) {
	for _, s := range p.usable() {
		switch {
		case g.From == -1 && s.Up < up && s.Down < g.FromDown: // deleted since; its followers stand at the log start or beyond
			g.From = s.Up + 1
			continue
		case s.Up < g.From || s.Down < g.FromDown || g.To != -1 && (s.Up >= g.To || s.Down >= g.ToDown):
			continue
		}
		if s.Up > up {
			g.To, g.ToDown = s.Up, s.Down
			break
		}
		g.From, g.FromDown, point = s.Up, s.Down, true
	}
	return g, point
}

// want remembers that an offset of a gap that is counted later was asked for.
func (p *partition) want(g stream.Gap, up stream.Upstream) {
	for i, w := range p.wanted {
		if w >= g.From && (g.To == -1 || w < g.To) {
			p.wanted[i] = min(w, up)
			return
		}
	}
	if len(p.wanted) < maxWanted {
		p.wanted = append(p.wanted, up)
	}
}

// Gaps lists what is to be counted and given to [Map.Fill], by partition and then by offset. A gap below the first run is listed
// only when Translate or Return was asked for a place inside, and no more of it than lies between the offset syncs around it.
func (m *Map) Gaps() []stream.Gap {
	m.mu.Lock()
	defer m.mu.Unlock()
	var gaps []stream.Gap
	for _, p := range m.partitions {
		if !m.holds(p.remote) {
			continue
		}
		if p.sourced {
			gaps = p.appendGaps(gaps)
		}
	}
	slices.SortFunc(gaps, func(a, b stream.Gap) int {
		return cmp.Or(cmp.Compare(a.Remote.Topic, b.Remote.Topic), cmp.Compare(a.Remote.Number, b.Remote.Number),
			cmp.Compare(a.FromDown, b.FromDown))
	})
	return gaps
}

func (p *partition) appendGaps(gaps []stream.Gap) []stream.Gap {
	gens := p.generations()
	if len(gens) == 0 { // which topic it is of is not known before the first ack
		return gaps
	}
	first := gens[0].from // segments before are of a topic that was deleted
	var kept []stream.Upstream
	for i := first; i <= len(p.segs); i++ {
		g, ok := p.gap(i)
		if !ok || g.ToDown <= p.start || g.To != -1 && g.To <= p.sourceStart {
			continue
		}
		switch {
		case p.later(i):
			for _, w := range p.wanted {
				if narrow, _ := p.piece(g, w); w >= g.From && (g.To == -1 || w < g.To) && narrow.FromDown < narrow.ToDown {
					narrow.Wanted = w
					if n := len(gaps); n > 0 && len(kept) > 0 && gaps[n-1].FromDown == narrow.FromDown {
						gaps[n-1].Wanted = min(gaps[n-1].Wanted, w)
						continue
					}
					gaps, kept = append(gaps, narrow), append(kept, w)
				}
			}
			continue
		case g.From != -1:
			g.Wanted = g.From
		default: // without holes the generation begins there, with holes before
			g.Wanted = max(g.To-stream.Upstream(g.Records()), 0)
		}
		if !p.replaced(gens, i, g) {
			gaps = append(gaps, g)
		}
	}
	p.wanted = kept
	return gaps
}

// replaced says that all of a gap belongs to source offsets that a later generation has anew.
func (p *partition) replaced(gens []generation, i int, g stream.Gap) bool {
	for _, gen := range gens {
		if gen.from < i && i < gen.to {
			return g.From >= gen.limit
		}
	}
	return false
}
