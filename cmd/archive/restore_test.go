package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"tandem/internal/archive/bundle"
	"tandem/internal/stream"
	"tandem/internal/testkit/embedded"
)

// site is a cluster to restore into.
type site struct {
	t       *testing.T
	cluster *embedded.Cluster
	client  *kgo.Client
}

// onto gives a shelf a cluster B.
func (s *shelf) onto(more ...string) *site {
	s.t.Helper()
	c, err := embedded.Start("target-id", 1)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(c.Bootstrap(), ",")...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(client.Close)
	text, err := os.ReadFile(s.file)
	if err != nil {
		s.t.Fatal(err)
	}
	lines := strings.ReplaceAll(string(text), "B.bootstrap.servers = 127.0.0.1:1", "B.bootstrap.servers = "+c.Bootstrap()) + strings.Join(more, "\n")
	if err := os.WriteFile(s.file, []byte(lines), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return &site{s.t, c, client}
}

// read is all that a topic has, by partition.
func (s *site) read(topic string, partitions int32) [][]*kgo.Record {
	s.t.Helper()
	all := make([][]*kgo.Record, partitions)
	starts := make(map[int32]kgo.Offset)
	for p := range partitions {
		starts[p] = kgo.NewOffset().AtStart()
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(s.cluster.Bootstrap(), ",")...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: starts}))
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	want := int64(0)
	for p := range partitions {
		want += s.end(topic, p)
	}
	for got := int64(0); got < want; {
		fetches := client.PollFetches(s.t.Context())
		if err := fetches.Err(); err != nil {
			s.t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			all[r.Partition] = append(all[r.Partition], r)
			got++
		})
	}
	return all
}

// end is where a partition ends; 0, where there is none.
func (s *site) end(topic string, partition int32) int64 {
	s.t.Helper()
	req := kmsg.NewPtrListOffsetsRequest()
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.Timestamp = partition, -1
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(context.Background(), s.client.SeedBrokers()[0]) // the only one; what it does not know now it may know soon
	if err != nil {
		s.t.Error(err)
		return 0
	}
	return max(resp.Topics[0].Partitions[0].Offset, 0)
}

func (s *site) write(topic string, partition int32, n int) {
	s.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(s.cluster.Bootstrap(), ",")...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	for i := range n {
		r := &kgo.Record{Topic: topic, Partition: partition, Value: fmt.Appendf(nil, "%d", i)}
		if err := client.ProduceSync(s.t.Context(), r).FirstErr(); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *site) commit(group, topic string, partition int32, offset int64) {
	s.t.Helper()
	req := kmsg.NewPtrOffsetCommitRequest()
	t, p := kmsg.NewOffsetCommitRequestTopic(), kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset = partition, offset
	t.Topic, t.Partitions = topic, append(t.Partitions, p)
	req.Group, req.Generation, req.Topics = group, -1, append(req.Topics, t)
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(s.cluster.Bootstrap(), ",")...), kgo.MaxVersions(kversion.V3_8_0())) // by topic names
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	resp, err := req.RequestWith(s.t.Context(), client)
	if err != nil || resp.Topics[0].Partitions[0].ErrorCode != 0 {
		s.t.Fatal(err, resp)
	}
}

func (s *site) committed(group, topic string) map[int32]int64 {
	s.t.Helper()
	req := kmsg.NewPtrOffsetFetchRequest()
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	req.Groups, req.Group = append(req.Groups, g), group
	resp, err := req.RequestWith(s.t.Context(), s.client)
	if err != nil {
		s.t.Fatal(err)
	}
	at := make(map[int32]int64)
	for _, g := range resp.Groups {
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				if t.Topic == topic {
					at[p.Partition] = p.Offset
				}
			}
		}
	}
	return at
}

// Records that the topic would delete at once stop a restore before anything is done; kept, they come back with their group, once.
func TestRestoreOfOldRecords(t *testing.T) {
	s := newShelf(t)
	s.days(3)
	b := s.onto()
	must(t, 1, "would delete records at once", "restore", s.file, "--to", "B", "--yes")
	must(t, 0, `"leastTimestamp"`, "restore", s.file, "--to", "B", "--keep-old", "--dry-run", "--json")
	if len(s.objects("v1/A/restores/")) > 0 {
		t.Fatal("something was noted, and nothing done")
	}
	must(t, 1, "add --yes", "restore", s.file, "--to", "B", "--keep-old")
	must(t, 0, "Restored 60 records", "restore", s.file, "--to", "B", "--keep-old", "--yes")
	for p, records := range b.read("orders", 2) {
		if len(records) != 30 {
			t.Errorf("partition %d has %d records", p, len(records))
		}
	}
	if at := b.committed("billing", "orders"); at[0] != 7 {
		t.Errorf("the group stands at %v", at)
	}
	must(t, 0, "nothing was written", "restore", s.file, "--to", "B", "--keep-old", "--yes")
	must(t, 1, "topic orders is there already", "restore", s.file, "--to", "B", "--keep-old", "--yes", "--again")
	must(t, 1, "groups keep positions of their own", "restore", s.file, "--to", "B", "--keep-old", "--yes", "--append", "--groups", "other|billing")
	must(t, 0, "nothing was written", "restore", s.file, "--to", "B", "--keep-old", "--yes", "--append", "--groups", "other|billing")
	if at := b.committed("billing", "orders"); at[0] != 7 {
		t.Errorf("the group was moved to %v", at)
	}
	if n := b.end("orders", 1); n != 60 {
		t.Errorf("twice 30 records are %d", n)
	}
}

func TestRestoreUntil(t *testing.T) {
	s := newShelf(t)
	s.days(4)
	b := s.onto()
	at := time.Now().Add(-26 * time.Hour).UTC().Format(time.RFC3339) // before the bundle of yesterday
	must(t, 0, "Restored 40 records", "restore", s.file, "--to", "B", "--keep-old", "--yes", "--until", at)
	must(t, 0, "Restored 40 records", "restore", s.file, "--to", "B", "--keep-old", "--yes", "--until", at, "--clock", "archive", "--rename", "orders=second")
	must(t, 0, "Restored 20 records", "restore", s.file, "--to", "B", "--keep-old", "--yes", "--until", at, "--partitions", "1", "--rename-prefix", "third-")
	must(t, 0, "Restored 40 records", "restore", s.file, "--to", "B", "--keep-old", "--yes", "--from", at, "--rename-prefix", "late-")
	if n := b.end("third-orders", 0) + b.end("second", 1); n != 20 {
		t.Errorf("%d records", n)
	}
}

// A group that lives on the target is left alone and named; the records are there all the same.
func TestRestoreLeavesLiveGroups(t *testing.T) {
	s := newShelf(t)
	s.bundle(time.Now().Add(-time.Minute), []int32{0, 1}, bundle.TopicCreated{Topic: ordersTopic, Partitions: 2, Factor: 1, Found: true},
		bundle.GroupOffsets{Group: "billing", Whole: true, Offsets: []bundle.GroupOffset{{Topic: "orders", Offset: 7}}},
		bundle.GroupOffsets{Group: "audit", Whole: true, Offsets: []bundle.GroupOffset{{Topic: "orders", Partition: 1, Offset: 99, Metadata: "m"}}})
	b := s.onto()
	create(t, b, "other")
	joined := make(chan struct{})
	member, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(b.cluster.Bootstrap(), ",")...), kgo.ConsumerGroup("billing"), kgo.ConsumeTopics("other"),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { close(joined) }))
	if err != nil {
		t.Fatal(err)
	}
	defer member.Close()
	go member.PollFetches(t.Context())
	<-joined
	r := must(t, 1, "Left alone: group billing: it has members", "restore", s.file, "--to", "B", "--yes")
	if !strings.Contains(r.out, "Restored 20 records") || !strings.Contains(r.out, "audit in orders/1 is set to the end: it was at 99") {
		t.Error(r.out)
	}
	if at := b.committed("audit", "orders"); at[1] != 10 {
		t.Errorf("the other group stands at %v", at)
	}
	if at := b.committed("billing", "orders"); len(at) > 0 {
		t.Errorf("the live group stands at %v", at)
	}
	// Run again it deals with that group alone, once it is empty: the other one goes its way, and so do writers.
	must(t, 1, "Left alone: group billing: it has members", "restore", s.file, "--to", "B", "--yes")
	b.commit("audit", "orders", 1, 3)
	b.write("orders", 0, 2)
	if err := member.LeaveGroupContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	r = must(t, 0, "Positions of 2 groups", "restore", s.file, "--to", "B", "--yes")
	if !strings.Contains(r.out, "Restored 20 records into B.\n") {
		t.Error(r.out)
	}
	if billing, audit := b.committed("billing", "orders"), b.committed("audit", "orders"); billing[0] != 7 || audit[1] != 3 {
		t.Errorf("the groups stand at %v and %v", billing, audit)
	}
	must(t, 0, "(20 records, 2 groups); nothing was written", "restore", s.file, "--to", "B", "--yes")
}

func TestRestoreFlags(t *testing.T) {
	s := newShelf(t)
	s.days(1)
	s.onto()
	for _, c := range []struct {
		status int
		words  string
		args   string
	}{
		{2, "into which cluster", ""},
		{2, "no such cluster", "--to C"},
		{2, "2026-11-20T14:05:00Z", "--to B --until 2026-11-20_14:05"},
		{2, "record or archive", "--to B --clock wall"},
		{2, "a moment of its own", "--to B --point x --until 2026-11-20T14:05:00Z"},
		{2, "contradict", "--to B --append --missing-only"},
		{2, "contradict", "--to B --groups x --no-groups"},
		{2, "A=B is wanted", "--to B --rename x"},
		{2, "into y and into z", "--to B --rename x=y --rename x=z"},
		{2, "--topics", "--to B --topics ["},
		{2, "bytes per second are wanted", "--to B --throttle 20MB"},
		{2, "bytes per second are wanted", "--to B --throttle 0"},
		{1, "no point", "--to B --point x"},
		{1, "nothing of what is asked for", "--to B --topics nothing"},
		{2, "127.0.0.1:1", "--to A"},
	} {
		must(t, c.status, c.words, append([]string{"restore", s.file}, strings.Fields(c.args)...)...)
	}
}

// Stopped at any time and run again: the target has what one clean run writes, and the broker is none that knows producers.
func TestRestoreIsStoppedAnywhere(t *testing.T) {
	s := newShelf(t)
	s.bundle(time.Now().Add(-time.Hour), []int32{0, 1}, bundle.TopicCreated{Topic: ordersTopic, Partitions: 2, Factor: 1, Found: true})
	for range 40 {
		s.bundle(time.Now().Add(-time.Minute), []int32{0, 1, 0, 0})
	}
	b := s.onto()
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	stopped := 0
	for round := range 2 {
		into := fmt.Sprintf("round%d-", round)
		args := []string{"restore", s.file, "--to", "B", "--yes", "--rename-prefix", into, "--throttle", "12KiB"}
		for {
			ctx, stop := context.WithCancel(t.Context())
			go func() { // until so many records more are there, or at once
				more := random.Int64N(250)
				for began := b.end(into+"orders", 0); ctx.Err() == nil; <-time.After(2 * time.Millisecond) {
					if more < 50 || b.end(into+"orders", 0) >= began+more {
						stop()
					}
				}
			}()
			var out bytes.Buffer
			status := run(ctx, args, strings.NewReader(""), &out, &out)
			by := ctx.Err()
			stop()
			if status == 0 {
				break
			}
			stopped++
			if by == nil {
				t.Fatal(out.String())
			}
		}
		for p, want := range map[int32]int64{0: int64(s.next[0]), 1: int64(s.next[1])} {
			if got := b.end(into+"orders", p); got != want {
				t.Errorf("partition %d has %d records, want %d", p, got, want)
			}
		}
	}
	t.Logf("stopped %d times", stopped)
}

// Somebody writes into a topic that is being restored. It cannot go on, and says so until the topic is gone and it may begin anew.
func TestRestoreSeesOthers(t *testing.T) {
	s := newShelf(t)
	for range 20 {
		s.bundle(time.Now().Add(-time.Minute), []int32{0})
	}
	b := s.onto()
	args := []string{"restore", s.file, "--to", "B", "--yes"}
	slow := append(slices.Clone(args), "--throttle", "300") // a chunk has as many bytes: it takes 20 s, if nobody writes
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, slow, strings.NewReader(""), &bytes.Buffer{}, &bytes.Buffer{}) }()
	for tick := time.Tick(5 * time.Millisecond); b.end("orders", 0) < 10; {
		<-tick
	}
	b.write("orders", 0, 3)
	status := -1
	select {
	case status = <-ended:
	case <-time.After(time.Minute):
	}
	stop()
	if status != 1 {
		t.Fatalf("it ended with %d", status)
	}
	must(t, 1, "somebody else writes to orders/0", args...)
	must(t, 1, "topic orders is there already", append(args, "--again")...)
	remove(t, b, "orders")
	must(t, 1, "is no longer there; begin anew with --again", args...)
	must(t, 0, "Restored 200 records", append(args, "--again")...)
	must(t, 0, "nothing was written", args...)
}

// A topic that was made anew while its restore was away is not gone on with.
func TestRestoreSeesAnotherTopic(t *testing.T) {
	s := newShelf(t)
	for range 20 {
		s.bundle(time.Now().Add(-time.Minute), []int32{0})
	}
	b := s.onto()
	args := []string{"restore", s.file, "--to", "B", "--yes"}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, append(slices.Clone(args), "--throttle", "300"), strings.NewReader(""), &bytes.Buffer{}, &bytes.Buffer{})
	}()
	for tick := time.Tick(5 * time.Millisecond); b.end("orders", 0) < 10; {
		<-tick
	}
	stop()
	<-ended
	remove(t, b, "orders")
	create(t, b, "orders")
	must(t, 1, "was deleted and made anew", args...)
}

func remove(t *testing.T, s *site, topic string) {
	t.Helper()
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TopicNames = []string{topic}
	one := kmsg.NewDeleteTopicsRequestTopic()
	one.Topic = &topic
	req.Topics = append(req.Topics, one)
	resp, err := req.RequestWith(t.Context(), s.client)
	if err != nil || resp.Topics[0].ErrorCode != 0 {
		t.Fatal(err, resp)
	}
}

// A chunk that cannot be read stops a restore, which names the offsets, or is left out for good.
func TestRestoreWithoutAChunk(t *testing.T) {
	s := newShelf(t)
	var names []string
	for range 5 {
		names = append(names, s.bundle(time.Now().Add(-time.Minute), []int32{0}))
	}
	b := s.onto()
	path := filepath.Join(s.dir, filepath.FromSlash(names[2]))
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[bytes.Index(text, rawBatch(20, 10, time.Time{})[:8])+70] ^= 1 // inside of its batch
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, 1, "20", "restore", s.file, "--to", "B", "--yes")
	must(t, 0, "Left out: offsets 20 to 29 of orders/0", "restore", s.file, "--to", "B", "--yes", "--allow-holes")
	if n := b.end("orders", 0); n != 40 {
		t.Errorf("%d records", n)
	}
	must(t, 0, "nothing was written", "restore", s.file, "--to", "B", "--yes")
}

// What a remote topic lacks at its end comes from the archive, by the map that the archive keeps.
func TestRestoreOfWhatIsMissing(t *testing.T) {
	s := newShelf(t)
	runs := bundle.Runs{Source: ordersTopic, Remote: stream.Partition{Topic: "A.orders"}, Runs: []stream.Run{{Up: 0, Down: 0, Count: 14}}}
	s.bundle(time.Now().Add(-time.Minute), []int32{0}, bundle.TopicCreated{Topic: ordersTopic, Partitions: 1, Factor: 1, Found: true})
	s.bundle(time.Now().Add(-time.Minute), []int32{0}, runs)
	s.bundle(time.Now().Add(-time.Minute), []int32{0})
	b := s.onto()
	args := []string{"restore", s.file, "--to", "B", "--yes", "--missing-only", "--rename-prefix"}
	must(t, 0, "Restored 30 records", append(args, "fresh.")...)
	create(t, b, "A.orders", "unknown.orders")
	b.write("A.orders", 0, 14)
	b.write("unknown.orders", 0, 14)
	must(t, 1, "says exactly which record", append(args, "unknown.")...)
	must(t, 0, "Restored 16 records", append(args, "A.")...)
	records := b.read("A.orders", 1)[0]
	if len(records) != 30 || string(records[13].Value) != "13" || string(records[14].Value) != "x" {
		t.Errorf("%d records, %s behind %s", len(records), records[14].Value, records[13].Value)
	}
	must(t, 0, "nothing was written", append(args, "A.")...)
}

func create(t *testing.T, s *site, topics ...string) {
	t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	for _, name := range topics {
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 1, 1
		req.Topics = append(req.Topics, topic)
	}
	resp, err := req.RequestWith(t.Context(), s.client)
	if err != nil || slices.ContainsFunc(resp.Topics, func(t kmsg.CreateTopicsResponseTopic) bool { return t.ErrorCode != 0 }) {
		t.Fatal(err, resp)
	}
}
