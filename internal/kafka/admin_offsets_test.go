package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/stream"
)

// fetched is GroupOffsets of one group that has an answer.
func fetched(t *testing.T, a *Admin, group string) map[stream.Partition]stream.Committed {
	t.Helper()
	offsets, failed, err := a.GroupOffsets(within(t, 20*time.Second), []string{group})
	if err != nil || len(failed) > 0 {
		t.Fatalf("offsets of %s: %v, %v", group, failed, err)
	}
	return offsets[group]
}

// Groups commit, delete and are read at random while their coordinators move; a map per group must agree all the time.
func TestGroupOffsetsAgreeWithAMap(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 11))
	cluster, wires := fakeCluster(t, kfake.NumBrokers(3), kfake.SeedTopics(50, "orders", "payments"))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	want := make(map[string]map[stream.Partition]stream.Committed)
	var ids []string
	for i := range 5 {
		ids = append(ids, fmt.Sprint("group-", i))
		want[ids[i]] = make(map[stream.Partition]stream.Committed)
	}
	partition := func() stream.Partition {
		return stream.Partition{Topic: []string{"orders", "payments"}[random.IntN(2)], Number: random.Int32N(50)}
	}
	for range 150 {
		id := ids[random.IntN(len(ids))]
		switch random.IntN(8) {
		case 0:
			cluster.RehashCoordinators()
		case 1:
			if random.IntN(5) == 0 {
				wires.cut()
			}
		case 2, 3:
			gone := []stream.Partition{partition(), partition(), {Topic: "orders", Number: 5000}}
			gone = append(gone, slices.Collect(maps.Keys(want[id]))[:min(3, len(want[id]))]...)
			if err := a.DeleteOffsets(within(t, 20*time.Second), id, gone); err != nil {
				if code, _ := stream.CodeOf(err); code == stream.CodeGroupIDNotFound && len(want[id]) == 0 {
					continue
				}
				t.Fatal(err)
			}
			for _, p := range gone {
				delete(want[id], p)
			}
		default:
			offsets := make(map[stream.Partition]stream.Committed)
			for range 1 + random.IntN(20) {
				offsets[partition()] = stream.Committed{Offset: random.Int64N(1000), Metadata: []string{"", "m"}[random.IntN(2)]}
			}
			commitAs(t, a, id, offsets)
			maps.Copy(want[id], offsets)
		}
		if random.IntN(4) == 0 {
			got, failed, err := a.GroupOffsets(within(t, 20*time.Second), append(slices.Clone(ids), ids[0]))
			if err != nil || len(failed) > 0 || !reflect.DeepEqual(got, want) {
				t.Fatalf("got %v, %v, %v, want %v", got, failed, err, want)
			}
		}
	}
}

// What goes over the wire for a group without members: no generation, no member, no leader epoch.
func TestACommitSaysNothingThatItDoesNotKnow(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(2, "orders"))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	seen := 0
	cluster.ControlKey(kmsg.OffsetCommit.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		req := kreq.(*kmsg.OffsetCommitRequest)
		if req.Generation != -1 || req.MemberID != "" || req.InstanceID != nil || req.RetentionTimeMillis != -1 || req.Version > groupRequestVersion {
			t.Errorf("version %d, generation %d, member %q, retention %d", req.Version, req.Generation, req.MemberID, req.RetentionTimeMillis)
		}
		for _, topic := range req.Topics {
			for _, p := range topic.Partitions {
				seen++
				if p.LeaderEpoch != -1 || p.Metadata == nil || *p.Metadata != "from A" {
					t.Errorf("%s/%d: leader epoch %d, metadata %v", topic.Topic, p.Partition, p.LeaderEpoch, p.Metadata)
				}
			}
		}
		return nil, nil, false
	})
	commitAs(t, a, "g", map[stream.Partition]stream.Committed{orders(0): {Offset: 5, Metadata: "from A"}, orders(1): {Offset: 6, Metadata: "from A"}})
	if seen != 2 {
		t.Errorf("%d partitions committed, want 2", seen)
	}
	commitAs(t, a, "g", nil) // nothing to say, nothing is sent
	if seen != 2 {
		t.Error("an empty commit was sent")
	}
}

func TestALiveGroupCommitsForItself(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(2), kfake.SeedTopics(1, "orders"))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	consume(t, cluster, "classic", kgo.Balancers(kgo.RangeBalancer()))
	consume(t, cluster, "consumer", kgo.ServerSideBalancer())
	for _, id := range []string{"classic", "consumer"} {
		refused, err := a.CommitOffsets(within(t, 10*time.Second), id, map[stream.Partition]stream.Committed{orders(0): {Offset: 3}})
		if code, ok := stream.CodeOf(err); !ok || code != stream.CodeUnknownMemberID || len(refused) > 0 {
			t.Errorf("%s: %v, %v", id, refused, err)
		}
		err = a.DeleteOffsets(within(t, 10*time.Second), id, []stream.Partition{orders(0)})
		if code, _ := stream.CodeOf(err); code != stream.CodeGroupSubscribedToTopic && code != 68 { // the fake's NON_EMPTY_GROUP
			t.Errorf("%s: %v", id, err)
		}
		if got := fetched(t, a, id); got[orders(0)].Offset == 3 {
			t.Errorf("%s was moved: %v", id, got)
		}
	}
}

// A partition that is not there is refused alone.
func TestACommitToAMissingPartition(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(2), kfake.SeedTopics(1, "orders"))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	missing, other := stream.Partition{Topic: "missing", Number: 0}, orders(8)
	cluster.ControlKey(kmsg.OffsetCommit.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) { // the fake takes them
		req := kreq.(*kmsg.OffsetCommitRequest)
		resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
		for _, t := range req.Topics {
			answer := kmsg.OffsetCommitResponseTopic{Topic: t.Topic}
			for _, p := range t.Partitions {
				code := kerr.UnknownTopicOrPartition.Code
				if t.Topic == "orders" && p.Partition == 0 {
					code = 0
				}
				answer.Partitions = append(answer.Partitions, kmsg.OffsetCommitResponseTopicPartition{Partition: p.Partition, ErrorCode: code})
			}
			resp.Topics = append(resp.Topics, answer)
		}
		return resp, nil, true
	})
	refused, err := a.CommitOffsets(within(t, 10*time.Second), "g", map[stream.Partition]stream.Committed{orders(0): {Offset: 1}, missing: {}, other: {}})
	if err != nil || len(refused) != 2 || Classify(refused[missing]) != UnknownTopic || Classify(refused[other]) != UnknownTopic {
		t.Errorf("got %v, %v", refused, err)
	}
}

// A commit larger than one request goes in parts; what is answered is not sent again when a later part has to be.
func TestALargeCommitGoesInParts(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(2), kfake.SeedTopics(2*partitionsPerRequest+100, "orders"))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	offsets := make(map[stream.Partition]stream.Committed)
	for p := range int32(2*partitionsPerRequest + 100) {
		offsets[orders(p)] = stream.Committed{Offset: int64(p)}
	}
	var sizes []int
	cluster.ControlKey(kmsg.OffsetCommit.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		req := kreq.(*kmsg.OffsetCommitRequest)
		n := 0
		for _, topic := range req.Topics {
			n += len(topic.Partitions)
		}
		if sizes = append(sizes, n); len(sizes) != 2 {
			return nil, nil, false
		}
		return nil, errors.New("cut"), true
	})
	commitAs(t, a, "g", offsets)
	if !slices.Equal(sizes, []int{partitionsPerRequest, partitionsPerRequest, partitionsPerRequest, 100}) {
		t.Errorf("requests of %v partitions", sizes)
	}
	if got := fetched(t, a, "g"); !maps.Equal(got, offsets) {
		t.Errorf("%d offsets read back, want %d", len(got), len(offsets))
	}
}

// A coordinator that has moved, loads, or drops the connection is asked again, more often than any single try would.
func TestCoordinatorsThatMove(t *testing.T) {
	for _, answer := range []*kerr.Error{kerr.NotCoordinator, kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, nil} {
		t.Run(fmt.Sprint(answer), func(t *testing.T) {
			cluster, _ := fakeCluster(t, kfake.NumBrokers(3), kfake.SeedTopics(1, "orders"))
			a := adminOf(t, cluster.ListenAddrs()[0], nil)
			commitAs(t, a, "g", map[stream.Partition]stream.Committed{orders(0): {Offset: 1}})
			left := 0
			fail := func(key kmsg.Key, respond func(kmsg.Request, int16) kmsg.Response) {
				cluster.ControlKey(key.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
					cluster.KeepControl()
					if left--; left < 0 {
						return nil, nil, false
					}
					if answer == nil {
						return nil, errors.New("cut"), true
					}
					return respond(req, answer.Code), nil, true
				})
			}
			fail(kmsg.OffsetFetch, func(req kmsg.Request, code int16) kmsg.Response {
				resp := req.ResponseKind().(*kmsg.OffsetFetchResponse)
				resp.Groups = []kmsg.OffsetFetchResponseGroup{{Group: "g", ErrorCode: code}}
				return resp
			})
			fail(kmsg.OffsetCommit, func(req kmsg.Request, code int16) kmsg.Response {
				resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
				resp.Topics = []kmsg.OffsetCommitResponseTopic{{Topic: "orders", Partitions: []kmsg.OffsetCommitResponseTopicPartition{{ErrorCode: code}}}}
				return resp
			})
			fail(kmsg.OffsetDelete, func(req kmsg.Request, code int16) kmsg.Response {
				resp := req.ResponseKind().(*kmsg.OffsetDeleteResponse)
				resp.ErrorCode = code
				return resp
			})
			fail(kmsg.FindCoordinator, func(req kmsg.Request, code int16) kmsg.Response {
				resp := req.ResponseKind().(*kmsg.FindCoordinatorResponse)
				resp.Coordinators = []kmsg.FindCoordinatorResponseCoordinator{{Key: "g", NodeID: -1, ErrorCode: code}}
				return resp
			})
			left = 9
			if got := fetched(t, a, "g"); got[orders(0)].Offset != 1 {
				t.Errorf("got %v", got)
			}
			left = 9
			commitAs(t, a, "g", map[stream.Partition]stream.Committed{orders(0): {Offset: 2}})
			left = 9
			if err := a.DeleteOffsets(within(t, 10*time.Second), "g", []stream.Partition{orders(0)}); err != nil {
				t.Error(err)
			}
			left = 0
			if got := fetched(t, a, "g"); len(got) != 0 {
				t.Errorf("after the deletion: %v", got)
			}
		})
	}
}

// Patience ends with request.timeout.ms, and then the group's error says what the coordinator said.
func TestACoordinatorThatNeverLoads(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	a := adminOf(t, cluster.ListenAddrs()[0], map[string]string{"request.timeout.ms": "100"})
	cluster.ControlKey(kmsg.OffsetFetch.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		resp := req.ResponseKind().(*kmsg.OffsetFetchResponse)
		resp.Groups = []kmsg.OffsetFetchResponseGroup{{Group: "g", ErrorCode: kerr.CoordinatorLoadInProgress.Code}}
		return resp, nil, true
	})
	offsets, failed, err := a.GroupOffsets(within(t, 10*time.Second), []string{"g"})
	if err != nil || len(offsets) != 0 || Classify(failed["g"]) != Retriable {
		t.Errorf("got %v, %v, %v", offsets, failed, err)
	}
}

// Each group has its own answer.
func TestErrorsByGroup(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	metadata := "m"
	cluster.ControlKey(kmsg.OffsetFetch.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		resp := req.ResponseKind().(*kmsg.OffsetFetchResponse)
		partition := func(number int32, offset int64, code int16) kmsg.OffsetFetchResponseGroupTopicPartition {
			return kmsg.OffsetFetchResponseGroupTopicPartition{Partition: number, Offset: offset, Metadata: &metadata, ErrorCode: code}
		}
		topics := func(p ...kmsg.OffsetFetchResponseGroupTopicPartition) []kmsg.OffsetFetchResponseGroupTopic {
			return []kmsg.OffsetFetchResponseGroupTopic{{Topic: "orders", Partitions: p}}
		}
		resp.Groups = []kmsg.OffsetFetchResponseGroup{
			{Group: "hidden", ErrorCode: kerr.GroupAuthorizationFailed.Code},
			{Group: "gone", ErrorCode: kerr.GroupIDNotFound.Code},
			{Group: "half", Topics: topics(partition(0, 4, 0), partition(1, -1, kerr.TopicAuthorizationFailed.Code))},
			{Group: "fine", Topics: topics(partition(0, 4, 0), partition(1, -1, 0))},
		}
		return resp, nil, true
	})
	offsets, failed, err := a.GroupOffsets(within(t, 10*time.Second), []string{"hidden", "gone", "half", "fine"})
	want := map[string]map[stream.Partition]stream.Committed{"gone": {}, "fine": {orders(0): {Offset: 4, Metadata: "m"}}}
	if err != nil || !reflect.DeepEqual(offsets, want) {
		t.Errorf("got %v, %v, want %v", offsets, err, want)
	}
	if len(failed) != 2 || Classify(failed["hidden"]) != Authorization || Classify(failed["half"]) != Authorization {
		t.Errorf("failed: %v", failed)
	}
}

// Offsets are found by time and at the ends; with the timestamp of what stands there.
func TestOffsetsByTime(t *testing.T) {
	cluster, wires := fakeCluster(t, kfake.NumBrokers(8), kfake.SeedTopics(2, "orders"))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	ctx := within(t, 20*time.Second)
	var records []stream.Record
	for i := range int64(5) {
		records = append(records, stream.Record{Timestamp: time.UnixMilli(1000 + 100*i)})
	}
	for i := range records {
		if err := a.Append(ctx, "orders", records[i:i+1]); err != nil { // a batch each
			t.Fatal(err)
		}
	}
	missing := stream.Partition{Topic: "missing", Number: 1}
	for _, test := range []struct {
		at   int64
		want map[stream.Partition]OffsetTime
	}{
		{stream.Earliest, map[stream.Partition]OffsetTime{orders(0): {}, orders(1): {}}},
		{stream.Latest, map[stream.Partition]OffsetTime{orders(0): {Offset: 5}, orders(1): {}}},
		{1150, map[stream.Partition]OffsetTime{orders(0): {Offset: 2, Time: time.UnixMilli(1200)}, orders(1): {Offset: -1}}},
		{1401, map[stream.Partition]OffsetTime{orders(0): {Offset: -1}, orders(1): {Offset: -1}}},
	} {
		if _, err := a.Groups(ctx); err != nil { // connects to all brokers
			t.Fatal(err)
		}
		wires.cut()
		got, failed, err := a.OffsetTimes(ctx, []stream.Partition{orders(0), missing, orders(1)}, test.at)
		if err != nil || !maps.Equal(got, test.want) || len(failed) != 1 || Classify(failed[missing]) != UnknownTopic {
			t.Errorf("at %d: got %v, %v, %v, want %v", test.at, got, failed, err, test.want)
		}
		plain, _, err := a.Offsets(ctx, []stream.Partition{orders(0)}, test.at)
		if err != nil || plain[orders(0)] != test.want[orders(0)].Offset {
			t.Errorf("at %d: got %v, %v", test.at, plain, err)
		}
	}
	if _, _, err := a.Offsets(ctx, nil, stream.Latest); err != nil {
		t.Error(err)
	}
	a.Close()
	if _, _, err := a.Offsets(ctx, []stream.Partition{orders(0)}, stream.Latest); !errors.Is(err, errClosed) {
		t.Errorf("closed: %v", err)
	}
}

// A context that ends stops the repeating, and what was answered so far is told.
func TestGroupOffsetsUntilTheContextEnds(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(2), kfake.SeedTopics(1, "orders"))
	a := adminOf(t, cluster.ListenAddrs()[0], map[string]string{"request.timeout.ms": "3600000"})
	away, there := groupAt(t, cluster, a, 0), groupAt(t, cluster, a, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	tries := 0
	cluster.ControlKey(kmsg.OffsetFetch.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if cluster.CurrentNode() != 0 {
			return nil, nil, false
		}
		if tries++; tries == 5 {
			cancel()
		}
		return nil, errors.New("cut"), true
	})
	offsets, failed, err := a.GroupOffsets(ctx, []string{away, there})
	if !errors.Is(err, context.Canceled) || len(offsets[there]) != 1 || failed[away] == nil || len(failed) != 1 {
		t.Errorf("got %v, %v, %v", offsets, failed, err)
	}
}
