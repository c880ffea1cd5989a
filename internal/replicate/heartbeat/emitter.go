package heartbeat

import (
	"context"
	"time"

	"tandem/internal/stream"
)

const (
	// fallback is MM2's default interval; it stands in for one that is not positive, with which MM2 loops without a pause.
	fallback = time.Second
	// patience is how long one append may take before it counts as failed.
	patience = 10 * time.Second
)

// Log appends records with acks=all, each to the partition that it names. It gives up as soon as ctx is done.
type Log interface {
	Append(ctx context.Context, topic string, records []stream.Record) error
}

// Emitter writes the heartbeats of one flow.
type Emitter struct {
	log      Log
	flow     stream.Flow
	interval time.Duration
	report   stream.Report
}

// NewEmitter makes an Emitter; Run starts it.
func NewEmitter(log Log, flow stream.Flow, interval time.Duration, report stream.Report) *Emitter {
	if interval <= 0 {
		interval = fallback
	}
	return &Emitter{log: log, flow: flow, interval: interval, report: report}
}

// Run writes the first heartbeat after one interval and then one each interval, until ctx is done; it returns nil then. An
// append that takes longer than the interval skips the heartbeats that it delays.
func (e *Emitter) Run(ctx context.Context) error {
	ticker := time.NewTicker(e.interval)
	defer ticker.Stop()
	var outage outage
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		err := e.beat(ctx)
		if ctx.Err() != nil {
			return nil // an append that the stop cut short says nothing about the cluster
		}
		if event, changed := outage.observe(err, time.Now()); changed {
			event.Flow = e.flow
			e.report(event)
		}
	}
}

func (e *Emitter) beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return e.log.Append(ctx, Topic, []stream.Record{Heartbeat{Flow: e.flow, At: time.Now()}.Record()})
}

// outage makes one event of the first of many failures, and one of their end.
type outage struct {
	since  time.Time // zero while heartbeats succeed
	missed int
}

func (o *outage) observe(err error, now time.Time) (event stream.Event, changed bool) {
	switch {
	case err == nil && o.missed > 0:
		event = stream.Event{Severity: stream.Info, Message: "heartbeats are back",
			Fields: []stream.Field{stream.F("missed", o.missed), stream.F("outage", now.Sub(o.since))}}
		*o = outage{}
		return event, true
	case err == nil:
		return event, false
	}
	o.missed++
	if o.missed > 1 {
		return event, false
	}
	o.since = now
	return stream.Event{Severity: stream.Warn, Message: "append heartbeat failed; replication itself goes on",
		Fields: []stream.Field{stream.F("topic", Topic), stream.F("error", err)}}, true
}
