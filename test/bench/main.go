package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"tandem/internal/testkit/realkafka"
)

type flags struct {
	scale  float64
	jobs   []string
	only   []string
	repeat int
	s3     bool
	json   string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse(args []string) (flags, error) {
	var f flags
	var jobList, contenderList string
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	set.Float64Var(&f.scale, "scale", 1, "share of the records, and of the latency run's time")
	set.StringVar(&jobList, "jobs", "L,P,S,latency", "which jobs to run; also: partitions, "+linkJob+", "+recoveryJob+", "+strings.Join(archiveJobs, ", "))
	set.StringVar(&contenderList, "only", strings.Join(contenderNames(), ","), "which contenders to run; "+teeName+" and "+peerName+" only take part in the archive's jobs")
	set.IntVar(&f.repeat, "repeat", 1, "runs of each contender and job; contenders take turns")
	set.BoolVar(&f.s3, "s3", false, "job archive: also archive to an S3 server")
	set.StringVar(&f.json, "json", "", "also write the figures to this file")
	if err := set.Parse(args); err != nil {
		return f, err
	}
	f.jobs, f.only = strings.Split(jobList, ","), strings.Split(contenderList, ",")
	for _, name := range f.jobs {
		if _, ok := jobs[name]; !ok && name != latencyJob && name != partitionsJob && name != recoveryJob && name != linkJob && !slices.Contains(archiveJobs, name) {
			return f, fmt.Errorf("--jobs: no job %q", name)
		}
	}
	for _, name := range f.only {
		if !slices.Contains(contenderNames(), name) {
			return f, fmt.Errorf("--only: no contender %q", name)
		}
	}
	if f.scale <= 0 || f.repeat < 1 || set.NArg() > 0 {
		return f, errors.New("--scale and --repeat must be positive, and there are no arguments besides the flags")
	}
	return f, nil
}

func run(ctx context.Context, args []string) error {
	f, err := parse(args)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "tandem-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{dir: dir, programs: map[string]string{}}
	if b.contenders, err = b.build(ctx, f.only); err != nil {
		return err
	}
	say("starting two brokers (Kafka %s)", realkafka.Version)
	for name, c := range map[string]**cluster{"A": &b.a, "B": &b.b} {
		session := patientSession
		if name == "A" && slices.Contains(f.jobs, recoveryJob) {
			session = briefSession
		}
		if *c, err = startCluster(filepath.Join(dir, name), session); err != nil {
			return err
		}
		defer (*c).stop()
	}
	report := report{scale: f.scale}
	for i, name := range f.jobs {
		if slices.Contains(archiveJobs, name) && slices.ContainsFunc(f.jobs[:i], overArchive(name)) {
			continue // that one ran this one as well
		}
		if err := b.runJob(ctx, name, f, &report); err != nil {
			// What was measured so far is worth having.
			return errors.Join(report.print(os.Stdout), fmt.Errorf("job %s: %w", name, err))
		}
	}
	if err := report.print(os.Stdout); err != nil || f.json == "" {
		return err
	}
	return report.writeJSON(f.json, f.scale)
}

// bench is two clusters and those who copy from a to b.
type bench struct {
	dir        string
	a, b       *cluster
	contenders []contender
	programs   map[string]string // built, by their Go package
	runs       int               // counts runs, for aliases that were never used before
}

func (b *bench) runJob(ctx context.Context, name string, f flags, report *report) error {
	switch name {
	case latencyJob:
		return b.runLatency(ctx, f, report)
	case partitionsJob:
		return b.runMany(ctx, f, report)
	case costJob:
		return b.runCost(ctx, f, report)
	case linkJob:
		return b.runLink(ctx, f, report)
	case recoveryJob:
		return b.runRecovery(ctx, f, report)
	case archiveJob, restoreJob, verifyJob, spaceJob:
		return b.runArchive(ctx, f, report)
	}
	j := jobs[name].scaled(f.scale)
	say("job %s: writing %d records", j.name, j.records)
	written, err := j.write(ctx, b.a)
	if err != nil {
		return err
	}
	say("job %s: %s", j.name, written)
	for range f.repeat {
		for _, c := range b.contenders {
			m, err := b.copy(ctx, j, c)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			say("job %s: %-6s  %s", j.name, c.name, m)
			report.Copies = append(report.Copies, m)
		}
	}
	return b.a.deleteTopic(ctx, j.topic())
}

// build compiles what is to be measured.
func (b *bench) build(ctx context.Context, only []string) (list []contender, err error) {
	for _, c := range contenders {
		if !slices.Contains(only, c.name) {
			continue
		}
		if c.source != "" {
			if c.binary, err = b.program(ctx, c.source); err != nil {
				return nil, err
			}
		}
		list = append(list, c)
	}
	return list, nil
}

// program compiles a Go package of this tree, once.
func (b *bench) program(ctx context.Context, source string) (string, error) {
	if file, ok := b.programs[source]; ok {
		return file, nil
	}
	file := filepath.Join(b.dir, filepath.Base(source))
	args := []string{"build", "-trimpath", "-o", file, source}
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", source, err, out)
	}
	b.programs[source] = file
	return file, nil
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
