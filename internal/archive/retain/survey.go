package retain

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	"tandem/internal/stream"
)

// life identifies a topic: by its id where it has one. Two writers may number the lives of a name differently.
type life struct {
	name        string
	id          stream.TopicID
	incarnation int32
}

func lifeOf(t bundle.Topic) life {
	if t.ID != (stream.TopicID{}) {
		return life{name: t.Name, id: t.ID}
	}
	return life{name: t.Name, incarnation: t.Incarnation}
}

type part struct {
	life   life
	number int32
}

// chunk is what has to be known of a chunk.
type chunk struct {
	part        part
	topic       bundle.Topic
	first, next stream.Upstream
	newest      int64 // timestamp, -1 unknown
	open        bool  // a transaction is open at next
	records     bool  // it has, or may have, records
}

// held is a bundle of the archive.
type held struct {
	object    catalog.Object
	digest    bundle.Digest
	previous  bundle.Digest
	old       bool
	damaged   bool
	unknown   bool // has events of a kind that is not known here
	positions bool
	chunks    []chunk            // of old bundles only
	cuts      map[part]time.Time // where the source lost the end of a log, and when
}

// told is an event, and where it stands.
type told struct {
	bundle.Event
	bundle int
	index  int
}

// point is a named moment.
type point struct {
	told
	bundle.Mark
}

// Survey is what is known of an archive. It is not safe for concurrent use.
type Survey struct {
	cutoff  time.Time
	bundles []held
	low     map[part]stream.Upstream // least offset of what is not old
	events  []told                   // that are to be carried over, or folded
	configs []told                   // of topics, at any time
	points  []point
	removed []told          // Removed events
	cut     map[part]bool   // partitions of which the source lost an end
	runs    map[string]bool // partitions of which a bundle that is not old has runs
}

// NewSurvey begins a Survey. What was archived before the cutoff is old.
func NewSurvey(cutoff time.Time) *Survey {
	return &Survey{cutoff: cutoff, low: make(map[part]stream.Upstream), cut: make(map[part]bool), runs: make(map[string]bool)}
}

// AddDamaged notes a bundle that cannot be read.
func (s *Survey) AddDamaged(o catalog.Object) {
	s.bundles = append(s.bundles, held{object: o, damaged: true})
}

// Add notes a bundle. The footer may be read afterwards as well, and is held on to in part.
func (s *Survey) Add(o catalog.Object, f *bundle.Footer) {
	b := held{object: o, digest: f.Digest, previous: f.Previous, positions: len(f.Positions) > 0}
	b.old = archivedUntil(f).Before(s.cutoff)
	for i, ev := range f.Events {
		s.event(&b, told{ev, len(s.bundles), i})
	}
	for i := range f.Chunks {
		e := &f.Chunks[i]
		p := part{lifeOf(e.Topic), e.Partition}
		if !b.old {
			if low, ok := s.low[p]; !ok || e.First < low {
				s.low[p] = e.First
			}
			continue
		}
		b.chunks = append(b.chunks, chunk{p, e.Topic, e.First, e.Next, e.MaxTimestamp, len(e.Open) > 0, e.Records != 0})
	}
	s.bundles = append(s.bundles, b)
}

func (s *Survey) event(b *held, t told) {
	switch body := t.Body.(type) {
	case bundle.Mark:
		s.points = append(s.points, point{t, body})
		return
	case bundle.Removed:
		s.removed = append(s.removed, t)
		return
	case bundle.Unknown:
		b.unknown = true
		return
	case bundle.TopicConfigs:
		s.configs = append(s.configs, t)
	case bundle.Truncated:
		if b.cuts == nil {
			b.cuts = make(map[part]time.Time)
		}
		p := part{lifeOf(body.Topic), body.Partition}
		b.cuts[p], s.cut[p] = t.At, true
	case bundle.Runs:
		if !b.old {
			s.runs[runsKey(body)] = true
		}
	}
	if !t.At.After(s.cutoff) {
		s.events = append(s.events, t)
	}
}

// archivedUntil is when the youngest thing of a bundle was archived.
func archivedUntil(f *bundle.Footer) time.Time {
	last, steps := f.Header.CreatedAt, make(map[int]time.Time)
	for _, ev := range f.Events {
		c, ok := ev.Body.(bundle.Compacted)
		if !ok {
			continue
		}
		for _, chunk := range c.Chunks {
			for _, step := range chunk.Steps {
				if step.At.After(steps[chunk.Chunk]) {
					steps[chunk.Chunk] = step.At
				}
			}
		}
	}
	if len(steps) > 0 && len(steps) == len(f.Chunks) {
		last = time.Time{}
		for _, at := range steps {
			last = latest(last, at)
		}
	}
	for _, ev := range f.Events {
		switch ev.Body.(type) {
		case bundle.Compacted, bundle.Removed: // of the work itself
		default:
			last = latest(last, ev.At)
		}
	}
	return last
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// inOrder is the order of history: what happened at one moment is in the order of its bundles.
func (s *Survey) inOrder(events []told) []told {
	sorted := slices.Clone(events)
	slices.SortStableFunc(sorted, func(x, y told) int {
		a, b := s.bundles[x.bundle].object.Header, s.bundles[y.bundle].object.Header
		return cmp.Or(x.At.Compare(y.At), strings.Compare(a.Writer, b.Writer), cmp.Compare(a.Generation, b.Generation),
			cmp.Compare(a.Sequence, b.Sequence), a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(x.index, y.index))
	})
	return sorted
}
