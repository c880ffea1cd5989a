package kafka

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/stream"
)

// readAll collects a topic.
func readAll(t *testing.T, a *Admin, topic string, committed bool) []stream.Record {
	t.Helper()
	var records []stream.Record
	err := a.ReadAll(within(t, 20*time.Second), topic, committed, func(r stream.Record) error {
		records = append(records, r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// transcript writes records one a line: partition, offset, key, value, timestamp.
func transcript(records []stream.Record) string {
	text := func(b []byte) string {
		if b == nil {
			return "null"
		}
		return fmt.Sprintf("%q", b)
	}
	var s strings.Builder
	for _, r := range records {
		fmt.Fprintf(&s, "%d %d %s %s %d\n", r.Partition, r.Offset, text(r.Key), text(r.Value), r.Timestamp.UnixMilli())
	}
	return s.String()
}

func TestAppendedRecordsAreReadBack(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(2), kfake.SeedTopics(3, "positions"))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	at := func(ms int64) time.Time { return time.UnixMilli(ms) }
	err := a.Append(within(t, 10*time.Second), "positions", []stream.Record{
		{Partition: 2, Key: []byte("k"), Value: []byte("v"), Timestamp: at(5000)},
		{Partition: 0, Key: []byte("k"), Value: nil, Timestamp: at(4000)},
		{Partition: 2, Key: nil, Value: []byte{}, Timestamp: at(3000)}, // older than the one before
		{Partition: 2, Key: []byte{}, Value: []byte("w"), Timestamp: at(6000)},
	})
	if err != nil {
		t.Fatal(err)
	}
	records := readAll(t, a, "positions", true)
	slices.SortStableFunc(records, func(x, y stream.Record) int { return int(x.Partition - y.Partition) })
	want := `0 0 "k" null 4000
2 0 "k" "v" 5000
2 1 null "" 3000
2 2 "" "w" 6000
`
	if got := transcript(records); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestAZeroTimestampIsNow(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "log"))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	before := time.Now().Truncate(time.Millisecond)
	if err := a.Append(within(t, 10*time.Second), "log", []stream.Record{{Key: []byte("k")}}); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, a, "log", false)[0].Timestamp; got.Before(before) || got.After(time.Now()) {
		t.Errorf("got %v, appended after %v", got, before)
	}
}

func TestManyRecordsKeepTheirOrder(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(2), kfake.SeedTopics(2, "log"))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	const count = 4*appendChunk + 7
	records := make([]stream.Record, count)
	for i := range records {
		records[i] = stream.Record{Partition: int32(i % 2), Key: fmt.Appendf(nil, "%d", i), Value: make([]byte, 700)} // more than one fetch
	}
	if err := a.Append(within(t, 20*time.Second), "log", records); err != nil {
		t.Fatal(err)
	}
	next := map[int32]int{0: 0, 1: 1}
	for _, r := range readAll(t, a, "log", false) {
		if want := fmt.Sprint(next[r.Partition]); string(r.Key) != want {
			t.Fatalf("partition %d has %s at %d, want %s", r.Partition, r.Key, r.Offset, want)
		}
		next[r.Partition] += 2
	}
	if next[0]+next[1] != 2*count+1 {
		t.Errorf("read up to %v of %d", next, count)
	}
}

// Every record is written once, although answers are lost: the broker recognises a batch that is sent again.
func TestLostAnswersMakeNoDuplicates(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "log"))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	if err := a.Append(within(t, 10*time.Second), "log", []stream.Record{{Key: []byte("0")}}); err != nil {
		t.Fatal(err)
	}
	ids := make(map[int64]bool)
	cluster.ControlKey(kmsg.Produce.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		for _, topic := range req.(*kmsg.ProduceRequest).Topics {
			for _, p := range topic.Partitions {
				var batch kmsg.RecordBatch
				if err := batch.ReadFrom(p.Records); err != nil {
					t.Error(err)
				}
				ids[batch.ProducerID] = true
			}
		}
		if acks := req.(*kmsg.ProduceRequest).Acks; acks != -1 {
			t.Errorf("acks %d, want all", acks)
		}
		return nil, nil, false
	})
	for i := 1; i < 5; i++ {
		if err := a.Append(within(t, 10*time.Second), "log", []stream.Record{{Key: fmt.Appendf(nil, "%d", i)}}); err != nil {
			t.Fatal(err)
		}
	}
	if len(ids) != 1 || ids[-1] {
		t.Errorf("producer ids %v, want one that is valid", ids)
	}
}

func TestAppendWithoutTheRightToBeIdempotent(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "log"))
	asked := 0
	cluster.ControlKey(kmsg.InitProducerID.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		asked++
		resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
		resp.ErrorCode = kerr.ClusterAuthorizationFailed.Code
		return resp, nil, true
	})
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	for range 3 {
		if err := a.Append(within(t, 10*time.Second), "log", []stream.Record{{Key: []byte("k")}}); err != nil {
			t.Fatal(err)
		}
		if err := a.Append(within(t, 10*time.Second), "log", []stream.Record{{Partition: 9}}); err == nil {
			t.Fatal("a partition that is not there was written") // the failure has the producer made anew
		}
	}
	if got := readAll(t, a, "log", false); len(got) != 3 || asked != 1 {
		t.Errorf("%d records after asking %d times", len(got), asked)
	}
}

// A producer that does not come back is given up, and the next Append has another one.
func TestAProducerThatHangs(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "log"))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	if err := a.Append(within(t, 10*time.Second), "log", []stream.Record{{Key: []byte("0")}}); err != nil {
		t.Fatal(err)
	}
	first := a.appends.now
	a.appends.patience = 50 * time.Millisecond
	cluster.ControlKey(kmsg.Produce.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) { return nil, nil, true })
	if err := a.Append(within(t, 10*time.Second), "log", []stream.Record{{Key: []byte("1")}}); Classify(err) != Unreachable {
		t.Errorf("got %v", err)
	}
	a.appends.patience = 10 * time.Second
	if err := a.Append(within(t, 10*time.Second), "log", []stream.Record{{Key: []byte("2")}}); err != nil {
		t.Error(err)
	}
	if a.appends.now == first {
		t.Error("the producer that hung is still in use")
	}
}

func TestAppendTellsTheReason(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(2, "log"))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	one := func(partition int32, size int) []stream.Record {
		return []stream.Record{{Partition: partition, Value: make([]byte, size)}}
	}
	if err := a.Append(within(t, 10*time.Second), "missing", one(0, 1)); Classify(err) != UnknownTopic || Explain(err) != "topic does not exist" {
		t.Errorf("missing topic: %v", err)
	}
	if err := a.Append(within(t, 10*time.Second), "log", one(7, 1)); err == nil {
		t.Error("a partition that is not there was written")
	}
	if err := a.Append(within(t, 10*time.Second), "log", one(0, 3<<20)); err == nil {
		t.Error("a record larger than the topic takes was written")
	}
	if err := a.Append(within(t, 10*time.Second), "log", one(1, 1)); err != nil {
		t.Errorf("after the failures: %v", err)
	}
	if err := a.Append(within(t, 10*time.Second), "log", nil); err != nil {
		t.Errorf("nothing to append: %v", err)
	}
	if got := readAll(t, a, "log", false); len(got) != 1 {
		t.Errorf("got %s", transcript(got))
	}
}

func TestReadAllOfNothing(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(3, "empty"))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	if got := readAll(t, a, "empty", true); len(got) != 0 {
		t.Errorf("got %s", transcript(got))
	}
	err := a.ReadAll(within(t, 10*time.Second), "missing", true, func(stream.Record) error { return nil })
	if !errors.Is(err, ErrUnknownTopic) || Classify(err) != UnknownTopic {
		t.Errorf("got %v", err)
	}
}

func TestReadAllEndsWithTheCallersError(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "log"))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	if err := a.Append(within(t, 10*time.Second), "log", []stream.Record{{}, {}, {}}); err != nil {
		t.Fatal(err)
	}
	// io errors pass elsewhere; an error of the caller never does, whatever it looks like
	own, seen := fmt.Errorf("bad key: %w", context.DeadlineExceeded), 0
	err := a.ReadAll(within(t, 10*time.Second), "log", false, func(stream.Record) error {
		seen++
		return own
	})
	if !errors.Is(err, own) || seen != 1 {
		t.Errorf("%v after %d records", err, seen)
	}
}

// Records that are appended while the log is read do not prolong the reading.
func TestReadAllStopsWhereTheLogEndedAtItsStart(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "log"))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	ctx := within(t, 10*time.Second)
	if err := a.Append(ctx, "log", []stream.Record{{}, {}, {}}); err != nil {
		t.Fatal(err)
	}
	var appended error
	cluster.ControlKey(kmsg.Fetch.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.DropControl()
		done := make(chan struct{})
		go func() {
			appended = a.Append(ctx, "log", []stream.Record{{}, {}})
			close(done)
		}()
		cluster.SleepControl(func() { <-done })
		return nil, nil, false
	})
	if got := readAll(t, a, "log", false); len(got) != 3 || appended != nil {
		t.Errorf("read %d records, want 3 (%v)", len(got), appended)
	}
	if got := readAll(t, a, "log", false); len(got) != 5 {
		t.Errorf("then read %d records, want 5", len(got))
	}
}

// A topic is filled at random, with transactions that commit, abort or stay open, and compacted; what is read must be what
// a plain list of the records says.
func TestReadAllAgreesWithAPlainList(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 3))
			cluster, _ := fakeCluster(t, kfake.NumBrokers(2))
			if err := cluster.CreateTopic("log", 2, map[string]string{"cleanup.policy": "compact"}); err != nil {
				t.Fatal(err)
			}
			list := &plainList{}
			writers := make([]*kgo.Client, 3)
			for i := range writers {
				writers[i] = newWriter(t, cluster, i)
			}
			ctx := within(t, 30*time.Second)
			for range 40 {
				list.step(ctx, t, random, writers[random.IntN(len(writers))])
			}
			open := random.IntN(2) == 0
			if open {
				list.transact(ctx, t, random, writers[1], stayOpen)
			}
			a := adminOf(t, cluster.ListenAddrs()[0], nil)
			for _, committed := range []bool{false, true} {
				got, want := transcript(sorted(readAll(t, a, "log", committed))), transcript(list.visible(committed))
				if got != want {
					t.Errorf("committed %v: got\n%swant\n%s", committed, got, want)
				}
			}
			if open {
				list.abortOpen(ctx, t, writers[1])
			}
			// Compaction takes aborted records too, so that only the committed state stays the same.
			cluster.Compact()
			got, want := readAll(t, a, "log", true), list.visible(true)
			if transcript(latestByKey(got)) != transcript(latestByKey(want)) {
				t.Errorf("after compaction: got the state\n%swant\n%s", transcript(latestByKey(got)), transcript(latestByKey(want)))
			}
			if len(got) >= len(want) {
				t.Errorf("compaction left %d of %d records: the log has no holes", len(got), len(want))
			}
		})
	}
}

// plainList is what has been written, by the acknowledged offsets.
type plainList struct {
	records []stream.Record
	fate    []fate
}

type fate int8

const (
	alone fate = iota // not in a transaction
	commit
	abort
	stayOpen
)

func newWriter(t *testing.T, cluster *kfake.Cluster, n int) *kgo.Client {
	t.Helper()
	opts := []kgo.Opt{kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic("log")}
	if n > 0 {
		opts = append(opts, kgo.TransactionalID(fmt.Sprint("writer-", n)))
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func (l *plainList) step(ctx context.Context, t *testing.T, random *rand.Rand, writer *kgo.Client) {
	t.Helper()
	if writer.OptValue(kgo.TransactionalID).(string) == "" {
		l.write(ctx, t, random, writer, alone)
		return
	}
	l.transact(ctx, t, random, writer, []fate{commit, abort}[random.IntN(2)])
}

func (l *plainList) transact(ctx context.Context, t *testing.T, random *rand.Rand, writer *kgo.Client, f fate) {
	t.Helper()
	if err := writer.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for range 1 + random.IntN(3) {
		l.write(ctx, t, random, writer, f)
	}
	if f == stayOpen {
		return
	}
	if err := writer.EndTransaction(ctx, f == commit); err != nil {
		t.Fatal(err)
	}
}

func (l *plainList) write(ctx context.Context, t *testing.T, random *rand.Rand, writer *kgo.Client, f fate) {
	t.Helper()
	r := &kgo.Record{Partition: random.Int32N(2), Key: fmt.Appendf(nil, "k%d", random.IntN(5)), Timestamp: time.Now().Truncate(time.Millisecond)}
	if random.IntN(4) > 0 {
		r.Value = fmt.Appendf(nil, "v%d", len(l.records))
	}
	if err := writer.ProduceSync(ctx, r).FirstErr(); err != nil {
		t.Fatal(err)
	}
	l.records = append(l.records, stream.Record{Partition: r.Partition, Offset: r.Offset, Key: r.Key, Value: r.Value, Timestamp: r.Timestamp})
	l.fate = append(l.fate, f)
}

// abortOpen ends the transaction that stayed open; the fake cluster would compact what it hides.
func (l *plainList) abortOpen(ctx context.Context, t *testing.T, writer *kgo.Client) {
	t.Helper()
	if err := writer.EndTransaction(ctx, kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	for i, f := range l.fate {
		if f == stayOpen {
			l.fate[i] = abort
		}
	}
}

// visible is what a reader must see: with committed, nothing that was aborted and nothing from the first open
// transaction on.
func (l *plainList) visible(committed bool) []stream.Record {
	var seen []stream.Record
	open := make(map[int32]bool)
	for i, r := range l.records {
		if committed && l.fate[i] == stayOpen {
			open[r.Partition] = true
		}
		if !committed || l.fate[i] != abort && !open[r.Partition] {
			seen = append(seen, r)
		}
	}
	return sorted(seen)
}

func sorted(records []stream.Record) []stream.Record {
	records = slices.Clone(records)
	slices.SortFunc(records, func(x, y stream.Record) int {
		if x.Partition != y.Partition {
			return int(x.Partition - y.Partition)
		}
		return int(x.Offset - y.Offset)
	})
	return records
}

// latestByKey is the state that a compacted log stands for. Tombstones may or may not be there, so keys without a value
// are left out.
func latestByKey(records []stream.Record) []stream.Record {
	last := make(map[string]stream.Record)
	for _, r := range sorted(records) {
		last[fmt.Sprintf("%d %s", r.Partition, r.Key)] = r
	}
	var state []stream.Record
	for _, r := range last {
		if r.Value != nil {
			state = append(state, r)
		}
	}
	return sorted(state)
}
