package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tandem/internal/policy"
	"tandem/internal/stream"
)

// Config is what mm2.properties says.
type Config struct {
	Path        string
	Clusters    []Cluster // in the order of `clusters`
	Flows       []Flow    // the pairs that have work to do, in the order of `clusters`
	Warnings    []Warning // in the order of the file
	MemoryBytes int64     // memory.bytes

	OffsetMapBytes int64 // offset.map.bytes

	StatusAddress string // status.address; empty is nowhere
	StatusNamed   bool   // the user named it: then it must be had
	StatusToken   string // status.token, a secret; empty: none is asked for

	Metrics Metrics

	ProviderFiles []string // that placeholders such as ${file:PATH:KEY} were filled in from

	LogLevel string // log.level: debug, info, warn or error

	// Instance is group.instance.id, the name of this process among those that share the work; empty where it is to find one
	// itself.
	Instance string

	settings []setting // for Effective and Diff
}

// Metrics says how much /metrics shows.
type Metrics struct {
	Partitions int  // metrics.partitions.max
	MM2Names   bool // metrics.mm2.names
}

// Cluster is one of `clusters`.
type Cluster struct {
	Alias            string
	BootstrapServers string

	// Of the clients of commands that need no flow: what the file says of the cluster.
	Admin, Producer Properties
}

// Opposite is what a flow of a two-way pair has to know of the other one.
type Opposite struct {
	Topics       policy.Selector
	OffsetsTopic string // its positions, on our source
}

// Flow is a pair of clusters that MM2 would run a worker for. It replicates, emits heartbeats, archives, or does
// several of these.
type Flow struct {
	stream.Flow
	Enabled    bool     // replicates topics
	Heartbeats bool     // emits heartbeats into the target
	TwoWay     bool     // the opposite flow replicates too, and both keep topic names (IdentityReplicationPolicy)
	Opposite   Opposite // with TwoWay only

	Policy            policy.Policy
	Topics            policy.Selector
	ConfigFilter      policy.ConfigFilter
	ReplicationFactor int16         // of new remote topics; -1 leaves it to the broker
	RefreshTopics     time.Duration // 0 is off
	SyncConfigs       time.Duration // 0 is off
	SyncACLs          time.Duration // 0 is off
	ACLMode           string        // mm2 or full

	TopicRecreated string // halt or follow
	RetentionGap   string // report or halt
	OnRefused      string // quarantine or skip

	OffsetSyncs  OffsetSyncs
	Groups       *policy.Filter // groups, groups.exclude
	Checkpoints  Checkpoints
	GroupSync    GroupSync
	FailoverTail string // halt or copy

	Archive Archive
	Drill   Drill

	Throttle    Throttle
	Sharing     Sharing
	ExactlyOnce bool // exactly.once.source.support=enabled: records and positions in transactions

	HeartbeatInterval time.Duration
	HeartbeatsFactor  int16

	OffsetsTopic      string // MM2's positions, on the target
	OffsetsPartitions int32
	OffsetsFactor     int16
	FlushInterval     time.Duration // how often positions are written there

	AutoOffsetReset        string // earliest, latest or none
	IsolationLevel         string // read_uncommitted or read_committed
	FetchMaxBytes          int32  // 0: not set
	MaxPartitionFetchBytes int32  // 0: not set
	MaxRequestBytes        int32  // max.request.size of the producer; 0: not set
	Compression            string // compression.type of the producer; "": as the source has it

	hash string

	SourceConsumer Properties
	SourceProducer Properties // for the offset syncs, where they are kept on the source
	SourceAdmin    Properties
	TargetProducer Properties
	TargetAdmin    Properties
}

// OffsetSyncs are the settings of the offset syncs topic.
type OffsetSyncs struct {
	Enabled  bool
	Location string // source or target: the cluster that holds the topic
	Factor   int16
	LagMax   int64
}

// Checkpoints are the settings of checkpoints and of the groups that have them.
type Checkpoints struct {
	Enabled  bool
	Interval time.Duration // a second at least
	Refresh  time.Duration // of the list of groups; 0: never again after the first
	Factor   int16         // of the checkpoints topic
}

// GroupSync says whether and how often translated offsets are committed on the target.
type GroupSync struct {
	Enabled  bool
	Interval time.Duration // 0 where it is not enabled
}

// Load reads the file at path. Only flows into the named clusters are kept; without names, all are. The error holds every
// error of the file, one a line; the Config that comes with it has Path and Warnings only.
func Load(path string, targets []string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return &Config{Path: path}, fmt.Errorf("read config: %w", err)
	}
	return read(path, data, targets)
}

func read(path string, data []byte, targets []string) (*Config, error) {
	p := &problems{file: filepath.Base(path)}
	entries := parse(data, p)
	c := &Config{Path: path}
	c.ProviderFiles = resolveProviders(entries, p)
	bare := under(entries, "")
	old := javaTrim(bare["mm2.compatibility"].value) == "3.9"
	aliases := clusterAliases(entries, old, p)
	if len(aliases) > 0 {
		checkAll(entries, aliases, old, p)
		c.Clusters = clusters(entries, aliases, p)
		checkTargets(targets, aliases, p)
	}
	b := builder{entries: entries, problems: p, old: old}
	b.process(c, bare)
	b.checkCircles(aliases)
	for _, f := range pairs(entries, aliases) {
		if len(targets) == 0 || slices.Contains(targets, f.Target) {
			c.Flows = append(c.Flows, b.flow(f))
		}
	}
	b.onceEach(c.Flows)
	b.checkGroups(c.Flows)
	c.settings = b.processSettings(bare)
	for i := range c.Flows {
		own := b.flowSettings(c.Flows[i])
		c.Flows[i].hash = hashOf(c.Flows[i], old, own)
		c.settings = append(c.settings, own...)
	}
	if len(c.Flows) == 0 && len(p.errors) == 0 {
		p.fail(0, "", "no flow has anything to do; enable one, as in %s.enabled = true", example(aliases))
	}
	p.sortWarnings()
	c.Warnings = p.warnings
	if err := p.err(); err != nil {
		return &Config{Path: path, Warnings: p.warnings}, err
	}
	return c, nil
}

func example(aliases []string) stream.Flow {
	if len(aliases) < 2 {
		return stream.Flow{Source: "A", Target: "B"}
	}
	return stream.Flow{Source: aliases[0], Target: aliases[1]}
}

func clusterAliases(entries []entry, old bool, p *problems) []string {
	e, ok := under(entries, "")["clusters"]
	if !ok {
		p.fail(0, "", "clusters is missing; list the aliases of the clusters, as in: clusters = A, B")
		return nil
	}
	items, empty := splitList(e.value)
	if empty && !old {
		warnEmptyElement(e, p)
	}
	var aliases []string
	for _, a := range items {
		if !slices.Contains(aliases, a) {
			aliases = append(aliases, a)
		}
	}
	if len(aliases) < 2 {
		p.bad(e, "must list at least two clusters")
	}
	return aliases
}

func clusters(entries []entry, aliases []string, p *problems) []Cluster {
	at := under(entries, "")["clusters"]
	var all []Cluster
	for _, a := range aliases {
		s := clusterSettings(entries, a)
		servers := s["bootstrap.servers"].value
		for _, kind := range clientKinds {
			if servers == "" {
				servers = s[kind+".bootstrap.servers"].value
			}
		}
		if servers == "" {
			p.fail(at.line, "", "cluster %s has no brokers; add %s.bootstrap.servers = host:port", a, a)
		}
		all = append(all, Cluster{
			Alias: a, BootstrapServers: javaTrim(servers),
			Admin: s.under("admin.").properties(), Producer: s.under("producer.").properties(),
		})
	}
	return all
}

func checkTargets(targets, aliases []string, p *problems) {
	for _, t := range targets {
		if !slices.Contains(aliases, t) {
			p.fail(0, "", "--clusters %s: no such cluster; the file has %s", t, strings.Join(aliases, ", "))
		}
	}
}

// pairs are the pairs that MM2 gives a worker: those enabled, and those that emit heartbeats; and those that archive. MM2 reads its
// switches without trimming them, so "true " is false here.
func pairs(entries []entry, aliases []string) []stream.Flow {
	all := under(entries, "")
	isTrue := func(key string, otherwise bool) bool {
		e, ok := all[key]
		if !ok {
			return otherwise
		}
		return strings.EqualFold(e.value, "true")
	}
	var out []stream.Flow
	for _, source := range aliases {
		for _, target := range aliases {
			f := stream.Flow{Source: source, Target: target}
			heartbeats := isTrue(f.String()+".emit.heartbeats.enabled", isTrue("emit.heartbeats.enabled", true))
			archives := isTrue(f.String()+".archive.enabled", false)
			if source != target && (heartbeats || archives || isTrue(f.String()+".enabled", false)) {
				out = append(out, f)
			}
		}
	}
	return out
}
