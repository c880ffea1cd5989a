package config

import (
	"fmt"
	"strings"
	"time"

	"tandem/internal/stream"
)

// Sharing is how processes that run the same flow divide its partitions: members of one group of the target.
type Sharing struct {
	Group     string        // ALIAS.group.id, MM2's own: while one of both is in it, the other cannot join
	Session   time.Duration // session.timeout.ms: a process that is silent for so long is taken for dead
	Heartbeat time.Duration // heartbeat.interval.ms
	Rebalance time.Duration // rebalance.timeout.ms: how long a process may take to let partitions go
}

const (
	leastSession       = 6 * time.Second // the brokers' default of group.min.session.timeout.ms
	heartbeatsASession = 3               // how many may be missed, as Kafka's documentation asks
)

func (b builder) sharing(out *Flow, worker settings) Sharing {
	s := Sharing{
		Group:     b.text(worker, "group.id"),
		Session:   b.milliseconds(worker, "session.timeout.ms", cluster),
		Heartbeat: b.milliseconds(worker, "heartbeat.interval.ms", cluster),
		Rebalance: b.milliseconds(worker, "rebalance.timeout.ms", cluster),
	}
	if out.Enabled {
		b.checkSharing(s, worker)
	}
	return s
}

func (b builder) checkSharing(s Sharing, worker settings) {
	session, beat, rebalance := worker["session.timeout.ms"], worker["heartbeat.interval.ms"], worker["rebalance.timeout.ms"]
	at := beat
	if beat.key == "" {
		at = session
	}
	warn := func(e entry, format string, args ...any) {
		b.problems.warn(Warning{Line: e.line, Key: e.key, Message: fmt.Sprintf(format, args...)})
	}
	switch {
	case s.Heartbeat >= s.Session:
		b.problems.fail(at.line, at.key, "heartbeat.interval.ms (%d) must be less than session.timeout.ms (%d), a third of it at most", s.Heartbeat.Milliseconds(), s.Session.Milliseconds())
	case s.Heartbeat*heartbeatsASession > s.Session:
		warn(at, "heartbeat.interval.ms (%d) is more than a third of session.timeout.ms (%d): a process that misses one or two is taken for dead", s.Heartbeat.Milliseconds(), s.Session.Milliseconds())
	}
	if s.Session < leastSession {
		warn(session, "is less than %d, below which brokers refuse it unless their group.min.session.timeout.ms is lower", leastSession.Milliseconds())
	}
	if rebalance.key != "" && s.Rebalance < s.Session {
		warn(rebalance, "is less than session.timeout.ms (%d): a process may lose its partitions while it lets others go", s.Session.Milliseconds())
	}
}

// checkGroups refuses one group for several flows: their members could not be told apart.
func (b builder) checkGroups(flows []Flow) {
	type place struct{ target, group string }
	by := make(map[place]stream.Flow)
	for _, f := range flows {
		if !f.Enabled {
			continue
		}
		at := place{f.Target, f.Sharing.Group}
		first, taken := by[at]
		if !taken {
			by[at] = f.Flow
			continue
		}
		e := workerSettings(b.entries, f.Flow)["group.id"]
		b.problems.fail(e.line, e.key, "would be the group of both %s and %s; remove the line, so that each flow has its own", first, f.Flow)
	}
}

// exactlyOnce says whether records and positions go in transactions, and what is missing where the file insists on it. MM2 reads
// what the consumer's isolation.level says, with or without transactions, and so does Tandem.
func (b builder) exactlyOnce(out *Flow, connector, worker settings) bool {
	on := strings.EqualFold(b.text(worker, "exactly.once.source.support"), "enabled")
	if !out.Enabled {
		return false
	}
	required := connector["exactly.once.support"]
	committed := out.IsolationLevel == "read_committed"
	switch {
	case !strings.EqualFold(required.value, "required"):
	case !on:
		b.problems.bad(required, "needs %s.exactly.once.source.support = enabled", out.Target)
	case !committed:
		b.problems.bad(required, "needs %s.consumer.isolation.level = read_committed", out.Source)
	}
	if _, said := out.SourceConsumer["isolation.level"]; on && !said && !strings.EqualFold(required.value, "required") {
		e := worker["exactly.once.source.support"]
		b.problems.warn(Warning{Line: e.line, Key: e.key, Message: fmt.Sprintf("isolation.level of %s is not set, so %s copies records of aborted transactions too, as MM2 does; write %s.consumer.isolation.level = read_committed, or read_uncommitted to keep it so", out.Source, out.Flow, out.Source)})
	}
	return on
}
