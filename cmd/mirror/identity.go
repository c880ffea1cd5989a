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
	if !f.conf().TwoWay {
		return nil
	}
	f.noted = &registry{log: f.clients.source, topic: stream.TandemTopic(f.conf().Reverse().Source)}
	return replicate.NewOrigins(f.oppositeIDs)
}

// oppositeIDs are the producer ids of the opposite flow. That there are none has to mean that it has never written.
func (f *flow) oppositeIDs(ctx context.Context) ([]int64, error) {
	ids, written, err := f.noted.load(ctx)
	if err != nil || len(ids) > 0 {
		return ids, err
	}
	opposite, topic := f.conf().Reverse(), f.conf().Opposite.OffsetsTopic
	positions, err := position.New(f.clients.source, topic, 1, opposite).Load(ctx)
	if err != nil && !errors.Is(err, kafka.ErrUnknownTopic) {
		return nil, err
	}
	if written || len(positions) > 0 {
		return nil, unknownOrigin{opposite, topic}
	}
	return nil, nil
}

// knownOrigins refuses to run without the ids that either flow has written with: the other one would take its records for
// those of local producers, and send them back.
func (r *replication) knownOrigins(ctx context.Context, remembered position.Anchors, noted map[stream.Partition]stream.Upstream) error {
	if !r.conf().TwoWay {
		return nil
	}
	if remembered.Producer == nil && len(noted)+len(remembered.Partitions) > 0 {
		return cannotRun{unknownOrigin{r.conf().Flow, r.conf().OffsetsTopic}}
	}
	_, err := r.oppositeIDs(ctx)
	if errors.As(err, &unknownOrigin{}) {
		return cannotRun{err}
	}
	return err
}

// unknownOrigin is a flow of a two-way pair that has written with ids that nobody knows any more.
type unknownOrigin struct {
	flow      stream.Flow
	positions string // topic
}

func (u unknownOrigin) Error() string {
	return fmt.Sprintf("flow %s: both directions keep topic names, and what tells this flow's records on %s from others is gone (topic %s; positions in %s say that it has run): "+
		"%s would send them back. Disable one direction, or use DefaultReplicationPolicy", u.flow, u.flow.Target, stream.TandemTopic(u.flow.Source), u.positions, u.flow.Reverse())
}
