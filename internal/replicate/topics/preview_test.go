package topics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tandem/internal/stream"
)

// changeless makes every change of the target fail, and the test with it.
func (w *world) changeless() (restore func()) {
	before := w.target.between
	w.target.between = func(request string) {
		switch request {
		case "CreateTopics", "CreatePartitions", "AlterConfigs", "AddACLs", "DeleteACLs":
			w.t.Errorf("%s was asked for", request)
		}
	}
	return func() { w.target.between = before }
}

func (w *world) plan() Plan {
	w.t.Helper()
	defer w.changeless()()
	p, err := w.keeper.Plan(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// validate answers as CreateTopics would, and creates nothing.
func (c *fakeCluster) validate(_ context.Context, topics []stream.NewTopic) (map[string]error, error) {
	answers := map[string]error{}
	for _, n := range topics {
		if n.Factor > c.brokers {
			answers[n.Name] = &stream.BrokerError{Code: codeInvalidReplicationFactor, Name: "INVALID_REPLICATION_FACTOR"}
		}
	}
	return answers, nil
}

func TestPlanShowsWhatWouldChangeAndChangesNothing(t *testing.T) {
	w, log := full(t)
	r := &w.keeper.rules
	r.Remote = func(topic string) string { return "A." + strings.TrimSuffix(topic, "-2") }
	r.Validate = w.target.validate
	r.Factor = 4
	w.source.defaults["tiered"] = "false"
	w.source.put("carts", 3, "retention.ms=5", "cleanup.policy=compact")
	w.source.put("hidden", 1)
	w.source.put("hidden-too", 1)
	w.source.hidden["hidden"], w.target.hidden["A.hidden-too"] = true, true
	w.source.put("orders", 4, "retention.ms=7", "tiered=true")
	w.source.put("orders-2", 4)
	w.target.put("A.hidden", 1)
	w.target.put("A.hidden-too", 1)
	w.target.put("A.orders", 2, "retention.ms=6", "max.message.bytes=9")
	w.source.allow("alice +ALL topic ord*")
	w.target.allow("bob +READ topic A.orders", "carol +READ topic A.orders")
	if err := NewNotes(log, "notes").Note(t.Context(), acls("bob +READ topic A.orders"), nil); err != nil {
		t.Fatal(err)
	}

	text, err := json.MarshalIndent(w.plan(), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	const want = `{
 "createTopics": [
  {"source": "carts", "topic": "A.carts", "partitions": 3, "replicationFactor": 4, "configs": [
   {"name": "cleanup.policy", "from": "", "to": "compact", "reset": false},
   {"name": "retention.ms", "from": "", "to": "5", "reset": false}]}],
 "widenTopics": [{"source": "orders", "topic": "A.orders", "from": 2, "to": 4}],
 "alterConfigs": [
  {"source": "orders", "topic": "A.orders", "changes": [
   {"name": "max.message.bytes", "from": "9", "to": "", "reset": true},
   {"name": "retention.ms", "from": "6", "to": "7", "reset": false}]}],
 "createACLs": [
  {"resourceType": "TOPIC", "patternType": "PREFIXED", "resource": "A.ord", "principal": "User:alice", "host": "*", "operation": "READ", "permission": "ALLOW"}],
 "deleteACLs": [
  {"resourceType": "TOPIC", "patternType": "LITERAL", "resource": "A.orders", "principal": "User:bob", "host": "*", "operation": "READ", "permission": "ALLOW"}],
 "obstacles": [
  {"source": "carts", "topic": "A.carts", "reason": "it would not be created; set replication.factor to no more than B has brokers", "error": "INVALID_REPLICATION_FACTOR"},
  {"source": "hidden", "topic": "A.hidden", "reason": "its configs on A cannot be read; allow DescribeConfigs on it", "error": "describe hidden: TOPIC_AUTHORIZATION_FAILED"},
  {"source": "hidden-too", "topic": "A.hidden-too", "reason": "its configs on B cannot be read; allow DescribeConfigs on it", "error": "describe A.hidden-too: TOPIC_AUTHORIZATION_FAILED"},
  {"source": "orders", "topic": "A.orders", "reason": "B does not know the config tiered; list it in config.properties.exclude", "error": ""},
  {"source": "orders-2", "topic": "A.orders", "reason": "its remote topic is that of source topic orders; exclude one of them", "error": ""}]
}`
	var got, wanted any
	if err := errors.Join(json.Unmarshal(text, &got), json.Unmarshal([]byte(want), &wanted)); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != fmt.Sprint(wanted) {
		t.Errorf("the plan is\n%s\nwant\n%s", text, want)
	}
	expect(t, "events", w.news())
	for range 20 { // maps have no order, a plan has
		if again, err := json.MarshalIndent(w.plan(), "", " "); err != nil || string(again) != string(text) {
			t.Fatalf("another order:\n%s\n%v", again, err)
		}
	}
}

func TestPlanOfNothing(t *testing.T) {
	w, _ := full(t)
	w.source.auth.off = true
	text, err := json.Marshal(w.plan())
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"createTopics":[],"widenTopics":[],"alterConfigs":[],"createACLs":[],"deleteACLs":[],"obstacles":[` +
		`{"source":"","topic":"","reason":"ACLs not synced: A has no authorizer; set sync.topic.acls.enabled=false if that is meant to be","error":""},` +
		`{"source":"","topic":"","reason":"topics match nothing: no topic of the source passes \"topics\" and \"topics.exclude\"","error":""}]}`
	if string(text) != want {
		t.Errorf("%s\nwant\n%s", text, want)
	}
}

func TestPlanLeavesOutWhatIsSwitchedOff(t *testing.T) {
	w := newWorld(t, rules())
	w.keeper.rules.KeepConfigs, w.keeper.rules.KeepACLs = true, true
	w.source.put("orders", 1, "retention.ms=5")
	w.target.put("A.orders", 1)
	w.source.allow("alice +READ topic orders")
	w.source.down["ACLs"] = errors.New("not to be asked")
	if p := w.plan(); !p.empty() {
		t.Errorf("%+v", p)
	}
}

func TestPlanFailures(t *testing.T) {
	for _, c := range []struct{ side, request, err string }{
		{"A", "Topics", "list topics of A: down"}, {"B", "Topics", "list topics of B: down"},
		{"A", "Configs", "describe configs of topics of A: down"}, {"B", "Configs", "describe configs of topics of B: down"},
		{"A", "ACLs", "list ACLs of A: down"}, {"B", "ACLs", "list ACLs of B: down"},
	} {
		t.Run(c.err, func(t *testing.T) {
			w := asMM2(t)
			w.source.put("orders", 1)
			w.target.put("A.orders", 1)
			map[string]*fakeCluster{"A": w.source, "B": w.target}[c.side].down[c.request] = errors.New("down")
			if _, err := w.keeper.Plan(t.Context()); err == nil || err.Error() != c.err {
				t.Errorf("%v", err)
			}
		})
	}
}

func (p Plan) empty() bool {
	return len(p.Create)+len(p.Widen)+len(p.Configs)+len(p.CreateACLs)+len(p.DeleteACLs)+len(p.Obstacles) == 0
}

// diffModel says, in the dumbest way, which of the target's bindings there are to be after two syncs: all that were made by hand and
// not taken away by hand, and what the source's are by the rules of mode full.
type diffModel struct {
	byHand map[string]bool // on the target, before the flow had a use for it
	ours   map[string]bool
}

var (
	someTopics = []string{"orders", "order-items", "payments", "secret-plans"}
	someUsers  = []string{"alice", "bob"}
)

// target is the model's own reading of the rules, on words.
func (m *diffModel) target(word string, topics []string) (to string, made bool) {
	f := strings.Fields(word)
	if f[2] == "group" {
		return word, strings.HasPrefix(f[3], "g")
	}
	if f[1] == "+WRITE" {
		return "", false
	}
	if f[1] == "+ALL" {
		f[1] = "+READ"
	}
	covers := func(topic string) bool { return topic == f[3] }
	if prefix, ok := strings.CutSuffix(f[3], "*"); ok {
		covers = func(topic string) bool { return strings.HasPrefix(topic, prefix) }
	}
	for _, topic := range append(slices.Clone(topics), strings.TrimSuffix(f[3], "*")) {
		listed := slices.Contains(topics, topic) || !strings.HasSuffix(f[3], "*")
		made = made || listed && covers(topic) && !strings.HasPrefix(topic, "secret")
	}
	f[3] = "A." + f[3]
	return strings.Join(f, " "), made
}

func TestRandomChangesEndInAnEmptyPlan(t *testing.T) {
	for seed := range uint64(150) {
		random := rand.New(rand.NewPCG(seed, 2))
		pick := func(from []string) string { return from[random.IntN(len(from))] }
		w, _ := full(t)
		m := diffModel{byHand: map[string]bool{}, ours: map[string]bool{}}
		word := func() string {
			name := pick([]string{"topic orders", "topic ord*", "topic payments", "topic secret-plans", "topic o*", "topic *", "topic later", "group g1", "group h1", "group g*"})
			return pick(someUsers) + " " + pick([]string{"+READ", "+WRITE", "+ALL", "-READ", "-ALL"}) + " " + name
		}
		for round := range 12 {
			for range 1 + random.IntN(5) {
				switch topic := pick(someTopics); random.IntN(8) {
				case 0:
					if w.source.topics[topic] == nil {
						w.source.put(topic, 1+random.Int32N(3))
					}
				case 1:
					if s := w.source.topics[topic]; s != nil {
						s.partitions++
						s.configs["retention.ms"] = pick([]string{"1", "2", "3"})
					}
				case 2:
					if r := w.target.topics["A."+topic]; r != nil {
						r.configs["segment.bytes"] = pick([]string{"1", "2"})
						delete(r.configs, "retention.ms")
					}
				case 3, 4:
					w.source.allow(word())
				case 5, 6:
					if held := w.source.held(); len(held) > 0 {
						w.source.drop(pick(held))
					}
				case 7: // by hand, on the target: what is there already is whose it was
					b := strings.Replace(word(), "topic ", "topic A.", 1)
					if b = short(acl(b)); !slices.Contains(w.target.held(), b) {
						m.byHand[b] = true
						w.target.allow(b)
					}
				}
			}
			w.refresh()
			var topics []string
			for topic := range w.source.topics {
				topics = append(topics, topic)
			}
			slices.Sort(topics)
			known := map[string]bool{}
			for _, b := range w.source.held() {
				to, made := m.target(b, topics)
				if known[to] = true; made && !m.byHand[to] {
					m.ours[to] = true
				}
			}
			maps.DeleteFunc(m.ours, func(b string, _ bool) bool { return !known[b] })
			if err := w.keeper.SyncConfigs(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.syncACLs()
			w.syncACLs()

			if p := w.plan(); len(p.Create)+len(p.Widen)+len(p.Configs)+len(p.CreateACLs)+len(p.DeleteACLs) > 0 {
				t.Fatalf("seed %d, round %d: still to do: %+v", seed, round, p)
			}
			want := slices.Collect(maps.Keys(m.byHand))
			want = append(want, slices.Collect(maps.Keys(m.ours))...)
			slices.Sort(want)
			if got := w.target.held(); !slices.Equal(got, want) {
				t.Fatalf("seed %d, round %d: the target has\n%s\nwant\n%s\nthe source\n%s", seed, round,
					strings.Join(got, "\n"), strings.Join(want, "\n"), strings.Join(w.source.held(), "\n"))
			}
		}
	}
}
