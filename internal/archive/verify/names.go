package verify

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
)

// leastBundle is what the trailer alone takes.
const leastBundle = 92

// isRemover says that a writer's bundles may tell of others that were removed.
func isRemover(writer string) bool {
	return strings.HasPrefix(writer, "archive-prune") || strings.HasPrefix(writer, "archive-compact")
}

// number is which of its writer's bundles one is.
type number struct {
	writer               string
	generation, sequence int64
}

func numberOf(h bundle.Header) number { return number{h.Writer, h.Generation, h.Sequence} }

// named finds two bundles with one number: their writers had one name, and each took itself for the only one.
func named(objects []catalog.Object) (all []Finding) {
	seen := make(map[number]string, len(objects))
	for _, o := range objects {
		n := numberOf(o.Header)
		if other, ok := seen[n]; ok {
			all = append(all, Finding{Object: o.Name, Do: "give each process that archives this source a name of its own",
				What: fmt.Sprintf("writer %s has made two bundles %d of generation %d: this one and %s", n.writer, n.sequence, n.generation, other)})
		}
		seen[n] = o.Name
	}
	return all
}

// removed is what was taken away on purpose.
type removed struct {
	digests map[bundle.Digest]bool
	runs    map[series][]span
	joined  bool
}

// series are the bundles of one generation of a writer.
type series struct {
	writer     string
	generation int64
}

// span are those with From <= sequence < To.
type span struct{ from, to int64 }

func newRemoved() *removed {
	return &removed{digests: make(map[bundle.Digest]bool), runs: make(map[series][]span)}
}

func (r *removed) add(f *bundle.Footer) {
	for _, e := range f.Events {
		gone, ok := e.Body.(bundle.Removed)
		if !ok {
			continue
		}
		for _, o := range gone.Objects {
			r.digests[o.Digest] = true
			if h, err := bundle.ParseName("", o.Name); err == nil {
				r.run(h.Writer, h.Generation, span{h.Sequence, h.Sequence + 1})
			}
		}
		for _, n := range gone.Runs {
			r.run(n.Writer, n.Generation, span{n.From, n.To})
		}
	}
}

func (r *removed) run(writer string, generation int64, s span) {
	key := series{writer, generation}
	all := r.runs[key]
	if n := len(all); n > 0 && all[n-1].to == s.from { // names come in order: a run of them takes no memory
		all[n-1].to = s.to
	} else {
		r.runs[key] = append(all, s)
	}
	r.joined = false
}

// join sorts the runs, for missing.
func (r *removed) join() {
	for key, all := range r.runs {
		slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.from, b.from) })
		out := all[:0]
		for _, s := range all {
			if n := len(out); n > 0 && s.from <= out[n-1].to {
				out[n-1].to = max(out[n-1].to, s.to)
			} else {
				out = append(out, s)
			}
		}
		r.runs[key] = out
	}
	r.joined = true
}

// has says that a bundle was removed, or is to be.
func (r *removed) has(n number) bool {
	return len(r.missing(series{n.writer, n.generation}, span{n.sequence, n.sequence + 1})) == 0
}

// missing are the numbers of a span of which nothing says that they were removed.
func (r *removed) missing(key series, s span) (all []span) {
	if !r.joined {
		r.join()
	}
	runs := r.runs[key]
	i, _ := slices.BinarySearchFunc(runs, s.from, func(run span, at int64) int { return cmp.Compare(run.to, at+1) })
	for ; i < len(runs) && runs[i].from < s.to; i++ {
		if s.from < runs[i].from {
			all = append(all, span{s.from, runs[i].from})
		}
		s.from = max(s.from, runs[i].to)
	}
	if s.from < s.to {
		all = append(all, s)
	}
	return all
}
