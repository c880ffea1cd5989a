package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	r := report{
		Copies: []copied{
			{Job: "L", Contender: "tandem", Wall: 3, CPU: 1, PeakRSS: 50e6, ToFirst: .5},
			{Job: "L", Contender: "mm2", Wall: 12, CPU: 30, PeakRSS: 1500e6, ToFirst: 10},
			{Job: "L", Contender: "tandem", Wall: 1, CPU: 1, PeakRSS: 50e6, ToFirst: .5},
			{Job: "L", Contender: "tandem", Wall: 2, CPU: 1, PeakRSS: 50e6, ToFirst: .5},
			{Job: "P", Contender: "mm2", Wall: 5, CPU: 20, PeakRSS: 1500e6, ToFirst: 8},
		},
		Delays: []delayed{{Contender: "tandem", P50: 2, P95: 4, P99: 5, Max: 9, CPU: 1}, {Contender: "mm2", P50: 7, P95: 10, P99: 14, Max: 45, CPU: 3}},
	}
	var out strings.Builder
	if err := r.print(&out); err != nil {
		t.Fatal(err)
	}
	// A row has the median, the range where runs differ, and the ratio to Tandem's median on the same job.
	want := []string{
		"L tandem 3 2.00 (1.00-3.00) 1.00 50 0.50",
		"L mm2 1 12.00 6.0x 30.00 30.0x 1500 30.0x 10.00 20.0x",
		"P mm2 1 5.00 20.00 1500 8.00",
		"latency tandem 1 2.0 4.0 5.0 9.0 1.00",
		"latency mm2 1 7.0 3.5x 10.0 2.5x 14.0 2.8x 45.0 5.0x 3.00 3.0x",
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		if fields := strings.Fields(line); len(fields) > 0 && fields[0] != "job" {
			got = append(got, strings.Join(fields, " "))
		}
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Fatalf("got\n%s\nwant\n%s", g, w)
	}
}

// A claim is made where its rows are, and the ratio is that of medians.
func TestClaims(t *testing.T) {
	r := report{
		Kept: []kept{
			{Job: archiveJob, Contender: mirrorName, Wall: 10, CPU: 2},
			{Job: archiveJob, Contender: teeName, Wall: 11, CPU: 3, PeakRSS: 100e6},
			{Job: archiveJob, Contender: teeName, Wall: 13, CPU: 3, PeakRSS: 100e6},
			{Job: archiveJob, Contender: teeName, Wall: 90, CPU: 3, PeakRSS: 100e6},
			{Job: verifyJob, Contender: verifyName("chunk"), CPU: 1, Stored: 400e6},
			{Job: verifyJob, Contender: verifyName("record"), CPU: 9, Stored: 400e6},
		},
		Costs: []costs{{Objects: 8}},
	}
	var got []string
	for _, c := range r.claims() {
		got = append(got, fmt.Sprintf("%s: %.1f, %s, %v", c.What, c.Seen, c.bound(), c.kept()))
	}
	want := []string{
		"cpu of tee / mirror alone: 1.5, at most 1.6, true",
		"time of tee / mirror alone: 1.3, at most 1.15, false",
		"peak MB of tee: 100.0, at most 250, true",
		"verify --level chunk, MB/s a core: 400.0, at least 500, false",
		"objects of a minute's trickle: 8.0, at most 8, true",
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Fatalf("got\n%s\nwant\n%s", g, w)
	}
}

// Of the jobs on one archive the first that is named runs all of them.
func TestOneRunDoesTheArchivesJobs(t *testing.T) {
	for _, tt := range []struct {
		before, name string
		done         bool
	}{
		{"L", restoreJob, false},
		{archiveJob, restoreJob, true},
		{costJob, restoreJob, false},
		{archiveJob, costJob, false},
		{costJob, costJob, true},
	} {
		if got := overArchive(tt.name)(tt.before); got != tt.done {
			t.Errorf("%s after %s: %v", tt.name, tt.before, got)
		}
	}
}

func TestSpreadTakesTheMiddle(t *testing.T) {
	same := func(v float64) float64 { return v }
	for _, tt := range []struct {
		runs []float64
		want spread
	}{
		{[]float64{5}, spread{5, 5, 5}},
		{[]float64{9, 1}, spread{1, 5, 9}},
		{[]float64{9, 1, 2}, spread{1, 2, 9}},
	} {
		if got := spreadOf(tt.runs, same); got != tt.want {
			t.Errorf("%v: got %v, want %v", tt.runs, got, tt.want)
		}
	}
}

func TestFlags(t *testing.T) {
	for _, tt := range []struct{ args, bad string }{
		{args: ""},
		{args: "--jobs S,latency,partitions --only mm2 --scale 0.1 --repeat 3"},
		{args: "--jobs archive,restore,verify,space,cost --only tandem,tee,oso --s3"},
		{args: "--jobs link,recovery --scale 0.05"},
		{args: "--jobs X", bad: `no job "X"`},
		{args: "--only mm3", bad: `no contender "mm3"`},
		{args: "--repeat 0", bad: "positive"},
		{args: "--scale -1", bad: "positive"},
		{args: "L", bad: "no arguments"},
	} {
		_, err := parse(strings.Fields(tt.args))
		if (err == nil) != (tt.bad == "") || err != nil && !strings.Contains(err.Error(), tt.bad) {
			t.Errorf("%q: got %v, want %q", tt.args, err, tt.bad)
		}
	}
}
