package replicate

import (
	"context"
	"strings"
	"time"

	"tandem/internal/batch"
	"tandem/internal/stream"
)

// Standing is where a partition stands.
type Standing struct {
	Source stream.Partition
	Remote stream.Partition
	Acked  stream.Upstream // everything below is on the target
	End    stream.Upstream // high watermark of the source, as last told
	Stable stream.Upstream // where a reader of the source ends: End, or with read_committed the last stable offset
	State  State
	Reason string    // of the last three states
	Cause  Cause     // of the last three states in a word; empty while it moves
	Since  time.Time // of the state
	Newest time.Time // timestamp of the newest record of the batch that was acknowledged last; zero before the first
	Moves  bool      // false while it stands still although the source has more, or nobody knows

	// Behind is for how long the oldest record that is known of the source, and is not on the target, has been known; 0 when there
	// is none. Of what the source had before the partition was assigned its timestamp tells, see backlog.
	Behind time.Duration
	// Sure is the last moment as of which everything of the source is known to be on the target. It stays behind while something is
	// on its way, and while the source cannot be asked. Never zero: where nothing is known yet it is when the partition was
	// assigned, or when the oldest record that waits was written.
	Sure time.Time

	// Counted since the partition was assigned to this pipe, when the target has acknowledged.
	Records, Bytes int64
	// InFlight is how many offsets of the source are fetched and not acknowledged.
	InFlight int64
	Age      Measure // of what was fetched: when it came, less the newest timestamp of its batch
	Latency  Measure // of what was acknowledged: when that was, less the newest timestamp of its batch
}

// Measure is what batches have measured: one value for each record batch, not for each record as MM2 has it. Min, Max and Avg are of
// a window as Kafka's metrics have it: the last half a minute to a minute.
type Measure struct {
	Seen          bool // there was one
	Last          time.Duration
	Min, Max, Avg time.Duration // of the window
	Batches       int64         // in the window; with 0 it has no Min, Max and Avg
}

// Lag is the number of offsets of the source that are not yet on the target.
func (s Standing) Lag() int64 { return max(int64(s.End-s.Acked), 0) }

// Standings tells where all partitions stand; none once the pipe has stopped.
func (p *Pipe) Standings(ctx context.Context) []Standing {
	answer := make(chan []Standing, 1)
	question := func() {
		now := time.Now()
		list := make([]Standing, 0, len(p.parts))
		for _, part := range p.parts {
			list = append(list, p.standing(part, now))
		}
		answer <- list
	}
	select {
	case p.questions <- question:
		return <-answer
	case <-p.stopped:
		return nil
	case <-ctx.Done():
		return nil
	}
}

func (p *Pipe) standing(part *partition, now time.Time) Standing {
	state, reason := p.stateOf(part, now)
	if state != part.shown || part.since.IsZero() {
		part.shown, part.since = state, now
	}
	s := Standing{
		Source: part.Source, Remote: part.Remote, Acked: part.acked, End: part.high,
		State: state, Reason: strings.TrimSpace(reason), Since: part.since, Newest: part.newest,
	}
	if s.Lag() > 0 {
		s.Behind = now.Sub(part.behindSince())
	}
	switch state {
	case CatchingUp, Live:
		s.Moves = part.seen && (s.Lag() == 0 || now.Sub(part.movedOrAsked()) < standsFor)
	case Throttled:
		s.Moves = true
	default:
		s.Moves = false
	}
	return s
}

// behindSince is since when the oldest record that is not on the target has been waiting, at the earliest: it came
// after the partition was last at its end, and after the newest record that is there.
func (p *partition) behindSince() time.Time {
	since := p.atEnd
	if p.newest.After(since) {
		since = p.newest
	}
	if since.IsZero() {
		since = p.born
	}
	return since
}

func (p *partition) movedOrAsked() time.Time {
	latest := p.born
	for _, t := range []time.Time{p.moved, p.atEnd} {
		if t.After(latest) {
			latest = t
		}
	}
	return latest
}

// Totals are what a pipe has done since it was made.
type Totals struct {
	Records, Bytes, Refused int64
	Fetched                 int64            // bytes of record batches that were fetched
	Forms                   map[string]int64 // records by form, as is what follows
	BatchBytes              map[string]int64
	Batches                 map[string]int64
	Troubles                map[Cause]int64 // how often a partition came to stand by it, or went on in spite of it
}

// Totals may be asked for at any time.
func (p *Pipe) Totals() Totals {
	t := Totals{Records: p.counters.records.Load(), Bytes: p.counters.bytes.Load(), Refused: p.counters.refused.Load(), Forms: make(map[string]int64)}
	for i := range p.counters.forms {
		t.Forms[batch.Form(i).String()] = p.counters.forms[i].Load()
	}
	return t
}
