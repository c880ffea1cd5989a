package replicate

import (
	"cmp"
	"context"
	"fmt"

	"tandem/internal/batch"
	"tandem/internal/stream"
)

// Reader reads one partition of a cluster now and then, outside of the data plane.
type Reader interface {
	// Read fetches what lies at and after an offset, up to about so many bytes; nothing, if that is the end.
	Read(ctx context.Context, p stream.Partition, offset int64, maxBytes int32, committed bool) (stream.Fetched, error)
}

const (
	tailRecords = 1000    // of the target that are compared with what MM2 may have copied
	pageBytes   = 1 << 20 // read at a time
)

// mark is a record as far as a comparison needs it.
type mark struct {
	offset int64
	digest uint64
}

// eachBatch hands over the batches of a range that a reader sees, until each returns false. A batch may reach beyond the range.
func eachBatch(ctx context.Context, from Reader, p stream.Partition, at, end int64, committed bool, origins *Origins, each func(batch.View) (bool, error)) error {
	_, err := batchesUpTo(ctx, from, p, at, end, committed, origins, each)
	return err
}

// batchesUpTo is the same, and says how far it has come: less than the end where the log goes on only with what a reader does
// not see yet.
func batchesUpTo(ctx context.Context, from Reader, p stream.Partition, at, end int64, committed bool, origins *Origins,
	each func(batch.View) (bool, error)) (reached int64, err error) {
	for at < end {
		f, err := from.Read(ctx, p, at, pageBytes, committed)
		if err != nil {
			return at, fmt.Errorf("read %s at %d: %w", p, at, err)
		}
		r, err := route(ctx, f, stream.Upstream(at), Epoch{}, origins.answer())
		if err != nil {
			return at, err
		}
		for _, v := range r.views {
			if v.BaseOffset() >= end && v.Magic() == 2 {
				return end, nil
			}
			if more, err := each(v); !more || err != nil {
				return end, err
			}
		}
		if int64(r.next) <= at {
			return at, nil
		}
		at = int64(r.next)
	}
	return at, nil
}

// cursor goes through the records of a partition between two offsets, as a reader sees them. It holds one page.
type cursor struct {
	from      Reader
	partition stream.Partition
	committed bool
	at, end   int64
	shaper    *batch.Shaper
	page      []mark
	size      int32                 // of a page; 0 is pageBytes
	saw       func(batch.View)      // is told of each batch; may be nil
	keeps     func(batch.View) bool // says which batches count; nil keeps all
	origins   *Origins              // whose batches are left out; may be nil
	ours      *numbering            // leaves out all that others wrote, and numbers the rest; may be nil
}

// next is the next record; false at the end, or where the log goes on only with what a reader does not see yet.
func (c *cursor) next(ctx context.Context) (mark, bool, error) {
	for len(c.page) == 0 {
		if more, err := c.turn(ctx); !more || err != nil {
			return mark{}, false, err
		}
	}
	m := c.page[0]
	c.page = c.page[1:]
	return m, true, nil
}

// short is the error of a cursor that could not read up to its end, as where a transaction is still open.
func (c *cursor) short() error {
	if c.at >= c.end {
		return nil
	}
	return fmt.Errorf("read %s up to %d: nothing can be read from %d on yet", c.partition, c.end, c.at)
}

func (c *cursor) turn(ctx context.Context) (more bool, err error) {
	if c.at >= c.end || c.ours.complete() {
		return false, nil
	}
	fail := func(err error) (bool, error) {
		return false, fmt.Errorf("read %s at %d: %w", c.partition, c.at, err)
	}
	f, err := c.from.Read(ctx, c.partition, c.at, cmp.Or(c.size, pageBytes), c.committed)
	if err != nil {
		return fail(err)
	}
	r, err := route(ctx, f, stream.Upstream(c.at), Epoch{}, c.origins.answer())
	if err != nil {
		return fail(err)
	}
	if int64(r.next) <= c.at {
		return false, nil
	}
	c.page = c.page[:0]
	for _, v := range r.views {
		if v.BaseOffset() >= c.end {
			break
		}
		if c.saw != nil {
			c.saw(v)
		}
		shift, ok := c.ours.shift(v)
		if !ok || c.keeps != nil && !c.keeps(v) {
			continue
		}
		err := c.shaper.Digests(v, c.at, func(offset int64, digest uint64) bool {
			if offset < c.end && c.ours.counts(offset+shift) {
				c.page = append(c.page, mark{offset + shift, digest})
			}
			return offset < c.end
		})
		if err != nil {
			return fail(err)
		}
	}
	c.at = int64(r.next)
	return true, nil
}

// locator finds the end of a log, its tail, in a growing sequence of records: after which record the sequence ends with the
// longest piece of the tail's end. It keeps as many digests as the tail has.
type locator struct {
	tail  []uint64
	ring  []uint64 // the last digests seen, ring[n % len] is the n-th
	seen  int64
	best  int   // length of the longest piece found
	after int64 // offset of the last record of that piece; of the first of equals
}

func newLocator(tail []uint64) *locator {
	return &locator{tail: tail, ring: make([]uint64, len(tail)), after: -1}
}

// add takes the next record. It reports whether the whole tail was found.
func (l *locator) add(m mark) bool {
	size := int64(len(l.tail))
	if size == 0 {
		return false
	}
	l.ring[l.seen%size] = m.digest
	l.seen++
	n := int64(0)
	for n < l.seen && n < size && l.ring[(l.seen-1-n)%size] == l.tail[size-1-n] {
		n++
	}
	if int(n) > l.best {
		l.best, l.after = int(n), m.offset
	}
	return n == size
}
