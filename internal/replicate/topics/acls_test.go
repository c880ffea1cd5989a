package topics

import (
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"tandem/internal/stream"
)

// What becomes of one binding of the source. Topics secret* and __* are not replicated; orders and order-items are.
func TestACLsThatGoAlong(t *testing.T) {
	identity := func(r *Rules) { r.Remote = func(topic string) string { return topic } }
	for _, c := range []struct {
		story     string
		mm2, full string // "" for nothing
		from      string
		with      func(*Rules)
	}{
		{story: "a right to read goes to the remote topic", from: "alice +READ topic orders", mm2: "alice +READ topic A.orders", full: "alice +READ topic A.orders"},
		{story: "a topic that does not exist yet", from: "alice +READ topic later", mm2: "alice +READ topic A.later", full: "alice +READ topic A.later"},
		{story: "testAclFiltering: the right to write is dropped", from: "alice +WRITE topic orders"},
		{story: "testAclFiltering: ALL is kept; testAclTransformation: as READ", from: "alice +ALL topic orders", mm2: "alice +READ topic A.orders", full: "alice +READ topic A.orders"},
		{story: "testAclTransformation: DENY ALL is unchanged", from: "alice -ALL topic orders", mm2: "alice -ALL topic A.orders", full: "alice -ALL topic A.orders"},
		{story: "DENY WRITE is copied", from: "alice -WRITE topic orders", mm2: "alice -WRITE topic A.orders", full: "alice -WRITE topic A.orders"},
		{story: "other operations are copied", from: "alice +ALTER topic orders", mm2: "alice +ALTER topic A.orders", full: "alice +ALTER topic A.orders"},
		{story: "a topic that is not replicated", from: "alice +READ topic secret-plans"},
		{story: "an internal topic", from: "alice +READ topic __consumer_offsets"},
		{story: "a copy of the target's own topic is not sent back", from: "alice +READ topic B.orders"},
		{story: "the literal * is a name to MM2; in full it is all topics of the source", from: "alice +READ topic *", mm2: "alice +READ topic A.=*", full: "alice +READ topic A.*"},
		{story: "ALL on *", from: "alice +ALL topic *", mm2: "alice +READ topic A.=*", full: "alice +READ topic A.*"},
		{story: "a prefix of a replicated topic", from: "alice +READ topic ord*", full: "alice +READ topic A.ord*"},
		{story: "a prefix: no right to write either", from: "alice +WRITE topic ord*"},
		{story: "a prefix of replicated and other topics: on the target there are only the replicated", from: "alice +ALL topic o*", full: "alice +READ topic A.o*"},
		{story: "a prefix of no replicated topic", from: "alice +READ topic secret*"},
		{story: "a prefix of copies of the target's own topics", from: "alice +READ topic B.*"},
		{story: "a group", from: "alice +READ topic g1", mm2: "alice +READ topic A.g1", full: "alice +READ topic A.g1"},
		{story: "a group that passes", from: "alice +READ group g1", full: "alice +READ group g1"},
		{story: "a group: all rights stay, since groups are the target's own", from: "alice +ALL group g1", full: "alice +ALL group g1"},
		{story: "a group that does not pass", from: "alice +READ group h1"},
		{story: "groups by prefix, where the filter takes the prefix", from: "alice +READ group g-*", full: "alice +READ group g-*"},
		{story: "groups by prefix, where it does not", from: "alice +READ group h-*"},
		{story: "all groups, where the filter takes *", from: "alice +READ group *", full: "alice +READ group *"},
		{story: "a transactional id", from: "alice +WRITE txn t1", full: "alice +WRITE txn t1"},
		{story: "transactional ids by prefix", from: "alice +WRITE txn t-*", full: "alice +WRITE txn t-*"},
		{story: "rights on the cluster never go along", from: "alice +ALTER cluster kafka-cluster"},
		{story: "nor those on tokens", from: "alice +DESCRIBE token x"},
		{story: "in full, what would deny us our own work stays away", from: "tandem -WRITE topic orders", mm2: "tandem -WRITE topic A.orders"},
		{story: "what allows us something does no harm", from: "tandem +READ topic orders", mm2: "tandem +READ topic A.orders", full: "tandem +READ topic A.orders"},
		{story: "names that stay: a topic", from: "alice +ALL topic orders", mm2: "alice +READ topic orders", full: "alice +READ topic orders", with: identity},
		{story: "names that stay: * is * for MM2 too", from: "alice +READ topic *", mm2: "alice +READ topic *", full: "alice +READ topic *", with: identity},
		{story: "names that stay: a prefix that the filter accepts", from: "alice +READ topic ord*", full: "alice +READ topic ord*", with: identity},
		{story: "names that stay: a prefix of more than the filter accepts", from: "alice +READ topic o*", with: func(r *Rules) {
			identity(r)
			r.Replicates = func(topic string) bool { return strings.HasPrefix(topic, "order") }
		}},
		{story: "names with something behind: a prefix has no remote one", from: "alice +READ topic ord*",
			with: func(r *Rules) { r.Remote = func(topic string) string { return topic + ".A" } }},
	} {
		t.Run(c.story, func(t *testing.T) {
			for _, mode := range []struct {
				name, want string
				full       bool
			}{{"mm2", c.mm2, false}, {"full", c.full, true}} {
				r := rules()
				r.Replicates = func(topic string) bool {
					return !strings.HasPrefix(topic, "__") && !strings.HasPrefix(topic, "secret") && !strings.HasPrefix(topic, "B.")
				}
				r.ACLs = ACLRules{Full: mode.full, Own: []string{"User:tandem"},
					Groups: func(g string) bool { return strings.HasPrefix(g, "g") || g == stream.AnyResource }}
				if c.with != nil {
					c.with(&r)
				}
				p := planACLs(r, []string{"orders", "order-items"}, aclState{source: acls(c.from)})
				var want []string
				if mode.want != "" {
					want = []string{mode.want}
				}
				expect(t, mode.name, shorts(p.create), want...)
			}
		})
	}
}

func TestSyncACLsWritesOnlyWhatDiffers(t *testing.T) {
	w := asMM2(t)
	w.source.put("orders", 1)
	w.refresh()
	w.asked()
	w.news()
	w.source.allow("alice +READ topic orders", "bob +ALL topic orders", "carol +WRITE topic orders")
	w.target.allow("bob +READ topic A.orders", "dave +WRITE topic A.orders")
	w.syncACLs()
	expect(t, "asked", w.asked(), "+alice +READ topic A.orders")
	expect(t, "events", w.news(), "info created ACL acl=ALLOW READ on TOPIC A.orders (LITERAL) for User:alice from *")
	w.syncACLs()
	expect(t, "asked again", w.asked())
	expect(t, "events again", w.news())
	if w.source.auth.shown != 2 || w.target.auth.shown != 2 {
		t.Errorf("asked for ACLs %d and %d times in two syncs", w.source.auth.shown, w.target.auth.shown)
	}

	w.source.drop("alice +READ topic orders", "bob +ALL topic orders")
	w.syncACLs()
	w.syncACLs()
	w.syncACLs()
	expect(t, "MM2 deletes nothing", w.target.held(), "alice +READ topic A.orders", "bob +READ topic A.orders", "dave +WRITE topic A.orders")

	w.target.drop("alice +READ topic A.orders")
	w.source.allow("alice +READ topic orders")
	w.syncACLs()
	expect(t, "what someone took away comes back", w.asked(), "+alice +READ topic A.orders")
}

// Each story begins with alice's and bob's rights on orders, of which the flow made alice's, and carol's by hand on the target.
func TestFullDeletesWhatItMade(t *testing.T) {
	const made, byHand, both = "alice +READ topic A.orders", "carol +READ topic A.orders", "bob +READ topic A.orders"
	for _, c := range []struct {
		story   string
		changes []func(w *world) // a sync after each
		held    []string
		noted   []string
	}{
		{"nothing changes", []func(*world){func(*world) {}, func(*world) {}}, []string{made, both, byHand}, []string{made}},
		{"the source takes a right away: it goes at the second sync", []func(*world){
			func(w *world) { w.source.drop("alice +READ topic orders") },
			func(w *world) {
				if !slices.Contains(w.target.held(), made) {
					w.t.Error("it went at the first sync")
				}
			}}, []string{both, byHand}, nil},
		{"the source takes it away and gives it again: it stays", []func(*world){
			func(w *world) { w.source.drop("alice +READ topic orders") },
			func(w *world) { w.source.allow("alice +READ topic orders") },
			func(w *world) { w.source.drop("alice +READ topic orders") },
			func(w *world) { w.source.allow("alice +READ topic orders") },
		}, []string{made, both, byHand}, []string{made}},
		{"what was there before the source had it stays", []func(*world){
			func(w *world) { w.source.drop("bob +READ topic orders") }, func(*world) {}, func(*world) {},
		}, []string{made, both, byHand}, []string{made}},
		{"READ instead of ALL is the same on the target", []func(*world){
			func(w *world) {
				w.source.drop("alice +READ topic orders")
				w.source.allow("alice +ALL topic orders")
			}, func(*world) {}, func(*world) {},
		}, []string{made, both, byHand}, []string{made}},
		{"the topic is excluded: its rights stay", []func(*world){
			func(w *world) { w.keeper.rules.Replicates = func(string) bool { return false } }, func(*world) {}, func(*world) {},
		}, []string{made, both, byHand}, []string{made}},
		{"the topic is excluded, and the right taken away", []func(*world){
			func(w *world) {
				w.keeper.rules.Replicates = func(string) bool { return false }
				w.source.drop("alice +READ topic orders")
			}, func(*world) {},
		}, []string{both, byHand}, nil},
		{"the source loses its authorizer: nothing goes", []func(*world){
			func(w *world) { w.source.auth.off = true }, func(*world) {}, func(*world) {},
		}, []string{made, both, byHand}, []string{made}},
		{"someone deletes it on the target, the source later, and someone makes it again: it is theirs", []func(*world){
			func(w *world) { w.source.drop("alice +READ topic orders"); w.target.drop(made) },
			func(w *world) { w.target.allow(made) }, func(*world) {}, func(*world) {},
		}, []string{made, both, byHand}, nil},
		{"another process goes on", []func(*world){
			func(w *world) {
				w.source.drop("alice +READ topic orders")
				w.keeper = New(w.keeper.flow, w.source, w.target, w.keeper.rules, w.keeper.news.report)
			}, func(*world) {},
		}, []string{both, byHand}, nil},
		{"back to MM2's rules: nothing goes any more", []func(*world){
			func(w *world) { w.keeper.rules.ACLs.Full = false; w.source.drop("alice +READ topic orders") }, func(*world) {}, func(*world) {},
		}, []string{made, both, byHand}, []string{made}},
	} {
		t.Run(c.story, func(t *testing.T) {
			w, log := full(t)
			w.source.put("orders", 1)
			w.refresh()
			w.source.allow("alice +READ topic orders", "bob +READ topic orders")
			w.target.allow(both, byHand)
			w.syncACLs()
			expect(t, "noted at first", log.noted(t), made)
			for _, change := range c.changes {
				change(w)
				w.syncACLs()
			}
			expect(t, "held", w.target.held(), c.held...)
			expect(t, "noted", log.noted(t), c.noted...)
		})
	}
}

func TestFullTellsEachDeletionOnce(t *testing.T) {
	w, _ := full(t)
	w.source.put("orders", 1)
	w.refresh()
	w.source.allow("alice +READ topic ord*", "alice +WRITE txn t1")
	w.syncACLs()
	w.news()
	w.source.drop("alice +READ topic ord*", "alice +WRITE txn t1")
	w.syncACLs()
	w.syncACLs()
	w.syncACLs()
	expect(t, "events", w.news(), "info deleted ACL acl=ALLOW READ on TOPIC A.ord (PREFIXED) for User:alice from *",
		"info deleted ACL acl=ALLOW WRITE on TRANSACTIONAL_ID t1 (LITERAL) for User:alice from *")
}

// pairOf are two flows in full mode in opposite directions, between clusters that both have the topic orders.
func pairOf(t *testing.T, remote func(alias, topic string) string) (ab, ba *world) {
	t.Helper()
	onA, onB := &fakeLog{}, &fakeLog{} // mm2-tandem.B.internal on A, mm2-tandem.A.internal on B
	a, b := newFakeCluster(), newFakeCluster()
	build := func(source, target string, from, to *fakeCluster, notes, echo *fakeLog) *world {
		r := rules()
		r.Remote = func(topic string) string { return remote(source, topic) }
		r.Replicates = func(topic string) bool { return !strings.HasPrefix(topic, target+".") }
		r.ACLs = ACLRules{Full: true, Groups: func(string) bool { return true },
			Notes: NewNotes(notes, "notes"), Echo: NewNotes(echo, "echo")}
		w := &world{t: t, source: from, target: to}
		w.keeper = New(stream.Flow{Source: source, Target: target}, from, to, r, func(stream.Event) {})
		return w
	}
	ab, ba = build("A", "B", a, b, onB, onA), build("B", "A", b, a, onA, onB)
	a.put("orders", 1)
	b.put("orders", 1)
	return ab, ba
}

// In two directions a right that is taken away where it was given goes on the other side too, and does not come back from there.
func TestTwoWaysDoNotEcho(t *testing.T) {
	for _, c := range []struct {
		story    string
		remote   func(alias, topic string) string
		given    []string // on A
		there    []string // on B, as long as A has it
		toRemove []string // on A
	}{
		{"names that stay", func(_, topic string) string { return topic },
			[]string{"alice +ALL topic orders", "bob +READ topic ord*", "dave +READ topic *"},
			[]string{"alice +READ topic orders", "bob +READ topic ord*", "dave +READ topic *"}, nil},
		{"prefixes", func(alias, topic string) string { return alias + "." + topic },
			[]string{"alice +ALL topic orders", "bob +READ topic ord*", "dave +READ topic *"},
			[]string{"alice +READ topic A.orders", "bob +READ topic A.ord*", "dave +READ topic A.*"}, nil},
		{"groups and transactional ids", func(alias, topic string) string { return alias + "." + topic },
			[]string{"alice +READ group g1", "bob +WRITE txn t-*"}, []string{"alice +READ group g1", "bob +WRITE txn t-*"}, nil},
	} {
		t.Run(c.story, func(t *testing.T) {
			ab, ba := pairOf(t, c.remote)
			both := func() {
				for range 2 {
					ab.refresh()
					ab.syncACLs()
					ba.refresh()
					ba.syncACLs()
				}
			}
			a, b := ab.source, ab.target
			a.allow(c.given...)
			both()
			slices.Sort(c.given)
			slices.Sort(c.there)
			expect(t, "on A", a.held(), c.given...)
			expect(t, "on B", b.held(), c.there...)
			a.drop(c.given...)
			both()
			both()
			expect(t, "on A, at the end", a.held())
			expect(t, "on B, at the end", b.held())
		})
	}
}

func TestSyncACLsTroubles(t *testing.T) {
	clusterDenied := &stream.BrokerError{Code: stream.CodeClusterAuthorization, Name: "CLUSTER_AUTHORIZATION_FAILED"}
	down := errors.New("down")
	const alice, bob = "+alice +READ topic A.orders", "+bob +READ topic A.orders"
	const toldBob = "info created ACL acl=ALLOW READ on TOPIC A.orders (LITERAL) for User:bob from *"
	for _, c := range []struct {
		story  string
		change func(w *world, log *fakeLog)
		err    string
		asked  []string
		events []string // of a sync, and none of a second one
		noted  []string
	}{
		{"testNoBrokerAclAuthorizer: told once, the target is not asked", func(w *world, _ *fakeLog) {
			w.source.auth.off = true
			w.target.down["ACLs"] = errors.New("not to be asked")
		}, "", nil, []string{"info ACLs not synced: A has no authorizer; set sync.topic.acls.enabled=false if that is meant to be"}, nil},
		{"the target has no authorizer", func(w *world, _ *fakeLog) { w.target.auth.off = true }, "", nil,
			[]string{"warn ACLs not synced: B has no authorizer; set sync.topic.acls.enabled=false if that is meant to be"}, nil},
		{"we may not ask the source", func(w *world, _ *fakeLog) { w.source.down["ACLs"] = clusterDenied }, "", nil,
			[]string{"warn ACLs not synced: those of A cannot be read; allow Describe on the cluster, or set sync.topic.acls.enabled=false error=CLUSTER_AUTHORIZATION_FAILED"}, nil},
		{"the source does not answer", func(w *world, _ *fakeLog) { w.source.down["ACLs"] = down }, "list ACLs of A: down", nil, nil, nil},
		{"the target does not answer", func(w *world, _ *fakeLog) { w.target.down["ACLs"] = down }, "list ACLs of B: down", nil, nil, nil},
		{"we may not write: one line, not one for each", func(w *world, _ *fakeLog) {
			w.target.auth.refused["User:alice"], w.target.auth.refused["User:bob"] = clusterDenied, clusterDenied
		}, "", nil, []string{"error cannot create ACLs on B; allow Alter on the cluster, or set sync.topic.acls.enabled=false acls=2 " +
			"error=ALLOW READ on TOPIC A.orders (LITERAL) for User:alice from * and 1 more: CLUSTER_AUTHORIZATION_FAILED"}, nil},
		{"one is refused: the other is made", func(w *world, _ *fakeLog) {
			w.target.auth.refused["User:alice"] = &stream.BrokerError{Code: 42, Name: "INVALID_REQUEST", Message: "no such principal"}
		}, "", []string{bob}, []string{toldBob, "error cannot create ACLs on B; the next sync tries again acls=1 " +
			"error=ALLOW READ on TOPIC A.orders (LITERAL) for User:alice from *: INVALID_REQUEST: no such principal"},
			[]string{"bob +READ topic A.orders"}},
		{"the connection breaks: what is not known to be made stays noted", func(w *world, _ *fakeLog) { w.target.down["AddACLs"] = down },
			"create ACLs on B: down", nil, nil, []string{"alice +READ topic A.orders", "bob +READ topic A.orders"}},
		{"nothing can be noted: nothing is made", func(_ *world, log *fakeLog) { log.down = down }, "note which ACLs the flow made: down", nil, nil, nil},
		{"the opposite flow's notes are closed to us: told once, and done without", func(w *world, _ *fakeLog) {
			w.keeper.rules.ACLs.Echo = NewNotes(&fakeLog{denied: denied}, "echo")
		}, "", []string{alice, bob}, []string{
			"info ACLs of A that a flow B->A made are not told from others; if there is such a flow, allow Read on topic mm2-tandem.B.internal of A error=read which ACLs the flow made: TOPIC_AUTHORIZATION_FAILED",
			"info created ACL acl=ALLOW READ on TOPIC A.orders (LITERAL) for User:alice from *", toldBob}, []string{"alice +READ topic A.orders", "bob +READ topic A.orders"}},
		{"the opposite flow's notes cannot be read: nothing is made", func(w *world, _ *fakeLog) {
			w.keeper.rules.ACLs.Echo = NewNotes(&fakeLog{denied: down}, "echo")
		}, "on A: read which ACLs the flow made: down", nil, nil, nil},
		{"a note is damaged: nothing is made", func(_ *world, log *fakeLog) {
			log.records = append(log.records, stream.Record{Key: []byte{1, 'B', 2}, Value: []byte{1}})
		}, "on B: read which ACLs the flow made: record at 0: key: wrong length", nil, nil, nil},
	} {
		t.Run(c.story, func(t *testing.T) {
			w, log := full(t)
			w.source.put("orders", 1)
			w.refresh()
			w.asked()
			w.news()
			w.source.allow("alice +READ topic orders", "bob +READ topic orders")
			c.change(w, log)
			for _, want := range [][][]string{{c.asked, c.events}, {nil, nil}} {
				text := ""
				if err := w.keeper.SyncACLs(t.Context()); err != nil {
					text = err.Error()
				}
				if text != c.err {
					t.Errorf("error %q, want %q", text, c.err)
				}
				expect(t, "asked", w.asked(), want[0]...)
				expect(t, "events", w.news(), want[1]...)
			}
			if c.err == "" || c.noted != nil {
				expect(t, "noted", log.noted(t), c.noted...)
			}
		})
	}
}

// A process may die between the note and the binding, or between the deletion and the note.
func TestFullAfterAKill(t *testing.T) {
	w, log := full(t)
	w.source.put("orders", 1)
	w.refresh()
	notes := NewNotes(log, "notes")
	if err := notes.Note(t.Context(), acls("alice +READ topic A.orders", "bob +READ topic A.orders"), nil); err != nil {
		t.Fatal(err)
	}
	w.source.allow("alice +READ topic orders")
	w.syncACLs()
	expect(t, "held", w.target.held(), "alice +READ topic A.orders")
	expect(t, "noted", log.noted(t), "alice +READ topic A.orders")
}

// The example of docs/internal-topic.md.
func TestNoteInBytes(t *testing.T) {
	log := &fakeLog{}
	if err := NewNotes(log, "notes").Note(t.Context(), acls("al +READ topic A.ord*"), acls("al +READ topic A.ord*")); err != nil {
		t.Fatal(err)
	}
	want := "01 42 02 04 0005 412e6f7264 0007 557365723a616c 0001 2a 03 03"
	for i, value := range []string{"01", ""} {
		r := log.records[i]
		if hex.EncodeToString(r.Key) != strings.ReplaceAll(want, " ", "") || hex.EncodeToString(r.Value) != value || (r.Value == nil) != (value == "") {
			t.Errorf("record %d: %x = %x", i, r.Key, r.Value)
		}
	}
	expect(t, "noted", log.noted(t))
	for _, bad := range []stream.Record{
		{Key: log.records[0].Key, Value: []byte{2}}, {Key: log.records[0].Key, Value: []byte{1, 0}},
		{Key: append(slices.Clone(log.records[0].Key), 0), Value: []byte{1}}, {Key: append([]byte{2}, log.records[0].Key[1:]...), Value: []byte{1}},
	} {
		if _, err := NewNotes(&fakeLog{records: []stream.Record{bad}}, "notes").Noted(t.Context()); err == nil {
			t.Errorf("%x = %x is read", bad.Key, bad.Value)
		}
	}
}

func FuzzDecodeACL(f *testing.F) {
	f.Add(encodeACL(acl("alice +READ topic orders")))
	f.Add(encodeACL(acl("alice -ALL group g-*")))
	f.Add([]byte{1, 'B', 2, 3, 255, 255, 0, 0, 0, 0, 3, 3})
	f.Fuzz(func(t *testing.T, key []byte) {
		if len(key) < 2 {
			return
		}
		b, err := decodeACL(key)
		if err != nil {
			return
		}
		if again := encodeACL(b); key[1] == stream.KindACL && string(again) != string(key) {
			t.Errorf("%x is read as %v, which is %x", key, b, again)
		}
	})
}
