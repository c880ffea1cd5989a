package offsetsync

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"tandem/internal/stream"
)

const (
	notMapped   = "nothing is known of this partition yet"
	notMirrored = "beyond what is mirrored"
	notCounted  = "copied where no acknowledgement told the place; it is not counted yet"
	truncated   = "the source was truncated, and where its records go on is not counted yet"
	deleted     = "belongs to a topic that was deleted"
	olderThan   = "older than every offset sync that is known"
	betweenSync = "between two offset syncs of what was mirrored before; it is not counted yet"
)

// view looks at the Map under its lock, with the steps of segments that were read for it.
type view struct {
	read    map[int64][]byte
	missing *segment // its steps are needed, and not in memory
}

// steps are the steps of a segment of p; nil when they have to be read first.
func (v *view) steps(p *partition, s *segment) []byte {
	ops, ok := p.steps(s)
	if !ok {
		if ops, ok = v.read[s.at]; !ok {
			v.missing = s
		}
	}
	return ops
}

// look calls f under the lock, again and again until it misses nothing. What is missing is read without the lock.
func (m *Map) look(ctx context.Context, remote stream.Partition, f func(p *partition, v *view)) error {
	v := &view{}
	for {
		m.mu.Lock()
		v.missing = nil
		f(m.partitions[remote], v)
		var at int64
		var down stream.Downstream
		var gone lostSegment
		if v.missing != nil {
			at, down = v.missing.at, v.missing.down
			gone = lostSegment{up: v.missing.up, down: down, records: int64(v.missing.endDown - down)}
		}
		m.mu.Unlock()
		if v.missing == nil {
			return nil
		}
		ops, err := m.segment(ctx, remote, at, down)
		if err != nil {
			err = fmt.Errorf("read map segment of %s at %d: %w", remote, at, err)
		}
		if errors.Is(err, ErrGone) || errors.Is(err, errDamaged) {
			gone.error = err
			m.damaged.Add(1)
			return gone
		}
		if err != nil {
			return err
		}
		if v.read == nil {
			v.read = map[int64][]byte{}
		}
		v.read[at] = ops
		m.mu.Lock()
		if p := m.partitions[remote]; p != nil && v.missing.at == at && !v.missing.changed {
			if i := p.byDown(down); i >= 0 && p.segs[i] == v.missing {
				m.cache.put(v.missing, ops)
			}
		}
		m.mu.Unlock()
	}
}

// ErrGone is for Segments to return where the record is no longer there, as when the topic was deleted.
var ErrGone = errors.New("the segment is gone")

// lostSegment says that what is asked for lies in a segment that cannot be had any more. Its beginning is known.
type lostSegment struct {
	error
	up      stream.Upstream
	down    stream.Downstream
	records int64
}

func (l lostSegment) Unwrap() error { return l.error }

const segmentLost = "the part of the offset map that tells is gone; it is counted anew at the next start of mirror"

// segment reads the steps of a segment from the topic.
func (m *Map) segment(ctx context.Context, remote stream.Partition, at int64, down stream.Downstream) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r, err := m.segments.Segment(ctx, at)
	if err != nil {
		return nil, err
	}
	if p, d, ours, err := parseKey(r.Key); err != nil || !ours || p != remote || d != down {
		return nil, fmt.Errorf("another record stands there: %w", errDamaged)
	}
	_, ops, err := parseValue(r.Value, down)
	return ops, err
}

// Translate finds a source offset on the target: the offset of the first record at or after it that is there. Where that is not
// known, the offset that it gives is not beyond it.
func (m *Map) Translate(ctx context.Context, remote stream.Partition, up stream.Upstream) (t stream.Translated, err error) {
	err = m.look(ctx, remote, func(p *partition, v *view) { t = p.translate(v, up) })
	if gone := (lostSegment{}); errors.As(err, &gone) {
		return clamped(gone.down, gone.records, segmentLost), nil
	}
	if err != nil {
		return stream.Translated{}, fmt.Errorf("translate %d of %s: %w", up, remote, err)
	}
	return t, nil
}

func exactly(down stream.Downstream) stream.Translated { return stream.Translated{Offset: down} }

func clamped(down stream.Downstream, again int64, reason string) stream.Translated {
	return stream.Translated{Offset: down, Class: stream.Clamped, Again: max(again, 0), Reason: reason}
}

func unknown(reason string) stream.Translated {
	return stream.Translated{Offset: -1, Class: stream.Unknown, Reason: reason}
}

func (p *partition) translate(v *view, up stream.Upstream) stream.Translated {
	if p == nil || len(p.segs) == 0 && len(p.points) == 0 {
		return unknown(notMapped)
	}
	gens := p.generations()
	for _, g := range slices.Backward(gens) {
		if up >= p.segs[g.from].up {
			return p.within(v, g, up)
		}
	}
	if len(gens) > 0 && gens[0].from > 0 { // the topic was made anew
		if g, ok := p.gap(gens[0].from); ok {
			return clamped(g.FromDown, min(g.Records(), int64(up)), notCounted)
		}
		return p.nothingBefore(gens[0].from)
	}
	g, ok := p.gap(0)
	switch {
	case ok:
		return p.unless(gens, p.between(g, up))
	case len(gens) == 0:
		return unknown(notMapped)
	}
	return p.nothingBefore(0)
}

// unless takes back that a place of the first generation is exact, where it is not known from which offset on the next one counts.
func (p *partition) unless(gens []generation, t stream.Translated) stream.Translated {
	if t.Class == stream.Exact && len(gens) > 0 && gens[0].until > 0 {
		return clamped(t.Offset, int64(gens[0].until-t.Offset), truncated)
	}
	return t
}

// nothingBefore is the place of an offset below a segment before which nothing was mirrored.
func (p *partition) nothingBefore(i int) stream.Translated {
	return clamped(p.segs[i].down, 0, fmt.Sprintf("nothing before source offset %d was mirrored", p.segs[i].up))
}

// within is the place of an offset in a generation that has it.
func (p *partition) within(v *view, g generation, up stream.Upstream) stream.Translated {
	i := p.byUp(g, up)
	s := p.segs[i]
	if up < s.endUp {
		ops := v.steps(p, s)
		if ops == nil {
			return stream.Translated{}
		}
		if at, down, ok := firstFrom(s.walk(ops), up); ok {
			return p.survivor(v, g, at, down)
		}
	}
	return p.behind(v, g, i, up)
}

// survivor is the place of the first record at or after an offset, if no later generation has taken the record's place.
func (p *partition) survivor(v *view, g generation, at stream.Upstream, down stream.Downstream) stream.Translated {
	switch {
	case g.until > 0:
		return clamped(down, int64(g.until-down), truncated)
	case at >= g.limit:
		return p.translate(v, g.limit)
	}
	return exactly(down)
}

// behind is the place of an offset behind the runs of segment i.
func (p *partition) behind(v *view, g generation, i int, up stream.Upstream) stream.Translated {
	s := p.segs[i]
	gap, unsure := p.gap(i + 1)
	switch {
	case up < s.endUp && i+1 < g.to && p.segs[i+1].up == s.endUp && p.segs[i+1].down > s.endDown: // foreign records follow
		return p.within(v, g, s.endUp)
	case unsure && up <= s.endUp && s.endUp < g.limit && doubtful(gap, g):
		return clamped(s.endDown, gap.Records(), notCounted)
	case unsure && up <= s.endUp:
		return p.survivor(v, g, s.endUp, s.endDown)
	case unsure && p.later(i+1):
		return p.unless(p.gens, p.between(gap, up))
	case unsure:
		return clamped(s.endDown, min(gap.Records(), int64(up-s.endUp)), notCounted)
	case i+1 < g.to:
		return p.within(v, g, p.segs[i+1].up)
	case g.to < len(p.segs): // the generation ended before up, and the next one begins beyond it
		return p.survivor(v, g, g.limit, s.endDown)
	case up > s.endUp:
		return stream.Translated{Offset: s.endDown, Class: stream.Ahead, Reason: notMirrored}
	}
	return exactly(s.endDown)
}

// doubtful says that perhaps no record of a gap has survived: a later generation may have them anew, or has in part, for there are
// more of them than source offsets.
func doubtful(gap stream.Gap, g generation) bool {
	return g.limit < math.MaxInt64 || gap.To != -1 && gap.Records() > int64(gap.To-gap.From)
}

// between is the place of an offset that was mirrored before the first run, by MM2's offset syncs.
func (p *partition) between(g stream.Gap, up stream.Upstream) stream.Translated {
	own := g.From
	g, point := p.piece(g, up)
	switch {
	case point && up == g.From, own >= 0 && up == own, g.From >= 0 && g.FromDown == g.ToDown:
		return exactly(g.FromDown)
	case g.FromDown == g.ToDown:
		return clamped(g.ToDown, 0, fmt.Sprintf("nothing before source offset %d is left", g.To))
	}
	p.want(g, up)
	switch {
	case point: // the record of the sync was read
		down := min(g.FromDown+1, g.ToDown)
		return clamped(down, min(int64(g.ToDown-down), int64(up-g.From)-1), betweenSync)
	case g.From >= 0:
		return clamped(g.FromDown, min(g.Records(), int64(up-g.From)), notCounted)
	case len(p.points) == 0:
		return unknown("mirrored before there was a map, and no offset sync tells where; it is not counted yet")
	}
	return unknown(olderThan)
}
