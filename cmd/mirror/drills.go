package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"tandem/internal/config"
	"tandem/internal/drill"
	"tandem/internal/status"
	"tandem/internal/stream"
)

// Scheduled drills run as child processes: `failover drill` and `archive drill` are what a person would run, their memory is not
// replication's, and what goes wrong in them stays there (docs/adr/0013-drills-are-processes.md).

const (
	drillStops  = 30 * time.Second // for a drill to clean up when mirror is stopped
	mostReport  = 4 << 20          // bytes of a report that are read
	mostTrouble = 2 << 10          // of what a drill says on standard error, of which the last line is told
)

// rehearsing runs drills of all flows, one after the other.
type rehearsing struct {
	file string
	busy sync.Mutex // held while a drill runs

	mu      sync.Mutex // guards what follows
	last    map[drillOf]drill.Outcome
	from    time.Time                 // of the first schedule: before that nothing was due
	planned map[stream.Flow]time.Time // of schedules that have come with a reload
}

// drillOf names one rehearsal of a flow.
type drillOf struct {
	flow stream.Flow
	kind string
}

func newRehearsing(file string) *rehearsing {
	return &rehearsing{file: file, last: make(map[drillOf]drill.Outcome), from: time.Now(), planned: make(map[stream.Flow]time.Time)}
}

// heard takes the outcome of a drill, whoever ran it; the newest counts.
func (h *rehearsing) heard(f stream.Flow, o drill.Outcome) {
	h.mu.Lock()
	defer h.mu.Unlock()
	of := drillOf{f, o.Kind}
	if was, known := h.last[of]; !known || o.At.After(was.At) {
		h.last[of] = o
	}
}

// plan notes that a flow has another schedule from now on.
func (h *rehearsing) plan(f stream.Flow) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.planned[f] = time.Now()
}

// kindsOf are the drills that a flow has something to show in.
func kindsOf(f *config.Flow) (kinds []string) {
	if f.Enabled {
		kinds = append(kinds, drill.Failover)
	}
	if f.Archive.Enabled {
		kinds = append(kinds, drill.Archive)
	}
	return kinds
}

// drills are the last of each kind of a flow, and when the next is due: those that were never run, too, if there is a schedule.
func (h *rehearsing) drills(f *config.Flow) (all []status.Drill) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, kind := range kindsOf(f) {
		o, known := h.last[drillOf{f.Flow, kind}]
		if !known && f.Drill.Schedule == "" {
			continue
		}
		d := status.Drill{Kind: kind, Flow: f.Flow.String(), At: o.At, Seconds: o.Seconds, Passed: o.Passed, Summary: o.Summary}
		if f.Drill.Schedule != "" {
			after := h.from
			if known {
				after = o.At
			}
			if at := h.planned[f.Flow]; at.After(after) {
				after = at
			}
			d.Due = f.Drill.Next(after)
		}
		all = append(all, d)
	}
	return all
}

// rehearse runs the drills of a flow by its schedule, where this process is on duty for it, until ctx ends. What was due while nobody was
// there is not made up for. It stands beside the duties: neither a reload nor a change of duties ends a drill, or waits for one.
func (f *flow) rehearse(ctx context.Context) error {
	if f.rehearsal == nil {
		return nil
	}
	for {
		renewed := f.renewed.wait()
		due := f.conf().Drill.Next(time.Now())
		if !await(ctx, due, renewed) {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // it has ended
			}
			continue
		}
		for _, kind := range kindsOf(f.conf()) {
			if f.hold.onDuty() {
				f.drill(ctx, kind)
			}
		}
	}
}

// clockWait is how long a clock that was set goes unnoticed: timers do not follow it.
const clockWait = time.Minute

// await says that a time has come; not so, if other is closed or ctx ends before. The zero time never comes.
func await(ctx context.Context, due time.Time, other <-chan struct{}) bool {
	for {
		left := clockWait
		if !due.IsZero() {
			left = min(left, due.Round(0).Sub(time.Now().Round(0))) // by the wall
		}
		if left <= 0 {
			return true
		}
		timer := time.NewTimer(left)
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-other:
			timer.Stop()
			return false
		case <-timer.C:
		}
	}
}

// drill runs one drill and tells how it went.
func (f *flow) drill(ctx context.Context, kind string) {
	f.rehearsal.busy.Lock()
	defer f.rehearsal.busy.Unlock()
	if ctx.Err() != nil {
		return
	}
	f.tell(stream.Info, "drill starts", stream.F("drill", kind))
	began := time.Now()
	report, err := runDrill(ctx, f.rehearsal.file, kind, f.conf())
	if ctx.Err() != nil {
		return // it was stopped with us, and has cleaned up
	}
	o := report.Outcome()
	if err != nil {
		o = drill.Outcome{Kind: kind, At: time.Now(), Seconds: time.Since(began).Seconds(), Summary: err.Error()}
	}
	f.rehearsal.heard(f.conf().Flow, o)
	if o.Passed {
		f.tell(stream.Info, "drill passed", stream.F("drill", kind), stream.F("summary", o.Summary))
		return
	}
	f.tell(stream.Error, "drill failed", stream.F("drill", kind), stream.F("summary", o.Summary))
}

// drillCommand is what a drill of a flow is started with.
func drillCommand(file, kind string, f *config.Flow) []string {
	args := []string{kind, "drill", file}
	switch kind {
	case drill.Failover:
		args = append(args, "--from", f.Source, "--to", f.Target)
	case drill.Archive:
		args = append(args, "--flow", f.Flow.String())
	}
	args = append(args, "--json", "--records", strconv.Itoa(f.Drill.Records), "--partitions", strconv.Itoa(f.Drill.Partitions))
	if f.Drill.Reports != "" {
		args = append(args, "--report", f.Drill.Reports)
	}
	return args
}

// runDrill starts a sibling command and reads its report. An error is of a drill that could not run.
func runDrill(ctx context.Context, file, kind string, f *config.Flow) (report drill.Report, err error) {
	args := drillCommand(file, kind, f)
	path, err := sibling(args[0])
	if err != nil {
		return report, err
	}
	var out, trouble tail
	out.keep, trouble.keep = mostReport, mostTrouble
	cmd := exec.CommandContext(ctx, path, args[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &trouble
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = drillStops
	err = cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return report, fmt.Errorf("run %s: %w", strings.Join(args, " "), err)
	}
	if report, decodeErr := drill.Decode(out.buf); decodeErr == nil {
		return report, nil
	}
	return report, fmt.Errorf("%s could not run: %s", strings.Join(args[:2], " "), strings.TrimPrefix(trouble.line(err), args[0]+": "))
}

// sibling finds a command of ours: beside this one, or else in PATH.
func sibling(name string) (string, error) {
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), name)
		if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return beside, nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s is neither beside mirror nor in PATH; put the three commands into one directory", name)
	}
	return path, nil
}

// drillsCanRun says early what scheduled drills lack: nobody looks at three in the morning.
func drillsCanRun(conf *config.Config) error {
	for i := range conf.Flows {
		f := &conf.Flows[i]
		if f.Drill.Schedule == "" {
			continue
		}
		for _, kind := range kindsOf(f) {
			if _, err := sibling(kind); err != nil {
				return cannotRun{fmt.Errorf("drill.schedule of %s: %w", f.Flow, err)}
			}
		}
		if f.Drill.Reports == "" {
			continue
		}
		if info, err := os.Stat(f.Drill.Reports); err != nil || !info.IsDir() {
			return cannotRun{fmt.Errorf("drill.reports of %s: there is no directory %s; make it, where the user of mirror may write", f.Flow, f.Drill.Reports)}
		}
	}
	return nil
}

// tail keeps the end of what is written to it.
type tail struct {
	keep int
	buf  []byte
}

var _ io.Writer = (*tail)(nil)

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p[max(len(p)-t.keep, 0):]...)
	if over := len(t.buf) - t.keep; over > 0 {
		t.buf = slices.Delete(t.buf, 0, over)
	}
	return len(p), nil
}

// line is the last line, or the error where nothing was said.
func (t *tail) line(err error) string {
	text := bytes.TrimSpace(t.buf)
	if i := bytes.LastIndexByte(text, '\n'); i >= 0 {
		text = text[i+1:]
	}
	switch {
	case len(text) > 0:
		return string(text)
	case err != nil:
		return err.Error()
	}
	return "it has said nothing"
}
