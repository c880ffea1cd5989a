package main

import (
	"context"
	"errors"
	"fmt"

	"tandem/internal/kafka"
	"tandem/internal/replicate"
	"tandem/internal/replicate/position"
	"tandem/internal/stream"
)

// Where both directions keep topic names (IdentityReplicationPolicy), only the producer ids of the opposite flow tell which
// records of the source are its own copies. The opposite flow notes every id on our source before it writes with it.

// origins are the producer ids whose records are not sent back; nil where names tell.
func (f *flow) origins() *replicate.Origins {
	if !f.conf.TwoWay {
		return nil
	}
	opposite := f.conf.Reverse()
	store := position.NewAnchorStore(f.clients.source, tandemTopic(opposite), opposite)
	return replicate.NewOrigins(func(ctx context.Context) ([]int64, error) {
		noted, err := store.Load(ctx)
		if errors.Is(err, kafka.ErrUnknownTopic) {
			return nil, nil // it has never written
		}
		return noted.Origins, err
	})
}

// known refuses to go on without the ids that this flow has written with: the opposite flow would take its records for those
// of local producers, and send them back.
func (r *replication) knownOrigin(remembered position.Anchors, noted map[stream.Partition]stream.Upstream) error {
	if !r.conf.TwoWay || remembered.Producer != nil || len(noted) == 0 {
		return nil
	}
	return cannotRun{fmt.Errorf("flow %s: both directions keep topic names, and what tells this flow's records on %s from others is gone (topic %s; positions in %s say that it has run): "+
		"%s would send them back. Disable one direction, or use DefaultReplicationPolicy", r.conf.Flow, r.conf.Target, tandemTopic(r.conf.Flow), r.conf.OffsetsTopic, r.conf.Reverse())}
}
