package catalog

import (
	"cmp"
	"slices"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/stream"
)

// part is what was told of a partition in one life.
type part struct {
	seen   int64 // first
	chunks []chunk
	cuts   []cut
	gaps   []gap
	pruned []span
	claims []claim
}

type chunk struct {
	object *Object
	entry  *bundle.Entry
	steps  *[]bundle.Step // nil: archived when its bundle was created
	index  int32          // in the footer
}

type span struct{ from, to stream.Upstream }

type gap struct {
	when
	from, to stream.Upstream
}

// claim says that a writer has told, with and without a chunk, that everything below next is archived as far as it ever will be: the
// first and the last time. What lies between matters only if the source was truncated twice and came to the same offset in between.
type claim struct {
	next        stream.Upstream
	first, last when
}

func (p *part) see(at int64) { p.seen = min(p.seen, at) }

// claim keeps claims by offset and writer.
func (p *part) claim(next stream.Upstream, at when) {
	i, ok := slices.BinarySearchFunc(p.claims, claim{next: next, first: at}, func(a, b claim) int {
		return cmp.Or(cmp.Compare(a.next, b.next), cmp.Compare(a.first.writer, b.first.writer))
	})
	if !ok {
		p.claims = slices.Insert(p.claims, i, claim{next: next, first: at, last: at})
		return
	}
	c := &p.claims[i]
	if at.inChain(c.first) < 0 {
		c.first = at
	}
	if at.inChain(c.last) > 0 {
		c.last = at
	}
}

// inChain compares bundles of one writer.
func (w when) inChain(o when) int {
	return cmp.Or(cmp.Compare(w.generation, o.generation), cmp.Compare(w.sequence, o.sequence), cmp.Compare(w.at, o.at))
}

func (p *part) join(o *part) *part {
	both := &part{
		seen: min(p.seen, o.seen), chunks: slices.Concat(p.chunks, o.chunks), cuts: slices.Concat(p.cuts, o.cuts),
		gaps: slices.Concat(p.gaps, o.gaps), pruned: slices.Concat(p.pruned, o.pruned), claims: slices.Clone(p.claims),
	}
	for _, c := range o.claims {
		both.claim(c.next, c.first)
		both.claim(c.next, c.last)
	}
	return both
}

// piece is what counts of a chunk, or of a step of one: from <= offset < to.
type piece struct {
	from, to stream.Upstream
	chunk    *chunk
	when     when
	entry    *bundle.Entry // the chunk's, or what is left of it
	doomed   bool          // somebody has said that this object will be removed
}

// show is the partition as of a moment: of the branch of its history that leads there.
func (p *part) show(number int32, limit int64, doomed func(string) bool) (Part, bool) {
	b := branchTo(limit, p.cuts)
	slices.SortFunc(p.chunks, func(a, b chunk) int { return a.order().compare(b.order()) })
	out := Part{Number: number}
	var all []piece
	for i := range p.chunks {
		c := &p.chunks[i]
		mine, counts := b.pieces(c)
		if !counts {
			continue
		}
		entry := c.entry
		if n := len(mine); n > 0 && mine[n-1].to < entry.Next {
			entry = above(entry, mine[n-1].to)
		}
		out.Entries = append(out.Entries, entry)
		gone := doomed(c.object.Name)
		for j := range mine {
			mine[j].entry, mine[j].doomed = entry, gone
		}
		all = append(all, mine...)
	}
	slices.SortStableFunc(all, func(a, b piece) int { return cmp.Compare(a.from, b.from) })
	sweep(all, piece.preferred, func(from, to stream.Upstream, of *piece) {
		if n := len(out.Stretches); n > 0 && out.Stretches[n-1].Entry == of.entry && out.Stretches[n-1].To == from {
			out.Stretches[n-1].To = to
			return
		}
		out.Stretches = append(out.Stretches, Stretch{
			Object: of.chunk.object, Chunk: int(of.chunk.index), Entry: of.entry, From: from, To: to,
			archived: b.steps(of.chunk),
		})
	})
	out.Stretches = slices.Clip(out.Stretches)
	out.archived = staircase(all)
	out.Holes = p.holes(out, b)
	lost := slices.ContainsFunc(out.Holes, func(h Hole) bool { return h.Why == Lost })
	return out, len(out.Stretches) > 0 || len(out.Entries) > 0 || lost
}

func (c *chunk) order() order {
	at := c.object.Header.CreatedAt.UnixMilli()
	if c.steps != nil {
		at = (*c.steps)[0].At.UnixMilli()
	}
	return order{when: placed(c.object, at, c.steps != nil), index: int(c.index)}
}

// pieces are what counts of a chunk; counts is false where nothing of it does, also no part of its entry.
func (b branch) pieces(c *chunk) (out []piece, counts bool) {
	w, e := c.order().when, c.entry
	steps := []bundle.Step{{At: fromMillis(w.at), Next: e.Next}}
	if c.steps != nil {
		steps = *c.steps
	}
	from := e.First
	for _, s := range steps {
		w.at = s.At.UnixMilli()
		to, top := min(s.Next, e.Next), b.top(w)
		counts = counts || from < top || e.First == e.Next && from <= top
		if end := min(to, top); end > from {
			out = append(out, piece{from: from, to: end, chunk: c, when: w})
		}
		from = max(from, to)
	}
	return out, counts
}

// preferred says whether to read a piece rather than another one that has the same offsets.
func (a piece) preferred(b piece) bool {
	again := func(p piece) int {
		if p.chunk.steps != nil {
			return 0 // fewer and larger chunks
		}
		return 1
	}
	gone := func(p piece) int {
		if p.doomed {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(gone(a), gone(b)), cmp.Compare(b.chunk.entry.LeaderEpoch, a.chunk.entry.LeaderEpoch),
		cmp.Compare(a.when.at, b.when.at), cmp.Compare(again(a), again(b)), a.when.compare(b.when),
		cmp.Compare(a.chunk.index, b.chunk.index)) < 0
}

// steps are when a chunk was archived, nil where that was when its bundle was created.
func (b branch) steps(c *chunk) []bundle.Step {
	w := c.order().when
	if c.steps == nil {
		if at := b.time(w); at != w.at {
			return []bundle.Step{{At: fromMillis(at), Next: c.entry.Next}}
		}
		return nil
	}
	return *c.steps
}

// Steps are when what part of the stretch was first archived, in the form that a Compacted event has: at times that stand before or
// behind each truncation of the source as the stretch does.
func (s Stretch) Steps() []bundle.Step {
	if s.archived == nil {
		return []bundle.Step{{At: s.Object.Header.CreatedAt, Next: s.To}}
	}
	var out []bundle.Step
	for _, step := range s.archived {
		if step.Next <= s.From {
			continue
		}
		out = append(out, bundle.Step{At: step.At, Next: min(step.Next, s.To)})
		if step.Next >= s.To {
			break
		}
	}
	return out
}

// ArchivedUntil is the offset below which everything was archived at t that ever was: a hole is nothing to wait for.
func (p Part) ArchivedUntil(t time.Time) stream.Upstream {
	i, _ := slices.BinarySearchFunc(p.archived, t.UnixMilli(), func(s stair, at int64) int {
		if s.at <= at {
			return -1
		}
		return 1
	})
	if i == len(p.archived) {
		return p.Next()
	}
	return p.archived[i].from
}

// stair says that from an offset on not everything was archived before a time.
type stair struct {
	at   int64
	from stream.Upstream
}

// staircase has the times at which everything up to an offset had come. Times rise.
func staircase(all []piece) (stairs []stair) {
	sooner := func(a, b piece) bool { return a.when.at < b.when.at }
	sweep(all, sooner, func(from, _ stream.Upstream, of *piece) {
		if n := len(stairs); n == 0 || of.when.at > stairs[n-1].at {
			stairs = append(stairs, stair{of.when.at, from})
		}
	})
	return slices.Clip(stairs)
}
