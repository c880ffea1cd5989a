package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/config"
	"tandem/internal/policy"
	"tandem/internal/stream"
)

// cluster is a source as a watch sees it.
type cluster struct {
	topics  []stream.Topic
	hidden  []string // topics that are there, but not listed
	configs map[string][]stream.ConfigEntry
	acls    []stream.ACL
	kept    bool
	denied  error // of ACLs

	groups  map[string]map[stream.Partition]stream.Committed
	partial error
}

func (c *cluster) Topics(context.Context) ([]stream.Topic, error) { return c.topics, nil }

func (c *cluster) Configs(_ context.Context, names []string) (map[string][]stream.ConfigEntry, error) {
	all := make(map[string][]stream.ConfigEntry)
	var refused error
	for _, name := range names {
		if slices.Contains(c.hidden, name) {
			refused = errors.Join(refused, &stream.BrokerError{Code: stream.CodeTopicAuthorization, Name: "TOPIC_AUTHORIZATION_FAILED"})
		}
		if slices.ContainsFunc(c.topics, func(t stream.Topic) bool { return t.Name == name }) {
			all[name] = c.configs[name]
		}
	}
	return all, refused
}

func (c *cluster) ACLs(context.Context) ([]stream.ACL, bool, error) { return c.acls, c.kept, c.denied }

func (c *cluster) Groups(context.Context) (all []stream.Group, err error) {
	for id := range c.groups {
		all = append(all, stream.Group{ID: id})
	}
	return all, c.partial
}

func (c *cluster) GroupOffsets(_ context.Context, ids []string) (map[string]map[stream.Partition]stream.Committed, map[string]error, error) {
	all := make(map[string]map[stream.Partition]stream.Committed)
	for _, id := range ids {
		all[id] = make(map[stream.Partition]stream.Committed)
		maps.Copy(all[id], c.groups[id])
	}
	return all, nil, nil
}

// book is an archive as a watch sees it.
type book struct {
	assigned map[stream.Partition]stream.Topic
	lives    map[string]bundle.Topic
	begun    bool
	full     bool
	at       []time.Time
	events   []string
}

func (b *book) Assign(all map[stream.Partition]stream.Topic) {
	b.assigned = all
	for _, t := range all {
		if life, ok := b.lives[t.Name]; !ok || life.ID != t.ID {
			life.Incarnation++
			if !ok {
				life.Incarnation = 0
			}
			b.lives[t.Name] = bundle.Topic{Name: t.Name, ID: t.ID, Incarnation: life.Incarnation}
		}
	}
}

func (b *book) Life(name string, id stream.TopicID) (bundle.Topic, bool) {
	t, ok := b.lives[name]
	return t, ok && b.begun && t.ID == id
}

func (b *book) Lives() (map[string]bundle.Topic, bool) { return b.lives, b.begun }

func (b *book) Event(at time.Time, body bundle.Body) bool {
	if b.full {
		return false
	}
	b.at = append(b.at, at)
	b.events = append(b.events, fmt.Sprintf("%T %s", body, body))
	return true
}

// wants compares the events since the last time.
func (b *book) wants(t *testing.T, story string, want ...string) {
	t.Helper()
	if !slices.Equal(b.events, want) {
		t.Errorf("%s:\ngot  %q\nwant %q", story, b.events, want)
	}
	b.events, b.at = nil, nil
}

func archivedFlow(t *testing.T, topics string) (*flow, *[]stream.Event) {
	t.Helper()
	filter, err := policy.NewFilter([]string{topics}, nil)
	if err != nil {
		t.Fatal(err)
	}
	names, err := policy.New(policy.DefaultClass, ".", true, "A")
	if err != nil {
		t.Fatal(err)
	}
	c := config.Flow{Flow: stream.Flow{Source: "A", Target: "B"}}
	c.Archive.Topics = policy.Selector{Policy: names, Target: "B", Topics: filter}
	events := new([]stream.Event)
	f := &flow{report: func(e stream.Event) { *events = append(*events, e) }}
	f.settings.Store(&c)
	return f, events
}

func TestTheWatchTells(t *testing.T) {
	f, told := archivedFlow(t, "orders|carts")
	src := &cluster{topics: []stream.Topic{
		{Name: "orders", ID: stream.TopicID{1}, Partitions: 2}, {Name: "carts", ID: stream.TopicID{2}, Partitions: 1},
		{Name: "others", ID: stream.TopicID{3}, Partitions: 1},
	}, configs: map[string][]stream.ConfigEntry{
		"orders": {{Name: "retention.ms", Value: "7", Source: stream.ConfigTopic}, {Name: "cleanup.policy", Value: "delete", Source: stream.ConfigDefault}},
	}}
	arch := &book{lives: make(map[string]bundle.Topic)}
	w := watching(f, src, arch, nil)
	w.patience = time.Hour
	look := func(story string, open bool) {
		t.Helper()
		got, err := w.look(t.Context())
		if err != nil || got != open {
			t.Errorf("%s: open %v, %v", story, got, err)
		}
	}

	look("the archive has not begun", true)
	arch.wants(t, "the archive has not begun")
	if len(arch.assigned) != 3 {
		t.Errorf("assigned %v", arch.assigned)
	}
	arch.begun = true
	look("begun", false)
	arch.wants(t, "begun", "bundle.TopicConfigs carts: none", "bundle.TopicConfigs orders: retention.ms=7")
	look("nothing new", false)
	arch.wants(t, "nothing new")

	src.configs["orders"][0].Value = "8"
	src.acls, src.kept = []stream.ACL{{ResourceType: 2, PatternType: 3, Resource: "orders", Principal: "User:u", Host: "*", Operation: 3, Permission: 3}}, true
	arch.full = true
	look("no memory", true)
	arch.full = false
	look("memory again", false)
	const acl = "resource 2 orders pattern 3 User:u host * operation 3 permission 3"
	arch.wants(t, "a config and ACLs changed", "bundle.TopicConfigs orders: retention.ms=8", "bundle.ACLs "+acl)
	src.acls, src.kept = nil, false
	look("the authorizer is gone", false)
	arch.wants(t, "the authorizer is gone", "bundle.ACLs none")

	src.denied = &stream.BrokerError{Code: stream.CodeClusterAuthorization, Name: "CLUSTER_AUTHORIZATION_FAILED"}
	look("ACLs are refused", false)
	look("and again", false)
	arch.wants(t, "ACLs are refused")
	if len(*told) != 1 || (*told)[0].Severity != stream.Warn {
		t.Errorf("told %v", *told)
	}
	src.denied = nil

	// Deleted: at the second look, as of the first. Not listed is not deleted.
	all := src.topics
	src.topics = all[:1]
	src.hidden = []string{"carts"}
	look("hidden", true)
	w.patience = 0
	look("hidden still", false)
	arch.wants(t, "hidden")
	src.hidden, src.topics = nil, all
	look("shown again", false)
	src.topics = all[:1]
	before := time.Now()
	w.patience = time.Hour
	look("not listed once", true)
	look("not listed twice", true)
	arch.wants(t, "not listed twice")
	between := time.Now()
	w.patience = 0
	look("not listed for long", false)
	if len(arch.at) != 1 || arch.at[0].Before(before) || arch.at[0].After(between) {
		t.Errorf("deleted at %v, not between %s and %s", arch.at, before, between)
	}
	arch.wants(t, "not listed for long", "bundle.TopicDeleted carts")
	look("still gone", false)
	arch.wants(t, "still gone")
	src.topics = all
	look("a broker had been late to know it", false)
	if found := "bundle.TopicCreated " + (bundle.TopicCreated{Topic: arch.lives["carts"], Partitions: 1, Factor: -1, Found: true}).String(); !slices.Contains(arch.events, found) {
		t.Errorf("%q lacks %q", arch.events, found)
	}
	arch.events, arch.at = nil, nil
	src.topics = all[:1]
	look("gone again", false)
	arch.wants(t, "gone again", "bundle.TopicDeleted carts")
	src.topics = []stream.Topic{all[0], {Name: "carts", ID: stream.TopicID{9}, Partitions: 1}}
	look("made anew", false)
	arch.wants(t, "made anew", "bundle.TopicConfigs carts#1: none")
	src.topics = all[:1]
	look("gone", false)
	arch.wants(t, "gone", "bundle.TopicDeleted carts#1")
}

func TestGroupsAreTold(t *testing.T) {
	at := func(n int64) stream.Committed { return stream.Committed{Offset: n} }
	orders, other := stream.Partition{Topic: "orders", Number: 1}, stream.Partition{Topic: "other"}
	src := &cluster{groups: map[string]map[stream.Partition]stream.Committed{
		"g": {orders: at(5), other: at(9)}, "elsewhere": {other: at(1)}, "left-out": {orders: at(1)},
	}}
	arch := &book{lives: make(map[string]bundle.Topic)}
	w := &groupsWatch{
		source: src, event: arch.Event, known: make(map[string]*knownGroup),
		groups: func(g string) bool { return g != "left-out" }, topics: func(topic string) bool { return topic == "orders" },
	}
	look := func(story string, want ...string) {
		t.Helper()
		if err := w.look(t.Context()); err != nil && !errors.Is(err, src.partial) {
			t.Errorf("%s: %v", story, err)
		}
		arch.wants(t, story, want...)
	}
	look("at the start", "bundle.GroupOffsets g whole: orders/1 at 5")
	look("nothing new")
	src.groups["g"][orders] = at(6)
	arch.full = true
	look("no memory")
	arch.full = false
	src.groups["g"][orders] = at(7)
	look("what it is by then", "bundle.GroupOffsets g changed: orders/1 at 7")
	two := stream.Partition{Topic: "orders", Number: 2}
	src.groups["g"] = map[stream.Partition]stream.Committed{two: {Offset: 1, Metadata: "m"}}
	look("one gone, one new", `bundle.GroupOffsets g changed: orders/1 at -1; orders/2 at 1 "m"`)
	w.known["g"].whole = time.Now().Add(-wholeEvery)
	look("an hour later", `bundle.GroupOffsets g whole: orders/2 at 1 "m"`)
	src.groups["later"] = map[stream.Partition]stream.Committed{orders: at(3)}
	look("a new group", "bundle.GroupOffsets later whole: orders/1 at 3")
	src.partial = errors.New("a broker is away")
	hidden := src.groups["later"]
	src.groups["later"][orders] = at(4)
	look("the list is not whole", "bundle.GroupOffsets later changed: orders/1 at 4")
	src.partial = nil
	delete(src.groups, "later")
	look("deleted", "bundle.GroupOffsets later whole: none")
	look("still deleted")
	src.groups["later"] = hidden
	look("there again", "bundle.GroupOffsets later whole: orders/1 at 4")
}

// A group with very many offsets comes in parts.
func TestWideGroups(t *testing.T) {
	all := make(map[stream.Partition]stream.Committed)
	for n := range int32(offsetsEach + 1) {
		all[stream.Partition{Topic: "t", Number: n}] = stream.Committed{Offset: 1}
	}
	var got []bundle.GroupOffsets
	w := &groupsWatch{
		source: &cluster{groups: map[string]map[stream.Partition]stream.Committed{"g": all}}, known: make(map[string]*knownGroup),
		groups: func(string) bool { return true }, topics: func(string) bool { return true },
		event: func(_ time.Time, b bundle.Body) bool { got = append(got, b.(bundle.GroupOffsets)); return true },
	}
	if err := w.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || !got[0].Whole || got[1].Whole || len(got[0].Offsets) != offsetsEach || len(got[1].Offsets) != 1 {
		t.Errorf("%d events", len(got))
	}
}

func TestRunsAreCollected(t *testing.T) {
	f, told := archivedFlow(t, "orders")
	a := &archiving{flow: f}
	arch := &book{lives: map[string]bundle.Topic{"orders": {Name: "orders", ID: stream.TopicID{1}}}}
	p := stream.Partition{Topic: "orders"}
	ack := func(source stream.Partition, runs ...stream.Run) {
		a.runs.ack(stream.Ack{Source: source, Remote: stream.Partition{Topic: "A." + source.Topic}, Topic: stream.TopicID{1}, Runs: runs})
	}
	ack(p, stream.Run{Up: 0, Down: 0, Count: 5})
	ack(p, stream.Run{Up: 5, Down: 5, Count: 1}, stream.Run{Up: 8, Down: 6, Count: 2})
	ack(p)
	ack(stream.Partition{Topic: "not-archived"}, stream.Run{Count: 1})
	a.handRuns(arch)
	arch.wants(t, "the archive has not begun")
	ack(p, stream.Run{Up: 10, Down: 8, Count: 2})
	arch.begun, arch.full = true, true
	a.handRuns(arch)
	arch.full = false
	ack(p, stream.Run{Up: 20, Down: 20, Count: 1})
	a.handRuns(arch)
	arch.wants(t, "all of it, in order", "bundle.Runs orders/0 on A.orders/0: 6 from 0 at 0; 4 from 8 at 6; 1 from 20 at 20")
	a.handRuns(arch)
	arch.wants(t, "nothing new")
	if a.runs.waits != 0 || len(a.runs.parts) != 0 {
		t.Errorf("%d runs wait", a.runs.waits)
	}

	for n := range int64(mostRuns + 10) {
		ack(p, stream.Run{Up: stream.Upstream(100 + 2*n), Down: stream.Downstream(100 + n), Count: 1})
	}
	if a.runs.waits != mostRuns {
		t.Errorf("%d runs wait", a.runs.waits)
	}
	a.handRuns(arch)
	if len(arch.events) != (mostRuns+runsEach-1)/runsEach || len(*told) != 1 {
		t.Errorf("%d events, told %v", len(arch.events), *told)
	}
}

func TestWriterName(t *testing.T) {
	for _, c := range []struct{ alias, process, want string }{
		{"B", "", "mirror-B"},
		{"eu-west_1.b", "", "mirror-eu-west_1.b"},
		{"ä b", "", "mirror-_C3_A4_20b"},
		{"B", "host/1-0", "mirror-B-host_2F1-0"},
	} {
		f := &flow{process: c.process}
		f.settings.Store(&config.Flow{Flow: stream.Flow{Source: "A", Target: c.alias}})
		if got := (&archiving{flow: f}).writerName(); got != c.want {
			t.Errorf("%q of %q is %s, want %s", c.alias, c.process, got, c.want)
		}
	}
}
