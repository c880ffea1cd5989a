package topics

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"tandem/internal/stream"
)

// entry is one config as a cluster describes it.
func entry(name, value string, source stream.ConfigSource) stream.ConfigEntry {
	return stream.ConfigEntry{Name: name, Value: value, Source: source}
}

func TestConfigsOfNewTopics(t *testing.T) {
	for _, c := range []struct {
		story    string
		entry    stream.ConfigEntry
		defaults bool // use.defaults.from=source
		want     map[string]string
	}{
		{story: "set on the topic: carried", entry: entry("retention.ms", "5", stream.ConfigTopic), want: map[string]string{"retention.ms": "5"}},
		{story: "set on the brokers at run time: carried", entry: entry("retention.ms", "5", stream.ConfigDynamicDefaultBroker), want: map[string]string{"retention.ms": "5"}},
		{story: "set on one broker at run time: carried", entry: entry("retention.ms", "5", stream.ConfigDynamicBroker), want: map[string]string{"retention.ms": "5"}},
		{story: "set in the brokers' files: not carried", entry: entry("retention.ms", "5", stream.ConfigStaticBroker)},
		{story: "default of the source: left to the target", entry: entry("retention.ms", "5", stream.ConfigDefault)},
		{story: "default of the source, with use.defaults.from=source: carried", defaults: true,
			entry: entry("retention.ms", "5", stream.ConfigDefault), want: map[string]string{"retention.ms": "5"}},
		{story: "excluded: not carried", entry: entry("min.insync.replicas", "5", stream.ConfigTopic)},
		{story: "excluded, with use.defaults.from=source: not carried", defaults: true, entry: entry("min.insync.replicas", "5", stream.ConfigDefault)},
		{story: "read-only: not carried", entry: stream.ConfigEntry{Name: "x", Value: "5", Source: stream.ConfigTopic, ReadOnly: true}},
		{story: "sensitive: not carried", entry: stream.ConfigEntry{Name: "x", Source: stream.ConfigTopic, Sensitive: true}},
	} {
		t.Run(c.story, func(t *testing.T) {
			r := rules()
			r.SourceDefaults = c.defaults
			got := newTopic(r, Topic{Source: stream.Topic{Name: "orders", Partitions: 7}, Remote: stream.Topic{Name: "A.orders"}}, []stream.ConfigEntry{c.entry})
			if !maps.Equal(got.Configs, c.want) {
				t.Errorf("configs %v, want %v", got.Configs, c.want)
			}
			if got.Name != "A.orders" || got.Partitions != 7 || got.Factor != 2 {
				t.Errorf("topic %v", got)
			}
		})
	}
}

func TestConfigChanges(t *testing.T) {
	const name = "retention.ms"
	for _, c := range []struct {
		story    string
		source   stream.ConfigEntry
		target   []stream.ConfigEntry
		defaults bool
		want     string // the changes, as the event tells them
		unknown  []string
	}{
		{story: "the same on both: nothing", source: entry(name, "5", stream.ConfigTopic),
			target: []stream.ConfigEntry{entry(name, "5", stream.ConfigTopic)}},
		{story: "another value: set", source: entry(name, "5", stream.ConfigTopic),
			target: []stream.ConfigEntry{entry(name, "6", stream.ConfigTopic)}, want: "retention.ms=5"},
		{story: "not set on the target: set", source: entry(name, "5", stream.ConfigTopic),
			target: []stream.ConfigEntry{entry(name, "6", stream.ConfigDefault)}, want: "retention.ms=5"},
		{story: "the target's default happens to be the same: set, for it may change", source: entry(name, "5", stream.ConfigTopic),
			target: []stream.ConfigEntry{entry(name, "5", stream.ConfigDefault)}, want: "retention.ms=5"},
		{story: "at run time on the source's brokers: set on the topic", source: entry(name, "5", stream.ConfigDynamicDefaultBroker),
			target: []stream.ConfigEntry{entry(name, "5", stream.ConfigDynamicDefaultBroker)}, want: "retention.ms=5"},
		{story: "in the source's files: nothing, whatever the target has", source: entry(name, "5", stream.ConfigStaticBroker),
			target: []stream.ConfigEntry{entry(name, "6", stream.ConfigTopic)}},
		{story: "default on the source, set on the target: deleted", source: entry(name, "5", stream.ConfigDefault),
			target: []stream.ConfigEntry{entry(name, "6", stream.ConfigTopic)}, want: "-retention.ms"},
		{story: "default on the source, set to the same on the target: deleted all the same", source: entry(name, "5", stream.ConfigDefault),
			target: []stream.ConfigEntry{entry(name, "5", stream.ConfigTopic)}, want: "-retention.ms"},
		{story: "default on both, and another: nothing", source: entry(name, "5", stream.ConfigDefault),
			target: []stream.ConfigEntry{entry(name, "6", stream.ConfigDefault)}},
		{story: "default on the source, from the brokers on the target: nothing", source: entry(name, "5", stream.ConfigDefault),
			target: []stream.ConfigEntry{entry(name, "6", stream.ConfigDynamicDefaultBroker)}},
		{story: "default on the source, with use.defaults.from=source: set", defaults: true, source: entry(name, "5", stream.ConfigDefault),
			target: []stream.ConfigEntry{entry(name, "6", stream.ConfigTopic)}, want: "retention.ms=5"},
		{story: "the same, set once already: nothing", defaults: true, source: entry(name, "5", stream.ConfigDefault),
			target: []stream.ConfigEntry{entry(name, "5", stream.ConfigTopic)}},
		{story: "excluded: the target keeps its own", source: entry("min.insync.replicas", "1", stream.ConfigDefault),
			target: []stream.ConfigEntry{entry("min.insync.replicas", "2", stream.ConfigTopic)}},
		{story: "read-only: nothing", source: stream.ConfigEntry{Name: name, Value: "5", Source: stream.ConfigTopic, ReadOnly: true},
			target: []stream.ConfigEntry{entry(name, "6", stream.ConfigTopic)}},
		{story: "sensitive: nothing", source: stream.ConfigEntry{Name: name, Source: stream.ConfigTopic, Sensitive: true},
			target: []stream.ConfigEntry{entry(name, "6", stream.ConfigTopic)}},
		{story: "the target is too old to know it: told, not asked for", source: entry(name, "5", stream.ConfigTopic), unknown: []string{name}},
		{story: "it is at its default anyway: not even told", source: entry(name, "5", stream.ConfigDefault)},
		{story: "only the target knows it: it keeps it", source: entry(name, "5", stream.ConfigTopic),
			target: []stream.ConfigEntry{entry(name, "5", stream.ConfigTopic), entry("newer", "1", stream.ConfigTopic)}},
	} {
		t.Run(c.story, func(t *testing.T) {
			r := rules()
			r.SourceDefaults = c.defaults
			changes, unknown := configChanges(r, []stream.ConfigEntry{c.source}, c.target)
			if got := inWords(changes); got != c.want || !slices.Equal(unknown, c.unknown) {
				t.Errorf("changes %q, unknown %q; want %q, %q", got, unknown, c.want, c.unknown)
			}
		})
	}
}

// MM2 sets or deletes every carried config at every interval. What we change, which is less, must leave the same
// topic-level configs, and a second look must find nothing to do.
func TestFewerChangesSameResultAsMM2(t *testing.T) {
	names := []string{"retention.ms", "cleanup.policy", "max.message.bytes", "min.insync.replicas", "segment.bytes"}
	for seed := range uint64(2000) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		random := func() *fakeCluster {
			c := newFakeCluster()
			c.put("t", 1)
			for _, name := range names {
				for _, configs := range []map[string]string{c.defaults, c.static, c.dynamic, c.topics["t"].configs} {
					if rnd.IntN(3) == 0 {
						configs[name] = fmt.Sprint(rnd.IntN(3))
					}
				}
			}
			return c
		}
		source, ours := random(), random()
		mm2 := newFakeCluster()
		mm2.put("t", 1)
		mm2.topics["t"].configs = maps.Clone(ours.topics["t"].configs)
		r := rules()
		r.SourceDefaults = rnd.IntN(2) == 0

		var all []stream.ConfigChange
		for _, e := range source.entries(source.topics["t"]) {
			switch {
			case e.Source == stream.ConfigStaticBroker || !r.Property(e.Name):
			case e.Source == stream.ConfigDefault && !r.SourceDefaults:
				all = append(all, stream.ConfigChange{Name: e.Name, Delete: true})
			default:
				all = append(all, stream.ConfigChange{Name: e.Name, Value: e.Value})
			}
		}
		if err := mm2.alter("t", all); err != nil {
			t.Fatal(err)
		}
		changes := func() []stream.ConfigChange {
			c, _ := configChanges(r, source.entries(source.topics["t"]), ours.entries(ours.topics["t"]))
			return c
		}
		if err := ours.alter("t", changes()); err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(ours.topics["t"].configs, mm2.topics["t"].configs) {
			t.Fatalf("seed %d: %v, MM2 leaves %v", seed, ours.topics["t"].configs, mm2.topics["t"].configs)
		}
		if again := changes(); len(again) > 0 {
			t.Fatalf("seed %d: a second look finds %s", seed, inWords(again))
		}
	}
}
