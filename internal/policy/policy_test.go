package policy

import (
	"strings"
	"testing"
)

func mustPolicy(t *testing.T, class, separator string, internal bool, source string) Policy {
	t.Helper()
	p, err := New(class, separator, internal, source)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The vectors are what the released 4.3.1 classes answer; "-" stands for none.
func TestDefaultPolicyVectors(t *testing.T) {
	p := mustPolicy(t, DefaultClass, "", true, "")
	for _, c := range []struct {
		topic, source, upstream, original string
		internal                          bool
	}{
		{"orders", "-", "-", "orders", false},
		{"A.orders", "A", "orders", "orders", false},
		{"A.B.orders", "A", "B.orders", "orders", false},
		{"A.", "-", "-", "A.", false},
		{"A..", "-", "-", "A..", false},
		{"", "-", "-", "", false},
		{".x", "", "x", "x", true},
		{"..x", "", ".x", "x", true},
		{"my.topic", "my", "topic", "topic", false},
		{"x.y.heartbeats", "x", "y.heartbeats", "heartbeats", false},
		{"mm2-offset-syncs.B.internal", "mm2-offset-syncs", "B.internal", "internal", true},
		{"A.checkpoints.internal", "A", "checkpoints.internal", "internal", true},
		{"foo.internal", "foo", "internal", "internal", false},
		{"foo-internal", "-", "-", "foo-internal", false},
		{"A.mm2-foo.internal", "A", "mm2-foo.internal", "internal", false},
		{"mm2x.internal", "mm2x", "internal", "internal", true},
		{"__consumer_offsets", "-", "-", "__consumer_offsets", true},
		{"mm2-offsets-CLUSTER-internal", "-", "-", "mm2-offsets-CLUSTER-internal", false},
	} {
		checkNames(t, p, c.topic, c.source, c.upstream, c.original)
		if got := p.IsInternalTopic(c.topic); got != c.internal {
			t.Errorf("IsInternalTopic(%q) = %v", c.topic, got)
		}
	}
}

// Up to 3.9 a suffix made a topic internal; KIP-1074 left those to their owners.
func TestInternalTopicsBefore40(t *testing.T) {
	for _, c := range []struct {
		topic            string
		separator        string
		before, mm2, now bool
	}{
		{"orders", "", false, false, false},
		{"foo.internal", "", true, true, false},
		{"foo-internal", "", true, false, false},
		{"A.mm2-foo.internal", "", true, true, false},
		{"mm2-offsets-CLUSTER-internal", "", true, false, false},
		{"mm2-offset-syncs.B.internal", "", true, true, true},
		{"A.checkpoints.internal", "", true, true, true},
		{"__consumer_offsets", "", true, false, true},
		{".x", "", true, false, true},
		{"internal", "", false, false, false},
		{"foo_internal", "_", true, true, false},
		{"foo.internal", "_", true, false, false},
		{"mm2-configs.A.internal", "_", true, false, false},
	} {
		for _, class := range []string{DefaultClass, IdentityClass} {
			p := mustPolicy(t, class, c.separator, true, "A")
			if got := p.IsInternalTopic(c.topic); got != c.now {
				t.Errorf("%q with %q: internal %v", c.topic, c.separator, got)
			}
			old := p.Before40()
			if got := old.IsInternalTopic(c.topic); got != c.before {
				t.Errorf("%q with %q: internal before 4.0: %v", c.topic, c.separator, got)
			}
			if got := old.IsMM2InternalTopic(c.topic); got != c.mm2 {
				t.Errorf("%q with %q: MM2's own before 4.0: %v", c.topic, c.separator, got)
			}
		}
	}
}

func TestIdentityPolicyRenamesOnlyHeartbeats(t *testing.T) {
	p := mustPolicy(t, IdentityClass, "", true, "A")
	for _, c := range []struct{ topic, remote, source, upstream, original string }{
		{"orders", "orders", "A", "orders", "orders"},
		{"B.orders", "B.orders", "A", "B.orders", "B.orders"},
		{"heartbeats", "A.heartbeats", "-", "-", "heartbeats"},
		{"A.heartbeats", "A.A.heartbeats", "A", "heartbeats", "heartbeats"},
		{"C.B.heartbeats", "A.C.B.heartbeats", "C", "B.heartbeats", "heartbeats"},
		{"my-heartbeats", "A.my-heartbeats", "-", "-", "my-heartbeats"},
		{"A.my-heartbeats", "A.A.my-heartbeats", "A", "my-heartbeats", "my-heartbeats"},
	} {
		checkNames(t, p, c.topic, c.source, c.upstream, c.original)
		if got := p.RemoteTopic("A", c.topic); got != c.remote {
			t.Errorf("RemoteTopic(%q) = %q, want %q", c.topic, got, c.remote)
		}
	}
	if p.IsHeartbeatsTopic("my-heartbeats") || !p.IsHeartbeatsTopic("C.B.heartbeats") {
		t.Error("only a chain of aliases before heartbeats makes a heartbeats topic")
	}
	if _, ok := mustPolicy(t, IdentityClass, "", true, "").TopicSource("orders"); ok {
		t.Error("without source.cluster.alias a topic has no source")
	}
}

func checkNames(t *testing.T, p Policy, topic, source, upstream, original string) {
	t.Helper()
	orNone := func(s string, ok bool) string {
		if !ok {
			return "-"
		}
		return s
	}
	if got := orNone(p.TopicSource(topic)); got != source {
		t.Errorf("TopicSource(%q) = %q, want %q", topic, got, source)
	}
	if got := orNone(p.UpstreamTopic(topic)); got != upstream {
		t.Errorf("UpstreamTopic(%q) = %q, want %q", topic, got, upstream)
	}
	if got := p.OriginalTopic(topic); got != original {
		t.Errorf("OriginalTopic(%q) = %q, want %q", topic, got, original)
	}
}

func TestSeparatorNamesInternalTopicsUnlessSwitchedOff(t *testing.T) {
	for _, c := range []struct {
		separator string
		internal  bool
		syncs     string
		points    string
		remote    string
	}{
		{"", true, "mm2-offset-syncs.B.internal", "A.checkpoints.internal", "A.orders"},
		{"_", true, "mm2-offset-syncs_B_internal", "A_checkpoints_internal", "A_orders"},
		{"_", false, "mm2-offset-syncs.B.internal", "A.checkpoints.internal", "A_orders"},
		{"__", true, "mm2-offset-syncs__B__internal", "A__checkpoints__internal", "A__orders"},
	} {
		for _, class := range []string{DefaultClass, IdentityClass} {
			p := mustPolicy(t, class, c.separator, c.internal, "A")
			if got := p.OffsetSyncsTopic("B"); got != c.syncs {
				t.Errorf("%q: OffsetSyncsTopic = %q, want %q", c.separator, got, c.syncs)
			}
			if got := p.CheckpointsTopic("A"); got != c.points {
				t.Errorf("%q: CheckpointsTopic = %q, want %q", c.separator, got, c.points)
			}
			if !p.IsMM2InternalTopic(c.syncs) || !p.IsMM2InternalTopic(c.points) || !p.IsCheckpointsTopic(c.points) || p.IsCheckpointsTopic(c.syncs) {
				t.Errorf("%q: own internal topics are not told apart", c.separator)
			}
			if p.HeartbeatsTopic() != "heartbeats" {
				t.Errorf("%q: heartbeats topic is renamed", c.separator)
			}
		}
		if got := mustPolicy(t, DefaultClass, c.separator, c.internal, "").RemoteTopic("A", "orders"); got != c.remote {
			t.Errorf("RemoteTopic = %q, want %q", got, c.remote)
		}
	}
	under := mustPolicy(t, DefaultClass, "_", true, "")
	checkNames(t, under, "A_orders", "A", "orders", "orders")
	checkNames(t, mustPolicy(t, DefaultClass, "__", true, ""), "A_orders", "-", "-", "A_orders")
	if under.IsHeartbeatsTopic("us-west.heartbeats") || !under.IsHeartbeatsTopic("us-west_heartbeats") {
		t.Error("the separator decides what a heartbeats topic is")
	}
	if under.IsCheckpointsTopic("checkpoints_internal") {
		t.Error("a checkpoints topic needs an alias")
	}
}

func TestHeartbeatsNeedSeparatorBefore(t *testing.T) {
	p := mustPolicy(t, DefaultClass, "", true, "")
	for topic, want := range map[string]bool{
		"heartbeats": true, "source1.heartbeats": true, "source2.source1.heartbeats": true,
		"heartbeats!": false, "!heartbeats": false, "source1heartbeats": false, "source1-heartbeats": false,
	} {
		if got := p.IsHeartbeatsTopic(topic); got != want {
			t.Errorf("IsHeartbeatsTopic(%q) = %v", topic, got)
		}
	}
}

func TestCycleIsFoundAtAnyHop(t *testing.T) {
	p := mustPolicy(t, DefaultClass, "", true, "")
	for topic, want := range map[string]bool{
		"target.topic1": true, "source.target.topic1": true, "target.source.target.topic1": true,
		"source.topic1": false, "topic1": false, "source.source.topic1": false, "target": false,
	} {
		if got := p.Cycle(topic, "target"); got != want {
			t.Errorf("Cycle(%q) = %v", topic, got)
		}
	}
	id := mustPolicy(t, IdentityClass, "", true, "source")
	if id.Cycle("target.topic1", "target") || !id.Cycle("target.heartbeats", "target") {
		t.Error("the identity policy sees cycles of heartbeats only")
	}
}

func TestSelector(t *testing.T) {
	def := mustPolicy(t, DefaultClass, "", true, "")
	for _, c := range []struct {
		story      string
		include    string
		heartbeats bool
		topic      string
		want       bool
	}{
		{"chosen", "orders.*", true, "orders-eu", true},
		{"not chosen", "orders.*", true, "payments", false},
		{"heartbeats go along whatever the filter says", "orders.*", true, "heartbeats", true},
		{"so do those of others", "orders.*", true, "C.heartbeats", true},
		{"unless switched off", "orders.*", false, "heartbeats", false},
		{"though the filter may still choose them", ".*", false, "heartbeats", true},
		{"heartbeats that came from the target stay", ".*", true, "B.heartbeats", false},
		{"topics that came from the target stay", ".*", true, "B.orders", false},
		{"internal topics stay", ".*", true, "mm2-offset-syncs.B.internal", false},
		{"so do Kafka's", ".*", true, "__consumer_offsets", false},
		{"and hidden ones", ".*", true, ".hidden", false},
		{"a topic that only looks internal goes", ".*", true, "foo.internal", true},
	} {
		f, err := NewFilter([]string{c.include}, nil)
		if err != nil {
			t.Fatal(err)
		}
		s := Selector{Policy: def, Target: "B", Topics: f, Heartbeats: c.heartbeats}
		if got := s.Replicates(c.topic); got != c.want {
			t.Errorf("%s: Replicates(%q) = %v", c.story, c.topic, got)
		}
	}
}

func TestConfigFilter(t *testing.T) {
	f, err := NewConfigFilter([]string{`min\.insync\.replicas`, "follower.*"}, "target")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"retention.ms": true, "min.insync.replicas": false, "follower.replication.throttled.replicas": false} {
		if got := f.Replicates(name); got != want {
			t.Errorf("Replicates(%q) = %v", name, got)
		}
	}
	if f.SourceDefaults() {
		t.Error("target is not source")
	}
	if f, _ := NewConfigFilter(nil, "source"); !f.SourceDefaults() || !f.Replicates("min.insync.replicas") {
		t.Error("an empty exclude list carries everything")
	}
	if _, err := NewConfigFilter([]string{"("}, ""); err == nil {
		t.Error("a broken exclude list passed")
	}
}

func TestUnknownPolicyIsNamed(t *testing.T) {
	_, err := New("com.example.MyPolicy", "", true, "A")
	if err == nil || !strings.Contains(err.Error(), "com.example.MyPolicy") {
		t.Errorf("got %v", err)
	}
}
