package replicate

import (
	"time"

	"tandem/internal/stream"
)

// Acks without records: they tell where a partition stands when no batch does, because what the source got needs no copy
// (transaction markers, aborted data, records of the opposite flow), or because the partition has just started.

// settledAfter is how long a partition has to be told of at the latest, and how often at most. A stream of small
// transactions moves over a marker after each batch: the next batch's ack says so too, and comes before.
const settledAfter = time.Second

// calm says that nothing of a partition is under way, and that its place is certain.
func (p *partition) calm() bool {
	return !p.gone && p.phase == running && p.failure == nil && !p.unsure && p.skip == 0 && len(p.views) == 0 && len(p.inFlight) == 0
}

// settles has the place of a partition told soon, if no ack has told it. All that settle wait for one moment, so that
// many partitions cost one look.
func (p *Pipe) settles(part *partition) {
	if part.settling || part.acked <= part.told || !part.calm() {
		return
	}
	if len(p.settling) == 0 {
		p.settledAt = time.Now().Add(settledAfter)
		p.dueAt(p.settledAt)
	}
	part.settling = true
	p.settling = append(p.settling, part)
}

// nowSettled tells of the partitions that are still where nothing else has told of.
func (p *Pipe) nowSettled(now time.Time) {
	if len(p.settling) == 0 {
		return
	}
	if now.Before(p.settledAt) {
		p.dueAt(p.settledAt)
		return
	}
	for _, part := range p.settling {
		part.settling = false
		if part.calm() && part.acked > part.told { // else its batches will tell, or it settles again behind them
			p.tellPlace(part, now)
		}
	}
	clear(p.settling)
	p.settling = p.settling[:0]
}

// tellPlace is an ack of no records.
func (p *Pipe) tellPlace(part *partition, now time.Time) {
	part.told = part.acked
	p.tells(stream.Ack{Source: part.Source, Remote: part.Remote, Topic: part.Topic,
		Next: part.acked, NextSequence: part.flushed, LeaderEpoch: part.ackedEpoch.Number(), NextDown: part.down.Offset(), At: now})
}
