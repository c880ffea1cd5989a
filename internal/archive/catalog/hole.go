package catalog

import (
	"cmp"
	"slices"

	"tandem/internal/stream"
)

// holes are the offsets that no stretch has, from the first place that the archive of the partition is known to have had to the last one.
// A place is where a stretch begins or ends, and where a writer said that it goes on. What is missing before the first stretch and is
// accounted for is no hole: the archive begins behind it.
func (p *part) holes(shown Part, b branch) (holes []Hole) {
	all := p.known(shown, b)
	covered := make([]span, len(shown.Stretches))
	for i, s := range shown.Stretches {
		covered[i] = span{s.From, s.To}
	}
	_, open := split(all, covered)
	if len(open) == 0 {
		return nil
	}
	gone := make([]span, 0, len(p.gaps))
	for _, g := range p.gaps {
		gone = append(gone, span{g.from, min(g.to, b.top(g.when))})
	}
	deleted, open := split(open, merged(gone))
	pruned, lost := split(open, merged(slices.Clone(p.pruned)))
	for why, spans := range map[Why][]span{Deleted: deleted, Pruned: pruned, Lost: lost} {
		for _, s := range spans {
			holes = append(holes, Hole{From: s.from, To: s.to, Why: why})
		}
	}
	slices.SortFunc(holes, func(a, b Hole) int { return cmp.Compare(a.From, b.From) })
	begins := 0
	for begins < len(holes) && holes[begins].Why != Lost && (len(covered) == 0 || holes[begins].From < covered[0].from) {
		begins++
	}
	if begins == len(holes) {
		return nil
	}
	return slices.Clone(holes[begins:])
}

// known is the span that holes are looked for in, none or one.
func (p *part) known(shown Part, b branch) []span {
	low, high := unbounded, stream.Upstream(0)
	place := func(at stream.Upstream) { low, high = min(low, at), max(high, at) }
	if n := len(shown.Stretches); n > 0 {
		place(shown.Stretches[0].From)
		place(shown.Stretches[n-1].To)
	}
	for _, c := range p.claims {
		for _, w := range []when{c.first, c.last} {
			if at, ok := p.place(c.next, w, b); ok {
				place(at)
			}
		}
	}
	if t, ok := b.next(); ok {
		place(t.from) // so far its writer had come
	}
	for i, t := range b.cuts {
		if !b.passed(t) {
			break
		}
		at := t.to // and from here it went on
		for _, later := range b.cuts[i+1:] {
			if b.passed(later) {
				at = min(at, later.to)
			}
		}
		place(at)
	}
	if low >= high {
		return nil
	}
	return []span{{low, high}}
}

// place is what a writer's word of where the archive goes on means on this branch; ok is false where it was said on another one.
//
// A writer also repeats what it once read of others. After a truncation that others saw that may be of the time before; so its word
// counts only once it has archived something itself.
func (p *part) place(next stream.Upstream, w when, b branch) (at stream.Upstream, ok bool) {
	at, w = next, b.settled(w)
	for _, t := range b.cuts {
		switch before, passed := t.after(w), b.passed(t); {
		case !passed && !before:
			return 0, false
		case passed && (before || !p.archives(w, t, b)):
			at = min(at, t.to)
		}
	}
	return at, true
}

// archives says whether the writer of w had seen a truncation, or archived something behind it, by then.
func (p *part) archives(w when, t truncation, b branch) bool {
	if _, ok := t.by(w); ok {
		return true
	}
	return slices.ContainsFunc(p.chunks, func(k chunk) bool {
		at := b.settled(k.order().when)
		return at.writer == w.writer && !at.again && at.inChain(w) <= 0 && !t.after(at)
	})
}

// merged sorts spans and joins those that touch; it uses their memory.
func merged(all []span) (out []span) {
	slices.SortFunc(all, func(a, b span) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to)) })
	for _, s := range all {
		switch n := len(out); {
		case s.to <= s.from:
		case n > 0 && s.from <= out[n-1].to:
			out[n-1].to = max(out[n-1].to, s.to)
		default:
			out = append(out, s)
		}
	}
	return out
}

// split cuts spans into what is inside of others and what is not. All are sorted and do not overlap.
func split(all, others []span) (inside, outside []span) {
	for _, s := range all {
		for len(others) > 0 && others[0].to <= s.from {
			others = others[1:]
		}
		for _, o := range others {
			if o.from >= s.to {
				break
			}
			if o.from > s.from {
				outside = append(outside, span{s.from, o.from})
			}
			s.from = max(s.from, o.from)
			end := min(s.to, o.to)
			inside = append(inside, span{s.from, end})
			s.from = end
		}
		if s.from < s.to {
			outside = append(outside, s)
		}
	}
	return inside, outside
}
