package archive

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/stream"
)

// Assign says which partitions of which topics this process archives from now on, all of them. A topic with another id than before
// was made anew. What waits of a partition that is given up is archived all the same: its topic may be gone for good.
func (a *Archiver) Assign(partitions map[stream.Partition]stream.Topic) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.wanted = maps.Clone(partitions)
	a.assigned++
	a.assignedBefore, a.assignedAt = a.assignedAt, time.Now()
	for p, t := range a.tracks {
		if now, ok := a.wanted[p]; !ok || now.ID != t.asked {
			t.gone = true
			delete(a.tracks, p)
		}
	}
	wake(a.assignWake)
	wake(a.gapWake)
}

// start reads what the store has of this flow, before anything else.
func (a *Archiver) start(ctx context.Context) error {
	err := a.persist(ctx, "read the archive's positions", func() error { return a.refresh(ctx, false) })
	if err != nil {
		return err
	}
	a.header = bundle.Header{Flow: a.cfg.Flow, ClusterID: a.cfg.ClusterID, Writer: a.cfg.Writer}
	if own := a.survey.newest[a.cfg.Writer]; len(own) > 0 {
		a.header.Generation = own[len(own)-1].generation + 1
	}
	a.survey.read[a.cfg.Writer] = "all" // from now on this writer knows better than the store
	return nil
}

func (a *Archiver) assignLoop(ctx context.Context) error {
	for {
		if err := a.adopt(ctx); err != nil {
			return ended(ctx, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-a.assignWake:
		}
	}
}

// adopt begins with the partitions that were assigned and are not archived yet. Another process may have had them a moment ago, so
// the store is asked again.
func (a *Archiver) adopt(ctx context.Context) error {
	fresh, unknown, upTo := a.unadopted()
	if len(fresh) == 0 {
		return nil
	}
	err := a.persist(ctx, "read the archive's positions", func() error { return a.refresh(ctx, unknown) })
	if err != nil {
		return err
	}
	a.building.Lock()
	defer a.building.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	for name, t := range a.ledger.topics() {
		if known, ok := a.lives[name]; !ok || t.Incarnation > known.Incarnation {
			a.lives[name] = t
		}
	}
	before, widths := maps.Clone(a.lives), a.widths()
	for _, p := range fresh {
		if topic, ok := a.wanted[p]; ok && a.tracks[p] == nil {
			a.track(p, topic, before)
			a.grown(topic, widths)
		}
	}
	a.adopted = upTo
	wake(a.gapWake)
	return nil
}

// unadopted are the partitions to begin with, whether there is one of which the ledger has nothing, and the number of the Assign that
// they are of.
func (a *Archiver) unadopted() (fresh []stream.Partition, unknown bool, upTo int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for p := range a.wanted {
		if a.tracks[p] == nil {
			fresh = append(fresh, p)
			_, known := a.ledger[p]
			unknown = unknown || !known
		}
	}
	if len(fresh) == 0 {
		a.adopted = a.assigned
	}
	slices.SortFunc(fresh, func(a, b stream.Partition) int {
		if a.Topic != b.Topic {
			return strings.Compare(a.Topic, b.Topic)
		}
		return int(a.Number) - int(b.Number)
	})
	return fresh, unknown, a.assigned
}

// track begins with a partition; before are the lives that were known before this assignment. a.mu and a.building are held: the
// ledger has all that was ever taken from the queue.
func (a *Archiver) track(p stream.Partition, topic stream.Topic, before map[string]bundle.Topic) {
	known, ok := before[p.Topic]
	if ok && topic.ID != known.ID && a.ledger.old(p.Topic, topic.ID, known) {
		a.report(stream.Warn, "a topic is assigned with the id of an earlier life: waiting for newer metadata", stream.F("partition", p))
		return
	}
	now, recreated := life(p.Topic, topic.ID, known, ok)
	switch {
	case a.lives[p.Topic] == now: // said, or known
	case recreated:
		a.happened(time.Now(), bundle.TopicRecreated{Old: known, New: now, Partitions: topic.Partitions, Factor: -1})
	case !ok:
		a.created(now, topic.Partitions)
	}
	a.lives[p.Topic] = now
	if e, ok := a.ended[p.Topic]; ok && e.life == now {
		delete(a.ended, p.Topic)
	}
	a.drop(p, now) // of the time before it was given up: it is read again
	t := &track{source: p, asked: topic.ID, topic: now, unsure: true, behind: time.Now(), heard: time.Now(), end: -1, empty: -1}
	if a.cfg.Offers {
		t.offeredAt = time.Now() // the first offer may be on its way
	}
	t.built = bundle.Position{Topic: now, Partition: p.Number, LeaderEpoch: -1}
	a.tracks[p] = t
	pos, has := a.ledger[p]
	switch {
	case has && pos.Topic.Incarnation == now.Incarnation:
		t.built, t.built.Topic = pos, now
		t.placed, t.at = true, place{next: pos.Next, epoch: pos.LeaderEpoch}
	case ok: // a new life, or a new partition of a topic that is archived: all of it
		a.move(t, place{next: 0, epoch: -1}, nil)
	}
}
