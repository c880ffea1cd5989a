package catalog

import (
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/stream"
)

// View folds footers into what an archive holds as of a moment. It keeps no footer: of unwanted topics nothing, of the others the
// entries of chunks, and what of the events has a say. It is not safe for concurrent use.
type View struct {
	source string
	at     time.Time
	limit  int64 // at, in milliseconds
	wanted func(topic string) bool

	names  map[string]string // one copy of each topic's name
	lives  map[lifeKey]*life
	groups map[string]*group
	acls   latest[[]bundle.ACL]
	points map[pointKey]point
	chain  chain

	damaged        []Damaged
	objects        int
	bytes          int64
	oldest, newest time.Time
}

// NewView begins a View as of a moment; at zero: all there is; wanted nil: all topics.
func NewView(source string, at time.Time, wanted func(topic string) bool) *View {
	if wanted == nil {
		wanted = func(string) bool { return true }
	}
	return &View{
		source: source, at: at, limit: limit(at), wanted: wanted,
		names: make(map[string]string), lives: make(map[lifeKey]*life), groups: make(map[string]*group),
		points: make(map[pointKey]point), chain: newChain(),
	}
}

// AddDamaged notes an object that cannot be used.
func (v *View) AddDamaged(o Object, err error) {
	v.count(&o)
	v.damaged = append(v.damaged, Damaged{Object: o, Err: err})
}

// Add folds the footer of an object.
func (v *View) Add(o Object, f *bundle.Footer) {
	v.count(&o)
	v.chain.add(&o, f)
	steps := stepsOf(f)
	b := folding{object: &o, created: placed(&o, f.Header.CreatedAt.UnixMilli(), steps != nil)}
	ends := v.chunks(b, f.Chunks, steps)
	if steps == nil { // a bundle of older chunks says nothing of where an archive goes on
		v.positions(b, f.Positions, ends)
	}
	for i, e := range f.Events {
		v.event(b, order{when: placed(&o, e.At.UnixMilli(), steps != nil), index: i}, e)
	}
}

// folding is the bundle that is being added.
type folding struct {
	object  *Object
	created when
}

func (v *View) count(o *Object) {
	v.objects++
	v.bytes += o.Size
	at := o.Header.CreatedAt
	if v.oldest.IsZero() || at.Before(v.oldest) {
		v.oldest = at
	}
	if at.After(v.newest) {
		v.newest = at
	}
}

// chunks keeps the wanted ones, and says where they end.
func (v *View) chunks(b folding, all []bundle.Entry, steps map[int][]bundle.Step) map[*part]stream.Upstream {
	wanted := 0
	for i := range all {
		if v.wanted(all[i].Topic.Name) {
			wanted++
		}
	}
	if wanted == 0 {
		return nil
	}
	ends := make(map[*part]stream.Upstream, wanted)
	own := make([]bundle.Entry, 0, wanted) // one piece of memory, without the unwanted ones
	for i := range all {
		if !v.wanted(all[i].Topic.Name) {
			continue
		}
		own = append(own, all[i])
		e := &own[len(own)-1]
		e.Topic.Name = v.intern(e.Topic.Name)
		p := v.part(e.Topic, e.Partition)
		c := chunk{object: b.object, entry: e, index: int32(i)}
		seen := b.created.at
		if s, ok := steps[i]; ok {
			c.steps = &s
			seen = s[0].At.UnixMilli()
		}
		v.life(e.Topic).see(seen)
		p.see(seen)
		p.chunks = append(p.chunks, c)
		ends[p] = max(ends[p], e.Next)
	}
	return ends
}

// positions keeps where the archive of partitions had come to. Where a chunk of the same bundle ends there, that says it as well.
func (v *View) positions(b folding, all []bundle.Position, ends map[*part]stream.Upstream) {
	for i := range all {
		q := &all[i]
		if !v.wanted(q.Topic.Name) {
			continue
		}
		v.life(q.Topic).see(b.created.at)
		p := v.part(q.Topic, q.Partition)
		p.see(b.created.at)
		if end, ok := ends[p]; !ok || end != q.Next {
			p.claim(q.Next, b.created)
		}
	}
}

func (v *View) event(b folding, at order, e bundle.Event) {
	switch body := e.Body.(type) {
	case bundle.TopicCreated:
		v.happened(body.Topic, turn{order: at, made: !body.Found, found: body.Found, partitions: body.Partitions, factor: body.Factor})
	case bundle.TopicRecreated:
		v.happened(body.Old, turn{order: at, gone: true, factor: -1})
		v.happened(body.New, turn{order: at, made: true, partitions: body.Partitions, factor: body.Factor})
	case bundle.TopicWidened:
		v.happened(body.Topic, turn{order: at, before: body.From, partitions: body.To, factor: -1})
	case bundle.TopicDeleted:
		v.happened(body.Topic, turn{order: at, gone: true, factor: -1})
	case bundle.TopicConfigs:
		if v.wanted(body.Topic.Name) {
			l := v.life(body.Topic)
			l.see(at.at)
			l.configs.put(at, body.Configs, v.limit)
		}
	case bundle.Truncated:
		if v.wanted(body.Topic.Name) {
			v.life(body.Topic).see(at.at)
			p := v.part(body.Topic, body.Partition)
			p.cuts = append(p.cuts, cut{order: at, epoch: body.LeaderEpoch, from: body.From, to: body.To})
		}
	case bundle.Gap:
		if v.wanted(body.Topic.Name) {
			v.life(body.Topic).see(at.at)
			p := v.part(body.Topic, body.Partition)
			p.gaps = append(p.gaps, gap{when: at.when, from: body.From, to: body.To})
		}
	case bundle.ACLs:
		v.acls.put(at, body.Bindings, v.limit)
	case bundle.GroupOffsets:
		if at.at <= v.limit {
			v.group(at, body)
		}
	case bundle.Mark:
		v.mark(b, at, body)
	case bundle.Removed:
		v.removed(body)
	}
}

func (v *View) happened(t bundle.Topic, turn turn) {
	if !v.wanted(t.Name) {
		return
	}
	l := v.life(t)
	at := turn.at
	if turn.gone {
		at-- // it was there before
	}
	l.see(at)
	l.turns = append(l.turns, turn)
}

func (v *View) removed(r bundle.Removed) {
	v.chain.gone(r.Objects)
	for _, g := range r.Ranges {
		if v.wanted(g.Topic.Name) {
			p := v.part(g.Topic, g.Partition)
			p.pruned = append(p.pruned, span{g.From, g.To})
		}
	}
}

func (v *View) intern(name string) string {
	if own, ok := v.names[name]; ok {
		return own
	}
	v.names[name] = name
	return name
}

func (v *View) life(t bundle.Topic) *life {
	key := keyOf(t)
	l := v.lives[key]
	if l == nil {
		l = newLife(bundle.Topic{Name: v.intern(t.Name), ID: t.ID, Incarnation: t.Incarnation})
		key.name = l.topic.Name
		v.lives[key] = l
	}
	l.topic.Incarnation = max(l.topic.Incarnation, t.Incarnation)
	return l
}

func (v *View) part(t bundle.Topic, number int32) *part {
	l := v.life(t)
	p := l.parts[number]
	if p == nil {
		p = &part{seen: never}
		l.parts[number] = p
	}
	return p
}
