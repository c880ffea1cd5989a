package main

import (
	"context"
	"errors"
	"io"
	"runtime/debug"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"tandem/internal/cli"
	"tandem/internal/config"
	"tandem/internal/kafka"
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
	level := zap.NewAtomicLevel()
	log, err := newLogger(logTo, opts.logFormat, level)
	if err != nil {
		return err
	}
	defer func() { _ = log.Sync() }() // standard error is not always a file that can be synced
	conf, err := config.Load(path, opts.clusters)
	if err == nil {
		level.SetLevel(levelNamed(conf.LogLevel))
	}
	for _, w := range conf.Warnings { // with an error, too: a key that is spelt wrong is often its cause
		log.Warn(w.String())
	}
	if err != nil {
		return cannotRun{err}
	}
	if conf.Instance == "" {
		var release func()
		conf.Instance, release = kafka.InstanceSlot(path)
		defer release()
	}
	names := make([]string, len(conf.Flows))
	for i, f := range conf.Flows {
		names[i] = f.Flow.String()
	}
	log.Info("mirror starts", zap.String("version", cli.Current(version).Version), zap.String("file", path), zap.String("instance", conf.Instance),
		zap.Strings("flows", names))
	p := newProcess(conf, reporter(log), nil)
	p.reloader = &reloader{path: path, targets: opts.clusters, level: level, report: p.report, started: conf, applied: conf, flows: p.flows}
	err = p.run(ctx)
	if err == nil {
		log.Info("mirror stopped")
	}
	return err
}

// process is all flows of a configuration, and what they share.
type process struct {
	conf     *config.Config
	report   stream.Report
	budget   *replicate.Budget
	board    *board
	flows    []*flow
	reloader *reloader // nil: the configuration is not from a file
}

// newProcess makes the flows; nothing runs yet. acked, if given, hears of every acknowledged batch.
func newProcess(conf *config.Config, report stream.Report, acked func(stream.Flow, stream.Ack)) *process {
	budget := replicate.NewBudget(conf.MemoryBytes)
	all := &exactMaps{byFlow: make(map[stream.Flow]*offsetsync.Map)}
	p := &process{conf: conf, report: report, budget: budget, board: newBoard(conf, budget, all)}
	for _, c := range conf.Flows {
		f := &flow{
			budget: budget, report: report, observe: acked, board: p.board, maps: all, process: conf.Instance,
			mapRoom: conf.OffsetMapBytes / int64(len(conf.Flows)), throttle: replicate.NewThrottle(),
		}
		f.settings.Store(&c)
		if conf.Path != "" {
			f.rehearsal = p.board.rehearsal
		}
		f.throttled()
		p.flows = append(p.flows, f)
	}
	p.board.flows = p.flows
	return p
}

// run runs the flows beside each other; one that cannot run ends all.
func (p *process) run(ctx context.Context) error {
	for _, f := range p.flows {
		if err := f.open(); err != nil {
			return err
		}
	}
	if p.reloader != nil {
		if err := drillsCanRun(p.conf); err != nil {
			return err
		}
	}
	p.board.reloader = p.reloader
	server, err := openStatus(p.conf, p.board, p.report)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		boundHeap(ctx, p.conf, p.board)
		return nil
	})
	if p.reloader != nil {
		if server != nil {
			server.Handle("/api/log-level", levelAt(p.reloader.level, p.report))
			server.Reload(func(ctx context.Context, dry bool) (any, error) { return p.reloader.reload(ctx, dry) })
		}
		group.Go(func() error {
			p.reloader.onHangup(ctx)
			return nil
		})
		group.Go(func() error {
			p.reloader.followCredentials(ctx)
			return nil
		})
	}
	if server != nil {
		group.Go(func() error { return server.Run(ctx) })
	}
	for _, f := range p.flows {
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
