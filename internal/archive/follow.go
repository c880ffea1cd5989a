package archive

import (
	"errors"
	"fmt"

	"tandem/internal/batch"
	"tandem/internal/stream"
)

// place is where the archive of a partition ends.
type place struct {
	next  stream.Upstream
	epoch int32 // leader epoch of the last batch before next, -1 when unknown
}

// fit says how a stretch of a partition stands to where its archive ends.
type fit int8

const (
	fits    fit = iota
	stale       // all of it is archived
	missing     // something is missing between
	parted      // it is not certain that both are of one log: the source may have been truncated
	broken      // these are not whole batches of that stretch
)

// follow finds what of a piece is new behind a place. rest are the bytes of it, after where the archive ends with them.
//
// Offsets alone do not show that both are of one log: a source that was truncated uses them again. Leader epochs do: a log that has
// a batch of an epoch at an offset is the same up to there as every other log that has it. So the batch before the place
// must be known to have our epoch, or the batch behind it must have it. A batch that reaches over the place is not enough: a
// log that was truncated to inside of our last batch has one.
func follow(at place, p Piece) (rest []byte, after place, f fit) {
	switch {
	case p.Next <= at.next:
		return nil, at, stale
	case p.From > at.next:
		return nil, at, missing
	}
	before, first, last := int32(-1), true, int64(-1)
	if p.From == at.next {
		before = p.LeaderEpoch
	}
	after = place{next: p.Next, epoch: at.epoch}
	rest = p.Batches
	for b := p.Batches; len(b) > 0; {
		v, more, err := batch.Next(b)
		if err != nil || v.BaseOffset() <= last || v.LastOffset() >= int64(p.Next) {
			return nil, at, broken
		}
		last, b = v.LastOffset(), more
		epoch := v.LeaderEpoch()
		if last < int64(at.next) {
			rest = more
			if before = -1; last == int64(at.next)-1 {
				before = epoch
			}
			continue
		}
		if first && !agree(at.epoch, before, epoch) || epoch >= 0 && epoch < after.epoch {
			return nil, at, parted
		}
		first = false
		if epoch >= 0 {
			after.epoch = epoch
		}
	}
	return rest, after, fits
}

// agree says whether a batch of an epoch, behind one of the epoch before, goes on behind ours.
func agree(ours, before, epoch int32) bool {
	return ours < 0 || epoch < 0 || epoch == ours || epoch > ours && before == ours
}

// frame takes the whole batches that end at or after an offset from what a fetch has brought, checks them, and says where they end.
func frame(records []byte, from stream.Upstream) (batches []byte, next stream.Upstream, err error) {
	next = from
	start, end := 0, 0
	for b := records; len(b) > 0; {
		v, more, err := batch.Next(b)
		if errors.Is(err, batch.ErrTruncated) {
			break
		}
		if err == nil {
			err = v.Verify()
		}
		if err != nil {
			return nil, from, fmt.Errorf("batch at %d: %w", next, err)
		}
		b, end = more, len(records)-len(more)
		if v.LastOffset() < int64(from) {
			start = end
			continue
		}
		next = stream.Upstream(v.LastOffset()) + 1
	}
	return records[start:end], next, nil
}
