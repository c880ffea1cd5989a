package kafka

import (
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

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
