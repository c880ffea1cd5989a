package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"tandem/internal/testkit/proc"
)

// ranOnce is what was seen of a process that does one thing and ends.
type ranOnce struct {
	total, toFirst, wall time.Duration // start to end; start to first record on the target, and from there to the last
	cpu                  time.Duration
	peak                 int64
}

// watched is a topic whose records are counted as they arrive; without a name none are.
type watched struct {
	topic               string
	partitions, records int
}

// runOnce runs a command to its end, which may write a job's topic.
func (b *bench) runOnce(ctx context.Context, dir, topic string, records int, command string, args ...string) (r ranOnce, err error) {
	return b.runWatched(ctx, dir, watched{topic, partitions, records}, command, args...)
}

// runWatched runs a command to its end. Where it writes records into a topic, their arrival is watched: b's client is not good for
// that, as it asks for a topic that it does not know only now and then.
func (b *bench) runWatched(ctx context.Context, dir string, what watched, command string, args ...string) (r ranOnce, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, runPatience, fmt.Errorf("not done after %s", runPatience))
	defer cancel()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return r, err
	}
	var watch *cluster
	if what.topic != "" {
		client, err := b.b.newClient(kgo.MetadataMinAge(pollInterval))
		if err != nil {
			return r, err
		}
		defer client.Close()
		watch = &cluster{kafka: b.b.kafka, client: client}
	}
	start := time.Now()
	p, err := proc.Start(filepath.Join(dir, "log"), command, args...)
	if err != nil {
		return r, err
	}
	defer p.Kill()
	peak := watchPeak(p)
	if err = r.watch(ctx, watch, what, p, start); err == nil {
		r.total, r.cpu, r.peak = time.Since(start), p.TotalCPU(), peak()
		err = p.Stop(stopPatience) // it has ended: this is how it did
	}
	if err != nil {
		return r, fmt.Errorf("%s %s: %w\nthe end of its log:\n%s", filepath.Base(command), strings.Join(args[:1], ""), err, p.LogTail(40))
	}
	return r, nil
}

// watch notes when the first and the last record arrive, and returns when the process has ended.
func (r *ranOnce) watch(ctx context.Context, target *cluster, what watched, p *proc.Process, start time.Time) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for all, ended := target == nil, false; !all || !ended; {
		if !ended {
			select {
			case <-p.Done():
				ended = true
			case <-tick.C:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if all {
			continue
		}
		ends, err := target.ends(ctx, what.topic, what.partitions)
		now := time.Since(start)
		if err != nil && ctx.Err() == nil && !kerr.IsRetriable(err) {
			return err
		}
		var sum int64
		for _, end := range ends {
			sum += end
		}
		if sum > 0 && r.toFirst == 0 {
			r.toFirst = now
		}
		if all = sum >= int64(what.records); all {
			r.wall = now - r.toFirst
		}
		if ended && !all {
			return fmt.Errorf("it ended with %d of %d records written: %w", sum, what.records, errors.Join(err, p.ExitedWith()))
		}
	}
	return nil
}

// stored is how much lies in a folder.
func stored(dir string) (bytes int64, files int, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it was being written
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		bytes, files = bytes+info.Size(), files+1
		return nil
	})
	return bytes, files, err
}
