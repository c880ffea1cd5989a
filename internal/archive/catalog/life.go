package catalog

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/stream"
)

// lifeKey is what tells one life from another. Where the broker has topic ids they alone count: two writers may have numbered one life
// differently.
type lifeKey struct {
	name        string
	id          stream.TopicID
	incarnation int32 // without an id
}

func keyOf(t bundle.Topic) lifeKey {
	if t.ID != (stream.TopicID{}) {
		return lifeKey{name: t.Name, id: t.ID}
	}
	return lifeKey{name: t.Name, incarnation: t.Incarnation}
}

// never is later than any time.
const never = math.MaxInt64

// life is what is known of a topic between its creation and its deletion.
type life struct {
	topic   bundle.Topic // the largest incarnation that somebody gave it
	seen    int64        // by anything, first
	turns   []turn
	configs latest[[]bundle.Config]
	parts   map[int32]*part
}

// turn is an event in a topic's life.
type turn struct {
	order
	made, found, gone bool
	before            int32 // partitions before it was widened, 0 otherwise
	partitions        int32
	factor            int16
}

func newLife(t bundle.Topic) *life {
	return &life{topic: t, seen: never, parts: make(map[int32]*part)}
}

func (l *life) see(at int64) { l.seen = min(l.seen, at) }

// join makes one life of two; both stay as they are.
func (l *life) join(o *life) *life {
	both := newLife(l.topic)
	both.topic.Incarnation = max(l.topic.Incarnation, o.topic.Incarnation)
	both.seen = min(l.seen, o.seen)
	both.turns = slices.Concat(l.turns, o.turns)
	both.configs = l.configs.join(o.configs)
	both.parts = maps.Clone(l.parts)
	for n, p := range o.parts {
		if own := both.parts[n]; own != nil {
			p = own.join(p)
		}
		both.parts[n] = p
	}
	return both
}

// livesOf puts the lives of each name in their order.
func livesOf(all map[lifeKey]*life) map[string][]*life {
	by := make(map[string][]*life)
	for key, l := range all {
		if l.seen != never { // otherwise nothing is left of it
			by[key.name] = append(by[key.name], l)
		}
	}
	for name, lives := range by {
		slices.SortFunc(lives, func(a, b *life) int {
			return cmp.Or(cmp.Compare(a.seen, b.seen), cmp.Compare(a.topic.Incarnation, b.topic.Incarnation),
				slices.Compare(a.topic.ID[:], b.topic.ID[:]))
		})
		by[name] = adopted(lives)
	}
	return by
}

// adopted joins a life without an id with the first one of that number that has one: the brokers have learned of topic ids meanwhile,
// and the topic is the same.
func adopted(lives []*life) []*life {
	none := stream.TopicID{}
	for i := 0; i < len(lives); i++ {
		l := lives[i]
		if l.topic.ID != none {
			continue
		}
		j := slices.IndexFunc(lives, func(o *life) bool {
			return o.topic.ID != none && o.topic.Incarnation == l.topic.Incarnation
		})
		if j < 0 || l.goneBy(lives[j].seen) {
			continue
		}
		lives[j] = lives[j].join(l)
		lives = slices.Delete(lives, i, i+1)
		return adopted(sortedBySeen(lives))
	}
	return lives
}

func sortedBySeen(lives []*life) []*life {
	slices.SortStableFunc(lives, func(a, b *life) int { return cmp.Compare(a.seen, b.seen) })
	return lives
}

func (l *life) goneBy(at int64) bool {
	return slices.ContainsFunc(l.turns, func(t turn) bool { return t.gone && t.at <= at })
}

// since is when a life began; ok is false where it has been there for as long as anybody looked. first: it is the first of its name.
func (l *life) since(first bool) (at int64, ok bool) {
	made, found := int64(never), int64(never)
	for _, t := range l.turns {
		switch {
		case t.made:
			made = min(made, t.at)
		case t.found:
			found = min(found, t.at)
		}
	}
	if first && (made == never || found < made) {
		return math.MinInt64, false
	}
	return min(made, l.seen), true
}

// until is when a life ended, as of a moment, going by its own events; never where it goes on.
func (l *life) until(limit int64) int64 {
	at := int64(never)
	for _, t := range l.sorted() {
		switch {
		case t.at > limit:
			return at
		case t.gone && at == never:
			at = t.at
		case t.made || t.found:
			at = never
		}
	}
	return at
}

func (l *life) sorted() []turn {
	slices.SortFunc(l.turns, func(a, b turn) int { return a.order.compare(b.order) })
	return l.turns
}

// width is the number of partitions as of a moment, and the replication factor. What was seen first stands for the time before.
func (l *life) width(limit int64) (partitions int32, factor int16) {
	factor = -1
	known := false
	for _, t := range l.sorted() {
		if t.gone {
			continue
		}
		if t.at > limit {
			if !known {
				partitions, known = t.partitions, true
				if t.before > 0 {
					partitions = t.before
				}
			}
			break
		}
		known = true
		partitions = max(partitions, t.partitions)
		if t.factor >= 0 {
			factor = t.factor
		}
	}
	if factor < 0 {
		for _, t := range l.turns {
			if t.factor >= 0 {
				factor = t.factor // of its creation, whenever that was seen
				break
			}
		}
	}
	for n, p := range l.parts {
		if p.seen <= limit || !known && p.seen != never {
			partitions = max(partitions, n+1)
		}
	}
	return partitions, factor
}

// show is the life as of a moment.
func (l *life) show(v *View, since int64, began bool, until int64, doomed func(string) bool) Life {
	out := Life{Topic: l.topic}
	if began {
		out.Since = fromMillis(since)
	}
	if until != never {
		out.Until = fromMillis(until)
	}
	out.Partitions, out.Factor = l.width(v.limit)
	configs, known := l.configs.value()
	if !known && !began {
		configs, known = l.configs.later() // it was so when somebody first looked
	}
	if known {
		out.Configs = make(map[string]string, len(configs))
		for _, c := range configs {
			out.Configs[c.Name] = c.Value
		}
	}
	for _, n := range slices.Sorted(maps.Keys(l.parts)) {
		if n >= out.Partitions {
			break
		}
		if p, ok := l.parts[n].show(n, v.limit, doomed); ok {
			out.Parts = append(out.Parts, p)
		}
	}
	return out
}

// state gives the lives that exist at the moment, and those before them.
func (v *View) stateOfLives() (lives, past []Life) {
	by := livesOf(v.lives)
	doomed := v.chain.doomed
	for _, name := range slices.Sorted(maps.Keys(by)) {
		all := by[name]
		for i, l := range all {
			since, began := l.since(i == 0)
			if began && since > v.limit {
				continue
			}
			until := l.until(v.limit)
			if i+1 < len(all) {
				if next, _ := all[i+1].since(false); next <= v.limit {
					until = min(until, max(next, since))
				}
			}
			shown := l.show(v, since, began, until, doomed)
			if until == never {
				lives = append(lives, shown)
			} else {
				past = append(past, shown)
			}
		}
	}
	return lives, past
}

// latest is the last value at or before a moment, and the first one behind it, in whatever order they come.
type latest[T any] struct {
	last, next   T
	at, behind   order
	known, ahead bool
}

func (l *latest[T]) put(at order, value T, limit int64) {
	switch {
	case at.at <= limit:
		if !l.known || at.compare(l.at) > 0 {
			l.last, l.at, l.known = value, at, true
		}
	case !l.ahead || at.compare(l.behind) < 0:
		l.next, l.behind, l.ahead = value, at, true
	}
}

func (l latest[T]) value() (T, bool) { return l.last, l.known }
func (l latest[T]) later() (T, bool) { return l.next, l.ahead }

func (l latest[T]) join(o latest[T]) latest[T] {
	if o.known && (!l.known || o.at.compare(l.at) > 0) {
		l.last, l.at, l.known = o.last, o.at, true
	}
	if o.ahead && (!l.ahead || o.behind.compare(l.behind) < 0) {
		l.next, l.behind, l.ahead = o.next, o.behind, true
	}
	return l
}

func (l latest[T]) time() time.Time {
	if !l.known {
		return time.Time{}
	}
	return fromMillis(l.at.at)
}
