package offsetsync

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"tandem/internal/stream"
)

// ErrMisfit says that runs cannot stand where Fill was told to put them. The gap stays as it is.
var ErrMisfit = errors.New("runs do not fit into the gap")

// Fill puts counted runs into a gap that Gaps listed. They must stand in order inside the gap, begin where it begins unless From
// is -1, and end where it ends unless To is -1.
//
// Two neighbours may then be apart in the source, which is a hole, or on the target, which are foreign records. Where they are
// apart on both sides, only the caller can know that nothing of ours lies between: certain says so, for all of the gap from the
// first run on, and from its beginning if From is not -1. Without it such runs are ErrMisfit. Of a gap below all that is known
// (From is -1) no runs, and certain, say that nothing at or beyond Wanted stands in it.
func (m *Map) Fill(ctx context.Context, g stream.Gap, runs []stream.Run, certain bool) error {
	var failed error
	err := m.look(ctx, g.Remote, func(p *partition, v *view) {
		if failed = p.fill(v, g, runs, certain); failed == nil && v.missing == nil {
			m.changed(p)
		}
	})
	if err := errors.Join(err, failed); err != nil {
		return fmt.Errorf("fill %d to %d of %s: %w", g.FromDown, g.ToDown, g.Remote, err)
	}
	return nil
}

func (p *partition) fill(v *view, g stream.Gap, runs []stream.Run, certain bool) error {
	i, now, ok := p.around(g)
	if !ok {
		return fmt.Errorf("%w: it is no longer there", ErrMisfit)
	}
	if now.To != -1 && g.To == -1 { // records were acknowledged meanwhile; they are the end of it
		now.ToDown = min(now.ToDown, g.ToDown)
	} else {
		now.To, now.ToDown = g.To, g.ToDown
	}
	now.From, now.FromDown = g.From, g.FromDown
	if i == 0 && len(runs) == 0 && certain && g.Wanted >= 0 && now.From == -1 && g.Wanted < now.To {
		return p.weave(v, i, []stream.Run{{Up: g.Wanted, Down: now.ToDown}, {Up: now.To, Down: now.ToDown}})
	}
	places, err := chain(now, g.To == -1, runs, certain)
	if err != nil {
		return err
	}
	return p.weave(v, i, places)
}

// around finds the gap as it is now: before which segment, and from where to where.
func (p *partition) around(g stream.Gap) (i int, now stream.Gap, ok bool) {
	if p == nil || len(p.segs) == 0 {
		return 0, now, false
	}
	for i := range len(p.segs) + 1 {
		now, ok := p.gap(i)
		if ok && now.FromDown <= g.FromDown && g.ToDown <= now.ToDown && now.From <= g.From &&
			(now.To == -1 || g.To <= now.To) {
			return i, now, true
		}
	}
	return 0, now, false
}

// chain checks runs and adds the places that make their neighbourhood known: runs without records.
func chain(g stream.Gap, open bool, runs []stream.Run, certain bool) ([]stream.Run, error) {
	at, began := stream.Run{Up: g.From, Down: g.FromDown}, g.From != -1
	var places []stream.Run
	// reach goes on to a place over a hole and then over foreign records.
	reach := func(up stream.Upstream, down stream.Downstream) error {
		switch {
		case up < at.Up || down < at.Down:
			return fmt.Errorf("%w: %d at %d cannot follow %d at %d", ErrMisfit, up, down, at.Up, at.Down)
		case !began || up == at.Up || down == at.Down:
		case !certain:
			return fmt.Errorf("%w: between %d at %d and %d at %d records may be missing", ErrMisfit, at.Up, at.Down, up, down)
		default:
			places = append(places, stream.Run{Up: up, Down: at.Down})
		}
		at, began = stream.Run{Up: up, Down: down}, true
		return nil
	}
	for _, r := range runs {
		if r.Count <= 0 || r.Up < 0 || max(int64(r.Up), int64(r.Down)) > math.MaxInt64-r.Count {
			return nil, fmt.Errorf("%w: a run of %d records", ErrMisfit, r.Count)
		}
		if err := reach(r.Up, r.Down); err != nil {
			return nil, err
		}
		places = append(places, r)
		at = stream.Run{Up: r.Up + stream.Upstream(r.Count), Down: r.Down + stream.Downstream(r.Count)}
	}
	switch {
	case !began || len(runs) == 0 && !certain:
		return nil, fmt.Errorf("%w: no runs", ErrMisfit)
	case g.To != -1 && at.Up > g.To || at.Down > g.ToDown:
		return nil, fmt.Errorf("%w: they end at %d at %d, beyond it", ErrMisfit, at.Up, at.Down)
	case open && !certain: // the rest stays a gap
	case open:
		places = append(places, stream.Run{Up: at.Up, Down: g.ToDown})
	default:
		before := len(places)
		if err := reach(g.To, g.ToDown); err != nil {
			return nil, err
		}
		if len(places) > before || before == 0 { // also where an offset sync, not a run, ends the gap
			places = append(places, stream.Run{Up: g.To, Down: g.ToDown})
		}
	}
	return places, nil
}

// weave puts runs and places before segment i, and joins what is small with the segments around.
func (p *partition) weave(v *view, i int, places []stream.Run) error {
	topic, later := p.segs[min(i, len(p.segs)-1)].topic, p.later(i)
	made := &partition{}
	lo, hi := i, i
	breaks := i > 0 && i < len(p.segs) && !p.follows(i) // then it is what is put in that begins the generation
	if i > 0 && !breaks && p.segs[i-1].joins(topic, places[0]) {
		left := p.segs[i-1]
		ops := v.steps(p, left)
		if ops == nil {
			return nil
		}
		if len(ops) < segmentSize || left.place() {
			if err := made.take(left, ops); err != nil {
				return err
			}
			lo, breaks = i-1, left.breaks
		}
	} else if i > 0 && p.segs[i-1].place() && p.segs[i-1].down == places[0].Down { // one segment a key
		lo, breaks = i-1, true
	}
	for _, r := range places {
		made.append(topic, r)
	}
	for _, s := range made.segs {
		s.counted = later
	}
	made.segs[0].breaks = breaks
	if i < len(p.segs) && made.last().joins(p.segs[i].topic, stream.Run{Up: p.segs[i].up, Down: p.segs[i].down}) {
		right := p.segs[i]
		ops := v.steps(p, right)
		if ops == nil {
			return nil
		}
		if len(ops)+len(made.tail.ops) < segmentSize || made.last().place() || right.place() {
			if err := made.take(right, ops); err != nil {
				return err
			}
			hi++
		}
	}
	made.close()
	p.replace(lo, hi, made.segs)
	return nil
}

// take appends all of a segment, which follows without a gap.
func (p *partition) take(s *segment, ops []byte) error {
	c := s.walk(ops)
	first, ok := c.next()
	if !ok || first.ups() != first.count || first.times != 1 {
		return errDamaged
	}
	p.append(s.topic, stream.Run{Up: first.up, Down: first.down, Count: first.count})
	for st, ok := c.next(); ok; st, ok = c.next() {
		p.tail.add(st.step, st.times)
	}
	last := p.last()
	last.lastUp, last.endUp, last.endDown, last.counted = s.lastUp, s.endUp, s.endDown, s.counted
	last.runs = runsIn(last.walk(p.tail.bytes()))
	return c.err
}

// replace puts segments in the place of others.
func (p *partition) replace(lo, hi int, segs []*segment) {
	if hi == len(p.segs) {
		p.close()
	}
	for _, old := range p.segs[lo:hi] {
		if old.written {
			p.kill(old.down)
		}
		old.touch()
		p.cache.drop(old)
	}
	for _, s := range segs {
		if _, ok := p.dead[s.down]; ok {
			delete(p.dead, s.down)
			s.written = true
		}
	}
	p.segs, p.gens = slices.Replace(p.segs, lo, hi, segs...), nil
}
