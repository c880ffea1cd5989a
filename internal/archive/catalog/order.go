package catalog

import (
	"cmp"
	"math"
	"time"

	"tandem/internal/archive/bundle"
)

// when is the place of something in the history of a source.
type when struct {
	at         int64 // milliseconds
	writer     string
	generation int64
	sequence   int64
	again      bool // it stands in a bundle that was put together of older ones: its own time counts, its place in the chain says nothing
}

// order is a when and the index in the bundle: no two things have one. It does not depend on the order in which footers are read.
type order struct {
	when
	index int
}

func placed(o *Object, at int64, again bool) when {
	return when{at: at, writer: o.Header.Writer, generation: o.Header.Generation, sequence: o.Header.Sequence, again: again}
}

func (w when) compare(o when) int {
	return cmp.Or(cmp.Compare(w.at, o.at), cmp.Compare(w.writer, o.writer), cmp.Compare(w.generation, o.generation),
		cmp.Compare(w.sequence, o.sequence))
}

func (o order) compare(p order) int {
	return cmp.Or(o.when.compare(p.when), cmp.Compare(o.index, p.index))
}

// limit is the last millisecond of a moment; the zero moment has no end.
func limit(at time.Time) int64 {
	if at.IsZero() {
		return math.MaxInt64
	}
	return at.UnixMilli()
}

func fromMillis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// stepsOf are the steps of the chunks of a bundle that was put together of older ones: nil where it was not.
func stepsOf(f *bundle.Footer) map[int][]bundle.Step {
	var all map[int][]bundle.Step
	for _, e := range f.Events {
		c, ok := e.Body.(bundle.Compacted)
		if !ok {
			continue
		}
		if all == nil {
			all = make(map[int][]bundle.Step)
		}
		for _, chunk := range c.Chunks {
			n := len(chunk.Steps)
			if chunk.Chunk < len(f.Chunks) && n > 0 && chunk.Steps[n-1].Next == f.Chunks[chunk.Chunk].Next {
				all[chunk.Chunk] = chunk.Steps
			}
		}
	}
	return all
}
