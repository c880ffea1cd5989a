package replicate

import "time"

// Partitions that wait: for the time to be tried again, or for the memory that others hold.

// due tries partitions again whose time has come.
func (p *Pipe) due(now time.Time) {
	var again []*partition
	p.nextDue = time.Time{}
	for source, part := range p.waiting {
		if now.Before(part.retryAt) {
			p.tryAt(part, part.retryAt)
			continue
		}
		delete(p.waiting, source)
		switch part.phase {
		case retrying:
			part.failure = nil
			part.phase = running
			p.enqueue(part)
			if !part.ready(part.broker) && part.unsent() == nil {
				p.read(part)
			}
		case holding, starting:
			part.phase = starting
			again = append(again, part)
		case running: // its reading was interrupted
			p.read(part)
		}
	}
	p.nowSure(now)
	p.nowSettled(now)
	p.ask(again...)
}

// sureAfter is when what was passed over counts as replicated by the target: by then its leader has done that, or has given
// up the followers that hang (replica.lag.time.max.ms is 30 s by default), or is no longer the leader.
const sureAfter = time.Minute

// sureAt has what was passed over acknowledged at a time, unless an acknowledgement of more comes first: positions follow
// although nothing is left to send.
func (p *Pipe) sureAt(part *partition, at time.Time) {
	p.unsure[part] = unsure{at, part.asked}
	p.dueAt(at)
}

// unsure is when a partition will be sure of what it passed over, and the question that it had started from.
type unsure struct {
	at    time.Time
	asked uint64
}

func (p *Pipe) nowSure(now time.Time) {
	for part, u := range p.unsure {
		switch {
		case part.gone || !part.unsure || part.asked != u.asked || part.skip > 0 || len(part.inFlight) > 0:
			delete(p.unsure, part) // sure by now, or an acknowledgement will tell
		case now.Before(u.at):
			p.sureAt(part, u.at)
		default:
			delete(p.unsure, part)
			part.unsure = false
			p.tellPlace(part, now)
		}
	}
}

// tryAt makes a partition due at a time.
func (p *Pipe) tryAt(part *partition, at time.Time) {
	part.retryAt = at
	p.waiting[part.Source] = part
	p.dueAt(at)
}

// dueAt has those that wait looked at by then.
func (p *Pipe) dueAt(at time.Time) {
	if p.nextDue.IsZero() || at.Before(p.nextDue) {
		p.nextDue, p.armed = at, false
	}
}

// dueEvery bounds how often those that wait are looked through.
const dueEvery = 10 * time.Millisecond

// arm sets the timer to the next partition that is due, if that has changed.
func (p *Pipe) arm(t *time.Timer) {
	if !p.armed && !p.nextDue.IsZero() {
		t.Reset(max(time.Until(p.nextDue), dueEvery))
		p.armed = true
	}
}

// stuckAfter is how long a queue may stand still when others need its memory.
const stuckAfter = time.Second

// relieve lets go the queues that do not move, as those of a leader that does not answer: a fetch finds no memory.
func (p *Pipe) relieve(now time.Time) {
	for _, part := range p.parts {
		if len(part.views) == 0 || now.Sub(part.moved) < stuckAfter {
			continue
		}
		p.stopReading(part)
		part.letQueueGo()
		if len(part.inFlight) == 0 { // else it is read again when they have been answered
			p.wait(part, fetchBackoffMax)
		}
	}
}
