package replicate

import (
	"context"
	"fmt"

	"tandem/internal/stream"
)

// Place is a Start with the source topic that it belongs to.
type Place struct {
	Start
	Source stream.Partition
	Topic  stream.TopicID
	Anew   bool // nothing that was noted before counts, a Position neither: the source topic is a new one
}

// Memory is what earlier runs left of a flow, as it was read at the start of this one.
type Memory interface {
	// Anchor is the last place that Tandem noted for a remote partition, with the id that the source topic had.
	Anchor(remote stream.Partition) (at Start, topic stream.TopicID, ok bool)
	// Remember notes places durably, by remote partition: before the first record is sent from a new place, so that what
	// a killed process has sent can be counted from there.
	Remember(ctx context.Context, places map[stream.Partition]Place) error
	// Position is the source offset of the last record that was replicated, as MM2 or Tandem noted it in MM2's topic.
	Position(source stream.Partition) (last stream.Upstream, ok bool)
}

// Log answers for the ends of source partitions.
type Log interface {
	// Offsets tells the offset at a time, stream.Earliest or stream.Latest of each partition, or why it cannot.
	Offsets(ctx context.Context, partitions []stream.Partition, at int64) (map[stream.Partition]int64, map[stream.Partition]error, error)
}

// History answers for the ends of source partitions, and for those of their leader epochs.
type History interface {
	Log
	// EpochEnds tells for each partition the largest epoch there that is not above the one asked for, and the first offset
	// after it, or why it cannot; of an epoch of -1 nothing is known. A partition that cannot be asked is in neither map.
	EpochEnds(ctx context.Context, epochs map[stream.Partition]int32) (map[stream.Partition]stream.EpochEnd, map[stream.Partition]error, error)
}

// Registry answers for what the target remembers of producer ids.
type Registry interface {
	// ProducerStates tells the last sequence of the id in each partition that knows it, or why it cannot; a partition
	// that does not know the id, or that cannot be asked at all, is in neither map.
	ProducerStates(ctx context.Context, id int64, partitions []stream.Partition) (map[stream.Partition]stream.ProducerState, map[stream.Partition]error, error)
}

// Reset is the consumer's auto.offset.reset: where a partition begins that has no place yet.
type Reset string

// The values of auto.offset.reset.
const (
	ResetEarliest Reset = "earliest"
	ResetLatest   Reset = "latest"
	ResetNone     Reset = "none"
)

// Resumption is the Resumer of a flow. The target's own producer state comes first: it was written in the same append as
// the records, so it is exact even after a kill.
type Resumption struct {
	Flow       stream.Flow
	ProducerID int64
	Memory     Memory
	Source     History
	Target     Registry
	Remote     Log // of the target
	ReadSource Reader
	ReadRemote Reader
	Committed  bool // what a read_committed consumer of the source would not see is not copied
	Reset      Reset
	FollowNew  bool     // topic.recreated=follow: a topic made anew is replicated, behind the records of the old one
	Origins    *Origins // of the flow that writes into the source topics; nil where none does
	// SharedRemote says that others write to the remote partitions as well: our records are those of ProducerID.
	SharedRemote bool
	HaltAtGap    bool // retention.gap=halt: records that the source deleted too early halt their partition
	Report       stream.Report

	trouble func(Cause) // of the pipe that it serves; nil before that
}

// inSpiteOf counts that a partition goes on in spite of what stops others.
func (r *Resumption) inSpiteOf(cause Cause) {
	if r.trouble != nil {
		r.trouble(cause)
	}
}

// Resume implements Resumer.
func (r *Resumption) Resume(ctx context.Context, questions []Question) (map[stream.Partition]Start, map[stream.Partition]error) {
	starts, errs := make(map[stream.Partition]Start), make(map[stream.Partition]error)
	failAll := func(err error) (map[stream.Partition]Start, map[stream.Partition]error) {
		for _, q := range questions {
			errs[q.Source] = err
		}
		return nil, errs
	}
	remotes := make([]stream.Partition, len(questions))
	for i, q := range questions {
		remotes[i] = q.Remote
	}
	ends, noEnd, err := r.Remote.Offsets(ctx, remotes, stream.Latest)
	if err != nil {
		return failAll(err)
	}
	states, unknown, err := r.Target.ProducerStates(ctx, r.ProducerID, remotes)
	if err != nil {
		return failAll(err)
	}
	helds := make(map[stream.Partition]held)
	var fresh, moved, remade, inexact []Question
	anew := make(map[stream.Partition]bool)
	for _, q := range questions {
		if err := unknown[q.Remote]; err != nil {
			errs[q.Source] = fmt.Errorf("describe producers of %s: %w", q.Remote, err)
			continue
		}
		end, ok := ends[q.Remote]
		if !ok {
			errs[q.Source] = fmt.Errorf("find the end of %s: %w", q.Remote, noEnd[q.Remote])
			continue
		}
		var state *stream.ProducerState
		if s, ok := states[q.Remote]; ok {
			state = &s
		}
		if _, another := r.remade(q); another {
			remade = append(remade, q)
			if !r.FollowNew {
				continue
			}
		}
		start, from := r.place(q, state)
		lost := r.tellLost(q, state)
		helds[q.Remote] = held{state, stream.Downstream(end)}
		starts[q.Source] = start
		if from == nowhere {
			anew[q.Source] = true
			if _, another := r.remade(q); another {
				moved = append(moved, q)
				continue
			}
			fresh = append(fresh, q)
		}
		if lost { // its last note speaks of what is no longer there
			start.Down = Base{}
			starts[q.Source] = start
			moved = append(moved, q)
			continue
		}
		inexact = append(inexact, q)
	}
	r.begin(ctx, fresh, r.Reset, starts, errs)
	moved = append(moved, r.check(ctx, inexact, helds, starts, errs, anew)...)
	tell := r.another(ctx, remade, states, starts, errs)
	r.guard(ctx, questions, starts, errs)
	if err := r.remember(ctx, moved, starts, anew); err != nil {
		for _, q := range moved {
			delete(starts, q.Source)
			errs[q.Source] = err
		}
	}
	tell()
	return starts, errs
}

func (r *Resumption) remember(ctx context.Context, moved []Question, starts map[stream.Partition]Start, anew map[stream.Partition]bool) error {
	places := make(map[stream.Partition]Place, len(moved))
	for _, q := range moved {
		if start, ok := starts[q.Source]; ok {
			places[q.Remote] = Place{start.noted(), q.Source, q.Topic, anew[q.Source]}
		}
	}
	if len(places) == 0 {
		return nil
	}
	if err := r.Memory.Remember(ctx, places); err != nil {
		return fmt.Errorf("note where %d partitions start: %w", len(places), err)
	}
	return nil
}

// origin is where the knowledge of a place comes from.
type origin int8

const (
	nowhere  origin = iota // nothing is known
	anchor                 // our own note, or this process's memory, counted on by what the target says
	position               // MM2's topic
)

// tellLost says so if the target no longer has what it had acknowledged.
func (r *Resumption) tellLost(q Question, state *stream.ProducerState) bool {
	at, known := q.Last, q.Ran
	if !known {
		at, _, known = r.Memory.Anchor(q.Remote)
	}
	if state == nil || !known {
		return false
	}
	lost := ahead(following(at.Sequence, -at.Skip), following(state.LastSequence, 1))
	if lost > 0 {
		r.Report(stream.Event{Flow: r.Flow, Severity: stream.Error, Message: fmt.Sprintf(
			"%s has lost the last %d records that %s had acknowledged, as after an unclean leader election; they are not copied again, replication goes on behind them",
			q.Remote, lost, r.Flow.Target), Fields: []stream.Field{stream.F("partition", q.Source.String()), stream.F("remote", q.Remote.String()), stream.F("records", lost)}})
	}
	return lost > 0
}

// place is where a partition goes on by what is known of it; from nowhere, only the sequence counts.
func (r *Resumption) place(q Question, state *stream.ProducerState) (Start, origin) {
	at, known := q.Last, q.Ran
	last, noted := r.Memory.Position(q.Source)
	if !known {
		var topic stream.TopicID
		at, topic, known = r.Memory.Anchor(q.Remote)
		if known && topic != q.Topic && topic != (stream.TopicID{}) && q.Topic != (stream.TopicID{}) {
			known, noted = false, false // both speak of a topic that has been deleted since
		}
	}
	if state != nil {
		next := following(state.LastSequence, 1)
		if known {
			at.Skip = ahead(next, following(at.Sequence, -at.Skip))
		}
		at.Sequence = next
	}
	if noted && !q.Ran && (!known || last+1 > at.Next) {
		if known && at.Skip > 0 {
			// The position may be of MM2, run since, or our own and newer than the anchor: the records to pass over tell.
			at.Floor = last + 1
			return at, anchor
		}
		at.Next, at.Epoch = last+1, Epoch{} // either there is no anchor, or MM2 has run since it was written and is further
		return at, position
	}
	if known {
		return at, anchor
	}
	return at, nowhere
}

// begin finds the beginning of partitions that have never been replicated.
func (r *Resumption) begin(ctx context.Context, fresh []Question, reset Reset, starts map[stream.Partition]Start, errs map[stream.Partition]error) {
	if len(fresh) == 0 {
		return
	}
	at := stream.Earliest
	switch reset {
	case ResetEarliest:
	case ResetLatest:
		at = stream.Latest
	case ResetNone:
		for _, q := range fresh {
			delete(starts, q.Source)
			errs[q.Source] = fmt.Errorf("%s has no position yet, and auto.offset.reset=none says not to choose one", q.Source)
		}
		return
	}
	sources := make([]stream.Partition, len(fresh))
	for i, q := range fresh {
		sources[i] = q.Source
	}
	offsets, failed, err := r.Source.Offsets(ctx, sources, at)
	for _, q := range fresh {
		reason := failed[q.Source]
		if err != nil {
			reason = err
		}
		offset, ok := offsets[q.Source]
		if !ok && reason == nil {
			reason = fmt.Errorf("no answer for %s", q.Source)
		}
		if reason != nil {
			delete(starts, q.Source)
			errs[q.Source] = fmt.Errorf("find the start of %s: %w", q.Source, reason)
			continue
		}
		start := starts[q.Source]
		start.Next, start.Skip, start.Epoch = stream.Upstream(offset), 0, Epoch{}
		starts[q.Source] = start
	}
}

// sequences are counted modulo 2^31.
const sequences = 1 << 31

// following is the sequence n records after s; before it, if n is negative.
func following(s int32, n int64) int32 {
	return int32((int64(s) + n%sequences + sequences) % sequences)
}

// ahead is by how many records sequence a is ahead of b; 0 if it is behind, which half of the circle decides.
func ahead(a, b int32) int64 {
	d := (int64(a) - int64(b) + sequences) % sequences
	if d >= sequences/2 {
		return 0
	}
	return d
}
