package topics

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"

	"tandem/internal/stream"
)

// Rules are the settings of a flow that decide what its remote topics are and look like.
type Rules struct {
	Replicates     func(topic string) bool   // whether a source topic is replicated at all
	Remote         func(topic string) string // the name of its remote topic
	Property       func(name string) bool    // whether a topic config is carried over; config.properties.exclude
	SourceDefaults bool                      // use.defaults.from=source: the source's defaults are carried over as well
	Factor         int16                     // replication.factor of new remote topics; -1 leaves it to the target
	ACLs           ACLRules

	// What a Plan leaves out, since nobody syncs it: the configs of remote topics that exist (sync.topic.configs.enabled=false),
	// and ACLs (sync.topic.acls.enabled=false).
	KeepConfigs, KeepACLs bool
	// Validate tells, by name, why the target would refuse to create topics, and creates none. A Plan asks it; it may be nil.
	Validate func(ctx context.Context, topics []stream.NewTopic) (map[string]error, error)
}

// Snapshot is the state of a flow's topics after a refresh.
type Snapshot struct {
	Topics []Topic // by name of the source topic
}

// Topic is a replicated topic.
type Topic struct {
	Source stream.Topic
	Remote stream.Topic // Partitions is 0 while it does not exist
	// Ready says that the remote topic has a partition for each one of the source topic. Where it has fewer, those that it
	// has can be written all the same.
	Ready bool
	// MaxMessageBytes is the remote topic's max.message.bytes; 0 while it is not known.
	MaxMessageBytes int32
}

const maxMessageBytes = "max.message.bytes"

// clash is a source topic whose remote topic belongs to another one already.
type clash struct {
	topic, other, remote string
}

// pair finds the replicated topics and their remote topics. Two sources must not share a remote topic: their offsets
// would mix beyond repair. The first by name keeps it.
func pair(rules Rules, source, target []stream.Topic) (pairs []Topic, clashes []clash) {
	remotes := map[string]stream.Topic{}
	for _, t := range target {
		remotes[t.Name] = t
	}
	owners := map[string]string{}
	for _, s := range slices.SortedFunc(slices.Values(source), byName) {
		if s.Internal || !rules.Replicates(s.Name) {
			continue
		}
		name := rules.Remote(s.Name)
		if owner, taken := owners[name]; taken {
			clashes = append(clashes, clash{topic: s.Name, other: owner, remote: name})
			continue
		}
		owners[name] = s.Name
		remote := remotes[name]
		remote.Name = name
		pairs = append(pairs, Topic{Source: s, Remote: remote, Ready: s.Partitions > 0 && remote.Partitions >= s.Partitions})
	}
	return pairs, clashes
}

func byName(a, b stream.Topic) int { return cmp.Compare(a.Name, b.Name) }

// missing lists the topics whose remote topic is to be created.
func missing(pairs []Topic) []Topic {
	return slices.DeleteFunc(slices.Clone(pairs), func(t Topic) bool { return t.Remote.Partitions > 0 || t.Source.Partitions <= 0 })
}

// narrow lists the topics whose remote topic is to be widened to the partitions of the source.
func narrow(pairs []Topic) []Topic {
	return slices.DeleteFunc(slices.Clone(pairs), func(t Topic) bool {
		return t.Remote.Partitions <= 0 || t.Remote.Partitions >= t.Source.Partitions
	})
}

// newTopic is the remote topic to create for a source topic with these configs.
func newTopic(rules Rules, t Topic, source []stream.ConfigEntry) stream.NewTopic {
	configs := map[string]string{}
	for _, e := range source {
		if carried(rules, e) && (e.Source != stream.ConfigDefault || rules.SourceDefaults) {
			configs[e.Name] = e.Value
		}
	}
	return stream.NewTopic{Name: t.Remote.Name, Partitions: t.Source.Partitions, Factor: rules.Factor, Configs: configs}
}

// carried says whether a config of a source topic concerns the remote topic. What an administrator set dynamically on
// the source's brokers is carried as if it were set on the topic; what stands in their files is not.
func carried(rules Rules, e stream.ConfigEntry) bool {
	return !e.ReadOnly && !e.Sensitive && e.Source != stream.ConfigStaticBroker && rules.Property(e.Name)
}

// configChanges lists, by name, what must be altered on a remote topic so that its topic-level configs are what MM2 would
// make of them: each carried config set to the source's value, and, unless the source's defaults are carried, each one
// that is at its default on the source not set at all.
//
// unknown lists what could not be set because the target does not know such a config, as an older broker does not know a
// newer one's: asking for it would fail the other changes of the topic too.
func configChanges(rules Rules, source, target []stream.ConfigEntry) (changes []stream.ConfigChange, unknown []string) {
	now := map[string]stream.ConfigEntry{}
	for _, e := range target {
		now[e.Name] = e
	}
	for _, e := range source {
		if !carried(rules, e) {
			continue
		}
		was, known := now[e.Name]
		set := known && was.Source == stream.ConfigTopic
		switch {
		case e.Source == stream.ConfigDefault && !rules.SourceDefaults:
			if set {
				changes = append(changes, stream.ConfigChange{Name: e.Name, Delete: true})
			}
		case !known:
			unknown = append(unknown, e.Name)
		case !set || was.Value != e.Value:
			changes = append(changes, stream.ConfigChange{Name: e.Name, Value: e.Value})
		}
	}
	slices.SortFunc(changes, func(a, b stream.ConfigChange) int { return cmp.Compare(a.Name, b.Name) })
	slices.Sort(unknown)
	return changes, unknown
}

// limitIn finds max.message.bytes among the configs of a topic.
func limitIn(entries []stream.ConfigEntry) (limit int32, ok bool) {
	for _, e := range entries {
		if e.Name == maxMessageBytes {
			n, err := strconv.ParseInt(e.Value, 10, 32)
			return int32(n), err == nil
		}
	}
	return 0, false
}

// satisfied says whether a cluster lists each wanted topic with at least so many partitions.
func satisfied(listed []stream.Topic, want map[string]int32) bool {
	open := maps.Clone(want)
	for _, t := range listed {
		if n, wanted := open[t.Name]; wanted && t.Partitions >= n {
			delete(open, t.Name)
		}
	}
	return len(open) == 0
}
