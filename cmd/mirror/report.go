package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"tandem/internal/checkpoint"
	"tandem/internal/cli"
	"tandem/internal/config"
	"tandem/internal/replicate"
	"tandem/internal/replicate/heartbeat"
	"tandem/internal/status"
	"tandem/internal/stream"
)

// Report implements status.Source.
func (b *board) Report(ctx context.Context) status.Report {
	now := time.Now()
	r := status.Report{
		At: now, Started: b.started, Version: cli.Current(version).Version, Instance: b.instance(), File: b.conf.Path, Ready: true,
		Memory: status.Memory{Used: b.budget.InUse(), Limit: b.conf.MemoryBytes}, Archives: b.Archives(ctx),
	}
	more := make(map[string]flowMore)
	for _, v := range b.views(ctx) {
		f := v.report(now)
		r.Flows = append(r.Flows, f)
		switch {
		case v.pipe != nil && !v.flow.hold.told():
			r.Ready, r.Waiting = false, fmt.Sprintf("flow %s: group %s of %s has not said yet which partitions fall to this process", f.Name, v.conf.Sharing.Group, v.conf.Target)
		case v.pipe == nil:
			r.Ready, r.Waiting = false, fmt.Sprintf("flow %s has not started", f.Name)
		case !v.answers:
			r.Ready, r.Waiting = false, fmt.Sprintf("flow %s does not answer", f.Name)
		case len(f.Standing) > 0:
			r.Ready = false
		}
		m := flowMore{checkpoints: v.conf.Checkpoints.Interval, unlooked: v.unlooked(now)}
		if v.pipe != nil {
			m.skipped = v.pipe.Totals().Refused
		}
		if exact := b.maps.of(v.conf.Flow); exact != nil {
			m.damaged = exact.Damaged()
		}
		more[f.Name] = m
	}
	for _, f := range b.flows {
		r.Drills = append(r.Drills, b.rehearsal.drills(f.conf())...)
	}
	r.Certificates = b.certificates()
	r.Problems = troubles(r, more)
	return r
}

// instance is the name of this process among those that share the work, or else of its machine.
func (b *board) instance() string {
	if b.conf.Instance != "" {
		return b.conf.Instance
	}
	host, err := os.Hostname()
	if err != nil {
		return ""
	}
	return host
}

// report is what the page shows of a flow.
func (v *view) report(now time.Time) status.Flow {
	f := status.Flow{
		Name: v.conf.Flow.String(), Source: v.conf.Source, Target: v.conf.Target, Started: v.answers, Partitions: make(map[string]int),
	}
	for _, s := range replicate.States {
		f.Partitions[s.String()] = 0
	}
	for _, s := range v.standings {
		f.Partitions[s.State.String()]++
		if !s.Moves {
			f.Standing = append(f.Standing, v.partition(s))
		}
	}
	lag := lagOf(v.standings, now)
	f.LagRecords, f.LagSeconds, f.RPORecords, f.RPOSeconds = lag.records, lag.behind.Seconds(), lag.records, lag.unsure.Seconds()
	if newest := newestHeartbeat(v.standings); !newest.IsZero() {
		f.Heartbeat = new(max(now.Sub(newest), 0).Seconds())
	}
	if v.pipe != nil {
		totals := v.pipe.Totals()
		f.Records, f.Bytes = totals.Records, totals.Bytes
	}
	if v.keeper != nil {
		f.Groups = groupsOf(v.keeper, now)
	}
	for _, m := range v.members {
		self := v.flow.process != "" && m.Instance == v.flow.process
		f.Members = append(f.Members, status.Member{
			Instance: m.Instance, Host: m.Host, Partitions: m.Partitions, Duties: self && v.flow.hold.onDuty(), Self: self, Same: m.Settings == v.conf.Hash(),
		})
	}
	return f
}

// unlooked is for how long this process has had the groups to look after, and has not yet come to do it.
func (v *view) unlooked(now time.Time) time.Duration {
	since := v.flow.hold.dutiesSince()
	if since.IsZero() || !v.conf.Checkpoints.Enabled || v.keeper != nil && !v.keeper.Standing().Round.IsZero() {
		return 0
	}
	return now.Sub(since)
}

// partition is what the page shows of a partition.
func (v *view) partition(s replicate.Standing) status.Partition {
	return status.Partition{
		Flow: v.conf.Flow.String(), Source: s.Source.String(), Remote: s.Remote.String(), State: s.State.String(), Cause: string(s.Cause), Reason: s.Reason,
		Since: s.Since, Lag: s.Lag(), LagSeconds: s.Behind.Seconds(), Ready: s.Moves,
	}
}

// lagged sums up the partitions of a flow.
type lagged struct {
	records int64
	behind  time.Duration // the longest
	unsure  time.Duration // since everything of the source was last known to be on the target
}

func lagOf(all []replicate.Standing, now time.Time) (l lagged) {
	for _, s := range all {
		l.records += s.Lag()
		l.behind = max(l.behind, s.Behind)
		l.unsure = max(l.unsure, now.Sub(s.Sure))
	}
	return l
}

// newestHeartbeat is that of the source which has come to the target last.
func newestHeartbeat(all []replicate.Standing) (newest time.Time) {
	for _, s := range all {
		if s.Source.Topic == heartbeat.Topic && s.Newest.After(newest) {
			newest = s.Newest
		}
	}
	return newest
}

func groupsOf(k *checkpoint.Keeper, now time.Time) *status.Groups {
	s := k.Standing()
	g := &status.Groups{Number: s.Groups, Positions: classes(s.Exact, s.Clamped, s.Ahead, s.Unknown)}
	if !s.Round.IsZero() {
		g.Age = new(now.Sub(s.Round).Seconds())
	}
	for _, one := range k.Listed() {
		g.Listed = append(g.Listed, status.Group{Name: one.Group, Classes: classes(one.Exact, one.Clamped, one.Ahead, one.Unknown), Note: one.Note})
	}
	return g
}

func classes(exact, clamped, ahead, unknown int) map[string]int {
	return map[string]int{
		stream.Exact.String(): exact, stream.Clamped.String(): clamped, stream.Ahead.String(): ahead, stream.Unknown.String(): unknown,
	}
}

// Partitions implements status.Source.
func (b *board) Partitions(ctx context.Context) (all []status.Partition) {
	for _, v := range b.views(ctx) {
		for _, s := range v.standings {
			all = append(all, v.partition(s))
		}
	}
	return all
}

// Samples implements status.Source.
func (b *board) Samples(ctx context.Context) (all []status.Sample) {
	now := time.Now()
	for _, v := range b.views(ctx) {
		if !v.answers {
			continue
		}
		lag, totals := lagOf(v.standings, now), v.pipe.Totals()
		all = append(all, status.Sample{
			Flow: v.conf.Flow.String(), LagRecords: lag.records, LagSeconds: lag.behind.Seconds(), RPORecords: lag.records, RPOSeconds: lag.unsure.Seconds(),
			Records: totals.Records, Bytes: totals.Bytes,
		})
	}
	return all
}

// Settings implements status.Source.
func (b *board) Settings() (all []status.Setting) {
	for _, s := range b.inEffect() {
		key := s.Key
		if s.Part != "" {
			key = s.Part + ": " + key
		}
		all = append(all, status.Setting{Flow: s.Flow, Key: key, Value: s.Value, From: s.From})
	}
	return all
}

// inEffect are the settings as of the last reload, but for those that wait for a restart.
func (b *board) inEffect() []config.Setting {
	if b.reloader == nil {
		return b.conf.Effective()
	}
	return config.InEffect(b.conf, b.reloader.now())
}

// certificates are those of all clients, each once.
func (b *board) certificates() (all []status.Certificate) {
	for _, f := range b.flows {
		for _, w := range f.clients.ways {
			for _, c := range w.client.Certificates() {
				one := status.Certificate{Cluster: w.cluster, Subject: c.Subject, File: c.File, Trusted: c.Trusted, Ends: c.NotAfter}
				if !slices.Contains(all, one) {
					all = append(all, one)
				}
			}
		}
	}
	slices.SortStableFunc(all, func(a, b status.Certificate) int { return a.Ends.Compare(b.Ends) })
	return all
}

var _ status.Source = (*board)(nil)
