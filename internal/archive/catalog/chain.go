package catalog

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"

	"tandem/internal/archive/bundle"
)

// chain holds what the bundles of each writer say of the one before.
type chain struct {
	digests map[bundle.Digest]bool // of bundles that are there, and of those that were removed
	removed map[nameSum]bool       // names of those: there may be millions
	links   []link                 // to bundles that were not there yet
}

// nameSum stands for a name.
type nameSum [16]byte

func sumOf(name string) nameSum {
	sum := sha256.Sum256([]byte(name))
	return nameSum(sum[:])
}

// link names the bundle before one.
type link struct {
	from     when
	name     string
	previous bundle.Digest
}

func newChain() chain {
	return chain{digests: make(map[bundle.Digest]bool), removed: make(map[nameSum]bool)}
}

func (c *chain) add(o *Object, f *bundle.Footer) {
	c.digests[f.Digest] = true
	if f.Previous != (bundle.Digest{}) && !c.digests[f.Previous] {
		at := placed(o, o.Header.CreatedAt.UnixMilli(), false)
		c.links = append(c.links, link{from: at, name: o.Name, previous: f.Previous})
	}
}

func (c *chain) gone(all []bundle.RemovedObject) {
	for _, o := range all {
		if o.Digest != (bundle.Digest{}) {
			c.digests[o.Digest] = true
		}
		c.removed[sumOf(o.Name)] = true
	}
}

// doomed says that an object is to be removed, if it is there.
func (c *chain) doomed(name string) bool { return c.removed[sumOf(name)] }

// missing are bundles that others name, and that are neither there, nor damaged, nor removed.
func (c *chain) missing(damaged []Damaged) (all []string) {
	links := slices.Clone(c.links)
	slices.SortFunc(links, func(a, b link) int { return a.from.compare(b.from) })
	told := make(map[bundle.Digest]bool)
	for _, l := range links {
		if c.digests[l.previous] || told[l.previous] || c.doomed(l.name) || slices.ContainsFunc(damaged, l.mayBe) {
			continue
		}
		told[l.previous] = true
		which := fmt.Sprintf("sequence %d", l.from.sequence-1)
		if l.from.sequence == 0 {
			which = fmt.Sprintf("the last one before generation %d", l.from.generation)
		} else {
			which = fmt.Sprintf("generation %d, %s", l.from.generation, which)
		}
		all = append(all, fmt.Sprintf("bundle of writer %s, %s, digest %s: named by %s", l.from.writer, which, l.previous, l.name))
	}
	return all
}

// mayBe says whether a damaged object is the bundle before: its digest is not known.
func (l link) mayBe(d Damaged) bool {
	h := d.Header
	if h.Writer != l.from.writer {
		return false
	}
	if l.from.sequence > 0 {
		return h.Generation == l.from.generation && h.Sequence == l.from.sequence-1
	}
	return cmp.Compare(h.Generation, l.from.generation) < 0
}
