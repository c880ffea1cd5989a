package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"tandem/internal/testkit/proc"
)

// The jobs of the archive. All but cost are about the topic of job L and run in this order on the archive that the first one leaves.
const (
	archiveJob = "archive"
	restoreJob = "restore"
	verifyJob  = "verify"
	spaceJob   = "space"
	costJob    = "cost"

	mirrorName = "tandem" // of contenders
	teeName    = "tee"    // the same with archive.enabled
)

var archiveJobs = []string{archiveJob, restoreJob, verifyJob, spaceJob, costJob}

// overArchive: of the jobs on the archive of L one run does all that are named.
func overArchive(name string) func(string) bool {
	return func(other string) bool {
		return name != costJob && other != costJob && slices.Contains(archiveJobs, other) || other == name
	}
}

// kept is what was seen of one run of an archive's job.
type kept struct {
	Job       string  `json:"job"`
	Contender string  `json:"contender"`
	ToFirst   float64 `json:"start_to_first_record_s"` // on the target
	Wall      float64 `json:"first_record_to_end_s"`
	Total     float64 `json:"start_to_end_s"`
	CPU       float64 `json:"cpu_s"` // of the whole process, its stop included
	PeakRSS   int64   `json:"peak_rss_bytes"`
	Stored    int64   `json:"stored_bytes"`
	Objects   int     `json:"objects"`
}

func (k kept) String() string {
	text := fmt.Sprintf("cpu %.2f s; peak %s", k.CPU, megabytes(k.PeakRSS))
	if k.Wall > 0 {
		text = fmt.Sprintf("first record after %.2f s, then %.2f s; ", k.ToFirst, k.Wall) + text
	}
	if k.Total > 0 {
		text = fmt.Sprintf("%.2f s in all; ", k.Total) + text
	}
	if k.Objects > 0 {
		text += fmt.Sprintf("; %s in %d objects", megabytes(k.Stored), k.Objects)
	}
	return text
}

func (m copied) kept(job string) kept {
	return kept{Job: job, Contender: m.Contender, ToFirst: m.ToFirst, Wall: m.Wall, CPU: m.CPUWithStop, PeakRSS: m.PeakRSSAll}
}

func (r ranOnce) kept(job, contender string) kept {
	return kept{Job: job, Contender: contender, ToFirst: r.toFirst.Seconds(), Wall: r.wall.Seconds(), Total: r.total.Seconds(),
		CPU: r.cpu.Seconds(), PeakRSS: r.peak}
}

// archiving is what the jobs on the archive of L share.
type archiving struct {
	*bench
	job    job
	mirror contender
	peer   string // program, empty without
	where  []place
	last   task   // of the tee's last run into a folder: its archive is what the other jobs read
	backup string // folder of the peer's last backup
	report *report
}

// place is a store to archive to.
type place struct {
	name string                       // of the contender
	url  func(t task) (string, error) // of a new place in it
	dir  func(t task) string          // where its objects lie as files
}

// folderOf is where a run into a folder archives to.
func folderOf(t task) string { return filepath.Join(t.dir, "archive") }

// runArchive writes L once and has everybody take turns at each job.
func (b *bench) runArchive(ctx context.Context, f flags, report *report) (err error) {
	a := archiving{bench: b, job: jobs["L"].scaled(f.scale), report: report}
	a.mirror = contenders[0]
	if a.mirror.binary, err = b.program(ctx, a.mirror.source); err != nil {
		return err
	}
	if slices.Contains(f.only, peerName) {
		if a.peer, err = b.peer(ctx); err != nil {
			return err
		}
	}
	a.where = []place{{name: teeName, dir: folderOf, url: func(t task) (string, error) {
		return "file://" + folderOf(t), os.Mkdir(folderOf(t), 0o755)
	}}}
	if f.s3 {
		s3, stop, err := startS3(filepath.Join(b.dir, "s3"))
		if err != nil {
			return err
		}
		defer stop()
		a.where = append(a.where, s3)
	}
	say("archive: writing %d records, and warming up the brokers", a.job.records)
	if _, err := a.job.write(ctx, b.a); err != nil {
		return err
	}
	if _, err := b.copy(ctx, a.job, a.mirror); err != nil {
		return fmt.Errorf("warm up: %w", err)
	}
	for _, step := range []struct {
		job string
		run func(context.Context, flags) error
	}{{archiveJob, a.runBackups}, {restoreJob, a.runRestores}, {verifyJob, a.runVerify}, {spaceJob, a.runSpace}} {
		if !slices.Contains(f.jobs, step.job) && step.job != archiveJob {
			continue
		}
		if err := step.run(ctx, f); err != nil {
			return fmt.Errorf("%s: %w", step.job, err)
		}
	}
	return b.a.deleteTopic(ctx, a.job.topic())
}

func (a *archiving) note(k kept) {
	say("%s: %-6s  %s", k.Job, k.Contender, k)
	a.report.Kept = append(a.report.Kept, k)
}

// turns runs each of a job's contenders, as often as asked for, the first one last in every other round.
func (a *archiving) turns(ctx context.Context, f flags, who []turn) error {
	for range f.repeat {
		for _, w := range who {
			if !slices.Contains(f.only, w.asked) {
				continue
			}
			k, err := w.run(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", w.asked, err)
			}
			a.note(k)
		}
		slices.Reverse(who)
	}
	return nil
}

type turn struct {
	asked string // who takes part if --only names it
	run   func(context.Context) (kept, error)
}

func (a *archiving) runBackups(ctx context.Context, f flags) error {
	who := []turn{{mirrorName, a.mirrored(archiveJob)}}
	for _, p := range a.where {
		who = append(who, turn{teeName, func(ctx context.Context) (kept, error) { return a.tee(ctx, p) }})
	}
	if a.peer != "" {
		who = append(who, turn{peerName, a.peerBackup})
	}
	return a.turns(ctx, f, who)
}

// mirrored is the mirror without an archive.
func (a *archiving) mirrored(job string) func(context.Context) (kept, error) {
	return func(ctx context.Context) (kept, error) {
		m, err := a.copy(ctx, a.job, a.mirror)
		return m.kept(job), err
	}
}

// tee is the mirror with its archive. It is asked to stop when the last record has arrived on the target, and stores what waits before it
// ends. If that is not all, as it has not kept up, it is started again until it is; its processor time is that of both.
func (a *archiving) tee(ctx context.Context, p place) (k kept, err error) {
	c := a.mirror
	c.name = p.name
	t, err := a.newTask(c, a.job.topic(), a.job.codec, false)
	if err != nil {
		return k, err
	}
	url, err := p.url(t)
	if err != nil {
		return k, err
	}
	c.start = func(c contender, t task) (*proc.Process, error) {
		if err := t.writeConfig("archive.enabled = true\narchive.url = " + url + "\n"); err != nil {
			return nil, err
		}
		return proc.Start(t.logTo, c.binary, t.config)
	}
	m, err := a.copyAs(ctx, a.job, c, t)
	if err != nil {
		return k, err
	}
	k = m.kept(archiveJob)
	found, err := readArchive(ctx, p.dir(t))
	if err != nil {
		return k, err
	}
	if found.records < int64(a.job.records) {
		say("%s: the archive had %d of %d records when the mirror was done; it goes on", p.name, found.records, a.job.records)
		more, peak, err := a.catchUp(ctx, c, t, p.dir(t))
		if err != nil {
			return k, err
		}
		k.CPU, k.PeakRSS = k.CPU+more.Seconds(), max(k.PeakRSS, peak)
		if found, err = readArchive(ctx, p.dir(t)); err != nil {
			return k, err
		}
	}
	if found.records != int64(a.job.records) {
		return k, fmt.Errorf("%d records are archived instead of %d", found.records, a.job.records)
	}
	k.Stored, k.Objects = found.bytes, found.objects
	if p.name == teeName {
		a.last = t
	}
	return k, a.b.deleteTopic(ctx, t.remoteTopic())
}

func (a *archiving) peerBackup(ctx context.Context) (kept, error) {
	a.runs++
	dir := filepath.Join(a.dir, fmt.Sprintf("run-%d-%s", a.runs, peerName))
	a.backup = filepath.Join(dir, "backup")
	if err := os.MkdirAll(a.backup, 0o755); err != nil {
		return kept{}, err
	}
	r, err := a.runOnce(ctx, dir, "", 0, a.peer, "backup", a.a.kafka.Bootstrap, a.job.topic(), a.backup)
	k := r.kept(archiveJob, peerName)
	if err == nil {
		k.Stored, k.Objects, err = stored(a.backup)
	}
	return k, err
}
