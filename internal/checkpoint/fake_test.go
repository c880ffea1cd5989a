package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"tandem/internal/stream"
)

// cluster has groups, and does with them what a broker does.
type cluster struct {
	mu      sync.Mutex
	groups  map[string]*fakeGroup
	partial error            // Groups finds all but those that are hidden, and fails
	hidden  map[string]bool  // from Groups and GroupStates
	refuses map[string]error // offsets of groups, and commits
	calls   map[string]int

	beforeCommit func(group string)
	committing   func(group string, p stream.Partition, c stream.Committed) // before it is done
}

type fakeGroup struct {
	kind    string
	live    bool
	offsets map[stream.Partition]stream.Committed
}

func newCluster() *cluster {
	return &cluster{groups: map[string]*fakeGroup{}, hidden: map[string]bool{}, refuses: map[string]error{}, calls: map[string]int{}}
}

func (c *cluster) group(name string) *fakeGroup {
	g := c.groups[name]
	if g == nil {
		g = &fakeGroup{kind: "classic", offsets: map[stream.Partition]stream.Committed{}}
		c.groups[name] = g
	}
	return g
}

func (c *cluster) set(name string, p stream.Partition, offset int64) {
	c.group(name).offsets[p] = stream.Committed{Offset: offset, Metadata: "m"}
}

func (c *cluster) at(name string, p stream.Partition) int64 {
	g, ok := c.groups[name]
	if !ok {
		return -1
	}
	if o, ok := g.offsets[p]; ok {
		return o.Offset
	}
	return -1
}

func (c *cluster) state(name string) stream.Group {
	g := stream.Group{ID: name, State: "Dead"}
	if found, ok := c.groups[name]; ok {
		g.Type, g.State = found.kind, "Empty"
		if found.live {
			g.State = "Stable"
		}
	}
	return g
}

func (c *cluster) Groups(context.Context) ([]stream.Group, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls["Groups"]++
	var all []stream.Group
	for name := range c.groups {
		if !c.hidden[name] {
			all = append(all, c.state(name))
		}
	}
	return all, c.partial
}

func (c *cluster) GroupOffsets(_ context.Context, names []string) (map[string]map[stream.Partition]stream.Committed, map[string]error, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls["GroupOffsets"]++
	offsets, refused := map[string]map[stream.Partition]stream.Committed{}, map[string]error{}
	for _, name := range names {
		if err := c.refuses[name]; err != nil {
			refused[name] = err
		} else if g := c.groups[name]; g != nil {
			offsets[name] = maps.Clone(g.offsets)
		}
	}
	return offsets, refused, nil
}

func (c *cluster) GroupStates(_ context.Context, names []string) (map[string]stream.Group, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls["GroupStates"]++
	states := map[string]stream.Group{}
	for _, name := range names {
		if !c.hidden[name] {
			states[name] = c.state(name)
		}
	}
	return states, c.partial
}

func (c *cluster) CommitOffsets(_ context.Context, name string, offsets map[stream.Partition]stream.Committed) (map[stream.Partition]error, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls["CommitOffsets"]++
	if c.beforeCommit != nil {
		c.beforeCommit(name)
	}
	if err := c.refuses[name]; err != nil {
		return nil, err
	}
	g := c.group(name)
	failed := map[stream.Partition]error{}
	for p, o := range offsets {
		if g.live {
			failed[p] = &stream.BrokerError{Code: codeUnknownMemberID, Name: "UNKNOWN_MEMBER_ID"}
			continue
		}
		if err := c.refuses[p.String()]; err != nil {
			failed[p] = err
			continue
		}
		if c.committing != nil {
			c.committing(name, p, o)
		}
		g.offsets[p] = o
	}
	return failed, nil
}

// topics is the log of the target.
type topics struct {
	mu      sync.Mutex
	records map[string][]stream.Record
	broken  map[string]error // by topic
	appends map[string]int   // calls, by topic
	order   []string         // what was done, in order
}

var errNoSuchTopic = errors.New("no such topic")

func newTopics(names ...string) *topics {
	t := &topics{records: map[string][]stream.Record{}, broken: map[string]error{}, appends: map[string]int{}}
	for _, n := range names {
		t.records[n] = []stream.Record{}
	}
	return t
}

func (t *topics) ReadAll(_ context.Context, topic string, _ bool, each func(stream.Record) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.broken[topic]; err != nil {
		return err
	}
	if t.records[topic] == nil {
		return errNoSuchTopic
	}
	for _, r := range t.records[topic] {
		if err := each(r); err != nil {
			return err
		}
	}
	return nil
}

func (t *topics) Append(_ context.Context, topic string, records []stream.Record) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.order = append(t.order, topic)
	t.appends[topic]++
	if err := t.broken[topic]; err != nil {
		return err
	}
	for _, r := range records {
		r.Offset = int64(len(t.records[topic]))
		t.records[topic] = append(t.records[topic], r)
	}
	return nil
}

func (t *topics) known(tb testing.TB) *Known {
	tb.Helper()
	k := NewKnown()
	for topic, take := range map[string]func(stream.Record) error{"A.checkpoints.internal": k.TakeCheckpoint, "mm2-tandem.A.internal": k.TakeTandem} {
		if err := t.ReadAll(tb.Context(), topic, true, take); err != nil {
			tb.Fatal(err)
		}
	}
	return k
}

// scene is a flow from A to B, whose topics a and b are mirrored record by record, each 100 records of A at 10 of B: an
// offset up is at up/10 on B, if mirrored says so.
type scene struct {
	t        testing.TB
	source   *cluster
	target   *cluster
	log      *topics
	mirrored map[stream.Partition]int64 // source offsets below are mirrored; without an entry nothing is known
	clamped  map[stream.Partition]bool
	broken   error // of Translate
	looked   int   // calls of Translate
	keeper   *Keeper
	seen     int // checkpoints that fresh has told
	config   Config

	mu     sync.Mutex
	events []string
}

func newScene(t testing.TB) *scene {
	s := &scene{t: t, source: newCluster(), target: newCluster(), log: newTopics("A.checkpoints.internal", "mm2-tandem.A.internal"),
		mirrored: map[stream.Partition]int64{}, clamped: map[stream.Partition]bool{}}
	s.config = Config{
		Flow: stream.Flow{Source: "A", Target: "B"}, Source: s.source, Target: s.target, Log: s.log,
		Translate: s.translate,
		Durable: func(context.Context) error {
			s.log.order = append(s.log.order, "durable")
			return s.log.broken["durable"]
		},
		Groups:           func(name string) bool { return !strings.HasPrefix(name, "console") },
		Topics:           func(topic string) bool { return topic != "private" },
		CheckpointsTopic: "A.checkpoints.internal", TandemTopic: "mm2-tandem.A.internal",
		Interval: relist, Refresh: recheck, Sync: relist,
		Report: s.report,
	}
	s.start()
	return s
}

// start begins with a new Keeper, as a process that starts does.
func (s *scene) start() {
	s.keeper = New(s.config)
	s.keeper.load(s.t.Context())
}

func (s *scene) translate(_ context.Context, p stream.Partition, up stream.Upstream) (stream.Partition, stream.Translated, error) {
	s.looked++
	remote := at("A."+p.Topic, p.Number)
	end, known := s.mirrored[p]
	switch {
	case s.broken != nil:
		return remote, stream.Translated{Offset: 77}, s.broken
	case !known:
		return remote, stream.Translated{Offset: -1, Class: stream.Unknown, Reason: "nothing is mirrored"}, nil
	case int64(up) > end:
		return remote, stream.Translated{Offset: stream.Downstream(end / 10), Class: stream.Ahead}, nil
	case s.clamped[p]:
		return remote, stream.Translated{Offset: stream.Downstream(up/10) / 2, Class: stream.Clamped, Again: 1}, nil
	}
	return remote, stream.Translated{Offset: stream.Downstream(up / 10)}, nil
}

func (s *scene) report(e stream.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := e.Message
	for _, f := range e.Fields {
		text += fmt.Sprintf(" %s=%v", f.Key, f.Value)
	}
	s.events = append(s.events, text)
}

// told are the events since the last call.
func (s *scene) told() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.events
	s.events = nil
	return e
}

func (s *scene) round() {
	s.t.Helper()
	if err := s.keeper.round(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// pass is a round with group sync.
func (s *scene) pass() {
	s.t.Helper()
	s.round()
	if err := s.keeper.sync(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// fresh are the checkpoints written since the last call, as "group topic/partition up:down".
func (s *scene) fresh() string {
	s.t.Helper()
	var all []string
	for _, r := range s.log.records["A.checkpoints.internal"][s.seen:] {
		c, err := decodeCheckpoint(r)
		if err != nil {
			continue
		}
		all = append(all, fmt.Sprintf("%s %s %d:%d", c.Group, c.Remote, c.Up, c.Down))
	}
	s.seen = len(s.log.records["A.checkpoints.internal"])
	slices.Sort(all)
	return strings.Join(all, ", ")
}
