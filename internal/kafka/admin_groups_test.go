package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"tandem/internal/stream"
)

// consume joins a group and stays in it until the test ends.
func consume(t *testing.T, cluster *kfake.Cluster, group string, opts ...kgo.Opt) {
	t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.ConsumerGroup(group), kgo.ConsumeTopics("orders"))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	ctx := within(t, time.Minute)
	go client.PollFetches(ctx)
	if _, err := cluster.WaitGroupStable(within(t, 20*time.Second), group, 1); err != nil {
		t.Fatal(err)
	}
}

// commitAs makes a group that only ever committed offsets.
func commitAs(t *testing.T, a *Admin, group string, offsets map[stream.Partition]stream.Committed) {
	t.Helper()
	refused, err := a.CommitOffsets(within(t, 20*time.Second), group, offsets)
	if err != nil || len(refused) > 0 {
		t.Fatalf("commit: %v, refused %v", err, refused)
	}
}

func orders(partition int32) stream.Partition {
	return stream.Partition{Topic: "orders", Number: partition}
}

// counts is how often each request was made.
type counts struct {
	mu   sync.Mutex
	made map[kmsg.Key]int
}

func countRequests(cluster *kfake.Cluster) *counts {
	c := &counts{made: make(map[kmsg.Key]int)}
	cluster.Control(func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.made[kmsg.Key(req.Key())]++
		return nil, nil, false
	})
	return c
}

func (c *counts) of(key kmsg.Key) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.made[key]
}

// A group has its members wherever it is coordinated, and none where there is no such group.
func TestGroupMembers(t *testing.T) {
	cluster, wires := fakeCluster(t, kfake.NumBrokers(3), kfake.SeedTopics(1, "orders"))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	ctx := within(t, 20*time.Second)
	if members, err := a.GroupMembers(ctx, "primary-mm2"); err != nil || len(members) != 0 {
		t.Fatalf("no group: %q, %v", members, err)
	}
	for _, name := range []string{"one", "two"} {
		client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.ConsumerGroup("primary-mm2"), kgo.ConsumeTopics("orders"), kgo.ClientID(name))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		go client.PollFetches(ctx)
	}
	for {
		members, err := a.GroupMembers(ctx, "primary-mm2")
		if err != nil {
			t.Fatal(err)
		}
		if len(members) == 2 && members[0][:3] == "one" && members[1][:3] == "two" && slices.IsSorted(members) {
			break
		}
	}
	wires.cut()
	if members, err := a.GroupMembers(ctx, "another"); err != nil || len(members) != 0 {
		t.Fatalf("another group, after all connections were cut: %q, %v", members, err)
	}
}

func TestGroupsOfBothTypes(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(3), kfake.SeedTopics(1, "orders"))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	consume(t, cluster, "classic-live", kgo.Balancers(kgo.RangeBalancer()))
	consume(t, cluster, "consumer-live", kgo.ServerSideBalancer())
	commitAs(t, a, "offsets-only", map[stream.Partition]stream.Committed{orders(0): {Offset: 1}})

	groups, err := a.Groups(within(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	want := []stream.Group{
		{ID: "classic-live", Type: "classic", State: "Stable"},
		{ID: "consumer-live", Type: "consumer", State: "Stable"},
		{ID: "offsets-only", Type: "classic", State: "Empty"},
	}
	if !slices.Equal(groups, want) {
		t.Errorf("got %v, want %v", groups, want)
	}
	states, err := a.GroupStates(within(t, 10*time.Second), []string{"offsets-only", "nobody", "consumer-live", "nobody"})
	if err != nil {
		t.Fatal(err)
	}
	if want := (map[string]stream.Group{"offsets-only": want[2], "nobody": {ID: "nobody", State: "Dead"}, "consumer-live": want[1]}); !maps.Equal(states, want) {
		t.Errorf("got %v, want %v", states, want)
	}
}

// What a broker lists is told by kind, and nothing but consumer groups comes through.
func TestOnlyConsumerGroupsAreListed(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(1))
	listing := []kmsg.ListGroupsResponseGroup{
		{Group: "g1", ProtocolType: "consumer", GroupState: "Empty", GroupType: "Classic"},
		{Group: "g2", ProtocolType: "consumer", GroupState: "Stable", GroupType: "consumer"},
		{Group: "g3", ProtocolType: "", GroupState: "Empty", GroupType: "classic"},
		{Group: "workers", ProtocolType: "connect", GroupState: "Stable", GroupType: "classic"},
		{Group: "queue", ProtocolType: "share", GroupState: "Stable", GroupType: "share"},
		{Group: "topology", ProtocolType: "streams", GroupState: "Stable", GroupType: "streams"},
		{Group: "g4", ProtocolType: "consumer", GroupState: "Empty", GroupType: "classic"}, // moves: listed twice
		{Group: "g4", ProtocolType: "consumer", GroupState: "Stable", GroupType: "classic"},
		{Group: "g4", ProtocolType: "consumer", GroupState: "Dead", GroupType: "classic"},
	}
	cluster.ControlKey(kmsg.ListGroups.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		resp := req.ResponseKind().(*kmsg.ListGroupsResponse)
		resp.Groups = listing
		return resp, nil, true
	})
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	groups, err := a.Groups(within(t, 10*time.Second))
	if want := "[{g1 classic Empty} {g2 consumer Stable} {g3 classic Empty} {g4 classic Stable}]"; err != nil || fmt.Sprint(groups) != want {
		t.Errorf("got %v, %v, want %s", groups, err, want)
	}
	if states, err := a.GroupStates(within(t, 10*time.Second), []string{"queue"}); err != nil || states["queue"].Type != "share" {
		t.Errorf("got %v, %v", states, err)
	}
}

// Kafka 2.4 lists neither states nor types, finds coordinators and fetches offsets one group at a time.
func TestGroupsOfAnOldCluster(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(2), kfake.SeedTopics(2, "orders"), kfake.MaxVersions(kversion.V2_4_0()))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	consume(t, cluster, "live", kgo.Balancers(kgo.RangeBalancer()))
	commitAs(t, a, "one", map[stream.Partition]stream.Committed{orders(0): {Offset: 10}})
	commitAs(t, a, "two", map[stream.Partition]stream.Committed{orders(1): {Offset: 20, Metadata: "m"}})

	groups, err := a.Groups(within(t, 10*time.Second))
	if want := "[{live  Stable} {one  Empty} {two  Empty}]"; err != nil || fmt.Sprint(groups) != want {
		t.Errorf("got %v, %v, want %s", groups, err, want)
	}
	states, err := a.GroupStates(within(t, 10*time.Second), []string{"live", "one", "nobody"})
	if err != nil || !states["live"].Live() || states["one"].State != "Empty" || states["nobody"].State != "Dead" {
		t.Errorf("got %v, %v", states, err)
	}
	offsets, failed, err := a.GroupOffsets(within(t, 10*time.Second), []string{"one", "two", "nobody"})
	if want := "map[nobody:map[] one:map[orders/0:{10 }] two:map[orders/1:{20 m}]]"; err != nil || len(failed) > 0 || fmt.Sprint(offsets) != want {
		t.Errorf("got %v, %v, %v, want %s", offsets, failed, err, want)
	}
	if err := a.DeleteOffsets(within(t, 10*time.Second), "two", []stream.Partition{orders(1)}); err != nil {
		t.Error(err)
	}

	// A group that moves away between being listed and being described: its state is asked for where it is then.
	cluster.ControlKey(kmsg.DescribeGroups.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		resp := req.ResponseKind().(*kmsg.DescribeGroupsResponse)
		for _, id := range req.(*kmsg.DescribeGroupsRequest).Groups {
			resp.Groups = append(resp.Groups, kmsg.DescribeGroupsResponseGroup{Group: id, ErrorCode: kerr.NotCoordinator.Code})
		}
		return resp, nil, true
	})
	states, err = a.GroupStates(within(t, 10*time.Second), []string{"live", "one", "two"})
	if err != nil || states["live"].State != "Stable" || states["one"].State != "Empty" || states["two"].State != "Empty" {
		t.Errorf("got %v, %v", states, err)
	}
}

// A broker that hangs takes one request's time, however many groups it coordinates.
func TestABrokerThatHangsIsNotAskedForTheRest(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(1))
	a := adminOf(t, cluster.ListenAddrs()[0], map[string]string{"request.timeout.ms": "200"})
	var ids []string
	for i := range 3 * groupsPerRequest {
		ids = append(ids, fmt.Sprint("group-", i))
	}
	var asked atomic.Int32
	cluster.ControlKey(kmsg.OffsetFetch.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		asked.Add(1)
		return nil, nil, true
	})
	offsets, failed, err := a.GroupOffsets(within(t, 20*time.Second), ids)
	if err != nil || len(offsets) > 0 || len(failed) != len(ids) || Classify(failed["group-599"]) != Unreachable {
		t.Errorf("%d answered, %d failed (%v), %v", len(offsets), len(failed), failed["group-599"], err)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// groupAt makes a group whose coordinator is a node.
func groupAt(t *testing.T, cluster *kfake.Cluster, a *Admin, node int32) string {
	t.Helper()
	for i := range 100 {
		id := fmt.Sprint("g", i)
		if cluster.CoordinatorFor(id) == node {
			commitAs(t, a, id, map[stream.Partition]stream.Committed{orders(0): {Offset: int64(i)}})
			return id
		}
	}
	t.Fatalf("no group is coordinated by broker %d", node)
	return ""
}

// A broker that is away hides its groups: the others' are told, and which broker it is. No group is called dead for it.
func TestABrokerThatIsAwayHidesItsGroups(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(3), kfake.SeedTopics(1, "orders"))
	a := adminOf(t, cluster.ListenAddrs()[0], map[string]string{"request.timeout.ms": "300"})
	away, there := groupAt(t, cluster, a, 1), groupAt(t, cluster, a, 2)
	for _, key := range []kmsg.Key{kmsg.ListGroups, kmsg.DescribeGroups, kmsg.ConsumerGroupDescribe, kmsg.OffsetFetch} {
		cluster.ControlKey(key.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
			cluster.KeepControl()
			if cluster.CurrentNode() == 1 {
				return nil, io.EOF, true // closes the connection
			}
			return nil, nil, false
		})
	}
	groups, err := a.Groups(within(t, 20*time.Second))
	if len(groups) != 1 || groups[0].ID != there {
		t.Errorf("groups of the others: %v", groups)
	}
	if Classify(err) != Unreachable || !strings.Contains(err.Error(), "broker 1 at 127.0.0.1:") || strings.Contains(err.Error(), "broker 2") {
		t.Errorf("got %v", err)
	}
	states, err := a.GroupStates(within(t, 20*time.Second), []string{away, there})
	if _, told := states[away]; told || !states[away].Live() || states[there].State != "Empty" {
		t.Errorf("got %v", states)
	}
	if Classify(err) != Unreachable || !strings.Contains(err.Error(), "group "+away+":") {
		t.Errorf("got %v", err)
	}
	offsets, failed, err := a.GroupOffsets(within(t, 20*time.Second), []string{away, there})
	if err != nil || len(offsets) != 1 || len(offsets[there]) != 1 || len(failed) != 1 || Classify(failed[away]) != Unreachable {
		t.Errorf("got %v, %v, %v", offsets, failed, err)
	}
}

// A group on the move may be in no broker's list. Its coordinator knows better, of either type.
func TestAGroupThatNoBrokerLists(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(2), kfake.SeedTopics(1, "orders"))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	consume(t, cluster, "classic", kgo.Balancers(kgo.RangeBalancer()))
	consume(t, cluster, "consumer", kgo.ServerSideBalancer())
	commitAs(t, a, "empty", map[stream.Partition]stream.Committed{orders(0): {Offset: 1}})
	cluster.ControlKey(kmsg.ListGroups.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		return req.ResponseKind(), nil, true
	})
	// As Kafka does: a KIP-848 group is not found among the classic ones.
	cluster.ControlKey(kmsg.DescribeGroups.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if !slices.Equal(req.(*kmsg.DescribeGroupsRequest).Groups, []string{"consumer"}) {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.DescribeGroupsResponse)
		resp.Groups = []kmsg.DescribeGroupsResponseGroup{{Group: "consumer", State: "Dead", ErrorCode: kerr.GroupIDNotFound.Code}}
		return resp, nil, true
	})
	for id, want := range map[string]stream.Group{
		"classic":  {ID: "classic", Type: "classic", State: "Stable"},
		"consumer": {ID: "consumer", Type: "consumer", State: "Stable"},
		"empty":    {ID: "empty", Type: "classic", State: "Empty"},
		"nobody":   {ID: "nobody", State: "Dead"},
	} {
		if states, err := a.GroupStates(within(t, 10*time.Second), []string{id}); err != nil || states[id] != want {
			t.Errorf("got %v, %v, want %v", states, err, want)
		}
	}
}

// Brokers that load groups are asked until they have them, however many tries it takes.
func TestGroupsThatAreBeingLoaded(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(2), kfake.SeedTopics(1, "orders"))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	commitAs(t, a, "g", map[stream.Partition]stream.Committed{orders(0): {Offset: 1}})
	loading := 12
	cluster.ControlKey(kmsg.ListGroups.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if loading--; loading < 0 {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.ListGroupsResponse)
		resp.ErrorCode = kerr.CoordinatorLoadInProgress.Code
		return resp, nil, true
	})
	if groups, err := a.Groups(within(t, 10*time.Second)); err != nil || len(groups) != 1 {
		t.Errorf("got %v, %v", groups, err)
	}
}

// A thousand groups take a few requests.
func TestAThousandGroups(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(3), kfake.SeedTopics(1, "orders"))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	var ids []string
	for i := range 1000 {
		ids = append(ids, fmt.Sprint("group-", i))
		commitAs(t, a, ids[i], map[stream.Partition]stream.Committed{orders(0): {Offset: int64(i)}})
	}
	fresh := adminOf(t, cluster.ListenAddrs()[0], nil)
	made := countRequests(cluster)
	states, err := fresh.GroupStates(within(t, 20*time.Second), ids)
	if err != nil || len(states) != 1000 {
		t.Fatalf("%d states, %v", len(states), err)
	}
	if n := made.of(kmsg.ListGroups); n != 3 || made.of(kmsg.FindCoordinator)+made.of(kmsg.DescribeGroups)+made.of(kmsg.ConsumerGroupDescribe) != 0 {
		t.Errorf("states: %v", made.made)
	}
	offsets, failed, err := fresh.GroupOffsets(within(t, 20*time.Second), ids)
	if err != nil || len(failed) > 0 || len(offsets) != 1000 || offsets["group-77"][orders(0)].Offset != 77 {
		t.Fatalf("%d groups, %v, %v", len(offsets), failed, err)
	}
	if made.of(kmsg.FindCoordinator) != 1 || made.of(kmsg.OffsetFetch) > 1000/groupsPerRequest+3 {
		t.Errorf("offsets: %v", made.made)
	}
}

func TestGroupCallsEnd(t *testing.T) {
	address, _ := unusedAddress(t)
	calls := map[string]func(context.Context, *Admin) error{
		"groups": func(ctx context.Context, a *Admin) error { _, err := a.Groups(ctx); return err },
		"states": func(ctx context.Context, a *Admin) error { _, err := a.GroupStates(ctx, []string{"g"}); return err },
		"offsets": func(ctx context.Context, a *Admin) error {
			_, failed, err := a.GroupOffsets(ctx, []string{"g"})
			if len(failed) != 1 {
				t.Errorf("the group is not among the failed: %v", failed)
			}
			return err
		},
		"commit": func(ctx context.Context, a *Admin) error {
			_, err := a.CommitOffsets(ctx, "g", map[stream.Partition]stream.Committed{orders(0): {}})
			return err
		},
		"delete": func(ctx context.Context, a *Admin) error {
			return a.DeleteOffsets(ctx, "g", []stream.Partition{orders(0)})
		},
		"members": func(ctx context.Context, a *Admin) error { _, err := a.GroupMembers(ctx, "g"); return err },
	}
	hung, _ := fakeCluster(t, kfake.NumBrokers(1))
	for _, key := range []kmsg.Key{kmsg.ListGroups, kmsg.FindCoordinator} {
		hung.ControlKey(key.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
			hung.KeepControl()
			return nil, nil, true
		})
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			ctx := within(t, 20*time.Second)
			if err := call(ctx, adminOf(t, address, map[string]string{"request.timeout.ms": "3600000"})); Classify(err) != Unreachable || ctx.Err() != nil {
				t.Errorf("nobody there: %v", err)
			}
			closed := adminOf(t, address, nil)
			closed.Close()
			if name != "offsets" {
				if err := call(ctx, closed); !errors.Is(err, errClosed) {
					t.Errorf("closed: %v", err)
				}
			}
			ended, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if err := call(ended, adminOf(t, hung.ListenAddrs()[0], map[string]string{"request.timeout.ms": "3600000"})); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a cluster that hangs: %v", err)
			}
		})
	}
}

func TestDeleteGroups(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(2), kfake.SeedTopics(1, "orders"))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	for _, id := range []string{"a", "b", "kept"} {
		if _, err := a.CommitOffsets(t.Context(), id, map[stream.Partition]stream.Committed{orders(0): {Offset: 0}}); err != nil {
			t.Fatal(err)
		}
	}
	refused, err := a.DeleteGroups(t.Context(), []string{"a", "b", "never-was"})
	if err != nil || len(refused) > 0 {
		t.Fatalf("%v, %v", refused, err)
	}
	left, err := a.Groups(t.Context())
	if err != nil || len(left) != 1 || left[0].ID != "kept" {
		t.Fatalf("%v, %v", left, err)
	}
	cluster.ControlKey(kmsg.DeleteGroups.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		resp := req.ResponseKind().(*kmsg.DeleteGroupsResponse)
		g := kmsg.NewDeleteGroupsResponseGroup()
		g.Group, g.ErrorCode = "kept", kerr.NonEmptyGroup.Code
		resp.Groups = append(resp.Groups, g)
		return resp, nil, true
	})
	refused, err = a.DeleteGroups(t.Context(), []string{"kept"})
	if code, ok := stream.CodeOf(refused["kept"]); err != nil || !ok || code != stream.Code(kerr.NonEmptyGroup.Code) {
		t.Fatalf("%v, %v", refused, err)
	}
}
