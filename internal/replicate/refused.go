package replicate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tandem/internal/batch"
	"tandem/internal/stream"
)

// Refused is a record that the target does not take, with its place.
type Refused struct {
	Source stream.Partition
	Remote stream.Partition
	Offset stream.Upstream
	Reason string // the broker's
	Batch  []byte // a record batch with this one record, uncompressed or in the codec of its source batch
}

// refusedRecord is why a partition is quarantined: one record, found by sending those of its batch one by one.
type refusedRecord struct {
	offset stream.Upstream
	size   int // of the record as a batch
	error
}

func (r *refusedRecord) Unwrap() error { return r.error }

// asideTell is how often a partition tells of records that were set aside.
const asideTell = 10 * time.Second

// singleOut deals with a batch that the target refuses: first its records are sent one by one, then the one that is
// refused is set aside, or stays with the partition that is held. It reports whether the partition goes on.
func (p *Pipe) singleOut(part *partition, err error) bool {
	if holdsFor(err) != Quarantined {
		return false
	}
	if large := (*batch.TooLargeError)(nil); errors.As(err, &large) {
		// The limit may have been raised since it was read: the broker decides.
		part.single = max(part.single, stream.Upstream(large.Offset)+1)
		p.restart(part)
		return true
	}
	for _, s := range part.inFlight {
		if s.done {
			continue
		}
		if s.records > 1 {
			part.single = max(part.single, s.next)
			p.restart(part)
			return true
		}
		record := &refusedRecord{offset: stream.Upstream(s.runs[0].First), size: s.bytes, error: err}
		if p.setAside == nil || s.raw == nil {
			part.failure = record
			return false
		}
		p.aside(part, record, append([]byte(nil), s.raw...))
		return true
	}
	return false
}

// unshapable deals with a queue of which no batch can be made: too large a record, or bytes that do not decode.
func (p *Pipe) unshapable(part *partition, err error) {
	err = unsendable{err}
	if part.open > 0 || !p.singleOut(part, err) { // what is on its way is answered first
		p.hold(part, err)
	}
}

// aside writes a refused record where refused records are kept, notes durably that its place is passed, and goes on
// behind it.
func (p *Pipe) aside(part *partition, record *refusedRecord, raw []byte) {
	p.stopReading(part)
	part.letQueueGo()
	p.dropInFlight(part)
	part.failure = nil
	part.phase = starting
	question := p.number(part)
	kept := Refused{Source: part.Source, Remote: part.Remote, Offset: record.offset, Reason: record.Error(), Batch: raw}
	next := Start{Next: record.offset + 1, Sequence: part.flushed, Floor: part.floor, Down: part.down}
	p.background(func() {
		err := p.setAside(p.reading, kept)
		if err == nil {
			err = p.resume.Passed(p.reading, part.Assignment, next)
		}
		if err == nil {
			p.counters.refused.Add(1)
			p.counters.trouble(RefusedRecord)
		}
		p.deliver(resumed{[]asked{question}, map[stream.Partition]Start{part.Source: next}, map[stream.Partition]error{part.Source: err}})
	})
	part.asides++
	if now := time.Now(); now.Sub(part.asideTold) >= asideTell {
		p.tell(part, stream.Warn, fmt.Sprintf("the record at offset %d of %s was refused and is set aside (%d since the last such line): %s",
			record.offset, part.Source, part.asides, explain(record, part)), record)
		part.asideTold, part.asides = now, 0
	}
}

// Passed implements Resumer.
func (r *Resumption) Passed(ctx context.Context, a Assignment, at Start) error {
	err := r.Memory.Remember(ctx, map[stream.Partition]Place{a.Remote: {Start: at, Source: a.Source, Topic: a.Topic}})
	if err != nil {
		return fmt.Errorf("note that offset %d of %s is passed: %w", at.Next-1, a.Source, err)
	}
	return nil
}
