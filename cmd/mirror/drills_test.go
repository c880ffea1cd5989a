package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/config"
	"tandem/internal/drill"
	"tandem/internal/replicate"
	"tandem/internal/stream"
)

// played puts commands of the test's own into PATH: failover and archive, each a script.
func played(t *testing.T, failover, archive string) {
	t.Helper()
	dir := t.TempDir()
	for name, script := range map[string]string{"failover": failover, "archive": archive} {
		if script == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

func drilled(t *testing.T, schedule string) (*flow, *[]stream.Event) {
	t.Helper()
	var events []stream.Event
	f := &flow{rehearsal: newRehearsing("mm2.properties"), report: func(e stream.Event) { events = append(events, e) }}
	f.settings.Store(&config.Flow{
		Flow: stream.Flow{Source: "A", Target: "B"}, Enabled: true, Archive: config.Archive{Enabled: true},
		Drill: config.Drill{Schedule: schedule, Records: 7, Partitions: 3, Reports: t.TempDir()},
	})
	return f, &events
}

func reportOf(t *testing.T, kind string, passed bool) string {
	t.Helper()
	at := time.Date(2026, 11, 20, 3, 0, 0, 0, time.UTC)
	r := drill.Report{Version: drill.ReportVersion, Kind: kind, FlowName: "A->B", Started: at, Ended: at.Add(30 * time.Second), Passed: passed, Summary: "as of " + kind}
	data, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "report.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A drill is the command that a person would run, and its report is what is told.
func TestDrillsAreCommands(t *testing.T) {
	said := filepath.Join(t.TempDir(), "said")
	played(t, `echo "failover $*" >> `+said+`; cat `+reportOf(t, drill.Failover, true),
		`echo "archive $*" >> `+said+`; cat `+reportOf(t, drill.Archive, false)+`; exit 1`)
	f, events := drilled(t, "0 3 * * *")
	for _, kind := range kindsOf(f.conf()) {
		f.drill(t.Context(), kind)
	}
	text, err := os.ReadFile(said)
	if err != nil {
		t.Fatal(err)
	}
	reports := f.conf().Drill.Reports
	want := "failover drill mm2.properties --from A --to B --json --records 7 --partitions 3 --report " + reports + "\n" +
		"archive drill mm2.properties --flow A->B --json --records 7 --partitions 3 --report " + reports + "\n"
	if string(text) != want {
		t.Errorf("ran\n%swant\n%s", text, want)
	}
	all := f.rehearsal.drills(f.conf())
	if len(all) != 2 || !all[0].Passed || all[0].Summary != "as of failover" || all[0].Seconds != 30 || all[1].Passed || all[1].Summary != "as of archive" {
		t.Errorf("%+v", all)
	}
	if !all[0].Due.After(all[0].At) {
		t.Errorf("due %v, after %v", all[0].Due, all[0].At)
	}
	var severities []stream.Severity
	for _, e := range *events {
		severities = append(severities, e.Severity)
	}
	if len(severities) != 4 || severities[1] != stream.Info || severities[3] != stream.Error {
		t.Errorf("told %v", *events)
	}
}

func TestDrillsThatCannotRun(t *testing.T) {
	played(t, `echo "reading"; echo "failover: cluster A does not answer" >&2; exit 2`, `kill -9 $$`)
	f, _ := drilled(t, "@daily")
	f.drill(t.Context(), drill.Failover)
	f.drill(t.Context(), drill.Archive)
	all := f.rehearsal.drills(f.conf())
	if len(all) != 2 || all[0].Passed || all[0].Summary != "failover drill could not run: cluster A does not answer" || all[1].Passed || !strings.Contains(all[1].Summary, "killed") {
		t.Errorf("%+v", all)
	}
}

// A stop has the drill clean up: it gets a signal that it can act on, and is waited for.
func TestADrillIsStopped(t *testing.T) {
	started := filepath.Join(t.TempDir(), "started")
	cleaned := filepath.Join(t.TempDir(), "cleaned")
	played(t, `trap 'touch `+cleaned+`; exit 1' TERM; touch `+started+`; while :; do sleep 0.05; done`, "")
	f, _ := drilled(t, "@daily")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(started); err == nil {
				cancel()
			}
		}
	}()
	f.drill(ctx, drill.Failover)
	if _, err := os.Stat(cleaned); err != nil {
		t.Error("it was not asked to end, or not waited for")
	}
	if all := f.rehearsal.last; len(all) != 0 {
		t.Errorf("a drill that was stopped counts: %+v", all)
	}
}

func TestDrillsBySchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := drilled(t, "0 3 * * 1")
		from := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		f.rehearsal.busy.Lock() // the drills themselves wait
		done := make(chan error, 1)
		go func() { done <- f.rehearse(ctx) }()
		synctest.Wait()
		due := f.conf().Drill.Next(from)
		time.Sleep(time.Until(due) - time.Second) //nolint:forbidigo // of synctest's clock
		synctest.Wait()
		cancel()
		f.rehearsal.busy.Unlock()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if due.Weekday() != time.Monday || due.Hour() != 3 {
			t.Errorf("due %v", due)
		}
	})
}

// What is heard from elsewhere counts when it is newer; without a schedule nothing is due.
func TestOutcomesAreHeard(t *testing.T) {
	f, _ := drilled(t, "")
	a := stream.Flow{Source: "A", Target: "B"}
	at := time.Date(2026, 11, 20, 3, 0, 0, 0, time.UTC)
	f.rehearsal.heard(a, drill.Outcome{Kind: drill.Failover, At: at, Passed: true})
	f.rehearsal.heard(a, drill.Outcome{Kind: drill.Failover, At: at.Add(-time.Hour)})
	all := f.rehearsal.drills(f.conf())
	if len(all) != 1 || !all[0].Passed || !all[0].At.Equal(at) || !all[0].Due.IsZero() {
		t.Errorf("%+v", all)
	}
}

func TestDrillsNeedTheirCommands(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	f, _ := drilled(t, "@daily")
	conf := &config.Config{Flows: []config.Flow{*f.conf()}}
	err := drillsCanRun(conf)
	if !errors.As(err, new(cannotRun)) || !strings.Contains(err.Error(), "drill.schedule of A->B: failover is neither beside mirror nor in PATH") {
		t.Errorf("error is %v", err)
	}
	played(t, "exit 0", "exit 0")
	if err := drillsCanRun(conf); err != nil {
		t.Error(err)
	}
	conf.Flows[0].Drill.Reports = filepath.Join(t.TempDir(), "nowhere")
	if err := drillsCanRun(conf); err == nil || !strings.Contains(err.Error(), "there is no directory") {
		t.Errorf("error is %v", err)
	}
	if found := problems(conf, nil); len(found) != 1 || !found[0].Bad || !strings.Contains(found[0].Text, "there is no directory") {
		t.Errorf("mirror check says %+v", found)
	}
}

func TestTail(t *testing.T) {
	w := tail{keep: 8}
	for _, s := range []string{"first\n", "a line\n", "last"} {
		_, _ = w.Write([]byte(s))
	}
	if !bytes.Equal(w.buf, []byte("ine\nlast")) || w.line(nil) != "last" {
		t.Errorf("%q", w.buf)
	}
}

// A schedule that comes with a reload counts from there: nothing was due before. What is due falls to the process that is on duty.
func TestDrillsAfterAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		played(t, "exit 2", "exit 2")
		f, _ := drilled(t, "")
		f.throttle = replicate.NewThrottle()
		f.hold = newHolding() // another process is on duty
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- f.rehearse(ctx) }()
		time.Sleep(100 * 24 * time.Hour) //nolint:forbidigo // of synctest's clock
		f.rehearsal.heard(f.conf().Flow, drill.Outcome{Kind: drill.Failover, At: time.Now().Add(-90 * 24 * time.Hour), Passed: true})
		next := *f.conf()
		next.Drill.Schedule = "0 3 * * 1"
		f.renew(next, true)
		for _, d := range f.rehearsal.drills(f.conf()) {
			if !d.Due.After(time.Now()) {
				t.Errorf("%s drill was due at %v, before anybody wanted it", d.Kind, d.Due)
			}
		}
		time.Sleep(8 * 24 * time.Hour) //nolint:forbidigo // of synctest's clock
		synctest.Wait()
		if n := len(f.rehearsal.last); n != 1 {
			t.Errorf("%d outcomes, though others are on duty", n)
		}
		f.hold.takeDuties()
		time.Sleep(7 * 24 * time.Hour) //nolint:forbidigo // of synctest's clock
		synctest.Wait()
		for _, d := range f.rehearsal.drills(f.conf()) {
			if d.Passed || time.Since(d.At) > 7*24*time.Hour {
				t.Errorf("%s drill did not run: %+v", d.Kind, d)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
