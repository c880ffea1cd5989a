package offsetsync

import (
	"context"
	"errors"
	"fmt"

	"tandem/internal/stream"
)

// Return finds a target offset at the source: the offset of the first record at or after it that came from there. Where that is
// not known, the offset that it gives is not beyond it.
func (m *Map) Return(ctx context.Context, remote stream.Partition, down stream.Downstream) (r stream.Returned, err error) {
	err = m.look(ctx, remote, func(p *partition, v *view) { r = p.back(v, down) })
	if gone := (lostSegment{}); errors.As(err, &gone) {
		return stream.Returned{Offset: gone.up, Class: stream.Clamped, Again: gone.records, Reason: segmentLost}, nil
	}
	if err != nil {
		return stream.Returned{}, fmt.Errorf("return %d of %s: %w", down, remote, err)
	}
	return r, nil
}

func noReturn(reason string) stream.Returned {
	return stream.Returned{Offset: -1, Class: stream.Unknown, Reason: reason}
}

func (p *partition) back(v *view, down stream.Downstream) stream.Returned {
	if p == nil || len(p.segs) == 0 && len(p.points) == 0 {
		return noReturn(notMapped)
	}
	i, gens := p.byDown(down), p.generations()
	if len(gens) > 0 && i < gens[0].from && gens[0].from > 0 {
		return p.backDeleted(gens)
	}
	if i >= 0 {
		return p.backWithin(v, gens, i, down)
	}
	g, ok := p.gap(0)
	switch {
	case ok:
		return p.backBetween(g, down)
	case len(gens) == 0:
		return noReturn(notMapped)
	}
	return p.firstOf(gens) // nothing of ours stands before the first run
}

// backDeleted is the source offset of a place among the records of a topic that was deleted: all of the new one is to be read.
func (p *partition) backDeleted(gens []generation) stream.Returned {
	if _, open := p.gap(gens[0].from); open {
		return noReturn(deleted)
	}
	r := p.firstOf(gens)
	if r.Class == stream.Exact {
		r.Class, r.Reason = stream.Clamped, deleted
	}
	return r
}

// firstOf is the first source offset that is known of the topic as it is now.
func (p *partition) firstOf(gens []generation) stream.Returned {
	return p.surviving(gens[0], p.segs[gens[0].from].up)
}

// surviving is a source offset of a generation, or the one from which on a later generation has it anew.
func (p *partition) surviving(g generation, up stream.Upstream) stream.Returned {
	if g.until > 0 {
		return noReturn(truncated)
	}
	return stream.Returned{Offset: min(up, g.limit)}
}

func (p *partition) backWithin(v *view, gens []generation, i int, down stream.Downstream) stream.Returned {
	g := gens[0]
	for _, next := range gens[1:] {
		if next.from <= i {
			g = next
		}
	}
	s := p.segs[i]
	if down < s.endDown {
		ops := v.steps(p, s)
		if ops == nil {
			return stream.Returned{}
		}
		if up, _, ok := firstAt(s.walk(ops), down); ok {
			return p.surviving(g, up)
		}
		// Foreign records, up to the end of the segment.
	}
	gap, unsure := p.gap(i + 1)
	switch {
	case down <= s.endDown:
		return p.surviving(g, s.endUp)
	case unsure && gap.To != -1 && gap.From == -1: // a generation begins somewhere here
		return noReturn(truncated)
	case unsure && p.later(i+1):
		return p.backBetween(gap, down)
	case unsure:
		r := p.surviving(g, gap.From)
		if r.Class == stream.Exact {
			r.Class, r.Again, r.Reason = stream.Clamped, min(gap.Records(), int64(down-gap.FromDown)), notCounted
		}
		return r
	case i+1 < len(p.segs): // foreign records
		return p.surviving(g, p.segs[i+1].up)
	}
	return stream.Returned{Offset: s.endUp, Class: stream.Ahead, Reason: notMirrored}
}

// backBetween is the source offset of what was mirrored before the first run, by MM2's offset syncs.
func (p *partition) backBetween(g stream.Gap, down stream.Downstream) stream.Returned {
	sync := Sync{Up: -1}
	for _, s := range p.usable() {
		if s.Up >= g.From && s.Down >= g.FromDown && (g.To == -1 || s.Up < g.To && s.Down < g.ToDown) && s.Down <= down {
			sync = s
		}
	}
	narrow, _ := p.piece(g, max(sync.Up, 0))
	if sync.Up >= 0 && sync.Down == down {
		return p.oldest(sync.Up)
	}
	p.want(narrow, max(narrow.From, 0))
	r := stream.Returned{Offset: -1, Class: stream.Unknown, Reason: olderThan}
	switch {
	case sync.Up >= 0: // the record of the sync was read
		r = p.oldest(sync.Up + 1)
		r.Again, r.Reason = int64(down-sync.Down)-1, betweenSync
	case g.From >= 0:
		r = p.oldest(g.From)
		r.Again, r.Reason = int64(down-g.FromDown), notCounted
	}
	if r.Class == stream.Exact {
		r.Class = stream.Clamped
	}
	return r
}

// oldest is a source offset of the first generation.
func (p *partition) oldest(up stream.Upstream) stream.Returned {
	gens := p.generations()
	switch {
	case len(gens) == 0:
		return stream.Returned{Offset: up}
	case gens[0].from > 0:
		return noReturn(deleted)
	}
	return p.surviving(gens[0], up)
}
