package replicate

import (
	"time"

	"tandem/internal/batch"
	"tandem/internal/stream"
)

const (
	mergeBelow           = 32 << 10  // an uncompressed batch smaller than this is joined with its neighbours
	mergeCompressedBelow = 4 << 10   // joining compressed ones costs a decompression: only where requests cost more
	mergeUpTo            = 512 << 10 // and no further than this
	viewsAtOnce          = 4096      // looked at for one batch

	// On a long link five small batches in flight cannot fill the line, so merging is worth more there: batches grow to
	// what five of them need for the wanted rate.
	longLink       = 30 * time.Millisecond
	wantedBytesPer = 10 << 20 // per second of the link's delay and batch in flight
)

// limits are the bounds for the next batch of a partition, over a link with the given delay.
func limits(maxBatch int32, delay time.Duration) batch.Limits {
	l := batch.Limits{
		Max: int(maxBatch), MergeUpTo: min(mergeUpTo, int(maxBatch)),
		MergeBelow: mergeBelow, MergeCompressedBelow: mergeCompressedBelow,
	}
	if delay >= longLink {
		wanted := min(int(delay.Seconds()*wantedBytesPer), int(maxBatch))
		l.MergeUpTo = max(l.MergeUpTo, wanted)
		l.MergeBelow = max(l.MergeBelow, wanted/2)
		l.MergeCompressedBelow = max(l.MergeCompressedBelow, wanted/2)
	}
	return l
}

// shape makes the next batch of a partition from its queue, or nil if what was queued needs no copy.
func (p *Pipe) shape(part *partition, delay time.Duration) (*sent, error) {
	for len(part.views) > 0 {
		views := part.views[:min(len(part.views), viewsAtOnce)]
		buffer := p.buffers.take()
		out, used, err := p.shapeNext(part, buffer, views, delay)
		if err != nil {
			p.buffers.give(buffer)
			return nil, err
		}
		fetched := part.leases[0].at
		part.from, part.fromEpoch = stream.Upstream(out.Next), epochBefore(views, out.Next, part.fromEpoch)
		if out.Records == 0 {
			p.buffers.give(buffer)
			part.letViewsGo(used, false)
			part.settle()
			p.settles(part)
			continue
		}
		s := &sent{raw: out.Raw, bytes: len(out.Raw), records: out.Records, runs: out.Runs, next: part.from, epoch: part.fromEpoch,
			form: out.Form, fetched: fetched, newest: newest(out.Raw)}
		switch {
		case out.Form == batch.FormStamp && p.budget.tight(): // as a slice it would keep its whole fetch answer
			if cap(buffer) > 2*len(out.Raw) {
				p.buffers.give(buffer)
				buffer = nil
			}
			s.raw = append(buffer[:0], out.Raw...)
			s.owned = int64(cap(s.raw))
			p.budget.add(s.owned)
			part.letViewsGo(1, false)
		case out.Form == batch.FormStamp:
			p.buffers.give(buffer)
			s.lease, s.view = part.leases[0], int64(len(out.Raw))
			part.letViewsGo(1, true)
		default:
			s.owned = int64(cap(out.Raw))
			p.budget.add(s.owned)
			part.letViewsGo(used, false)
		}
		batch.Stamp(s.raw, batch.Producer{ID: p.producer.ID, Epoch: p.producer.Epoch, Sequence: part.sequence, Transactional: p.txn != nil})
		part.sequence = batch.NextSequence(part.sequence, s.records)
		return s, nil
	}
	return nil, nil
}

func (p *Pipe) shapeNext(part *partition, buffer []byte, views []batch.View, delay time.Duration) (batch.Shaped, int, error) {
	if part.from < part.single {
		return p.shaper.Single(buffer, views[0], int64(part.from), p.codec)
	}
	return p.shaper.Shape(buffer, views, int64(part.from), limits(part.MaxBatch, delay), p.codec)
}

// epochBefore is the leader epoch of the batch that holds the last offset before next.
func epochBefore(views []batch.View, next int64, otherwise Epoch) Epoch {
	for _, v := range views {
		if v.BaseOffset() >= next {
			break
		}
		otherwise = EpochOf(v.LeaderEpoch())
	}
	return otherwise
}

// newest is the largest timestamp of a shaped batch.
func newest(raw []byte) time.Time {
	v, _, err := batch.Next(raw)
	if err != nil || v.MaxTimestamp() < 0 {
		return time.Time{}
	}
	return time.UnixMilli(v.MaxTimestamp())
}

// buffers keeps a few buffers of built batches for use again.
type buffers struct{ free [][]byte }

const (
	buffersKept    = 16
	bufferSmallest = 16 << 10 // a smaller one is made as fast as it is found
	bufferLargest  = 2 << 20
)

func (b *buffers) take() []byte {
	if n := len(b.free); n > 0 {
		buffer := b.free[n-1]
		b.free = b.free[:n-1]
		return buffer
	}
	return nil
}

func (b *buffers) give(buffer []byte) {
	if cap(buffer) >= bufferSmallest && cap(buffer) <= bufferLargest && len(b.free) < buffersKept {
		b.free = append(b.free, buffer[:0])
	}
}
