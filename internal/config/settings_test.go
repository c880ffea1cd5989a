package config

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFilesOf39(t *testing.T) {
	const old = "mm2.compatibility = 3.9\n"
	for _, c := range []struct {
		story, text, topic string
		now, before        bool // is it replicated, by 4.x and by 3.9
	}{
		{"an own topic that only looks internal", "", "billing.internal", true, false},
		{"or with a hyphen", "", "billing-internal", true, false},
		{"whatever the exclude list says", "topics.exclude = x", "billing.internal", true, false},
		{"MM2's own", "topics.exclude = x", "mm2-offset-syncs.B.internal", false, false},
		{"checkpoints", "topics.exclude = x", "C.checkpoints.internal", false, false},
		{"Kafka's", "topics.exclude = x", "__consumer_offsets", false, false},
		{"hidden ones", "topics.exclude = x", ".hidden", false, false},
		{"replicas by another tool", "", "a.replica", false, false},
		{"a name that was excluded the old way", "topics.blacklist = tmp.*", "tmp1", false, false},
		{"the old way no more, where the new one is there", "topics.blacklist = tmp.*\ntopics.exclude = x", "tmp1", true, true},
		{"with a separator", "replication.policy.separator = _", "x_internal", true, false},
		{"which internal topics do not have", "replication.policy.separator = _\nreplication.policy.internal.topic.separator.enabled = false", "x_internal", true, true},
		{"heartbeats", "topics = x", "heartbeats", true, true},
	} {
		for _, compat := range []struct {
			prefix string
			want   bool
		}{{"", c.now}, {old, c.before}} {
			f := flowOf(t, load(t, base+compat.prefix+c.text), "A", "B")
			if got := f.Topics.Replicates(c.topic); got != compat.want {
				t.Errorf("%s (%s): %s is replicated: %t", c.story, compat.prefix, c.topic, got)
			}
		}
	}
	f := flowOf(t, load(t, base+old), "A", "B")
	for name, want := range map[string]bool{"log.message.timestamp.after.max.ms": true, "min.insync.replicas": false, "minXinsync.replicas": true} {
		if f.ConfigFilter.Replicates(name) != want {
			t.Errorf("3.9 carries %s: %t", name, !want)
		}
		if now := flowOf(t, load(t, base), "A", "B"); now.ConfigFilter.Replicates(name) {
			t.Errorf("4.x carries %s", name)
		}
	}
	two := flowOf(t, load(t, base+old+"B->A.enabled = true\nreplication.policy.class = org.apache.kafka.connect.mirror.IdentityReplicationPolicy"), "A", "B")
	if two.Opposite.Topics.Replicates("x.internal") {
		t.Error("the opposite flow is of 4.x")
	}
}

// Before 4.2 an empty element was an expression like any other, which matches the empty name; since then it is an error.
func TestEmptyElements(t *testing.T) {
	for _, c := range []struct {
		compat   string
		empty    bool
		warnings int
	}{{"4.x", false, 1}, {"3.9", true, 0}} {
		conf := load(t, base+"groups = a, ,\nmm2.compatibility = "+c.compat)
		f := flowOf(t, conf, "A", "B")
		if f.Groups.Accepts("") != c.empty || !f.Groups.Accepts("a") || f.Groups.Accepts("b") || len(conf.Warnings) != c.warnings {
			t.Errorf("%s: %v", c.compat, conf.Warnings)
		}
	}
	if w := load(t, base+"mm2.compatibility = 3.9\ntopics.blacklist = x").Warnings; len(w) > 0 {
		t.Errorf("3.9 knows the key: %v", w)
	}
	w := load(t, base+"mm2.compatibility = 3.9\ntopics.blacklist = x\nA->B.topics.exclude = y").Warnings
	if len(w) != 1 || w[0].String() != "mm2.properties:6: topics.blacklist: has no effect, because A->B.topics.exclude is set" {
		t.Errorf("%v", w)
	}
}

func TestACLsThrottlesAndTheProcess(t *testing.T) {
	c := load(t, base)
	f := flowOf(t, c, "A", "B")
	if f.SyncACLs != 10*time.Minute || f.ACLMode != "mm2" || f.Throttle.BytesPerSecond != 0 || len(f.Throttle.Topics) != 0 || c.LogLevel != "info" || c.Instance != "" {
		t.Errorf("the defaults: %v %s %v %s %s", f.SyncACLs, f.ACLMode, f.Throttle, c.LogLevel, c.Instance)
	}
	c = load(t, base+`
sync.topic.acls.interval.seconds = 30
A->B.sync.topic.acls.mode = full
throttle.bytes.per.second = 1000
A->B.throttle.topics = orders\\..*=500, (?=a)a=b = 7, .*=0
log.level = warn
group.instance.id = mirror-0
`)
	f = flowOf(t, c, "A", "B")
	if f.SyncACLs != 30*time.Second || f.ACLMode != "full" || f.Throttle.BytesPerSecond != 1000 || c.LogLevel != "warn" || c.Instance != "mirror-0" {
		t.Errorf("%v %s %v %s %s", f.SyncACLs, f.ACLMode, f.Throttle, c.LogLevel, c.Instance)
	}
	for i, want := range []struct {
		pattern, topic string
		bytes          int64
	}{{`orders\..*`, "orders.eu", 500}, {"(?=a)a=b", "a=b", 7}, {".*", "x", 0}} {
		if got := f.Throttle.Topics[i]; got.Pattern != want.pattern || !got.Topics.Accepts(want.topic) || got.Topics.Accepts("orders\n") || got.BytesPerSecond != want.bytes {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	if back := flowOf(t, c, "B", "A"); back.Throttle.BytesPerSecond != 1000 || len(back.Throttle.Topics) != 0 {
		t.Errorf("the way back: %+v", back.Throttle)
	}
	if off := flowOf(t, load(t, base+"sync.topic.acls.enabled = false"), "A", "B"); off.SyncACLs != 0 {
		t.Error("off is 0")
	}
}

func TestSharing(t *testing.T) {
	for _, c := range []struct {
		story, text string
		want        Sharing
	}{
		{"the defaults", "", Sharing{"A-mm2", 6 * time.Second, time.Second, time.Minute}},
		{"as written for the target", "B.group.id = g\nB.session.timeout.ms = 9000\nB.heartbeat.interval.ms = 3000\nB.rebalance.timeout.ms = 10000", Sharing{"g", 9 * time.Second, 3 * time.Second, 10 * time.Second}},
		{"not for the source", "A.group.id = g", Sharing{"A-mm2", 6 * time.Second, time.Second, time.Minute}},
		{"MM2's heartbeats with its own default of the session", "B.heartbeat.interval.ms = 3000", Sharing{"A-mm2", 9 * time.Second, 3 * time.Second, time.Minute}},
	} {
		conf := load(t, base+c.text)
		if got := flowOf(t, conf, "A", "B").Sharing; got != c.want || len(conf.Warnings) > 0 {
			t.Errorf("%s: %+v %v", c.story, got, conf.Warnings)
		}
	}
	conf := load(t, base+"B.session.timeout.ms = 9000\nB.heartbeat.interval.ms = 4000")
	if len(conf.Warnings) != 1 || !strings.Contains(conf.Warnings[0].String(), "mm2.properties:6: B.heartbeat.interval.ms: heartbeat.interval.ms (4000) is more than a third of session.timeout.ms (9000)") {
		t.Errorf("%v", conf.Warnings)
	}
	const three = "clusters = A, B, C\nA.bootstrap.servers = a:1\nB.bootstrap.servers = b:1\nC.bootstrap.servers = c:1\nA->C.enabled = true\nC.group.id = g\n"
	load(t, three)
	if errs, _ := problemsOf(three + "B->C.enabled = true"); len(errs) != 1 || errs[0] != "mm2.properties:6: C.group.id: would be the group of both A->C and B->C; remove the line, so that each flow has its own" {
		t.Errorf("%q", errs)
	}
}

func TestExactlyOnce(t *testing.T) {
	const on, committed, required = "B.exactly.once.source.support = Enabled\n", "A.consumer.isolation.level = read_committed\n", "A->B.exactly.once.support = required\n"
	for _, c := range []struct {
		story, text string
		want        bool
		problem     string
	}{
		{"off", committed, false, ""},
		{"on", on + committed, true, ""},
		{"on, and told what MM2 does", on, true, "isolation.level of A is not set, so A->B copies records of aborted transactions too"},
		{"on, and knowing it", on + "A.consumer.isolation.level = read_uncommitted", true, ""},
		{"preparing", "B.exactly.once.source.support = preparing", false, ""},
		{"for the other target", "A.exactly.once.source.support = enabled\n" + committed, false, ""},
		{"required, and there", on + committed + required, true, ""},
		{"required, but off", committed + required, false, `A->B.exactly.once.support = "required": needs B.exactly.once.source.support = enabled`},
		{"required, but uncommitted", on + required, false, `A->B.exactly.once.support = "required": needs A.consumer.isolation.level = read_committed`},
		// source.consumer. wins over consumer.
		{"the flow's own is weaker", on + committed + required + "A->B.consumer.isolation.level = read_uncommitted", true, ""},
		{"the side's is stronger", on + required + "A->B.consumer.isolation.level = read_committed\nA.consumer.isolation.level = read_uncommitted", false, "needs A.consumer.isolation.level"},
		{"requested", on + committed + "A->B.exactly.once.support = requested", true, ""},
		{"required of a flow that is off", "B->A.exactly.once.support = required", false, ""},
	} {
		errs, warnings := problemsOf(base + c.text)
		all := strings.Join(append(errs, warnings...), "\n")
		if (c.problem == "") != (all == "") || !strings.Contains(all, c.problem) {
			t.Errorf("%s: %q", c.story, all)
		}
		if len(errs) > 0 {
			continue
		}
		conf := load(t, base+c.text)
		if got := flowOf(t, conf, "A", "B").ExactlyOnce; got != c.want || flowOf(t, conf, "B", "A").ExactlyOnce {
			t.Errorf("%s: %t", c.story, got)
		}
	}
}

// ConfigDef trims every value; 4.3.1 shows no difference between "target " and "target".
func TestValuesAreTrimmed(t *testing.T) {
	c := load(t, base+"offset-syncs.topic.location = target \nA->B.use.defaults.from = source \nlog.level = warn\t\nreplication.policy.class = org.apache.kafka.connect.mirror.IdentityReplicationPolicy \nB.offset.storage.topic = o \nA.consumer.isolation.level = read_committed ")
	f := flowOf(t, c, "A", "B")
	if f.OffsetSyncs.Location != "target" || !f.ConfigFilter.SourceDefaults() || c.LogLevel != "warn" || f.Policy.RemoteTopic("A", "x") != "x" || f.OffsetsTopic != "o" || f.IsolationLevel != "read_committed" {
		t.Errorf("%v %v %q %q %q", f.OffsetSyncs, f.ConfigFilter, c.LogLevel, f.OffsetsTopic, f.IsolationLevel)
	}
}

// Each setting of Kafka's Java clients either has an effect, or is missing and warned of, or has no meaning, and then it says why.
func TestClientSettingsAreAllExplained(t *testing.T) {
	for _, kind := range clientKinds {
		for _, name := range slices.Concat(clientKeys[kind], anyClientKeys) {
			ways := 0
			if _, has := clientRow(kind, name); has {
				ways++
			}
			for _, i := range idle {
				if (i.client == "" || i.client == kind) && slices.Contains(i.keys, name) {
					ways++
				}
			}
			if ways != 1 {
				t.Errorf("%s.%s is explained %d times", kind, name, ways)
			}
		}
	}
	for kind, rows := range clientRows {
		for _, row := range rows {
			if kind != "" && kind != "any" && !knownClientKey(kind, row.name) {
				t.Errorf("%s.%s is no setting of the client", kind, row.name)
			}
			if row.meaning == "" || row.effect == used && row.change == "" || row.effect == absent && (row.here == "" || row.hint == "") {
				t.Errorf("%s is not described", row.name)
			}
			if row.def != "" && row.check(row.def) != nil {
				t.Errorf("the default of %s is not allowed", row.name)
			}
		}
	}
}

func TestOnCall(t *testing.T) {
	const more = "status.token = hush\nmetrics.partitions.max = 7\nmetrics.mm2.names = FALSE\ndrill.schedule = CRON_TZ=UTC 30 3 * * 1\nA->B.drill.records = 5\n"
	c := load(t, base+more)
	if c.StatusToken != "hush" || c.Metrics != (Metrics{Partitions: 7}) {
		t.Errorf("%q, %+v", c.StatusToken, c.Metrics)
	}
	f := flowOf(t, c, "A", "B")
	if f.Drill != (Drill{Schedule: "CRON_TZ=UTC 30 3 * * 1", Records: 5, Partitions: 50}) {
		t.Errorf("%+v", f.Drill)
	}
	friday := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	if next := f.Drill.Next(friday); !next.Equal(time.Date(2026, 11, 23, 3, 30, 0, 0, time.UTC)) {
		t.Errorf("the next drill is due %v", next)
	}
	if next := (Drill{}).Next(friday); !next.IsZero() {
		t.Errorf("without a schedule a drill is due %v", next)
	}
	plain := flowOf(t, load(t, base), "A", "B")
	if f.Hash() != plain.Hash() {
		t.Error("drills count as what the flow does")
	}
	for _, s := range c.Effective() {
		if strings.Contains(s.Value, "hush") {
			t.Errorf("the token is shown: %+v", s)
		}
	}
	_, err := read("mm2.properties", []byte(base+"drill.schedule = at three"), nil)
	if err == nil || !strings.Contains(err.Error(), "drill.schedule") || !strings.Contains(err.Error(), "0 3 * * 1") {
		t.Errorf("a bad schedule: %v", err)
	}
	if _, err = read("mm2.properties", []byte(base+"drill.schedule = 0 3 31 2 *"), nil); err == nil || !strings.Contains(err.Error(), "never comes") {
		t.Errorf("a schedule of no day: %v", err)
	}
}
