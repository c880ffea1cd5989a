package topics

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/stream"
)

func TestFirstRefreshMakesWhatIsMissing(t *testing.T) {
	w := newWorld(t, rules())
	w.source.put("orders", 4, "retention.ms=5", "min.insync.replicas=2")
	w.source.put("payments", 2)
	w.source.put("secret-plans", 1)
	w.source.put("__consumer_offsets", 50)
	w.source.put("odd", 1)
	w.source.topics["odd"].internal = true // the broker's word counts whatever the name
	w.target.put("A.payments", 1, "max.message.bytes=77")
	w.target.put("other", 9)

	expect(t, "snapshot", w.refresh(), "orders/4 A.orders/4 ready 1048588", "payments/2 A.payments/2 ready 77")
	expect(t, "asked", w.asked(), "create A.orders 4 retention.ms=5", "widen A.payments 2")
	expect(t, "events", w.news(), "info found topics to replicate topics=2",
		"info created remote topic topic=orders remote=A.orders partitions=4 replication.factor=2",
		"info widened remote topic topic=payments remote=A.payments from=1 to=2")
	if f := w.target.topics["A.orders"].factor; f != 2 {
		t.Errorf("created with replication factor %d", f)
	}

	expect(t, "snapshot", w.refresh(), "orders/4 A.orders/4 ready 1048588", "payments/2 A.payments/2 ready 77")
	expect(t, "asked again", w.asked())
	expect(t, "events of a quiet refresh", w.news())
}

// Each story starts with orders (4 partitions) replicated, and ends with what one more refresh sees, asks and tells.
func TestChangesBetweenRefreshes(t *testing.T) {
	const orders = "orders/4 A.orders/4 ready 1048588"
	for _, c := range []struct {
		story    string
		change   func(w *world)
		snapshot []string
		asked    []string
		events   []string
	}{
		{"a new topic", func(w *world) { w.source.put("carts", 1) },
			[]string{"carts/1 A.carts/1 ready 1048588", orders}, []string{"create A.carts 1"},
			[]string{"info found a new source topic topic=carts partitions=1",
				"info created remote topic topic=carts remote=A.carts partitions=1 replication.factor=2"}},
		{"a topic deleted: its copy stays", func(w *world) { delete(w.source.topics, "orders") },
			nil, nil,
			[]string{`warn topics match nothing: no topic of the source passes "topics" and "topics.exclude" listed=0`,
				"warn source topic deleted; its remote topic stays as it is topic=orders remote=A.orders"}},
		{"a topic left out by new rules: its copy stays", func(w *world) {
			w.source.put("carts", 1)
			w.keeper.rules.Replicates = func(topic string) bool { return topic == "carts" }
		},
			[]string{"carts/1 A.carts/1 ready 1048588"}, []string{"create A.carts 1"},
			[]string{"info found a new source topic topic=carts partitions=1",
				"info source topic no longer replicated; its remote topic stays as it is topic=orders remote=A.orders",
				"info created remote topic topic=carts remote=A.carts partitions=1 replication.factor=2"}},
		{"a topic deleted and made anew, smaller", func(w *world) { w.source.put("orders", 2) },
			[]string{"orders/2 A.orders/4 ready 1048588"}, nil,
			[]string{"warn source topic deleted and made anew topic=orders remote=A.orders"}},
		{"brokers upgraded, so that ids are told", func(w *world) {
			w.keeper.known[0].Source.ID, w.keeper.known[0].Remote.ID = stream.TopicID{}, stream.TopicID{}
		}, []string{orders}, nil, nil},
		{"ids not told any more", func(w *world) { w.source.topics["orders"].id, w.target.topics["A.orders"].id = 0, 0 },
			[]string{orders}, nil, nil},
		{"more partitions", func(w *world) { w.source.topics["orders"].partitions = 6 },
			[]string{"orders/6 A.orders/6 ready 1048588"}, []string{"widen A.orders 6"},
			[]string{"info source topic has more partitions topic=orders from=4 to=6",
				"info widened remote topic topic=orders remote=A.orders from=4 to=6"}},
		{"more partitions, and no right to add them: the old ones go on", func(w *world) {
			w.source.topics["orders"].partitions = 6
			w.target.refused["A.orders"] = denied
		}, []string{"orders/6 A.orders/4 waits 1048588"}, nil,
			[]string{"info source topic has more partitions topic=orders from=4 to=6",
				"error remote topic not widened; its new partitions are not replicated; allow Alter on it, or add them by hand topic=orders remote=A.orders from=4 to=6 error=TOPIC_AUTHORIZATION_FAILED"}},
		{"more partitions, added by someone else just now", func(w *world) {
			w.source.topics["orders"].partitions = 6
			w.target.between = func(request string) {
				if request == "CreatePartitions" {
					w.target.topics["A.orders"].partitions = 8
				}
			}
		}, []string{"orders/6 A.orders/8 ready 1048588"}, nil,
			[]string{"info source topic has more partitions topic=orders from=4 to=6",
				"info widened remote topic topic=orders remote=A.orders from=4 to=6"}},
		{"the copy deleted: made again", func(w *world) { delete(w.target.topics, "A.orders") },
			[]string{orders}, []string{"create A.orders 4"},
			[]string{"warn remote topic deleted topic=orders remote=A.orders",
				"info created remote topic topic=orders remote=A.orders partitions=4 replication.factor=2"}},
		{"the copy made anew by someone, with another limit", func(w *world) { w.target.put("A.orders", 4, "max.message.bytes=5") },
			[]string{"orders/4 A.orders/4 ready 5"}, nil,
			[]string{"warn remote topic deleted and made anew by someone else topic=orders remote=A.orders"}},
		{"a new topic whose copy someone else makes, narrower, in between", func(w *world) {
			w.source.put("carts", 3)
			w.target.between = func(request string) {
				if request == "CreateTopics" {
					w.target.put("A.carts", 1)
				}
			}
		}, []string{"carts/3 A.carts/3 ready 1048588", orders}, []string{"widen A.carts 3"},
			[]string{"info found a new source topic topic=carts partitions=3",
				"info created remote topic topic=carts remote=A.carts partitions=3 replication.factor=2",
				"info widened remote topic topic=carts remote=A.carts from=1 to=3"}},
		{"a new topic that may not be described: the others are made", func(w *world) {
			w.source.put("carts", 3)
			w.source.put("dark", 3)
			w.source.hidden["dark"] = true
		}, []string{"carts/3 A.carts/3 ready 1048588", "dark/3 A.dark/0 waits 0", orders}, []string{"create A.carts 3"},
			[]string{"info found a new source topic topic=carts partitions=3", "info found a new source topic topic=dark partitions=3",
				"error remote topics not created: configs of their source topics cannot be read; allow DescribeConfigs on them topics=dark error=describe dark: TOPIC_AUTHORIZATION_FAILED",
				"info created remote topic topic=carts remote=A.carts partitions=3 replication.factor=2"}},
		{"a new topic that the target refuses: the others are made", func(w *world) {
			w.source.put("carts", 3)
			w.source.put("dark", 3)
			w.target.refused["A.dark"] = &stream.BrokerError{Code: stream.CodePolicyViolation, Name: "POLICY_VIOLATION", Message: "no dark topics"}
		}, []string{"carts/3 A.carts/3 ready 1048588", "dark/3 A.dark/0 waits 0", orders}, []string{"create A.carts 3"},
			[]string{"info found a new source topic topic=carts partitions=3", "info found a new source topic topic=dark partitions=3",
				"info created remote topic topic=carts remote=A.carts partitions=3 replication.factor=2",
				"error remote topic not created; the create.topic.policy.class.name of B forbids it; change replication.factor or config.properties.exclude to comply topic=dark remote=A.dark partitions=3 replication.factor=2 error=POLICY_VIOLATION: no dark topics"}},
		{"a new topic while the source tells no configs", func(w *world) {
			w.source.put("carts", 3)
			w.source.down["Configs"] = errors.New("timed out")
		}, []string{"carts/3 A.carts/0 waits 0", orders}, nil,
			[]string{"info found a new source topic topic=carts partitions=3",
				"error remote topics not created: configs of their source topics cannot be read topics=carts error=timed out"}},
		{"a new topic that is deleted again before it is described", func(w *world) {
			w.source.put("carts", 3)
			w.source.between = func(request string) {
				switch request {
				case "Topics":
					w.source.topics["carts"] = &fakeTopic{id: 99, partitions: 3}
				case "Configs":
					delete(w.source.topics, "carts")
				}
			}
		}, []string{"carts/3 A.carts/0 waits 0", orders}, nil, []string{"info found a new source topic topic=carts partitions=3"}},
		{"a new topic while the target creates none", func(w *world) {
			w.source.put("carts", 3)
			w.target.down["CreateTopics"] = errors.New("timed out")
		}, []string{"carts/3 A.carts/0 waits 0", orders}, nil,
			[]string{"info found a new source topic topic=carts partitions=3", "error remote topics not created; the next refresh tries again topics=1 error=timed out"}},
		{"a new topic while the target tells no configs: ready, with an unknown limit", func(w *world) {
			w.source.put("carts", 3)
			w.target.down["Configs"] = errors.New("timed out")
		}, []string{"carts/3 A.carts/3 ready 0", orders}, []string{"create A.carts 3"},
			[]string{"info found a new source topic topic=carts partitions=3",
				"info created remote topic topic=carts remote=A.carts partitions=3 replication.factor=2",
				"warn max.message.bytes of remote topics cannot be read, and is taken to be the default topics=A.carts error=timed out"}},
	} {
		t.Run(c.story, func(t *testing.T) {
			w := newWorld(t, rules())
			w.source.put("orders", 4)
			w.refresh()
			w.news()
			w.asked()
			c.change(w)
			expect(t, "snapshot", w.refresh(), c.snapshot...)
			expect(t, "asked", w.asked(), c.asked...)
			expect(t, "events", w.news(), c.events...)

			expect(t, "snapshot of a second look", w.refresh(), c.snapshot...)
			expect(t, "asked by a second look", w.asked())
			expect(t, "events of a second look", w.news())
		})
	}
}

func TestRefusedTopicIsToldAgainOnlyWhenTheReasonChanges(t *testing.T) {
	const told = "error remote topic not created; set replication.factor to no more than B has brokers topic=orders remote=A.orders partitions=1 replication.factor=2 error=INVALID_REPLICATION_FACTOR: only "
	w := newWorld(t, rules())
	w.target.brokers = 1
	w.source.put("orders", 1)
	expect(t, "snapshot", w.refresh(), "orders/1 A.orders/0 waits 0")
	expect(t, "events", w.news(), "info found topics to replicate topics=1", told+"1 broker(s) are registered")
	w.refresh()
	expect(t, "the same again", w.news())
	w.target.brokers = 0
	w.refresh()
	expect(t, "another reason", w.news(), told+"0 broker(s) are registered")
	w.target.brokers = 2
	expect(t, "snapshot", w.refresh(), "orders/1 A.orders/1 ready 1048588")
	expect(t, "solved", w.news(), "info created remote topic topic=orders remote=A.orders partitions=1 replication.factor=2")
	delete(w.target.topics, "A.orders")
	w.target.brokers = 1
	w.refresh()
	expect(t, "the old reason anew", w.news(), "warn remote topic deleted topic=orders remote=A.orders", told+"1 broker(s) are registered")
}

func TestTroubleThatSomeoneElseSolvedIsToldWhenItComesBack(t *testing.T) {
	w := newWorld(t, rules())
	w.source.put("orders", 1)
	w.target.refused["A.orders"] = errors.New("no")
	w.refresh()
	w.news()
	w.target.put("A.orders", 1) // by hand
	expect(t, "snapshot", w.refresh(), "orders/1 A.orders/1 ready 1048588")
	delete(w.target.topics, "A.orders")
	w.refresh()
	expect(t, "events", w.news(), "warn remote topic deleted topic=orders remote=A.orders",
		"error remote topic not created; the next refresh tries again topic=orders remote=A.orders partitions=1 replication.factor=2 error=no")
}

func TestWhatFailsBecauseWeStopIsNoNews(t *testing.T) {
	w := newWorld(t, rules())
	w.source.put("orders", 1)
	ctx, stop := context.WithCancel(t.Context())
	w.target.down["CreateTopics"] = context.Canceled
	w.target.between = func(request string) {
		if request == "CreateTopics" {
			stop()
		}
	}
	if _, err := w.keeper.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	expect(t, "events", w.news(), "info found topics to replicate topics=1")
}

func TestTroubleOfADeletedTopicIsForgotten(t *testing.T) {
	w := newWorld(t, rules())
	w.source.put("orders", 1)
	w.source.put("carts", 1)
	w.target.refused["A.carts"] = errors.New("no")
	w.refresh()
	delete(w.source.topics, "carts")
	w.refresh()
	w.news()
	w.source.put("carts", 1)
	w.refresh()
	expect(t, "events of the topic that came back", w.news(), "info found a new source topic topic=carts partitions=1",
		"error remote topic not created; the next refresh tries again topic=carts remote=A.carts partitions=1 replication.factor=2 error=no")
}

func TestConnectionThatBreaksHalfWay(t *testing.T) {
	w := newWorld(t, rules())
	w.source.put("carts", 1)
	w.source.put("orders", 1)
	w.target.cut = 1
	expect(t, "snapshot", w.refresh(), "carts/1 A.carts/1 ready 1048588", "orders/1 A.orders/0 waits 0")
	expect(t, "events", w.news(), "info found topics to replicate topics=2",
		"error remote topics not created; the next refresh tries again topics=1 error=connection lost",
		"info created remote topic topic=carts remote=A.carts partitions=1 replication.factor=2")
	expect(t, "snapshot", w.refresh(), "carts/1 A.carts/1 ready 1048588", "orders/1 A.orders/1 ready 1048588")
	expect(t, "events", w.news(), "info created remote topic topic=orders remote=A.orders partitions=1 replication.factor=2")

	w.source.dynamic["retention.ms"] = "5"
	if err := w.keeper.SyncConfigs(t.Context()); err == nil || err.Error() != "alter configs of topics of B: connection lost" {
		t.Errorf("error %v", err)
	}
	expect(t, "events", w.news(), "info changed configs of remote topic remote=A.carts configs=retention.ms=5")
	w.target.cut = 0
	w.sync()
	expect(t, "events", w.news(), "info changed configs of remote topic remote=A.orders configs=retention.ms=5")
}

func TestNothingMatches(t *testing.T) {
	const warning = `warn topics match nothing: no topic of the source passes "topics" and "topics.exclude" listed=1`
	w := newWorld(t, rules())
	w.source.put("secret", 1)
	w.refresh()
	w.refresh()
	expect(t, "told once", w.news(), warning)
	w.source.put("orders", 1)
	w.refresh()
	delete(w.source.topics, "orders")
	w.news()
	w.refresh()
	expect(t, "told again after there was something", w.news(), warning,
		"warn source topic deleted; its remote topic stays as it is topic=orders remote=A.orders")
}

func TestTwoSourcesNeverShareARemoteTopic(t *testing.T) {
	r := rules()
	r.Remote = strings.ToLower
	w := newWorld(t, r)
	w.source.put("Orders", 1)
	w.source.put("orders", 2)
	for range 2 {
		expect(t, "snapshot", w.refresh(), "Orders/1 orders/1 ready 1048588")
	}
	expect(t, "events", w.news(),
		"error source topic not replicated: its remote topic is that of another source topic; exclude one of them topic=orders other=Orders remote=orders",
		"info found topics to replicate topics=1", "info created remote topic topic=Orders remote=orders partitions=1 replication.factor=2")
}

func TestNewTopicsAreConfirmedByTheTarget(t *testing.T) {
	for _, c := range []struct {
		story    string
		lag      int
		snapshot string
		took     time.Duration
	}{
		{"shown at once", 0, "orders/4 A.orders/4 ready 1048588", 0},
		{"shown at the third look", 2, "orders/4 A.orders/4 ready 1048588", 150 * time.Millisecond},
		{"not shown in time: not ready", 1000, "orders/4 A.orders/0 waits 0", settleLimit},
	} {
		t.Run(c.story, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, rules())
				w.source.put("orders", 4)
				w.target.lag = c.lag
				start := time.Now()
				expect(t, "snapshot", w.refresh(), c.snapshot)
				if took := time.Since(start); took != c.took {
					t.Errorf("took %s, want %s", took, c.took)
				}
				w.target.lag = 0
				expect(t, "snapshot", w.refresh(), "orders/4 A.orders/4 ready 1048588")
			})
		})
	}
}

func TestStopEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rules())
		w.source.put("orders", 4)
		w.target.lag = 1000
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, err := w.keeper.Refresh(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
	})
}

func TestRefreshFailsWhenAClusterCannotBeListed(t *testing.T) {
	down := errors.New("no broker answers")
	for _, side := range []string{"A", "B"} {
		w := newWorld(t, rules())
		w.source.put("orders", 1)
		w.refresh()
		w.news()
		cluster := map[string]*fakeCluster{"A": w.source, "B": w.target}[side]
		cluster.down["Topics"] = down
		_, err := w.keeper.Refresh(t.Context())
		if !errors.Is(err, down) || err.Error() != "list topics of "+side+": no broker answers" {
			t.Errorf("error %v", err)
		}
		delete(cluster.down, "Topics")
		w.refresh()
		expect(t, "events after "+side+" is back", w.news())
	}
}

func TestEnsureCompacted(t *testing.T) {
	for _, c := range []struct {
		story  string
		before func(c *fakeCluster)
		factor int16
		want   int32
		asked  []string
		bad    string
	}{
		{story: "missing: made, compacted", before: func(*fakeCluster) {}, factor: 3, want: 25, asked: []string{"create mm2-offsets.A.internal 25 cleanup.policy=compact"}},
		{story: "there: left alone, its partitions told", before: func(c *fakeCluster) { c.put("mm2-offsets.A.internal", 5) }, factor: 3, want: 5},
		{story: "made by someone else in between: its partitions told", before: func(c *fakeCluster) {
			c.between = func(request string) {
				if request == "CreateTopics" {
					c.put("mm2-offsets.A.internal", 7)
				}
			}
		}, factor: 3, want: 7},
		{story: "no right to create: taken to be there", before: func(c *fakeCluster) { c.refused["mm2-offsets.A.internal"] = denied }, factor: 3, want: 25},
		{story: "no right for the request as a whole", before: func(c *fakeCluster) { c.down["CreateTopics"] = denied }, factor: 3, want: 25},
		{story: "too few brokers", before: func(c *fakeCluster) {}, factor: 4,
			bad: "create internal topic mm2-offsets.A.internal with replication factor 4: INVALID_REPLICATION_FACTOR: only 3 broker(s) are registered"},
		{story: "no answer", before: func(c *fakeCluster) { c.down["Topics"] = errors.New("down") }, bad: "look for internal topic mm2-offsets.A.internal: down"},
	} {
		t.Run(c.story, func(t *testing.T) {
			cluster := newFakeCluster()
			c.before(cluster)
			n, err := EnsureCompacted(t.Context(), cluster, "mm2-offsets.A.internal", 25, c.factor)
			if c.bad != "" {
				if err == nil || err.Error() != c.bad {
					t.Errorf("error %v, want %s", err, c.bad)
				}
				return
			}
			if err != nil || n != c.want {
				t.Errorf("%d partitions, %v; want %d", n, err, c.want)
			}
			expect(t, "asked", cluster.log, c.asked...)
		})
	}
}

func TestEnsureTandem(t *testing.T) {
	const topic = "mm2-tandem.A.internal"
	for _, c := range []struct {
		story  string
		before func(c *fakeCluster)
		asked  []string
	}{
		{story: "missing: made", before: func(*fakeCluster) {},
			asked: []string{"create " + topic + " 1 cleanup.policy=compact min.cleanable.dirty.ratio=0.1 segment.bytes=4194304"}},
		{story: "there as it was made: left alone", before: func(c *fakeCluster) {
			c.put(topic, 1, "cleanup.policy=compact", "segment.bytes=4194304", "min.cleanable.dirty.ratio=0.1")
		}},
		{story: "made by an earlier version: shortened", before: func(c *fakeCluster) { c.put(topic, 1, "cleanup.policy=compact") },
			asked: []string{"alter " + topic + " min.cleanable.dirty.ratio=0.1 segment.bytes=4194304"}},
		{story: "somebody has set one: it stays", before: func(c *fakeCluster) { c.put(topic, 1, "cleanup.policy=compact", "segment.bytes=1073741824") },
			asked: []string{"alter " + topic + " min.cleanable.dirty.ratio=0.1"}},
		{story: "no right to describe it", before: func(c *fakeCluster) { c.put(topic, 1); c.hidden[topic] = true }},
		{story: "no right to alter it", before: func(c *fakeCluster) { c.put(topic, 1); c.refused[topic] = denied }},
	} {
		t.Run(c.story, func(t *testing.T) {
			cluster := newFakeCluster()
			c.before(cluster)
			if err := EnsureTandem(t.Context(), cluster, topic, 3); err != nil {
				t.Error(err)
			}
			for i, request := range cluster.log {
				words := strings.Fields(request)
				slices.Sort(words[2:])
				cluster.log[i] = strings.Join(words, " ")
			}
			expect(t, "asked", cluster.log, c.asked...)
		})
	}
}
