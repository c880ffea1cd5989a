package main

import (
	"context"
	"errors"
	"fmt"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	"tandem/internal/archive/restore"
	"tandem/internal/kafka"
	"tandem/internal/offsetsync"
	"tandem/internal/stream"
)

// What the target lacks (--missing-only): a partition that mirror has filled, or an earlier restore, ends at a target offset; the offset
// map says which source offset is the next. It stands in Tandem's topic on the target, and in the archive.

// planMissing makes the plan anew, of what stands behind the ends of partitions that are there.
func (r *restoring) planMissing(ctx context.Context) error {
	there, err := r.target.admin.Topics(ctx)
	if err != nil {
		return reason("cluster "+r.flags.to, err)
	}
	partitions := make(map[string]int32, len(there))
	for _, t := range there {
		partitions[t.Name] = t.Partitions
	}
	sources := make(map[stream.Partition]stream.Partition) // by target partition
	var remotes []stream.Partition
	for _, t := range r.plan.Topics {
		for _, p := range t.Parts {
			if remote := (stream.Partition{Topic: t.To, Number: p.Number}); p.Number < partitions[t.To] {
				sources[remote] = stream.Partition{Topic: t.Name, Number: p.Number}
				remotes = append(remotes, remote)
			}
		}
	}
	ends, err := r.ends(ctx, remotes)
	if err != nil {
		return err
	}
	next, err := r.nextSources(ctx, sources, ends)
	if err != nil {
		return err
	}
	r.asks.After = make(map[stream.Partition]stream.Upstream)
	var noted []restore.Base
	for _, remote := range remotes {
		up, ok := next[remote]
		if !ok && ends[remote] > 0 {
			return refused{fmt.Errorf("%s ends at offset %d, and neither mm2-tandem.%s.internal on %s nor the archive says exactly which record of %s is the next; leave the topic out",
				remote, ends[remote], r.open.flow.Source, r.flags.to, sources[remote])}
		}
		r.asks.After[sources[remote]] = up
		noted = append(noted, restore.Base{Topic: remote.Topic, Partition: remote.Number, Offset: stream.Downstream(ends[remote])})
	}
	if r.plan, err = restore.Make(r.state, r.asks); err != nil {
		return refused{err}
	}
	for _, t := range r.plan.Topics {
		for _, p := range t.Parts {
			at := stream.Partition{Topic: t.Name, Number: p.Number}
			if from, ok := r.asks.After[at]; ok && from > 0 && p.From > from && !r.flags.holes {
				return refused{fmt.Errorf("%s goes on at offset %d on %s, and the archive has it from %d on; --allow-holes restores the rest", at, from, r.flags.to, p.From)}
			}
		}
	}
	r.plan.Missing, r.plan.Ends = true, noted
	return nil
}

// nextSources are the source offsets that come behind the ends of target partitions, where they are known exactly.
func (r *restoring) nextSources(ctx context.Context, sources map[stream.Partition]stream.Partition, ends map[stream.Partition]int64) (map[stream.Partition]stream.Upstream, error) {
	next := make(map[stream.Partition]stream.Upstream)
	offsets := offsetsync.NewMap(1<<20, nil)
	topic := stream.TandemTopic(r.open.flow.Source)
	err := r.target.admin.ReadAll(ctx, topic, false, offsets.Load)
	if err != nil && !errors.Is(err, kafka.ErrUnknownTopic) {
		return nil, reason("read "+topic+" of "+r.flags.to, err)
	}
	rest := make(map[stream.Partition]stream.Partition)
	for remote, source := range sources {
		up, down, ok := offsets.Covered(remote)
		if ok && int64(down) == ends[remote] {
			next[remote] = up
		} else if ends[remote] > 0 {
			rest[remote] = source
		}
	}
	if len(rest) == 0 {
		return next, nil
	}
	return next, r.nextByRuns(ctx, rest, ends, next)
}

// nextByRuns looks for the rest in the archive's own copy of the map: the run that was seen last with an end of the target in it.
func (r *restoring) nextByRuns(ctx context.Context, sources map[stream.Partition]stream.Partition, ends map[stream.Partition]int64,
	next map[stream.Partition]stream.Upstream) error {
	objects, _, err := catalog.List(ctx, r.open.store, r.open.flow.Source)
	if err != nil {
		return fmt.Errorf("read archive: %w", err)
	}
	lives := make(map[string]bundle.Topic)
	for _, l := range r.state.Lives {
		lives[l.Topic.Name] = l.Topic
	}
	err = catalog.Walk(ctx, r.open.store, objects, r.open.options(r.show, "looking for the offset map"), func(_ catalog.Object, f *bundle.Footer, err error) error {
		if err != nil {
			return nil //nolint:nilerr // a damaged bundle is told with the plan; what it said of the map is looked for elsewhere
		}
		for _, e := range f.Events {
			runs, ok := e.Body.(bundle.Runs)
			if !ok || sources[runs.Remote] != (stream.Partition{Topic: runs.Source.Name, Number: runs.Partition}) || runs.Source.ID != lives[runs.Source.Name].ID {
				continue
			}
			for _, run := range runs.Runs {
				switch end := stream.Downstream(ends[runs.Remote]); {
				case run.Down <= end && end <= run.Down+stream.Downstream(run.Count):
					next[runs.Remote] = run.Up + stream.Upstream(end-run.Down)
				case run.Down < end: // the target was filled once more, from before there: what was seen before does not count
					delete(next, runs.Remote)
				}
			}
		}
		return nil
	})
	r.show.Clear()
	if err != nil {
		return fmt.Errorf("read archive: %w", err)
	}
	return nil
}
