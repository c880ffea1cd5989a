package replicate

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"tandem/internal/batch"
	"tandem/internal/stream"
)

// chunk is what one fetch brought for one partition, framed and filtered.
type chunk struct {
	partition  stream.Partition
	generation uint64 // of the reading that asked for it
	views      []batch.View
	lease      *lease
	gate       *gate           // where bytes are counted
	bytes      int64           // of the views
	next       stream.Upstream // the first offset after the chunk
	epoch      Epoch           // of the batch before next
	high       stream.Upstream // high watermark
	stable     stream.Upstream // where a reader ends
	again      bool            // what was said before this answer
	err        error
}

// routed is what a fetched partition holds.
type routed struct {
	views []batch.View
	whole []byte          // the batches at and after the place that was asked for, those left out too
	next  stream.Upstream // the first offset after them
	epoch Epoch           // of the batch before next
}

// route frames the batches of a fetched partition, checks their CRC, and leaves out what a reader of the source would not
// see: batches before the place that was asked for, control batches, by the answer's list aborted transactions, and what the
// opposite flow has written.
// What stands before a corrupt batch is kept; the error comes with it.
//
// Leader epochs do not go back in one log. Where they go on, the broker has checked that the epoch before was read to its
// end; where it has not, that is to be checked as well.
func route(ctx context.Context, f stream.Fetched, from stream.Upstream, before Epoch, origins *originAnswer) (r routed, err error) {
	r.next, r.epoch = from, before
	aborted := newAbortedSet(f.Aborted)
	start := 0
	for rest := f.Records; len(rest) > 0; {
		var v batch.View
		v, rest, err = batch.Next(rest)
		if errors.Is(err, batch.ErrTruncated) {
			return r, nil
		}
		if err == nil {
			err = v.Verify()
		}
		if err != nil {
			return r, fmt.Errorf("read %s at %d: %w", f.Partition, r.next, err)
		}
		end := len(f.Records) - len(rest)
		if stream.Upstream(v.LastOffset()) < from {
			start = end
			continue
		}
		if now := v.LeaderEpoch(); now >= 0 && (now < r.epoch.Number() || f.Unguarded && now > r.epoch.Number() && r.epoch.Number() >= 0) {
			return r, fmt.Errorf("read %s at %d: leader epoch %d follows %d: %w", f.Partition, r.next, now, r.epoch.Number(), errNewEpoch)
		}
		keep, err := aborted.keeps(v)
		if keep && err == nil {
			var sentBack bool
			sentBack, err = origins.wrote(ctx, v)
			keep = !sentBack
		}
		if err != nil {
			return r, fmt.Errorf("read %s at %d: %w", f.Partition, r.next, err)
		}
		if keep {
			r.views = append(r.views, v)
		}
		r.whole, r.next, r.epoch = f.Records[start:end], stream.Upstream(v.LastOffset())+1, EpochOf(v.LeaderEpoch())
	}
	return r, nil
}

// abortedSet follows the aborted transactions of one answer: a producer named in the list is out from its first aborted
// offset to its next abort marker.
type abortedSet struct {
	coming []stream.AbortedTransaction // by first offset
	out    map[int64]bool
}

func newAbortedSet(list []stream.AbortedTransaction) *abortedSet {
	if len(list) == 0 {
		return &abortedSet{}
	}
	coming := append([]stream.AbortedTransaction(nil), list...)
	sort.Slice(coming, func(i, j int) bool { return coming[i].First < coming[j].First })
	return &abortedSet{coming: coming, out: make(map[int64]bool)}
}

func (s *abortedSet) keeps(v batch.View) (bool, error) {
	for len(s.coming) > 0 && int64(s.coming[0].First) <= v.LastOffset() {
		s.out[s.coming[0].ProducerID] = true
		s.coming = s.coming[1:]
	}
	if v.Control() {
		if len(s.out) == 0 {
			return false, nil
		}
		abort, err := v.Aborts()
		if err != nil {
			return false, err
		}
		if abort {
			delete(s.out, v.ProducerID())
		}
		return false, nil
	}
	return !(v.Transactional() && s.out[v.ProducerID()]), nil
}
