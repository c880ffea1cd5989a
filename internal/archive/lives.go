package archive

import (
	"maps"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/stream"
)

// created says that a topic is there of which nothing is archived. One that was not there at the look before may have been made, and
// written to, right after it. a.mu is held.
func (a *Archiver) created(t bundle.Topic, partitions int32) {
	at, found := a.assignedBefore, a.assignedBefore.IsZero()
	if found {
		at = time.Now()
	}
	a.happened(at, bundle.TopicCreated{Topic: t, Partitions: partitions, Factor: -1, Found: found})
}

// widths are how many partitions the present lives of topics are known to have. a.mu is held.
func (a *Archiver) widths() map[string]int32 {
	all := make(map[string]int32)
	wide := func(t bundle.Topic, partition int32) {
		if known, ok := a.lives[t.Name]; ok && known.Incarnation == t.Incarnation {
			all[t.Name] = max(all[t.Name], partition+1)
		}
	}
	for _, p := range a.ledger {
		wide(p.Topic, p.Partition)
	}
	for p, t := range a.tracks {
		wide(t.topic, p.Number)
	}
	return all
}

// grown says that a topic has more partitions than before; those of a new life are in its beginning. a.mu is held.
func (a *Archiver) grown(topic stream.Topic, widths map[string]int32) {
	before, ok := widths[topic.Name]
	now, known := a.lives[topic.Name]
	if ok && known && now.ID == topic.ID && topic.Partitions > before {
		widths[topic.Name] = topic.Partitions
		a.happened(time.Now(), bundle.TopicWidened{Topic: now, From: before, To: topic.Partitions})
	}
}

// ending is the end of a topic that was deleted.
type ending struct {
	life bundle.Topic
	told time.Time // when this process was told
}

// forgetAfter is how long the positions of a deleted topic stay in the ledger, should it only have been hidden.
const forgetAfter = 10 * time.Minute

// noted takes note of topics that are gone, and of those that show again. a.mu is held.
func (a *Archiver) noted(body bundle.Body) {
	switch b := body.(type) {
	case bundle.TopicDeleted:
		if b.Topic.ID != (stream.TopicID{}) { // without an id nothing but the incarnation tells the next life from this one
			a.ended[b.Topic.Name] = ending{b.Topic, time.Now()}
		}
	case bundle.TopicCreated:
		delete(a.ended, b.Topic.Name)
	}
}

// past are the lives whose positions are not needed any more: footers would grow by each topic that ever was, and each start would tell
// again that they are gone. Should the topic be made anew after a start, its incarnation may be one that was; its id is not.
// a.mu is held.
func (a *Archiver) past() map[string]bundle.Topic {
	all := make(map[string]bundle.Topic)
	for name, e := range a.ended {
		if time.Since(e.told) >= forgetAfter {
			all[name] = e.life
		}
	}
	if len(all) == 0 {
		return nil
	}
	needed := func(t *track) {
		if over, ok := all[t.topic.Name]; ok && t.topic.Incarnation <= over.Incarnation {
			delete(all, t.topic.Name)
		}
	}
	for _, t := range a.tracks {
		needed(t)
	}
	for _, i := range a.items {
		if i.track != nil {
			needed(i.track) // it is archived all the same
		}
	}
	return all
}

// Life is what the archive calls the topic of a name and an id; false while it has not begun with it.
func (a *Archiver) Life(name string, id stream.TopicID) (bundle.Topic, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t, ok := a.lives[name]
	return t, ok && (t.ID == id || id == stream.TopicID{})
}

// Lives are the latest lives of all topics that the archive knows, also of those that are gone from the source; false before
// the archive has been read and the first partitions were begun with.
func (a *Archiver) Lives() (map[string]bundle.Topic, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.lives), a.adopted > 0
}
