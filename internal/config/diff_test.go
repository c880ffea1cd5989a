package config

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestDiff(t *testing.T) {
	const env = "config.providers = env\nconfig.providers.env.class = org.apache.kafka.common.config.provider.EnvVarConfigProvider\n"
	live := func(flow, key, from, to string) Change { return Change{flow, key, from, to, true} }
	restart := func(flow, key, from, to string) Change { return Change{flow, key, from, to, false} }
	for _, c := range []struct {
		story, from, to string
		want            []Change
	}{
		{"nothing", "topics = a,b\nlog.level = info", "# a comment\nlog.level = info\ntopics = a , b", nil},
		{"a default written out", "", "topics = .*\nreplication.factor = 2", nil},
		{"topics", "topics = a", "topics = a, b", []Change{live("A->B", "topics", "a", "a, b")}},
		{"excludes and groups", "", "topics.exclude = x\ngroups = y\ngroups.exclude = z\nconfig.properties.exclude = p", []Change{
			live("A->B", "config.properties.exclude", table[slices.IndexFunc(table, func(k key) bool { return k.name == "config.properties.exclude" })].def, "p"),
			live("A->B", "groups", ".*", "y"), live("A->B", "groups.exclude", "console-consumer-.*, connect-.*, __.*", "z"),
			live("A->B", "topics.exclude", `mm2.*\.internal, .*\.replica, __.*`, "x")}},
		{"intervals", "", "A->B.sync.topic.acls.interval.seconds = 5\nB.offset.flush.interval.ms = 1000", []Change{
			live("A->B", "sync.topic.acls.interval.seconds", "600", "5"), live("A->B", "offset.flush.interval.ms", "60000", "1000")}},
		{"an interval that comes no more", "", "refresh.topics.interval.seconds = -1", []Change{restart("A->B", "refresh.topics.interval.seconds", "600", "-1")}},
		{"throttles", "throttle.topics = a=1", "throttle.topics = a=2\nthrottle.bytes.per.second = 9", []Change{
			live("A->B", "throttle.bytes.per.second", "0", "9"), live("A->B", "throttle.topics", "a=1", "a=2")}},
		{"the process", "", "log.level = debug\nmemory.bytes = 100000000", []Change{live("", "log.level", "info", "debug"), restart("", "memory.bytes", "67108864", "100000000")}},
		{"passwords", "A.ssl.key.password = one", "A.ssl.key.password = two", []Change{live("A->B", "source.ssl.key.password", hidden, hidden), live("B->A", "target.ssl.key.password", hidden, hidden)}},
		{"passwords of one client", "", "A.consumer.sasl.jaas.config = x", []Change{live("A->B", "source.sasl.jaas.config", "", hidden)}},
		{"how a cluster is reached", "A.security.protocol = SSL", "", []Change{
			restart("A->B", "source.security.protocol", "SSL", "PLAINTEXT"), restart("B->A", "target.security.protocol", "SSL", "PLAINTEXT")}},
		{"a client's", "", "A.consumer.isolation.level = read_committed", []Change{restart("A->B", "source.consumer.isolation.level", "read_uncommitted", "read_committed")}},
		{"a client's that goes", "B.producer.compression.type = lz4", "", []Change{restart("A->B", "target.producer.compression.type", "lz4", "")}},
		{"a switch, not all that hangs on it", "", "B->A.enabled = true", []Change{restart("B->A", "enabled", "false", "true")}},
		{"a flow that comes", "emit.heartbeats.enabled = false", "emit.heartbeats.enabled = false\nB->A.emit.heartbeats.enabled = true", []Change{restart("B->A", "flow", "none", "new")}},
		{"a flow that goes", "B->A.enabled = true", "emit.heartbeats.enabled = false", []Change{
			restart("A->B", "emit.heartbeats.enabled", "true", "false"), restart("B->A", "flow", "there", "gone")}},
		{"the archive follows topics without a word", archiveOn, archiveOn + "topics = a", []Change{live("A->B", "topics", ".*", "a")}},
		{"another MM2", "", "mm2.compatibility = 3.9\ntopics.exclude = mm2.*\\\\.internal, .*\\\\.replica, __.*\nconfig.properties.exclude = x", []Change{
			restart("", "mm2.compatibility", "4.x", "3.9"),
			live("A->B", "config.properties.exclude", table[slices.IndexFunc(table, func(k key) bool { return k.name == "config.properties.exclude" })].def, "x")}},
		{"what has no effect", "", env + "tasks.max = 7\nlisteners = http://:1", []Change{restart("", "config.providers", "", "env")}},
	} {
		got := Diff(load(t, base+c.from), load(t, base+c.to))
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", c.story, got, c.want)
		}
	}
}

// A file that a provider reads is read anew with each Load, and what it holds is compared without being kept.
func TestSecretsThatAreRenewed(t *testing.T) {
	dir := t.TempDir()
	secrets, file := filepath.Join(dir, "secrets.properties"), filepath.Join(dir, "mm2.properties")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(file, base+"config.providers = f\nconfig.providers.f.class = org.apache.kafka.common.config.provider.FileConfigProvider\nA.ssl.key.password = ${f:"+secrets+":pw}\n")
	var loaded []*Config
	for _, pw := range []string{"one", "two", "two"} {
		write(secrets, "pw = "+pw+"\n")
		c, err := Load(file, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := flowOf(t, c, "A", "B").SourceConsumer["ssl.key.password"]; got != pw {
			t.Errorf("%q was read, %q was written", got, pw)
		}
		loaded = append(loaded, c)
	}
	if d := Diff(loaded[0], loaded[1]); len(d) != 2 || !d[0].Live || d[0].Key != "source.ssl.key.password" || d[0].To != hidden {
		t.Errorf("%+v", d)
	}
	if d := Diff(loaded[1], loaded[2]); len(d) != 0 {
		t.Errorf("%+v", d)
	}
}

func TestHashTellsWhatAFlowDoes(t *testing.T) {
	hash := func(text string) string { return flowOf(t, load(t, base+text), "A", "B").Hash() }
	was := hash("")
	if len(was) != 16 {
		t.Errorf("%q", was)
	}
	for text, same := range map[string]bool{
		"# a comment":                                 true,
		"topics = .*":                                 true, // the default
		"log.level = debug":                           true,
		"memory.bytes = 9999999999":                   true,
		"group.instance.id = one":                     true,
		"status.address =":                            true,
		"A.consumer.client.id = x":                    true,
		"A.sasl.jaas.config = x":                      true,
		"A.consumer.fetch.max.bytes = 100":            true,
		"B.session.timeout.ms = 30000":                true,
		"B.producer.bootstrap.servers = other:9092":   true,
		"tasks.max = 3":                               true,
		"topics = a":                                  false,
		"A->B.replication.factor = 1":                 false,
		"groups.exclude = x":                          false,
		"sync.topic.acls.mode = full":                 false,
		"throttle.topics = a=1":                       false,
		"A.consumer.isolation.level = read_committed": false,
		"B.producer.compression.type = lz4":           false,
		"B.offset.storage.topic = x":                  false,
		"mm2.compatibility = 3.9\ntopics.exclude = mm2.*\\\\.internal, .*\\\\.replica, __.*": false,
		archiveOn: false,
	} {
		if (hash(text) == was) != same {
			t.Errorf("%q: the same hash is %t", text, !same)
		}
	}
	// All that 3.9 reads otherwise is written out; what it takes for internal is left.
	const lists = "topics.exclude = x\nconfig.properties.exclude = y\n"
	if hash(lists) == hash(lists+"mm2.compatibility = 3.9") {
		t.Error("3.9 has other internal topics")
	}
	c := load(t, base+"B->A.enabled = true\noffset.storage.topic = one")
	if flowOf(t, c, "A", "B").Hash() == flowOf(t, c, "B", "A").Hash() {
		t.Error("two flows are told apart")
	}
}

func TestHashDoesNotChangeWithTheOrderOfLines(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	lines := strings.Split(base+archiveOn+"topics = a,b\nA->B.topics = c\nB.producer.compression.type = lz4\nsync.group.offsets.enabled = true\nB->A.enabled = true\nthrottle.topics = a=1, b=2\nA.security.protocol = SSL", "\n")
	want := load(t, strings.Join(lines, "\n"))
	for range 50 {
		random.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
		got := load(t, strings.Join(lines, "\n"))
		if d := Diff(want, got); len(d) > 0 {
			t.Fatalf("seed %d: %+v", seed, d)
		}
		for i, f := range got.Flows {
			if f.Hash() != want.Flows[i].Hash() {
				t.Fatalf("seed %d: %s has another hash", seed, f)
			}
		}
	}
}

// What a page shows is what the process does, and not what the file says by now.
func TestInEffect(t *testing.T) {
	started := load(t, base+"memory.bytes = 100000000\ntopics = a\nB.producer.compression.type = lz4\nA.ssl.key.password = one\n")
	applied := load(t, base+"memory.bytes = 200000000\ntopics = b\ndrill.schedule = @daily\nexactly.once.source.support = enabled\nB.sasl.jaas.config = x\n")
	all := InEffect(started, applied)
	find := func(flow, part, key string) Setting {
		for _, s := range all {
			if s.Flow == flow && s.Part == part && s.Key == key {
				return s
			}
		}
		return Setting{}
	}
	for _, c := range []struct{ flow, part, key, value, from string }{
		{"", "", "memory.bytes", "100000000", "the file says 200000000 by now, which needs a restart"},
		{"A->B", "", "topics", "b", "topics"},
		{"A->B", "", "drill.schedule", "@daily", "drill.schedule"},
		{"A->B", partTarget, "compression.type", "lz4", "it is gone from the file"},
		{"A->B", partSource, "ssl.key.password", "", ""},
		{"A->B", partTarget, "sasl.jaas.config", hidden, "B.sasl.jaas.config"},
	} {
		if s := find(c.flow, c.part, c.key); s.Value != c.value || !strings.Contains(s.From, c.from) {
			t.Errorf("%s: %+v", c.key, s)
		}
	}
	if same := InEffect(started, started); !slices.Equal(same, started.Effective()) {
		t.Errorf("without a reload: %v", same)
	}
}
