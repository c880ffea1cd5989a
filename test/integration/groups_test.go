package integration

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/kafka"
	"tandem/internal/stream"
)

// admin is Tandem's own control plane of a cluster.
func (s side) admin() *kafka.Admin {
	s.t.Helper()
	client, err := kafka.Parse(map[string]string{"bootstrap.servers": s.Direct})
	if err != nil {
		s.t.Fatal(err)
	}
	a := kafka.NewAdmin(client)
	s.t.Cleanup(func() { a.Close() })
	return a
}

func patient(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// member joins a group and polls until it is stopped.
func (s side) member(topic string, opts ...kgo.Opt) (stop func()) {
	s.t.Helper()
	client := s.newClient(append([]kgo.Opt{kgo.ConsumeTopics(topic)}, opts...)...)
	ctx, cancel := context.WithCancel(s.t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			client.PollFetches(ctx)
		}
	})
	return func() {
		cancel()
		done.Wait()
		client.Close()
	}
}

// inState is a condition: the group is listed with this type and state, and a question for its state says the same.
func inState(ctx context.Context, a *kafka.Admin, want stream.Group) func() error {
	return func() error {
		groups, err := a.Groups(ctx)
		if err != nil {
			return err
		}
		states, err := a.GroupStates(ctx, []string{want.ID})
		if err != nil {
			return err
		}
		if !slices.Contains(groups, want) || states[want.ID] != want {
			return fmt.Errorf("%s is %v, want %v", want.ID, states[want.ID], want)
		}
		return nil
	}
}

// rawOffsets is what the broker has for a group, leader epochs and all.
func (s side) rawOffsets(group string) map[string]string {
	s.t.Helper()
	request := kmsg.NewPtrOffsetFetchRequest()
	asked := kmsg.NewOffsetFetchRequestGroup()
	asked.Group = group
	request.Groups = append(request.Groups, asked)
	response, err := request.RequestWith(s.t.Context(), s.client)
	if err == nil {
		err = kerr.ErrorForCode(response.Groups[0].ErrorCode)
	}
	if err != nil {
		s.t.Fatalf("fetch offsets of %s: %v", group, err)
	}
	offsets := make(map[string]string)
	for _, topic := range response.Groups[0].Topics {
		for _, p := range topic.Partitions {
			offsets[fmt.Sprintf("%s/%d", topic.Topic, p.Partition)] = fmt.Sprintf("%d, leader epoch %d, %q", p.Offset, p.LeaderEpoch, *p.Metadata)
		}
	}
	return offsets
}

// Groups of both protocols: with members their offsets are theirs, without they can be moved, and undone.
func TestGroupOffsets(t *testing.T) {
	_, b := clusters(t)
	const topic = "groups-orders"
	b.create(topic, 2, 1, nil)
	a, ctx := b.admin(), patient(t)
	zero, one := stream.Partition{Topic: topic, Number: 0}, stream.Partition{Topic: topic, Number: 1}
	for kind, protocol := range map[string]kgo.Opt{"classic": kgo.Balancers(kgo.RangeBalancer()), "consumer": kgo.ServerSideBalancer()} {
		t.Run(kind, func(t *testing.T) {
			group := "groups-" + kind
			leave := b.member(topic, kgo.ConsumerGroup(group), kgo.DisableAutoCommit(), protocol)
			eventually(t, "a live group", inState(ctx, a, stream.Group{ID: group, Type: kind, State: "Stable"}))

			refused, err := a.CommitOffsets(ctx, group, map[stream.Partition]stream.Committed{zero: {Offset: 7}})
			if code, _ := stream.CodeOf(err); code != stream.CodeUnknownMemberID {
				t.Errorf("commit to a live group: %v, %v", refused, err)
			}
			err = a.DeleteOffsets(ctx, group, []stream.Partition{zero})
			if code, _ := stream.CodeOf(err); code != stream.CodeGroupSubscribedToTopic {
				t.Errorf("delete offsets of a live group: %v", err)
			}
			leave()
			eventually(t, "an empty group", inState(ctx, a, stream.Group{ID: group, Type: kind, State: "Empty"}))

			missing, high := stream.Partition{Topic: "groups-missing"}, stream.Partition{Topic: topic, Number: 9}
			refused, err = a.CommitOffsets(ctx, group, map[stream.Partition]stream.Committed{
				zero: {Offset: 7, Metadata: "from A"}, one: {Offset: 0}, missing: {Offset: 1}, high: {Offset: 1}})
			if err != nil || len(refused) != 2 || kafka.Classify(refused[missing]) != kafka.UnknownTopic || kafka.Classify(refused[high]) != kafka.UnknownTopic {
				t.Fatalf("commit: %v, %v", refused, err)
			}
			wantRaw := map[string]string{zero.String(): `7, leader epoch -1, "from A"`, one.String(): `0, leader epoch -1, ""`}
			if got := b.rawOffsets(group); !maps.Equal(got, wantRaw) {
				t.Errorf("got %v, want %v", got, wantRaw)
			}
			offsets, failed, err := a.GroupOffsets(ctx, []string{group, "groups-nobody"})
			want := map[stream.Partition]stream.Committed{zero: {Offset: 7, Metadata: "from A"}, one: {}}
			if err != nil || len(failed) > 0 || !maps.Equal(offsets[group], want) || offsets["groups-nobody"] == nil || len(offsets["groups-nobody"]) > 0 {
				t.Errorf("read back %v, %v, %v", offsets, failed, err)
			}
			if err := a.DeleteOffsets(ctx, group, []stream.Partition{zero, missing, high}); err != nil {
				t.Error(err)
			}
			if got := b.rawOffsets(group); len(got) != 1 || got[one.String()] == "" {
				t.Errorf("after the deletion: %v", got)
			}
		})
	}
}

// What a broker says of groups that are not consumer groups, or not there at all.
func TestGroupsThatAreNotConsumers(t *testing.T) {
	_, b := clusters(t)
	const topic = "groups-queue"
	b.create(topic, 1, 1, nil)
	a, ctx := b.admin(), patient(t)
	leave := b.member(topic, kgo.ShareGroup("groups-share"))
	defer leave()
	eventually(t, "a share group", func() error {
		states, err := a.GroupStates(ctx, []string{"groups-share"})
		if err == nil && states["groups-share"] != (stream.Group{ID: "groups-share", Type: "share", State: "Stable"}) {
			err = fmt.Errorf("it is %v", states["groups-share"])
		}
		return err
	})
	groups, err := a.Groups(ctx)
	if err != nil || slices.ContainsFunc(groups, func(g stream.Group) bool { return g.ID == "groups-share" }) {
		t.Errorf("listed as a consumer group: %v, %v", groups, err)
	}
	committed := map[stream.Partition]stream.Committed{{Topic: topic}: {}}
	_, err = a.CommitOffsets(ctx, "groups-share", committed)
	if code, _ := stream.CodeOf(err); code != stream.CodeGroupIDNotFound {
		t.Errorf("commit to a share group: %v", err)
	}
	if states, err := a.GroupStates(ctx, []string{"groups-nobody"}); err != nil || states["groups-nobody"] != (stream.Group{ID: "groups-nobody", State: "Dead"}) {
		t.Errorf("a group that is not there: %v, %v", states, err)
	}
	err = a.DeleteOffsets(ctx, "groups-nobody", []stream.Partition{{Topic: topic}})
	if code, _ := stream.CodeOf(err); code != stream.CodeGroupIDNotFound {
		t.Errorf("delete offsets of a group that is not there: %v", err)
	}
}

// A live KIP-848 group, described as a classic one, is not found: what GroupStates asks besides, for a group that no broker
// lists, rests on this.
func TestHowBrokersDescribeGroups(t *testing.T) {
	_, b := clusters(t)
	const topic, group = "groups-described", "groups-described"
	b.create(topic, 1, 1, nil)
	leave := b.member(topic, kgo.ConsumerGroup(group), kgo.ServerSideBalancer())
	defer leave()
	eventually(t, "a live group", inState(patient(t), b.admin(), stream.Group{ID: group, Type: "consumer", State: "Stable"}))
	classic := kmsg.NewPtrDescribeGroupsRequest()
	classic.Groups = []string{group}
	asClassic, err := classic.RequestWith(t.Context(), b.client)
	if err != nil || asClassic.Groups[0].ErrorCode != kerr.GroupIDNotFound.Code || asClassic.Groups[0].State != "Dead" {
		t.Errorf("as a classic group: %+v, %v", asClassic.Groups, err)
	}
	consumer := kmsg.NewPtrConsumerGroupDescribeRequest()
	consumer.Groups = []string{group, "groups-nobody"}
	asConsumer, err := consumer.RequestWith(t.Context(), b.client)
	if err != nil || asConsumer.Groups[0].State != "Stable" || asConsumer.Groups[1].ErrorCode != kerr.GroupIDNotFound.Code {
		t.Errorf("as a consumer group: %+v, %v", asConsumer.Groups, err)
	}
}

// A thousand groups by fifty partitions are written, and read back as they were.
func TestAThousandGroups(t *testing.T) {
	_, b := clusters(t)
	const topic, groups, partitions = "groups-thousand", 1000, 50
	b.create(topic, partitions, 1, nil)
	a, ctx := b.admin(), patient(t)
	ids := make([]string, groups)
	want := make(map[string]map[stream.Partition]stream.Committed, groups)
	for i := range ids {
		ids[i] = fmt.Sprintf("groups-thousand-%d", i)
		want[ids[i]] = make(map[stream.Partition]stream.Committed, partitions)
		for p := range int32(partitions) {
			want[ids[i]][stream.Partition{Topic: topic, Number: p}] = stream.Committed{Offset: int64(i)*100 + int64(p)}
		}
	}
	start := time.Now()
	work := make(chan string)
	var writers sync.WaitGroup
	for range 16 {
		writers.Go(func() {
			for id := range work {
				if refused, err := a.CommitOffsets(ctx, id, want[id]); err != nil || len(refused) > 0 {
					t.Errorf("commit: %v, %v", refused, err)
				}
			}
		})
	}
	for _, id := range ids {
		work <- id
	}
	close(work)
	writers.Wait()
	t.Logf("committed in %v", time.Since(start))

	start = time.Now()
	got, failed, err := a.GroupOffsets(ctx, ids)
	t.Logf("fetched in %v", time.Since(start))
	if err != nil || len(failed) > 0 || len(got) != groups {
		t.Fatalf("%d groups, %v, %v", len(got), failed, err)
	}
	for _, id := range ids {
		if !maps.Equal(got[id], want[id]) {
			t.Errorf("%s: got %v, want %v", id, got[id], want[id])
		}
	}
	start = time.Now()
	states, err := a.GroupStates(ctx, ids)
	t.Logf("states in %v", time.Since(start))
	if err != nil || len(states) != groups || slices.ContainsFunc(ids, func(id string) bool { return states[id].State != "Empty" }) {
		t.Errorf("%d states, %v", len(states), err)
	}
}

// Records of a compacted topic are found where Append said they stand, until compaction takes them.
func TestRecordsByOffset(t *testing.T) {
	_, b := clusters(t)
	const topic = "groups-records"
	b.create(topic, 1, 1, map[string]string{"cleanup.policy": "compact", "segment.ms": "1000", "min.cleanable.dirty.ratio": "0.01"})
	a, ctx := b.admin(), patient(t)
	records := make([]stream.Record, 100)
	for i := range records {
		records[i] = stream.Record{Key: fmt.Appendf(nil, "key-%d", i%10), Value: fmt.Appendf(nil, "%d", i), Timestamp: time.UnixMilli(1_700_000_000_000 + int64(i))}
	}
	if err := a.Append(ctx, topic, records); err != nil {
		t.Fatal(err)
	}
	for i, r := range records {
		if got, err := a.ReadAt(ctx, topic, 0, r.Offset); err != nil || r.Offset != int64(i) || string(got.Value) != fmt.Sprint(i) {
			t.Fatalf("record %d at %d: %+v, %v", i, r.Offset, got, err)
		}
	}
	middle, _, err := a.OffsetTimes(ctx, []stream.Partition{{Topic: topic}}, 1_700_000_000_050)
	if found := middle[stream.Partition{Topic: topic}]; err != nil || found.Offset != 50 || found.Time.UnixMilli() != 1_700_000_000_050 {
		t.Errorf("by time: %v, %v", middle, err)
	}
	eventually(t, "the first record to be gone", func() error {
		more := []stream.Record{{Key: []byte("key-0"), Value: []byte("later")}} // rolls the segment; what is active is not compacted
		if err := a.Append(ctx, topic, more); err != nil {
			return err
		}
		if got, err := a.ReadAt(ctx, topic, 0, more[0].Offset); err != nil || string(got.Value) != "later" {
			t.Fatalf("at %d: %+v, %v", more[0].Offset, got, err)
		}
		if got, err := a.ReadAt(ctx, topic, 0, 0); err == nil {
			return fmt.Errorf("it is there: %s", got.Value)
		} else if _, err := a.ReadAt(ctx, topic, 0, 99); err != nil {
			t.Fatalf("the newest of its key: %v", err)
		}
		return nil
	})
	next, err := a.ReadFrom(ctx, topic, 0, 50, true, func(r stream.Record) error {
		if r.Offset < 50 {
			t.Errorf("got %d", r.Offset)
		}
		return nil
	})
	if ends, _ := b.ends(topic); err != nil || next != ends[0] {
		t.Errorf("read up to %d of %v, %v", next, ends, err)
	}
}
