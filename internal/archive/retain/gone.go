package retain

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/stream"
)

// stretch is one of numbers in a row.
type stretch[T ~int64] struct{ from, to T }

// span is a stretch of a partition.
type span = stretch[stream.Upstream]

type ranges struct {
	topics map[part]bundle.Topic
	spans  map[part][]span
}

// ranges are what no bundle has any more, as earlier runs left it and as this one does.
func (d *decision) ranges() (before, after ranges) {
	was := ranges{make(map[part]bundle.Topic), make(map[part][]span)}
	for _, t := range d.removed {
		for _, r := range t.Body.(bundle.Removed).Ranges {
			p := part{lifeOf(r.Topic), r.Partition}
			was.topics[p] = r.Topic
			was.spans[p] = append(was.spans[p], span{r.From, r.To})
		}
	}
	now := ranges{make(map[part]bundle.Topic), make(map[part][]span)}
	for p, spans := range was.spans {
		was.spans[p] = joined(spans)
		now.topics[p] = was.topics[p]
		now.spans[p] = append(now.spans[p], was.spans[p]...)
	}
	for p, chunks := range d.parts {
		gone, stay := span{-1, -1}, []span(nil)
		for _, c := range chunks {
			if !d.goes(c.bundle) {
				if !d.cut[p] { // otherwise its offsets may be of a branch that does not count
					stay = append(stay, span{c.first, c.next})
				}
				continue
			}
			if now.topics[p] = c.topic; gone.from < 0 {
				gone.from = c.first
			}
			gone.to = max(gone.to, c.next)
		}
		if gone.from >= 0 {
			now.spans[p] = joined(append(now.spans[p], less(gone, joined(stay))...))
		}
	}
	for _, t := range d.events { // gaps that are not carried over
		if g, ok := t.Body.(bundle.Gap); ok && d.goes(t.bundle) && !d.above(g) {
			p := part{lifeOf(g.Topic), g.Partition}
			now.topics[p] = g.Topic
			now.spans[p] = joined(append(now.spans[p], span{g.From, g.To}))
		}
	}
	return was, now
}

// joined sorts spans and joins those that touch.
func joined[T ~int64](spans []stretch[T]) []stretch[T] {
	slices.SortFunc(spans, func(a, b stretch[T]) int { return cmp.Compare(a.from, b.from) })
	var out []stretch[T]
	for _, s := range spans {
		if s.from >= s.to {
			continue
		}
		if n := len(out); n > 0 && s.from <= out[n-1].to {
			out[n-1].to = max(out[n-1].to, s.to)
		} else {
			out = append(out, s)
		}
	}
	return out
}

// less is a span without others, which are sorted.
func less(s span, others []span) (out []span) {
	for _, o := range others {
		if o.from >= s.to {
			break
		}
		if o.from > s.from {
			out = append(out, span{s.from, o.from})
		}
		s.from = max(s.from, min(o.to, s.to))
	}
	return append(out, s)
}

// gone are the events that say what was removed: of this plan, and what is still needed of those that go with it. Ranges come
// first, as a later bundle may miss if the command is stopped between two.
func (d *decision) gone(r ranges, at time.Time) []bundle.Event {
	needed, last := d.named()
	there := make(map[string]bool)
	objects := make(map[string][]bundle.RemovedObject)
	for i, b := range d.bundles {
		switch {
		case d.left[i]:
			there[b.object.Name] = true
		case d.goes(i):
			objects[Pruned] = append(objects[Pruned], bundle.RemovedObject{Name: b.object.Name, Digest: b.digest})
		}
	}
	for _, t := range d.removed {
		if !d.goes(t.bundle) {
			continue
		}
		before := t.Body.(bundle.Removed)
		for _, o := range before.Objects {
			if needed[o.Digest] || there[o.Name] {
				objects[before.Reason] = append(objects[before.Reason], o)
			}
		}
	}
	var events []bundle.Event
	for _, list := range r.list() {
		events = append(events, bundle.Event{At: at, Body: bundle.Removed{Reason: Pruned, Ranges: list}})
	}
	for _, reason := range slices.Sorted(maps.Keys(objects)) {
		all := objects[reason]
		slices.SortFunc(all, func(a, b bundle.RemovedObject) int { return strings.Compare(a.Name, b.Name) })
		all = slices.CompactFunc(all, func(a, b bundle.RemovedObject) bool { return a.Name == b.Name })
		for list := range slices.Chunk(all, manyObjects) {
			events = append(events, bundle.Event{At: at, Body: bundle.Removed{Reason: reason, Objects: list}})
		}
	}
	for list := range slices.Chunk(d.numbers(last), manyRanges) {
		events = append(events, bundle.Event{At: at, Body: bundle.Removed{Reason: Pruned, Runs: list}})
	}
	return events
}

// numbers are those that events tell of which go, as far as a later number asks for them. With those that other events tell of
// they are few stretches.
func (d *decision) numbers(last map[run]int64) (all []bundle.RemovedRun) {
	known, going := make(map[run][]stretch[int64]), make(map[run][]stretch[int64])
	for _, t := range d.removed {
		note := func(r run, s stretch[int64]) {
			if s.from >= last[r] {
				return
			}
			if known[r] = append(known[r], s); d.goes(t.bundle) {
				going[r] = append(going[r], s)
			}
		}
		body := t.Body.(bundle.Removed)
		for _, o := range body.Objects {
			if h, err := bundle.ParseName("", o.Name); err == nil {
				note(run{h.Writer, h.Generation}, stretch[int64]{h.Sequence, h.Sequence + 1})
			}
		}
		for _, n := range body.Runs {
			note(run{n.Writer, n.Generation}, stretch[int64]{n.From, n.To})
		}
	}
	for r, lost := range going {
		lost = joined(lost)
		for _, s := range joined(known[r]) {
			if slices.ContainsFunc(lost, func(l stretch[int64]) bool { return s.from < l.to && l.from < s.to }) {
				all = append(all, bundle.RemovedRun{Writer: r.writer, Generation: r.generation, From: s.from, To: s.to})
			}
		}
	}
	slices.SortFunc(all, func(a, b bundle.RemovedRun) int {
		return cmp.Or(strings.Compare(a.Writer, b.Writer), cmp.Compare(a.Generation, b.Generation), cmp.Compare(a.From, b.From))
	})
	return all
}

// run is one of a writer's.
type run struct {
	writer     string
	generation int64
}

// named are the bundles that what stays makes one ask for: by digest, as the one before, and by number, as one before in its run.
func (d *decision) named() (digests map[bundle.Digest]bool, last map[run]int64) {
	digests, last = make(map[bundle.Digest]bool), make(map[run]int64)
	for i, b := range d.bundles {
		if d.goes(i) || d.left[i] {
			continue
		}
		if b.previous != (bundle.Digest{}) {
			digests[b.previous] = true
		}
		h := b.object.Header
		r := run{h.Writer, h.Generation}
		last[r] = max(last[r], h.Sequence)
	}
	return digests, last
}

// An event has at most 8 MiB.
const (
	manyObjects = 10_000
	manyRanges  = 10_000
)

func (r ranges) list() [][]bundle.RemovedRange {
	var all []bundle.RemovedRange
	for p, spans := range r.spans {
		for _, s := range spans {
			all = append(all, bundle.RemovedRange{Topic: r.topics[p], Partition: p.number, From: s.from, To: s.to})
		}
	}
	slices.SortFunc(all, func(a, b bundle.RemovedRange) int {
		return cmp.Or(strings.Compare(a.Topic.Name, b.Topic.Name), cmp.Compare(a.Topic.Incarnation, b.Topic.Incarnation),
			slices.Compare(a.Topic.ID[:], b.Topic.ID[:]), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.From, b.From))
	})
	return slices.Collect(slices.Chunk(all, manyRanges))
}
