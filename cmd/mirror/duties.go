package main

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"tandem/internal/checkpoint"
	"tandem/internal/stream"
)

// keepDuties does what is done once for the flow, for as long as it falls to this process.
func (r *replication) keepDuties(ctx context.Context) error {
	for {
		if err := r.hold.await(ctx); err != nil {
			return nil //nolint:nilerr // ctx has ended: duties have no other end
		}
		err := r.duties(ctx)
		r.hold.rested()
		if err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// duties returns when they fall to another process, or settings have changed.
func (r *replication) duties(ctx context.Context) error {
	ctx, over := context.WithCancel(ctx)
	defer over()
	group, ctx := errgroup.WithContext(ctx)
	renewed := r.renewed.wait()
	ended := func() error {
		if err := group.Wait(); !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	}
	group.Go(func() error {
		defer over()
		r.hold.awaitEnd(ctx, renewed)
		return nil
	})
	if r.conf().Heartbeats { // they need no source
		group.Go(func() error { return r.heartbeats(ctx) })
	}
	if err := r.persist(ctx, "refresh topics", r.refresh); err != nil {
		return ended()
	}
	var known *checkpoint.Known
	err := r.persist(ctx, "read what is known of the source", func(ctx context.Context) (err error) {
		known, err = r.loadKnown(ctx)
		return err
	})
	if err != nil {
		return ended()
	}
	group.Go(func() error { return r.syncConfigs(ctx) })
	group.Go(func() error { return r.syncACLs(ctx, r.conf().SyncACLs) })
	group.Go(func() error { return r.keepEnds(ctx, known) })
	if r.conf().Checkpoints.Enabled {
		group.Go(func() error { return r.keepGroups(ctx, known) })
	}
	return ended()
}

// syncConfigs carries topic configs over, at once and at each interval.
func (r *replication) syncConfigs(ctx context.Context) error {
	if r.conf().SyncConfigs <= 0 {
		<-ctx.Done()
		return nil
	}
	if err := r.persist(ctx, "sync topic configs", r.keeper.SyncConfigs); err != nil {
		return nil //nolint:nilerr // ctx has ended: duties have no other end
	}
	return r.every(ctx, r.conf().SyncConfigs, "sync topic configs", r.keeper.SyncConfigs)
}

// every does a duty at each interval; a failure is tried again until it succeeds.
func (r *replication) every(ctx context.Context, interval time.Duration, what string, duty func(context.Context) error) error {
	return r.everyOr(ctx, interval, nil, what, duty)
}

// A duty that was asked for is done at once, and again after pauses that double: a topic that was deleted is often made
// anew soon.
const (
	askedFirst = time.Second
	askedLast  = time.Minute
)

// everyOr does a duty at each interval and when it is asked for.
func (r *replication) everyOr(ctx context.Context, interval time.Duration, asked <-chan struct{}, what string, duty func(context.Context) error) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	var again <-chan time.Time
	pause := askedFirst
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-asked:
			if again != nil && pause <= 2*askedFirst { // it was done a moment ago, and will be in a moment
				continue
			}
			pause = askedFirst
			again = time.After(pause)
		case <-again:
			if pause *= 2; pause <= askedLast {
				again = time.After(pause)
			} else {
				again = nil
			}
		}
		if err := r.persist(ctx, what, duty); err != nil {
			return nil // ctx has ended: duties have no other end
		}
	}
}

// anchorEvery bounds how many records a start after a kill has to read again only to count them.
const anchorEvery = 5 * time.Second

// keepPositions writes anchors often and MM2's positions in MM2's rhythm.
func (r *replication) keepPositions(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return r.every(ctx, anchorEvery, "write anchors", func(ctx context.Context) error {
			if err := r.offsets.store(ctx); err != nil {
				return err
			}
			return r.flushAnchors(ctx)
		})
	})
	group.Go(func() error {
		return r.every(ctx, r.conf().FlushInterval, "write positions", func(ctx context.Context) error {
			if r.syncs != nil {
				r.syncs.promote()
			}
			return r.flushPositions(ctx)
		})
	})
	return group.Wait()
}

// keepOffsets counts what the map lacks, and drops what it no longer needs.
func (r *replication) keepOffsets(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return r.offsets.count(ctx) })
	group.Go(func() error {
		return r.every(ctx, trimEvery, "shorten the offset map", func(ctx context.Context) error { return r.offsets.trim(ctx, r.pipe) })
	})
	return group.Wait()
}

// finish writes what is known when the pipe has stopped.
func (r *replication) finish(within time.Duration) {
	if r.pipe == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if err := r.flush(ctx); err != nil {
		r.tell(stream.Warn, "stopped without writing the last positions; the next start finds the place from the target itself", stream.F("error", err))
	}
}
