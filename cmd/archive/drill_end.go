package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"tandem/internal/archive/reports"
	"tandem/internal/drill"
	"tandem/internal/stream"
)

// finding notes what is not as it should be; fatal: the drill has failed.
func (d *drilling) finding(fatal bool, where, what string) {
	d.report.Findings = append(d.report.Findings, drill.Finding{Fatal: fatal, Where: where, What: what})
}

// failures is how many findings are fatal.
func (d *drilling) failures() (n int) {
	for _, f := range d.report.Findings {
		if f.Fatal {
			n++
		}
	}
	return n
}

func (d *drilling) figure(name string, value float64, unit, note string) {
	d.report.Figures = append(d.report.Figures, drill.Figure{Name: name, Value: value, Unit: unit, Note: note})
}

// end says what came out. An error is that with which the rehearsal ended.
func (d *drilling) end(ctx context.Context, err error) error {
	stderr := d.cmd.ErrOrStderr()
	switch outer := d.cmd.Context(); {
	case err == nil || errors.As(err, new(refused)):
		if err != nil && d.failures() == 0 {
			d.finding(true, d.flow.String(), err.Error())
		}
	case outer.Err() != nil:
		d.printRemaining(stderr)
		return errors.New("the drill was stopped; it says nothing of the archive")
	case ctx.Err() != nil && d.restoring():
		d.finding(true, d.flow.String(), fmt.Sprintf("it was not over after %s (--timeout): %v", d.flags.timeout, err))
	default:
		d.printRemaining(stderr)
		if ctx.Err() != nil {
			return fmt.Errorf("no answer within %s (--timeout): %w", d.flags.timeout, err)
		}
		return err
	}
	d.report.Ended, d.report.Passed = time.Now().UTC(), d.failures() == 0
	d.measure()
	d.summarize()
	d.keep(stderr)
	return d.tellEnd()
}

// restoring says that the clusters and the store had answered, and the restore was begun.
func (d *drilling) restoring() bool {
	for _, s := range d.report.Steps {
		if s.Name == "restore" {
			return true
		}
	}
	return false
}

// measure notes what was measured.
func (d *drilling) measure() {
	d.figure("records restored", float64(d.restored.records), "records", "")
	d.figure("bytes restored", float64(d.restored.bytes), "bytes", "as the brokers have them")
	d.figure("records compared", float64(d.counts.Compared), "records", "equal on the other side")
	for _, x := range []struct {
		n          int64
		name, note string
	}{
		{d.counts.Expired, "deleted by retention", "archived, and by now no longer on the other side"},
		{d.counts.Compacted, "removed by compaction", "archived, and by now no longer on the other side"},
		{d.counts.Unwanted, "of aborted or open transactions", "not restored"},
		{d.counts.Skipped, "not copied by design", "records of the other cluster"},
		{d.counts.Unarchived, "not archived, and the archive says why", "on the other side only"},
	} {
		if x.n > 0 {
			d.figure(x.name, float64(x.n), "records", x.note)
		}
	}
	if d.restored.took > 0 {
		rate := float64(d.restored.bytes) / d.restored.took.Seconds()
		d.figure("restore", d.restored.took.Seconds(), "seconds", "from the first read to the last acknowledgement")
		d.figure("rate", rate, "bytes/s", "")
		if whole := d.everything(); whole > 0 && rate > 0 {
			d.figure("size of what was chosen from", float64(whole), "bytes", "as the brokers would have it")
			d.figure("all of it would take about", float64(whole)/rate, "seconds", "at this rate; small samples are slow, so rather less. --records and --bytes make it larger")
		}
	}
	d.moments()
}

// everything is about how many bytes a restore of all that was chosen from would write.
func (d *drilling) everything() (bytes int64) {
	if d.state == nil {
		return 0
	}
	for _, life := range d.state.Lives {
		for _, part := range life.Parts {
			for _, s := range part.Stretches {
				if n := s.Entry.Next - s.Entry.First; n > 0 {
					bytes += int64(float64(s.Entry.Plain) * float64(s.To-s.From) / float64(n))
				}
			}
		}
	}
	return bytes
}

// moments tell how far back and how far ahead a restore reaches.
func (d *drilling) moments() {
	if d.state == nil || d.over.Objects == 0 {
		return
	}
	age := func(t time.Time) float64 { return max(d.report.Ended.Sub(t).Seconds(), 0) }
	if !d.over.Oldest.IsZero() {
		d.figure("age of the oldest moment that can be restored", age(d.over.Oldest), "seconds", "it is "+stamp(d.over.Oldest)+", for every topic of the archive")
	}
	d.figure("age of the newest moment that can be restored", age(d.over.Newest), "seconds", "it is "+stamp(d.over.Newest)+"; where nothing is written no bundle is made")
	if d.offsets == nil {
		return
	}
	behind := int64(0)
	for _, life := range d.state.Lives {
		for _, part := range life.Parts {
			if up, ok := d.offsets.covered(stream.Partition{Topic: life.Topic.Name, Number: part.Number}); ok {
				behind += max(int64(up-part.Next()), 0)
			}
		}
	}
	d.figure("on the replica, and not archived yet", float64(behind), "records", "when the archive was looked at")
}

// summarize makes the line for the status page and the log.
func (d *drilling) summarize() {
	took := d.report.Ended.Sub(d.report.Started).Round(100 * time.Millisecond)
	if d.report.Passed {
		d.report.Summary = d.numbers() + fmt.Sprintf(" in %s", took)
		return
	}
	for _, f := range d.report.Findings {
		if f.Fatal {
			d.report.Summary = fmt.Sprintf("%s: %s", f.Where, f.What)
			break
		}
	}
	if n := d.failures(); n > 1 {
		d.report.Summary += fmt.Sprintf(" (and %d more)", n-1)
	}
}

// numbers say how much was tried, without a name of anything.
func (d *drilling) numbers() string {
	return fmt.Sprintf("%d records of %s restored, %d compared and equal", d.restored.records, count(len(d.tried), "partition"), d.counts.Compared)
}

// keep stores how it came out. The drill is none the worse if it cannot.
func (d *drilling) keep(stderr io.Writer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(d.cmd.Context()), keepWithin)
	defer cancel()
	out := reports.Report{
		Kind: reports.Drill, Source: d.flow.Source, Flow: d.flow.String(), At: d.report.Ended, Seconds: d.report.Ended.Sub(d.report.Started).Seconds(),
		Passed: d.report.Passed, Partial: d.flags.topics != "", Tandem: d.report.Tandem,
		Summary: d.numbers(), Counts: map[string]int64{"partitions": int64(len(d.tried)), "records": d.restored.records, "bytes": d.restored.bytes,
			"compared": d.counts.Compared, "findings": int64(d.failures())},
	}
	if !d.report.Passed {
		out.Summary = fmt.Sprintf("%s, which the report of the drill names; %s", count(d.failures(), "finding"), d.numbers())
	}
	if _, err := reports.Put(ctx, d.open.store, out); err != nil {
		fmt.Fprintf(stderr, "warning: how it came out is not kept in the store, so mirror's metrics and status page do not show it "+
			"(it takes the right to create objects below reports/): %v\n", err)
		d.finding(false, "the store", fmt.Sprintf("how it came out is not kept below reports/: %v", err))
	}
}

// tellEnd prints and writes the report. Where the drill has failed that is the error.
func (d *drilling) tellEnd() error {
	out := d.cmd.OutOrStdout()
	if d.flags.json {
		b, err := d.report.Encode()
		if err != nil {
			return err
		}
		if _, err := out.Write(b); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
	} else {
		d.print(out)
	}
	if d.flags.report != "" {
		_, page, err := drill.Write(d.flags.report, d.report)
		if err != nil {
			return err
		}
		if !d.flags.json {
			fmt.Fprintf(out, "The report is in %s.\n", page)
		}
	}
	if !d.report.Passed {
		return refused{fmt.Errorf("drill of %s FAILED: %s", d.flow, d.report.Summary)}
	}
	return nil
}

func (d *drilling) print(out io.Writer) {
	for _, s := range d.report.Steps {
		mark := "ok  "
		if !s.Passed {
			mark = "FAIL"
		}
		fmt.Fprintf(out, "%s %6.1f s  %s: %s\n", mark, s.Seconds, s.Name, s.Detail)
	}
	for _, f := range d.report.Findings {
		mark := "- "
		if f.Fatal {
			mark = "! "
		}
		fmt.Fprintf(out, "%s%s: %s\n", mark, f.Where, f.What)
	}
	for _, f := range d.report.Figures {
		fmt.Fprintf(out, "%s: %s\n", f.Name, measured(f))
	}
	d.printRemaining(out)
	verdict := "passed"
	if !d.report.Passed {
		verdict = "FAILED"
	}
	fmt.Fprintf(out, "Drill of %s %s: %s.\n", d.flow, verdict, d.report.Summary)
}

// measured is a figure for people.
func measured(f drill.Figure) string {
	text := fmt.Sprintf("%.0f %s", f.Value, f.Unit)
	switch f.Unit {
	case "bytes":
		text = byteCount(int64(f.Value))
	case "bytes/s":
		text = byteCount(int64(f.Value)) + "/s"
	case "seconds":
		unit := 100 * time.Millisecond
		if f.Value < 1 {
			unit = time.Millisecond
		}
		text = time.Duration(f.Value * float64(time.Second)).Round(unit).String()
	}
	if f.Note != "" {
		text += " (" + f.Note + ")"
	}
	return text
}

// printRemaining says what a person has to take away.
func (d *drilling) printRemaining(out io.Writer) {
	for _, line := range d.report.Remaining {
		fmt.Fprintf(out, "Remains: %s\n", line)
	}
}
