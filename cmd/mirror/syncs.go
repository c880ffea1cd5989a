package main

import (
	"context"
	"sync"

	"tandem/internal/kafka"
	"tandem/internal/offsetsync"
	"tandem/internal/replicate/topics"
	"tandem/internal/stream"
)

// syncs writes MM2's offset syncs: decided by offsetsync.Writer, sent by one goroutine.
type syncs struct {
	flow  *flow
	admin *kafka.Admin // of the cluster that holds the topic
	topic string
	kick  chan struct{}

	mu     sync.Mutex // guards writer
	writer *offsetsync.Writer
}

func (r *replication) openSyncs(ctx context.Context) (*syncs, error) {
	c := r.conf()
	admin, other := r.clients.source, c.Target
	if c.OffsetSyncs.Location == "target" {
		admin, other = r.clients.target, c.Source
	}
	topic := c.Policy.OffsetSyncsTopic(other)
	if _, err := topics.EnsureCompacted(ctx, admin, topic, 1, c.OffsetSyncs.Factor); err != nil {
		return nil, err
	}
	return &syncs{flow: r.flow, admin: admin, topic: topic, kick: make(chan struct{}, 1), writer: offsetsync.NewWriter(c.OffsetSyncs.LagMax)}, nil
}

func (s *syncs) ack(a stream.Ack) {
	s.mu.Lock()
	s.writer.Ack(a)
	s.mu.Unlock()
	s.wake()
}

// forget drops what waits of partitions that another process goes on with.
func (s *syncs) forget(sources []stream.Partition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range sources {
		s.writer.Forget(p)
	}
}

func (s *syncs) promote() {
	s.mu.Lock()
	s.writer.Promote()
	s.mu.Unlock()
	s.wake()
}

func (s *syncs) wake() {
	nudge(s.kick)
}

// run sends what is due. A sync that could not be sent is not sent again: a newer one follows.
func (s *syncs) run(ctx context.Context) error {
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.kick:
		}
		err := s.send(ctx)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // what could not be sent at the end is sent by finish
		case err != nil && !failing:
			s.flow.tell(stream.Warn, "cannot write offset syncs; group offsets cannot be translated to newer places meanwhile", stream.F("topic", s.topic), stream.F("error", err))
		case err == nil && failing:
			s.flow.tell(stream.Info, "offset syncs are written again", stream.F("topic", s.topic))
		}
		failing = err != nil
	}
}

// syncsAtOnce is MM2's bound of unacknowledged syncs.
const syncsAtOnce = 10

func (s *syncs) send(ctx context.Context) error {
	for {
		s.mu.Lock()
		due := s.writer.Due(syncsAtOnce)
		s.mu.Unlock()
		if len(due) == 0 {
			return nil
		}
		records := make([]stream.Record, len(due))
		for i, d := range due {
			records[i] = d.Record()
		}
		err := s.admin.Append(ctx, s.topic, records)
		s.mu.Lock()
		s.writer.Done(len(due))
		s.mu.Unlock()
		if err != nil {
			return err
		}
	}
}
