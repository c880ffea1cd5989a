package config

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func effectiveOf(c *Config, flow, part, key string) (Setting, bool) {
	all := c.Effective()
	i := slices.IndexFunc(all, func(s Setting) bool { return s.Flow == flow && s.Part == part && s.Key == key })
	if i < 0 {
		return Setting{}, false
	}
	return all[i], true
}

// Each row of how MM2 resolves a file, and each of its traps. base has four lines, so what a case adds begins in the fifth.
func TestEffectiveByRowOfMM2sRules(t *testing.T) {
	t.Setenv("MIRROR_TOPIC", "positions")
	const env = "config.providers = env\nconfig.providers.env.class = org.apache.kafka.common.config.provider.EnvVarConfigProvider\n"
	for _, c := range []struct{ row, text, flow, part, key, value, from string }{
		{"cluster 1-2: X.K", "A.security.protocol = SSL", "A->B", "source consumer", "security.protocol", "SSL", "line 5: A.security.protocol"},
		{"cluster 2: X.producer.K over X.K", "B.security.protocol = SSL\nB.producer.security.protocol = PLAINTEXT", "A->B", "target producer", "security.protocol", "PLAINTEXT", "line 6: B.producer.security.protocol"},
		{"cluster 3: bare K where X has none", "security.protocol = SSL", "A->B", "target admin", "security.protocol", "SSL", "line 5: security.protocol"},
		{"cluster 3: X.K over bare K", "security.protocol = SSL\nB.security.protocol = PLAINTEXT", "A->B", "target producer", "security.protocol", "PLAINTEXT", "line 6: B.security.protocol"},

		{"connector 1: bare key of a connector", "topics = a,b", "A->B", "", "topics", "a, b", "line 5: topics"},
		{"connector 1: other bare keys are dropped", "use.defaults.from = source", "A->B", "", "use.defaults.from", "target", "default"},
		{"connector 2: bare replication.policy", "replication.policy.separator = _", "A->B", "", "replication.policy.separator", "_", "line 5: replication.policy.separator"},
		{"connector 3: settings of the source", "A.consumer.isolation.level = read_committed", "A->B", "source consumer", "isolation.level", "read_committed", "line 5: A.consumer.isolation.level"},
		{"connector 4: settings of the target", "B.admin.request.timeout.ms = 7", "A->B", "target admin", "request.timeout.ms", "7", "line 5: B.admin.request.timeout.ms"},
		{"connector 6: the flow over all", "A->B.topics = b\ntopics = a", "A->B", "", "topics", "b", "line 5: A->B.topics"},
		{"connector 6: and for that flow only", "A->B.topics = b\ntopics = a\nB->A.enabled = true", "B->A", "", "topics", "a", "line 6: topics"},
		{"connector 6: over a cluster's client", "A->B.source.consumer.isolation.level = read_committed\nA.consumer.isolation.level = read_uncommitted", "A->B", "source consumer", "isolation.level", "read_committed", "line 5: A->B.source.consumer.isolation.level"},
		{"connector 7: enabled is false", "", "B->A", "", "enabled", "false", "default"},

		{"trap: bare producer.*", "producer.compression.type = lz4", "A->B", "target producer", "compression.type", "", ""},
		{"trap: bare consumer.*", "consumer.fetch.max.bytes = 5", "A->B", "source consumer", "fetch.max.bytes", "", ""},
		{"trap: bare admin.*", "admin.request.timeout.ms = 5", "A->B", "source admin", "request.timeout.ms", "30000", "default"},
		{"trap: bare producer.override.*", "producer.override.compression.type = lz4", "A->B", "target producer", "compression.type", "", ""},
		{"trap: use.defaults.from needs a flow", "A->B.use.defaults.from = source", "A->B", "", "use.defaults.from", "source", "line 5: A->B.use.defaults.from"},
		{"trap: bare exactly.once.support", "exactly.once.support = required", "A->B", "", "exactly.once.support", "requested", "default"},
		{"trap: A.topics", "A.topics = x", "A->B", "", "topics", ".*", "default"},
		{"trap: a worker key of a flow", "A->B.offset.flush.interval.ms = 5", "A->B", "worker", "offset.flush.interval.ms", "60000", "default"},
		{"trap: a bare worker key", "offset.flush.interval.ms = 5", "A->B", "worker", "offset.flush.interval.ms", "60000", "default"},
		{"trap: bare group.id", "group.id = g", "A->B", "worker", "group.id", "A-mm2", "default"},
		{"trap: bare exactly.once.source.support", "exactly.once.source.support = enabled", "A->B", "worker", "exactly.once.source.support", "disabled", "default"},
		{"trap: consumer.poll.timeout.ms leaks nowhere", "A->B.consumer.poll.timeout.ms = 5", "A->B", "source consumer", "poll.timeout.ms", "", ""},
		{"trap: admin.timeout.ms leaks nowhere", "admin.timeout.ms = 5", "A->B", "source admin", "timeout.ms", "", ""},

		{"worker 1: B.KEY", "B.offset.flush.interval.ms = 5", "A->B", "worker", "offset.flush.interval.ms", "5", "line 5: B.offset.flush.interval.ms"},
		{"worker 1: not A.KEY", "A.offset.flush.interval.ms = 5", "A->B", "worker", "offset.flush.interval.ms", "60000", "default"},
		{"worker 2: bare storage keys over B.KEY", "B.offset.storage.partitions = 5\noffset.storage.partitions = 7", "A->B", "worker", "offset.storage.partitions", "7", "line 6: offset.storage.partitions"},
		{"worker 3: providers", env + "B.offset.storage.topic = ${env:MIRROR_TOPIC}", "A->B", "worker", "offset.storage.topic", "positions", "line 7: B.offset.storage.topic, filled in by env"},
		{"worker 4: group.id", "", "A->B", "worker", "group.id", "A-mm2", "default"},
		{"worker 4: offset.storage.topic", "", "A->B", "worker", "offset.storage.topic", "mm2-offsets.A.internal", "default"},

		{"client a: what all clients share", "A.sasl.mechanism = PLAIN", "A->B", "source admin", "sasl.mechanism", "PLAIN", "line 5: A.sasl.mechanism"},
		{"client b: KIND.KEY of the flow", "A->B.consumer.fetch.max.bytes = 5", "A->B", "source consumer", "fetch.max.bytes", "5", "line 5: A->B.consumer.fetch.max.bytes"},
		{"client c: SIDE.KIND.KEY over it", "A->B.consumer.fetch.max.bytes = 5\nA.consumer.fetch.max.bytes = 6", "A->B", "source consumer", "fetch.max.bytes", "6", "line 6: A.consumer.fetch.max.bytes"},
		{"client c: so a flow cannot move its source", "A->B.consumer.bootstrap.servers = x:1", "A->B", "source consumer", "bootstrap.servers", "a:9092", "line 2: A.bootstrap.servers"},
		{"data producer: of the worker", "B.producer.compression.type = lz4", "A->B", "target producer", "compression.type", "lz4", "line 5: B.producer.compression.type"},
		{"data producer: override of the flow", "B.producer.compression.type = lz4\nA->B.producer.override.compression.type = zstd", "A->B", "target producer", "compression.type", "zstd", "line 6: A->B.producer.override.compression.type"},
		{"data producer: not A->B.producer.*", "A->B.producer.compression.type = lz4", "A->B", "target producer", "compression.type", "", ""},
		{"data producer: not A->B.target.producer.*", "A->B.target.producer.compression.type = lz4", "A->B", "target producer", "compression.type", "", ""},

		{"a name of 3.x", "topics.blacklist = x", "A->B", "", "topics.exclude", "x", "line 5: topics.blacklist, which is topics.exclude of 3.x"},
		{"beside the new one", "topics.blacklist = x\nA->B.topics.exclude = y", "A->B", "", "topics.exclude", "y", "line 6: A->B.topics.exclude"},
		{"a default of 3.9", "mm2.compatibility = 3.9", "A->B", "", "topics.exclude", `.*[\-\.]internal, .*\.replica, __.*`, "default of mm2.compatibility = 3.9"},
		{"secrets", "B.sasl.jaas.config = x password=\"" + theSecret + "\";", "A->B", "target producer", "sasl.jaas.config", "[hidden]", "line 5: B.sasl.jaas.config"},
		{"a secret that nobody has set", "", "", "", "status.token", "", "default"},
		{"the process", "log.level = debug", "", "", "log.level", "debug", "line 5: log.level"},
		{"its defaults", "", "", "", "mm2.compatibility", "4.x", "default"},
		{"of several lines the last", "topics = a\ntopics = b", "A->B", "", "topics", "b", "line 6: topics"},
		{"a session fits its heartbeats", "B.heartbeat.interval.ms = 3000", "A->B", "worker", "session.timeout.ms", "9000", "default: three heartbeats"},
		{"an archive as topics", archiveOn + "topics = a", "A->B", "", "archive.topics", "a", "default: as topics"},
		{"an empty list is as topics too", archiveOn + "archive.topics =\ntopics = a", "A->B", "", "archive.topics", "a", "default: as topics"},
		{"an archive that is off has its switch only", "archive.url = file:///a", "A->B", "", "archive.url", "", ""},
		{"a flow that only archives says so itself", archiveOn, "B->A", "", "archive.enabled", "false", "line 5: archive.enabled, which does not reach this flow"},
		{"a pair for heartbeats reads no topics", "", "B->A", "", "topics", "", ""},
	} {
		conf := load(t, base+c.text)
		got, there := effectiveOf(conf, c.flow, c.part, c.key)
		if got.Value != c.value || got.From != c.from || there != (c.from != "") {
			t.Errorf("%s: got %q from %q, want %q from %q", c.row, got.Value, got.From, c.value, c.from)
		}
	}
}

// What Effective says is what the flows have, on the files that MM2 itself has resolved; and the place it names has the value.
func TestEffectiveIsWhatIsUsed(t *testing.T) {
	seen := 0
	for _, file := range resolvedByMM2(t) {
		conf, err := read("mm2.properties", []byte(file), nil)
		if err != nil {
			continue // no flows
		}
		entries := parse([]byte(file), &problems{})
		for _, s := range conf.Effective() {
			if s.Flow == "" {
				continue
			}
			i := slices.IndexFunc(conf.Flows, func(f Flow) bool { return f.String() == s.Flow })
			f := conf.Flows[i]
			props := map[string]Properties{partSource: f.SourceConsumer, partSourceAsks: f.SourceAdmin, partTarget: f.TargetProducer, partTargetAsks: f.TargetAdmin}[s.Part]
			if value, set := props[s.Key]; set && s.Value != hidden && plain(value) != plain(s.Value) {
				t.Fatalf("%s\n%+v, but the client has %q", file, s, value)
			}
			place, found := strings.CutPrefix(s.From, "line ")
			if !found {
				continue
			}
			seen++
			number, key, _ := strings.Cut(place, ": ")
			line, _ := strconv.Atoi(number)
			at := slices.IndexFunc(entries, func(e entry) bool { return e.line == line && e.key == key })
			if at < 0 || !strings.HasSuffix(key, s.Key) {
				t.Fatalf("%s\n%+v: there is no such line", file, s)
			}
		}
	}
	if seen < 300 {
		t.Errorf("only %d settings", seen)
	}
}

// plain leaves out blanks and case, in which a value may be shown otherwise.
func plain(s string) string { return strings.ToLower(strings.ReplaceAll(s, " ", "")) }

func resolvedByMM2(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile("testdata/mm2-resolution.txt")
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, c := range strings.Split(string(data), "-- file --\n")[1:] {
		quoted, _, _ := strings.Cut(c, "\n-- answer --\n")
		file, err := strconv.Unquote(quoted)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

func TestEffectiveIsInOrder(t *testing.T) {
	all := load(t, base+"B->A.enabled = true\nA.consumer.client.id = x").Effective()
	var parts []string
	for i, s := range all {
		if at := strings.TrimSpace(s.Flow + " " + s.Part); len(parts) == 0 || parts[len(parts)-1] != at {
			parts = append(parts, at)
		} else if all[i-1].Key >= s.Key {
			t.Errorf("%s after %s", s.Key, all[i-1].Key)
		}
	}
	want := []string{"", "A->B", "A->B source consumer", "A->B source admin", "A->B target producer", "A->B target admin", "A->B worker",
		"B->A", "B->A source consumer", "B->A source admin", "B->A target producer", "B->A target admin", "B->A worker"}
	if !slices.Equal(parts, want) {
		t.Errorf("got  %q\nwant %q", parts, want)
	}
}
