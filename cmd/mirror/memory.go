package main

import (
	"context"
	"sync"

	"tandem/internal/offsetsync"
	"tandem/internal/replicate"
	"tandem/internal/replicate/position"
	"tandem/internal/stream"
)

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
		m.set(remote, anchorOf(p))
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

// anchorOf is a place as it is noted.
func anchorOf(p replicate.Place) position.Anchor {
	return position.Anchor{Source: p.Topic, NextUp: p.Next, NextSequence: p.Sequence, NextDown: p.Down.Offset(), LeaderEpoch: p.Epoch.Number()}
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
