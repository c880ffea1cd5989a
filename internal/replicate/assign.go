package replicate

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"tandem/internal/stream"
)

// Which partitions a pipe has: they are given to it all at once, again and again.

// Assign replaces the set of partitions to replicate. It returns when the pipe has taken it, or ctx ends.
func (p *Pipe) Assign(ctx context.Context, partitions []Assignment) error {
	p.txn.asks()
	select {
	case p.assignments <- partitions:
		return nil
	case <-p.stopped:
		return errStopped
	case <-ctx.Done():
		p.txn.answered()
		return ctx.Err()
	}
}

// assign compares the new set with the old one.
func (p *Pipe) assign(list []Assignment) {
	wanted := make(map[stream.Partition]Assignment, len(list))
	var fresh []*partition
	for _, a := range list {
		wanted[a.Source] = a
		part, ok := p.parts[a.Source]
		switch {
		case ok && part.Topic == a.Topic && part.Remote == a.Remote && part.Watch == a.Watch:
			part.MaxBatch = a.MaxBatch
			continue
		case ok: // another topic of the same name, or another remote topic, or something else is to be done with it
			part.missing = false
			p.remove(part)
		}
		next := p.partition(a)
		if ok && part.Topic == a.Topic && part.Remote == a.Remote {
			next.inherits(part)
		}
		p.parts[a.Source] = next
		if a.Watch == "" {
			fresh = append(fresh, next)
		}
	}
	p.removeOthers(wanted)
	fresh = slices.DeleteFunc(fresh, p.behindAnother)
	p.source.watch(topicsOf(list, func(a Assignment) string { return a.Source.Topic }))
	p.target.watch(topicsOf(list, func(a Assignment) string { return a.Remote.Topic }))
	p.ask(fresh...)
}

// partition is one that begins.
func (p *Pipe) partition(a Assignment) *partition {
	now := time.Now()
	part := &partition{Assignment: a, phase: starting, born: now, assigned: now, told: -1, known: known{end: -1}, inside: new(atomic.Uint64),
		heartbeats: p.heartbeat != "" && a.Source.Topic == p.heartbeat}
	if a.Watch != "" {
		part.phase, part.holds, part.cause, part.failed = holding, Stalled, Outage, a.Watch
	}
	return part
}

// inherits takes over what was known of the source, and what was measured. Where the target is may have changed meanwhile: that is
// asked for when it goes on, and until then it has what it had at least.
func (p *partition) inherits(from *partition) {
	p.known, p.high, p.seen, p.acked, p.newest = from.known, from.high, from.seen, from.acked, from.newest
	p.assigned, p.placed, p.measures = from.assigned, from.placed, from.measures
	p.shown, p.stands, p.since = from.shown, from.stands, from.since
}

func (p *Pipe) removeOthers(wanted map[stream.Partition]Assignment) {
	for source, part := range p.parts {
		if _, ok := wanted[source]; !ok {
			p.remove(part)
		}
	}
}

// behindAnother says that the remote partition still has batches in flight of an assignment that has ended. Where the
// target stands is asked when they have been answered: the answer would not count them, and a batch of a topic made anew
// would pass for one of theirs that has the same sequence.
func (p *Pipe) behindAnother(part *partition) bool {
	before, ok := p.leaving[part.Remote]
	if ok {
		before.successor = part
	}
	return ok
}

func topicsOf(list []Assignment, topic func(Assignment) string) []string {
	seen := make(map[string]bool)
	var topics []string
	for _, a := range list {
		if t := topic(a); !seen[t] {
			seen[t] = true
			topics = append(topics, t)
		}
	}
	return topics
}

// remove lets a partition go. What is in flight is still answered, and then forgotten.
func (p *Pipe) remove(part *partition) {
	p.stopReading(part)
	part.letQueueGo()
	p.over(part)
	if part.missing {
		p.counters.trouble(Deleted)
	}
	part.gone = true
	delete(p.parts, part.Source)
	delete(p.waiting, part.Source)
	if part.open == 0 {
		p.dropInFlight(part)
		return
	}
	p.leaving[part.Remote] = part
}

// left ends a partition that is no longer assigned, when the last of its batches has been answered.
func (p *Pipe) left(part *partition) {
	delete(p.leaving, part.Remote)
	p.drained()
	if next := part.successor; next != nil && !next.gone {
		p.ask(next)
	}
}
