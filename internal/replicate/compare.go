package replicate

import (
	"context"
	"fmt"

	"tandem/internal/batch"
	"tandem/internal/stream"
)

// Comparisons of what the target holds with what the source has, for when counting does not tell where to go on.

// Base is the target offset that a record will get; the zero value is an unknown one.
type Base struct{ next stream.Downstream }

// BaseOf makes a Base of an offset; a negative one is unknown.
func BaseOf(offset stream.Downstream) Base { return Base{max(offset, -1) + 1} }

// Offset is -1 when it is unknown.
func (b Base) Offset() stream.Downstream { return b.next - 1 }

func (b Base) known() bool { return b.next > 0 }

// after is the base so many records later.
func (b Base) after(records int64) Base {
	if !b.known() {
		return b
	}
	return Base{b.next + stream.Downstream(records)}
}

// comparison is what came out of holding the target's records of a range against the source's from a place on.
type comparison struct {
	next    stream.Upstream // the first source record that the target does not have
	matched int64           // records that both have
	extra   int64           // records of the target that the source does not have there
	partial bool            // offsets are missing in the target: some that were copied may count as not copied
	foreign *writer         // the first batch that is not ours
	behind  Base            // the place behind the range, where others write as well
}

// compare goes through both in order: each source record is looked for in what is left of the target's range. The first
// that is not there is the next to send. at says the sequence of the record at down; where others write to the remote
// partition, the range is of our records alone, numbered from down on.
func (r *Resumption) compare(ctx context.Context, a Assignment, at Start, down, end stream.Downstream) (comparison, error) {
	var c comparison
	first, err := r.offset(ctx, r.Remote, a.Remote, stream.Earliest)
	if err != nil {
		return c, err
	}
	earliest, err := r.offset(ctx, r.Source, a.Source, stream.Earliest)
	if err != nil {
		return c, err
	}
	latest, err := r.offset(ctx, r.Source, a.Source, stream.Latest)
	if err != nil {
		return c, err
	}
	readable, err := r.offset(ctx, r.Remote, a.Remote, stream.Latest)
	if err != nil {
		return c, err
	}
	next := at.Next
	target := &cursor{from: r.ReadRemote, partition: a.Remote, shaper: batch.NewShaper()}
	from := int64(down)
	if r.SharedRemote {
		target.at, target.end = max(from, first), readable
		target.ours = r.numbered(at, down, end)
	} else {
		if readable < int64(end) {
			return c, notYet(a.Remote, readable, int64(end))
		}
		from = min(max(int64(down), first), int64(end))
		target.at, target.end, target.saw = from, int64(end), r.watch(&c.foreign)
	}
	c.partial = from > int64(down)
	// Of the records that the target no longer has, each had an offset of its own in the source.
	begin := max(int64(next)+from-int64(down), earliest)
	source := &cursor{from: r.ReadSource, partition: a.Source, committed: r.Committed, at: begin, end: latest, shaper: batch.NewShaper(), origins: r.Origins}
	expected, stands := source.at, from
	find := func(digest uint64) (found bool, err error) {
		for {
			m, ok, err := target.next(ctx)
			if err != nil || !ok {
				return false, err
			}
			c.partial = c.partial || m.offset != stands
			stands = m.offset + 1
			if m.digest == digest {
				c.matched++
				return true, nil
			}
			c.extra++
		}
	}
	for {
		m, ok, err := source.next(ctx)
		if err != nil {
			return c, err
		}
		if !ok {
			break
		}
		found, err := find(m.digest)
		if err != nil {
			return c, err
		}
		if !found {
			expected = m.offset
			break
		}
		expected = m.offset + 1
	}
	for more := true; more; { // what the source has nothing left to hold against
		m, ok, err := target.next(ctx)
		if err != nil {
			return c, err
		}
		if more = ok; ok {
			c.extra++
			stands = m.offset + 1
		}
	}
	if n := target.ours; n != nil && n.reach < int64(end) && first <= int64(down) {
		return c, notYet(a.Remote, readable, int64(end))
	}
	if target.ours != nil {
		c.behind = target.ours.place()
	}
	c.partial = c.partial || stands < int64(end)
	c.next = stream.Upstream(expected)
	if c.partial && c.foreign == nil { // each record that was copied had an offset of its own
		c.next = max(c.next, next+stream.Upstream(end-down))
	}
	return c, nil
}

// notYet is the error of records that the target's leader has, and its followers not yet.
func notYet(remote stream.Partition, readable, end int64) error {
	return fmt.Errorf("wait for the replicas of %s: records can be read up to offset %d, and reach up to %d", remote, readable-1, end-1)
}

// located is where the target's last records were found in the source.
type located struct {
	next    stream.Upstream
	matched int // how many of them
	tail    int // of how many
}

// locateAtMost bounds the records that are looked at: MM2 notes its positions every minute.
const locateAtMost = 10 << 20

// locate finds the place behind the source records that end as the target does, not before lower. It looks at no more
// records than the target can hold.
func (r *Resumption) locate(ctx context.Context, a Assignment, lower stream.Upstream, end stream.Downstream) (located, error) {
	none := located{next: lower}
	if end == 0 {
		return none, nil // thousands of new remote partitions are not worth three questions each
	}
	first, err := r.offset(ctx, r.Remote, a.Remote, stream.Earliest)
	if err != nil {
		return none, err
	}
	shaper := batch.NewShaper()
	target := &cursor{from: r.ReadRemote, partition: a.Remote, committed: true, at: max(first, int64(end)-tailRecords), end: int64(end), shaper: shaper}
	var tail []uint64
	for {
		m, ok, err := target.next(ctx)
		if err != nil {
			return none, err
		}
		if !ok {
			break
		}
		tail = append(tail, m.digest)
	}
	if len(tail) == 0 {
		return none, nil
	}
	earliest, err := r.offset(ctx, r.Source, a.Source, stream.Earliest)
	if err != nil {
		return none, err
	}
	latest, err := r.offset(ctx, r.Source, a.Source, stream.Latest)
	if err != nil {
		return none, err
	}
	l := newLocator(tail)
	source := &cursor{from: r.ReadSource, partition: a.Source, committed: r.Committed, at: max(earliest, int64(lower)-tailRecords), end: latest, shaper: shaper, origins: r.Origins}
	for beyond := int64(0); beyond <= min(int64(end), locateAtMost); {
		m, ok, err := source.next(ctx)
		if err != nil {
			return none, err
		}
		if !ok || l.add(m) {
			break
		}
		if m.offset >= int64(lower) {
			beyond++
		}
	}
	return located{next: max(lower, stream.Upstream(l.after+1)), matched: l.best, tail: len(tail)}, nil
}

// offset is one end of one partition.
func (r *Resumption) offset(ctx context.Context, of Log, p stream.Partition, at int64) (int64, error) {
	return logEnd(ctx, of, p, at)
}
