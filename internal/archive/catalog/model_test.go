package catalog

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/stream"
)

// world is a source with one topic, writers that archive it, and what they have stored. Each record has a number of its own, so that
// it can be told which log a chunk is of.
type world struct {
	rnd     *rand.Rand
	now     int64
	records int
	ids     int
	topics  []*topicLife
	writers []*archiver
	stored  []*stored
	gone    []*stored    // removed, with a word
	lost    []*stored    // without one
	quiet   []span64     // between them a moment means nothing: not every writer had seen what happened
	have    map[int]bool // records that are stored, once that is over
	pruned  int64        // up to here nothing is known any more
}

type span64 struct{ from, to int64 }

type topicLife struct {
	topic        bundle.Topic
	since, until int64
	widths       []width
	parts        map[int32]*sourcePart
}

type width struct {
	at int64
	n  int32
}

// sourcePart is a partition of the source: the logs that it had, one after the other.
type sourcePart struct {
	logs  [][]int
	from  []int64 // when each log was seen to begin
	start int
	gaps  []span // deleted before they were archived by somebody
}

func (p *sourcePart) log() []int { return p.logs[len(p.logs)-1] }

type place struct {
	life *topicLife
	part int32
}

type archiver struct {
	name                 string
	generation, sequence int64
	previous             bundle.Digest
	queue                []queued
	at                   map[place]int // what is in the queue counts
	built                map[place]int
}

type queued struct {
	place
	from, next int
	records    []int
	epoch      int32
	event      *bundle.Event
	first      bool // begins a bundle
	moved      bool // the position goes to next
}

type stored struct {
	object  Object
	footer  bundle.Footer
	records [][]int // of each chunk
}

func newWorld(seed uint64) *world {
	w := &world{rnd: rand.New(rand.NewPCG(seed, 3)), now: 1_700_000_000_000}
	for i := range 1 + w.rnd.IntN(2) {
		w.writers = append(w.writers, &archiver{name: fmt.Sprintf("w%d", i), at: make(map[place]int), built: make(map[place]int)})
	}
	return w
}

func (w *world) tick() int64 {
	w.now += 1 + w.rnd.Int64N(500)
	return w.now
}

func (w *world) topic() *topicLife {
	if n := len(w.topics); n > 0 && w.topics[n-1].until == 0 {
		return w.topics[n-1]
	}
	return nil
}

func (w *world) any() (p place, ok bool) {
	t := w.topic()
	if t == nil {
		return p, false
	}
	return place{t, w.rnd.Int32N(int32(len(t.parts)))}, true
}

func (a *archiver) event(at int64, b bundle.Body) {
	a.queue = append(a.queue, queued{event: &bundle.Event{At: fromMillis(at), Body: b}})
}

// begin makes the topic, or makes it anew.
func (w *world) begin() {
	at, before := w.tick(), w.topic()
	w.ids++
	t := &topicLife{since: at, parts: make(map[int32]*sourcePart)}
	t.topic = bundle.Topic{Name: "t", ID: stream.TopicID{byte(w.ids * 37), byte(w.ids)}, Incarnation: int32(len(w.topics))}
	n := 1 + w.rnd.Int32N(2)
	w.widen(t, at, n)
	found := len(w.topics) == 0 && w.rnd.IntN(2) == 0
	if found {
		t.since = 0
	}
	told := 1 + w.rnd.IntN(len(w.writers)) // one of them, or both
	for i, a := range w.writers[:told] {
		at := at + int64(i)
		if before != nil {
			a.event(at, bundle.TopicRecreated{Old: before.topic, New: t.topic, Partitions: n, Factor: -1})
		} else {
			a.event(at, bundle.TopicCreated{Topic: t.topic, Partitions: n, Factor: 2, Found: found})
		}
		w.now = at
	}
	if before != nil {
		before.until = at
	}
	w.topics = append(w.topics, t)
}

func (w *world) widen(t *topicLife, at int64, n int32) {
	t.widths = append(t.widths, width{at, n})
	for p := range n {
		if t.parts[p] == nil {
			t.parts[p] = &sourcePart{logs: [][]int{nil}, from: []int64{0}}
		}
	}
}

func (w *world) produce(p place) {
	s := p.life.parts[p.part]
	last := len(s.logs) - 1
	for range 1 + w.rnd.IntN(6) {
		w.records++
		s.logs[last] = append(s.logs[last], w.records)
	}
}

// fetch takes what is next, or finds that it is gone.
func (w *world) fetch(a *archiver, p place) {
	s, at := p.life.parts[p.part], a.at[p]
	if at < s.start {
		a.queue = append(a.queue, queued{place: p, next: s.start, moved: true, event: &bundle.Event{At: fromMillis(w.tick()), Body: bundle.Gap{
			Topic: p.life.topic, Partition: p.part, From: stream.Upstream(at), To: stream.Upstream(s.start), Reason: "deleted"}}})
		s.gaps = append(s.gaps, span{stream.Upstream(at), stream.Upstream(s.start)})
		a.at[p] = s.start
		return
	}
	log := s.log()
	if n := min(len(log)-at, 1+w.rnd.IntN(8)); n > 0 {
		a.queue = append(a.queue, queued{place: p, from: at, next: at + n, records: slices.Clone(log[at : at+n]), epoch: int32(len(s.logs))})
		a.at[p] = at + n
	}
}

// truncate cuts the log. Whoever has read further sees it, each at a time of its own.
func (w *world) truncate(p place) {
	s := p.life.parts[p.part]
	if len(s.log()) <= s.start {
		return
	}
	to := s.start + w.rnd.IntN(len(s.log())-s.start)
	began, seen := w.tick(), false
	for _, a := range w.writers {
		if at := a.at[p]; at > to {
			seen = true
			a.queue = append(a.queue, queued{place: p, next: to, moved: true, first: true, event: &bundle.Event{At: fromMillis(w.tick()),
				Body: bundle.Truncated{Topic: p.life.topic, Partition: p.part, LeaderEpoch: int32(len(s.logs)), From: stream.Upstream(at), To: stream.Upstream(to)}}})
			a.at[p] = to
		}
	}
	last := len(s.logs) - 1
	if !seen { // nothing of what is gone was archived
		s.logs[last] = s.logs[last][:to]
		return
	}
	s.logs = append(s.logs, slices.Clone(s.logs[last][:to]))
	s.from = append(s.from, w.now)
	w.quiet = append(w.quiet, span64{began, w.now})
}

// build stores a bundle of what waits, up to the next thing that begins one.
func (w *world) build(a *archiver) {
	if len(a.queue) == 0 {
		return
	}
	w.tick()
	n := 1
	for n < len(a.queue) && !a.queue[n].first {
		n++
	}
	taken := a.queue[:n]
	a.queue = a.queue[n:]
	s := &stored{}
	for _, q := range taken {
		if q.event != nil {
			s.footer.Events = append(s.footer.Events, *q.event)
		}
		if q.life == nil {
			continue
		}
		a.built[q.place] = q.next
		if !q.moved {
			s.chunk(q.life.topic, q.part, q.from, q.records, q.epoch)
		}
	}
	for p, next := range a.built {
		if p.life.until == 0 || w.rnd.IntN(2) == 0 {
			s.footer.Positions = append(s.footer.Positions, bundle.Position{Topic: p.life.topic, Partition: p.part, Next: stream.Upstream(next)})
		}
	}
	w.store(s, a)
}

func (s *stored) chunk(t bundle.Topic, part int32, from int, records []int, epoch int32) {
	s.footer.Chunks = append(s.footer.Chunks, bundle.Entry{Topic: t, Partition: part, LeaderEpoch: epoch,
		First: stream.Upstream(from), Next: stream.Upstream(from + len(records)), Records: int64(len(records))})
	s.records = append(s.records, records)
}

func (w *world) store(s *stored, a *archiver) {
	h := bundle.Header{Flow: stream.Flow{Source: "A"}, Writer: a.name, Generation: a.generation, Sequence: a.sequence, CreatedAt: fromMillis(w.now)}
	name := bundle.Name("", h)
	s.footer.Header, s.footer.Digest, s.footer.Previous = h, sha256.Sum256([]byte(name)), a.previous
	s.object = Object{Name: name, Size: 1000, Header: h}
	a.previous = s.footer.Digest
	a.sequence++
	w.stored = append(w.stored, s)
}

// restart loses what waits.
func (w *world) restart(a *archiver) {
	if slices.ContainsFunc(a.queue, func(q queued) bool { return q.event != nil }) {
		return // the others have seen it already, and this one would see it late
	}
	a.queue, a.generation, a.sequence = nil, a.generation+1, 0
	a.at = maps.Clone(a.built)
}

// compact puts the chunks of some old bundles together.
func (w *world) compact(c *archiver) {
	if len(w.stored) < 6 {
		return
	}
	for _, a := range w.writers {
		if slices.ContainsFunc(a.queue, func(q queued) bool { return q.first }) {
			return // nobody puts together what is so young that a truncation before it is not stored yet
		}
	}
	old := w.stored[:2+w.rnd.IntN(3)]
	w.tick()
	n, steps := &stored{}, bundle.Compacted{}
	removed := bundle.Removed{Reason: "compacted"}
	for _, s := range old {
		removed.Objects = append(removed.Objects, bundle.RemovedObject{Name: s.object.Name, Digest: s.footer.Digest})
		created := s.footer.Header.CreatedAt
		own := make(map[int][]bundle.Step)
		for _, e := range s.footer.Events {
			switch b := e.Body.(type) {
			case bundle.Compacted:
				for _, k := range b.Chunks {
					own[k.Chunk] = k.Steps
				}
				continue
			}
			n.footer.Events = append(n.footer.Events, e)
		}
		for i, e := range s.footer.Chunks {
			add := own[i]
			if add == nil {
				b := branchTo(never, w.cuts(e.Topic, e.Partition))
				add = []bundle.Step{{At: fromMillis(b.time(placed(&s.object, created.UnixMilli(), false))), Next: e.Next}}
			}
			last := slices.IndexFunc(n.footer.Chunks, func(k bundle.Entry) bool {
				return k.Topic == e.Topic && k.Partition == e.Partition && k.Next == e.First && k.LeaderEpoch == e.LeaderEpoch
			})
			if last < 0 {
				n.chunk(e.Topic, e.Partition, int(e.First), s.records[i], e.LeaderEpoch)
				steps.Chunks = append(steps.Chunks, bundle.CompactedChunk{Chunk: len(n.footer.Chunks) - 1, Steps: slices.Clone(add)})
				continue
			}
			n.footer.Chunks[last].Next = e.Next
			n.records[last] = slices.Concat(n.records[last], s.records[i])
			steps.Chunks[last].Steps = append(steps.Chunks[last].Steps, add...)
		}
	}
	if len(n.footer.Chunks) == 0 {
		return
	}
	n.footer.Events = append(n.footer.Events, bundle.Event{At: fromMillis(w.now), Body: steps})
	w.store(n, c)
	w.tick()
	word := &stored{}
	word.footer.Events = []bundle.Event{{At: fromMillis(w.now), Body: removed}}
	w.store(word, c)
	if w.rnd.IntN(3) > 0 { // otherwise it was killed before the old ones were gone
		w.gone = append(w.gone, old...)
		w.stored = slices.Clone(w.stored[len(old):])
	}
}

// cuts are the truncations of a partition that the store tells of.
func (w *world) cuts(t bundle.Topic, part int32) []cut {
	v := NewView("A", time.Time{}, nil)
	for _, s := range w.stored {
		v.Add(s.object, &s.footer)
	}
	return v.part(t, part).cuts
}

// prune removes the oldest bundles and says so.
func (w *world) prune(c *archiver) {
	if len(w.stored) < 6 {
		return
	}
	slices.SortFunc(w.stored, func(a, b *stored) int { return a.object.Header.CreatedAt.Compare(b.object.Header.CreatedAt) })
	k := 1 + w.rnd.IntN(3)
	old := w.stored[:k]
	r, word := bundle.Removed{Reason: "pruned"}, &stored{}
	for _, s := range old {
		r.Objects = append(r.Objects, bundle.RemovedObject{Name: s.object.Name, Digest: s.footer.Digest})
		for _, e := range s.footer.Chunks {
			r.Ranges = append(r.Ranges, bundle.RemovedRange{Topic: e.Topic, Partition: e.Partition, From: e.First, To: e.Next})
		}
		for _, e := range s.footer.Events {
			switch before := e.Body.(type) {
			case bundle.Removed: // or it would be forgotten
				r.Objects, r.Ranges = append(r.Objects, before.Objects...), append(r.Ranges, before.Ranges...)
			case bundle.Truncated: // what it cuts off may stand in a younger bundle, put together of older ones
				word.footer.Events = append(word.footer.Events, e)
			}
		}
		w.pruned = max(w.pruned, s.object.Header.CreatedAt.UnixMilli())
	}
	w.tick()
	word.footer.Events = append(word.footer.Events, bundle.Event{At: fromMillis(w.now), Body: r})
	w.store(word, c)
	w.gone = append(w.gone, old...)
	w.stored = slices.Clone(w.stored[k:])
}

// lose takes a bundle away without a word: one of records alone.
func (w *world) lose() {
	i := w.rnd.IntN(len(w.stored) + 1)
	if i < len(w.stored) && len(w.stored[i].footer.Events) == 0 {
		w.lost = append(w.lost, w.stored[i])
		w.stored = slices.Delete(slices.Clone(w.stored), i, i+1)
	}
}

func (w *world) view(at time.Time, wanted func(string) bool) *View {
	v := NewView("A", at, wanted)
	for _, i := range w.rnd.Perm(len(w.stored)) {
		v.Add(w.stored[i].object, &w.stored[i].footer)
	}
	return v
}

// trouble says what befalls a world.
type trouble struct{ cuts, lives, losses, prunes, compactions bool }

func (w *world) run(steps int, t trouble) {
	pruner, compacter := &archiver{name: "prune"}, &archiver{name: "compact"}
	w.begin()
	for range steps {
		a := w.writers[w.rnd.IntN(len(w.writers))]
		p, ok := w.any()
		switch n := w.rnd.IntN(100); {
		case !ok:
			w.begin()
		case n < 30:
			w.produce(p)
		case n < 60:
			w.fetch(a, p)
		case n < 80:
			w.build(a)
		case n < 83:
			w.restart(a)
		case n < 86 && t.cuts:
			w.truncate(p)
		case n < 88:
			s := p.life.parts[p.part]
			s.start = min(len(s.log()), s.start+w.rnd.IntN(4))
		case n < 90 && t.lives:
			w.begin()
		case n < 91 && t.lives:
			p.life.until = w.tick()
			a.event(w.now, bundle.TopicDeleted{Topic: p.life.topic})
		case n < 93 && t.lives:
			if len(p.life.parts) < 4 {
				before := int32(len(p.life.parts))
				w.widen(p.life, w.tick(), before+1)
				a.event(w.now, bundle.TopicWidened{Topic: p.life.topic, From: before, To: before + 1})
			}
		case n < 95 && t.losses:
			w.lose()
		case n < 97 && t.prunes:
			w.prune(pruner)
		case n < 99 && t.compactions:
			w.compact(compacter)
		}
	}
	for _, a := range w.writers {
		for len(a.queue) > 0 {
			w.build(a)
		}
	}
}
