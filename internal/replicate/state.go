package replicate

import (
	"errors"
	"fmt"
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

// see derives the state of a partition, and tells the reason of the last three. It notes since when, and counts why partitions come to
// stand; what is over before anybody looks is not seen.
func (p *Pipe) see(part *partition, now time.Time) (reason string) {
	state, cause, reason := p.stateOf(part, now)
	if state != part.shown || part.since.IsZero() {
		part.shown, part.since = state, now
	}
	if cause != part.stands {
		if part.stands = cause; cause != "" {
			p.counters.trouble(cause)
		}
	}
	return reason
}

// stateOf derives the state of a partition; cause and reason are for the last three.
func (p *Pipe) stateOf(part *partition, now time.Time) (State, Cause, string) {
	switch {
	case part.phase == holding, part.failed != "": // which is tried again, and stays what it is until that helps
		return part.holds, part.cause, part.failed
	case part.outage != "":
		return Stalled, part.cause, part.outage
	case part.phase == retrying && part.failure != nil:
		return Stalled, outageOf(part.failure), "cannot write to " + p.flow.Target + ": " + root(part.failure).Error()
	}
	if _, led := p.sourceLeaders[part.Source]; !led && p.sourceLeaders != nil {
		return Stalled, Leaderless, "no leader in " + p.flow.Source
	}
	if _, led := p.targetLeaders[part.Remote]; !led && p.targetLeaders != nil {
		return Stalled, Leaderless, "no leader in " + p.flow.Target
	}
	if reason := p.sourceAway(part, now); reason != "" {
		return Stalled, Outage, reason
	}
	if reason := p.targetAway(part, now); reason != "" {
		return Stalled, Outage, reason
	}
	if part.seen && (part.phase == running && part.lag() == 0 || now.Sub(part.atEnd) < liveFor) {
		return Live, "", ""
	}
	if p.throttled(part, now) {
		return Throttled, "", ""
	}
	return CatchingUp, "", ""
}

// sourceAway tells that the broker which leads a partition at the source is not heard of.
func (p *Pipe) sourceAway(part *partition, now time.Time) string {
	if part.reading && p.failing[part.readAt] {
		return "a broker of " + p.flow.Source + " is away"
	}
	leader, led := p.sourceLeaders[part.Source]
	if !led || p.clock(now)-part.known.asked < oldAfter { // fetches may well come when questions do not
		return ""
	}
	return p.asking[leader.Broker].trouble(leader.Broker, p.flow.Source, now)
}

// targetAway tells that the broker which leads a partition on the target did not take what it was sent last, or leaves it without an
// answer.
func (p *Pipe) targetAway(part *partition, now time.Time) string {
	leader, led := p.targetLeaders[part.Remote]
	if !led || part.lag() == 0 {
		return ""
	}
	s, ok := p.senders[leader.Broker]
	if part.open > 0 {
		s, ok = p.senders[part.broker]
	}
	switch {
	case !ok:
	case s.down:
		return fmt.Sprintf("broker %d of %s is away", s.broker, p.flow.Target)
	case s.open > 0 && now.Sub(s.heard) >= deafAfter:
		return fmt.Sprintf("broker %d of %s does not answer", s.broker, p.flow.Target)
	}
	return ""
}

// lag is how many offsets a reader of the source could read that are not on the target, as far as is known.
func (p *partition) lag() int64 { return max(int64(p.known.end-p.acked), 0) }

// reached notes that everything that was seen of the source is on the target.
func (p *partition) reached(now time.Time) {
	if p.seen && p.lag() == 0 && p.phase == running {
		p.atEnd, p.failed = now, ""
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
