package doctor

import (
	"time"

	"tandem/internal/policy"
	"tandem/internal/stream"
)

// Facts are all that is known.
type Facts struct {
	Now       time.Time
	File      []Problem
	Clusters  []Cluster // in the order of the file
	Flows     []Flow
	Rights    map[Login]Rights // what each login may do, as far as it was asked
	Archives  []Archive
	Addresses []Address
}

// Problem is something that the reading of the file complained about.
type Problem struct {
	Bad  bool // it keeps the file from being used
	Line int
	Key  string
	Text string
}

// Login is one way of a flow into a cluster.
type Login struct {
	Cluster string
	Client  string // what tells its settings from those of others
}

// Element is one regular expression of a list of the file.
type Element struct {
	Text string
	Key  string // as in the file
	Line int    // 0: a default
}

// Flow is what the file says of a flow.
type Flow struct {
	stream.Flow
	Replicates, Heartbeats, TwoWay, Identity bool

	Policy        policy.Policy
	Topics        policy.Selector
	Groups        *policy.Filter
	Carries       func(config string) bool // whether a topic config goes along
	TopicElements []Element
	GroupElements []Element

	Factor, HeartbeatsFactor, SyncsFactor, CheckpointsFactor, OffsetsFactor int16

	OffsetsTopic   string
	OppositeTopic  string // positions of the opposite flow on our source, with TwoWay
	SyncsOn        string // source or target; empty: no offset syncs are written
	Checkpoints    bool
	GroupSync      bool
	ACLSync        bool
	ConfigSync     bool
	SetAside       bool // on.refused=skip
	Committed      bool // isolation.level=read_committed
	ExactlyOnce    bool
	SharingGroup   string
	MaxRequest     int32 // max.request.size; 0: not set
	Archives       bool
	Keeps          func(topic string) bool // of the archive
	SourceAdmin    Login
	SourceConsumer Login
	TargetAdmin    Login
	TargetProducer Login
}

// Cluster is what a cluster says of itself.
type Cluster struct {
	Alias     string
	Bootstrap string
	Trouble   string // why it cannot be reached; nothing else is known then
	Refused   bool   // because it does not accept who we are

	ID, Via string
	Took    time.Duration
	Brokers []Broker

	Topics        []stream.Topic // that we may see; nil: unknown
	Configs       map[string][]stream.ConfigEntry
	Replicas      map[string]Replicas
	Would         map[string]Would // what topics would be that do not exist
	Groups        []stream.Group
	Members       map[string]Members // of groups that share work
	Filled        map[string]bool    // topics that have records, of those that were asked for
	Transactional []string

	NoAuthorizer bool
	Ahead        time.Duration // its clock before ours
	Within       time.Duration // give or take; 0: not known
	Certificates []Certificate
	Unasked      []string // what could not be found out, and why
}

// Certificate is one of ours, or one that we trust brokers by.
type Certificate struct {
	Of      string
	Expires time.Time
	Trusted bool // not our own; there may be others for the same brokers
}

// Broker is one broker of a cluster.
type Broker struct {
	ID      int32
	Address string
	Version string
	Trouble string   // why it does not answer
	Lacks   []string // features that Tandem uses where they are there
}

// Replicas are those of a topic's partition that has the fewest.
type Replicas struct{ All, InSync int }

// Would is what a cluster would make of a topic.
type Would struct {
	Refused string // why not, in the cluster's words; empty: it would
	Factor  int16  // 0: not told
	Configs map[string]string
}

// Members are those of a group.
type Members struct {
	Protocol string // connect, consumer, ...
	Names    []string
}

// Rights are what a login may do.
type Rights struct {
	Principal string // empty: not known
	Topics    map[string]TopicRight
	Groups    map[string][]string
	IDs       map[string][]string // transactional ids
	Cluster   []string
	Told      bool // Cluster is known; else Describe on it is missing, and the rest not known
}

// TopicRight is what a login may do with a topic.
type TopicRight struct {
	Exists, Hidden bool
	Operations     []string
}

// Archive is a store of the file, as it was found.
type Archive struct {
	Flow    stream.Flow
	URL     string
	Trouble string
	Passes  bool // it may be over in a moment
}

// Address is a port that mirror opens.
type Address struct {
	Address string
	Named   bool   // the file names it
	Taken   string // why it cannot be had; empty: it can
	Ours    bool   // a mirror answers there
}

func (f *Facts) cluster(alias string) *Cluster {
	for i := range f.Clusters {
		if f.Clusters[i].Alias == alias {
			return &f.Clusters[i]
		}
	}
	return &Cluster{Alias: alias, Trouble: "unknown"}
}

func (c *Cluster) reached() bool { return c.Trouble == "" }

func (c *Cluster) topic(name string) (stream.Topic, bool) {
	for _, t := range c.Topics {
		if t.Name == name {
			return t, true
		}
	}
	return stream.Topic{}, false
}

// config is a topic config in effect.
func (c *Cluster) config(topic, name string) (stream.ConfigEntry, bool) {
	for _, e := range c.Configs[topic] {
		if e.Name == name {
			return e, true
		}
	}
	return stream.ConfigEntry{}, false
}

// selected are the topics of the source that the flow replicates, as far as we may see them.
func (f Flow) selected(source *Cluster) (list []stream.Topic) {
	for _, t := range source.Topics {
		if !t.Internal && (f.Replicates && f.Topics.Replicates(t.Name)) {
			list = append(list, t)
		}
	}
	return list
}

// Selected names the topics of the source that the flow copies or archives.
func (f Flow) Selected(topics []stream.Topic) (list []stream.Topic) {
	for _, t := range topics {
		if !t.Internal && (f.Replicates && f.Topics.Replicates(t.Name) || f.Archives && f.Keeps(t.Name)) {
			list = append(list, t)
		}
	}
	return list
}

// Remote is the name of a topic's copy.
func (f Flow) Remote(topic string) string { return f.Policy.RemoteTopic(f.Source, topic) }

// Internal is a topic of a flow that mirror makes.
type Internal struct {
	Cluster string
	Topic   string
	Factor  int16
	Key     string // that sets the factor
	Reads   bool   // else it is only written to
	Parts   int32
}

// Internals are the topics that the flow makes for itself.
func (f Flow) Internals() []Internal {
	var all []Internal
	add := func(cluster, topic string, factor int16, key string, reads bool) {
		all = append(all, Internal{Cluster: cluster, Topic: topic, Factor: factor, Key: key, Reads: reads, Parts: 1})
	}
	if f.Heartbeats {
		add(f.Target, f.Policy.HeartbeatsTopic(), f.HeartbeatsFactor, "heartbeats.topic.replication.factor", false)
	}
	if !f.Replicates {
		return all
	}
	add(f.Target, stream.TandemTopic(f.Source), f.OffsetsFactor, "offset.storage.replication.factor", true)
	add(f.Target, f.OffsetsTopic, f.OffsetsFactor, "offset.storage.replication.factor", true)
	if f.Checkpoints {
		add(f.Target, f.Policy.CheckpointsTopic(f.Source), f.CheckpointsFactor, "checkpoints.topic.replication.factor", true)
	}
	switch f.SyncsOn {
	case "source":
		add(f.Source, f.Policy.OffsetSyncsTopic(f.Target), f.SyncsFactor, "offset-syncs.topic.replication.factor", true)
	case "target":
		add(f.Target, f.Policy.OffsetSyncsTopic(f.Source), f.SyncsFactor, "offset-syncs.topic.replication.factor", true)
	}
	if f.SetAside {
		add(f.Target, "mm2-tandem-refused."+f.Source+".internal", f.OffsetsFactor, "offset.storage.replication.factor", false)
	}
	return all
}
