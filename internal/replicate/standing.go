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

	Watched bool // it is only watched, see Assignment

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

// Lag is the number of offsets of the source that a reader of it could read and that are not yet on the target.
func (s Standing) Lag() int64 { return max(int64(s.Stable-s.Acked), 0) }

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
	p.learn(part)
	reason := p.see(part, now)
	s := Standing{
		Source: part.Source, Remote: part.Remote, Acked: part.acked, End: part.high, Stable: max(part.known.end, 0),
		State: part.shown, Reason: strings.TrimSpace(reason), Cause: part.stands, Since: part.since, Newest: part.newest,
		InFlight: max(int64(part.tail-part.acked), 0), Watched: part.Watch != "",
	}
	s.Behind, s.Sure = p.behind(part, now)
	if m := part.measures; m != nil {
		s.Records, s.Bytes = m.records, m.bytes
		s.Age, s.Latency = m.age.measure(p.clock(now)), m.latency.measure(p.clock(now))
	}
	switch part.shown {
	case CatchingUp, Live:
		s.Moves = part.seen && (s.Lag() == 0 || now.Sub(part.movedOrAsked()) < standsFor)
	case Throttled:
		s.Moves = true
	default:
		s.Moves = false
	}
	return s
}

// behind is Standing.Behind and Standing.Sure.
func (p *Pipe) behind(part *partition, now time.Time) (time.Duration, time.Time) {
	k := &part.known
	waits, old := k.waits(part.acked, p.clock(now))
	sure := part.assigned
	if k.ever {
		sure = p.base.Add(k.sure)
	}
	if written := part.backlog(); old && !written.IsZero() && written.Before(now.Add(-waits)) {
		waits = now.Sub(written)
		if !k.ever && written.Before(sure) {
			sure = written
		}
	}
	return waits, sure
}

// backlog is about when the oldest record was written that is not on the target, by its own timestamp, and what it follows: a batch
// that is to be sent, or the one that was acknowledged last. Zero when nobody knows. Of records that were there before the partition
// was assigned nothing else tells; timestamps are the producers', so what lies in the future is not believed (nothing waits that long),
// and what comes later is not asked for its timestamps at all.
func (p *partition) backlog() time.Time {
	at := p.newest
	switch {
	case len(p.inFlight) > 0:
		at = p.inFlight[0].newest
	case len(p.views) > 0:
		at = time.UnixMilli(p.views[0].MaxTimestamp())
	}
	if at.Before(kafkasBirth) { // seconds for milliseconds, most likely
		return time.Time{}
	}
	return at
}

// kafkasBirth is when no record can have been written yet.
var kafkasBirth = time.Date(2011, time.January, 1, 0, 0, 0, 0, time.UTC)

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
	c := &p.counters
	t := Totals{Records: c.records.Load(), Bytes: c.bytes.Load(), Refused: c.refused.Load(), Fetched: c.fetched.Load(),
		Forms: make(map[string]int64), BatchBytes: make(map[string]int64), Batches: make(map[string]int64), Troubles: make(map[Cause]int64)}
	for i := range c.forms {
		f, name := &c.forms[i], batch.Form(i).String()
		t.Forms[name], t.BatchBytes[name], t.Batches[name] = f.records.Load(), f.bytes.Load(), f.batches.Load()
	}
	for i, cause := range Causes {
		t.Troubles[cause] = c.troubles[i].Load()
	}
	return t
}
