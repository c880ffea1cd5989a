package main

import (
	"context"

	"tandem/internal/archive/store"
	"tandem/internal/checkpoint"
	"tandem/internal/cli"
	"tandem/internal/metrics"
	"tandem/internal/replicate"
)

// snapshot is what /metrics shows.
func (b *board) snapshot() metrics.Snapshot {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeWait)
	defer cancel()
	s := metrics.Snapshot{
		Build: metrics.Build{Version: cli.Current(version).Version, Instance: b.instance()}, Ready: true,
		MemoryUsed: b.budget.InUse(), MemoryLimit: b.conf.MemoryBytes, Archives: b.archiveFigures(),
	}
	for _, v := range b.views(ctx) {
		f := b.figures(v)
		s.Ready = s.Ready && f.Up
		for _, p := range f.Partitions {
			s.Ready = s.Ready && !p.Stands
		}
		s.Flows = append(s.Flows, f)
	}
	for _, f := range b.flows {
		for _, d := range b.rehearsal.drills(f.conf()) {
			s.Drills = append(s.Drills, metrics.Drill{Flow: d.Flow, Kind: d.Kind, At: d.At, Took: seconds(d.Seconds), Passed: d.Passed, Due: d.Due})
		}
	}
	for _, c := range b.certificates() {
		s.Certificates = append(s.Certificates, metrics.Certificate{Cluster: c.Cluster, Subject: c.Subject, Trusted: c.Trusted, Ends: c.Ends})
	}
	return s
}

// figures are those of a flow.
func (b *board) figures(v view) metrics.Flow {
	f := metrics.Flow{Name: v.conf.Flow.String(), Up: v.answers, Members: len(v.members), Duties: v.flow.hold.onDuty(), Rebalancing: v.flow.hold.moving(), Heartbeat: newestHeartbeat(v.standings)}
	for _, m := range v.members {
		f.Differ = f.Differ || m.Settings != v.conf.Hash()
	}
	if v.pipe == nil {
		return f
	}
	t := v.pipe.Totals()
	f.Records, f.Bytes, f.Refused = t.Records, t.Bytes, t.Refused
	f.Fetched, f.Forms, f.FormBytes, f.FormBatches = t.Fetched, t.Forms, t.BatchBytes, t.Batches
	f.Troubles = make(map[string]int64)
	for cause, n := range t.Troubles {
		f.Troubles[string(cause)] = n
	}
	for _, s := range v.standings {
		f.Partitions = append(f.Partitions, metrics.Partition{
			Topic: s.Source.Topic, Number: s.Source.Number, Remote: s.Remote, State: s.State.String(), Cause: string(s.Cause), Stands: !s.Moves,
			Lag: s.Lag(), Behind: s.Behind, Sure: s.Sure, Records: s.Records, Bytes: s.Bytes, InFlight: s.InFlight, Age: windowOf(s.Age), Latency: windowOf(s.Latency),
		})
	}
	switch {
	case v.keeper != nil:
		f.Groups = b.groupFigures(v.keeper)
	case v.conf.Checkpoints.Enabled && !v.flow.hold.dutiesSince().IsZero():
		f.Groups = new(metrics.Groups) // they are to be looked at, and never were
	}
	if exact := b.maps.of(v.conf.Flow); exact != nil {
		f.MapBytes, f.MapInconsistent = exact.Size().Bytes, exact.Damaged()
	}
	return f
}

func windowOf(s replicate.Measure) metrics.Window {
	return metrics.Window{Seen: s.Seen, Last: s.Last, Recent: s.Batches > 0, Min: s.Min, Max: s.Max, Avg: s.Avg}
}

func (b *board) groupFigures(k *checkpoint.Keeper) *metrics.Groups {
	s := k.Standing()
	g := &metrics.Groups{
		Number: s.Groups, Positions: classes(s.Exact, s.Clamped, s.Ahead, s.Unknown), Round: s.Round, Took: s.Took, Written: s.Written, Synced: s.Committed,
	}
	if !b.conf.Metrics.MM2Names {
		return g
	}
	for _, l := range k.Latencies(b.conf.Metrics.Partitions) {
		g.Checkpoints = append(g.Checkpoints, metrics.Checkpoint{
			Group: l.Group, Remote: l.Remote, Latency: metrics.Window{Seen: true, Recent: true, Last: l.Last, Min: l.Min, Max: l.Max, Avg: l.Avg},
		})
	}
	return g
}

// shownKinds are kinds of errors that are shown with 0 too, so that a rate has a beginning.
var shownKinds = []store.Kind{store.Transient, store.Throttled, store.AccessDenied, store.Settings, store.Full, store.Other}

func (b *board) archiveFigures() (all []metrics.Archive) {
	for _, a := range b.archives() {
		s, began := a.standing()
		m := metrics.Archive{
			Flow: a.conf().Flow.String(), Up: began && !a.failed.Load(), Age: age(s), Behind: s.Behind,
			Bundles: s.Bundles, Bytes: s.Bytes, Gaps: s.Gaps, Memory: s.Memory, Errors: make(map[string]int64),
		}
		m.Durable = durable(s, began)
		for _, kind := range shownKinds {
			m.Errors[kind.String()] = 0
		}
		for kind, n := range s.Errors {
			m.Errors[kind.String()] += n
		}
		if r := a.looks.restorable(); r != nil {
			m.Listed, m.Oldest, m.Objects, m.Stored, m.Holes = r.AsOf, r.Oldest, r.Objects, r.Bytes, r.Holes
		}
		m.Verified = a.looks.verified()
		all = append(all, m)
	}
	return all
}
