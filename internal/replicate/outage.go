package replicate

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"tandem/internal/stream"
)

// outages are the troubles in which partitions wait, by reason. A broker that is away stops hundreds of partitions for
// one reason: the first is told, and that the last is over.
type outages map[string]map[*partition]bool

// The troubles. An acknowledgement ends each; reading ends one of reading, and a start one of starting.
const (
	cannotStart = "cannot start yet"
	cannotRead  = "cannot be read"
	cannotWrite = "cannot be written"
)

// troubledAfter is the backoff from which a partition counts as troubled: leaders move all the time.
const troubledAfter = time.Second

// troubled notes that a partition waits, and for what.
func (p *Pipe) troubled(part *partition, what string, err error) {
	if part.backoff < troubledAfter {
		return
	}
	reason := what + ": " + root(err).Error()
	if part.outage == reason {
		return
	}
	p.over(part)
	part.outage, part.cause = reason, outageOf(err)
	if part.missing && what == cannotRead {
		part.cause = Deleted
	}
	if p.outages[reason] == nil {
		p.outages[reason] = make(map[*partition]bool)
		p.tell(part, stream.Warn, fmt.Sprintf("%s %s, trying again: %v; others that wait for the same reason are not told", part.Source, what, err), err)
	}
	p.outages[reason][part] = true
}

// over notes that a partition no longer waits.
func (p *Pipe) over(part *partition) {
	if part.outage == "" {
		return
	}
	waiting := p.outages[part.outage]
	delete(waiting, part)
	if len(waiting) == 0 {
		delete(p.outages, part.outage)
		p.report(stream.Event{Flow: p.flow, Severity: stream.Info, Message: fmt.Sprintf("no partition waits any more that %s", part.outage)})
	}
	part.outage = ""
}

// wasRead ends what had to do with reading.
func (p *Pipe) wasRead(part *partition) {
	writes := !part.lastAck.IsZero() // since the last failure of a write
	if strings.HasPrefix(part.outage, cannotRead) || part.outage == "" && writes && part.failure == nil && len(part.inFlight) == 0 {
		part.backoff = 0
		p.over(part)
	}
}

// root is the innermost error: what is the same for all partitions that it concerns.
func root(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
