package replicate

import (
	"context"
	"fmt"
	"sync"

	"tandem/internal/stream"
)

// What the target's log says of a place. The producer state counts what was appended since the last note; the log end tells
// whether that is all there is. Where counting does not tell, the records themselves are compared.

// Terms of the files here: a place is exact when the record at Next is the first that the target does not have, and gets the
// target offset Down.

// held is what the target says of a remote partition.
type held struct {
	state *stream.ProducerState // nil when it does not know our producer id
	end   stream.Downstream     // asked before state: what is appended between the two counts as ours
}

// checksAtOnce is how many partitions are compared at the same time.
const checksAtOnce = 8

// compareAtMost is how many records are compared before a position of MM2 is believed instead: of our own, no more than
// those of the last seconds are not noted.
const compareAtMost = 1 << 20

// check makes places exact, and tells which of them have to be noted before records are sent from there.
func (r *Resumption) check(ctx context.Context, questions []Question, helds map[stream.Partition]held, starts map[stream.Partition]Start, errs map[stream.Partition]error, fresh map[stream.Partition]bool) (moved []Question) {
	var mu sync.Mutex // guards the maps and moved
	var checks sync.WaitGroup
	slots := make(chan struct{}, checksAtOnce)
	for _, q := range questions {
		mu.Lock()
		start, ok := starts[q.Source]
		mu.Unlock()
		if !ok {
			continue
		}
		slots <- struct{}{}
		checks.Go(func() {
			defer func() { <-slots }()
			at, differs, err := r.exact(ctx, q, start, helds[q.Remote], fresh[q.Source])
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				delete(starts, q.Source)
				errs[q.Source] = err
				return
			}
			starts[q.Source] = at
			if differs {
				moved = append(moved, q)
			}
		})
	}
	checks.Wait()
	return moved
}

// exact makes one place exact.
func (r *Resumption) exact(ctx context.Context, q Question, start Start, h held, fresh bool) (at Start, moved bool, err error) {
	if fresh && r.SharedRemote { // what it holds is not of the source
		start.Down = BaseOf(h.end)
		return start, true, nil
	}
	if fresh {
		// MM2 may have been killed before it noted anything. Records of ours beyond the end that was told are found to be ours
		// when they show.
		at, _, err := r.takeOver(ctx, q, start, start.Next, h.end)
		return at, true, err
	}
	lower, ahead := stream.Upstream(0), false // MM2's position, where it is further than ours
	at, known := q.Last, q.Ran
	if !q.Ran {
		at, _, known = r.Memory.Anchor(q.Remote)
		if last, noted := r.Memory.Position(q.Source); noted && (!known || last+1 > at.Next) {
			lower, ahead = last+1, true
		}
	}
	switch {
	case !known:
		return r.takeOver(ctx, q, start, lower, h.end)
	case !at.Down.known():
		return r.unchecked(ctx, q, start, h)
	case h.state == nil && r.SharedRemote:
		return r.uncountedAmongOthers(ctx, q, at, lower, ahead, h.end)
	case h.state == nil:
		return r.uncounted(ctx, q, at, lower, ahead, h.end)
	}
	counted := start
	if !ahead || start.Skip > 0 {
		counted.Next, counted.Floor, counted.Epoch = at.Next, 0, at.Epoch
	}
	return r.counted(ctx, q, counted, lower, ahead, h.end)
}

// unchecked is a place whose target offset was never noted.
func (r *Resumption) unchecked(ctx context.Context, q Question, at Start, h held) (Start, bool, error) {
	if h.state == nil {
		at.Down = BaseOf(h.end)
		return at, true, nil
	}
	if !q.Holes || at.Skip == 0 {
		return at, false, nil
	}
	down := h.end - stream.Downstream(at.Skip)
	if r.SharedRemote {
		return r.passed(ctx, q, at, 0, stream.Downstream(at.Skip))
	}
	if down < 0 {
		return at, false, fmt.Errorf("wait for the replicas of %s: %d records can be read of %d and more", q.Remote, h.end, at.Skip)
	}
	return r.passed(ctx, q, at, down, h.end)
}

// counted is a place from which the producer state has counted at.Skip records on.
func (r *Resumption) counted(ctx context.Context, q Question, at Start, lower stream.Upstream, ahead bool, end stream.Downstream) (Start, bool, error) {
	down := at.Down.Offset()
	expected := at.Down.after(at.Skip).Offset()
	switch {
	case end < down: // made anew, and written by us since; what we wrote first is not known
		at.Down = Base{}
		if at.Skip > 0 && q.Holes {
			at.Skip = 0
		}
		tellGone(r.Report, r.Flow, q.Assignment, down, end, at.Next)
		return at, true, nil
	case end > expected && !r.SharedRemote:
		return r.beyond(ctx, q, at, lower, ahead, end)
	case q.Holes && at.Skip > 0:
		return r.passed(ctx, q, at, down, expected)
	case r.SharedRemote && at.Skip > 0:
		var err error
		at.Behind, err = r.behindOurs(ctx, q.Assignment, at)
		return at, false, err
	}
	return at, at.Skip == 0 && ahead, nil
}

// passed finds the place behind at.Skip records by comparing them: the source has holes among them.
func (r *Resumption) passed(ctx context.Context, q Question, at Start, down, end stream.Downstream) (Start, bool, error) {
	c, err := r.compare(ctx, q.Assignment, at, down, end)
	if err != nil {
		return at, false, err
	}
	r.tellPartial(q, c)
	if r.SharedRemote { // end is a number there; without a place, the older note stays
		return Start{Next: c.next, Sequence: at.Sequence, Down: c.behind}, c.behind.known(), nil
	}
	return Start{Next: c.next, Sequence: at.Sequence, Down: BaseOf(end)}, true, nil
}

// uncounted is a place whose partition does not know our producer id: the records between the noted end and the log end are
// ours if they are the source's.
func (r *Resumption) uncounted(ctx context.Context, q Question, at Start, lower stream.Upstream, ahead bool, end stream.Downstream) (Start, bool, error) {
	at.Sequence, at.Skip, at.Floor = following(at.Sequence, -at.Skip), 0, 0
	down, more := at.Down.Offset(), int64(end-at.Down.Offset())
	switch {
	case more < 0:
		tellGone(r.Report, r.Flow, q.Assignment, down, end, at.Next)
		at.Down = BaseOf(end)
		return at, true, nil
	case more == 0:
		if ahead {
			at.Next, at.Epoch = lower, Epoch{}
		}
		return at, ahead, nil
	case ahead && more > compareAtMost:
		at.Sequence, at.Down = following(at.Sequence, more), BaseOf(end)
		return r.takeOver(ctx, q, at, lower, end)
	}
	c, err := r.compare(ctx, q.Assignment, at, down, end)
	if err != nil {
		return at, false, err
	}
	place := Start{Next: c.next, Sequence: following(at.Sequence, more), Down: BaseOf(end)}
	switch {
	case c.foreign == nil || c.extra == 0:
		r.tellPartial(q, c)
		return place, true, nil
	case ahead:
		return r.takeOver(ctx, q, place, lower, end)
	}
	return place, true, r.foreign(ctx, q, place, &foreignError{q.Remote, down, end, c.foreign})
}

// beyond is a place of which the target holds more than we have appended.
func (r *Resumption) beyond(ctx context.Context, q Question, at Start, lower stream.Upstream, ahead bool, end stream.Downstream) (Start, bool, error) {
	expected := at.Down.after(at.Skip).Offset()
	who, err := r.writerOf(ctx, q.Remote, expected, end)
	if err != nil {
		return at, false, err
	}
	shifted := at
	shifted.Down = BaseOf(end - stream.Downstream(at.Skip))
	if who == nil { // our own: the offset was noted when not all replicas had what stood before it
		if q.Holes && at.Skip > 0 {
			return r.passed(ctx, q, at, shifted.Down.Offset(), end)
		}
		return shifted, true, nil
	}
	if !q.Ran {
		found, err := r.locate(ctx, q.Assignment, max(lower, at.Next), end)
		if err != nil {
			return at, false, err
		}
		if found.matched > 0 && (ahead || found.matched >= min(int(end-expected), found.tail)) {
			r.tellTaken(q, found)
			return Start{Next: found.next, Sequence: at.Sequence, Down: BaseOf(end)}, true, nil
		}
	}
	return shifted, true, r.foreign(ctx, q, shifted, &foreignError{q.Remote, expected, end, who})
}

// foreign notes the place behind somebody else's records, where a restart goes on, and gives the reason to halt.
func (r *Resumption) foreign(ctx context.Context, q Question, behind Start, reason error) error {
	if err := r.Memory.Remember(ctx, map[stream.Partition]Place{q.Remote: {behind.noted(), q.Source, q.Topic, false}}); err != nil {
		return fmt.Errorf("note where %s goes on: %w", q.Source, err)
	}
	return reason
}

// takeOver goes on behind what MM2 has copied, of which it notes no more than every minute.
func (r *Resumption) takeOver(ctx context.Context, q Question, at Start, lower stream.Upstream, end stream.Downstream) (Start, bool, error) {
	if lower > 0 && end > 0 && !r.SharedRemote {
		exactly, err := r.transactional(ctx, q.Remote, end)
		if err != nil {
			return at, false, fmt.Errorf("look at the end of %s: %w", q.Remote, err)
		}
		if exactly {
			return Start{Next: lower, Sequence: at.Sequence, Down: BaseOf(end)}, true, nil
		}
	}
	found, err := r.locate(ctx, q.Assignment, lower, end)
	if err != nil {
		return at, false, err
	}
	if found.tail > 0 && found.matched == 0 {
		r.Report(r.event(q, stream.Warn, fmt.Sprintf(
			"%s goes on at %d: the last %d records of %s are not in the source from there on, so what MM2 has copied since it last noted its position may come again",
			q.Source, lower, found.tail, q.Remote), stream.F("offset", int64(lower))))
	}
	if found.next > lower {
		r.tellTaken(q, found)
	}
	return Start{Next: found.next, Sequence: at.Sequence, Down: BaseOf(end)}, true, nil
}

func (r *Resumption) tellTaken(q Question, found located) {
	r.Report(r.event(q, stream.Info, fmt.Sprintf("%s goes on at %d, behind what MM2 has copied: the last %d records of %s are those before it",
		q.Source, found.next, found.matched, q.Remote), stream.F("offset", int64(found.next))))
}

func (r *Resumption) tellPartial(q Question, c comparison) {
	if c.partial {
		r.Report(r.event(q, stream.Warn, fmt.Sprintf(
			"%s goes on at %d: %s no longer has all that was copied since the last note (compaction or retention), so some records may come again", q.Source, c.next, q.Remote),
			stream.F("offset", int64(c.next))))
	}
}

func (r *Resumption) event(q Question, severity stream.Severity, message string, fields ...stream.Field) stream.Event {
	fields = append([]stream.Field{stream.F("partition", q.Source.String()), stream.F("remote", q.Remote.String())}, fields...)
	return stream.Event{Flow: r.Flow, Severity: severity, Message: message, Fields: fields}
}

// noted is the place as it is written down: what was counted from it comes back from the target.
func (s Start) noted() Start {
	return Start{Next: s.Next, Sequence: following(s.Sequence, -s.Skip), Epoch: s.Epoch, Down: s.Down}
}
