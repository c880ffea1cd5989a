package catalog

import (
	"maps"
	"math"
	"slices"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/stream"
)

// Overview is since when and until when an archive can bring its topics back, for people and alerts.
//
// A moment is one as `archive restore --until` takes it: by the records' timestamps. When something was archived is known by the
// archive's clock, and a record is not archived before it was written. So, where the producers' clocks are right, everything of a
// moment is there if the archive followed the topic at that moment already and has lost nothing since: From and Oldest are times
// by the archive's clock, and good for --clock archive too.
type Overview struct {
	Objects     int
	Bytes       int64
	Damaged     int       // of Objects: they could not be read
	First, Last time.Time // creation of the first and the last bundle

	// Oldest is the earliest moment as of which every topic that existed then, or at any time since, can be restored. It is the beginning
	// of the archive, or of the topic that it has followed for the shortest time, unless it saw the topic being made. Zero: there is none.
	Oldest time.Time
	// Newest is that of the latest word of any writer, Last: what the archive had not read by then is missing.
	Newest time.Time

	Holes  int    // offsets that the source once had and that nobody pruned, in all Topics
	Topics []Span // by name and life; of those deleted long ago of which nothing is left, none
	Points []Moment
}

// Span is the time for which a topic can be restored, in one life.
type Span struct {
	Topic      bundle.Topic
	Partitions int32
	// From is when the archive saw the topic first: its creation, or its beginning with the topic. Where records were pruned, or deleted by
	// the source before the archive's beginning with a partition was told, it is when the first record was archived behind which all are there.
	From time.Time
	To   time.Time // the last word of a bundle about it, or its deletion

	Deleted bool // or made anew, at To
	Holes   int  // as above
}

// Moment is a Point without its positions.
type Moment struct {
	Name string
	At   time.Time
}

// Overview is what was added so far comes to.
func (o *Overviewing) Overview() Overview {
	v := o.view
	out := Overview{Objects: v.objects, Bytes: v.bytes, Damaged: o.damaged, First: v.oldest, Last: v.newest, Newest: v.newest}
	by := livesOf(v.lives)
	oldest := v.oldest
	for _, name := range slices.Sorted(maps.Keys(by)) {
		all := by[name]
		for i := range all {
			s := o.span(all, i)
			if !s.always && s.From.After(oldest) {
				oldest = s.From
			}
			if s.Deleted && !s.some {
				continue
			}
			out.Holes += s.Holes
			out.Topics = append(out.Topics, s.Span)
		}
	}
	if len(out.Topics) > 0 {
		out.Oldest = oldest
	}
	for _, p := range v.stateOfPoints() {
		out.Points = append(out.Points, Moment{p.Name, p.At})
	}
	return out
}

// spanned is a Span and what follows from it.
type spanned struct {
	Span
	some   bool // it has records
	always bool // it can be restored as of each moment of its life
}

// span is that of a life, one of all of its name.
func (o *Overviewing) span(all []*life, i int) spanned {
	l := all[i]
	began, made := l.since(i == 0)
	until := l.until(math.MaxInt64)
	if i+1 < len(all) {
		next, _ := all[i+1].since(false)
		until = min(until, max(next, began))
	}
	s := spanned{Span: Span{Topic: l.topic, Deleted: until != never}, always: made}
	s.Partitions, _ = l.width(math.MaxInt64)
	from := l.seen
	if made {
		from = began
	}
	for n, p := range l.parts {
		if n >= s.Partitions {
			continue
		}
		shown, _ := p.show(n, math.MaxInt64, func(string) bool { return false })
		s.some = s.some || len(shown.Stretches) > 0
		for _, h := range shown.Holes {
			if h.Why != Pruned {
				s.Holes++
			}
		}
		if at, lost := p.from(shown); lost {
			from, s.always = max(from, at), false
		}
	}
	to := until
	if !s.Deleted {
		to = o.last(l)
	}
	s.From, s.To = fromMillis(min(from, to)), fromMillis(to)
	return s
}

// from is when the first of the records was archived behind which none were lost, if some were lost before them: pruned, or deleted by
// the source before the archive began.
func (p *part) from(shown Part) (at int64, lost bool) {
	low := stream.Upstream(-1) // where what was pruned ends
	for _, s := range p.pruned {
		low, lost = max(low, s.to), true
	}
	for _, g := range p.gaps {
		lost = lost || g.from < shown.First()
	}
	if !lost {
		return 0, false
	}
	for _, s := range shown.Stretches {
		if s.To > low {
			return s.Steps()[0].At.UnixMilli(), true
		}
	}
	at = never
	for _, c := range p.claims { // nothing has come since, and somebody said so
		if c.next >= low {
			at = min(at, c.first.at)
		}
	}
	return at, true
}

// last is the last word about a life, in milliseconds.
func (o *Overviewing) last(l *life) int64 {
	at := max(o.word[keyOf(l.topic)], l.seen)
	if l.topic.ID != (stream.TopicID{}) { // what was said of it before it had an id
		at = max(at, o.word[lifeKey{name: l.topic.Name, incarnation: l.topic.Incarnation}])
	}
	return at
}
