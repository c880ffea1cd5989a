package catalog

import (
	"cmp"
	"math"
	"slices"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/stream"
)

// cut is a truncation of the source as one writer has seen it.
type cut struct {
	order
	epoch    int32
	from, to stream.Upstream
}

// truncation is one of the source, with all that saw it. Two writers that have one partition at a time both do, each when it asks the
// source the next time, and tell the same offset and leader epoch.
type truncation struct {
	first, last int64 // when it was seen
	epoch       int32
	from, to    stream.Upstream // from: as far as the first one that saw it had archived
	seen        []cut
}

// sameWithin is how long it may take until all have seen it.
const sameWithin = 10 * time.Minute

// branch is the history of a partition that leads to a moment. Where the source was truncated another one parts from it.
type branch struct {
	limit int64
	cuts  []truncation // in their order
}

func branchTo(limit int64, cuts []cut) branch {
	slices.SortFunc(cuts, func(a, b cut) int { return a.order.compare(b.order) })
	b := branch{limit: limit}
	for _, c := range cuts {
		i := slices.IndexFunc(b.cuts, func(t truncation) bool { return t.is(c) })
		if i < 0 {
			b.cuts = append(b.cuts, truncation{first: c.at, last: c.at, epoch: c.epoch, from: c.from, to: c.to, seen: []cut{c}})
			continue
		}
		b.cuts[i].last = c.at
		b.cuts[i].seen = append(b.cuts[i].seen, c)
	}
	return b
}

// is says whether c tells of this truncation. A writer that tells of it once more has seen another one.
func (t truncation) is(c cut) bool {
	if t.to != c.to || t.epoch != c.epoch || c.at-t.last > sameWithin.Milliseconds() {
		return false
	}
	own, ok := t.by(c.when)
	return !ok || own.at == c.at
}

// by is what the writer of w has seen of it.
func (t truncation) by(w when) (cut, bool) {
	for _, c := range t.seen {
		if c.writer == w.writer && !c.again && !w.again {
			return c, true
		}
	}
	return cut{}, false
}

// after says that a chunk or a position was archived before the truncation. For a writer that saw it itself the chain tells: a chunk may
// have waited in memory when it was seen, and so be in a bundle that was created later. A truncation begins a bundle, so what stands
// beside it comes after it.
func (t truncation) after(w when) bool {
	if c, ok := t.by(w); ok {
		return cmp.Or(cmp.Compare(w.generation, c.generation), cmp.Compare(w.sequence, c.sequence)) < 0
	}
	return w.at < t.first
}

// passed says that the moment is behind it.
func (b branch) passed(t truncation) bool { return t.first <= b.limit }

// unbounded is above every offset.
const unbounded = stream.Upstream(math.MaxInt64)

// top is the offset from which on what was archived at a time is not of this branch. Two logs are the same below the offset at which
// they part:
//
//	archived before a truncation that the moment has seen: what was above is no more;
//	archived behind one that the moment has not seen: what is above has come later.
func (b branch) top(w when) stream.Upstream {
	w = b.settled(w)
	top := unbounded
	for _, t := range b.cuts {
		if t.after(w) == b.passed(t) {
			top = min(top, t.to)
		}
	}
	return top
}

// settled corrects the time of a bundle by the truncations that its writer saw, so that it can be compared with those that others saw.
func (b branch) settled(w when) when {
	for _, t := range b.cuts {
		if c, ok := t.by(w); ok && t.after(w) {
			w.at = min(w.at, t.first-1)
			break
		} else if ok {
			w.at = max(w.at, c.at)
		}
	}
	return w
}

// time is when something was archived, for a bundle that is to stand for it: on the same side of each truncation, going by the time
// alone.
func (b branch) time(w when) int64 {
	w = b.settled(w)
	for _, t := range b.cuts {
		if t.after(w) {
			return min(w.at, t.first-1)
		}
		w.at = max(w.at, t.last)
	}
	return w.at
}

// next is the first truncation behind the moment.
func (b branch) next() (truncation, bool) {
	for _, t := range b.cuts {
		if !b.passed(t) {
			return t, true
		}
	}
	return truncation{}, false
}

// above is the entry of a chunk of which nothing counts from an offset on. What was open there is as good as aborted: its end was lost.
func above(e *bundle.Entry, top stream.Upstream) *bundle.Entry {
	less := *e
	less.Open, less.Aborted = nil, nil
	for _, t := range e.Open {
		if t.First < top {
			less.Open = append(less.Open, t)
		}
	}
	for _, a := range e.Aborted {
		if a.First < top {
			a.Marker = min(a.Marker, top)
			less.Aborted = append(less.Aborted, a)
		}
	}
	return &less
}
