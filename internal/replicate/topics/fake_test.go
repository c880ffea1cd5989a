package topics

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"tandem/internal/stream"
)

// fakeCluster is a cluster's administration in memory. It knows the configs in defaults and refuses others, as brokers
// do, and numbers the topics that it creates.
type fakeCluster struct {
	brokers  int16
	defaults map[string]string
	dynamic  map[string]string // set on the brokers at run time
	static   map[string]string // set in the brokers' files
	topics   map[string]*fakeTopic
	made     byte
	auth     fakeAuthorizer

	lag     int                  // so many listings after a change still show the state before it
	shown   []stream.Topic       // that state
	down    map[string]error     // requests that fail as a whole
	cut     int                  // the connection breaks after so many topics of a request; 0 for never
	refused map[string]error     // topics that may not be created, widened or altered
	hidden  map[string]bool      // topics that may not be described
	between func(request string) // runs before a request is worked off
	log     []string             // the requests that change something
}

var denied = &stream.BrokerError{Code: stream.CodeTopicAuthorization, Name: "TOPIC_AUTHORIZATION_FAILED"}

type fakeTopic struct {
	id         byte
	partitions int32
	factor     int16
	internal   bool
	configs    map[string]string
}

func newFakeCluster() *fakeCluster {
	return &fakeCluster{brokers: 3,
		defaults: map[string]string{"retention.ms": "604800000", "cleanup.policy": "delete", "max.message.bytes": "1048588",
			"min.insync.replicas": "1", "segment.bytes": "1073741824", "min.cleanable.dirty.ratio": "0.5"},
		dynamic: map[string]string{}, static: map[string]string{}, topics: map[string]*fakeTopic{},
		auth: fakeAuthorizer{bindings: map[stream.ACL]bool{}, refused: map[string]error{}},
		down: map[string]error{}, refused: map[string]error{}, hidden: map[string]bool{}}
}

func (c *fakeCluster) put(name string, partitions int32, configs ...string) {
	c.made++
	t := &fakeTopic{id: c.made, partitions: partitions, configs: map[string]string{}}
	for _, s := range configs {
		name, value, _ := strings.Cut(s, "=")
		t.configs[name] = value
	}
	c.topics[name] = t
}

func (c *fakeCluster) request(name string) error {
	if c.between != nil {
		c.between(name)
	}
	return c.down[name]
}

func (c *fakeCluster) listing() []stream.Topic {
	list := []stream.Topic{}
	for name, t := range c.topics {
		list = append(list, stream.Topic{Name: name, ID: stream.TopicID{t.id}, Partitions: t.partitions, Internal: t.internal})
	}
	return list
}

func (c *fakeCluster) Topics(context.Context) ([]stream.Topic, error) {
	if err := c.request("Topics"); err != nil {
		return nil, err
	}
	if c.shown != nil && c.lag > 0 {
		c.lag--
		return c.shown, nil
	}
	c.shown = nil
	return c.listing(), nil
}

// change remembers what a lagging listing shows.
func (c *fakeCluster) change(request string) {
	if c.shown == nil {
		c.shown = c.listing()
	}
	c.log = append(c.log, request)
}

func (c *fakeCluster) Configs(_ context.Context, topics []string) (map[string][]stream.ConfigEntry, error) {
	if err := c.request("Configs"); err != nil {
		return nil, err
	}
	all := map[string][]stream.ConfigEntry{}
	var refused []error
	for _, name := range topics {
		t := c.topics[name]
		switch {
		case c.hidden[name]:
			refused = append(refused, fmt.Errorf("describe %s: %w", name, denied))
		case t != nil:
			all[name] = c.entries(t)
		}
	}
	return all, errors.Join(refused...)
}

func (c *fakeCluster) entries(t *fakeTopic) []stream.ConfigEntry {
	var list []stream.ConfigEntry
	for name, value := range c.defaults { // in the order of a map, which is none
		e := stream.ConfigEntry{Name: name, Value: value, Source: stream.ConfigDefault}
		if v, ok := c.static[name]; ok {
			e.Value, e.Source = v, stream.ConfigStaticBroker
		}
		if v, ok := c.dynamic[name]; ok {
			e.Value, e.Source = v, stream.ConfigDynamicDefaultBroker
		}
		if v, ok := t.configs[name]; ok {
			e.Value, e.Source = v, stream.ConfigTopic
		}
		list = append(list, e)
	}
	return list
}

func (c *fakeCluster) CreateTopics(_ context.Context, topics []stream.NewTopic) (map[string]error, error) {
	if err := c.request("CreateTopics"); err != nil {
		return nil, err
	}
	answers := map[string]error{}
	for i, n := range topics {
		if c.cut > 0 && i == c.cut {
			return answers, errors.New("connection lost")
		}
		answers[n.Name] = c.create(n)
	}
	return answers, nil
}

func (c *fakeCluster) create(n stream.NewTopic) error {
	if c.topics[n.Name] != nil {
		return nil
	}
	if err := c.refused[n.Name]; err != nil {
		return err
	}
	if n.Factor > c.brokers {
		return &stream.BrokerError{Code: codeInvalidReplicationFactor, Name: "INVALID_REPLICATION_FACTOR",
			Message: fmt.Sprintf("only %d broker(s) are registered", c.brokers)}
	}
	var configs []string
	for _, name := range slices.Sorted(maps.Keys(n.Configs)) {
		if _, known := c.defaults[name]; !known {
			return &stream.BrokerError{Code: codeInvalidConfig, Name: "INVALID_CONFIG", Message: "unknown " + name}
		}
		configs = append(configs, name+"="+n.Configs[name])
	}
	c.change(strings.TrimSpace(fmt.Sprintf("create %s %d %s", n.Name, n.Partitions, strings.Join(configs, " "))))
	c.put(n.Name, n.Partitions, configs...)
	c.topics[n.Name].factor = n.Factor
	return nil
}

func (c *fakeCluster) CreatePartitions(_ context.Context, topic string, total int32) error {
	if err := c.request("CreatePartitions"); err != nil {
		return err
	}
	if err := c.refused[topic]; err != nil {
		return err
	}
	t := c.topics[topic]
	if t == nil {
		return &stream.BrokerError{Code: stream.CodeUnknownTopicOrPartition, Name: "UNKNOWN_TOPIC_OR_PARTITION"}
	}
	if total <= t.partitions {
		return nil
	}
	c.change(fmt.Sprintf("widen %s %d", topic, total))
	t.partitions = total
	return nil
}

func (c *fakeCluster) AlterConfigs(_ context.Context, changes map[string][]stream.ConfigChange) (map[string]error, error) {
	if err := c.request("AlterConfigs"); err != nil {
		return nil, err
	}
	answers := map[string]error{}
	for i, topic := range slices.Sorted(maps.Keys(changes)) {
		if c.cut > 0 && i == c.cut {
			return answers, errors.New("connection lost")
		}
		answers[topic] = c.alter(topic, changes[topic])
	}
	return answers, nil
}

func (c *fakeCluster) alter(topic string, changes []stream.ConfigChange) error {
	if err := c.refused[topic]; err != nil {
		return err
	}
	for _, change := range changes {
		if _, known := c.defaults[change.Name]; !known {
			return &stream.BrokerError{Code: codeInvalidConfig, Name: "INVALID_CONFIG", Message: "unknown " + change.Name}
		}
	}
	for _, change := range changes {
		if change.Delete {
			delete(c.topics[topic].configs, change.Name)
		} else {
			c.topics[topic].configs[change.Name] = change.Value
		}
	}
	c.log = append(c.log, fmt.Sprintf("alter %s %s", topic, inWords(changes)))
	return nil
}

// world is a Keeper between two fake clusters, and what it reported.
type world struct {
	t      *testing.T
	source *fakeCluster
	target *fakeCluster
	keeper *Keeper
	events []string
}

func rules() Rules {
	return Rules{
		Replicates: func(topic string) bool { return !strings.HasPrefix(topic, "__") && !strings.HasPrefix(topic, "secret") },
		Remote:     func(topic string) string { return "A." + topic },
		Property:   func(name string) bool { return name != "min.insync.replicas" },
		Factor:     2,
	}
}

func newWorld(t *testing.T, rules Rules) *world {
	w := &world{t: t, source: newFakeCluster(), target: newFakeCluster()}
	w.keeper = New(stream.Flow{Source: "A", Target: "B"}, w.source, w.target, rules, func(e stream.Event) {
		line := []string{[]string{"info", "warn", "error"}[e.Severity], e.Message}
		for _, f := range e.Fields {
			line = append(line, fmt.Sprintf("%s=%v", f.Key, f.Value))
		}
		w.events = append(w.events, strings.Join(line, " "))
	})
	return w
}

// news gives the events since the last call.
func (w *world) news() []string {
	defer func() { w.events = nil }()
	return w.events
}

// asked gives the changes that the target was asked for since the last call.
func (w *world) asked() []string {
	defer func() { w.target.log = nil }()
	return w.target.log
}

// refresh gives the snapshot as lines: source, remote, partitions there, whether ready, limit.
func (w *world) refresh() []string {
	w.t.Helper()
	s, err := w.keeper.Refresh(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	var list []string
	for _, t := range s.Topics {
		ready := "waits"
		if t.Ready {
			ready = "ready"
		}
		list = append(list, fmt.Sprintf("%s/%d %s/%d %s %d", t.Source.Name, t.Source.Partitions, t.Remote.Name, t.Remote.Partitions, ready, t.MaxMessageBytes))
	}
	return list
}

func (w *world) sync() {
	w.t.Helper()
	if err := w.keeper.SyncConfigs(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func expect(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n  %s\nwant:\n  %s", what, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}
