package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"tandem/internal/kafka"
	"tandem/internal/replicate/position"
	"tandem/internal/stream"
)

// registry follows what the opposite flow of a two-way pair notes in its topic on our source. It is asked whenever a producer
// shows that was not seen before, and the topic holds the whole offset map: only what is new is read.
type registry struct {
	log   registryLog
	topic string

	mu      sync.Mutex // guards what follows
	ids     map[int64]bool
	written bool          // the flow has noted places
	last    stream.Record // of an id: it stays in the topic, unless the topic is made anew or the id is noted once more
	next    int64         // offset to read on from
}

// registryLog is a cluster's topics, as far as a registry reads them (see kafka.Admin).
type registryLog interface {
	// ReadFrom hands over the records of a partition from an offset on, and tells where to go on.
	ReadFrom(ctx context.Context, topic string, partition int32, from int64, committed bool, each func(stream.Record) error) (int64, error)
	// ReadAt is the record at an offset; kafka.ErrNoRecord if there is none.
	ReadAt(ctx context.Context, topic string, partition int32, offset int64) (stream.Record, error)
}

// load reads what is new. A topic that is not there has nothing noted.
func (g *registry) load(ctx context.Context) (ids []int64, written bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	same, err := g.same(ctx)
	if err != nil {
		return nil, false, err
	}
	if same {
		next, err := g.log.ReadFrom(ctx, g.topic, 0, g.next, true, g.take)
		if err != nil {
			return nil, false, err
		}
		if same = next >= g.next; same {
			g.next = next
		}
	}
	if !same {
		g.ids, g.written, g.last, g.next = make(map[int64]bool), false, stream.Record{}, 0
		next, err := g.log.ReadFrom(ctx, g.topic, 0, 0, true, g.take)
		if err != nil && !errors.Is(err, kafka.ErrUnknownTopic) {
			return nil, false, err
		}
		g.next = next
	}
	return slices.Sorted(maps.Keys(g.ids)), g.written, nil
}

// same says that the topic is the one that was read.
func (g *registry) same(ctx context.Context) (bool, error) {
	if g.last.Key == nil {
		return false, nil
	}
	r, err := g.log.ReadAt(ctx, g.topic, 0, g.last.Offset)
	if errors.Is(err, kafka.ErrNoRecord) || errors.Is(err, kafka.ErrUnknownTopic) {
		return false, nil
	}
	return err == nil && bytes.Equal(r.Key, g.last.Key), err
}

func (g *registry) take(r stream.Record) error {
	noted, err := position.ReadNoted(r)
	if err != nil {
		return fmt.Errorf("read who writes: %w", err)
	}
	if noted.Origins {
		g.ids[noted.Origin], g.last = true, stream.Record{Key: bytes.Clone(r.Key), Offset: r.Offset}
	}
	g.written = g.written || noted.Anchored
	return nil
}
