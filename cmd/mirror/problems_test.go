package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/status"
)

func TestTroubles(t *testing.T) {
	now := time.Date(2026, 11, 20, 3, 0, 0, 0, time.UTC)
	healthy := func() status.Report {
		return status.Report{
			At:    now,
			Flows: []status.Flow{{Name: "A->B", Source: "A", Target: "B", Started: true, RPOSeconds: 1.5, Heartbeat: new(1.0), Groups: &status.Groups{Age: new(60.0)}, Members: []status.Member{{Instance: "one", Same: true}}}},
			Archives: []status.Archive{{Flow: "A->B", State: archiveGoesOn, Age: 11, Restorable: &status.Restorable{
				Oldest: now.Add(-90 * 24 * time.Hour), Verified: &status.Verified{At: now.Add(-24 * time.Hour), Level: "chunk", Passed: true}}}},
			Drills:       []status.Drill{{Kind: "failover", Flow: "A->B", At: now.Add(-24 * time.Hour), Passed: true, Due: now.Add(6 * 24 * time.Hour)}},
			Certificates: []status.Certificate{{Cluster: "A", Subject: "CN=mirror", Ends: now.Add(90 * 24 * time.Hour)}},
		}
	}
	stands := func(cause, reason string, sources ...string) (all []status.Partition) {
		for i, s := range sources {
			all = append(all, status.Partition{Source: s, State: "halted", Cause: cause, Reason: reason, Since: now.Add(-time.Duration(i) * time.Minute)})
		}
		return all
	}
	for _, c := range []struct {
		story    string
		with     func(r *status.Report)
		more     flowMore
		severity status.Severity
		alert    string
		where    string
		says     []string
	}{
		{"a flow that has not started", func(r *status.Report) { r.Flows[0].Started = false }, flowMore{}, status.Critical, alertNotRunning, "", nil},
		{"one partition without a reason", func(r *status.Report) { r.Flows[0].Standing = stands("", "", "orders/1") }, flowMore{}, status.Critical, alertStandsStill, "orders/1", []string{"the partition stands still (halted)", "no error is known"}},
		{"one that says itself where it is held", func(r *status.Report) {
			r.Flows[0].Standing = stands("foreign_writer", "a/0 is held at offset 7 (halted): somebody else writes to A.a/0", "a/0")
		}, flowMore{}, status.Critical, alertForeign, "a/0", []string{"the partition stands still at offset 7 (halted): somebody else writes to A.a/0"}},
		{"five for one reason", func(r *status.Report) {
			r.Flows[0].Standing = stands("outage", "a broker of A is away", "a/0", "a/1", "a/2", "a/3", "a/4")
		}, flowMore{}, status.Critical, alertStandsStill, "a/0, a/1, a/2 and 2 more", []string{"5 partitions", "a broker of A is away"}},
		{"a source that was truncated", func(r *status.Report) { r.Flows[0].Standing = stands("truncated", "it ends at 5", "a/0") }, flowMore{}, status.Critical, alertTruncated, "a/0", []string{"it ends at 5"}},
		{"or made anew", func(r *status.Report) { r.Flows[0].Standing = stands("recreated", "another id", "a/0") }, flowMore{}, status.Critical, alertTruncated, "a/0", nil},
		{"somebody else writes", func(r *status.Report) { r.Flows[0].Standing = stands("foreign_writer", "at 7", "a/0") }, flowMore{}, status.Critical, alertForeign, "a/0", nil},
		{"a record is refused", func(r *status.Report) { r.Flows[0].Standing = stands("refused", "too large", "a/0") }, flowMore{}, status.Critical, alertQuarantine, "a/0", []string{"too large"}},
		{"what would be lost is old", func(r *status.Report) { r.Flows[0].RPOSeconds, r.Flows[0].RPORecords = 61, 12 }, flowMore{}, status.Warning, alertRPO, "", []string{"12 records", "61 seconds"}},
		{"no heartbeat", func(r *status.Report) { r.Flows[0].Heartbeat = new(200.0) }, flowMore{}, status.Warning, alertHeartbeats, "", []string{"3 minutes"}},
		{"checkpoints of long ago", func(r *status.Report) { r.Flows[0].Groups.Age = new(301.0) }, flowMore{}, status.Warning, alertCheckpoints, "", []string{"5 minutes"}},
		{"with a long interval too", func(r *status.Report) { r.Flows[0].Groups.Age = new(7201.0) }, flowMore{checkpoints: 40 * time.Minute}, status.Warning, alertCheckpoints, "", []string{"2 hours"}},
		{"none since the start", nil, flowMore{unlooked: 6 * time.Minute}, status.Warning, alertCheckpoints, "", []string{"6 minutes"}},
		{"records set aside", nil, flowMore{skipped: 3}, status.Warning, alertSkipped, "", []string{"3 records"}},
		{"a damaged map", nil, flowMore{damaged: 2}, status.Warning, alertMap, "", []string{"2 times"}},
		{"other settings", func(r *status.Report) {
			r.Flows[0].Members = append(r.Flows[0].Members, status.Member{Instance: "two"})
		}, flowMore{}, status.Warning, alertSettings, "two", nil},
		{"a group ahead", func(r *status.Report) {
			r.Flows[0].Groups.Positions = map[string]int{"ahead": 2}
			r.Flows[0].Groups.Listed = []status.Group{{Name: "billing", Classes: map[string]int{"ahead": 2}, Note: "orders/0: beyond the end"}}
		}, flowMore{}, status.Warning, alertGroupAhead, "billing", []string{"2 positions", "orders/0: beyond the end"}},
		{"a group without a place", func(r *status.Report) {
			r.Flows[0].Groups.Positions = map[string]int{"unknown": 1}
			r.Flows[0].Groups.Listed = []status.Group{{Name: "billing", Classes: map[string]int{"unknown": 1}, Note: "orders/0: nothing is mirrored"}}
		}, flowMore{}, status.Warning, alertGroupUnknown, "billing", []string{"nothing is mirrored"}},
		{"an archive that has failed", func(r *status.Report) { r.Archives[0].State, r.Archives[0].Reason = archiveFailed, "another writer" }, flowMore{}, status.Critical, alertArchiveDown, "", []string{"another writer"}},
		{"a store that is away", func(r *status.Report) { r.Archives[0].State, r.Archives[0].Reason = archiveUnreachable, "refused" }, flowMore{}, status.Critical, alertStoreErrors, "", []string{"refused"}},
		{"an archive that is behind", func(r *status.Report) { r.Archives[0].Age, r.Archives[0].Behind = 121, 4 }, flowMore{}, status.Warning, alertArchiveBehind, "", []string{"4 partitions"}},
		{"a hole", func(r *status.Report) { r.Archives[0].Restorable.Holes = 1 }, flowMore{}, status.Warning, alertArchiveGap, "", nil},
		{"a verify that found something", func(r *status.Report) { r.Archives[0].Restorable.Verified.Passed = false }, flowMore{}, status.Critical, alertVerifyFailed, "", []string{"chunk"}},
		{"a verify of last month", func(r *status.Report) { r.Archives[0].Restorable.Verified.At = now.Add(-30 * 24 * time.Hour) }, flowMore{}, status.Warning, alertVerifyOverdue, "", []string{"30 days"}},
		{"never verified", func(r *status.Report) { r.Archives[0].Restorable.Verified = nil }, flowMore{}, status.Warning, alertVerifyOverdue, "", []string{"never"}},
		{"a drill that failed", func(r *status.Report) { r.Drills[0].Passed, r.Drills[0].Summary = false, "orders/3 differs" }, flowMore{}, status.Warning, alertDrillFailed, "failover drill", []string{"orders/3 differs"}},
		{"a drill that nobody ran", func(r *status.Report) { r.Drills[0].Due = now.Add(-25 * time.Hour) }, flowMore{}, status.Warning, alertDrillOverdue, "failover drill", []string{"25 hours"}},
		{"a certificate", func(r *status.Report) { r.Certificates[0].Ends = now.Add(20 * 24 * time.Hour) }, flowMore{}, status.Warning, alertCertificate, "CN=mirror", []string{"20 days", "cluster A"}},
		{"that has ended", func(r *status.Report) { r.Certificates[0].Ends = now.Add(-time.Hour) }, flowMore{}, status.Critical, alertCertificate, "CN=mirror", []string{"has ended"}},
	} {
		t.Run(c.story, func(t *testing.T) {
			r := healthy()
			if c.with != nil {
				c.with(&r)
			}
			got := troubles(r, map[string]flowMore{"A->B": c.more})
			if len(got) != 1 {
				t.Fatalf("%+v", got)
			}
			p := got[0]
			if p.Severity != c.severity || p.Alert != c.alert || p.Where != c.where {
				t.Errorf("%+v", p)
			}
			for _, want := range c.says {
				if !strings.Contains(p.What, want) {
					t.Errorf("%q lacks %q", p.What, want)
				}
			}
		})
	}
	if got := troubles(healthy(), nil); len(got) != 0 {
		t.Errorf("nothing is wrong, and it says %+v", got)
	}
	r := healthy()
	r.Certificates[0].Ends = now.Add(time.Hour)
	r.Flows[0].Standing = stands("refused", "too large", "a/0")
	if got := troubles(r, nil); len(got) != 2 || got[0].Severity != status.Critical {
		t.Errorf("the worst is not first: %+v", got)
	}
}

// What the page calls a problem is what the alert is called, and each has a section for who is woken by it.
func TestProblemsAreAlerts(t *testing.T) {
	own, err := os.ReadFile("problems.go")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := os.ReadFile(filepath.Join("..", "..", "dashboards", "tandem-rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	book, err := os.ReadFile(filepath.Join("..", "..", "docs", "alerts.md"))
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`"(Tandem\w+)"`).FindAllStringSubmatch(string(own), -1)
	if len(names) < 12 {
		t.Fatalf("%d names", len(names))
	}
	alerts := regexp.MustCompile(`(?m)^\s*- alert: (\w+)`).FindAllStringSubmatch(string(rules), -1)
	for _, n := range names {
		if !slices.ContainsFunc(alerts, func(a []string) bool { return a[1] == n[1] }) {
			t.Errorf("no alert is called %s", n[1])
		}
		if !strings.Contains(string(book), "\n## "+n[1]+"\n") {
			t.Errorf("docs/alerts.md has no section %s", n[1])
		}
	}
}
