package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"tandem/internal/checkpoint"
	"tandem/internal/kafka"
	"tandem/internal/offsetsync"
	"tandem/internal/replicate"
	"tandem/internal/replicate/position"
	"tandem/internal/replicate/topics"
	"tandem/internal/stream"
)

// rules are the topic settings of a flow.
func (f *flow) rules() topics.Rules {
	c := f.conf()
	rules := topics.Rules{
		Replicates:     func(topic string) bool { return f.conf().Topics.Replicates(topic) },
		Remote:         func(topic string) string { return c.Policy.RemoteTopic(c.Source, topic) },
		Property:       func(name string) bool { return f.conf().ConfigFilter.Replicates(name) },
		SourceDefaults: c.ConfigFilter.SourceDefaults(),
		Factor:         c.ReplicationFactor,
	}
	groups := func(group string) bool { return f.conf().Groups.Accepts(group) }
	return withACLs(rules, *c, groups, f.clients.source, f.clients.target)
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

// keepTopics hands the pipe its partitions, and again whenever the topics were looked at, partitions have moved between processes, or
// a failover holds others. After a reload the topics are looked at at once.
func (r *replication) keepTopics(ctx context.Context) error {
	reloaded := r.begun
	if !reloaded {
		first, cancel := context.WithTimeout(ctx, persistTimeout)
		_ = r.hand(first) // what cannot be begun with is told, and tried again, below
		cancel()
	}
	r.begun = true
	r.board.show(r.conf().Flow, r.pipe)
	group, ctx := errgroup.WithContext(ctx)
	r.announce()
	if reloaded {
		group.Go(func() error { // beside the rest: the source may be away
			_ = r.persist(ctx, "refresh topics", r.refresh) // ctx has ended
			return nil
		})
	}
	group.Go(func() error {
		return r.everyOr(ctx, failoversEvery, nil, "look for failovers", func(ctx context.Context) error {
			if err := r.failed.watch(ctx); err != nil || !r.failed.moved() {
				return err
			}
			return r.hand(ctx)
		})
	})
	group.Go(func() error {
		for {
			changed := r.hold.change()
			if err := r.persist(ctx, "begin with all partitions", r.hand); err != nil {
				return nil //nolint:nilerr // ctx has ended
			}
			select {
			case <-ctx.Done():
				return nil
			case <-changed:
			}
		}
	})
	group.Go(func() error { // who is not on duty learns by the rounds of the group that there are new topics
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-r.round:
			}
			if err := r.persist(ctx, "look at the topics", r.refresh); err != nil {
				return nil //nolint:nilerr // ctx has ended
			}
		}
	})
	interval := r.conf().RefreshTopics
	if interval <= 0 {
		interval = never
	}
	group.Go(func() error { return r.everyOr(ctx, interval, r.gone, "refresh topics", r.refresh) })
	return group.Wait()
}

// never is an interval that no process lives to see.
const never = 100 * 365 * 24 * time.Hour

// refresh looks at the topics of both clusters; who is on duty creates what is missing.
func (r *replication) refresh(ctx context.Context) error {
	look := r.keeper.Look
	if r.hold.onDuty() {
		look = r.keeper.Refresh
	}
	s, err := look(ctx)
	if err != nil {
		return err
	}
	r.handing.Lock()
	r.latest = s
	r.handing.Unlock()
	r.want()
	return r.hand(ctx)
}

// hand begins with what falls to this process, and gives it to the pipe. What cannot be begun with holds up nothing else.
func (r *replication) hand(ctx context.Context) error {
	all := r.everything()
	r.offsets.below(all)
	mine := slices.DeleteFunc(all, func(a replicate.Assignment) bool { return !r.hold.copies(a.Remote) })
	err := r.offsets.begin(ctx, mine, r.memory) // also with what a failover holds: it is still translated
	if gave := r.give(ctx); gave != nil {
		return gave
	}
	return err
}

// give gives the pipe what falls to this process, was begun with, and no failover holds. It asks no cluster.
func (r *replication) give(ctx context.Context) error {
	r.giving.Lock()
	defer r.giving.Unlock()
	r.handing.Lock()
	latest, pipe := r.latest, r.pipe
	r.handing.Unlock()
	mine := slices.DeleteFunc(assignments(latest), func(a replicate.Assignment) bool { return !r.hold.copies(a.Remote) || !r.offsets.begun(a.Remote) })
	list := r.failed.copied(mine)
	if line := fmt.Sprintf("replicating %d partitions of %d topics", len(list), len(latest.Topics)); line != r.told && len(list) > 0 {
		r.told = line
		r.archive.kick()
		r.tell(stream.Info, line)
	}
	if err := pipe.Assign(ctx, list); err != nil {
		return context.Canceled // the pipe has ended, and its own error says why
	}
	return nil
}

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
		return r.hold.awaitEnd(ctx, renewed)
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

// memory answers for what earlier runs left, and keeps it current.
type memory struct {
	store *position.AnchorStore
	notes *position.Store // of positions, in MM2's topic
	exact *offsetsync.Map // told where partitions begin

	flushMap func(context.Context) error // stores exact; nil in tests
	deferred bool                        // anchors and positions are flushed with the records, not here
	shared   bool                        // others write to the remote partitions
	remote   func(source stream.Partition) stream.Partition

	mu        sync.Mutex                           // guards the maps
	positions map[stream.Partition]stream.Upstream // as MM2's topic had them at the start
	anchors   map[stream.Partition]position.Anchor
	follows   bool                      // what is heard from now on was noted after positions was read
	void      map[stream.Partition]bool // remote partitions whose positions speak of a topic that was made anew since
}

func (m *memory) Anchor(remote stream.Partition) (replicate.Start, stream.TopicID, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := m.anchors[remote]
	return replicate.Start{Next: a.NextUp, Sequence: a.NextSequence, Epoch: replicate.EpochOf(a.LeaderEpoch), Down: replicate.BaseOf(a.NextDown)}, a.Source, ok
}

func (m *memory) Remember(ctx context.Context, places map[stream.Partition]replicate.Place) error {
	// Old positions go first: with the new topic's anchor beside it, one would pass for a position in the new topic.
	if m.takeBack(places) && !m.deferred {
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
	if m.deferred {
		return nil
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

// hear takes in what another process has noted of a remote partition that it copies. Where that has followed a topic made anew, the
// position that was read at the start would pass for a place in the new topic, as far on as the old one was.
func (m *memory) hear(remote stream.Partition, a position.Anchor) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if was, known := m.anchors[remote]; m.follows && known && was.Source != a.Source && was.Source != (stream.TopicID{}) && a.Source != (stream.TopicID{}) {
		if m.void == nil {
			m.void = make(map[stream.Partition]bool)
		}
		m.void[remote] = true
	}
	m.anchors[remote] = a
}

// follow says that positions has been read.
func (m *memory) follow() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.follows = true
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
	return last, ok && (len(m.void) == 0 || !m.void[m.remote(source)])
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
