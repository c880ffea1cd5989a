package replicate

import (
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
	tailRecords = 1000    // of the target that are compared
	tailBytes   = 1 << 20 // read at a time
)

// walk hands the records of a partition to each, from an offset on, as a reader sees them, until each returns false or
// the end that is given is reached.
func walk(ctx context.Context, from Reader, p stream.Partition, committed bool, at, end int64, each func(offset int64, digest uint64) bool) error {
	shaper := batch.NewShaper()
	for at < end {
		f, err := from.Read(ctx, p, at, tailBytes, committed)
		if err != nil {
			return fmt.Errorf("read %s at %d: %w", p, at, err)
		}
		views, next, _, err := route(f, stream.Upstream(at), Epoch{})
		if err != nil {
			return err
		}
		if int64(next) == at {
			return nil // nothing there although the log goes on: an open transaction, or the end has moved
		}
		for _, v := range views {
			more := true
			err := shaper.Digests(v, at, func(offset int64, digest uint64) bool {
				more = offset < end && each(offset, digest)
				return more
			})
			if err != nil || !more {
				return err
			}
		}
		at = int64(next)
	}
	return nil
}

// tail is the last records of a partition, by digest, with their offsets.
type tail struct {
	offsets []int64
	digests []uint64
}

// readTail reads what lies between two offsets, at most the last tailRecords of them.
func readTail(ctx context.Context, from Reader, p stream.Partition, start, end int64) (tail, error) {
	var t tail
	err := walk(ctx, from, p, false, max(start, end-tailRecords), end, func(offset int64, digest uint64) bool {
		t.offsets = append(t.offsets, offset)
		t.digests = append(t.digests, digest)
		return true
	})
	return t, err
}

// mismatch says that a remote partition holds a record that the source does not have at that place.
type mismatch struct {
	remote stream.Partition
	down   int64
}

func (m *mismatch) Error() string {
	return fmt.Sprintf("%s holds at offset %d a record that the source does not have at that place: somebody else writes to the remote topic", m.remote, m.down)
}

// confirm compares the target's tail with the source: record i of the source from an anchor on must stand at target
// offset down+i, wherever the target still has that offset (compaction and retention may have taken it). It returns the
// source's number of records up to the target's end.
func confirm(t tail, remote stream.Partition, down, end int64, source func(each func(offset int64, digest uint64) bool) error) error {
	index, i := 0, int64(0)
	var wrong error
	err := source(func(_ int64, digest uint64) bool {
		at := down + i
		i++
		for index < len(t.offsets) && t.offsets[index] < at {
			index++
		}
		if index < len(t.offsets) && t.offsets[index] == at && t.digests[index] != digest {
			wrong = &mismatch{remote, at}
		}
		return wrong == nil && at+1 < end
	})
	switch {
	case err != nil:
		return err
	case wrong != nil:
		return wrong
	case down+i < end:
		return &mismatch{remote, down + i}
	}
	return nil
}

// locator finds a tail in a growing sequence of records: after which record the sequence ends with the longest piece of
// the tail's end. It keeps as many digests as the tail has.
type locator struct {
	tail  []uint64
	ring  []uint64 // the last digests seen, ring[n % len] is the n-th
	seen  int64
	best  int   // length of the longest piece found
	after int64 // and the number of records up to its end; the first of equals
}

func newLocator(t tail) *locator {
	return &locator{tail: t.digests, ring: make([]uint64, len(t.digests))}
}

// add takes the next record; with candidate, the sequence may end after it. It reports whether the whole tail was found.
func (l *locator) add(digest uint64, candidate bool) bool {
	if len(l.tail) == 0 {
		return false
	}
	l.ring[l.seen%int64(len(l.ring))] = digest
	l.seen++
	if !candidate {
		return false
	}
	n := 0
	for int64(n) < l.seen && n < len(l.tail) && l.ring[(l.seen-1-int64(n))%int64(len(l.ring))] == l.tail[len(l.tail)-1-n] {
		n++
	}
	if n > l.best {
		l.best, l.after = n, l.seen
	}
	return n == len(l.tail)
}
