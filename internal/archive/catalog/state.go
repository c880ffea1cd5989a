package catalog

import (
	"cmp"
	"slices"

	"tandem/internal/archive/bundle"
	"tandem/internal/stream"
)

// State is what the footers say that were added so far, whatever their order was. More may be added afterwards, for another State.
func (v *View) State() *State {
	s := &State{
		Source: v.source, Moment: v.at, ACLsAt: v.acls.time(), Groups: make(map[string]map[stream.Partition]bundle.GroupOffset),
		Oldest: v.oldest, Newest: v.newest, Objects: v.objects, Bytes: v.bytes,
	}
	s.Lives, s.Past = v.stateOfLives()
	s.ACLs, _ = v.acls.value()
	for name, g := range v.groups {
		if offsets := g.offsets(); len(offsets) > 0 {
			s.Groups[name] = offsets
		}
	}
	s.Points = v.stateOfPoints()
	s.Damaged = slices.Clone(v.damaged)
	slices.SortFunc(s.Damaged, func(a, b Damaged) int { return cmp.Compare(a.Name, b.Name) })
	s.Missing = v.chain.missing(s.Damaged)
	return s
}

// group is what a consumer group had committed. The latest word of each partition counts, unless all of the group was told later.
type group struct {
	whole  order
	told   bool // whole is set
	values map[stream.Partition]committed
}

type committed struct {
	order
	bundle.GroupOffset
}

func (v *View) group(at order, g bundle.GroupOffsets) {
	own := v.groups[g.Group]
	if own == nil {
		own = &group{values: make(map[stream.Partition]committed)}
		v.groups[g.Group] = own
	}
	if g.Whole && (!own.told || at.compare(own.whole) > 0) {
		own.whole, own.told = at, true
	}
	for _, o := range g.Offsets {
		if !v.wanted(o.Topic) {
			continue
		}
		o.Topic = v.intern(o.Topic)
		key := stream.Partition{Topic: o.Topic, Number: o.Partition}
		if known, ok := own.values[key]; !ok || at.compare(known.order) >= 0 {
			own.values[key] = committed{at, o}
		}
	}
}

func (g *group) offsets() map[stream.Partition]bundle.GroupOffset {
	out := make(map[stream.Partition]bundle.GroupOffset)
	for key, c := range g.values {
		if c.Offset >= 0 && (!g.told || c.order.compare(g.whole) >= 0) {
			out[key] = c.GroupOffset
		}
	}
	return out
}

// pointKey tells marks from one another: one that was copied into another bundle is still the same.
type pointKey struct {
	name string
	at   int64
}

type point struct {
	order
	Point
}

func (v *View) mark(b folding, at order, m bundle.Mark) {
	key := pointKey{m.Name, at.at}
	if known, ok := v.points[key]; ok && known.order.compare(at) < 0 {
		return
	}
	p := point{at, Point{Name: m.Name, Note: m.Note, At: fromMillis(at.at), Object: b.object.Name}}
	for _, q := range m.Positions {
		if v.wanted(q.Topic.Name) {
			q.Topic.Name = v.intern(q.Topic.Name)
			p.Positions = append(p.Positions, q)
		}
	}
	v.points[key] = p
}

func (v *View) stateOfPoints() (all []Point) {
	for _, p := range v.points {
		all = append(all, p.Point)
	}
	slices.SortFunc(all, func(a, b Point) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Name, b.Name)) })
	return all
}
