package offsetsync

import (
	"encoding/binary"
	"errors"
	"math"

	"tandem/internal/stream"
)

// The runs of a segment are a chain of steps: from the place where the run before ended over a hole in the source or over
// foreign records on the target, and then over the records of the run. As bytes:
//
//	0hhhnnnn                   a hole of h+1 offsets, n+1 records
//	10tttttt                   the step before, t+1 times more; t = 63 is followed by UVARINT more times
//	11000000 UVARINT UVARINT   a hole of so many offsets, so many records
//	11000001 UVARINT UVARINT   so many foreign records, so many records
//
// A topic of equal transactions is one step and its repetition, whatever its length. A step without records is a place: what is
// below it in the source is below it on the target.
const (
	opRepeat  = 0x80
	opHole    = 0xc0
	opForeign = 0xc1

	manyTimes = 64
)

var errDamaged = errors.New("damaged")

// step goes over a hole or over foreign records, not both, and then over the records of a run.
type step struct {
	hole    int64
	foreign int64
	count   int64
}

func (s step) ups() int64   { return s.hole + s.count }
func (s step) downs() int64 { return s.foreign + s.count }

// stretch is a step taken some times, from a place on.
type stretch struct {
	step
	times int64
	up    stream.Upstream
	down  stream.Downstream
}

func (s stretch) endUp() stream.Upstream     { return s.up + stream.Upstream(s.times*s.ups()) }
func (s stretch) endDown() stream.Downstream { return s.down + stream.Downstream(s.times*s.downs()) }

// appendSteps writes a step and its repetitions.
func appendSteps(ops []byte, s step, times int64) []byte {
	switch {
	case times <= 0:
		return ops
	case s.foreign > 0:
		ops = binary.AppendUvarint(append(ops, opForeign), uint64(s.foreign))
		ops = binary.AppendUvarint(ops, uint64(s.count))
	case s.hole >= 1 && s.hole <= 8 && s.count >= 1 && s.count <= 16:
		ops = append(ops, byte(s.hole-1)<<4|byte(s.count-1))
	default:
		ops = binary.AppendUvarint(append(ops, opHole), uint64(s.hole))
		ops = binary.AppendUvarint(ops, uint64(s.count))
	}
	switch more := times - 1; {
	case more == 0:
	case more < manyTimes:
		ops = append(ops, opRepeat|byte(more-1))
	default:
		ops = binary.AppendUvarint(append(ops, opRepeat|manyTimes-1), uint64(more-manyTimes))
	}
	return ops
}

// cursor walks over steps.
type cursor struct {
	ops   []byte
	last  step
	some  bool // last is a step
	check bool // the steps were not looked at before; none may lead beyond the largest offset
	up    stream.Upstream
	down  stream.Downstream
	err   error
}

func walk(ops []byte, up stream.Upstream, down stream.Downstream) *cursor {
	return &cursor{ops: ops, up: up, down: down}
}

// next is the next stretch, until there is none or err is set.
func (c *cursor) next() (stretch, bool) {
	if len(c.ops) == 0 || c.err != nil {
		return stretch{}, false
	}
	op, times := c.ops[0], int64(1)
	c.ops = c.ops[1:]
	var s step
	switch {
	case op < opRepeat:
		s = step{hole: int64(op>>4) + 1, count: int64(op&15) + 1}
	case op < opHole:
		s, times = c.last, int64(op&63)+1
		if times == manyTimes {
			times += c.number()
		}
		if !c.some || s.ups()+s.downs() == 0 {
			c.err = errDamaged
		}
	case op == opHole:
		s = step{hole: c.number(), count: c.number()}
	case op == opForeign:
		s = step{foreign: c.number(), count: c.number()}
	default:
		c.err = errDamaged
	}
	if c.err != nil || c.check && (!fits(int64(c.up), s.hole, s.count, times) || !fits(int64(c.down), s.foreign, s.count, times)) {
		c.err = errDamaged
		return stretch{}, false
	}
	st := stretch{step: s, times: times, up: c.up, down: c.down}
	c.last, c.some, c.up, c.down = s, true, st.endUp(), st.endDown()
	return st, true
}

// fits says that from + times*(a+b) is an offset.
func fits(from, a, b, times int64) bool {
	if a > math.MaxInt64-b || times < 0 {
		return false
	}
	n := a + b
	return n == 0 || times <= (math.MaxInt64-from)/n
}

func (c *cursor) number() int64 {
	v, n := binary.Uvarint(c.ops)
	if n <= 0 || v > math.MaxInt64-manyTimes {
		c.err = errDamaged
		return 0
	}
	c.ops = c.ops[n:]
	return int64(v)
}

// builder takes steps in and keeps them as bytes, but for the last ones: the last run may still grow, and the step before it
// may be taken again.
type builder struct {
	ops   []byte
	last  step
	times int64
	open  step
}

// rebuild takes up the steps of a segment again.
func rebuild(ops []byte, up stream.Upstream, down stream.Downstream) (*builder, error) {
	c, b := walk(ops, up, down), &builder{}
	for st, ok := c.next(); ok; st, ok = c.next() {
		b.add(st.step, st.times)
	}
	return b, c.err
}

// add takes in a step that begins where the last one ended.
func (b *builder) add(s step, times int64) {
	switch {
	case s.hole == 0 && s.foreign == 0 && times == 1:
		b.open.count += s.count
		return
	case b.open.count == 0 && times == 1 && (b.open.hole > 0 && s.foreign == 0 || b.open.foreign > 0 && s.hole == 0):
		b.open = step{hole: b.open.hole + s.hole, foreign: b.open.foreign + s.foreign, count: s.count}
		return
	}
	b.push(b.open, 1)
	b.push(s, times-1)
	b.open = s
}

func (b *builder) push(s step, times int64) {
	if times == 0 {
		return
	}
	if s == b.last && b.times > 0 {
		b.times += times
		return
	}
	b.ops = appendSteps(b.ops, b.last, b.times)
	b.last, b.times = s, times
}

// bytes are all steps.
func (b *builder) bytes() []byte {
	ops := make([]byte, len(b.ops), len(b.ops)+2*(1+3*binary.MaxVarintLen64))
	copy(ops, b.ops)
	if b.open == b.last && b.times > 0 {
		return appendSteps(ops, b.last, b.times+1)
	}
	return appendSteps(appendSteps(ops, b.last, b.times), b.open, 1)
}

// skip goes over one-byte steps that end at or below both offsets: most steps are, and this is where a search spends its time.
func (c *cursor) skip(up stream.Upstream, down stream.Downstream) {
	u, d, i := c.up, c.down, 0
	for i < len(c.ops) && c.ops[i] < opRepeat {
		hole, count := int64(c.ops[i]>>4)+1, int64(c.ops[i]&15)+1
		if u+stream.Upstream(hole+count) > up || d+stream.Downstream(count) > down {
			break
		}
		u, d = u+stream.Upstream(hole+count), d+stream.Downstream(count)
		i++
	}
	if i > 0 {
		op := c.ops[i-1]
		c.last, c.some = step{hole: int64(op>>4) + 1, count: int64(op&15) + 1}, true
		c.ops, c.up, c.down = c.ops[i:], u, d
	}
}

// firstFrom finds the first record whose source offset is up or greater, and where it stands.
func firstFrom(c *cursor, up stream.Upstream) (stream.Upstream, stream.Downstream, bool) {
	for s, ok := c.next(); ok; s, ok = c.next() {
		if s.count == 0 || up >= s.endUp() {
			c.skip(up, math.MaxInt64)
			continue
		}
		past := max(int64(up-s.up), 0)
		k, r := past/s.ups(), max(past%s.ups()-s.hole, 0)
		return s.up + stream.Upstream(k*s.ups()+s.hole+r), s.down + stream.Downstream(k*s.downs()+s.foreign+r), true
	}
	return 0, 0, false
}

// firstAt finds the first record whose target offset is down or greater, and where it comes from.
func firstAt(c *cursor, down stream.Downstream) (stream.Upstream, stream.Downstream, bool) {
	for s, ok := c.next(); ok; s, ok = c.next() {
		if s.count == 0 || down >= s.endDown() {
			c.skip(math.MaxInt64, down)
			continue
		}
		past := max(int64(down-s.down), 0)
		k, r := past/s.downs(), max(past%s.downs()-s.foreign, 0)
		return s.up + stream.Upstream(k*s.ups()+s.hole+r), s.down + stream.Downstream(k*s.downs()+s.foreign+r), true
	}
	return 0, 0, false
}

// below are the steps up to a target offset, and where they end.
func below(c *cursor, down stream.Downstream) (b *builder, up stream.Upstream, end stream.Downstream) {
	b, up, end = &builder{}, c.up, c.down
	for s, ok := c.next(); ok && s.down < down; s, ok = c.next() {
		whole := s.times
		if s.downs() > 0 {
			whole = min(whole, int64(down-s.down)/s.downs())
		}
		if whole > 0 {
			b.add(s.step, whole)
			up, end = s.up+stream.Upstream(whole*s.ups()), s.down+stream.Downstream(whole*s.downs())
		}
		if rest := int64(down-end) - s.foreign; whole < s.times && rest > 0 {
			b.add(step{hole: s.hole, foreign: s.foreign, count: rest}, 1)
			return b, up + stream.Upstream(s.hole+rest), down
		}
		if whole < s.times {
			break
		}
	}
	return b, up, end
}

// runsIn counts the runs of a segment.
func runsIn(c *cursor) (n int64) {
	for s, ok := c.next(); ok; s, ok = c.next() {
		if s.count > 0 {
			n += s.times
		}
	}
	return n
}
