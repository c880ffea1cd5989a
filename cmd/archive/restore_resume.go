package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"tandem/internal/archive/restore"
	"tandem/internal/batch"
	"tandem/internal/replicate"
	"tandem/internal/stream"
)

// restoreResume says where partitions go on: the n-th record of the cut has producer sequence n and target offset base + n, so what the
// target holds tells how many it has, and the archive where the next one stands. It is replicate's Resumer.
type restoreResume struct {
	logs     map[stream.Partition]*restore.Log
	bases    map[stream.Partition]stream.Downstream // by target partition
	producer int64
	target   restoreLog
	fail     func(error) // ends the restore; it does not block

	mu   sync.Mutex
	have map[stream.Partition]int64 // records on the target, by target partition
}

func newRestoreResume(logs map[stream.Partition]*restore.Log, begun *restore.Begun, target restoreLog, fail func(error)) *restoreResume {
	r := &restoreResume{logs: logs, bases: make(map[stream.Partition]stream.Downstream), producer: begun.ProducerID, target: target, fail: fail,
		have: make(map[stream.Partition]int64)}
	for _, b := range begun.Bases {
		r.bases[stream.Partition{Topic: b.Topic, Number: b.Partition}] = b.Offset
	}
	return r
}

// acked counts what the target has taken.
func (r *restoreResume) acked(a stream.Ack) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.have[a.Remote] += a.Records()
}

// count is how many records of ours the target has.
func (r *restoreResume) count(remote stream.Partition) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.have[remote]
}

// restoreLog is what is asked of the target.
type restoreLog interface {
	Offsets(ctx context.Context, partitions []stream.Partition, at int64) (map[stream.Partition]int64, map[stream.Partition]error, error)
	ProducerStates(ctx context.Context, id int64, partitions []stream.Partition) (map[stream.Partition]stream.ProducerState, map[stream.Partition]error, error)
	Read(ctx context.Context, p stream.Partition, offset int64, maxBytes int32, committed bool) (stream.Fetched, error)
}

const sequences = 1 << 31 // producer sequences are counted modulo this

// Resume implements replicate.Resumer.
func (r *restoreResume) Resume(ctx context.Context, questions []replicate.Question) (map[stream.Partition]replicate.Start, map[stream.Partition]error) {
	starts, errs := make(map[stream.Partition]replicate.Start), make(map[stream.Partition]error)
	failAll := func(err error) (map[stream.Partition]replicate.Start, map[stream.Partition]error) {
		for _, q := range questions {
			errs[q.Source] = err
		}
		return nil, errs
	}
	remotes := make([]stream.Partition, len(questions))
	for i, q := range questions {
		remotes[i] = q.Remote
	}
	ends, noEnd, err := r.target.Offsets(ctx, remotes, stream.Latest) // before the states: what is appended between the two is ours
	if err != nil {
		return failAll(err)
	}
	states, unknown, err := r.target.ProducerStates(ctx, r.producer, remotes)
	if err != nil {
		return failAll(err)
	}
	for _, q := range questions {
		end, ok := ends[q.Remote]
		if err := errors.Join(noEnd[q.Remote], unknown[q.Remote]); err != nil || !ok {
			errs[q.Source] = fmt.Errorf("find the end of %s: %w", q.Remote, err)
			continue
		}
		var state *stream.ProducerState
		if s, ok := states[q.Remote]; ok {
			state = &s
		}
		start, err := r.start(ctx, q.Assignment, end, state)
		if err != nil {
			errs[q.Source] = err
			continue
		}
		starts[q.Source] = start
	}
	return starts, errs
}

// start is where one partition goes on.
func (r *restoreResume) start(ctx context.Context, a replicate.Assignment, end int64, state *stream.ProducerState) (replicate.Start, error) {
	base := r.bases[a.Remote]
	n := end - int64(base)
	if n < 0 {
		return replicate.Start{}, r.lost(fmt.Errorf("%s ends at offset %d, and records of this restore begin at %d: it was deleted and made anew; begin anew with --again", a.Remote, end, base))
	}
	switch {
	case state != nil:
		// The leader's state counts what its followers may not have yet.
		ahead := (int64(state.LastSequence) + 1 - n%sequences + sequences) % sequences
		if ahead >= sequences/2 {
			return replicate.Start{}, r.lost(r.others(ctx, a.Remote, stream.Downstream(end-1), stream.Downstream(end)))
		}
		if ahead > 0 && n > 0 { // or the topic is another one than that which they were written to
			if err := r.isLast(ctx, a.Remote, end, n); err != nil {
				return replicate.Start{}, err
			}
		}
		n += ahead
	case n > 0:
		if err := r.isLast(ctx, a.Remote, end, n); err != nil {
			return replicate.Start{}, err
		}
	}
	log := r.logs[a.Source]
	next, err := log.First(), error(nil)
	if n > 0 { // else all of it is read, and what is left out is counted
		next, err = log.At(ctx, n)
	}
	if err != nil {
		if ctx.Err() == nil {
			err = r.lost(fmt.Errorf("go on with %s behind %d records: %w", a.Remote, n, err))
		}
		return replicate.Start{}, err
	}
	r.mu.Lock()
	r.have[a.Remote] = n
	r.mu.Unlock()
	return replicate.Start{Next: next, Sequence: int32(n % sequences), Down: replicate.BaseOf(base + stream.Downstream(n))}, nil
}

// lost ends the restore: no waiting mends it.
func (r *restoreResume) lost(err error) error {
	r.fail(refused{stuckError{err}})
	return err
}

// others says who else has written to a partition, if that shows soon.
func (r *restoreResume) others(ctx context.Context, p stream.Partition, from, to stream.Downstream) error {
	who, err := r.foreign(ctx, p, int64(from), int64(to))
	if err != nil || who == "" {
		who = "its records are not those that this restore has written"
	}
	return fmt.Errorf("somebody else writes to %s: %s; stop that writer, delete the topic and begin anew with --again, or restore under another name", p, who)
}

// isLast wants the last record of a partition to be the last of n of ours.
func (r *restoreResume) isLast(ctx context.Context, p stream.Partition, end, n int64) error {
	ours, err := r.isNumber(ctx, p, end-1, n-1)
	if err == nil && !ours {
		err = r.lost(r.others(ctx, p, r.bases[p], stream.Downstream(end)))
	}
	return err
}

// isNumber says whether the record at a target offset is the n-th of ours, by the sequence in its batch: where the broker does not tell
// how many we have written, the last record does. What was deleted since is taken for ours.
func (r *restoreResume) isNumber(ctx context.Context, p stream.Partition, at, n int64) (bool, error) {
	f, err := r.target.Read(ctx, p, at, pageBytes, false)
	if code, known := stream.CodeOf(err); known && code == stream.CodeOffsetOutOfRange {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %s at %d: %w", p, at, err)
	}
	for rest := f.Records; len(rest) > 0; {
		v, left, err := batch.Next(rest)
		if err != nil {
			break
		}
		if rest = left; v.LastOffset() >= at {
			return v.ProducerID() == r.producer && (int64(v.BaseSequence())+at-v.BaseOffset())%sequences == n%sequences, nil
		}
	}
	return false, fmt.Errorf("read %s at %d: nothing is there", p, at)
}

const (
	pageBytes    = 1 << 20 // read at a time
	foreignPages = 64      // read to find out who has written
)

// foreign is the first batch of a range that is not ours, in words; empty if all that is read is.
func (r *restoreResume) foreign(ctx context.Context, p stream.Partition, at, end int64) (string, error) {
	for pages := 0; at < end && pages < foreignPages; pages++ {
		f, err := r.target.Read(ctx, p, at, pageBytes, false)
		if code, known := stream.CodeOf(err); known && code == stream.CodeOffsetOutOfRange {
			return "", nil // deleted since
		}
		if err != nil {
			return "", fmt.Errorf("read %s at %d: %w", p, at, err)
		}
		before := at
		for rest := f.Records; len(rest) > 0 && at < end; {
			v, left, err := batch.Next(rest)
			if err != nil {
				break // cut off: it comes with the next page
			}
			if rest = left; v.LastOffset() < at {
				continue
			}
			if v.ProducerID() != r.producer {
				return fmt.Sprintf("offsets %d to %d are of producer id %d", v.BaseOffset(), v.LastOffset(), v.ProducerID()), nil
			}
			at = v.LastOffset() + 1
		}
		if at == before {
			break
		}
	}
	return "", nil
}

// Gap implements replicate.Resumer.
func (r *restoreResume) Gap(ctx context.Context, a replicate.Assignment, from, to stream.Downstream) error {
	who, err := r.foreign(ctx, a.Remote, int64(from), int64(to))
	if err != nil || who == "" {
		return err
	}
	return r.lost(r.others(ctx, a.Remote, from, to))
}

// OutOfRange implements replicate.Resumer. The archive refuses no offset.
func (r *restoreResume) OutOfRange(_ context.Context, a replicate.Assignment, at replicate.Start) (replicate.Start, error) {
	return at, r.lost(fmt.Errorf("the archive of %s does not go on at offset %d", a.Source, at.Next))
}

// Passed implements replicate.Resumer. No record is passed over.
func (r *restoreResume) Passed(context.Context, replicate.Assignment, replicate.Start) error {
	return nil
}
