package replicate

import (
	"errors"
	"fmt"
	"time"

	"tandem/internal/batch"
	"tandem/internal/stream"
)

const (
	retryBackoff    = 100 * time.Millisecond // before a batch is sent again, doubled up to retryBackoffMax
	retryBackoffMax = 2 * time.Second
	holdFor         = 10 * time.Second // before a refused partition is tried again
	resolveTries    = 3                // questions to the target without an acknowledgement between them
)

// answered works off the answer to a produce request.
func (p *Pipe) answered(a produceAnswer) {
	s, now := a.request.to, time.Now()
	s.open--
	p.brokerAnswered(s, a.err)
	if a.err == nil {
		s.heard = now
		s.delay.add(now.Sub(a.request.at))
	}
	for i, item := range a.request.items {
		part, batch := item.part, item.sent
		part.open--
		batch.answered = true
		err := a.err
		if err == nil {
			err = a.appended[i].Err
			batch.base = a.appended[i].Base
		}
		if code, _ := stream.CodeOf(err); code == stream.CodeDuplicateSequence {
			err, batch.base = nil, -1 // it is there, but the broker no longer knows where
		}
		batch.done = err == nil
		if err != nil && part.failure == nil {
			part.failure = err
		}
		p.advance(part, now)
		if part.gone {
			if part.open == 0 {
				p.left(part)
			}
			continue
		}
		if part.failure != nil && part.open == 0 {
			p.recover(part)
		}
		p.enqueue(part)
	}
}

// advance takes appended batches off the front of the in-flight list and tells of them.
func (p *Pipe) advance(part *partition, now time.Time) {
	for len(part.inFlight) > 0 && part.inFlight[0].done {
		s := part.inFlight[0]
		part.inFlight[0] = nil
		part.inFlight = part.inFlight[1:]
		part.acked, part.ackedEpoch = s.next, s.epoch
		part.lastAck, part.failed, part.resolve = now, "", 0
		part.moved, part.unsure = now, false
		p.over(part)
		part.flushed = batch.NextSequence(part.flushed, s.records)
		part.newest = s.newest
		p.landed(part, s)
		if !part.gone {
			p.acknowledge(part, s, now)
		}
		p.buffers.give(s.letGo(part, p.budget))
	}
	if len(part.inFlight) > 0 || part.gone {
		if part.gone && part.open == 0 {
			p.dropInFlight(part)
		}
		return
	}
	part.settle()
	p.settles(part)
	part.reached(now)
	if part.phase == running && part.failure == nil {
		part.backoff = 0
		p.read(part)
	}
	if f := p.fetcherOf(part); f != nil && part.gate.held.Load() {
		f.wake()
	}
}

func (p *Pipe) acknowledge(part *partition, s *sent, now time.Time) {
	ack := stream.Ack{
		Source: part.Source, Remote: part.Remote, Topic: part.Topic,
		Next: s.next, NextSequence: part.flushed, LeaderEpoch: s.epoch.Number(),
		NextDown: part.down.Offset(), Bytes: s.bytes, At: now,
	}
	if s.base >= 0 {
		down := s.base
		for _, r := range s.runs {
			ack.Runs = append(ack.Runs, stream.Run{Up: stream.Upstream(r.First), Down: down, Count: int64(r.Count)})
			down += stream.Downstream(r.Count)
		}
	}
	p.counters.acked(s)
	p.measured(part, s, now)
	part.told = s.next
	p.txn.reaches(part)
	p.tells(ack)
}

// recover decides how a partition goes on after a failed produce. All of its in-flight batches have been answered.
func (p *Pipe) recover(part *partition) {
	err := part.failure
	if p.doubtful(err) {
		p.giveUp(err)
		return
	}
	if gap := (*foreignError)(nil); errors.As(err, &gap) {
		p.inspect(part, gap)
		return
	}
	switch onProduce(err) {
	case resend:
		p.stopReading(part)
		part.letQueueGo()
		p.target.kick()
		part.phase = retrying
		part.lastAck = time.Time{} // whoever leads next has to show first that it knows us
		if !p.copyInFlight(part) { // no room to keep them: read them again, from where the target says
			if p.txn != nil {
				p.giveUp(fmt.Errorf("no memory to keep what has to be sent again: %w", err))
				return
			}
			p.dropInFlight(part)
			part.failure = nil
			part.phase = starting
		}
		p.wait(part, retryBackoffMax)
		if _, answered := stream.CodeOf(err); answered { // else brokerAnswered has told it
			p.troubled(part, cannotWrite, err)
		}
	case resolve:
		if part.resolve++; part.resolve > resolveTries { // what the target says does not help
			p.hold(part, err)
			return
		}
		p.restart(part)
	case refused:
		if !p.singleOut(part, err) {
			p.hold(part, part.failure)
		}
	}
}

// copyInFlight gives stamped batches memory of their own: as slices of a fetch answer they would keep all of it while
// the target is away. It reports whether the budget had room.
func (p *Pipe) copyInFlight(part *partition) bool {
	for _, s := range part.inFlight {
		if s.kept > 0 || s.raw == nil {
			continue
		}
		if s.done {
			s.letGo(part, p.budget)
			continue
		}
		if !p.budget.keep(int64(s.bytes)) {
			return false
		}
		raw := append([]byte(nil), s.raw...)
		p.buffers.give(s.letGo(part, p.budget))
		s.raw, s.kept = raw, int64(len(raw))
	}
	return true
}

// dropInFlight forgets what was sent and not acknowledged.
func (p *Pipe) dropInFlight(part *partition) {
	for _, s := range part.inFlight {
		s.letGo(part, p.budget)
	}
	part.inFlight = nil
	part.from, part.fromEpoch, part.sequence = part.acked, part.ackedEpoch, part.flushed
}

// restart drops everything that is in memory for a partition and asks anew where it stands.
func (p *Pipe) restart(part *partition) {
	p.stopReading(part)
	part.letQueueGo()
	p.dropInFlight(part)
	part.failure = nil
	part.phase = starting
	p.ask(part)
}

// hold keeps a partition that cannot go on as things are, says why, and tries it again later.
func (p *Pipe) hold(part *partition, err error) {
	p.stopReading(part)
	part.letQueueGo()
	if part.open > 0 { // batches before the one that cannot be shaped are still on their way
		part.failure = unsendable{err}
		return
	}
	p.dropInFlight(part)
	part.failure = nil
	if p.spared(part, err) {
		return
	}
	part.phase, part.holds, part.cause = holding, holdsFor(err), causeOf(err)
	delete(p.waiting, part.Source)
	if part.holds != Halted {
		p.tryAt(part, time.Now().Add(holdFor))
	}
	p.tellOnce(part, stream.Error, fmt.Sprintf("%s is held at offset %d (%s): %s", part.Source, part.acked, part.holds, explain(err, part)), err)
}

// carried reminds of the config sync, which would take a change on the remote topic back.
func carried(part *partition) string {
	return fmt.Sprintf(" (where sync.topic.configs.enabled is on, of %s)", part.Source.Topic)
}

// explain says what a person can do about a refused batch.
func explain(err error, part *partition) string {
	what := "a record"
	if r := (*refusedRecord)(nil); errors.As(err, &r) {
		what = fmt.Sprintf("the record at offset %d (%d bytes)", r.offset, r.size)
	}
	code, _ := stream.CodeOf(err)
	switch code {
	case stream.CodeMessageTooLarge, stream.CodeRecordListTooLarge:
		return fmt.Sprintf("%s is too large for the remote topic; raise max.message.bytes of %s%s", what, part.Remote.Topic, carried(part))
	case stream.CodeInvalidTimestamp:
		return fmt.Sprintf("the timestamp of %s is out of the remote topic's range; raise message.timestamp.before.max.ms or message.timestamp.after.max.ms of %s%s", what, part.Remote.Topic, carried(part))
	case stream.CodeInvalidRecord:
		return fmt.Sprintf("the target refuses %s (%v); a null key on a compacted topic is the usual reason: set cleanup.policy of %s to delete%s", what, root(err), part.Remote.Topic, carried(part))
	case stream.CodeInvalidProducerEpoch:
		return fmt.Sprintf("somebody has raised the epoch of this flow's producer id at the target (%v); stop whatever else writes to %s with it", err, part.Remote.Topic)
	case stream.CodeOutOfOrderSequence, stream.CodeUnknownProducerID:
		return fmt.Sprintf("the target refuses the sequence that it says comes next (%v); the target's brokers have to be 2.8 or newer", err)
	case stream.CodeTopicAuthorization, stream.CodeClusterAuthorization:
		return fmt.Sprintf("the target's user may not write to %s; grant WRITE on the topic", part.Remote.Topic)
	}
	return err.Error()
}

// wait makes a partition try again after its backoff, which doubles each time.
func (p *Pipe) wait(part *partition, longest time.Duration) {
	part.backoff = min(max(2*part.backoff, retryBackoff), longest)
	p.tryAt(part, time.Now().Add(part.backoff))
}
