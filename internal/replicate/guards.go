package replicate

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"tandem/internal/stream"
)

// Guards see that a source partition is no longer the one that was read, before a record of it is written: another topic of
// the same name by its id, a truncated log by its leader epochs, a log that retention has shortened by its start.

// Epoch is a leader epoch of the source; the zero value is an unknown one.
type Epoch struct{ next int32 }

// EpochOf makes an Epoch of its number; a negative one is unknown.
func EpochOf(number int32) Epoch { return Epoch{max(number, -1) + 1} }

// Number is -1 when the epoch is unknown.
func (e Epoch) Number() int32 { return e.next - 1 }

// partedAt says that a log in which the epoch of a place ends like this is not the one in which the place was noted.
func (s Start) partedAt(end stream.EpochEnd) bool {
	known := s.Epoch.Number() >= 0 && end.Epoch >= 0 && end.End >= 0
	return known && (end.Epoch < s.Epoch.Number() || end.End < s.Next)
}

// halted is an error that says all that a person needs to decide.
func halted(cause Cause, format string, args ...any) error {
	return haltedError{cause, fmt.Sprintf(format, args...)}
}

type haltedError struct {
	cause Cause
	text  string
}

func (h haltedError) Error() string { return h.text }
func (h haltedError) Unwrap() error { return errHalt }

// truncation is why a partition is halted whose source has lost records that are on the target.
type truncation struct {
	Assignment
	flow stream.Flow
	at   Start
	end  stream.EpochEnd // the source ends here, or goes on here with other records
}

func (t *truncation) Error() string {
	where := fmt.Sprintf("ends at offset %d", t.end.End)
	if t.end.Epoch >= 0 {
		where = fmt.Sprintf("has other records from offset %d on (leader epoch %d ends there)", t.end.End, t.end.Epoch)
	}
	return fmt.Sprintf("the source was truncated, as by an unclean leader election: %s of %s now %s, and everything below offset %s was copied; "+
		"what was copied from offset %d on exists only in %s of %s. Stop mirror, then `mirror position FILE %q %s %d` makes the next start copy what the source has now, behind those records",
		t.Source, t.flow.Source, where, t.at.reach(), t.end.End, t.Remote, t.flow.Target, t.flow.String(), t.Source, t.end.End)
}

func (t *truncation) Unwrap() error { return errHalt }

// spared says that nothing was copied of what the source has lost, so that the partition just goes on from where it stands.
// By now all answers have come in.
func (p *Pipe) spared(part *partition, err error) bool {
	t := (*truncation)(nil)
	if !errors.As(err, &t) || !part.ran {
		return false
	}
	t.at = part.where()
	if t.at.partedAt(t.end) || int64(t.at.Next)+t.at.Skip > int64(t.end.End) {
		return false
	}
	p.counters.trouble(Truncated)
	part.phase = starting
	p.ask(part)
	return true
}

// haltedAtStart takes the place over that a partition would have started from.
func (p *partition) haltedAtStart(err error) {
	if t := (*truncation)(nil); errors.As(err, &t) && !p.ran {
		p.acked = t.at.Next
	}
}

// reach is how far a place is, for people.
func (s Start) reach() string {
	if s.Skip > 0 {
		return fmt.Sprintf("%d and %d more records", s.Next, s.Skip)
	}
	return fmt.Sprint(s.Next)
}

// guard checks the places from which partitions are to go on.
func (r *Resumption) guard(ctx context.Context, questions []Question, starts map[stream.Partition]Start, errs map[stream.Partition]error) {
	epochs := make(map[stream.Partition]int32)
	var counted []stream.Partition
	for _, q := range questions {
		start, ok := starts[q.Source]
		if ok && start.Epoch.Number() >= 0 {
			epochs[q.Source] = start.Epoch.Number()
		}
		if ok && start.Skip > 0 {
			counted = append(counted, q.Source)
		}
	}
	ends, failed, err := r.epochEnds(ctx, epochs)
	latest, unlisted, listErr := r.latest(ctx, counted)
	for _, q := range questions {
		start, ok := starts[q.Source]
		if !ok {
			continue
		}
		end, answered := ends[q.Source]
		logEnd, listed := latest[q.Source]
		switch reason := errors.Join(err, failed[q.Source], listErr, unlisted[q.Source]); {
		case reason != nil:
			errs[q.Source] = fmt.Errorf("check that %s is what it was: %w", q.Source, reason)
		case answered && start.partedAt(end):
			errs[q.Source] = &truncation{q.Assignment, r.Flow, start, end}
		case listed && logEnd < int64(start.Next)+start.Skip: // there are not as many records as were copied
			errs[q.Source] = &truncation{q.Assignment, r.Flow, start, stream.EpochEnd{Epoch: -1, End: stream.Upstream(logEnd)}}
		default:
			if end.Epoch < 0 || !answered {
				start.Epoch = Epoch{} // the source does not know it any more: nothing can be asked by it
				starts[q.Source] = start
			}
			continue
		}
		delete(starts, q.Source)
	}
}

func (r *Resumption) epochEnds(ctx context.Context, epochs map[stream.Partition]int32) (map[stream.Partition]stream.EpochEnd, map[stream.Partition]error, error) {
	if len(epochs) == 0 {
		return nil, nil, nil
	}
	return r.Source.EpochEnds(ctx, epochs)
}

func (r *Resumption) latest(ctx context.Context, list []stream.Partition) (map[stream.Partition]int64, map[stream.Partition]error, error) {
	if len(list) == 0 {
		return nil, nil, nil
	}
	return r.Source.Offsets(ctx, list, stream.Latest)
}

// remade says that the anchor of a remote partition speaks of an older topic of the same name, and of which one.
func (r *Resumption) remade(q Question) (old stream.TopicID, another bool) {
	if q.Ran {
		return old, false
	}
	_, old, known := r.Memory.Anchor(q.Remote)
	return old, known && old != q.Topic && old != stream.TopicID{} && q.Topic != stream.TopicID{}
}

// another decides what becomes of partitions whose topic was made anew: they are halted, or begin at the beginning. What
// it returns tells of the latter, once that is noted.
func (r *Resumption) another(ctx context.Context, remade []Question, states map[stream.Partition]stream.ProducerState,
	starts map[stream.Partition]Start, errs map[stream.Partition]error) (tell func()) {
	if len(remade) == 0 {
		return func() {}
	}
	if r.FollowNew {
		return r.followNew(ctx, remade, starts, errs)
	}
	sources := make([]stream.Partition, len(remade))
	for i, q := range remade {
		sources[i] = q.Source
	}
	ends, failed, err := r.latest(ctx, sources)
	for _, q := range remade {
		if reason := errors.Join(err, failed[q.Source]); reason != nil {
			errs[q.Source] = fmt.Errorf("find the end of %s: %w", q.Source, reason)
			continue
		}
		at, old, _ := r.Memory.Anchor(q.Remote)
		if state, ok := states[q.Remote]; ok {
			at.Skip = ahead(following(state.LastSequence, 1), at.Sequence)
		}
		errs[q.Source] = halted(Recreated, "topic %s was deleted and made anew (id %s, was %s); of the old one everything below offset %s was copied, the new one ends at %d and nothing of it was copied. "+
			"Set topic.recreated=follow and restart to have it copied from its beginning into %s, behind the records of the old one; delete %s first to have it alone there",
			q.Source.Topic, short(q.Topic), short(old), at.reach(), ends[q.Source], q.Remote, q.Remote.Topic)
	}
	return func() {}
}

// followNew lets partitions of a topic made anew begin at its beginning.
func (r *Resumption) followNew(ctx context.Context, remade []Question, starts map[stream.Partition]Start, errs map[stream.Partition]error) (tell func()) {
	remotes := make([]stream.Partition, len(remade))
	was := make([]stream.TopicID, len(remade))
	for i, q := range remade {
		remotes[i] = q.Remote
		was[i], _ = r.remade(q)
	}
	r.begin(ctx, remade, ResetEarliest, starts, errs)
	ends, failed, err := r.Remote.Offsets(ctx, remotes, stream.Latest)
	for _, q := range remade {
		if reason := errors.Join(err, failed[q.Remote]); reason != nil {
			delete(starts, q.Source)
			errs[q.Source] = fmt.Errorf("find the end of %s: %w", q.Remote, reason)
		}
	}
	return func() {
		for i, q := range remade {
			start, ok := starts[q.Source]
			if !ok {
				continue
			}
			r.inSpiteOf(Recreated)
			r.Report(stream.Event{Flow: r.Flow, Severity: stream.Warn, Message: fmt.Sprintf(
				"topic %s was deleted and made anew (id %s, was %s); %s is copied from its beginning, offset %d, and its records begin at offset %d of %s",
				q.Source.Topic, short(q.Topic), short(was[i]), q.Source, start.Next, ends[q.Remote], q.Remote),
				Fields: []stream.Field{stream.F("partition", q.Source.String()), stream.F("remote", q.Remote.String()), stream.F("begins", ends[q.Remote])}})
		}
	}
}

// short is the beginning of a topic id as Kafka writes it.
func short(id stream.TopicID) string { return base64.RawURLEncoding.EncodeToString(id[:])[:8] }

// OutOfRange implements Resumer. Records that retention has taken are named and passed over, as MM2 passes over them in
// silence, or halt the partition; so does a source that was truncated.
func (r *Resumption) OutOfRange(ctx context.Context, a Assignment, at Start) (Start, error) {
	earliest, err := r.end(ctx, a.Source, stream.Earliest)
	if err != nil {
		return at, err
	}
	latest, err := r.end(ctx, a.Source, stream.Latest)
	if err != nil {
		return at, err
	}
	if at.Next < earliest {
		return r.passDeleted(ctx, a, at, earliest)
	}
	if at.Epoch.Number() < 0 {
		if at.Next > latest {
			return at, &truncation{a, r.Flow, at, stream.EpochEnd{Epoch: -1, End: latest}}
		}
		return at, nil // it has come back, as after a leader that was behind
	}
	ends, failed, err := r.epochEnds(ctx, map[stream.Partition]int32{a.Source: at.Epoch.Number()})
	if err = errors.Join(err, failed[a.Source]); err != nil {
		return at, fmt.Errorf("check that %s is what it was: %w", a.Source, err)
	}
	end, answered := ends[a.Source]
	switch {
	case answered && at.partedAt(end):
		return at, &truncation{a, r.Flow, at, end}
	case !answered || end.Epoch < 0: // the source cannot tell, and refuses to be asked by epoch: the offset alone counts
		at.Epoch = Epoch{}
		if at.Next > latest {
			return at, &truncation{a, r.Flow, at, stream.EpochEnd{Epoch: -1, End: latest}}
		}
	}
	return at, nil
}

// passDeleted goes on at the log start. Of the records to pass over, no more than there were offsets have been deleted;
// which of the others remain, a comparison tells, or else what may remain of them is still passed over.
func (r *Resumption) passDeleted(ctx context.Context, a Assignment, at Start, earliest stream.Upstream) (Start, error) {
	lost := max(at.Next+stream.Upstream(at.Skip), at.Floor)
	if at.Skip > 0 && at.Down.known() {
		behind := at.Down.after(at.Skip)
		c, err := r.compare(ctx, a, at, at.Down.Offset(), behind.Offset())
		if err != nil {
			return at, err
		}
		if c.matched > 0 { // so nothing was deleted behind them
			lost = c.next
			earliest = c.next
		}
		if r.SharedRemote {
			behind = c.behind
		}
		at = Start{Next: at.Next, Sequence: at.Sequence, Down: behind}
	}
	if lost < earliest && (r.HaltAtGap || r.Reset == ResetNone) {
		setting := "retention.gap=halt"
		if !r.HaltAtGap {
			setting = "auto.offset.reset=none"
		}
		return at, halted(Expired, "records %d to %d of %s were deleted by the source's retention before they were replicated, and %s says not to go on behind them; "+
			"stop mirror, then `mirror position FILE %q %s %d` makes the next start go on there", lost, earliest-1, a.Source, setting, r.Flow.String(), a.Source, earliest)
	}
	left := max(0, at.Skip-int64(earliest-at.Next))
	at.Down, at.Skip = at.Down.after(at.Skip-left), left
	at.Next, at.Epoch = earliest, Epoch{}
	if err := r.Memory.Remember(ctx, map[stream.Partition]Place{a.Remote: {at.noted(), a.Source, a.Topic, false}}); err != nil {
		return at, fmt.Errorf("note where %s goes on: %w", a.Source, err)
	}
	if lost < earliest {
		r.inSpiteOf(Expired)
		r.Report(stream.Event{Flow: r.Flow, Severity: stream.Error, Message: fmt.Sprintf(
			"records %d to %d of %s were deleted by the source's retention before they were replicated; going on at %d", lost, earliest-1, a.Source, earliest),
			Fields: []stream.Field{stream.F("partition", a.Source.String()), stream.F("from", int64(lost)), stream.F("to", int64(earliest))}})
	}
	return at, nil
}

func (r *Resumption) end(ctx context.Context, p stream.Partition, at int64) (stream.Upstream, error) {
	offsets, failed, err := r.Source.Offsets(ctx, []stream.Partition{p}, at)
	if err == nil {
		err = failed[p]
	}
	offset, ok := offsets[p]
	if err == nil && !ok {
		err = fmt.Errorf("no answer")
	}
	if err != nil {
		return 0, fmt.Errorf("find the ends of %s: %w", p, err)
	}
	return stream.Upstream(offset), nil
}
