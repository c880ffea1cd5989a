package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"tandem/internal/config"
	"tandem/internal/kafka"
	"tandem/internal/offsetsync"
	"tandem/internal/replicate"
	"tandem/internal/replicate/position"
	"tandem/internal/replicate/topics"
	"tandem/internal/stream"
)

// rules are the topic settings of a flow.
func rules(c config.Flow) topics.Rules {
	return topics.Rules{
		Replicates:     c.Topics.Replicates,
		Remote:         func(topic string) string { return c.Policy.RemoteTopic(c.Source, topic) },
		Property:       c.ConfigFilter.Replicates,
		SourceDefaults: c.ConfigFilter.SourceDefaults(),
		Factor:         c.ReplicationFactor,
	}
}

// defaultMaxBatch is Kafka's default of max.message.bytes, for remote topics whose setting could not be read.
const defaultMaxBatch = 1048588

// assignments are the partitions that can be replicated now: those that exist on both sides.
func assignments(s topics.Snapshot) []replicate.Assignment {
	var list []replicate.Assignment
	for _, t := range s.Topics {
		limit := t.MaxMessageBytes
		if limit <= 0 {
			limit = defaultMaxBatch
		}
		for n := range min(t.Source.Partitions, t.Remote.Partitions) {
			list = append(list, replicate.Assignment{
				Source:   stream.Partition{Topic: t.Source.Name, Number: n},
				Remote:   stream.Partition{Topic: t.Remote.Name, Number: n},
				Topic:    t.Source.ID,
				MaxBatch: limit,
			})
		}
	}
	return list
}

// keepTopics hands the pipe its partitions, and again whenever the topics have been refreshed or a failover holds others.
func (r *replication) keepTopics(ctx context.Context) error {
	if err := r.persist(ctx, "start on the partitions", func(ctx context.Context) error { return r.hand(ctx, r.first) }); err != nil {
		return nil //nolint:nilerr // the pipe has ended, and its own error says why
	}
	r.board.show(r.conf.Flow, r.pipe)
	latest := r.first
	group, ctx := errgroup.WithContext(ctx)
	var handing sync.Mutex // guards latest, and the order in which it is handed over
	group.Go(func() error {
		return r.everyOr(ctx, failoversEvery, nil, "look for failovers", func(ctx context.Context) error {
			if err := r.failed.watch(ctx); err != nil || !r.failed.moved() {
				return err
			}
			handing.Lock()
			defer handing.Unlock()
			return r.hand(ctx, latest)
		})
	})
	if r.conf.RefreshTopics > 0 {
		group.Go(func() error {
			return r.everyOr(ctx, r.conf.RefreshTopics, r.gone, "refresh topics", func(ctx context.Context) error {
				s, err := r.keeper.Refresh(ctx)
				if err != nil {
					return err
				}
				handing.Lock()
				defer handing.Unlock()
				latest = s
				return r.hand(ctx, s)
			})
		})
	}
	return group.Wait()
}

// hand gives the pipe what can be replicated and no failover holds.
func (r *replication) hand(ctx context.Context, s topics.Snapshot) error {
	all := assignments(s)
	if err := r.offsets.begin(ctx, all, r.memory); err != nil { // also of what is not copied any more: it is still translated
		return err
	}
	list := r.failed.copied(all)
	if line := fmt.Sprintf("replicating %d partitions of %d topics", len(list), len(s.Topics)); line != r.told && len(list) > 0 {
		r.told = line
		r.archive.kick()
		r.tell(stream.Info, line)
	}
	if err := r.pipe.Assign(ctx, list); err != nil {
		return context.Canceled // the pipe has ended, and its own error says why
	}
	return nil
}

// syncConfigs carries topic configs over, at once and at each interval.
func (r *replication) syncConfigs(ctx context.Context) error {
	if r.conf.SyncConfigs <= 0 {
		<-ctx.Done()
		return nil
	}
	if err := r.persist(ctx, "sync topic configs", r.keeper.SyncConfigs); err != nil {
		return nil //nolint:nilerr // ctx has ended: duties have no other end
	}
	return r.every(ctx, r.conf.SyncConfigs, "sync topic configs", r.keeper.SyncConfigs)
}

// topicGone has the topics refreshed at once: what the source does not know any more may have been made anew.
func (r *replication) topicGone() {
	r.archive.kick()
	select {
	case r.gone <- struct{}{}:
	default:
	}
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
			return r.anchors.Flush(ctx)
		})
	})
	group.Go(func() error {
		return r.every(ctx, r.conf.FlushInterval, "write positions", func(ctx context.Context) error {
			if r.syncs != nil {
				r.syncs.promote()
			}
			return r.positions.Flush(ctx)
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

// finishWait bounds the last writes of a stopping flow.
const finishWait = 1500 * time.Millisecond

// finish writes what is known when the pipe has stopped.
func (r *replication) finish() {
	ctx, cancel := context.WithTimeout(context.Background(), finishWait)
	defer cancel()
	var group errgroup.Group
	group.Go(func() error { return errors.Join(r.offsets.store(ctx), r.anchors.Flush(ctx)) })
	group.Go(func() error { return r.positions.Flush(ctx) })
	if r.syncs != nil {
		group.Go(func() error {
			r.syncs.promote()
			return r.syncs.send(ctx)
		})
	}
	if err := group.Wait(); err != nil {
		r.tell(stream.Warn, "stopped without writing the last positions; the next start finds the place from the target itself", stream.F("error", err))
	}
}

// memory answers for what earlier runs left, and keeps it current.
type memory struct {
	store *position.AnchorStore
	notes *position.Store // of positions, in MM2's topic
	exact *offsetsync.Map // told where partitions begin

	flushMap func(context.Context) error // stores exact; nil in tests
	shared   bool                        // others write to the remote partitions

	mu        sync.Mutex                           // guards the maps
	positions map[stream.Partition]stream.Upstream // as MM2's topic had them at the start
	anchors   map[stream.Partition]position.Anchor
}

func (m *memory) Anchor(remote stream.Partition) (replicate.Start, stream.TopicID, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := m.anchors[remote]
	return replicate.Start{Next: a.NextUp, Sequence: a.NextSequence, Epoch: replicate.EpochOf(a.LeaderEpoch), Down: replicate.BaseOf(a.NextDown)}, a.Source, ok
}

func (m *memory) Remember(ctx context.Context, places map[stream.Partition]replicate.Place) error {
	// Old positions go first: with the new topic's anchor beside it, one would pass for a position in the new topic.
	if m.takeBack(places) {
		if err := m.notes.Flush(ctx); err != nil {
			return err
		}
	}
	for remote, p := range places {
		if down := p.Down.Offset(); p.Anew && down >= 0 {
			if _, _, some := m.exact.Covered(remote); m.shared && !some { // what the target holds is all of others: see Resumption
				m.exact.Ack(stream.Ack{Source: p.Source, Remote: remote, Topic: p.Topic, NextDown: down})
			}
			// What the source lacks behind it, because it was compacted or aborted, is then known to be nothing.
			m.exact.Ack(stream.Ack{Source: p.Source, Remote: remote, Topic: p.Topic, Next: p.Next, NextDown: down})
		}
		m.set(remote, position.Anchor{Source: p.Topic, NextUp: p.Next, NextSequence: p.Sequence, NextDown: p.Down.Offset(), LeaderEpoch: p.Epoch.Number()})
	}
	// The map goes before the anchors: what is below an anchor that it does not reach is counted, what it has is not.
	if m.flushMap != nil {
		if err := m.flushMap(ctx); err != nil {
			return err
		}
	}
	return m.store.Flush(ctx)
}

// takeBack replaces positions that speak of deleted topics, and says whether there were any.
func (m *memory) takeBack(places map[stream.Partition]replicate.Place) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	some := false
	for remote, p := range places {
		_, noted := m.positions[p.Source]
		_, anchored := m.anchors[remote]
		if p.Anew && (noted || anchored) {
			delete(m.positions, p.Source)
			m.notes.Set(p.Source, p.Next-1)
			some = true
		}
	}
	return some
}

// set reports whether more records are on the target than were by the anchor before, as far as is known.
func (m *memory) set(remote stream.Partition, a position.Anchor) (more bool) {
	m.mu.Lock()
	was, known := m.anchors[remote]
	m.anchors[remote] = a
	m.mu.Unlock()
	m.store.Set(remote, a)
	return known && was.NextSequence != a.NextSequence
}

func (m *memory) Position(source stream.Partition) (stream.Upstream, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	last, ok := m.positions[source]
	return last, ok
}

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
	c := r.conf
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

func (s *syncs) promote() {
	s.mu.Lock()
	s.writer.Promote()
	s.mu.Unlock()
	s.wake()
}

func (s *syncs) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
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
