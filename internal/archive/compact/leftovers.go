package compact

import (
	"cmp"
	"slices"

	"tandem/internal/archive/bundle"
	"tandem/internal/stream"
)

// digestOf is the digest of a bundle that an earlier run left.
func (r *run) digestOf(name string) bundle.Digest {
	for _, s := range r.unfinished {
		if s.object.Name == name {
			return s.footer.Digest
		}
	}
	return bundle.Digest{}
}

// covered are the objects that an earlier run left and of which this one has stored, and proved, all offsets itself. That earlier run may
// not be at its end: what it has beyond them stays.
func (r *run) covered() (names []string) {
	type span struct{ from, to stream.Upstream }
	spans := make(map[partition][]span)
	for _, m := range r.made {
		for i := range m.footer.Chunks {
			e := &m.footer.Chunks[i]
			p := partitionOf(e.Topic, e.Partition)
			spans[p] = append(spans[p], span{e.First, e.Next})
		}
	}
	for _, all := range spans {
		slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	}
	whole := func(e *bundle.Entry) bool {
		at := e.First
		for _, s := range spans[partitionOf(e.Topic, e.Partition)] {
			if s.from <= at {
				at = max(at, s.to)
			}
		}
		return at >= e.Next
	}
	for _, s := range r.unfinished {
		all := true
		for i := range s.footer.Chunks {
			all = all && whole(&s.footer.Chunks[i])
		}
		if all {
			names = append(names, s.object.Name)
		}
	}
	return names
}
