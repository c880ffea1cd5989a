package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tandem/internal/stream"
)

// base is the least a file needs.
const base = "clusters = A, B\nA.bootstrap.servers = a:9092\nB.bootstrap.servers = b:9092\nA->B.enabled = true\n"

func load(t *testing.T, text string, targets ...string) *Config {
	t.Helper()
	c, err := read("/etc/mirror/mm2.properties", []byte(text), targets)
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	return c
}

func flowOf(t *testing.T, c *Config, source, target string) Flow {
	t.Helper()
	for _, f := range c.Flows {
		if f.Flow == (stream.Flow{Source: source, Target: target}) {
			return f
		}
	}
	t.Fatalf("no flow %s->%s", source, target)
	return Flow{}
}

func TestExampleFileIsClean(t *testing.T) {
	c, err := Load("../../config/mm2.properties", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range c.Warnings {
		t.Error(w)
	}
	f := flowOf(t, c, "primary", "backup")
	if !f.Enabled || !f.Topics.Replicates("orders") || f.Topics.Replicates("mm2-configs.x.internal") || f.FlushInterval != 10*time.Second || f.RefreshTopics != time.Minute {
		t.Errorf("%#v", f)
	}
	if back := flowOf(t, c, "backup", "primary"); back.Enabled || !back.Heartbeats {
		t.Error("the way back is there for heartbeats only")
	}
}

func TestSampleFiles(t *testing.T) {
	t.Setenv("HUB_PASSWORD", "hub-pass")
	t.Setenv("HUB_STORE_PASSWORD", "store-pass")
	files, _ := filepath.Glob("testdata/*.properties")
	if len(files) != 3 {
		t.Fatalf("%d files", len(files))
	}
	for _, file := range files {
		c, err := Load(file, nil)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		for _, w := range c.Warnings {
			if w.Nearest != "" || strings.Contains(w.Message, "unknown") {
				t.Error(w)
			}
		}
	}
	c, _ := Load("testdata/fan-out.properties", nil)
	if len(c.Flows) != 2 {
		t.Fatalf("%d flows", len(c.Flows))
	}
	us := flowOf(t, c, "hub", "us")
	if got := us.Policy.RemoteTopic("hub", "orders.us.1"); got != "orders.us.1" {
		t.Errorf("remote topic %s", got)
	}
	if got := us.SourceConsumer["sasl.jaas.config"]; !strings.HasSuffix(got, `password="hub-pass";`) {
		t.Error("the password from the environment is not in the JAAS configuration")
	}
	if us.AutoOffsetReset != "latest" || us.IsolationLevel != "read_committed" {
		t.Errorf("%s %s", us.AutoOffsetReset, us.IsolationLevel)
	}
}

func TestWhichPairsGetAFlow(t *testing.T) {
	three := "clusters = a, b, c\na.bootstrap.servers = a:1\nb.bootstrap.servers = b:1\nc.bootstrap.servers = c:1\n"
	for _, c := range []struct{ story, text, want string }{
		{"all pairs by default, for their heartbeats", "", "a->b a->c b->a b->c c->a c->b"},
		{"two switched off", "a->b.emit.heartbeats.enabled = false\na->c.emit.heartbeats.enabled = false", "b->a b->c c->a c->b"},
		{"heartbeats off, one enabled", "emit.heartbeats.enabled = false\na->b.enabled = true", "a->b!"},
		{"one for heartbeats only", "emit.heartbeats.enabled = false\na->b.enabled = true\na->c.enabled = true\nb->a.emit.heartbeats.enabled = true", "a->b! a->c! b->a"},
		{"case does not matter", "emit.heartbeats.enabled = False\na->b.enabled = TRUE", "a->b!"},
		{"a trailing blank is not true", "emit.heartbeats.enabled = false\na->b.enabled = true \nb->a.enabled = true", "b->a!"},
		{"but replicates where heartbeats make the pair", "emit.heartbeats.enabled = false\na->b.enabled = true \na->b.emit.heartbeats.enabled = true", "a->b!"},
		{"bare enabled reaches all", "enabled = true", "a->b! a->c! b->a! b->c! c->a! c->b!"},
	} {
		config := load(t, three+c.text)
		var got []string
		for _, f := range config.Flows {
			name := f.String()
			if f.Enabled {
				name += "!"
			}
			got = append(got, name)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: got %s, want %s", c.story, s, c.want)
		}
	}
	for _, f := range load(t, three, "b", "c").Flows {
		if f.Target == "a" {
			t.Errorf("--clusters b c leaves %s", f)
		}
	}
	if n := len(load(t, three, "b", "c").Flows); n != 4 {
		t.Errorf("--clusters b c leaves %d flows", n)
	}
}

func TestClientPrecedence(t *testing.T) {
	f := flowOf(t, load(t, base+`
security.protocol = SSL
A.security.protocol = SASL_SSL
A.consumer.security.protocol = PLAINTEXT
ssl.truststore.location = /bare
A->B.consumer.bootstrap.servers = lost:1
A->B.source.consumer.client.rack = won
A.consumer.client.rack = lost
A->B.consumer.fetch.max.bytes = 7
A.consumer.max.partition.fetch.bytes = 8
B.producer.compression.type = lz4
B.producer.max.request.size = 9
A->B.producer.override.compression.type = zstd
A->B.producer.linger.ms = 1
`), "A", "B")
	for _, c := range []struct{ story, got, want string }{
		{"the client's own wins", f.SourceConsumer["security.protocol"], "PLAINTEXT"},
		{"then the cluster's", f.SourceAdmin["security.protocol"], "SASL_SSL"},
		{"then the bare one", f.TargetAdmin["security.protocol"], "SSL"},
		{"for the producer too", f.TargetProducer["security.protocol"], "SSL"},
		{"bare keys reach every cluster", f.TargetProducer["ssl.truststore.location"], "/bare"},
		{"a flow cannot move the source", f.SourceConsumer["bootstrap.servers"], "a:9092"},
		{"a flow wins with source.consumer", f.SourceConsumer["client.rack"], "won"},
		{"the producer's override wins", f.Compression, "zstd"},
		{"a flow's producer keys are for offset syncs", f.TargetProducer["linger.ms"], ""},
		{"and reach those", f.SourceProducer["linger.ms"], "1"},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %q, want %q", c.story, c.got, c.want)
		}
	}
	if f.FetchMaxBytes != 7 || f.MaxPartitionFetchBytes != 8 || f.MaxRequestBytes != 9 {
		t.Errorf("%d %d %d", f.FetchMaxBytes, f.MaxPartitionFetchBytes, f.MaxRequestBytes)
	}
}

func TestDefaults(t *testing.T) {
	c := load(t, base)
	f := flowOf(t, c, "A", "B")
	if c.MemoryBytes != 64<<20 || f.ReplicationFactor != 2 || f.RefreshTopics != 10*time.Minute || f.SyncConfigs != 10*time.Minute ||
		f.OffsetSyncs != (OffsetSyncs{true, "source", 3, 100}) || f.HeartbeatInterval != time.Second ||
		f.HeartbeatsFactor != 3 || f.OffsetsTopic != "mm2-offsets.A.internal" || f.OffsetsPartitions != 25 || f.OffsetsFactor != 3 ||
		f.FlushInterval != time.Minute || f.AutoOffsetReset != "earliest" || f.IsolationLevel != "read_uncommitted" ||
		f.FetchMaxBytes != 0 || f.MaxPartitionFetchBytes != 0 || f.MaxRequestBytes != 0 || f.Compression != "" {
		t.Errorf("%d %+v", c.MemoryBytes, struct{ Flow }{f})
	}
	if f.ConfigFilter.Replicates("min.insync.replicas") || !f.ConfigFilter.Replicates("retention.ms") || f.ConfigFilter.SourceDefaults() {
		t.Error("topic configs")
	}
	off := flowOf(t, load(t, base+"refresh.topics.enabled = false\nsync.topic.configs.interval.seconds = -1\noffset-syncs.topic.location=target\nB.offset.storage.partitions = 3\nB.offset.storage.replication.factor = 2\noffset.storage.replication.factor=1"), "A", "B")
	if off.RefreshTopics != 0 || off.SyncConfigs != 0 || off.OffsetSyncs.Location != "target" || off.OffsetsPartitions != 3 || off.OffsetsFactor != 1 {
		t.Errorf("%v %v %v %v %v", off.RefreshTopics, off.SyncConfigs, off.OffsetSyncs, off.OffsetsPartitions, off.OffsetsFactor)
	}
	if old := flowOf(t, load(t, base+"topics.blacklist = tmp.*"), "A", "B"); old.Topics.Replicates("tmp1") {
		t.Error("a name of 3.x is not read")
	}
}

func TestGroupSettings(t *testing.T) {
	c := load(t, base)
	f := flowOf(t, c, "A", "B")
	if f.Checkpoints != (Checkpoints{true, time.Minute, 10 * time.Minute, 3}) || f.GroupSync != (GroupSync{}) || f.FailoverTail != "halt" || c.OffsetMapBytes != 16<<20 {
		t.Errorf("%+v %+v %s %d", f.Checkpoints, f.GroupSync, f.FailoverTail, c.OffsetMapBytes)
	}
	for group, want := range map[string]bool{"billing": true, "console-consumer-7": false, "connect-sink": false, "__system": false} {
		if f.Groups.Accepts(group) != want {
			t.Errorf("%s is accepted: %v", group, !want)
		}
	}
	c = load(t, base+`
groups = bill.*
groups.blacklist = billing-test
emit.checkpoints.enabled = false
emit.checkpoints.interval.seconds = 5
refresh.groups.enabled = false
checkpoints.topic.replication.factor = 1
A->B.sync.group.offsets.enabled = true
sync.group.offsets.interval.seconds = 7
A->B.failover.tail = copy
offset.map.bytes = 1048576
`)
	f = flowOf(t, c, "A", "B")
	if f.Checkpoints != (Checkpoints{false, 5 * time.Second, 0, 1}) || f.GroupSync != (GroupSync{true, 7 * time.Second}) || f.FailoverTail != "copy" || c.OffsetMapBytes != 1<<20 {
		t.Errorf("%+v %+v %s %d", f.Checkpoints, f.GroupSync, f.FailoverTail, c.OffsetMapBytes)
	}
	if !f.Groups.Accepts("billing") || f.Groups.Accepts("billing-test") || f.Groups.Accepts("audit") {
		t.Error("groups")
	}
	if back := flowOf(t, c, "B", "A"); back.GroupSync.Enabled || back.FailoverTail != "halt" {
		t.Errorf("the way back: %+v %s", back.GroupSync, back.FailoverTail)
	}
	f = flowOf(t, load(t, base+"sync.group.offsets.enabled = true\nsync.group.offsets.interval.seconds = -1\nrefresh.groups.interval.seconds = -1\ngroups ="), "A", "B")
	if f.GroupSync.Enabled || f.Checkpoints.Refresh != 0 || f.Groups.Accepts("billing") {
		t.Errorf("%+v %+v", f.GroupSync, f.Checkpoints)
	}
	errs, _ := problemsOf(base + "sync.group.offsets.enabled = true\nsync.group.offsets.interval.seconds = 0")
	if len(errs) != 1 || !strings.Contains(errs[0], "must not be 0") {
		t.Errorf("%q", errs)
	}
}

func TestFileCannotBeRead(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.properties"), nil)
	if !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), "read config: ") {
		t.Errorf("%v", err)
	}
	if _, err := Load(t.TempDir(), nil); err == nil {
		t.Error("a directory was read")
	}
}

// Whatever the bytes, Load ends in a Config or in an error.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(base))
	f.Add([]byte(base + "A->B.topics = a\\\r\n , b\nx\\u0041 : y\n=\n#\\\n"))
	f.Add([]byte("clusters=a,a.b,b\na.b.bootstrap.servers=x:1\n${env:x}=${env:x}\nconfig.providers=env\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := read("mm2.properties", data, nil)
		if err == nil && len(c.Flows) == 0 {
			t.Error("neither flows nor an error")
		}
		for _, w := range c.Warnings {
			_ = w.String()
		}
	})
}
