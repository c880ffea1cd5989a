package main

import (
	"context"
	"errors"
	"io"
	"runtime/debug"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sync/errgroup"

	"tandem/internal/cli"
	"tandem/internal/config"
	"tandem/internal/offsetsync"
	"tandem/internal/replicate"
	"tandem/internal/stream"
)

type mirrorOptions struct {
	clusters  []string
	logFormat string
}

// mirror runs all flows of a file until ctx ends.
func mirror(ctx context.Context, logTo io.Writer, path string, opts mirrorOptions) error {
	log, err := newLogger(logTo, opts.logFormat, zapcore.InfoLevel)
	if err != nil {
		return err
	}
	defer func() { _ = log.Sync() }() // standard error is not always a file that can be synced
	conf, err := config.Load(path, opts.clusters)
	if err != nil {
		return cannotRun{err}
	}
	for _, w := range conf.Warnings {
		log.Warn(w.String())
	}
	names := make([]string, len(conf.Flows))
	for i, f := range conf.Flows {
		names[i] = f.Flow.String()
	}
	log.Info("mirror starts", zap.String("version", cli.Current(version).Version), zap.String("file", path), zap.Strings("flows", names))
	err = runFlows(ctx, conf, reporter(log), nil)
	if err == nil {
		log.Info("mirror stopped")
	}
	return err
}

// runFlows runs the flows of a configuration beside each other; one that cannot run ends all. acked, if given, hears
// of every acknowledged batch.
func runFlows(ctx context.Context, conf *config.Config, report stream.Report, acked func(stream.Flow, stream.Ack)) error {
	budget := replicate.NewBudget(conf.MemoryBytes)
	all := &exactMaps{byFlow: make(map[stream.Flow]*offsetsync.Map)}
	b := newBoard(conf, budget, all)
	server, err := openStatus(conf, b, report)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		boundHeap(ctx, conf, b)
		return nil
	})
	if server != nil {
		group.Go(func() error { return server.Run(ctx) })
	}
	for _, c := range conf.Flows {
		f := &flow{conf: c, budget: budget, report: report, observe: acked, board: b, maps: all, mapRoom: conf.OffsetMapBytes / int64(len(conf.Flows))}
		group.Go(func() error {
			err := f.run(ctx)
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		})
	}
	return group.Wait()
}

// heapRoom is what the process needs beside the records on their way: connections, request buffers, metadata.
const heapRoom = 24 << 20

const (
	positionRoom   = 512 // bytes for one position of a group
	boundHeapEvery = 10 * time.Second
)

// boundHeap tells the garbage collector to work harder rather than let the heap grow far beyond what the settings allow and the
// groups need. A limit that the user has set in GOMEMLIMIT stays.
func boundHeap(ctx context.Context, conf *config.Config, b *board) {
	if limit := debug.SetMemoryLimit(-1); limit < 1<<62 {
		return
	}
	tick := time.NewTicker(boundHeapEvery)
	defer tick.Stop()
	for {
		debug.SetMemoryLimit(conf.MemoryBytes + conf.OffsetMapBytes + archiveMemory(conf) + heapRoom + positionRoom*b.positions())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
