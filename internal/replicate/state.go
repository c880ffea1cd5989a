package replicate

import (
	"context"
	"errors"
	"strings"
	"time"

	"tandem/internal/batch"
	"tandem/internal/stream"
)

// State is what a partition is doing, as people see it: in the log, in metrics, on /readyz.
type State int8

// The states of a partition.
const (
	CatchingUp  State = iota // records flow; the end of the source has not been reached yet, or not for a while
	Live                     // what the source gets is on its way at once
	Throttled                // it would catch up faster, but waits for what throttles allow
	Stalled                  // an outage or a missing right: tried again, goes on by itself
	Quarantined              // the target refuses a record: tried again, goes on when the target takes it
	Halted                   // a person has to decide; not tried again before a restart
)

// States are all of them, in order.
var States = []State{CatchingUp, Live, Throttled, Stalled, Quarantined, Halted}

func (s State) String() string {
	return [...]string{"catching up", "live", "throttled", "stalled", "quarantined", "halted"}[s]
}

const (
	liveFor   = 30 * time.Second // behind for longer than this is catching up again
	standsFor = 30 * time.Second // and without a record acknowledged for this long, standing still
)

// stateOf derives the state of a partition; the reason is for the last three.
func (p *Pipe) stateOf(part *partition, now time.Time) (State, string) {
	switch {
	case part.phase == holding:
		return part.holds, part.failed
	case part.outage != "":
		return Stalled, part.outage
	case part.phase == starting && part.failed != "":
		return Stalled, part.failed
	case part.phase == retrying && part.failure != nil:
		return Stalled, root(part.failure).Error()
	}
	if _, led := p.sourceLeaders[part.Source]; !led && p.sourceLeaders != nil {
		return Stalled, "no leader in " + p.flow.Source
	}
	if _, led := p.targetLeaders[part.Remote]; !led && p.targetLeaders != nil {
		return Stalled, "no leader in " + p.flow.Target
	}
	if part.reading && p.failing[part.readAt] {
		return Stalled, "a broker of " + p.flow.Source + " is away"
	}
	if part.seen && (part.phase == running && part.lag() == 0 || now.Sub(part.atEnd) < liveFor) {
		return Live, ""
	}
	if p.throttled(part, now) {
		return Throttled, ""
	}
	return CatchingUp, ""
}

func (p *partition) lag() int64 { return max(int64(p.high-p.acked), 0) }

// reached notes that everything that was seen of the source is on the target.
func (p *partition) reached(now time.Time) {
	if p.seen && p.lag() == 0 && p.phase == running {
		p.atEnd = now
	}
}

// holdsFor tells what kind of hold an error asks for.
func holdsFor(err error) State {
	if errors.Is(err, errHalt) {
		return Halted
	}
	if errors.As(err, new(unsendable)) {
		return Quarantined
	}
	code, known := stream.CodeOf(err)
	switch {
	case !known:
		return Stalled
	case code == stream.CodeTopicAuthorization, code == stream.CodeClusterAuthorization:
		return Stalled // rights can be granted at any time, and no record is to blame
	}
	return Quarantined
}

// Standing is where a partition stands.
type Standing struct {
	Source stream.Partition
	Remote stream.Partition
	Acked  stream.Upstream // everything below is on the target
	End    stream.Upstream // high watermark of the source, as last fetched
	State  State
	Reason string    // of the last three states
	Since  time.Time // of the state
	Behind time.Duration
	Newest time.Time // timestamp of the newest record of the batch that was acknowledged last; zero before the first
	Moves  bool      // false while it stands still although the source has more, or nobody knows
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
	Forms                   map[string]int64 // records by form
}

// Totals may be asked for at any time.
func (p *Pipe) Totals() Totals {
	t := Totals{Records: p.counters.records.Load(), Bytes: p.counters.bytes.Load(), Refused: p.counters.refused.Load(), Forms: make(map[string]int64)}
	for i := range p.counters.forms {
		t.Forms[batch.Form(i).String()] = p.counters.forms[i].Load()
	}
	return t
}
