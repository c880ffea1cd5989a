package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"tandem/internal/stream"
)

func TestTopics(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(3), kfake.ClusterID("c-1"), kfake.SeedTopics(3, "orders"), kfake.SeedTopics(1, "heartbeats"))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	ctx := within(t, 10*time.Second)
	if id, err := a.ClusterID(ctx); err != nil || id != "c-1" {
		t.Errorf("cluster id %q, %v", id, err)
	}
	topics, err := a.Topics(ctx)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(topics, func(x, y stream.Topic) int { return strings.Compare(x.Name, y.Name) })
	want := []stream.Topic{
		{Name: "heartbeats", ID: cluster.TopicInfo("heartbeats").TopicID, Partitions: 1},
		{Name: "orders", ID: cluster.TopicInfo("orders").TopicID, Partitions: 3},
	}
	if !slices.Equal(topics, want) {
		t.Errorf("got %+v, want %+v", topics, want)
	}
	if want[0].ID == (stream.TopicID{}) {
		t.Error("the oracle has no topic ids")
	}
}

// The oldest brokers that are promised to work know fewer versions of every request.
func TestOldBrokers(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.MaxVersions(kversion.V2_8_0()), kfake.SeedTopics(1, "orders"))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	ctx := within(t, 10*time.Second)
	topics, err := a.Topics(ctx)
	if err != nil || len(topics) != 1 || topics[0].ID == (stream.TopicID{}) {
		t.Fatalf("got %v, %v", topics, err)
	}
	if _, err := a.ClusterID(ctx); err != nil {
		t.Error(err)
	}
	if results, err := a.CreateTopics(ctx, []stream.NewTopic{{Name: "new", Partitions: 2, Factor: 1}}); err != nil || results["new"] != nil {
		t.Error(results, err)
	}
	if err := a.CreatePartitions(ctx, "new", 3); err != nil {
		t.Error(err)
	}
	if results, err := a.AlterConfigs(ctx, map[string][]stream.ConfigChange{"new": {{Name: "retention.ms", Value: "5"}}}); err != nil || results["new"] != nil {
		t.Error(results, err)
	}
	if configs, err := a.Configs(ctx, []string{"new"}); err != nil || len(configs["new"]) == 0 {
		t.Error(configs, err)
	}
	if err := a.Append(ctx, "orders", []stream.Record{{Key: []byte("k")}}); err != nil {
		t.Error(err)
	}
	if got := readAll(t, a, "orders", true); len(got) != 1 {
		t.Error(got)
	}
}

func TestTopicsAreCreatedWidenedAndConfigured(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(2), kfake.SeedTopics(1, "there"))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	ctx := within(t, 10*time.Second)
	results, err := a.CreateTopics(ctx, []stream.NewTopic{
		{Name: "there", Partitions: 5, Factor: -1},
		{Name: "new", Partitions: 2, Factor: -1, Configs: map[string]string{"cleanup.policy": "compact", "retention.ms": "1000"}},
		{Name: "greedy", Partitions: 1, Factor: 9},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 3 || results["there"] != nil || results["new"] != nil {
		t.Errorf("got %v", results)
	}
	if code, ok := stream.CodeOf(results["greedy"]); !ok || int16(code) != kerr.InvalidReplicationFactor.Code {
		t.Errorf("three brokers too few: got %v", results["greedy"])
	}

	changed, err := a.AlterConfigs(ctx, map[string][]stream.ConfigChange{
		"new":     {{Name: "retention.ms", Delete: true}, {Name: "max.message.bytes", Value: "2000"}},
		"missing": {{Name: "retention.ms", Value: "1"}},
	})
	if err != nil || len(changed) != 2 || changed["new"] != nil || Classify(changed["missing"]) != UnknownTopic {
		t.Errorf("got %v, %v", changed, err)
	}
	configs, err := a.Configs(ctx, []string{"new", "missing"})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := configs["missing"]; ok || len(configs) != 1 {
		t.Errorf("got configs of %v", slices.Collect(maps.Keys(configs)))
	}
	own := make(map[string]string)
	for _, e := range configs["new"] {
		if e.Source == stream.ConfigTopic {
			own[e.Name] = e.Value
		}
	}
	if want := map[string]string{"cleanup.policy": "compact", "max.message.bytes": "2000"}; !maps.Equal(own, want) {
		t.Errorf("topic-level configs are %v, want %v", own, want)
	}

	for _, total := range []int32{4, 4, 3} { // the second and third ask for what is there
		if err := a.CreatePartitions(ctx, "new", total); err != nil {
			t.Errorf("widen to %d: %v", total, err)
		}
	}
	if n := len(cluster.PartitionInfos("new")); n != 4 {
		t.Errorf("%d partitions, want 4", n)
	}
	if err := a.CreatePartitions(ctx, "missing", 4); Classify(err) != UnknownTopic {
		t.Errorf("got %v", err)
	}
}

// More topics than fit one request are all answered for.
func TestManyTopics(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(1))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	ctx := within(t, 30*time.Second)
	var requests sync.Map
	for _, key := range []kmsg.Key{kmsg.CreateTopics, kmsg.DescribeConfigs, kmsg.IncrementalAlterConfigs} {
		var n atomic.Int32
		requests.Store(key, &n)
		cluster.ControlKey(key.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
			cluster.KeepControl()
			n.Add(1)
			return nil, nil, false
		})
	}
	var topics []stream.NewTopic
	var names []string
	changes := make(map[string][]stream.ConfigChange)
	for i := range 2*topicsPerRequest + 1 {
		name := fmt.Sprintf("t%d", i)
		names = append(names, name)
		topics = append(topics, stream.NewTopic{Name: name, Partitions: 1, Factor: 1})
		changes[name] = []stream.ConfigChange{{Name: "retention.ms", Value: fmt.Sprint(1000 + i)}}
	}
	created, err := a.CreateTopics(ctx, topics)
	if err != nil || len(created) != len(topics) {
		t.Fatalf("%d answers, %v", len(created), err)
	}
	altered, err := a.AlterConfigs(ctx, changes)
	if err != nil || len(altered) != len(topics) {
		t.Fatalf("%d answers, %v", len(altered), err)
	}
	configs, err := a.Configs(ctx, names)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		if created[name] != nil || altered[name] != nil {
			t.Fatalf("%s: %v, %v", name, created[name], altered[name])
		}
		at := slices.IndexFunc(configs[name], func(e stream.ConfigEntry) bool { return e.Name == "retention.ms" })
		if at < 0 || configs[name][at].Value != fmt.Sprint(1000+i) {
			t.Fatalf("%s has configs %v", name, configs[name])
		}
	}
	requests.Range(func(key, n any) bool {
		if got := n.(*atomic.Int32).Load(); got != 3 {
			t.Errorf("%s: %d requests, want 3", key.(kmsg.Key).Name(), got)
		}
		return true
	})
}

func TestFirstBatchIsBounded(t *testing.T) {
	many := func(n int, partitions int32) []stream.NewTopic {
		topics := make([]stream.NewTopic, n)
		for i := range topics {
			topics[i].Partitions = partitions
		}
		return topics
	}
	for _, test := range []struct {
		topics []stream.NewTopic
		want   int
	}{
		{many(1, 1), 1},
		{many(topicsPerRequest, 1), topicsPerRequest},
		{many(topicsPerRequest+1, 1), topicsPerRequest},
		{many(5, newPartitionsPerRequest), 1},
		{many(1, 10*newPartitionsPerRequest), 1}, // cannot be split: the broker decides
		{many(10, newPartitionsPerRequest/4), 4},
		{many(3, -1), 3}, // the broker's default counts as one
	} {
		if got := firstBatch(test.topics); got != test.want {
			t.Errorf("of %d topics of %d partitions: %d, want %d", len(test.topics), test.topics[0].Partitions, got, test.want)
		}
	}
}

// A cluster that is away costs an error each time, quickly, and is used as soon as it is there.
func TestABrokerThatComesUpLater(t *testing.T) {
	address, port := unusedAddress(t)
	a := adminOf(t, address, nil)
	for range 2 {
		ctx := within(t, 5*time.Second)
		_, err := a.Topics(ctx)
		if Classify(err) != Unreachable || ctx.Err() != nil {
			t.Fatalf("got %v", err)
		}
		if line := Explain(err); line != "cannot reach "+address+": connection refused" {
			t.Errorf("explained %q", line)
		}
		if err := a.Append(ctx, "orders", []stream.Record{{}}); Classify(err) != Unreachable {
			t.Errorf("append: %v", err)
		}
		start := time.Now()
		if err := a.ReadAll(ctx, "orders", false, nil); Classify(err) != Unreachable || time.Since(start) > 2*time.Second {
			t.Errorf("read all: %v after %v", err, time.Since(start))
		}
	}
	fakeCluster(t, kfake.Ports(port), kfake.SeedTopics(1, "orders"))
	ctx := within(t, 5*time.Second)
	if topics, err := a.Topics(ctx); err != nil || len(topics) != 1 {
		t.Errorf("got %v, %v", topics, err)
	}
	if err := a.Append(ctx, "orders", []stream.Record{{}}); err != nil {
		t.Error(err)
	}
	if got := readAll(t, a, "orders", false); len(got) != 1 {
		t.Errorf("read %v", got)
	}
}

// The cluster stops under a client that has used it, and comes back with the same data on the same port.
func TestABrokerThatDiesAndComesBack(t *testing.T) {
	_, port := unusedAddress(t)
	dir := t.TempDir()
	start := func() *kfake.Cluster {
		c, err := kfake.NewCluster(kfake.Ports(port), kfake.DataDir(dir), kfake.SeedTopics(1, "orders"))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	cluster := start()
	a := adminOf(t, cluster.ListenAddrs()[0], map[string]string{"request.timeout.ms": "1000"})
	work := func() error {
		ctx := within(t, 10*time.Second)
		_, err := a.Topics(ctx)
		_, created := a.CreateTopics(ctx, []stream.NewTopic{{Name: "new", Partitions: 1, Factor: 1}})
		appended := a.Append(ctx, "orders", []stream.Record{{Key: []byte("k")}})
		read := a.ReadAll(ctx, "orders", true, func(stream.Record) error { return nil })
		return errors.Join(err, created, appended, read)
	}
	if err := work(); err != nil {
		t.Fatal(err)
	}
	cluster.Close()
	if err := work(); Classify(err) != Unreachable {
		t.Errorf("while it is away: %v", err)
	}
	cluster = start()
	defer cluster.Close()
	if err := work(); err != nil {
		t.Errorf("after it came back: %v", err)
	}
}

// Brokers close connections that were idle; the next call must not notice.
func TestConnectionsThatWereCut(t *testing.T) {
	cluster, wires := fakeCluster(t, kfake.NumBrokers(3), kfake.SeedTopics(3, "orders"))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	for round := range 20 {
		ctx := within(t, 10*time.Second)
		if _, err := a.Topics(ctx); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		if _, err := a.CreateTopics(ctx, []stream.NewTopic{{Name: "new", Partitions: 1, Factor: 1}}); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		if err := a.Append(ctx, "orders", []stream.Record{{Partition: 1}}); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		if got := readAll(t, a, "orders", false); len(got) != round+1 {
			t.Errorf("round %d: read %d records", round, len(got))
		}
		if wires.cut() == 0 {
			t.Fatal("there was nothing to cut")
		}
	}
}

// After a quiet while the connections to all brokers are closed, and there may be more brokers than attempts.
func TestAllConnectionsOfManyBrokersWereCut(t *testing.T) {
	cluster, wires := fakeCluster(t, kfake.NumBrokers(8))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	ctx := within(t, 20*time.Second)
	for round := range 10 {
		for range 30 { // brokers are picked at random
			if _, err := a.Topics(ctx); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}
		wires.cut()
	}
}

// One of three brokers leaves for good: the others do.
func TestOneBrokerOfThreeLeaves(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(3), kfake.SeedTopics(3, "orders"))
	a := adminOf(t, strings.Join(cluster.ListenAddrs(), ","), nil)
	if _, err := a.Topics(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := a.Append(within(t, 10*time.Second), "orders", []stream.Record{{Partition: 0}, {Partition: 1}, {Partition: 2}}); err != nil {
		t.Fatal(err)
	}
	if err := cluster.RemoveNode(0); err != nil {
		t.Fatal(err)
	}
	for range 10 { // brokers are picked at random
		if _, err := a.Topics(within(t, 10*time.Second)); err != nil {
			t.Error(err)
		}
		if _, err := a.CreateTopics(within(t, 10*time.Second), []stream.NewTopic{{Name: "new", Partitions: 1, Factor: 1}}); err != nil {
			t.Error(err)
		}
	}
	if err := a.Append(within(t, 10*time.Second), "orders", []stream.Record{{Partition: 0}, {Partition: 1}, {Partition: 2}}); err != nil {
		t.Error(err)
	}
	if got := readAll(t, a, "orders", false); len(got) != 6 {
		t.Errorf("read %d records, want 6", len(got))
	}
}

func TestTheControllerMoved(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(3))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	refused := 0
	cluster.ControlKey(kmsg.CreateTopics.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		refused++
		resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
		for _, want := range req.(*kmsg.CreateTopicsRequest).Topics {
			topic := kmsg.NewCreateTopicsResponseTopic()
			topic.Topic, topic.ErrorCode = want.Topic, kerr.NotController.Code
			resp.Topics = append(resp.Topics, topic)
		}
		return resp, nil, true
	})
	results, err := a.CreateTopics(within(t, 10*time.Second), []stream.NewTopic{{Name: "a", Partitions: 1, Factor: 1}, {Name: "b", Partitions: 1, Factor: 1}})
	if err != nil || len(results) != 2 || results["a"] != nil || results["b"] != nil || refused != 1 {
		t.Errorf("got %v, %v after %d refusals", results, err, refused)
	}
}

// sarama knows no contexts: ours must end the wait all the same, and not spoil later calls.
func TestTheContextEndsTheWait(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	if _, err := a.Topics(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	for _, key := range []kmsg.Key{kmsg.DescribeConfigs, kmsg.Produce} {
		cluster.ControlKey(key.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
			cluster.SleepControl(func() { <-release })
			return nil, nil, false
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := a.Configs(ctx, []string{"orders"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := a.Append(ctx, "orders", []stream.Record{{Key: []byte("k")}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	} else if line := Explain(err); line != "no answer from the cluster in time" {
		t.Errorf("explained %q", line)
	}
	close(release)
	if configs, err := a.Configs(within(t, 10*time.Second), []string{"orders"}); err != nil || len(configs) != 1 {
		t.Errorf("later: %v, %v", configs, err)
	}
}

// After an answer that did not come in time the connection is of no more use: later answers would be taken for it.
func TestAnAnswerThatNeverComes(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	a := adminOf(t, cluster.ListenAddrs()[0], map[string]string{"request.timeout.ms": "300"})
	cluster.ControlKey(kmsg.DescribeConfigs.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		return nil, nil, true
	})
	if _, err := a.Configs(within(t, 10*time.Second), []string{"orders"}); Classify(err) != Unreachable {
		t.Errorf("got %v", err)
	}
	if configs, err := a.Configs(within(t, 10*time.Second), []string{"orders"}); err != nil || len(configs) != 1 {
		t.Errorf("the next call: %v, %v", configs, err)
	}
}

func TestRightsThatAreMissing(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.EnableSASL(), kfake.EnableACLs(), kfake.SeedTopics(1, "orders"),
		kfake.User("PLAIN", "alice", secret, kfake.ACL{
			Resource: kmsg.ACLResourceTypeTopic, Name: "orders", Pattern: kmsg.ACLResourcePatternTypeLiteral,
			Operation: kmsg.ACLOperationDescribe, Allow: true,
		}))
	a := adminOf(t, cluster.ListenAddrs()[0], map[string]string{
		"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.jaas.config": jaas(plainModule, "alice", secret),
	})
	ctx := within(t, 10*time.Second)
	if topics, err := a.Topics(ctx); err != nil || len(topics) != 1 {
		t.Fatalf("what may be described: %v, %v", topics, err)
	}
	results, err := a.CreateTopics(ctx, []stream.NewTopic{{Name: "new", Partitions: 1, Factor: 1}})
	if err != nil || Classify(results["new"]) != Authorization {
		t.Errorf("create: %v, %v", results, err)
	}
	if line := Explain(results["new"]); !strings.HasPrefix(line, "not authorized: ") {
		t.Errorf("explained %q", line)
	}
	if _, err := a.Configs(ctx, []string{"orders"}); Classify(err) != Authorization {
		t.Errorf("describe configs: %v", err)
	}
	if err := a.Append(ctx, "orders", []stream.Record{{}}); Classify(err) != Authorization {
		t.Errorf("append: %v", err)
	}
	if err := a.ReadAll(ctx, "orders", false, func(stream.Record) error { return nil }); err != nil && Classify(err) != Authorization {
		t.Errorf("read: %v", err)
	}
}

// Many callers at once, while connections are cut under them, each get an answer of their own.
func TestCallsAtTheSameTime(t *testing.T) {
	cluster, wires := fakeCluster(t, kfake.NumBrokers(3), kfake.SeedTopics(3, "orders"))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	ctx := within(t, 30*time.Second)
	var callers sync.WaitGroup
	for n := range 8 {
		callers.Go(func() {
			for i := range 20 {
				if topics, err := a.Topics(ctx); err != nil && Classify(err) != Unreachable || err == nil && len(topics) != 1 {
					t.Errorf("got %v, %v", topics, err)
				}
				err := a.Append(ctx, "orders", []stream.Record{{Partition: int32(n % 3), Key: fmt.Appendf(nil, "%d-%d", n, i)}})
				if err != nil && Classify(err) == Other {
					t.Errorf("append: %v", err)
				}
				if n == 0 && i%5 == 4 {
					wires.cut()
				}
			}
		})
	}
	callers.Wait()
}

// Brokers that have just started have no producer ids to give.
func TestAppendWaitsForAProducerID(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "log"))
	asked := 0
	cluster.ControlKey(kmsg.InitProducerID.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if asked++; asked > 10 {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
		resp.ErrorCode = kerr.CoordinatorLoadInProgress.Code
		return resp, nil, true
	})
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	if err := a.Append(within(t, 10*time.Second), "log", []stream.Record{{}}); err != nil {
		t.Error(err)
	}
}

// Close leaves none of the libraries' goroutines behind.
func TestCloseEndsEverything(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(2), kfake.SeedTopics(1, "log"))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	ctx := within(t, 10*time.Second)
	if _, err := a.Topics(ctx); err != nil {
		t.Fatal(err)
	}
	if err := a.Append(ctx, "log", []stream.Record{{}}); err != nil {
		t.Fatal(err)
	}
	readAll(t, a, "log", false)
	running := func() string {
		stacks := make([]byte, 1<<20)
		return string(stacks[:runtime.Stack(stacks, true)])
	}
	if !strings.Contains(running(), "asyncProducer") {
		t.Fatal("the producer cannot be seen")
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	for strings.Contains(running(), "asyncProducer") || strings.Contains(running(), "sarama.(*client)") {
		if ctx.Err() != nil {
			t.Fatalf("still running:\n%s", running())
		}
		runtime.Gosched() // connections close in goroutines of their own
	}
}
