package config

import (
	"strings"
	"testing"
)

// problemsOf reads base and one more line, its fifth.
func problemsOf(text string) (errs, warnings []string) {
	c, err := read("/etc/mirror/mm2.properties", []byte(text), nil)
	if err != nil {
		errs = strings.Split(err.Error(), "\n")
	}
	for _, w := range c.Warnings {
		warnings = append(warnings, w.String())
	}
	return errs, warnings
}

func TestBadValues(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"A->B.replication.factor = two", `A->B.replication.factor = "two": must be a number from 1 to 32767, or -1 for the broker's default`},
		{"replication.factor = 0", `replication.factor = "0": must be a number from 1 to 32767, or -1 for the broker's default`},
		{"offset-syncs.topic.replication.factor = 40000", `offset-syncs.topic.replication.factor = "40000": must be a number from 1 to 32767, or -1 for the broker's default`},
		{"offset-syncs.topic.location = middle", `offset-syncs.topic.location = "middle": must be source or target`},
		{"offset-syncs.topic.location = source ", ""}, // as ConfigDef trims
		{"offset-syncs.topic.location = Source", `offset-syncs.topic.location = "Source": must be source or target`},
		{"replication.policy.separator = _ ", `replication.policy.separator = "_ ": must consist of characters that topic names may have: letters, digits, dot, underscore, hyphen`},
		{"A->B.enabled.x", ""},
		{"sync.topic.configs.enabled = yes", `sync.topic.configs.enabled = "yes": must be true or false`},
		{"refresh.topics.interval.seconds = 0", `refresh.topics.interval.seconds = "0": must not be 0; to switch it off, set refresh.topics.enabled = false`},
		{"refresh.topics.interval.seconds = 1m", `refresh.topics.interval.seconds = "1m": must be a whole number`},
		{"tasks.max = 0", `tasks.max = "0": must be a number from 1 to 2147483647`},
		{"topics = a, b(", `topics = "a, b(": must be a list of Java regular expressions: compile regular expression "b(": unclosed group (near character 2)`},
		{"A.security.protocol = TLS", `A.security.protocol = "TLS": must be PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL`},
		{"A.consumer.auto.offset.reset = smallest", `A.consumer.auto.offset.reset = "smallest": must be earliest, latest or none`},
		{"A->B.consumer.isolation.level = committed", `A->B.consumer.isolation.level = "committed": must be read_uncommitted or read_committed`},
		{"B.producer.compression.type = lzma", `B.producer.compression.type = "lzma": must be none, gzip, snappy, lz4 or zstd`},
		{"A->B.producer.override.max.request.size = -1", `A->B.producer.override.max.request.size = "-1": must be a number from 1 to 2147483647`},
		{"B.offset.flush.interval.ms = 0", `B.offset.flush.interval.ms = "0": must be a whole number, 1 or more`},
		{"memory.bytes = 1000", `memory.bytes = "1000": must be a whole number, 8388608 or more`},
		{"offset.map.bytes = 1000", `offset.map.bytes = "1000": must be a whole number, 1048576 or more`},
		{"failover.tail = drop", `failover.tail = "drop": must be halt or copy`},
		{"groups = a(", `groups = "a(": must be a list of Java regular expressions: compile regular expression "a(": unclosed group (near character 2)`},
		{"checkpoints.topic.replication.factor = 0", `checkpoints.topic.replication.factor = "0": must be a number from 1 to 32767, or -1 for the broker's default`},
		{"bootstrap.servers = a", `bootstrap.servers = "a": must be a list of host:port`},
		{"bootstrap.servers = a:0", `bootstrap.servers = "a:0": must be a list of host:port, with ports from 1 to 65535`},
		{"bootstrap.servers = a:1, b:99999", `bootstrap.servers = "a:1, b:99999": must be a list of host:port, with ports from 1 to 65535`},
		{"bootstrap.servers = u:p@h://x", `bootstrap.servers = "u:p@h://x": must be a list of host:port`},
		{"replication.policy.class = com.example.P", `replication.policy.class = "com.example.P": must be org.apache.kafka.connect.mirror.DefaultReplicationPolicy or org.apache.kafka.connect.mirror.IdentityReplicationPolicy; classes of one's own cannot be loaded: one that only changes what stands between alias and topic is replication.policy.separator`},
		{"topic.filter.class = com.example.F", `topic.filter.class = "com.example.F": must be org.apache.kafka.connect.mirror.DefaultTopicFilter; a filter of one's own cannot be loaded: say the same with topics and topics.exclude`},
		{"A->B.group.filter.class = com.example.F", `A->B.group.filter.class = "com.example.F": must be org.apache.kafka.connect.mirror.DefaultGroupFilter; a filter of one's own cannot be loaded: say the same with groups and groups.exclude`},
		{"config.property.filter.class = com.example.F", `config.property.filter.class = "com.example.F": must be org.apache.kafka.connect.mirror.DefaultConfigPropertyFilter; a filter of one's own cannot be loaded: say the same with config.properties.exclude and A->B.use.defaults.from`},
		{"mm2.compatibility = 2.8", `mm2.compatibility = "2.8": must be 4.x or 3.9`},
		{"log.level = loud", `log.level = "loud": must be debug, info, warn or error`},
		{"sync.topic.acls.mode = all", `sync.topic.acls.mode = "all": must be mm2 or full`},
		{"sync.topic.acls.interval.seconds = 0", `sync.topic.acls.interval.seconds = "0": must not be 0; to switch it off, set sync.topic.acls.enabled = false`},
		{"throttle.bytes.per.second = -1", `throttle.bytes.per.second = "-1": must be a whole number, 0 or more`},
		{"throttle.topics = orders", `throttle.topics = "orders": must be a list of PATTERN=BYTES, as in: orders\\..*=1048576, .*=4194304`},
		{"throttle.topics = orders=1k", `throttle.topics = "orders=1k": must be a list of PATTERN=BYTES: in "orders=1k", a pattern stands before the last = and a number of bytes a second, 0 and up, behind it`},
		{"throttle.topics = =5", `throttle.topics = "=5": must be a list of PATTERN=BYTES: in "=5", a pattern stands before the last = and a number of bytes a second, 0 and up, behind it`},
		{"throttle.topics = a(=5", `throttle.topics = "a(=5": must be a list of PATTERN=BYTES: compile regular expression "a(": unclosed group (near character 2)`},
		{"group.instance.id = a b", `group.instance.id = "a b": must be up to 249 letters, digits, dots, underscores and hyphens`},
		{"B.group.id =", `B.group.id = "": must not be empty; without the line it is A-mm2`},
		{"B.exactly.once.source.support = yes", `B.exactly.once.source.support = "yes": must be disabled, preparing or enabled`},
		{"A->B.exactly.once.support = required", `A->B.exactly.once.support = "required": needs B.exactly.once.source.support = enabled`},
		{"B.session.timeout.ms = 900", `B.session.timeout.ms: heartbeat.interval.ms (1000) must be less than session.timeout.ms (900), a third of it at most`},
		{"replication.policy.separator =", `replication.policy.separator = "": must consist of characters that topic names may have: letters, digits, dot, underscore, hyphen`},
		{"metric.names.formats = old", `metric.names.formats = "old": must be a list of legacy or new`},
		{"source.cluster.alias = X", `source.cluster.alias: must not be set: MM2 sets it itself, and a value here would rename clusters`},
		{"A->C.enabled = true", `A->C.enabled: there is no cluster "C"; clusters lists A, B`},
		{`A->B.topics = \u12`, `malformed escape: \u needs four hexadecimal digits; to write a backslash, double it`},
	} {
		errs, _ := problemsOf(base + c.line)
		want := "mm2.properties:5: " + c.want
		if c.want == "" {
			if len(errs) > 0 {
				t.Errorf("%s: %q", c.line, errs)
			}
			continue
		}
		if len(errs) != 1 || errs[0] != want {
			t.Errorf("%s\n got %q\nwant %q", c.line, errs, want)
		}
	}
}

func TestBadFiles(t *testing.T) {
	for _, c := range []struct{ story, text, targets, want string }{
		{"empty", "", "", "mm2.properties: clusters is missing; list the aliases of the clusters, as in: clusters = A, B"},
		{"one cluster", "clusters = A\nA.bootstrap.servers = a:1", "", `mm2.properties:1: clusters = "A": must list at least two clusters`},
		{"no brokers", "clusters = A, B\nA.bootstrap.servers = a:1\nA->B.enabled = true", "", "mm2.properties:1: cluster B has no brokers; add B.bootstrap.servers = host:port"},
		{"unknown target", base, "Z", `mm2.properties: --clusters Z: no such cluster; the file has A, B`},
		{"nothing to do", "clusters = A, B\nbootstrap.servers = a:1\nemit.heartbeats.enabled = false", "", "mm2.properties: no flow has anything to do; enable one, as in A->B.enabled = true"},
		{"all at once, by line", base + "tasks.max = x\nA->B.enabled = perhaps\nB.offset.storage.partitions = 0", "",
			`mm2.properties:5: tasks.max = "x": must be a number from 1 to 2147483647` + "\n" +
				`mm2.properties:6: A->B.enabled = "perhaps": must be true or false` + "\n" +
				`mm2.properties:7: B.offset.storage.partitions = "0": must be a number from 1 to 2147483647`},
	} {
		var targets []string
		if c.targets != "" {
			targets = []string{c.targets}
		}
		got, err := read("mm2.properties", []byte(c.text), targets)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s\n got %v\nwant %s", c.story, err, c.want)
		}
		if len(got.Flows) > 0 {
			t.Errorf("%s: flows in spite of an error", c.story)
		}
	}
}

func TestWarnings(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"tasks.max = 4", ""},
		{"topcis = a.*", "topcis: unknown key; did you mean topics?"},
		{"replication.facotr = 3", "replication.facotr: unknown key; did you mean replication.factor?"},
		{"A->B.topcis = a", "A->B.topcis: unknown key; did you mean A->B.topics?"},
		{"A->B.sync.topic.config.enabled = true", "A->B.sync.topic.config.enabled: unknown key; did you mean A->B.sync.topic.configs.enabled?"},
		{"A.consumer.fetch.max.byte = 1", "A.consumer.fetch.max.byte: unknown setting of a Kafka consumer; did you mean A.consumer.fetch.max.bytes?"},
		{"A.boostrap.servers = x:1", "A.boostrap.servers: unknown key; did you mean A.bootstrap.servers?"},
		{"A.ssl.trust.store.location = /x", "A.ssl.trust.store.location: unknown key; did you mean A.ssl.truststore.location?"},
		{"Q.bootstrap.servers = q:1", "Q.bootstrap.servers: there is no cluster Q; clusters lists A, B; did you mean A.bootstrap.servers?"},
		{"some.plugin.key = 1", "some.plugin.key: unknown key"},
		{"producer.batch.size = 1", "producer.batch.size: is not read without a cluster and has no effect; write A.producer.batch.size or B.producer.batch.size"},
		{"consumer.fetch.max.bytes = 1", "consumer.fetch.max.bytes: is not read without a cluster and has no effect; write A.consumer.fetch.max.bytes or B.consumer.fetch.max.bytes"},
		{"admin.request.timeout.ms = 1", "admin.request.timeout.ms: is not read without a cluster and has no effect; write A.admin.request.timeout.ms or B.admin.request.timeout.ms"},
		{"producer.override.acks = 1", "producer.override.acks: is not read without a flow and has no effect; write A->B.producer.override.acks"},
		{"use.defaults.from = source", "use.defaults.from: is not read without a flow and has no effect; write A->B.use.defaults.from"},
		{"offset.flush.interval.ms = 1", "offset.flush.interval.ms: is not read without a cluster and has no effect; write A.offset.flush.interval.ms or B.offset.flush.interval.ms"},
		{"batch.size = 1", "batch.size: is not read without a cluster and a kind of client and has no effect; write A.producer.batch.size or B.producer.batch.size"},
		{"A.topics = a", "A.topics: is not read for one cluster and has no effect; write B->A.topics"},
		{"B.batch.size = 1", "B.batch.size: does not reach any client and has no effect; write B.producer.batch.size"},
		{"A->B.offset.flush.interval.ms = 1", "A->B.offset.flush.interval.ms: is a worker key and not read for one flow and has no effect; write B.offset.flush.interval.ms"},
		{"A->B.bootstrap.servers = x:1", "A->B.bootstrap.servers: is not read for one flow and has no effect; write A.bootstrap.servers or B.bootstrap.servers"},
		{"A->B.producer.batch.size = 1", "A->B.producer.batch.size: does not reach the producer of the records; write A->B.producer.override.batch.size, or B.producer.batch.size for all flows into B"},
		{"A->B.memory.bytes = 1", "A->B.memory.bytes: is a setting of the whole process and has no effect; write memory.bytes"},
		{"A->A.enabled = true", "A->A.enabled: a cluster is not replicated into itself; the line has no effect"},
		{"B->A.enabled = false ", "B->A.enabled: the value has blanks around it, which MM2 takes for false in places; remove them"},
		{"topics = a,", "topics: the list has an empty element, which is skipped; MM2 4.2 and later refuses it"},
		{"enabled = false", "enabled: reaches every pair that heartbeats give work to, in both directions; write A->B.enabled"},
		{"A->B.enabled = true", "A->B.enabled: set before in line 4; this line wins"},
		{"clusters = A, B", "clusters: set before in line 1; this line wins"},
		{"topics.blacklist = a", "topics.blacklist: was removed in MM2 4.0; it is read as topics.exclude where that is not set; rename it"},
		{"emit.heartbeats.interval.seconds = 0", "emit.heartbeats.interval.seconds: a heartbeat is written once a second at most; to switch them off, set emit.heartbeats.enabled = false"},
		{"emit.checkpoints.interval.seconds = -1", "emit.checkpoints.interval.seconds: checkpoints are written once a second at most; to switch them off, set emit.checkpoints.enabled = false"},
		{"A->B.emit.checkpoints.enabled = false", "A->B.emit.checkpoints.enabled: MM2 refuses to start its checkpoint connector with false; here no checkpoints are written"},
		{"B->A.emit.checkpoints.enabled = false", ""},
		{"emit.offset-syncs.enabled = false", "emit.offset-syncs.enabled: MM2 refuses to start its checkpoint connector with false; here checkpoints are written all the same"},
		{"sync.group.offsets.enabled = true", ""},
		{"A->B.offset.map.bytes = 2000000", "A->B.offset.map.bytes: is a setting of the whole process and has no effect; write offset.map.bytes"},
		{"transforms = mask", "transforms: has no effect. Records are not transformed: they pass through as bytes. Leave topics out with topics.exclude; change records behind the mirror"},
		{"transforms.mask.type = x", "transforms.mask.type: is not read without a flow and has no effect; write A->B.transforms.mask.type"},
		{"value.converter = org.json.X", "value.converter: has no effect. Keys, values and headers pass through as bytes, which other converters would change. Remove it, or write org.apache.kafka.connect.converters.ByteArrayConverter"},
		{"B.header.converter = org.json.X", "B.header.converter: has no effect. Keys, values and headers pass through as bytes, which other converters would change. Remove it, or write org.apache.kafka.connect.converters.ByteArrayConverter"},
		{"key.converter = org.apache.kafka.connect.converters.ByteArrayConverter", ""},
		{"A->B.key.converter = ByteArrayConverter", ""},
		{"errors.tolerance = all", "errors.tolerance: has no effect. No record is dropped in silence. Write on.refused = skip to set aside what the target refuses"},
		{"errors.tolerance = none", ""},
		{"A->B.topic.creation.default.partitions = 3", "A->B.topic.creation.default.partitions: has no effect. Remote topics are made like their source topics. Write replication.factor; other configs come from the source topic"},
		{"topic.creation.groups = a", "topic.creation.groups: is not read without a flow and has no effect; write A->B.topic.creation.groups"},
		{"forwarding.admin.class = com.example.F", "forwarding.admin.class: has no effect. Java classes cannot be loaded. Topics, configs and ACLs are written to the target itself; where another system must do that, set sync.topic.configs.enabled and sync.topic.acls.enabled to false and create the remote topics there"},
		{"A.forwarding.admin.class = org.apache.kafka.clients.admin.ForwardingAdmin", ""},
		{"metric.reporters = com.example.R", "metric.reporters: has no effect. Java classes cannot be loaded. Prometheus finds the metrics at status.address"},
		{"use.incremental.alter.configs = never", "use.incremental.alter.configs: has no effect. Configs are always set one by one. Remove it; what config.properties.exclude names stays as the target has it"},
		{"A->B.offsets.storage.topic = x", "A->B.offsets.storage.topic: has no effect. Positions are kept in one topic for a flow. Write B.offset.storage.topic"},
		{"A.consumer.client.rack = r1", "A.consumer.client.rack: has no effect. Records are read from leaders. Remove it"},
		{"B.producer.interceptor.classes = x", "B.producer.interceptor.classes: has no effect. Java classes cannot be loaded. Remove it"},
		{"B.producer.compression.zstd.level = 9", "B.producer.compression.zstd.level: has no effect. What is compressed anew is at the codec's usual level. Remove it"},
		{"B.request.timeout.ms = 1", "B.request.timeout.ms: does not reach any client and has no effect; write B.producer.request.timeout.ms or B.consumer.request.timeout.ms or B.admin.request.timeout.ms"},
		{"request.timeout.ms = 1", "request.timeout.ms: is not read without a cluster and a kind of client and has no effect; write A.consumer.request.timeout.ms or B.consumer.request.timeout.ms"},
		{"B.config.providers = env", "B.config.providers: is a setting of the whole process and has no effect; write config.providers"},
		{"A.group.instance.id = x", "A.group.instance.id: is a setting of the whole process and has no effect; write group.instance.id"},
		{"sync.topic.acls.enabled = true", ""},
		{"exactly.once.source.support = enabled", "exactly.once.source.support: is not read without a cluster and has no effect; write A.exactly.once.source.support or B.exactly.once.source.support"},
		{"A->B.exactly.once.source.support = enabled", "A->B.exactly.once.source.support: is a worker key and not read for one flow and has no effect; write B.exactly.once.source.support"},
		{"B.exactly.once.source.support = enabled", "B.exactly.once.source.support: isolation.level of A is not set, so A->B copies records of aborted transactions too, as MM2 does; write A.consumer.isolation.level = read_committed, or read_uncommitted to keep it so"},
		{"B.exactly.once.source.support = Preparing", ""},
		{"A.exactly.once.source.support = enabled", ""},
		{"B.heartbeat.interval.ms = 2500", ""}, // the session is longer then, too
		{"B.session.timeout.ms = 10000", ""},
		{"B.session.timeout.ms = 5000", "B.session.timeout.ms: is less than 6000, below which brokers refuse it unless their group.min.session.timeout.ms is lower"},
		{"B.rebalance.timeout.ms = 5000", "B.rebalance.timeout.ms: is less than session.timeout.ms (6000): a process may lose its partitions while it lets others go"},
		{"A.ssl.keystore.password = ${env:PW}", "A.ssl.keystore.password: ${env:PW} is taken literally, because no provider env is declared; add: config.providers = env and config.providers.env.class = org.apache.kafka.common.config.provider.EnvVarConfigProvider"},
		{"= x", "the line has a value but no key"},
		{"A.group.id = x", ""},
		{"listeners = http://:1", ""},
		{"A->B.transforms.x.type = y", ""},
	} {
		errs, warnings := problemsOf(base + c.line)
		if len(errs) > 0 {
			t.Errorf("%s: %q", c.line, errs)
		}
		if c.want == "" {
			if len(warnings) > 0 {
				t.Errorf("%s: %q", c.line, warnings)
			}
			continue
		}
		if want := "mm2.properties:5: " + c.want; len(warnings) != 1 || warnings[0] != want {
			t.Errorf("%s\n got %q\nwant %q", c.line, warnings, want)
		}
	}
	_, warnings := problemsOf(base + "emit.offset-syncs.enabled = false\noffset-syncs.topic.location = target")
	if len(warnings) != 2 || !strings.HasPrefix(warnings[1], "mm2.properties:6: offset-syncs.topic.location: has no effect with emit.offset-syncs.enabled = false") {
		t.Errorf("%q", warnings)
	}
}
