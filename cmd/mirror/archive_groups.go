package main

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/checkpoint"
	"tandem/internal/stream"
)

const (
	groupsEvery = time.Minute // where checkpoints have no interval
	wholeEvery  = time.Hour   // all offsets of a group, for who does not want to read every change since
	offsetsEach = 5000        // in one event
)

// groupsWatch tells the archive what the groups of the source have committed.
type groupsWatch struct {
	source checkpoint.Source
	event  func(time.Time, bundle.Body) bool
	groups func(string) bool
	topics func(string) bool
	known  map[string]*knownGroup
}

// knownGroup is what the archive has been told of a group.
type knownGroup struct {
	offsets map[stream.Partition]stream.Committed
	whole   time.Time // when all of them were told
}

// eventsTo takes events (see archive.Archiver).
type eventsTo interface {
	Event(at time.Time, body bundle.Body) bool
}

// watchGroups tells of groups at the interval of checkpoints.
func (a *archiving) watchGroups(ctx context.Context, to eventsTo) error {
	w := &groupsWatch{
		source: a.clients.source, event: to.Event,
		groups: func(id string) bool { return a.conf().Groups.Accepts(id) },
		topics: func(topic string) bool { return a.conf().Archive.Keeps(topic) },
		known:  make(map[string]*knownGroup),
	}
	for {
		if !a.hold.keepsRest() { // another process tells of groups
			clear(w.known)
		} else if err := a.persist(ctx, "read the groups of "+a.conf().Source+" for the archive", w.look); err != nil {
			return nil //nolint:nilerr // ctx has ended
		}
		a.groups.Store(w.positions())
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(cmp.Or(a.conf().Checkpoints.Interval, groupsEvery)):
		}
	}
}

// look asks once for the offsets of all groups, of those too that are not listed any more.
func (w *groupsWatch) look(ctx context.Context) error {
	listed, incomplete := w.source.Groups(ctx)
	wanted := make(map[string]bool)
	for id := range w.known {
		wanted[id] = true
	}
	for _, g := range listed {
		if w.groups(g.ID) {
			wanted[g.ID] = true
		}
	}
	if len(wanted) == 0 {
		return incomplete
	}
	offsets, _, err := w.source.GroupOffsets(ctx, slices.Sorted(maps.Keys(wanted)))
	now := time.Now()
	for _, id := range slices.Sorted(maps.Keys(offsets)) {
		maps.DeleteFunc(offsets[id], func(p stream.Partition, _ stream.Committed) bool { return !w.topics(p.Topic) })
		w.tell(id, offsets[id], now)
	}
	return cmp.Or(err, incomplete) // groups without an answer are asked for in the next round
}

// positions is how many are kept.
func (w *groupsWatch) positions() (n int64) {
	for _, g := range w.known {
		n += int64(len(g.offsets))
	}
	return n
}

// tell hands over what has changed of a group. What the archive has no memory for stays a change.
func (w *groupsWatch) tell(id string, offsets map[stream.Partition]stream.Committed, now time.Time) {
	g, ok := w.known[id]
	switch {
	case !ok && len(offsets) == 0:
		return
	case len(offsets) == 0:
		if w.event(now, bundle.GroupOffsets{Group: id, Whole: true}) {
			delete(w.known, id)
		}
		return
	case !ok:
		g = &knownGroup{offsets: make(map[stream.Partition]stream.Committed)}
	}
	whole := now.Sub(g.whole) >= wholeEvery
	list := changes(g.offsets, offsets, whole)
	for first := true; len(list) > 0; first = false {
		part := list[:min(len(list), offsetsEach)]
		if !w.event(now, bundle.GroupOffsets{Group: id, Whole: whole && first, Offsets: part}) {
			return // in part at most: it comes again
		}
		list = list[len(part):]
	}
	g.offsets = offsets
	if whole {
		g.whole = now
	}
	w.known[id] = g
}

// changes are the offsets to be told: all of them, or those that are others than before.
func changes(before, now map[stream.Partition]stream.Committed, whole bool) (list []bundle.GroupOffset) {
	add := func(p stream.Partition, c stream.Committed) {
		list = append(list, bundle.GroupOffset{
			Topic: p.Topic, Partition: p.Number, Offset: stream.Upstream(c.Offset), LeaderEpoch: -1, Metadata: c.Metadata,
		})
	}
	for p, c := range now {
		if was, ok := before[p]; whole || !ok || was != c {
			add(p, c)
		}
	}
	if !whole {
		for p := range before {
			if _, ok := now[p]; !ok {
				add(p, stream.Committed{Offset: -1})
			}
		}
	}
	slices.SortFunc(list, func(a, b bundle.GroupOffset) int {
		return cmp.Or(strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return list
}
