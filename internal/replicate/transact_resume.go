package replicate

import (
	"context"
	"fmt"
	"sync"

	"tandem/internal/batch"
	"tandem/internal/stream"
)

// InTransactions is the Resumer of a pipe with transactions. Where a partition goes on, the places tell that were committed with the
// records: nothing is counted. The notes keep the sequence that the flow's idempotent producer stands at, so that a partition which
// that one wrote last is found as ever, and it can go on some day as if the transactions had not been.
type InTransactions struct {
	*Resumption // by the flow's idempotent producer id

	// Convert notes durably, before the first record is sent in a transaction, places that the idempotent producer had noted with a target
	// offset: what an aborted transaction leaves behind it must not be taken for copied.
	Convert func(ctx context.Context, places map[stream.Partition]Place) error

	mu        sync.Mutex
	sequences map[stream.Partition]int32 // of the idempotent producer, by remote partition
}

// Sequence is what the idempotent producer's next record of a remote partition gets.
func (r *InTransactions) Sequence(remote stream.Partition) int32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, ok := r.sequences[remote]; ok {
		return s
	}
	at, _, _ := r.Memory.Anchor(remote)
	return at.Sequence
}

// Resume implements Resumer. A partition that has run in this process stands where the pipe has it: whatever made that doubtful would
// have ended the pipe.
func (r *InTransactions) Resume(ctx context.Context, questions []Question) (map[stream.Partition]Start, map[stream.Partition]error) {
	asked := make([]Question, len(questions))
	for i, q := range questions {
		if q.Ran && q.Last.Skip == 0 {
			q.Last = r.translated(q.Remote, q.Last)
		}
		asked[i] = q
	}
	starts, errs := r.Resumption.Resume(ctx, asked)
	if err := r.convert(ctx, asked, starts); err != nil {
		for _, q := range asked {
			errs[q.Source] = err
		}
		return nil, errs
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sequences == nil {
		r.sequences = make(map[stream.Partition]int32)
	}
	for _, q := range asked {
		start, ok := starts[q.Source]
		if !ok {
			continue
		}
		r.sequences[q.Remote] = start.Sequence
		if q.Ran && q.Last.Skip == 0 {
			start.Down = Base{} // the end of the log may have a marker more by now, or not yet
			starts[q.Source] = start
		}
	}
	return starts, errs
}

// translated is a place of the pipe in the idempotent producer's sequence. Markers have moved its target offset.
func (r *InTransactions) translated(remote stream.Partition, at Start) Start {
	at.Sequence = r.Sequence(remote)
	if at.Skip == 0 {
		at.Down = Base{}
	}
	return at
}

// OutOfRange implements Resumer.
func (r *InTransactions) OutOfRange(ctx context.Context, a Assignment, at Start) (Start, error) {
	return r.Resumption.OutOfRange(ctx, a, r.translated(a.Remote, at))
}

// Passed implements Resumer.
func (r *InTransactions) Passed(ctx context.Context, a Assignment, at Start) error {
	return r.Resumption.Passed(ctx, a, r.translated(a.Remote, at))
}

// convert takes the target offset out of notes.
func (r *InTransactions) convert(ctx context.Context, questions []Question, starts map[stream.Partition]Start) error {
	places := make(map[stream.Partition]Place)
	for _, q := range questions {
		start, ok := starts[q.Source]
		if at, _, known := r.Memory.Anchor(q.Remote); ok && !q.Ran && known && at.Down.known() {
			at := start.noted()
			at.Down = Base{}
			places[q.Remote] = Place{Start: at, Source: q.Source, Topic: q.Topic}
		}
	}
	if len(places) == 0 {
		return nil
	}
	if err := r.Convert(ctx, places); err != nil {
		return fmt.Errorf("note that %d partitions go on in transactions: %w", len(places), err)
	}
	return nil
}

// transactional says that the last batch of a remote partition was written in a transaction, or is the marker of one: then the
// positions of MM2 are exact, as they stand in the same transactions.
func (r *Resumption) transactional(ctx context.Context, remote stream.Partition, end stream.Downstream) (bool, error) {
	f, err := r.ReadRemote.Read(ctx, remote, int64(end)-1, pageBytes, false)
	if err != nil {
		return false, err
	}
	for rest := f.Records; len(rest) > 0; {
		v, left, err := batch.Next(rest)
		if err != nil {
			return false, nil //nolint:nilerr // cut off: what it ends with is not in it
		}
		if v.LastOffset() >= int64(end)-1 {
			return v.Transactional() || v.Control(), nil
		}
		rest = left
	}
	return false, nil
}
