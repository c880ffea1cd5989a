package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tandem/internal/testkit/proc"
)

const (
	costTopics = 20          // of manyEach partitions
	costTime   = time.Minute // of a trickle
)

// costs is what a trickle over many partitions made of an archive.
type costs struct {
	Contender  string  `json:"contender"`
	Partitions int     `json:"partitions"`
	Seconds    float64 `json:"seconds"`
	Records    int     `json:"records"`
	Objects    int     `json:"objects"` // stored in that time
	Bytes      int64   `json:"bytes"`   // in them
	CPU        float64 `json:"cpu_share_of_a_core"`
	PeakRSS    int64   `json:"peak_rss_bytes"`
}

func (c costs) String() string {
	return fmt.Sprintf("%d objects (%s) of %d records from %d partitions in %.0f s; %.1f %% of a core; peak %s",
		c.Objects, megabytes(c.Bytes), c.Records, c.Partitions, c.Seconds, 100*c.CPU, megabytes(c.PeakRSS))
}

// runCost counts the objects that a trickle over 1,000 partitions makes of an archive with its default settings.
func (b *bench) runCost(ctx context.Context, f flags, report *report) (err error) {
	if !slices.Contains(f.only, teeName) {
		return nil
	}
	c := contenders[0]
	c.name = teeName
	if c.binary, err = b.program(ctx, c.source); err != nil {
		return err
	}
	for i := range f.repeat {
		seen, err := b.cost(ctx, c, fmt.Sprintf("cost-%d", i), max(1, int(math.Round(costTopics*f.scale))))
		if err != nil {
			return err
		}
		say("%s: %s", costJob, seen)
		report.Costs = append(report.Costs, seen)
	}
	return nil
}

func (b *bench) cost(ctx context.Context, c contender, prefix string, count int) (seen costs, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, runPatience, fmt.Errorf("not done after %s", runPatience))
	defer cancel()
	seen = costs{Contender: c.name, Partitions: count * manyEach}
	t, err := b.newTask(c, prefix+".*", "none", false)
	if err != nil {
		return seen, err
	}
	if err := os.Mkdir(folderOf(t), 0o755); err != nil {
		return seen, err
	}
	var topics, remotes []string
	for n := range count {
		topics = append(topics, fmt.Sprintf("%s-%02d", prefix, n))
		remotes = append(remotes, t.alias+"."+topics[n])
	}
	if err := b.a.createMany(ctx, topics); err != nil {
		return seen, err
	}
	writer, err := b.a.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return seen, err
	}
	defer writer.Close()
	w := manyWriter{client: writer, topics: topics}
	if err := w.write(ctx, seen.Partitions); err != nil {
		return seen, err
	}
	if err := t.writeConfig("archive.enabled = true\narchive.url = file://" + folderOf(t) + "\n"); err != nil {
		return seen, err
	}
	p, err := proc.Start(t.logTo, c.binary, t.config)
	if err != nil {
		return seen, err
	}
	defer p.Kill()
	if err := seen.watch(ctx, b.b, &w, remotes, folderOf(t), p); err != nil {
		return seen, fmt.Errorf("%w\nthe end of its log:\n%s", err, p.LogTail(40))
	}
	return seen, errors.Join(b.a.deleteMany(ctx, topics), b.b.deleteMany(ctx, remotes))
}

// watch counts what is stored from when all partitions have been copied and archived once until the minute is over and the process,
// asked to stop, has stored the rest.
func (c *costs) watch(ctx context.Context, target *cluster, w *manyWriter, remotes []string, dir string, p *proc.Process) error {
	if err := target.holdsAll(ctx, remotes, w.sent, p); err != nil {
		return err
	}
	before, err := archiveHolds(ctx, dir, w.sent, p)
	if err != nil {
		return err
	}
	sent, start := w.sent, time.Now()
	if c.CPU, err = share(ctx, p, func(ctx context.Context) error { return w.trickle(ctx, costTime) }); err != nil {
		return err
	}
	c.Records, c.Seconds = w.sent-sent, time.Since(start).Seconds()
	if c.PeakRSS, err = p.PeakRSS(); err != nil {
		return err
	}
	if err := target.holdsAll(ctx, remotes, w.sent, p); err != nil {
		return err
	}
	if err := p.Stop(stopPatience); errors.Is(err, proc.ErrKilled) {
		say("%s did not stop within %s of SIGTERM and was killed", c.Contender, stopPatience)
	}
	after, err := readArchive(ctx, dir)
	if err != nil {
		return err
	}
	if after.records != int64(w.sent) {
		return fmt.Errorf("%d records are archived instead of %d", after.records, w.sent)
	}
	c.Objects, c.Bytes = after.objects-before.objects, after.bytes-before.bytes
	return nil
}

// archiveHolds returns when so many records are archived.
func archiveHolds(ctx context.Context, dir string, records int, p *proc.Process) (held, error) {
	tick := time.NewTicker(10 * pollInterval)
	defer tick.Stop()
	for {
		found, err := readArchive(ctx, dir)
		if err != nil || found.records >= int64(records) {
			return found, err
		}
		select {
		case <-tick.C:
		case <-p.Done():
			return found, p.ExitedWith()
		case <-ctx.Done():
			return found, fmt.Errorf("%d of %d records are archived: %w", found.records, records, context.Cause(ctx))
		}
	}
}
