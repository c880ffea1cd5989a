package main

import (
	"context"
	"errors"
	"fmt"

	"tandem/internal/checkpoint"
	"tandem/internal/failover"
	"tandem/internal/kafka"
	"tandem/internal/offsetsync"
	"tandem/internal/placing"
	"tandem/internal/replicate/position"
	"tandem/internal/stream"
)

// mapBytes is how much of the maps is kept in memory: a plan asks for places all over them, once each.
const mapBytes = 256 << 20

// noted is what the target of a flow has noted of it.
type noted struct {
	there    bool // the topic exists
	offsets  *offsetsync.Map
	known    *checkpoint.Known
	records  failover.Records
	anchors  map[stream.Partition]*placing.Anchor
	origins  []int64 // producer ids with which the flow has ever written
	warnings []string
}

// readNoted reads the topic of a flow on its target; of the plan whole, with what its groups had before. Where there is no topic,
// nothing is known.
func readNoted(ctx context.Context, admin *kafka.Admin, flow stream.Flow, whole string) (*noted, error) {
	topic := stream.TandemTopic(flow.Source)
	n := &noted{offsets: offsetsync.NewMap(mapBytes, offsetsync.Topic{Log: admin, Name: topic, Gone: kafka.Gone}), known: checkpoint.NewKnown(), records: failover.Records{Whole: whole}}
	err := admin.ReadAll(ctx, topic, false, func(r stream.Record) error {
		if err := n.offsets.Load(r); err != nil {
			return fmt.Errorf("map of offsets: %w", err)
		}
		if err := n.known.TakeTandem(r); err != nil {
			n.warnings = append(n.warnings, fmt.Sprintf("%s: %v", topic, err))
		}
		return n.records.Load(r)
	})
	if errors.Is(err, kafka.ErrUnknownTopic) {
		return n, nil
	}
	if n.there = err == nil; err != nil {
		return n, err
	}
	return n, n.readAnchors(ctx, admin, flow)
}

// readAnchors reads the topic again for what is noted beside the map. A damaged one is left aside with all others: the map
// does without.
func (n *noted) readAnchors(ctx context.Context, admin *kafka.Admin, flow stream.Flow) error {
	topic := stream.TandemTopic(flow.Source)
	found, err := position.NewAnchorStore(admin, topic, flow).Load(ctx)
	if err != nil {
		if kafka.Classify(err) != kafka.Other {
			return err
		}
		n.warnings = append(n.warnings, fmt.Sprintf("%s: %v", topic, err))
		return nil
	}
	n.origins, n.anchors = found.Origins, make(map[stream.Partition]*placing.Anchor, len(found.Partitions))
	for remote, a := range found.Partitions {
		n.anchors[remote] = &placing.Anchor{Topic: a.Source, Next: a.NextUp, Down: a.NextDown}
	}
	return nil
}

// readCheckpoints adds the checkpoints of the flow, from its target.
func (n *noted) readCheckpoints(ctx context.Context, admin *kafka.Admin, topic string) error {
	err := admin.ReadAll(ctx, topic, false, func(r stream.Record) error {
		if err := n.known.TakeCheckpoint(r); err != nil {
			n.warnings = append(n.warnings, fmt.Sprintf("%s: %v", topic, err))
		}
		return nil
	})
	if errors.Is(err, kafka.ErrUnknownTopic) {
		return nil
	}
	return err
}

// readSyncs reads MM2's offset syncs, which tell of what was mirrored before Tandem. One that cannot be read is passed over, as
// MM2 does.
func readSyncs(ctx context.Context, admin *kafka.Admin, topic string) (*offsetsync.Store, error) {
	store, err := offsetsync.ReadStore(func(each func(stream.Record) error) error { return admin.ReadAll(ctx, topic, false, each) })
	if errors.Is(err, kafka.ErrUnknownTopic) {
		return nil, nil
	}
	return store, err
}
