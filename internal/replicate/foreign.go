package replicate

import (
	"context"
	"fmt"
	"time"

	"tandem/internal/batch"
	"tandem/internal/stream"
)

// A remote partition has one writer, this flow, unless it is said to be shared (SharedRemote). Records of anybody else shift the target offsets, which group offsets are
// translated to, and only a person can say whether they belong there.

// writer is one batch that somebody else has written.
type writer struct {
	producer    int64
	first, last int64
	at          time.Time
}

func (w *writer) String() string {
	who := fmt.Sprintf("producer id %d", w.producer)
	if w.producer < 0 {
		who = "a producer without an id"
	}
	return fmt.Sprintf("offsets %d to %d are by %s, timestamp %s", w.first, w.last, who, w.at.UTC().Format(time.RFC3339Nano))
}

// foreignError holds a partition of which somebody else writes the remote partition.
type foreignError struct {
	remote   stream.Partition
	from, to stream.Downstream // what is not ours lies between
	who      *writer           // nil where it could not be read
}

func (f *foreignError) Error() string {
	who := fmt.Sprintf("offsets %d to %d", f.from, f.to-1)
	if f.who != nil {
		who = f.who.String()
	}
	return fmt.Sprintf("somebody else writes to %s: %s, where record %d was to be ours; stop that writer, then restart mirror: it goes on behind those records",
		f.remote, who, f.from)
}

func (f *foreignError) Unwrap() error { return errHalt }

// watch notes the first batch that another producer has written.
func (r *Resumption) watch(found **writer) func(batch.View) {
	return func(v batch.View) {
		if *found == nil && v.ProducerID() != r.ProducerID {
			*found = &writer{producer: v.ProducerID(), first: v.BaseOffset(), last: v.LastOffset(), at: time.UnixMilli(v.MaxTimestamp())}
		}
	}
}

// foreignPages bounds how far a gap is searched for a batch that is not ours.
const foreignPages = 64

// writerOf is the first batch of a range that is not ours; nil if all of it is.
func (r *Resumption) writerOf(ctx context.Context, remote stream.Partition, from, to stream.Downstream) (*writer, error) {
	var found *writer
	saw := r.watch(&found)
	for at := int64(from); at < int64(to); {
		f, err := r.ReadRemote.Read(ctx, remote, at, pageBytes, false)
		if err != nil {
			return nil, fmt.Errorf("read %s at %d: %w", remote, at, err)
		}
		before := at
		for rest := f.Records; len(rest) > 0 && at < int64(to); {
			v, left, err := batch.Next(rest)
			if err != nil {
				break // cut off: it comes with the next page
			}
			if rest = left; v.LastOffset() < at {
				continue
			}
			saw(v)
			at = v.LastOffset() + 1
		}
		if found != nil || at == before || at > int64(from)+foreignPages*pageBytes {
			break
		}
	}
	return found, nil
}

// Gap implements Resumer.
func (r *Resumption) Gap(ctx context.Context, a Assignment, from, to stream.Downstream) error {
	who, err := r.writerOf(ctx, a.Remote, from, to)
	if code, _ := stream.CodeOf(err); err != nil && code != stream.CodeOffsetOutOfRange {
		return err
	}
	if err == nil && who == nil {
		return nil // ours after all: appended when its acknowledgement got lost
	}
	return &foreignError{a.Remote, from, to, who}
}

// landed holds the offset that a batch got against the one that was to come. An append that the broker recognises gets the
// offset of its first time, which is the one to come as well.
func (p *Pipe) landed(part *partition, s *sent) {
	expected := part.down
	if s.base < 0 { // the broker no longer knows where it stands
		part.down = expected.after(int64(s.records))
		if p.shared {
			part.down = Base{}
		}
		return
	}
	part.down = BaseOf(s.base).after(int64(s.records))
	switch {
	case !expected.known() || s.base == expected.Offset(), (p.shared || p.txn != nil) && s.base > expected.Offset():
	case s.base < expected.Offset():
		tellGone(p.report, p.flow, part.Assignment, expected.Offset(), s.base, stream.Upstream(s.runs[0].First))
	default:
		part.failure = &foreignError{part.Remote, expected.Offset(), s.base, nil}
	}
}

// inspect finds out whose records stand before a batch that was just acknowledged. If they are our own, the partition goes on.
func (p *Pipe) inspect(part *partition, gap *foreignError) {
	p.stopReading(part)
	part.letQueueGo()
	p.dropInFlight(part)
	part.failure = nil
	part.phase = starting
	question := p.number(part)
	again := Question{Assignment: part.Assignment, Ran: true, Last: part.where()}
	p.background(func() {
		err := p.resume.Gap(p.reading, again.Assignment, gap.from, gap.to)
		if err != nil {
			p.deliver(resumed{[]asked{question}, nil, map[stream.Partition]error{again.Source: err}})
			return
		}
		starts, errs := p.resume.Resume(p.reading, []Question{again})
		p.deliver(resumed{[]asked{question}, starts, errs})
	})
}

// tellGone says that the remote partition is not what it was.
func tellGone(report stream.Report, flow stream.Flow, a Assignment, down, end stream.Downstream, next stream.Upstream) {
	report(stream.Event{Flow: flow, Severity: stream.Warn, Message: fmt.Sprintf(
		"%s was deleted and made anew, or cut: it ends at %d and had records up to %d; what was copied before is no longer there and is not copied again, replication goes on at source offset %d",
		a.Remote, end, down-1, next), Fields: []stream.Field{stream.F("partition", a.Source.String()), stream.F("remote", a.Remote.String()), stream.F("offset", int64(next))}})
}
