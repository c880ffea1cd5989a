package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
)

const (
	recoveryJob   = "recovery"
	recoveryRuns  = 3    // of everything but the restores, which run once; --repeat multiplies both
	recoveryRate  = 5000 // records a second of the steady load
	recoveryBytes = 512
	recoveryRoom  = 1 << 30 // bytes of a topic that is restored; these two are scaled

	loadTopic   = "load"
	gonePattern = "gone-.*"

	shortFlush, longFlush = time.Second, 10 * time.Second // of the two archives; the second is the default
)

// recovering is what the parts of the job share. Two flows read the same source at the same time, each with an archive of its own,
// so that one loss is seen at both settings.
type recovering struct {
	*bench
	runs   int
	rate   int
	groups []int // sizes of the sets of groups that are moved
	room   int64

	mirror, failover, archive string // programs
	long, short               *mirrored
	ledger                    *ledger // of the load that was started last
	seen                      *report
}

// runRecovery loses things and measures what is gone, and how long it takes until it is back.
func (b *bench) runRecovery(ctx context.Context, f flags, report *report) (err error) {
	own := *b
	for _, c := range []**cluster{&own.a, &own.b} {
		// A client of the bench asks for topics that it does not know only now and then, and later versions name topics by id.
		client, err := (*c).newClient(kgo.MetadataMinAge(pollInterval), kgo.MaxVersions(kversion.V4_0_0()))
		if err != nil {
			return err
		}
		defer client.Close()
		*c = &cluster{kafka: (*c).kafka, client: client}
	}
	r := &recovering{bench: &own, runs: recoveryRuns * f.repeat, rate: max(200, int(recoveryRate*f.scale)),
		room: int64(recoveryRoom * f.scale), groups: []int{10, 100, 1000}, ledger: &ledger{}, seen: report}
	for _, p := range []struct {
		to     *string
		source string
	}{{&r.mirror, "./cmd/mirror"}, {&r.failover, "./cmd/failover"}, {&r.archive, "./cmd/archive"}} {
		if *p.to, err = b.program(ctx, p.source); err != nil {
			return err
		}
	}
	if err := b.a.createTopic(ctx, loadTopic); err != nil {
		return err
	}
	if r.long, err = r.newMirrored("long", loadTopic+","+gonePattern, longFlush); err != nil {
		return err
	}
	if r.short, err = r.newMirrored("short", loadTopic, shortFlush); err != nil {
		return err
	}
	defer r.long.kill()
	defer r.short.kill()
	for _, step := range []struct {
		name string
		run  func(context.Context, flags) error
	}{
		{"sites lost", r.loseSites}, {"failovers", r.failovers}, {"processes lost", r.loseProcesses},
		{"restores", r.restores}, {"a topic deleted", r.deletions},
	} {
		begun := time.Now()
		if err := step.run(ctx, f); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		say("%s: %s took %.0f s", recoveryJob, step.name, time.Since(begun).Seconds())
	}
	return nil
}

// note keeps a figure and says it.
func (r *recovering) note(section, what, of, unit string, value float64) {
	say("%s: %s; %s, %s: %.4g %s", recoveryJob, section, what, of, value, unit)
	r.seen.Recovery = append(r.seen.Recovery, figure{Section: section, What: what, Case: of, Unit: unit, Value: value})
}

func (r *recovering) seconds(section, what, of string, d time.Duration) {
	r.note(section, what, of, "s", d.Seconds())
}

// startLoad writes to the topic of the steady load, and begins a new ledger.
func (r *recovering) startLoad() (*load, error) {
	r.ledger = &ledger{}
	return r.a.startLoad(loadTopic, r.rate, r.ledger)
}

// restartSource brings the killed broker back, on its data.
func (r *recovering) restartSource() error {
	if err := r.a.kafka.Restart(0); err != nil {
		return fmt.Errorf("start the source again: %w", err)
	}
	return nil
}

// caughtUp returns when a flow has copied all of the steady load that the source has. Nothing writes meanwhile.
func (r *recovering) caughtUp(ctx context.Context, m *mirrored) error {
	return until(ctx, m.alias+" to catch up", func() error {
		there, err := r.a.ends(ctx, loadTopic, partitions)
		if err != nil {
			return err
		}
		here, err := r.b.ends(ctx, m.remote(), partitions)
		if err == nil {
			for p := range there {
				if here[p] < there[p] {
					err = fmt.Errorf("%s/%d is at %d of %d", m.remote(), p, here[p], there[p])
				}
			}
		}
		return errors.Join(err, m.ended())
	})
}

// over is a reason for which a condition will never hold.
type over struct{ error }

// until waits for a condition; what is in its way last is told after runPatience.
func until(ctx context.Context, what string, holds func() error) error {
	patience := time.NewTimer(runPatience)
	defer patience.Stop()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := holds()
		if err == nil {
			return nil
		}
		if gone := (over{}); errors.As(err, &gone) {
			return fmt.Errorf("wait for %s: %w", what, err)
		}
		select {
		case <-tick.C:
		case <-patience.C:
			return fmt.Errorf("wait for %s, %s long: %w", what, runPatience, err)
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, errors.Join(context.Cause(ctx), err))
		}
	}
}

// newMirrored makes a flow with aliases of its own; with a flush interval it has an archive in a folder.
func (r *recovering) newMirrored(name, topics string, flush time.Duration) (*mirrored, error) {
	r.bench.runs++
	m := &mirrored{
		alias: fmt.Sprintf("%s%d", name, r.bench.runs), program: r.mirror,
		dir: filepath.Join(r.dir, fmt.Sprintf("run-%d-%s", r.bench.runs, name)),
	}
	m.config, m.folder = filepath.Join(m.dir, "mm2.properties"), filepath.Join(m.dir, "archive")
	if err := os.MkdirAll(m.folder, 0o755); err != nil {
		return nil, err
	}
	more := ""
	if flush > 0 {
		more = fmt.Sprintf("archive.enabled = true\narchive.url = file://%s\narchive.flush.interval.ms = %d\n", m.folder, flush.Milliseconds())
	}
	return m, m.write(r.a.kafka.Bootstrap, r.b.kafka.Bootstrap, topics, true, more)
}
