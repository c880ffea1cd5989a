package archive

import (
	"cmp"
	"maps"

	"tandem/internal/archive/bundle"
	"tandem/internal/stream"
)

// ledger is where the archive of each partition goes on.
type ledger map[stream.Partition]bundle.Position

// learn takes over a position of another writer, if it is ahead of what is known.
func (l ledger) learn(p bundle.Position) {
	key := stream.Partition{Topic: p.Topic.Name, Number: p.Partition}
	if known, ok := l[key]; !ok || ahead(p, known) {
		l[key] = p
	}
}

// settle takes over where the chunks of a partition end now.
func (l ledger) settle(t *track, gone bool) {
	if gone {
		l.learn(t.built) // another process may be ahead
	} else {
		l[t.source] = t.built
	}
}

// ahead says whether one position is ahead of another one: in a later life, behind a batch of a later leader epoch (a log that was
// truncated goes on with one), at a later offset.
func ahead(p, than bundle.Position) bool {
	order := cmp.Compare(p.Topic.Incarnation, than.Topic.Incarnation)
	if order == 0 && p.LeaderEpoch >= 0 && than.LeaderEpoch >= 0 {
		order = cmp.Compare(p.LeaderEpoch, than.LeaderEpoch)
	}
	return cmp.Or(order, cmp.Compare(p.Next, than.Next)) > 0
}

// positions are all of them, for a footer.
func (l ledger) positions() []bundle.Position {
	all := make([]bundle.Position, 0, len(l))
	for _, p := range l {
		all = append(all, p)
	}
	return all
}

// topics are the present lives.
func (l ledger) topics() map[string]bundle.Topic {
	all := make(map[string]bundle.Topic)
	for _, p := range l {
		if known, ok := all[p.Topic.Name]; !ok || p.Topic.Incarnation > known.Incarnation {
			all[p.Topic.Name] = p.Topic
		}
	}
	return all
}

// forget drops lives that are over, and those before them.
func (l ledger) forget(past map[string]bundle.Topic) {
	if len(past) == 0 {
		return
	}
	maps.DeleteFunc(l, func(_ stream.Partition, p bundle.Position) bool {
		over, ok := past[p.Topic.Name]
		return ok && p.Topic.Incarnation <= over.Incarnation
	})
}

// life is what a topic with an id is, given what is known of its name.
func life(name string, id stream.TopicID, known bundle.Topic, ok bool) (t bundle.Topic, recreated bool) {
	none := stream.TopicID{}
	switch {
	case !ok:
		return bundle.Topic{Name: name, ID: id}, false
	case id == none || id == known.ID:
		return known, false
	case known.ID == none: // the brokers know ids by now
		return bundle.Topic{Name: name, ID: id, Incarnation: known.Incarnation}, false
	default:
		return bundle.Topic{Name: name, ID: id, Incarnation: known.Incarnation + 1}, true
	}
}

// old says whether an id is that of an earlier life of the topic, as far as the ledger still has it.
func (l ledger) old(name string, id stream.TopicID, now bundle.Topic) bool {
	for _, p := range l {
		if p.Topic.Name == name && p.Topic.ID == id && p.Topic.Incarnation < now.Incarnation {
			return true
		}
	}
	return false
}
