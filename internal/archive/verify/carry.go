package verify

import (
	"slices"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	"tandem/internal/stream"
)

// carry is where the chunks of each partition have come to: transactions that are open at the end of one go on in the next.
type carry map[partition]reached

type reached struct {
	writer string
	next   stream.Upstream
	open   []bundle.Transaction
}

// add goes through the chunks of a bundle. Where a writer goes on at the end of its chunk before, what is open at the end of one
// chunk follows from the one before and from the markers between.
func (c carry) add(o catalog.Object, f *bundle.Footer, known []facts) (all []Finding) {
	anew := make(map[partition]bool) // the writer began again there
	for _, ev := range f.Events {
		switch b := ev.Body.(type) {
		case bundle.Truncated:
			anew[partitionOf(b.Topic, b.Partition)] = true
		case bundle.Gap:
			anew[partitionOf(b.Topic, b.Partition)] = true
		}
	}
	for i := range f.Chunks {
		e := &f.Chunks[i]
		p := partitionOf(e.Topic, e.Partition)
		before, ok := c[p]
		c[p] = reached{f.Header.Writer, e.Next, e.Open}
		if ok && !anew[p] && before.writer == f.Header.Writer && before.next == e.First && known != nil && known[i].known {
			all = append(all, carried(o.Name, e, before.open, known[i].markers)...)
		}
	}
	return all
}

func carried(object string, e *bundle.Entry, open []bundle.Transaction, markers []marker) (all []Finding) {
	for _, t := range open {
		i := slices.IndexFunc(markers, func(m marker) bool { return m.producer == t.ProducerID })
		still := slices.ContainsFunc(e.Open, func(o bundle.Transaction) bool { return o.ProducerID == t.ProducerID })
		switch {
		case i < 0 && !still:
			all = append(all, at(object, e, e.First, e.Next,
				"the transaction of producer %d from %d on was open before, has no marker here, and the footer does not say that it is open", t.ProducerID, t.First))
		case i >= 0 && markers[i].abort && !slices.ContainsFunc(e.Aborted, func(a bundle.Aborted) bool {
			return a.ProducerID == t.ProducerID && a.First <= t.First && a.Marker == markers[i].at
		}):
			all = append(all, at(object, e, e.First, e.Next,
				"the transaction of producer %d from %d to %d was aborted, and the footer does not say so", t.ProducerID, t.First, markers[i].at))
		}
	}
	for _, o := range e.Open {
		if o.First < e.First && !e.Committed && !slices.ContainsFunc(open, func(t bundle.Transaction) bool { return t.ProducerID == o.ProducerID }) {
			all = append(all, at(object, e, e.First, e.Next,
				"the footer says that a transaction of producer %d is open from %d on, and the chunk before does not know it", o.ProducerID, o.First))
		}
	}
	return all
}
