package doctor

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/policy"
	"tandem/internal/stream"
)

var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// all are the operations of somebody who may do everything.
var all = []string{"Read", "Write", "Create", "Delete", "Alter", "Describe", "DescribeConfigs", "AlterConfigs"}

// flow is one that replicates everything, with all that is on by default.
func flow(t *testing.T, source, target, class string, topics ...string) Flow {
	t.Helper()
	p, err := policy.New(class, ".", true, source)
	if err != nil {
		t.Fatal(err)
	}
	chosen, err := policy.NewFilter(topics, nil)
	if err != nil {
		t.Fatal(err)
	}
	groups, err := policy.NewFilter([]string{".*"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := Flow{Flow: stream.Flow{Source: source, Target: target}, Replicates: true, Identity: class == policy.IdentityClass, Policy: p,
		Topics: policy.Selector{Policy: p, Target: target, Topics: chosen}, Groups: groups, Carries: func(string) bool { return true },
		GroupElements: []Element{{Text: ".*", Key: "groups"}},
		Factor:        1, HeartbeatsFactor: 1, SyncsFactor: 1, CheckpointsFactor: 1, OffsetsFactor: 1,
		OffsetsTopic: "mm2-offsets." + source + ".internal", SyncsOn: "source", Checkpoints: true, ConfigSync: true, ACLSync: true, Committed: true,
		SharingGroup: source + "-mm2", SourceAdmin: Login{source, "admin"}, SourceConsumer: Login{source, "admin"},
		TargetAdmin: Login{target, "admin"}, TargetProducer: Login{target, "admin"}}
	for i, e := range topics {
		f.TopicElements = append(f.TopicElements, Element{Text: e, Key: "topics", Line: i + 1})
	}
	return f
}

func cluster(alias string, topics ...string) Cluster {
	c := Cluster{Alias: alias, Bootstrap: alias + ":9092", ID: "id of " + alias, Brokers: []Broker{{ID: 1, Version: "v4.1"}},
		Topics: []stream.Topic{}, Groups: []stream.Group{{ID: "readers"}}, Configs: map[string][]stream.ConfigEntry{}, Would: map[string]Would{},
		Replicas: map[string]Replicas{}, Members: map[string]Members{}}
	for _, t := range topics {
		c.Topics = append(c.Topics, stream.Topic{Name: t, Partitions: 1})
	}
	return c
}

// world is two clusters between which everything is well.
func world(t *testing.T) *Facts {
	t.Helper()
	f := &Facts{Now: now, Flows: []Flow{flow(t, "A", "B", policy.DefaultClass, "orders.*")}, Clusters: []Cluster{cluster("A", "orders"), cluster("B")}}
	f.Rights = map[Login]Rights{}
	f.may(nil)
	return f
}

// may lets every login do everything but what is denied, by "alias kind name" and operations.
func (f *Facts) may(denied map[string][]string) {
	var needs []Need
	for _, flow := range f.Flows {
		needs = append(needs, flow.Needs(f.cluster(flow.Source).Topics, f.cluster(flow.Source).Groups)...)
	}
	without := func(key string) (ops []string) {
		for _, o := range all {
			if !slices.Contains(denied[key], o) {
				ops = append(ops, o)
			}
		}
		return ops
	}
	for login, asked := range Ask(needs) {
		r := Rights{Principal: "User:mirror", Told: true, Topics: map[string]TopicRight{}, Groups: map[string][]string{}, IDs: map[string][]string{}}
		for _, o := range without(login.Cluster + " cluster") {
			if o != "Create" { // else the rights on topics would not matter
				r.Cluster = append(r.Cluster, o)
			}
		}
		for _, name := range asked.Topics {
			_, exists := f.cluster(login.Cluster).topic(name)
			r.Topics[name] = TopicRight{Exists: exists, Operations: without(login.Cluster + " topic " + name)}
		}
		for _, name := range asked.Groups {
			r.Groups[name] = without(login.Cluster + " group " + name)
		}
		f.Rights[login] = r
	}
}

func configs(f *Facts, alias, topic string, source stream.ConfigSource, pairs ...string) {
	c := f.cluster(alias)
	for i := 0; i < len(pairs); i += 2 {
		c.Configs[topic] = append(c.Configs[topic], stream.ConfigEntry{Name: pairs[i], Value: pairs[i+1], Source: source})
	}
}

// Each story spoils a world in which all is well in one way, and is told of it.
func TestExamine(t *testing.T) {
	const denied = "kafka-acls --bootstrap-server %s:9092 --command-config admin.properties --add --allow-principal User:mirror"
	for _, story := range []struct {
		name  string
		spoil func(t *testing.T, f *Facts)
		want  []string // severity: words
	}{
		{"all is well", func(*testing.T, *Facts) {}, nil},
		{"a cluster is away", func(_ *testing.T, f *Facts) { f.Clusters[1] = Cluster{Alias: "B", Trouble: "connection refused"} },
			[]string{"blocker: reach B does not answer: connection refused"}},
		{"a cluster does not know us", func(_ *testing.T, f *Facts) {
			f.Clusters[1] = Cluster{Alias: "B", Refused: true, Trouble: "authentication failed"}
		}, []string{"blocker: reach B no way in: authentication failed"}},
		{"a line of the file is wrong", func(_ *testing.T, f *Facts) {
			f.File = []Problem{{Bad: true, Line: 3, Key: "topic", Text: "no"}, {Text: "hm"}}
		},
			[]string{"blocker: file no", "warning: file hm"}},
		{"one cluster has two names", func(_ *testing.T, f *Facts) { f.Clusters[1].ID = "id of A" }, []string{"blocker: same cluster A A and B are one cluster"}},
		{"one broker is away", func(_ *testing.T, f *Facts) { f.Clusters[0].Brokers[0].Trouble = "timed out" }, []string{"warning: reach A broker 1"}},
		{"clocks differ", func(_ *testing.T, f *Facts) {
			f.Clusters[1].Ahead, f.Clusters[1].Within = -5*time.Second, time.Millisecond
		},
			[]string{"warning: clock B its clock is 5s behind ours"}},
		{"clocks may differ, as far as the way there tells", func(_ *testing.T, f *Facts) { f.Clusters[1].Ahead, f.Clusters[1].Within = 3*time.Second, 2*time.Second }, nil},
		{"certificates end", func(_ *testing.T, f *Facts) {
			soon, gone := Certificate{Of: "soon", Expires: now.Add(48 * time.Hour)}, Certificate{Of: "gone", Expires: now.Add(-1)}
			f.Clusters[0].Certificates = []Certificate{soon, gone, gone, {Of: "later", Expires: now.Add(9999 * time.Hour)}, {Of: "root", Expires: now, Trusted: true}}
		}, []string{"blocker: certificates A gone expired", "warning: certificates A soon expires on 2026-11-22, in 2 days", "warning: certificates A root expired"}},
		{"may not read", func(_ *testing.T, f *Facts) {
			f.may(map[string][]string{"A topic orders": {"Read"}, "A topic orders" + probeSuffix: {"Read"}})
		}, []string{"blocker: rights A User:mirror may not Read on topics orders* of A " + fmt.Sprintf(denied, "A") + " --operation Read --topic orders --resource-pattern-type prefixed"}},
		{"may read what is there, not what may come", func(_ *testing.T, f *Facts) { f.may(map[string][]string{"A topic orders" + probeSuffix: {"Read"}}) }, nil},
		{"may read all but one, which is denied", func(_ *testing.T, f *Facts) { f.may(map[string][]string{"A topic orders": {"Read"}}) },
			[]string{"blocker: rights A User:mirror may not Read on topics orders* of A"}},
		{"may not make topics", func(_ *testing.T, f *Facts) {
			f.may(map[string][]string{"B topic mm2-tandem.A.internal": {"Create"}})
		}, []string{"blocker: rights B User:mirror may not Create on topic mm2-tandem.A.internal of B"}},
		{"need not make what is there", func(_ *testing.T, f *Facts) {
			f.Clusters[1].Topics = []stream.Topic{{Name: "mm2-tandem.A.internal", Partitions: 1}}
			f.may(map[string][]string{"B topic mm2-tandem.A.internal": {"Create"}})
		}, nil},
		{"may do nothing with groups", func(_ *testing.T, f *Facts) {
			f.may(map[string][]string{"A group readers": all, "A group " + probeSuffix: all})
		}, []string{"warning: rights A User:mirror may not Describe on groups of A " + fmt.Sprintf(denied, "A") + " --operation Describe --group '*'"}},
		{"may not sync ACLs", func(_ *testing.T, f *Facts) { f.may(map[string][]string{"B cluster": {"Alter"}}) },
			[]string{"warning: rights B User:mirror may not Alter on the cluster of B " + fmt.Sprintf(denied, "B") + " --operation Alter --cluster"}},
		{"nothing selected", func(t *testing.T, f *Facts) { f.Clusters[0].Topics = []stream.Topic{{Name: "others"}} },
			[]string{"blocker: topics A->B no topic of A is selected (1 are visible)"}},
		{"an element too many", func(t *testing.T, f *Facts) {
			f.Flows = []Flow{flow(t, "A", "B", policy.DefaultClass, "orders", "ordesr")}
			f.may(nil)
		}, []string{`warning: topics A->B "ordesr" matches no topic of A`}},
		{"a name like the target's alias", func(t *testing.T, f *Facts) {
			f.Flows = []Flow{flow(t, "A", "B", policy.DefaultClass, ".*")}
			f.Clusters[0] = cluster("A", "orders", "B.local", "B.copied")
			f.Clusters[1] = cluster("B", "copied")
			f.may(nil)
		}, []string{"warning: names A->B B.local of A are skipped"}},
		{"names that Kafka takes for one", func(_ *testing.T, f *Facts) { f.Clusters[1] = cluster("B", "A_orders"); f.may(nil) },
			[]string{"blocker: names A->B A.orders cannot be made on B: Kafka takes it for the same as A_orders"}},
		{"a long name", func(_ *testing.T, f *Facts) {
			f.Clusters[0] = cluster("A", "orders", "orders"+strings.Repeat("x", 242))
			f.may(nil)
		}, []string{"blocker: names A->B the remote names of ordersxxx"}},
		{"remote topics of somebody else", func(_ *testing.T, f *Facts) {
			f.Clusters[1] = cluster("B", "A.orders")
			f.Clusters[1].Filled = map[string]bool{"A.orders": true}
			f.may(nil)
		},
			[]string{"warning: names A->B A.orders of B have records already"}},
		{"remote topics of MirrorMaker 2", func(_ *testing.T, f *Facts) {
			f.Clusters[1] = cluster("B", "A.orders", "mm2-offsets.A.internal")
			f.Clusters[1].Filled = map[string]bool{"A.orders": true}
			f.may(nil)
		}, nil},
		{"more replicas than brokers", func(_ *testing.T, f *Facts) { f.Flows[0].CheckpointsFactor = 3 },
			[]string{"blocker: replication factor A->B A.checkpoints.internal cannot be made with replication factor 3: B has 1 brokers set checkpoints.topic.replication.factor = 1"}},
		{"fewer replicas than must be in sync", func(_ *testing.T, f *Facts) {
			f.Clusters[1].Brokers = make([]Broker, 3)
			f.Clusters[1].Would["A.checkpoints.internal"] = Would{Configs: map[string]string{"min.insync.replicas": "2"}}
		}, []string{"blocker: replication factor A->B A.checkpoints.internal would be made with replication factor 1, and B has min.insync.replicas 2"}},
		{"a topic that can never be written to", func(_ *testing.T, f *Facts) {
			f.Clusters[1] = cluster("B", "A.orders", "mm2-offsets.A.internal")
			f.Clusters[1].Replicas["A.orders"] = Replicas{All: 1}
			configs(f, "B", "A.orders", stream.ConfigTopic, "min.insync.replicas", "2")
			f.may(nil)
		}, []string{"blocker: replication factor A->B A.orders has 1 replicas and min.insync.replicas 2"}},
		{"large records, the setting goes along", func(_ *testing.T, f *Facts) {
			configs(f, "A", "orders", stream.ConfigTopic, "max.message.bytes", "9000000")
		}, nil},
		{"large records, the setting does not go along", func(_ *testing.T, f *Facts) {
			configs(f, "A", "orders", stream.ConfigStaticBroker, "max.message.bytes", "9000000")
			f.Clusters[1].Would["A.orders"] = Would{Configs: map[string]string{"max.message.bytes": "1048588"}}
		}, []string{"warning: message size A->B max.message.bytes is smaller on B: orders (9000000, there 1048588)"}},
		{"times of the brokers", func(_ *testing.T, f *Facts) {
			f.Flows[0].Carries = func(string) bool { return false }
			configs(f, "A", "orders", stream.ConfigTopic, "message.timestamp.type", "LogAppendTime")
		}, []string{"note: timestamps A->B message.timestamp.type is LogAppendTime for orders"}},
		{"times that are refused", func(_ *testing.T, f *Facts) {
			f.Clusters[1].Would["A.orders"] = Would{Configs: map[string]string{"message.timestamp.after.max.ms": "3600000"}}
		}, []string{"warning: timestamps A->B older or later timestamps are refused than at the source: A.orders (message.timestamp.after.max.ms 3600000)"}},
		{"soon gone", func(_ *testing.T, f *Facts) {
			configs(f, "A", "orders", stream.ConfigTopic, "cleanup.policy", "delete", "retention.ms", "1000", "max.compaction.lag.ms", "1")
		}, []string{"warning: retention A->B less than an hour of records is kept of orders (retention.ms 1000)"}},
		{"transactions", func(_ *testing.T, f *Facts) {
			f.Flows[0].Committed = false
			f.Clusters[0].Transactional = []string{"orders", "other"}
		},
			[]string{"warning: transactions A->B orders are written in transactions"}},
		{"MirrorMaker 2", func(_ *testing.T, f *Facts) { f.Clusters[1].Members["A-mm2"] = Members{"connect", []string{"w at /1"}} },
			[]string{"blocker: other processes A->B MirrorMaker 2 is running: group A-mm2 of B has members (w at /1)"}},
		{"another mirror", func(_ *testing.T, f *Facts) {
			f.Clusters[1].Members["A-mm2"] = Members{"consumer", []string{"w at /1"}}
		},
			[]string{"note: other processes A->B other mirror processes run the flow"}},
		{"the port is taken", func(_ *testing.T, f *Facts) {
			f.Addresses = []Address{{Address: "x", Taken: "in use", Named: true}, {Taken: "default in use"}, {Address: "y", Taken: "in use", Ours: true, Named: true}, {Address: "free"}}
		}, []string{"blocker: status page in use", "warning: status page default in use", "note: status page y is taken by a mirror"}},
		{"the archive is away", func(_ *testing.T, f *Facts) {
			f.Archives = []Archive{{Trouble: "denied"}, {Trouble: "slow", Passes: true}, {}}
		},
			[]string{"blocker: archive -> the archive's store cannot be listed: denied", "warning: archive -> the archive's store cannot be listed: slow"}},
		{"names kept one way, not the other", func(t *testing.T, f *Facts) {
			f.Flows = []Flow{flow(t, "A", "B", policy.IdentityClass, "orders.*", "B.*"), flow(t, "B", "A", policy.DefaultClass, ".*")}
			f.Clusters[1] = cluster("B", "orders", "mm2-offsets.A.internal")
			f.may(nil)
		}, []string{"blocker: loops A->B records of orders would go round for ever: A->B->A", `warning: topics A->B "B.*" matches no topic of A`}},
		{"names kept both ways", func(t *testing.T, f *Facts) {
			f.Flows = []Flow{flow(t, "A", "B", policy.IdentityClass, "orders.*"), flow(t, "B", "A", policy.IdentityClass, "orders.*")}
			for i := range f.Flows {
				f.Flows[i].TwoWay, f.Flows[i].OppositeTopic = true, "mm2-offsets.X.internal"
			}
			f.Clusters[1] = cluster("B", "orders")
			f.may(nil)
		}, []string{"note: loops A->B, B->A both directions keep topic names"}},
		{"both ways by default", func(t *testing.T, f *Facts) {
			f.Flows = append(f.Flows, flow(t, "B", "A", policy.DefaultClass, ".*"))
			f.Clusters[1] = cluster("B", "A.orders", "mm2-offsets.A.internal", "local")
			f.Flows[0].Topics.Topics, _ = policy.NewFilter([]string{".*"}, nil)
			f.may(nil)
		}, nil},
	} {
		t.Run(story.name, func(t *testing.T) {
			f := world(t)
			story.spoil(t, f)
			found := Examine(f)
			for i, x := range found {
				where := cmp.Or(x.Flow, x.Cluster)
				if x.Check == "rights" {
					where = x.Cluster
				}
				text := strings.Join(strings.Fields(fmt.Sprintf("%s: %s %s %s", x.Severity, x.Check, where, x.What)), " ")
				said := text + " " + x.Do + " " + strings.Join(x.Run, " ")
				if i >= len(story.want) || !inOrder(said, story.want[i]) {
					t.Errorf("finding %d: %s | %s %q", i, text, x.Do, x.Run)
				}
			}
			if len(found) != len(story.want) {
				t.Errorf("%d findings, want %d", len(found), len(story.want))
			}
			var out bytes.Buffer
			Text(&out, found, f.Summary())
			if len(story.want) == 0 && !strings.Contains(out.String(), "all is well: 2 clusters") {
				t.Errorf("it says\n%s", out.String())
			}
		})
	}
}

// inOrder says that the words of want stand in text, one after the other.
func inOrder(text, want string) bool {
	for w := range strings.FieldsSeq(want) {
		i := strings.Index(text, w)
		if i < 0 {
			return false
		}
		text = text[i:]
	}
	return true
}
