package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"tandem/internal/cli"
	"tandem/internal/status"
)

// Problems are named as the alerts of dashboards/tandem-rules.yml, and mean the same; a page shows them at once, an alert waits
// until they last. docs/alerts.md says of each what to do.
const (
	alertNotRunning     = "TandemFlowNotRunning"
	alertStandsStill    = "TandemStandsStill"
	alertRPO            = "TandemRPOExceeded"
	alertGroupUnknown   = "TandemGroupUnknown"
	alertGroupAhead     = "TandemGroupAhead"
	alertCheckpoints    = "TandemCheckpointsStale"
	alertMap            = "TandemMapInconsistent"
	alertTruncated      = "TandemSourceTruncated"
	alertForeign        = "TandemForeignWriter"
	alertQuarantine     = "TandemQuarantine"
	alertSkipped        = "TandemRecordsSkipped"
	alertCertificate    = "TandemCertificateExpiring"
	alertSettings       = "TandemSettingsDiffer"
	alertHeartbeats     = "TandemHeartbeatsMissing"
	alertArchiveDown    = "TandemArchiveDown"
	alertArchiveBehind  = "TandemArchiveBehind"
	alertArchiveGap     = "TandemArchiveGap"
	alertStoreErrors    = "TandemArchiveStoreErrors"
	alertVerifyOverdue  = "TandemVerifyOverdue"
	alertVerifyFailed   = "TandemVerifyFailed"
	alertDrillOverdue   = "TandemDrillOverdue"
	alertDrillFailed    = "TandemDrillFailed"
	certificatesWarning = 21 * 24 * time.Hour
)

// From when on something is a problem. The alerts' own bounds stand in dashboards/tandem-rules.yml.
const (
	rpoBound         = time.Minute
	heartbeatsBound  = time.Minute
	checkpointsBound = 5 * time.Minute
	archiveBound     = 2 * time.Minute
	verifyBound      = 8 * 24 * time.Hour
	drillGrace       = 24 * time.Hour
	mostNamed        = 3 // groups or partitions in one problem
)

// flowMore is what problems are made of that the report does not show.
type flowMore struct {
	skipped, damaged int64 // records set aside; segments of the map that were gone
	checkpoints      time.Duration
	unlooked         time.Duration // for which groups were to be looked at, before the first time
}

// troubles are what a person should know of, the worst first. more is by the name of a flow.
func troubles(r status.Report, more map[string]flowMore) []status.Problem {
	var all found
	for _, f := range r.Flows {
		all.flow(r.At, f, more[f.Name])
	}
	for _, a := range r.Archives {
		all.archive(r.At, a)
	}
	for _, d := range r.Drills {
		all.drill(r.At, d)
	}
	for _, c := range r.Certificates {
		all.certificate(r.At, c)
	}
	slices.SortStableFunc(all.list, func(a, b status.Problem) int { return cmp.Compare(rank(a.Severity), rank(b.Severity)) })
	return all.list
}

func rank(s status.Severity) int {
	if s == status.Critical {
		return 0
	}
	return 1
}

type found struct{ list []status.Problem }

func (p *found) add(s status.Severity, alert, flow, where string, since time.Time, what string, args ...any) {
	p.list = append(p.list, status.Problem{Severity: s, Alert: alert, Flow: flow, Where: where, Since: since, What: fmt.Sprintf(what, args...)})
}

func (p *found) flow(now time.Time, f status.Flow, more flowMore) {
	if !f.Started {
		p.add(status.Critical, alertNotRunning, f.Name, "", time.Time{}, "the flow has not started, or does not answer")
		return
	}
	p.standing(f)
	if f.RPOSeconds > rpoBound.Seconds() {
		p.add(status.Warning, alertRPO, f.Name, "", now.Add(-seconds(f.RPOSeconds)),
			"%d records would be lost if %s were lost now, and what it got in the last %s", f.RPORecords, f.Source, readable(f.RPOSeconds))
	}
	if f.Heartbeat != nil && *f.Heartbeat > heartbeatsBound.Seconds() {
		p.add(status.Warning, alertHeartbeats, f.Name, "", now.Add(-seconds(*f.Heartbeat)), "the newest heartbeat of %s on %s is %s old", f.Source, f.Target, readable(*f.Heartbeat))
	}
	if more.skipped > 0 {
		p.add(status.Warning, alertSkipped, f.Name, "", time.Time{}, "%d records were refused by %s and set aside since the start (on.refused=skip)", more.skipped, f.Target)
	}
	if more.damaged > 0 {
		p.add(status.Warning, alertMap, f.Name, "", time.Time{}, "a part of the map of offsets was gone or not what it must be, %d times since the start", more.damaged)
	}
	var others []string
	for _, m := range f.Members {
		if !m.Same {
			others = append(others, cmp.Or(m.Instance, m.Host))
		}
	}
	if len(others) > 0 {
		p.add(status.Warning, alertSettings, f.Name, some(others), time.Time{}, "another process runs the flow by other settings; give all the same file, and reload or restart them")
	}
	p.groups(now, f, more)
}

// alertOf is the alert of partitions that stand still, by cause.
func alertOf(cause string) string {
	switch cause {
	case "truncated", "recreated", "deleted", "expired":
		return alertTruncated
	case "foreign_writer":
		return alertForeign
	case "refused":
		return alertQuarantine
	}
	return alertStandsStill
}

// standing gathers the partitions that stand still by why they do.
func (p *found) standing(f status.Flow) {
	type why struct{ alert, reason string }
	by := make(map[why][]status.Partition)
	var order []why
	for _, s := range f.Standing {
		w := why{alertOf(s.Cause), s.Reason}
		if by[w] == nil {
			order = append(order, w)
		}
		by[w] = append(by[w], s)
	}
	for _, w := range order {
		list := by[w]
		var names []string
		since := list[0].Since
		for _, s := range list {
			names = append(names, s.Source)
			if s.Since.Before(since) {
				since = s.Since
			}
		}
		reason := cmp.Or(w.reason, "nothing was acknowledged, and no error is known")
		if len(list) == 1 {
			held := fmt.Sprintf("%s is held at offset ", list[0].Source) // a halt says all of it itself
			if rest, ok := strings.CutPrefix(reason, held); ok {
				p.add(status.Critical, w.alert, f.Name, some(names), since, "the partition stands still at offset %s", rest)
				continue
			}
			p.add(status.Critical, w.alert, f.Name, some(names), since, "the partition stands still (%s): %s", list[0].State, reason)
			continue
		}
		p.add(status.Critical, w.alert, f.Name, some(names), since, "%d partitions stand still (%s): %s", len(list), list[0].State, reason)
	}
}

func (p *found) groups(now time.Time, f status.Flow, more flowMore) {
	if more.unlooked > max(3*more.checkpoints, checkpointsBound) {
		p.add(status.Warning, alertCheckpoints, f.Name, "", now.Add(-more.unlooked),
			"consumer groups could not be looked at since this process began with it, %s ago; the log says why", readable(more.unlooked.Seconds()))
	}
	g := f.Groups
	if g == nil {
		return
	}
	if g.Age != nil && *g.Age > max(3*more.checkpoints, checkpointsBound).Seconds() {
		p.add(status.Warning, alertCheckpoints, f.Name, "", now.Add(-seconds(*g.Age)), "consumer groups were looked at %s ago; their positions on %s are as old", readable(*g.Age), f.Target)
	}
	named := func(class string) (names []string, note string) {
		for _, one := range g.Listed {
			if one.Classes[class] > 0 {
				names = append(names, one.Name)
				note = cmp.Or(note, one.Note)
			}
		}
		return names, note
	}
	if n := g.Positions["unknown"]; n > 0 {
		names, note := named("unknown")
		p.add(status.Warning, alertGroupUnknown, f.Name, some(names), time.Time{}, "%s of groups would not be moved, with no place on %s: %s", cli.Counted(n, "position"), f.Target, note)
	}
	if n := g.Positions["ahead"]; n > 0 {
		names, note := named("ahead")
		p.add(status.Warning, alertGroupAhead, f.Name, some(names), time.Time{}, "%s of groups ahead of what %s has: %s", cli.Counted(n, "position"), f.Target, note)
	}
}

func (p *found) archive(now time.Time, a status.Archive) {
	since := now.Add(-seconds(a.Age))
	switch {
	case a.State == archiveFailed:
		p.add(status.Critical, alertArchiveDown, a.Flow, "", since, "nothing is archived any more: %s", cmp.Or(a.Reason, "see the log"))
	case a.State == archiveUnreachable:
		p.add(status.Critical, alertStoreErrors, a.Flow, "", a.Since, "the archive's store does not answer: %s", a.Reason)
	case a.Age > archiveBound.Seconds():
		p.add(status.Warning, alertArchiveBehind, a.Flow, "", since, "what the source got in the last %s is not durable in the archive, as far as is known; %d partitions are read for it", readable(a.Age), a.Behind)
	}
	r := a.Restorable
	if r == nil {
		return
	}
	if r.Holes > 0 {
		p.add(status.Warning, alertArchiveGap, a.Flow, "", time.Time{}, "%d stretches of offsets are in no bundle: the source had them no more, or bundles are gone; archive ls names them", r.Holes)
	}
	switch v := r.Verified; {
	case v != nil && !v.Passed:
		p.add(status.Critical, alertVerifyFailed, a.Flow, "", v.At, "archive verify has found something at level %s", v.Level)
	case v != nil && now.Sub(v.At) > verifyBound:
		p.add(status.Warning, alertVerifyOverdue, a.Flow, "", v.At, "the archive was verified %s ago", readable(now.Sub(v.At).Seconds()))
	case v == nil && !r.Oldest.IsZero() && now.Sub(r.Oldest) > verifyBound:
		p.add(status.Warning, alertVerifyOverdue, a.Flow, "", time.Time{}, "the archive was never verified; archive verify does it")
	}
}

func (p *found) drill(now time.Time, d status.Drill) {
	name := d.Kind + " drill"
	switch {
	case !d.At.IsZero() && !d.Passed:
		p.add(status.Warning, alertDrillFailed, d.Flow, name, d.At, "%s", cmp.Or(d.Summary, "it failed"))
	case !d.Due.IsZero() && now.Sub(d.Due) > drillGrace:
		p.add(status.Warning, alertDrillOverdue, d.Flow, name, d.Due, "it was due %s ago, and nobody has run it", readable(now.Sub(d.Due).Seconds()))
	}
}

func (p *found) certificate(now time.Time, c status.Certificate) {
	left := c.Ends.Sub(now)
	if left > certificatesWarning {
		return
	}
	severity, when := status.Warning, "ends in "+readable(left.Seconds())
	if left <= 0 {
		severity, when = status.Critical, "has ended"
	}
	what := "the certificate"
	if c.Trusted {
		what = "the trusted certificate"
	}
	p.add(severity, alertCertificate, "", c.Subject, c.Ends, "%s for cluster %s %s (%s); replace it, a restart is not needed", what, c.Cluster, when, cmp.Or(c.File, "in the settings"))
}

// some names the first of a list.
func some(names []string) string {
	text := strings.Join(names[:min(len(names), mostNamed)], ", ")
	if more := len(names) - mostNamed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// readable is a length of time in one or two words.
func readable(s float64) string {
	switch d := seconds(s); {
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f seconds", s)
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f minutes", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0f hours", d.Hours())
	default:
		return fmt.Sprintf("%.0f days", d.Hours()/24)
	}
}
