package verify

import (
	"fmt"
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
	numbers map[number]bool
}

func newRemoved() removed {
	return removed{digests: make(map[bundle.Digest]bool), numbers: make(map[number]bool)}
}

func (r removed) add(f *bundle.Footer) {
	for _, e := range f.Events {
		gone, ok := e.Body.(bundle.Removed)
		if !ok {
			continue
		}
		for _, o := range gone.Objects {
			r.digests[o.Digest] = true
			if h, err := bundle.ParseName("", o.Name); err == nil {
				r.numbers[numberOf(h)] = true
			}
		}
	}
}
