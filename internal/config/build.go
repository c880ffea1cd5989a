package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"tandem/internal/policy"
	"tandem/internal/stream"
)

// builder turns resolved settings into flows. Values that are not allowed have been reported by the checks; here they read
// as the default.
type builder struct {
	entries  []entry
	problems *problems
	pair     stream.Flow // whose settings are being read; some defaults carry its aliases
	old      bool        // mm2.compatibility = 3.9
}

func (b builder) flow(f stream.Flow) Flow {
	b.pair = f
	connector, worker := connectorSettings(b.entries, f), workerSettings(b.entries, f)
	out := Flow{
		Flow:       f,
		Enabled:    b.boolean(connector, "enabled"),
		Heartbeats: b.boolean(connector, "emit.heartbeats.enabled"),

		ReplicationFactor: int16(b.number(connector, "replication.factor", flow)),
		RefreshTopics:     b.interval(connector, "refresh.topics"),
		SyncConfigs:       b.interval(connector, "sync.topic.configs"),
		SyncACLs:          b.interval(connector, "sync.topic.acls"),
		ACLMode:           b.text(connector, "sync.topic.acls.mode"),

		TopicRecreated: b.text(connector, "topic.recreated"),
		RetentionGap:   b.text(connector, "retention.gap"),
		OnRefused:      b.text(connector, "on.refused"),

		FailoverTail: b.text(connector, "failover.tail"),

		HeartbeatInterval: b.pause(connector, "emit.heartbeats", "a heartbeat is"),
		HeartbeatsFactor:  int16(b.number(connector, "heartbeats.topic.replication.factor", flow)),

		Throttle: b.throttle(connector),

		OffsetsTopic:      b.text(worker, "offset.storage.topic"),
		OffsetsPartitions: int32(b.number(worker, "offset.storage.partitions", cluster)),
		OffsetsFactor:     int16(b.number(worker, "offset.storage.replication.factor", cluster)),
		FlushInterval:     b.milliseconds(worker, "offset.flush.interval.ms", cluster),

		SourceConsumer: client(connector, "source", "consumer").properties(),
		SourceProducer: client(connector, "source", "producer").properties(),
		SourceAdmin:    client(connector, "source", "admin").properties(),
		TargetProducer: dataProducer(worker, connector).properties(),
		TargetAdmin:    client(connector, "target", "admin").properties(),
	}
	out.TwoWay = b.keepsNames(f) && b.keepsNames(f.Reverse())
	out.OffsetSyncs = b.offsetSyncs(connector)
	b.groups(&out, connector)
	b.policies(&out, connector)
	b.clients(&out)
	b.archive(&out, connector)
	b.drill(&out, connector)
	out.Sharing = b.sharing(&out, worker)
	out.ExactlyOnce = b.exactlyOnce(&out, connector, worker)
	b.oldNames(connector)
	return out
}

// oldNames says where a key of 3.x stands beside the one that took its place.
func (b builder) oldNames(connector settings) {
	for old, now := range renamed {
		e, both := connector[old]
		if by, set := connector[now]; both && set {
			b.problems.warn(Warning{Line: e.line, Key: e.key, Message: "has no effect, because " + by.key + " is set"})
		}
	}
}

func (b builder) offsetSyncs(connector settings) OffsetSyncs {
	s := OffsetSyncs{
		Enabled:  b.boolean(connector, "emit.offset-syncs.enabled"),
		Location: b.text(connector, "offset-syncs.topic.location"),
		Factor:   int16(b.number(connector, "offset-syncs.topic.replication.factor", flow)),
		LagMax:   b.number(connector, "offset.lag.max", flow),
	}
	if !s.Enabled {
		for k, e := range connector {
			if strings.HasPrefix(k, "offset-syncs") {
				b.problems.warn(Warning{Line: e.line, Key: e.key, Message: "has no effect with emit.offset-syncs.enabled = false; MM2 refuses to start a flow that has both"})
			}
		}
	}
	return s
}

// groups sets what is about consumer groups, and says what MM2's checkpoint connector refuses; it does not look where the
// flow is off, and compares the exact word.
func (b builder) groups(out *Flow, connector settings) {
	out.Checkpoints = Checkpoints{
		Enabled:  b.boolean(connector, "emit.checkpoints.enabled"),
		Interval: b.pause(connector, "emit.checkpoints", "checkpoints are"),
		Refresh:  b.interval(connector, "refresh.groups"),
		Factor:   int16(b.number(connector, "checkpoints.topic.replication.factor", flow)),
	}
	every := b.interval(connector, "sync.group.offsets")
	out.GroupSync = GroupSync{Enabled: every > 0, Interval: every}
	groups, err := b.filter(connector, "groups")
	if err != nil {
		b.problems.fail(0, out.String(), "%v", err)
	}
	out.Groups = groups
	if !out.Enabled {
		return
	}
	if e, ok := connector["emit.checkpoints.enabled"]; ok && e.value == "false" {
		b.problems.warn(Warning{Line: e.line, Key: e.key, Message: "MM2 refuses to start its checkpoint connector with false; here no checkpoints are written"})
	}
	if e, ok := connector["emit.offset-syncs.enabled"]; ok && e.value == "false" && out.Checkpoints.Enabled {
		b.problems.warn(Warning{Line: e.line, Key: e.key, Message: "MM2 refuses to start its checkpoint connector with false; here checkpoints are written all the same"})
	}
}

// policies sets what decides over names. The lists have been checked one by one, so an error here can only come from
// settings that were reported.
func (b builder) policies(out *Flow, connector settings) {
	separator := b.text(connector, "replication.policy.separator")
	internal := b.boolean(connector, "replication.policy.internal.topic.separator.enabled")
	p, err := policy.New(b.text(connector, "replication.policy.class"), separator, internal, out.Source)
	if err != nil {
		b.problems.fail(0, out.String(), "%v", err)
	}
	topics, err := b.filter(connector, "topics")
	if err != nil {
		b.problems.fail(0, out.String(), "%v", err)
	}
	out.ConfigFilter, err = policy.NewConfigFilter(b.patterns(connector, "config.properties.exclude"), b.text(connector, "use.defaults.from"))
	if err != nil {
		b.problems.fail(0, out.String(), "%v", err)
	}
	if b.old {
		p = p.Before40()
	}
	out.Policy = p
	if out.TwoWay {
		out.Opposite = b.opposite(out.Reverse())
	}
	out.Topics = policy.Selector{Policy: p, Target: out.Target, Topics: topics, Heartbeats: b.boolean(connector, "heartbeats.replication.enabled")}
}

// opposite is the opposite flow of a two-way pair. What is wrong with its settings is told where it is made.
func (b builder) opposite(f stream.Flow) Opposite {
	out := Flow{Flow: f}
	b.problems, b.pair = &problems{}, f
	b.policies(&out, connectorSettings(b.entries, f))
	return Opposite{Topics: out.Topics, OffsetsTopic: b.text(workerSettings(b.entries, f), "offset.storage.topic")}
}

func (b builder) clients(out *Flow) {
	value := func(p Properties, client, name string) string {
		row, _ := clientRow(client, name)
		if v, ok := p[name]; ok && row.check(v) == nil {
			return javaTrim(v)
		}
		return row.def
	}
	size := func(p Properties, client, name string) int32 {
		n, _ := strconv.ParseInt(value(p, client, name), 10, 32) // "" is 0: not set
		return int32(n)
	}
	out.AutoOffsetReset = value(out.SourceConsumer, "consumer", "auto.offset.reset")
	out.IsolationLevel = value(out.SourceConsumer, "consumer", "isolation.level")
	out.FetchMaxBytes = size(out.SourceConsumer, "consumer", "fetch.max.bytes")
	out.MaxPartitionFetchBytes = size(out.SourceConsumer, "consumer", "max.partition.fetch.bytes")
	out.MaxRequestBytes = size(out.TargetProducer, "producer", "max.request.size")
	out.Compression = value(out.TargetProducer, "producer", "compression.type")
}

// text is the value of a key of the flow or its worker, or the default.
func (b builder) text(s settings, name string) string {
	row, ok := find(name, flow|cluster)
	return b.checked(s, row, ok)
}

// processText is the value of a key of the whole process, or its default.
func (b builder) processText(s settings, name string) string {
	row, ok := find(name, process)
	return b.checked(s, row, ok)
}

func (b builder) checked(s settings, row key, known bool) string {
	if !known {
		panic("config: a key that the table does not have") // a mistake in this package, found by any test
	}
	value, _ := b.resolve(s, row)
	return value
}

func (b builder) boolean(s settings, name string) bool {
	return strings.EqualFold(javaTrim(b.text(s, name)), "true")
}

func (b builder) list(s settings, name string) []string {
	items, _ := splitList(b.text(s, name))
	return items
}

// patterns are the elements of a list of expressions. To 3.9 an empty one is an expression too, which matches the empty name.
func (b builder) patterns(s settings, name string) []string {
	items, empty := splitList(b.text(s, name))
	if empty && b.old {
		items = append(items, "")
	}
	return items
}

// filter reads NAME and NAME.exclude.
func (b builder) filter(s settings, name string) (*policy.Filter, error) {
	return policy.NewFilter(b.patterns(s, name), b.patterns(s, name+".exclude"))
}

func (b builder) number(s settings, name string, in scope) int64 {
	row, ok := find(name, in)
	n, _ := strconv.ParseInt(javaTrim(b.checked(s, row, ok)), 10, 64)
	return n
}

// milliseconds reads a duration that is in milliseconds.
func (b builder) milliseconds(s settings, name string, in scope) time.Duration {
	return duration(b.number(s, name, in), time.Millisecond)
}

// interval reads NAME.enabled and NAME.interval.seconds; 0 is off.
func (b builder) interval(s settings, name string) time.Duration {
	key := name + ".interval.seconds"
	n := b.number(s, key, flow)
	if !b.boolean(s, name+".enabled") || n < 0 {
		return 0
	}
	if e, set := s[key]; set && n == 0 {
		b.problems.bad(e, "must not be 0; to switch it off, set %s.enabled = false", name)
	}
	return duration(n, time.Second)
}

// pause reads NAME.interval.seconds of what MM2 sleeps between: a second at least, or it would not sleep at all.
func (b builder) pause(s settings, name, what string) time.Duration {
	key := name + ".interval.seconds"
	n := b.number(s, key, flow)
	if n < 1 {
		b.problems.warn(Warning{Line: s[key].line, Key: s[key].key, Message: fmt.Sprintf("%s written once a second at most; to switch them off, set %s.enabled = false", what, name)})
		n = 1
	}
	return duration(n, time.Second)
}

// duration keeps to what a Duration can hold, some 292 years.
func duration(n int64, unit time.Duration) time.Duration {
	return time.Duration(min(n, int64(1<<63-1)/int64(unit))) * unit
}
