package main

import (
	"context"
	"errors"
	"fmt"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/restore"
	"tandem/internal/archive/store"
	"tandem/internal/stream"
)

// copyAll copies until everything is on the target. A chunk that cannot be read ends it, or is noted and left out (--allow-holes).
func (r *restoring) copyAll(ctx context.Context, limits map[string]int32) (map[stream.Partition]*restore.Log, *copied, error) {
	for {
		logs, err := r.plan.Logs(r.state, r.chunks)
		if err != nil {
			return nil, nil, stuckOn("%w; delete what it has written and begin anew with --again", err)
		}
		for _, lost := range r.ledger.Lost {
			logs[stream.Partition{Topic: lost.Topic, Number: lost.Partition}].Lose(lost.Object, lost.Chunk)
		}
		done, err := r.copy(ctx, logs, limits)
		chunk := (*bundle.ChunkError)(nil)
		switch {
		case err == nil:
			return logs, done, nil
		case !errors.As(err, &chunk) || !gone(err):
			return nil, nil, err
		case !r.flags.holes:
			return nil, nil, refused{fmt.Errorf("%w; archive verify says more, --allow-holes goes on without these records", err)}
		}
		if err := r.leaveOut(ctx, logs, chunk); err != nil {
			return nil, nil, err
		}
	}
}

// gone says that no waiting brings a chunk back.
func gone(err error) bool {
	if errors.Is(err, bundle.ErrCorrupt) || errors.Is(err, bundle.ErrNewer) || errors.Is(err, bundle.ErrName) {
		return true
	}
	kind := store.Classify(err)
	return kind == store.NotFound || kind == store.Short
}

// leaveOut notes a chunk that cannot be read. If some of its records are on the target already, from a time when it could, they cannot be
// told from those that follow.
func (r *restoring) leaveOut(ctx context.Context, logs map[stream.Partition]*restore.Log, chunk *bundle.ChunkError) error {
	at := stream.Partition{Topic: chunk.Topic.Name, Number: chunk.Partition}
	remote := at
	for _, t := range r.plan.Topics {
		if t.Name == at.Topic {
			remote.Topic = t.To
		}
	}
	ends, err := r.ends(ctx, []stream.Partition{remote})
	if err != nil {
		return err
	}
	before, err := logs[at].Below(ctx, chunk.First)
	if err != nil {
		return refused{err}
	}
	for _, b := range r.ledger.Begun.Bases {
		if b.Topic == remote.Topic && b.Partition == remote.Number && ends[remote]-int64(b.Offset) > before {
			return stuckOn("%w; records of it are on the target already: delete %s and begin anew with --again", chunk, remote.Topic)
		}
	}
	r.say("left out: %v", chunk)
	return r.ledger.AddLost(ctx, restore.Lost{
		Object: chunk.Object, Chunk: chunk.Chunk, Topic: at.Topic, Partition: at.Number, From: chunk.First, To: chunk.Next, Why: chunk.Err.Error(),
	})
}
