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
		{"offset-syncs.topic.location = source ", `offset-syncs.topic.location = "source ": must be source or target, without blanks around it`},
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
		{"B.offset.flush.interval.ms = 0", `B.offset.flush.interval.ms = "0": must be a number from 1 to 9223372036854775807`},
		{"memory.bytes = 1000", `memory.bytes = "1000": must be a number from 8388608 to 9223372036854775807`},
		{"offset.map.bytes = 1000", `offset.map.bytes = "1000": must be a number from 1048576 to 9223372036854775807`},
		{"failover.tail = drop", `failover.tail = "drop": must be halt or copy`},
		{"groups = a(", `groups = "a(": must be a list of Java regular expressions: compile regular expression "a(": unclosed group (near character 2)`},
		{"checkpoints.topic.replication.factor = 0", `checkpoints.topic.replication.factor = "0": must be a number from 1 to 32767, or -1 for the broker's default`},
		{"bootstrap.servers = a", `bootstrap.servers = "a": must be a list of host:port`},
		{"bootstrap.servers = u:p@h://x", `bootstrap.servers = "u:p@h://x": must be a list of host:port`},
		{"replication.policy.class = com.example.P", `replication.policy.class = "com.example.P": must be org.apache.kafka.connect.mirror.DefaultReplicationPolicy or org.apache.kafka.connect.mirror.IdentityReplicationPolicy`},
		{"replication.policy.separator =", `replication.policy.separator = "": must consist of characters that topic names may have: letters, digits, dot, underscore, hyphen`},
		{"value.converter = org.json.X", `value.converter = "org.json.X": must be org.apache.kafka.connect.converters.ByteArrayConverter`},
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
		{"topics.blacklist = a", "topics.blacklist: was removed in MM2 4.0; it is read as topics.exclude where that is not set; rename it"},
		{"emit.heartbeats.interval.seconds = 0", "emit.heartbeats.interval.seconds: a heartbeat is written once a second at most; to switch them off, set emit.heartbeats.enabled = false"},
		{"emit.checkpoints.interval.seconds = -1", "emit.checkpoints.interval.seconds: checkpoints are written once a second at most; to switch them off, set emit.checkpoints.enabled = false"},
		{"A->B.emit.checkpoints.enabled = false", "A->B.emit.checkpoints.enabled: MM2 refuses to start its checkpoint connector with false; here no checkpoints are written"},
		{"B->A.emit.checkpoints.enabled = false", ""},
		{"emit.offset-syncs.enabled = false", "emit.offset-syncs.enabled: MM2 refuses to start its checkpoint connector with false; here checkpoints are written all the same"},
		{"sync.group.offsets.enabled = true", ""},
		{"group.filter.class = com.example.F", "group.filter.class: has no effect. Java classes cannot be loaded."},
		{"A->B.offset.map.bytes = 2000000", "A->B.offset.map.bytes: is a setting of the whole process and has no effect; write offset.map.bytes"},
		{"transforms = mask", "transforms: has no effect. Records are not transformed: they pass through as bytes."},
		{"sync.topic.acls.enabled = false", ""},
		{"sync.topic.acls.enabled = true", "sync.topic.acls.enabled: has no effect. ACLs are not copied."},
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
