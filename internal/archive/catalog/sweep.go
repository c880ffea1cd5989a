package catalog

import (
	"container/heap"

	"tandem/internal/stream"
)

// sweep goes over pieces, sorted by where they begin, in the order of their offsets, and says which of those that have an offset is
// the best. Equal ones must not be.
func sweep(all []piece, better func(a, b piece) bool, each func(from, to stream.Upstream, of *piece)) {
	open := &pieces{better: better}
	for at, i := stream.Upstream(0), 0; i < len(all) || len(open.all) > 0; {
		if len(open.all) == 0 {
			at = max(at, all[i].from)
		}
		for ; i < len(all) && all[i].from <= at; i++ {
			heap.Push(open, &all[i])
		}
		for len(open.all) > 0 && open.all[0].to <= at {
			heap.Pop(open)
		}
		if len(open.all) == 0 {
			continue
		}
		best := open.all[0]
		to := best.to
		if i < len(all) {
			to = min(to, all[i].from)
		}
		each(at, to, best)
		at = to
	}
}

// pieces is a heap, the best one at its top.
type pieces struct {
	all    []*piece
	better func(a, b piece) bool
}

func (p *pieces) Len() int           { return len(p.all) }
func (p *pieces) Less(i, j int) bool { return p.better(*p.all[i], *p.all[j]) }
func (p *pieces) Swap(i, j int)      { p.all[i], p.all[j] = p.all[j], p.all[i] }
func (p *pieces) Push(x any)         { p.all = append(p.all, x.(*piece)) }
func (p *pieces) Pop() any {
	last := p.all[len(p.all)-1]
	p.all = p.all[:len(p.all)-1]
	return last
}
