package restore

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	"tandem/internal/stream"
)

// Clock is the clock that a moment is told by.
type Clock string

// The clocks.
const (
	RecordClock  Clock = "record"  // the records' timestamps
	ArchiveClock Clock = "archive" // when they were archived
)

// Selection is what a person asks for.
type Selection struct {
	Until time.Time // zero: all that is archived
	Clock Clock
	Point string    // or a named point
	From  time.Time // timestamp of the first records; zero: all

	Topics     func(topic string) bool
	Partitions []int32                   // nil: all
	Groups     func(group string) bool   // nil: none
	Rename     func(topic string) string // the name on the target
	Raw        bool
	ACLs       bool

	// After are the source offsets from which on partitions are wanted, where the target has what stands before.
	After map[stream.Partition]stream.Upstream

	// Within are the only partitions that are wanted, and the only offsets of each; nil: all.
	Within map[stream.Partition]Range
}

// Range is source offsets From <= o < End.
type Range struct{ From, End stream.Upstream }

// Plan is what a restore sets out to do. It is kept in the ledger: where it was begun, it is followed, whatever the archive has got since.
type Plan struct {
	Version int    `json:"version"`
	Source  string `json:"source"` // alias
	Cluster string `json:"cluster"`
	Asked   string `json:"asked"` // the selection, as text
	Point   string `json:"point,omitempty"`

	Moment time.Time `json:"moment,omitzero"` // of the topics, configs and groups; zero: the latest
	Since  *int64    `json:"since,omitempty"` // milliseconds
	Until  *int64    `json:"until,omitempty"`
	Raw    bool      `json:"raw,omitempty"`

	Topics  []Topic      `json:"topics"`
	Groups  []Group      `json:"groups,omitempty"`
	ACLs    []bundle.ACL `json:"acls,omitempty"`
	Objects []string     `json:"objects"`         // bundles that are read: prune leaves them alone until the restore is finished
	Notes   []string     `json:"notes,omitempty"` // what a person may want to know
	Append  bool         `json:"append,omitempty"`
	Missing bool         `json:"missingOnly,omitempty"` // the target has what stands before the first offsets
	Ends    []Base       `json:"ends,omitempty"`        // of partitions of the target, if Missing: the plan holds as long as they do
}

// Topic is a topic to restore.
type Topic struct {
	Name        string            `json:"name"`
	To          string            `json:"to"`
	ID          string            `json:"id,omitempty"` // in hex, empty where the source had none
	Incarnation int32             `json:"incarnation"`
	Partitions  int32             `json:"partitions"`
	Factor      int16             `json:"replicationFactor"` // -1: the target's default
	Configs     map[string]string `json:"configs,omitempty"`
	Parts       []Part            `json:"parts"` // those of which something is archived
}

// Part is a partition to restore: source offsets From <= o < End.
type Part struct {
	Number  int32           `json:"partition"`
	From    stream.Upstream `json:"from"`
	End     stream.Upstream `json:"end"`
	Records int64           `json:"records"` // about as many, unless Exact
	Exact   bool            `json:"exact"`
	Bytes   int64           `json:"bytes"` // to be read from the store
	Open    int             `json:"openTransactions,omitempty"`
	Holes   []Hole          `json:"holes,omitempty"`

	Oldest int64 `json:"oldest"` // see Log.Times
	Least  int64 `json:"leastTimestamp"`
	Most   int64 `json:"mostTimestamp"`

	Largest int64 `json:"largestRecord,omitempty"` // some record has as many bytes, or more: what chunks tell without being read
}

// Hole is source offsets that the archive does not have.
type Hole struct {
	From stream.Upstream `json:"from"`
	To   stream.Upstream `json:"to"`
	Why  string          `json:"why"`
	Lost bool            `json:"lost"`
}

// Group is a group and where it stood at the source.
type Group struct {
	Name    string        `json:"group"`
	Offsets []GroupOffset `json:"offsets"`
}

// GroupOffset is the position of a group in a partition of the source.
type GroupOffset struct {
	Topic     string          `json:"topic"`
	Partition int32           `json:"partition"`
	Offset    stream.Upstream `json:"offset"`
	Metadata  string          `json:"metadata,omitempty"`
}

const planVersion = 1

// Moment is the time as of which the state of the archive is wanted for a selection; points are those of any state.
func (s Selection) Moment(points []catalog.Point) (time.Time, error) {
	if s.Point == "" {
		return s.Until, nil
	}
	p, err := s.point(points)
	return p.At, err
}

func (s Selection) point(points []catalog.Point) (catalog.Point, error) {
	var names []string
	for _, p := range points {
		if p.Name == s.Point {
			return p, nil
		}
		names = append(names, p.Name)
	}
	if len(names) == 0 {
		return catalog.Point{}, fmt.Errorf("the archive has no point %q, and no other one either; archive mark makes one", s.Point)
	}
	return catalog.Point{}, fmt.Errorf("the archive has no point %q; it has %s", s.Point, strings.Join(names, ", "))
}

// Make makes the plan of a selection, of a state as of its moment.
func Make(state *catalog.State, s Selection) (*Plan, error) {
	p := &Plan{Version: planVersion, Source: state.Source, Point: s.Point, Moment: state.Moment, Raw: s.Raw}
	var point map[place]stream.Upstream
	if s.Point != "" {
		found, err := s.point(state.Points)
		if err != nil {
			return nil, err
		}
		point = positions(found)
	}
	if !s.From.IsZero() {
		p.Since = new(s.From.UnixMilli())
	}
	if !s.Until.IsZero() && s.Point == "" && s.Clock != ArchiveClock {
		p.Until = new(s.Until.UnixMilli())
	}
	for i := range state.Lives {
		life := &state.Lives[i]
		if !s.Topics(life.Topic.Name) {
			continue
		}
		t := Topic{Name: life.Topic.Name, To: s.Rename(life.Topic.Name), Incarnation: life.Topic.Incarnation, ID: IDText(life.Topic.ID),
			Partitions: life.Partitions, Factor: life.Factor, Configs: life.Configs}
		for _, part := range life.Parts {
			t.Partitions = max(t.Partitions, part.Number+1)
			if s.Partitions != nil && !slices.Contains(s.Partitions, part.Number) {
				continue
			}
			at := stream.Partition{Topic: t.Name, Number: part.Number}
			cut := p.cut(part)
			cut.From = max(cut.From, s.After[at])
			if s.Within != nil {
				w, ok := s.Within[at]
				if !ok {
					continue
				}
				cut.From, cut.End = max(cut.From, w.From), min(cut.End, w.End)
			}
			switch {
			case point != nil:
				end, ok := point[placeOf(life.Topic, part.Number)]
				if !ok {
					continue
				}
				if end > cut.End {
					p.note("%s/%d is archived up to offset %d; the point is at %d", t.Name, part.Number, cut.End, end)
				}
				cut.End = min(cut.End, end)
			case s.Clock == ArchiveClock && !s.Until.IsZero():
				cut.End = min(cut.End, part.ArchivedUntil(s.Until))
			}
			t.add(part, cut)
		}
		if t.Partitions == 0 {
			t.Partitions = 1
		}
		p.Topics = append(p.Topics, t)
	}
	p.groups(state, s)
	p.acls(state, s)
	slices.SortFunc(p.Topics, func(a, b Topic) int { return cmp.Compare(a.Name, b.Name) })
	return p, p.unique()
}

func (p *Plan) note(format string, args ...any) {
	p.Notes = append(p.Notes, fmt.Sprintf(format, args...))
}

// cut is all of a partition that the times allow.
func (p *Plan) cut(part catalog.Part) Cut {
	c := Cut{From: part.First(), End: part.Next(), Since: Always, Until: Never, Raw: p.Raw}
	if p.Since != nil {
		c.Since = *p.Since
	}
	if p.Until != nil {
		c.Until = *p.Until
	}
	return c
}

func (t *Topic) add(part catalog.Part, cut Cut) {
	log := NewLog(part, cut, nil)
	if log.First() >= log.End() {
		return
	}
	// What is out at the end is not waited for.
	x := Part{Number: part.Number, From: log.First(), End: log.End(), Bytes: log.Bytes(0)}
	x.Records, x.Exact = log.Records()
	x.Oldest, x.Least, x.Most = log.Times()
	x.Largest = log.Largest()
	for _, h := range part.Holes {
		if h.From < cut.End && h.To > cut.From {
			x.Holes = append(x.Holes, Hole{From: h.From, To: min(h.To, cut.End), Why: string(h.Why), Lost: h.Why == catalog.Lost})
		} else if cut.From <= h.From && h.From >= part.Next() && cut.End == part.Next() && h.Why == catalog.Lost { // the end is missing
			x.Holes = append(x.Holes, Hole{From: h.From, To: h.To, Why: string(h.Why), Lost: true})
		}
	}
	t.Parts = append(t.Parts, x)
}

// place is a partition of a life.
type place struct {
	topic  string
	id     stream.TopicID
	life   int32 // where there is no id
	number int32
}

func placeOf(t bundle.Topic, number int32) place {
	p := place{topic: t.Name, id: t.ID, number: number}
	if t.ID == (stream.TopicID{}) {
		p.life = t.Incarnation
	}
	return p
}

func positions(point catalog.Point) map[place]stream.Upstream {
	m := make(map[place]stream.Upstream, len(point.Positions))
	for _, x := range point.Positions {
		m[placeOf(x.Topic, x.Partition)] = x.Next
	}
	return m
}

// IDText is a topic id in hex, empty where there is none.
func IDText(id stream.TopicID) string {
	if id == (stream.TopicID{}) {
		return ""
	}
	return fmt.Sprintf("%x", id[:])
}

// groups are those that have a position in a partition that is restored.
func (p *Plan) groups(state *catalog.State, s Selection) {
	if s.Groups == nil {
		return
	}
	restored := make(map[stream.Partition]bool)
	for _, t := range p.Topics {
		for _, part := range t.Parts {
			restored[stream.Partition{Topic: t.Name, Number: part.Number}] = true
		}
	}
	for name, offsets := range state.Groups {
		if !s.Groups(name) {
			continue
		}
		g := Group{Name: name}
		for at, o := range offsets {
			if restored[at] && o.Offset >= 0 {
				g.Offsets = append(g.Offsets, GroupOffset{Topic: at.Topic, Partition: at.Number, Offset: o.Offset, Metadata: o.Metadata})
			}
		}
		if len(g.Offsets) == 0 {
			continue
		}
		slices.SortFunc(g.Offsets, func(a, b GroupOffset) int {
			return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
		})
		p.Groups = append(p.Groups, g)
	}
	slices.SortFunc(p.Groups, func(a, b Group) int { return cmp.Compare(a.Name, b.Name) })
}

const (
	resourceTopic   = 2 // in Kafka's protocol
	patternLiteral  = 3
	patternPrefixed = 4
)

// acls are those that name a restored topic. Prefixed ones, and those of all topics, are left to the target's operator: they speak of
// topics that are not restored, too.
func (p *Plan) acls(state *catalog.State, s Selection) {
	if !s.ACLs {
		return
	}
	to := make(map[string]string, len(p.Topics))
	for _, t := range p.Topics {
		to[t.Name] = t.To
	}
	for _, b := range state.ACLs {
		if b.ResourceType != resourceTopic {
			continue
		}
		name, restored := to[b.Resource]
		switch {
		case b.PatternType == patternLiteral && restored:
			b.Resource = name
			p.ACLs = append(p.ACLs, b)
		case b.PatternType == patternPrefixed || b.Resource == "*":
			p.note("an ACL of %s on topics %q (%s) is not restored: it speaks of others too", b.Principal, b.Resource, pattern(b.PatternType))
		}
	}
	if state.ACLsAt.IsZero() {
		p.note("the archive knows of no ACLs")
	}
}

func pattern(t int8) string {
	if t == patternPrefixed {
		return "prefixed"
	}
	return "literal"
}

// unique refuses two topics that would become one.
func (p *Plan) unique() error {
	from := make(map[string]string)
	for _, t := range p.Topics {
		if other, ok := from[t.To]; ok {
			return fmt.Errorf("topics %s and %s would both be restored into %s; rename one of them", other, t.Name, t.To)
		}
		from[t.To] = t.Name
	}
	return nil
}
