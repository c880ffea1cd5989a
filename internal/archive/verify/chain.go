package verify

import (
	"cmp"
	"fmt"
	"slices"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
)

// chain is what each bundle says of the one that its writer made before.
type chain struct{ links []link }

type link struct {
	number
	object   string
	opened   bool
	damaged  bool
	digest   bundle.Digest
	previous bundle.Digest
}

// list takes note of a bundle of which no more than the name is known.
func (c *chain) list(o catalog.Object) {
	c.links = append(c.links, link{number: numberOf(o.Header), object: o.Name})
}

func (c *chain) damaged(o catalog.Object) {
	c.links = append(c.links, link{number: numberOf(o.Header), object: o.Name, damaged: true})
}

func (c *chain) add(o catalog.Object, f *bundle.Footer) {
	c.links = append(c.links, link{number: numberOf(o.Header), object: o.Name, opened: true, digest: f.Digest, previous: f.Previous})
}

// findings are the bundles that are not there. Numbers tell of those inside of a generation, digests of those at its end, and
// of one that was exchanged. What a generation lacks is told once.
func (c *chain) findings(gone *removed) (all []Finding) {
	slices.SortFunc(c.links, func(a, b link) int {
		return cmp.Or(cmp.Compare(a.writer, b.writer), cmp.Compare(a.generation, b.generation), cmp.Compare(a.sequence, b.sequence),
			cmp.Compare(a.object, b.object))
	})
	there := make(map[bundle.Digest]bool, len(c.links))
	for _, l := range c.links {
		there[l.digest] = l.opened
	}
	for i, l := range c.links {
		var before *link
		if i > 0 && c.links[i-1].writer == l.writer {
			before = &c.links[i-1]
		}
		lacks := c.lacks(l, before, gone)
		all = append(all, lacks...)
		none := l.previous == bundle.Digest{} || there[l.previous] || gone.digests[l.previous] || gone.has(l.number) // a lock may hold it
		if !l.opened || none || len(lacks) > 0 || before != nil && before.damaged {
			continue
		}
		f := Finding{Object: l.object, Do: doCopy,
			What: fmt.Sprintf("the bundle that writer %s made before it, digest %s, is not there", l.writer, l.previous)}
		if before != nil && before.generation == l.generation && before.sequence == l.sequence-1 {
			f.Object = before.object
			f.What = fmt.Sprintf("it is not the bundle that its writer wrote there: the next one, %s, names the digest %s", l.object, l.previous)
			f.Do = "two writers had one name, or somebody exchanged it: " + doCopy
		}
		all = append(all, f)
	}
	return all
}

// lacks are the numbers of a generation that are missing before one.
func (c *chain) lacks(l link, before *link, gone *removed) (all []Finding) {
	asked := span{0, l.sequence}
	if before != nil && before.generation == l.generation {
		asked.from = before.sequence + 1
	}
	for _, s := range gone.missing(series{l.writer, l.generation}, asked) {
		what := fmt.Sprintf("bundle %d", s.from)
		if s.to-1 > s.from {
			what = fmt.Sprintf("bundles %d to %d", s.from, s.to-1)
		}
		all = append(all, Finding{Object: l.object, Do: doCopy,
			What: fmt.Sprintf("%s of writer %s, generation %d, should be there before it, and nothing says that it was removed", what, l.writer, l.generation)})
	}
	return all
}
