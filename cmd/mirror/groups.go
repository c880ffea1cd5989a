package main

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"tandem/internal/checkpoint"
	"tandem/internal/kafka"
	"tandem/internal/offsetsync"
	"tandem/internal/replicate/topics"
	"tandem/internal/stream"
)

// keepGroups writes checkpoints, and the offsets of groups where the file says so. Trouble with it does not hold records up.
func (r *replication) keepGroups(ctx context.Context, known *checkpoint.Known) error {
	c := r.conf()
	topic := c.Policy.CheckpointsTopic(c.Source)
	err := r.persist(ctx, "create topic "+topic+" on "+c.Target, func(ctx context.Context) error {
		_, err := topics.EnsureCompacted(ctx, r.clients.target, topic, 1, c.Checkpoints.Factor)
		return err
	})
	if err != nil {
		return nil // ctx has ended: duties have no other end
	}
	r.both = newBothSides(r.flow, r.offsets.exact, r.opposite)
	keeper := checkpoint.New(checkpoint.Config{
		Flow: c.Flow, Source: r.clients.source, Target: r.clients.target, Log: r.clients.target,
		Translate: r.translate, Home: r.home, Durable: r.offsets.store, Away: r.failed.groups,
		Groups: c.Groups.Accepts, Topics: c.Topics.Replicates,
		CheckpointsTopic: topic, TandemTopic: r.tandemTopic(), Known: known,
		Interval: c.Checkpoints.Interval, Refresh: c.Checkpoints.Refresh, Sync: c.GroupSync.Interval,
		Report: r.report,
	})
	r.board.groups(c.Flow, keeper)
	defer r.board.groups(c.Flow, nil)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return keeper.Run(ctx) })
	if c.TwoWay {
		group.Go(func() error {
			return r.every(ctx, bothSidesEvery, "look how far both directions are", func(ctx context.Context) error {
				var sources []stream.Partition
				for _, a := range r.everything() {
					if c.Opposite.Topics.Replicates(a.Source.Topic) {
						sources = append(sources, a.Source)
					}
				}
				return r.both.watch(ctx, sources)
			})
		})
	}
	return group.Wait()
}

// translate finds an offset of the source on the target.
func (r *replication) translate(ctx context.Context, p stream.Partition, up stream.Upstream) (stream.Partition, stream.Translated, error) {
	if r.conf().TwoWay && r.conf().Opposite.Topics.Replicates(p.Topic) && r.conf().Policy.RemoteTopic(r.conf().Source, p.Topic) == p.Topic {
		t, err := r.both.translate(ctx, p, up)
		return p, t, err
	}
	return r.offsets.translate(ctx, p, up)
}

// exactMaps are the exact maps of the flows of this process.
type exactMaps struct {
	mu     sync.Mutex // guards byFlow
	byFlow map[stream.Flow]*offsetsync.Map
}

func (m *exactMaps) set(f stream.Flow, exact *offsetsync.Map) {
	m.mu.Lock()
	m.byFlow[f] = exact
	m.mu.Unlock()
}

func (m *exactMaps) of(f stream.Flow) *offsetsync.Map {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.byFlow[f]
}

// home finds an offset of a topic that came from the target where it came from, by the map of the opposite flow.
func (r *replication) home(ctx context.Context, p stream.Partition, up stream.Upstream) (stream.Partition, stream.Translated, bool, error) {
	c := r.conf()
	alias, remote := c.Policy.TopicSource(p.Topic)
	original, ok := c.Policy.UpstreamTopic(p.Topic)
	if !remote || !ok || alias != c.Target {
		return stream.Partition{}, stream.Translated{}, false, nil
	}
	exact, err := r.opposite.latest(ctx)
	if exact == nil || err != nil {
		return stream.Partition{}, stream.Translated{}, false, err
	}
	back, err := exact.Return(ctx, p, stream.Downstream(up))
	t := stream.Translated{Offset: stream.Downstream(back.Offset), Class: back.Class, Again: back.Again, Reason: back.Reason}
	return stream.Partition{Topic: original, Number: p.Number}, t, true, err
}

// opposite is the map of the opposite flow: that of this process, or what its process has stored on our source.
type opposite struct {
	flow stream.Flow // the opposite one
	maps *exactMaps
	log  *kafka.Admin // of our source, where the opposite flow keeps its map

	mu    sync.Mutex // guards what follows
	read  *offsetsync.Map
	next  int64 // offset to read on from
	asked time.Time
}

// oppositeEvery is how old the map of another process may be.
const oppositeEvery = 5 * time.Second

// latest is nil where there is no opposite flow.
func (o *opposite) latest(ctx context.Context) (*offsetsync.Map, error) {
	if exact := o.maps.of(o.flow); exact != nil {
		return exact, nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Since(o.asked) < oppositeEvery {
		return o.read, nil
	}
	topic := stream.TandemTopic(o.flow.Source)
	exact := o.read
	if exact == nil {
		exact = offsetsync.NewMap(oppositeBytes, offsetsync.Topic{Log: o.log, Name: topic, Gone: kafka.Gone})
	}
	next, err := o.log.ReadFrom(ctx, topic, 0, o.next, true, exact.Load)
	switch {
	case errors.Is(err, kafka.ErrUnknownTopic):
		o.asked, o.read, o.next = time.Now(), nil, 0
		return nil, nil
	case err != nil:
		return nil, err
	}
	o.asked, o.read, o.next = time.Now(), exact, next
	return exact, nil
}

// oppositeBytes is for segments of another process's map.
const oppositeBytes = 4 << 20

const (
	endsEvery = time.Second     // between two looks at where the source ends, as far as fetches tell
	endsAsked = 5 * time.Second // between two questions to the source
)

// keepEnds keeps on the target where the source ended when it was last seen, for the day on which it is gone.
func (r *replication) keepEnds(ctx context.Context, known *checkpoint.Known) error {
	ends := checkpoint.NewEnds(known)
	seen := known.Ends()
	var asked time.Time
	return r.every(ctx, endsEvery, "store the ends of the source", func(ctx context.Context) error {
		now := make(map[stream.Partition]stream.SourceEnd)
		var sources []stream.Partition
		for _, s := range r.pipe.Standings(ctx) {
			was := seen[s.Source]
			e := stream.SourceEnd{End: max(s.End, s.Acked), Acked: s.Acked, Newest: s.Newest, At: was.At}
			if e.End != was.End || was.At.IsZero() {
				e.At = time.Now()
			}
			now[s.Source] = e
			sources = append(sources, s.Source)
		}
		for _, a := range r.everything() { // what others copy, by what they have noted
			if _, ours := now[a.Source]; ours {
				continue
			}
			sources = append(sources, a.Source)
			if up, _, ok := r.offsets.exact.Covered(a.Remote); ok {
				was := seen[a.Source]
				e := stream.SourceEnd{End: max(was.End, up), Acked: up, At: was.At}
				if was.Acked == up {
					e.Newest = was.Newest // else it is not known here
				}
				now[a.Source] = e
			}
		}
		if time.Since(asked) >= endsAsked {
			asked = time.Now()
			// A source that does not answer leaves the times as they were: they say since when nothing is known.
			latest, _, _ := r.clients.sourceWire.Offsets(ctx, sources, stream.Latest)
			for p, end := range latest {
				e, known := now[p]
				if !known {
					continue
				}
				e.End, e.At = max(e.End, stream.Upstream(end)), time.Now()
				now[p] = e
			}
		}
		maps.Copy(seen, now)
		records, err := ends.Records(now)
		if err != nil || len(records) == 0 {
			return err
		}
		if err := r.clients.target.Append(ctx, r.tandemTopic(), records); err != nil {
			return err
		}
		ends.Stored()
		return nil
	})
}
