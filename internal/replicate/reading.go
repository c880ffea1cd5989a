package replicate

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"tandem/internal/stream"
)

// read makes the leader's fetch loop read a partition from where its queue ends.
func (p *Pipe) read(part *partition) {
	if part.reading || part.gone {
		return
	}
	leader, ok := p.sourceLeaders[part.Source]
	if !ok {
		return // sourceMoved comes back to it
	}
	if _, ok := p.targetLeaders[part.Remote]; !ok {
		return // what is read could not be sent; targetMoved comes back to it
	}
	f, ok := p.fetchers[leader.Broker]
	if !ok {
		f = newFetcher(leader.Broker, p.openSession(leader.Broker), p.budget, p.sizes, p.origins, p.tee, p.fetches, p.starved)
		if p.throttle != nil {
			f.pacer = newPacer(p.throttle)
		}
		p.fetchers[leader.Broker] = f
		p.background(func() { f.run(p.reading) })
	}
	p.generation++
	part.generation = p.generation
	part.reading = true
	part.readAt = leader.Broker
	if len(part.views) == 0 {
		part.tail, part.tailEpoch = part.from, part.fromEpoch
	}
	part.inside = f.read(stream.Place{Partition: part.Source, Topic: part.Topic, Offset: part.tail, Epoch: leader.Epoch, LastEpoch: part.tailEpoch.Number()},
		part.generation, &part.gate)
}

// stopReading makes the fetch loop let go of a partition; what it still brings is thrown away.
func (p *Pipe) stopReading(part *partition) {
	if part.reading {
		p.fetchers[part.readAt].stop(part.Source)
	}
	part.reading = false
	part.generation = 0
}

func (p *Pipe) fetcherOf(part *partition) *fetcher {
	if !part.reading {
		return nil
	}
	return p.fetchers[part.readAt]
}

// fetched takes what a fetch loop brought.
func (p *Pipe) fetched(a fetchAnswer) {
	p.sourceAnswered(a.from, a.err)
	p.counters.fetched.Add(a.bytes)
	clock := p.clock(a.got)
	for _, c := range a.chunks {
		part, ok := p.parts[c.partition]
		if !ok || part.generation != c.generation {
			for range c.views {
				c.lease.release()
			}
			c.gate.buffered.Add(-c.bytes)
			continue
		}
		passing := part.skip > 0
		p.spoke(part, a, c)
		if err := part.take(c, p.shaper, a.got, clock); errors.Is(err, errHoles) {
			p.stopReading(part)
			part.letQueueGo()
			part.phase = starting
			p.inquire(true, part)
			continue
		} else if err != nil {
			part.settle() // what was passed over before it stays passed over
			p.hold(part, err)
			continue
		}
		if passing && part.skip == 0 {
			p.sureAt(part, time.Now().Add(sureAfter))
		}
		part.settle()
		p.settles(part)
		part.reached(a.got)
		if c.err != nil {
			part.reading = false // the loop has let go of it
			p.fetchFailed(part, c.err)
		} else {
			p.wasRead(part)
		}
		p.enqueue(part)
	}
	if a.err == nil {
		a.from.told = a.asked
	}
}

// spoke takes what a chunk says of the end of the source.
func (p *Pipe) spoke(part *partition, a fetchAnswer, c chunk) {
	if c.err != nil && len(c.views) == 0 {
		return
	}
	p.learn(part)
	asked := p.clock(a.asked)
	if c.again {
		asked = 0 // it may have moved by then
	}
	part.hears(c.stable, c.high, asked, p.clock(a.got), false)
	part.toldIn = a.number
}

// fetchFailed decides how a partition goes on that could not be read. What is queued of it is still sent.
func (p *Pipe) fetchFailed(part *partition, err error) {
	remedy := onFetch(err)
	if d := (*diverged)(nil); errors.As(err, &d) {
		p.hold(part, &truncation{Assignment: part.Assignment, flow: p.flow, end: d.end}) // what is queued may be gone at the source
		return
	}
	if part.missing = remedy == missing; part.missing && p.topicGone != nil {
		p.topicGone()
	}
	if remedy == follow || remedy == missing {
		p.source.kick()
		p.wait(part, fetchBackoffMax)
		p.troubled(part, cannotRead, err)
		return
	}
	if len(part.views) > 0 || len(part.inFlight) > 0 { // the error is about what comes after these: they come first
		p.wait(part, fetchBackoffMax)
		return
	}
	if remedy == denied {
		p.hold(part, err)
		return
	}
	part.phase = starting
	at := Start{Next: part.tail, Skip: part.skip, Sequence: part.sequence, Floor: part.floor, Epoch: part.tailEpoch, Down: part.down.after(-part.skip)}
	if p.shared && part.skip > 0 {
		at.Down, at.Behind = part.began.Down, part.down
	}
	question, partition := p.number(part), part.Assignment // a copy: the limits in it change
	p.background(func() {
		start, failed := p.resume.OutOfRange(p.reading, partition, at)
		if errors.Is(err, errNewEpoch) {
			start.Epoch = Epoch{} // it is the log that was read: on with the batch that was looked at
		}
		p.deliver(resumed{[]asked{question}, map[stream.Partition]Start{partition.Source: start}, map[stream.Partition]error{partition.Source: failed}})
	})
}

// resumed is the answer to a question of where partitions start.
type resumed struct {
	parts  []asked
	starts map[stream.Partition]Start
	errs   map[stream.Partition]error
}

// asked is a partition with the number of the question.
type asked struct {
	part   *partition
	number uint64
}

func (p *Pipe) number(part *partition) asked {
	p.generation++
	part.asked = p.generation
	return asked{part, p.generation}
}

// ask finds out where partitions start.
func (p *Pipe) ask(parts ...*partition) { p.inquire(false, parts...) }

func (p *Pipe) inquire(holes bool, parts ...*partition) {
	if len(parts) == 0 {
		return
	}
	list := make([]Question, len(parts))
	numbered := make([]asked, len(parts))
	for i, part := range parts {
		list[i] = Question{part.Assignment, part.ran, part.where(), holes}
		numbered[i] = p.number(part)
	}
	p.background(func() {
		starts, errs := p.resume.Resume(p.reading, list)
		p.deliver(resumed{numbered, starts, errs})
	})
}

func (p *Pipe) deliver(r resumed) {
	select {
	case p.started <- r:
	case <-p.reading.Done():
	}
}

// start lets partitions run from where they stand.
func (p *Pipe) start(r resumed) {
	for _, a := range r.parts {
		part := a.part
		if part.gone || part.phase != starting || part.asked != a.number {
			continue
		}
		err := r.errs[part.Source]
		if errors.Is(err, errHalt) {
			part.haltedAtStart(err)
			p.hold(part, err)
			continue
		}
		if err != nil {
			p.wait(part, retryBackoffMax)
			p.troubled(part, cannotStart, err)
			continue
		}
		s := r.starts[part.Source]
		part.phase, part.ran, part.placed = running, true, true
		if strings.HasPrefix(part.outage, cannotStart) {
			p.over(part)
		}
		if !part.unsure || s.Next != part.tail || s.Skip != part.skip { // else the source had it again after all
			part.began, part.unsure = s, s.Skip > 0
		}
		part.from, part.tail, part.acked = s.Next, s.Next, s.Next
		part.fromEpoch, part.tailEpoch, part.ackedEpoch = s.Epoch, s.Epoch, s.Epoch
		part.known.back(part.acked, p.clock(time.Now()))
		part.skip, part.floor, part.sequence, part.flushed = s.Skip, s.Floor, s.Sequence, s.Sequence
		part.down = s.Down.after(s.Skip)
		if p.shared && s.Skip > 0 {
			part.down = s.Behind
		}
		p.startsEpoch(part)
		p.settles(part)
		p.read(part)
	}
}

// sourceAnswered tells once that a source broker is away, and once that it is back.
func (p *Pipe) sourceAnswered(f *fetcher, err error) {
	switch {
	case err != nil && !p.failing[f.broker]:
		p.failing[f.broker] = true
		p.report(stream.Event{Flow: p.flow, Severity: stream.Warn,
			Message: fmt.Sprintf("cannot read from broker %d of %s, trying again", f.broker, p.flow.Source), Fields: []stream.Field{stream.F("error", err)}})
	case err == nil && p.failing[f.broker]:
		delete(p.failing, f.broker)
		p.report(stream.Event{Flow: p.flow, Severity: stream.Info, Message: fmt.Sprintf("reading from broker %d of %s again", f.broker, p.flow.Source)})
	}
	if err != nil {
		p.source.kick()
	}
}

// brokerAnswered tells once that a target broker is away, and once that it is back.
func (p *Pipe) brokerAnswered(s *sender, err error) {
	switch {
	case err != nil && !s.down:
		s.down = true
		p.report(stream.Event{Flow: p.flow, Severity: stream.Warn,
			Message: fmt.Sprintf("cannot write to broker %d of %s, trying again", s.broker, p.flow.Target), Fields: []stream.Field{stream.F("error", err)}})
	case err == nil && s.down:
		s.down = false
		p.report(stream.Event{Flow: p.flow, Severity: stream.Info, Message: fmt.Sprintf("writing to broker %d of %s again", s.broker, p.flow.Target)})
	}
}
