package replicate

import (
	"errors"
	"time"

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
