package catalog

import (
	"slices"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/stream"
)

// Overviewing folds footers into an Overview. Unlike a View it is for archives of any size: it keeps no entries, but for each partition
// the stretches in which one writer went on without a break, so its memory goes by topics and what befell them, not by bundles. In
// return footers of a writer have to be added in their order, and where several writers archived one partition at a time when the source was
// truncated, a hole may be overlooked, or shown in two (archive ls and archive verify look at all of it). It is not safe for concurrent use.
type Overviewing struct {
	view    *View // chunks in it stand for many
	damaged int
	word    map[lifeKey]int64 // the last one about a life
}

// NewOverviewing begins.
func NewOverviewing(source string) *Overviewing {
	return &Overviewing{view: NewView(source, time.Time{}, nil), word: make(map[lifeKey]int64)}
}

// AddDamaged notes an object that cannot be used.
func (o *Overviewing) AddDamaged(obj Object) {
	o.view.count(&obj)
	o.damaged++
}

// Add folds the footer of an object.
func (o *Overviewing) Add(obj Object, f *bundle.Footer) {
	o.view.count(&obj)
	steps := stepsOf(f)
	b := folding{object: &obj, created: placed(&obj, f.Header.CreatedAt.UnixMilli(), steps != nil)}
	for i, e := range f.Events { // before the chunks: a truncation begins a bundle
		o.event(b, order{when: placed(&obj, e.At.UnixMilli(), steps != nil), index: i}, e)
	}
	ends := make(map[*part]stream.Upstream, len(f.Chunks))
	for i := range f.Chunks {
		p := o.chunk(b, int32(i), &f.Chunks[i], steps[i])
		ends[p] = max(ends[p], f.Chunks[i].Next)
	}
	if steps == nil {
		for i := range f.Positions {
			o.position(b, &f.Positions[i], ends)
		}
	}
}

// chunk goes on with the stretch before it where it can.
func (o *Overviewing) chunk(b folding, index int32, e *bundle.Entry, steps []bundle.Step) *part {
	p, first, last := o.view.part(e.Topic, e.Partition), b.created.at, b.created.at
	if len(steps) > 0 {
		first, last = steps[0].At.UnixMilli(), steps[len(steps)-1].At.UnixMilli()
	}
	o.said(e.Topic, last)
	o.view.life(e.Topic).see(first)
	p.see(first)
	if n := len(p.chunks); n > 0 && steps == nil {
		before := &p.chunks[n-1]
		h, own := before.object.Header, b.object.Header
		if before.steps == nil && before.entry.Next == e.First && h.Writer == own.Writer && h.Generation == own.Generation && p.quiet(h, own) {
			before.entry.Next = e.Next
			return p
		}
	}
	c := chunk{object: b.object, index: index}
	c.entry = &bundle.Entry{Topic: o.view.life(e.Topic).topic, Partition: e.Partition, LeaderEpoch: e.LeaderEpoch, First: e.First, Next: e.Next}
	if len(steps) > 0 {
		steps = p.fewer(steps)
		c.steps = &steps
	}
	p.chunks = append(p.chunks, c)
	return p
}

// quiet says that no truncation lies between two bundles of a writer, by its own chain or by the clock.
func (p *part) quiet(from, to bundle.Header) bool {
	return !slices.ContainsFunc(p.cuts, func(c cut) bool {
		if c.writer == to.Writer && c.generation == to.Generation && !c.again {
			return from.Sequence < c.sequence && c.sequence <= to.Sequence
		}
		return from.CreatedAt.UnixMilli() < c.at && c.at <= to.CreatedAt.UnixMilli()
	})
}

// fewer joins steps that no truncation lies between: the time of the first one stands for all.
func (p *part) fewer(steps []bundle.Step) (out []bundle.Step) {
	for _, s := range steps {
		n := len(out)
		if n == 0 || slices.ContainsFunc(p.cuts, func(c cut) bool { return out[n-1].At.UnixMilli() < c.at && c.at <= s.At.UnixMilli() }) {
			out = append(out, s)
			continue
		}
		out[n-1].Next = s.Next
	}
	return slices.Clip(out)
}

// position keeps, of where a writer said that a partition goes on, the lowest and the highest place since the last truncation.
func (o *Overviewing) position(b folding, q *bundle.Position, ends map[*part]stream.Upstream) {
	p := o.view.part(q.Topic, q.Partition)
	o.said(q.Topic, b.created.at)
	o.view.life(q.Topic).see(b.created.at)
	p.see(b.created.at)
	if end, ok := ends[p]; ok && end == q.Next {
		return
	}
	p.claim(q.Next, b.created)
	since := int64(0)
	for _, c := range p.cuts {
		since = max(since, c.at)
	}
	p.extremes(b.created.writer, since)
}

// extremes drops the claims of a writer that say less than its others.
func (p *part) extremes(writer string, since int64) {
	low, high, n := -1, -1, 0
	mine := func(c claim) bool { return c.first.writer == writer && c.first.at > since }
	for i, c := range p.claims {
		if !mine(c) {
			continue
		}
		if low < 0 {
			low = i
		}
		high, n = i, n+1
	}
	if n <= 2 {
		return
	}
	kept := p.claims[:0]
	for i, c := range p.claims {
		if !mine(c) || i == low || i == high {
			kept = append(kept, c)
		}
	}
	p.claims = kept
}

// event keeps what has a say in what can be restored since when.
func (o *Overviewing) event(b folding, at order, e bundle.Event) {
	switch body := e.Body.(type) {
	case bundle.TopicCreated, bundle.TopicRecreated, bundle.TopicWidened, bundle.TopicDeleted, bundle.Truncated, bundle.Gap:
		o.view.event(b, at, e)
	case bundle.Mark:
		body.Positions = nil
		o.view.mark(b, at, body)
	case bundle.Removed:
		for _, g := range body.Ranges {
			p := o.view.part(g.Topic, g.Partition)
			p.pruned = merged(append(p.pruned, span{g.From, g.To})) // each prune says all of them again
		}
	}
}

func (o *Overviewing) said(t bundle.Topic, at int64) {
	key := keyOf(t)
	if before, ok := o.word[key]; ok {
		if at > before {
			o.word[key] = at
		}
		return
	}
	key.name = o.view.life(t).topic.Name // not a piece of a footer
	o.word[key] = at
}
