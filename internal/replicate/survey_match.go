package replicate

import (
	"context"
	"errors"

	"tandem/internal/stream"
)

// Matching by contents. Both sides are read side by side, a window of records each. A record that is the only one of its kind
// on both sides is a landmark; landmarks have to stand in the same order on both sides. Between two landmarks
// all there is of both sides has been seen: a source record of which there is no equal is not on the target, and those that
// have equals (records of the same millisecond can be the same) have to be as many, in the same order.
//
// Where a window has no landmark in its first half, half a window is let go, of the side that is not as far. Whether
// that was right is shown by the next landmark: it must be one of the records that the other window held at that time.

// matchWindow is how many records of each side are looked at together.
const matchWindow = 1 << 16

// window is what was read of one side and is not done with.
type window struct {
	*cursor
	buf    []mark
	done   bool
	begin  int64 // offset at which the side begins
	proof  int64 // the next landmark must not lie behind this offset; -1 for none: see above
	lookat int

	mustEnd bool // it has to be read to its end
	any     bool // it had a record
}

func (w *window) fill(ctx context.Context) error {
	for !w.done && len(w.buf) < w.lookat {
		m, ok, err := w.next(ctx)
		if err != nil {
			return err
		}
		if !ok {
			w.done = true
			if w.mustEnd {
				return w.short()
			}
			break
		}
		w.buf, w.any = append(w.buf, m), true
	}
	return nil
}

// half is the part of the window whose surroundings are in the window as well.
func (w *window) half() int {
	if w.done {
		return len(w.buf)
	}
	return (len(w.buf) + 1) / 2
}

// reach is how far the window has come.
func (w *window) reach() int64 { return w.buf[len(w.buf)-1].offset - w.begin }

func (w *window) letGo(n int) { w.buf = append(w.buf[:0], w.buf[n:]...) }

// matching is the state of a comparison by contents.
type matching struct {
	source, target window
	twice          bitset // of digests that a side has twice; nil where the windows hold all
	back, tail     bool   // the gap is open at its beginning, or at its end
	kinds          map[uint64]kind
	runs           []stream.Run
}

// kind is all records of one digest in the two windows.
type kind struct {
	ups, downs int // how many
	up, down   int // the last of each
}

// landmark is a pair of places in the two windows.
type landmark struct{ up, down int }

// match finds the runs by contents. first is the source's first record. Where the beginning of the gap is no known
// place, the target is read from where that record stands at the latest if each one was copied once; and from the beginning
// of the gap if it is not there.
func (s *survey) match(ctx context.Context, first int64) ([]stream.Run, error) {
	begin := max(int64(s.gap.FromDown), s.first)
	if s.back && !s.tail {
		if near := int64(s.gap.ToDown) - (s.to - s.from); near > begin {
			runs, err := s.matchFrom(ctx, near)
			if err == nil && len(runs) > 0 && int64(runs[0].Up) == first {
				return runs, nil
			}
		}
	}
	return s.matchFrom(ctx, begin)
}

func (s *survey) matchFrom(ctx context.Context, begin int64) ([]stream.Run, error) {
	size := s.window
	if size == 0 {
		size = matchWindow
	}
	m := matching{
		source: window{cursor: s.sourceCursor(s.from, s.to), begin: s.from, proof: -1, lookat: size, mustEnd: !s.tail},
		target: window{cursor: s.targetCursor(begin, int64(s.gap.ToDown)), begin: begin, proof: -1, lookat: size, mustEnd: true},
		back:   s.back, tail: s.tail, kinds: make(map[uint64]kind),
	}
	for first := true; ; first = false {
		if err := m.source.fill(ctx); err != nil {
			return m.runs, err
		}
		if err := m.target.fill(ctx); err != nil {
			return m.runs, err
		}
		if first && !(m.source.done && m.target.done) {
			m.twice = newBitset(rareBitsPer * max(s.to-s.from, int64(s.gap.ToDown)-begin))
			if err := errors.Join(repeated(ctx, s.sourceCursor(s.from, s.to), m.twice),
				repeated(ctx, s.targetCursor(begin, int64(s.gap.ToDown)), m.twice)); err != nil {
				return nil, err
			}
		}
		if len(m.source.buf) == 0 || len(m.target.buf) == 0 {
			return m.runs, m.ended()
		}
		if err := m.step(); err != nil {
			return m.runs, err
		}
	}
}

// ended says whether what was let go without a landmark behind it counts as seen.
func (m *matching) ended() error {
	if len(m.runs) == 0 && m.target.any && (m.back || m.tail) || !m.tail && (m.source.proof >= 0 || m.target.proof >= 0) {
		return ErrAmbiguous
	}
	return nil
}

// step takes at least one record off a window, up to a landmark if there is one.
func (m *matching) step() error {
	marks, err := m.landmarks()
	if err != nil {
		return err
	}
	n := 0
	for n < len(marks) && marks[n].up < m.source.half() && marks[n].down < m.target.half() {
		n++
	}
	if n == 0 && !(m.source.done && m.target.done) {
		return m.letHalfGo()
	}
	if n > 0 && (beyond(m.source, marks[0].up) || beyond(m.target, marks[0].down)) {
		return ErrAmbiguous
	}
	if n > 0 {
		m.source.proof, m.target.proof = -1, -1
	}
	at := landmark{-1, -1}
	for _, next := range marks[:n] {
		if len(m.runs) > 0 || !m.back { // else equals of what stands before the first landmark may stand before both windows
			if err := m.between(at, next); err != nil {
				return err
			}
		}
		m.found(next)
		at = next
	}
	if !m.source.done || !m.target.done {
		m.source.letGo(at.up + 1)
		m.target.letGo(at.down + 1)
		return nil
	}
	end := landmark{len(m.source.buf), len(m.target.buf)}
	if !m.tail && (len(m.runs) > 0 || !m.back) { // else what lies behind the last landmark may not have been copied yet
		err = m.between(at, end)
	}
	m.source.letGo(end.up)
	m.target.letGo(end.down)
	return err
}

func beyond(w window, i int) bool { return w.proof >= 0 && w.buf[i].offset > w.proof }

// landmarks are the pairs of records that are alone of their kind, in order.
func (m *matching) landmarks() ([]landmark, error) {
	clear(m.kinds)
	for i, mark := range m.source.buf {
		k := m.kinds[mark.digest]
		k.ups, k.up = k.ups+1, i
		m.kinds[mark.digest] = k
	}
	for i, mark := range m.target.buf {
		k := m.kinds[mark.digest]
		k.downs, k.down = k.downs+1, i
		m.kinds[mark.digest] = k
	}
	var list []landmark
	for i, mark := range m.source.buf {
		k := m.kinds[mark.digest]
		if k.ups != 1 || k.downs != 1 || m.twice != nil && m.twice.has(mark.digest) {
			continue
		}
		if n := len(list); n > 0 && list[n-1].down > k.down { // copied in another order: MM2 has repeated some
			return nil, ErrAmbiguous
		}
		list = append(list, landmark{i, k.down})
	}
	return list, nil
}

// between matches the records between two landmarks: those of which there are equals.
func (m *matching) between(a, b landmark) error {
	source, target := m.source.buf[a.up+1:b.up], m.target.buf[a.down+1:b.down]
	if len(source) == 0 || len(target) == 0 {
		return nil
	}
	here, there := make(map[uint64]bool, len(source)), make(map[uint64]bool, len(target))
	for _, mark := range source {
		here[mark.digest] = true
	}
	for _, mark := range target {
		there[mark.digest] = true
	}
	var pairs []landmark // believed when all of them are found
	next := 0
	for i, mark := range source {
		if !there[mark.digest] {
			continue
		}
		for next < len(target) && !here[target[next].digest] {
			next++
		}
		if next == len(target) || target[next].digest != mark.digest {
			return ErrAmbiguous
		}
		pairs = append(pairs, landmark{a.up + 1 + i, a.down + 1 + next})
		next++
	}
	for ; next < len(target); next++ {
		if here[target[next].digest] {
			return ErrAmbiguous
		}
	}
	for _, p := range pairs {
		m.found(p)
	}
	return nil
}

// found takes a pair into the runs.
func (m *matching) found(p landmark) {
	up, down := stream.Upstream(m.source.buf[p.up].offset), stream.Downstream(m.target.buf[p.down].offset)
	if n := len(m.runs); n > 0 {
		if last := &m.runs[n-1]; last.Up+stream.Upstream(last.Count) == up && last.Down+stream.Downstream(last.Count) == down {
			last.Count++
			return
		}
	}
	m.runs = append(m.runs, stream.Run{Up: up, Down: down, Count: 1})
}

// letHalfGo lets records go that have no equal in the other window: of the side that is not as far, if it can be.
func (m *matching) letHalfGo() error {
	ups, downs := (len(m.source.buf)+1)/2, (len(m.target.buf)+1)/2
	up, down := true, true
	for _, mark := range m.source.buf[:ups] {
		up = up && m.kinds[mark.digest].downs == 0
	}
	for _, mark := range m.target.buf[:downs] {
		down = down && m.kinds[mark.digest].ups == 0
	}
	switch {
	case down && (!up || m.target.reach() <= m.source.reach()):
		m.source.shown()
		m.target.letGo(downs)
	case up:
		m.target.shown()
		m.source.letGo(ups)
	default:
		return ErrAmbiguous
	}
	return nil
}

// shown has the next landmark lie in the window, unless that has all there is.
func (w *window) shown() {
	if last := w.buf[len(w.buf)-1].offset; !w.done && (w.proof < 0 || last < w.proof) {
		w.proof = last
	}
}
