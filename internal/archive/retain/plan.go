package retain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	"tandem/internal/stream"
)

// Pruned is the reason in a Removed event of what a Plan removes.
const Pruned = "pruned"

// Options say what a plan has to leave.
type Options struct {
	Keep []string  // names of points whose records stay
	Now  time.Time // of the events that say what was removed
}

// Plan says what goes, and what is written before.
type Plan struct {
	Remove    []catalog.Object // by name
	Leftovers []catalog.Object // removed by an earlier run, and still there
	Stay      map[Why]int      // old bundles that stay
	Bytes     int64            // of Remove and Leftovers

	Events []bundle.Event // what is carried over, and behind it what was removed: in this order into new bundles

	Lost    []Point  // that are not kept, and miss something afterwards
	Lasting []string // topics that lose records which the source may still have

	Before, After time.Time // since when records are all there, by the archive's clock; zero: there are none
}

// Point is a named moment.
type Point struct {
	Name string    `json:"name"`
	At   time.Time `json:"at"`
}

// Why an old bundle stays.
type Why string

// The reasons.
const (
	Damaged    Why = "cannot be read"
	Newer      Why = "has events of a newer version of Tandem"
	Newest     Why = "is among the newest of its writer"
	Contiguous Why = "younger bundles go on from it"
	Kept       Why = "is needed by a kept point"
	Ends       Why = "transactions end there"
	Branches   Why = "the source was truncated, and older bundles stay"
)

// decision is a plan that is being made.
type decision struct {
	*Survey
	left  map[int]bool // leftovers
	stays map[int]Why  // old bundles that stay
	parts map[part][]placed
}

// placed is a chunk and its bundle.
type placed struct {
	chunk
	bundle int
}

// Plan decides. The error says that a point to be kept is not there.
func (s *Survey) Plan(o Options) (Plan, error) {
	d := &decision{Survey: s, left: s.leftovers(), stays: make(map[int]Why)}
	d.parts = d.byPart()
	d.stand()
	kept, err := d.keepPoints(o.Keep)
	if err != nil {
		return Plan{}, err
	}
	d.complete()

	p := Plan{Stay: make(map[Why]int)}
	for i, b := range s.bundles {
		switch why, stays := d.stays[i]; {
		case d.left[i]:
			p.Leftovers = append(p.Leftovers, b.object)
			p.Bytes += b.object.Size
		case stays:
			p.Stay[why]++
		case d.goes(i):
			p.Remove = append(p.Remove, b.object)
			p.Bytes += b.object.Size
		}
	}
	byName := func(a, b catalog.Object) int { return strings.Compare(a.Name, b.Name) }
	slices.SortFunc(p.Remove, byName)
	slices.SortFunc(p.Leftovers, byName)
	lost := d.lost(kept)
	for _, pt := range lost {
		p.Lost = append(p.Lost, Point{pt.Name, pt.At})
	}
	before, after := d.ranges()
	p.Before, p.After = d.since(before, false), d.since(after, true)
	p.Lasting = d.lasting()
	if len(p.Remove) > 0 {
		p.Events = append(d.carried(kept, lost), d.gone(after, o.Now)...)
	}
	return p, nil
}

// leftovers are bundles that are named as removed. Those that can be read must be the ones that were meant.
func (s *Survey) leftovers() map[int]bool {
	named := make(map[string]bundle.Digest)
	for _, t := range s.removed {
		for _, o := range t.Body.(bundle.Removed).Objects {
			named[o.Name] = o.Digest
		}
	}
	left := make(map[int]bool)
	for i, b := range s.bundles {
		if digest, ok := named[b.object.Name]; ok && (b.damaged || digest == b.digest || digest == (bundle.Digest{})) {
			left[i] = true
		}
	}
	return left
}

func (d *decision) goes(i int) bool {
	_, stays := d.stays[i]
	return d.bundles[i].old && !stays && !d.left[i]
}

func (d *decision) byPart() map[part][]placed {
	all := make(map[part][]placed)
	for i, b := range d.bundles {
		if d.left[i] {
			continue
		}
		for _, c := range b.chunks {
			all[c.part] = append(all[c.part], placed{c, i})
		}
	}
	for _, chunks := range all {
		slices.SortFunc(chunks, func(a, b placed) int { return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.next, b.next)) })
	}
	return all
}

// stand finds what stays for reasons of its own.
func (d *decision) stand() {
	newest := d.newest()
	for i, b := range d.bundles {
		switch {
		case d.left[i]:
		case b.damaged:
			d.stays[i] = Damaged
		case !b.old:
		case b.unknown:
			d.stays[i] = Newer
		case newest[i]:
			d.stays[i] = Newest
		case slices.ContainsFunc(b.chunks, func(c chunk) bool { low, ok := d.low[c.part]; return ok && c.next > low }):
			d.stays[i] = Contiguous
		}
	}
}

// newest are the last bundle of each writer and its last one with positions. Commands write bundles without positions and without
// a chain: of these none is needed to go on.
func (d *decision) newest() map[int]bool {
	type latest struct {
		any, positions int
		chained        bool
	}
	writers := make(map[string]*latest)
	for i, b := range d.bundles {
		if b.damaged || d.left[i] {
			continue
		}
		w := writers[b.object.Header.Writer]
		if w == nil {
			w = &latest{any: i, positions: -1}
			writers[b.object.Header.Writer] = w
		}
		w.chained = w.chained || b.positions || b.previous != (bundle.Digest{})
		if d.later(i, w.any) {
			w.any = i
		}
		if b.positions && (w.positions < 0 || d.later(i, w.positions)) {
			w.positions = i
		}
	}
	all := make(map[int]bool)
	for name, w := range writers {
		if w.positions >= 0 {
			all[w.positions] = true
		}
		if w.chained || !strings.HasPrefix(name, "archive-") {
			all[w.any] = true
		}
	}
	return all
}

func (d *decision) later(i, j int) bool {
	a, b := d.bundles[i].object.Header, d.bundles[j].object.Header
	return cmp.Or(cmp.Compare(a.Generation, b.Generation), cmp.Compare(a.Sequence, b.Sequence), a.CreatedAt.Compare(b.CreatedAt)) > 0
}

// complete keeps what is needed to read what stays.
func (d *decision) complete() {
	for d.endings() || d.branches() { // each may keep what the other looks at
	}
}

// endings keeps, behind each chunk that stays with an open transaction, the one that goes on from it.
func (d *decision) endings() (more bool) {
	for _, chunks := range d.parts {
		open := make(map[stream.Upstream]bool) // a transaction goes on from here
		for _, c := range chunks {
			if c.open && !d.goes(c.bundle) {
				open[c.next] = true
			}
		}
		for _, c := range chunks {
			if len(open) == 0 || !d.goes(c.bundle) {
				continue
			}
			for at := range open {
				if c.first <= at && at < c.next {
					d.stays[c.bundle] = Ends
					more = true
					break
				}
			}
		}
	}
	return more
}

// branches keeps truncations where they are for as long as something older stays that they are about: whether a chunk came before one
// follows from the chain of their writer.
func (d *decision) branches() (more bool) {
	for i, b := range d.bundles {
		if !d.goes(i) {
			continue
		}
		for p, at := range b.cuts {
			if d.older(p, at) {
				d.stays[i] = Branches
				more = true
				break
			}
		}
	}
	return more
}

// older says that a bundle stays which is older than a truncation, and tells of its partition.
func (d *decision) older(p part, at time.Time) bool {
	for i, b := range d.bundles {
		if !b.old || b.damaged || d.left[i] || d.goes(i) || b.object.Header.CreatedAt.After(at) {
			continue
		}
		if b.positions || slices.ContainsFunc(b.chunks, func(c chunk) bool { return c.part == p }) {
			return true
		}
	}
	return false
}

// since is the creation of the first bundle of records that is no island.
func (d *decision) since(r ranges, afterwards bool) (at time.Time) {
	for i, b := range d.bundles {
		if b.damaged || d.left[i] || afterwards && d.goes(i) {
			continue
		}
		island := slices.ContainsFunc(b.chunks, func(c chunk) bool {
			spans := r.spans[c.part]
			return len(spans) > 0 && spans[len(spans)-1].from >= c.first
		})
		if created := b.object.Header.CreatedAt; !island && (at.IsZero() || created.Before(at)) && (len(b.chunks) > 0 || !b.old && !strings.HasPrefix(b.object.Header.Writer, "archive-")) {
			at = created
		}
	}
	return at
}

func unknownPoint(name string, points []point) error {
	if len(points) == 0 {
		return fmt.Errorf("there is no point %s, and no other one either", name)
	}
	var names []string
	for _, p := range points {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	return fmt.Errorf("there is no point %s; there are %s", name, strings.Join(slices.Compact(names), ", "))
}
