package integration

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tandem/internal/testkit/realkafka"
)

// written is a source topic of TestEveryRecord.
type written struct {
	name       string
	partitions int32 // 0 means 1
	configs    map[string]string
	write      func(a side, topic string)
	records    int                                              // that a reader of the source sees; -1 where the broker decides
	is         func(batches []size, records []*kgo.Record) bool // of partition 0: the source is what the name says
}

var appendTime = map[string]string{"message.timestamp.type": "LogAppendTime"}

// Small batches are merged on their way, whole ones keep their bytes.
var sources = []written{
	{name: "empty", partitions: 3},
	{name: "plain", write: withCodec(kgo.NoCompression(), 16<<10), records: 2000},
	{name: "gzip", write: withCodec(kgo.GzipCompression(), 16<<10), records: 2000},
	{name: "snappy", write: withCodec(kgo.SnappyCompression(), 16<<10), records: 2000},
	{name: "lz4", write: withCodec(kgo.Lz4Compression(), 16<<10), records: 2000},
	{name: "zstd", write: withCodec(kgo.ZstdCompression(), 16<<10), records: 2000},
	{name: "plain-whole", write: withCodec(kgo.NoCompression(), 1<<20), records: 2000, is: whole},
	{name: "gzip-whole", write: withCodec(kgo.GzipCompression(), 1<<20), records: 2000, is: whole},
	{name: "snappy-whole", write: withCodec(kgo.SnappyCompression(), 1<<20), records: 2000, is: whole},
	{name: "lz4-whole", write: withCodec(kgo.Lz4Compression(), 1<<20), records: 2000, is: whole},
	{name: "zstd-whole", write: withCodec(kgo.ZstdCompression(), 1<<20), records: 2000, is: whole},
	{name: "java-snappy", write: byJava("snappy"), records: 3000},
	{name: "java-lz4", write: byJava("lz4"), records: 3000},
	{name: "shapes", write: writeShapes, records: 512},
	{name: "shapes-zstd", write: writeShapes, records: 512},
	{name: "old-times", write: writeTimes, records: 200},
	{name: "tiny-batches", partitions: 2, write: writeTiny(kgo.NoCompression()), records: 4000, is: tiny},
	{name: "tiny-batches-gzip", partitions: 2, write: writeTiny(kgo.GzipCompression()), records: 4000, is: tiny},
	{name: "large-records", write: writeLarge(kgo.NoCompression()), records: 12},
	{name: "large-records-lz4", write: writeLarge(kgo.Lz4Compression()), records: 12},
	{name: "append-time", write: withCodec(kgo.Lz4Compression(), 16<<10), records: 2000, configs: appendTime},
	{name: "append-time-whole", write: withCodec(kgo.Lz4Compression(), 1<<20), records: 2000, configs: appendTime, is: whole},
	{name: "append-time-plain", write: withCodec(kgo.NoCompression(), 1<<20), records: 2000, configs: appendTime, is: whole},
	{name: "large-batches", write: writeLargeBatches, records: 60, is: large,
		configs: map[string]string{"max.message.bytes": "6000000"}},
	{name: "compacted", write: writeCompacted, records: -1, is: holey, configs: map[string]string{
		"cleanup.policy": "compact", "segment.ms": "1000", "min.cleanable.dirty.ratio": "0.01"}},
	{name: "transactions", partitions: 2, write: writeTransactions, records: 2000},
	{name: "fifty", partitions: 50, write: writeFifty, records: 5000},
}

// One mirror runs two flows from the same cluster: `every` reads as MM2 does by default, `committed` with read_committed.
const everyProperties = oneBroker + quiet + `
clusters = every, committed, everyB
every.bootstrap.servers = %s
committed.bootstrap.servers = %[1]s
everyB.bootstrap.servers = %s
every->everyB.enabled = true
every->everyB.topics = every-.*
committed->everyB.enabled = true
committed->everyB.topics = every-transactions
committed.consumer.isolation.level = read_committed
# Remote topics keep the limit of 1 MB that brokers have by default, and are not compacted while the test reads them.
config.properties.exclude = message\\.timestamp\\.type, max\\.message\\.bytes, segment\\.ms
`

func TestEveryRecordArrivesAsItWas(t *testing.T) {
	a, b := clusters(t)
	source := map[string][][]*kgo.Record{}
	for _, w := range sources {
		topic := "every-" + w.name
		a.create(topic, max(w.partitions, 1), 1, w.configs)
		if w.write != nil {
			w.write(a, topic)
		}
		source[topic] = a.read(topic)
		if w.is != nil && !w.is(a.batches(topic, 0), source[topic][0]) {
			t.Fatalf("%s is not what the test needs: batches %+v", topic, a.batches(topic, 0))
		}
		if n := total(source[topic]); w.records >= 0 && n != w.records {
			t.Fatalf("%s was written with %d records, want %d", topic, n, w.records)
		}
	}
	committed := a.read("every-transactions", kgo.FetchIsolationLevel(kgo.ReadCommitted()))

	m := startMirror(t, fmt.Sprintf(everyProperties, a.Bootstrap, b.Bootstrap))
	for topic, records := range source {
		m.until("all of "+topic, b.holds("every."+topic, int64(total(records))))
	}
	m.until("the committed records", b.holds("committed.every-transactions", int64(total(committed))))
	m.stop()

	for _, w := range sources {
		t.Run(w.name, func(t *testing.T) {
			b := on(t, b.Cluster)
			wantSame(t, source["every-"+w.name], b.read("every.every-"+w.name))
		})
	}
	t.Run("transactions, read_committed", func(t *testing.T) {
		b := on(t, b.Cluster)
		wantSame(t, committed, b.read("committed.every-transactions"))
		for _, r := range committed[0] {
			if string(r.Key) == "aborted" {
				t.Fatal("the source's reader was given an aborted record")
			}
		}
		if n := total(committed); n != 1400 {
			t.Fatalf("%d of 2000 records were committed, want 1400", n)
		}
	})
	t.Run("sarama reads the same", func(t *testing.T) {
		for _, topic := range []string{"shapes", "compacted", "java-snappy"} {
			wantSame(t, source["every-"+topic], readBySarama(t, b, "every.every-"+topic))
		}
	})
	if lines := m.lines(`"level":"warn"`); len(lines) > 0 {
		t.Errorf("warned of %s", lines[0].Text)
	}
	if lines := m.lines(`"level":"error"`); len(lines) > 0 {
		t.Errorf("complained of %s", lines[0].Text)
	}
}

func tiny(batches []size, records []*kgo.Record) bool { return len(batches) == len(records) }

// large: most of the topic stands in batches that are several times larger than the remote topic accepts.
func large(batches []size, _ []*kgo.Record) bool {
	n := 0
	for _, b := range batches {
		if b.bytes > 3<<20 {
			n += int(b.records)
		}
	}
	return n > 30
}

// holey: there are batches with holes, and null values.
func holey(batches []size, records []*kgo.Record) bool {
	return slices.ContainsFunc(batches, func(b size) bool { return b.records > 0 && b.records <= b.lastDelta }) &&
		slices.ContainsFunc(records, func(r *kgo.Record) bool { return r.Value == nil })
}

// whole: there are batches large enough to be passed on as they are.
func whole(batches []size, _ []*kgo.Record) bool {
	return slices.ContainsFunc(batches, func(b size) bool { return b.bytes > 200<<10 })
}

// withCodec writes a megabyte, of which a compressor saves about half. The times are not those of the broker.
func withCodec(codec kgo.CompressionCodec, batchBytes int32) func(side, string) {
	return func(a side, topic string) {
		random := rand.NewChaCha8([32]byte{9})
		noise := make([]byte, 250)
		var records []*kgo.Record
		for i := range 2000 {
			_, _ = random.Read(noise)
			records = append(records, &kgo.Record{
				Key: fmt.Appendf(nil, "key-%d", i%17), Value: fmt.Appendf(nil, `{"order":%d,"text":"%s%x"}`, i, strings.Repeat("again ", i%10), noise),
				Timestamp: time.UnixMilli(1_700_000_000_000 + int64(i)),
			})
		}
		a.write(topic, records, kgo.ProducerBatchCompression(codec), kgo.ProducerBatchMaxBytes(batchBytes), kgo.ProducerLinger(200*time.Millisecond))
	}
}

// byJava writes with Kafka's own producer, which frames snappy and lz4 in its own way.
func byJava(codec string) func(side, string) {
	return func(a side, topic string) {
		a.t.Helper()
		ctx, cancel := context.WithTimeout(a.t.Context(), patience)
		defer cancel()
		_, err := realkafka.Java(ctx, "org.apache.kafka.tools.ProducerPerformance", "--topic", topic, "--num-records", "3000",
			"--record-size", "200", "--throughput", "-1", "--bootstrap-server", a.Direct,
			"--command-property", "compression.type="+codec)
		if err != nil {
			a.t.Fatal(err)
		}
	}
}

// writeShapes writes each combination of null, empty and filled keys, values and headers, several times.
func writeShapes(a side, topic string) {
	fields := [][]byte{nil, {}, []byte("x"), bytes.Repeat([]byte{0, 0xff}, 300)}
	headers := [][]kgo.RecordHeader{
		nil,
		{{Key: "one", Value: []byte("1")}},
		{{Key: "same", Value: []byte("b")}, {Key: "other", Value: []byte{}}, {Key: "same", Value: []byte("a")}, {Key: "same", Value: nil}},
		{{Key: "", Value: nil}, {Key: "", Value: []byte{0}}, {Key: "ключ", Value: []byte("v")}},
	}
	var records []*kgo.Record
	for i := range 512 {
		records = append(records, &kgo.Record{
			Key: fields[i%4], Value: fields[i/4%4], Headers: headers[i/16%4], Timestamp: time.UnixMilli(1_700_000_000_000 + int64(i)),
		})
	}
	codec := kgo.NoCompression()
	if strings.HasSuffix(topic, "zstd") {
		codec = kgo.ZstdCompression()
	}
	a.write(topic, records, kgo.ProducerBatchCompression(codec))
}

// writeTimes goes back and forth between 1970 and now.
func writeTimes(a side, topic string) {
	random := rand.New(rand.NewPCG(1, 2))
	records := []*kgo.Record{
		{Value: []byte("the first"), Timestamp: time.UnixMilli(0)},
		{Value: []byte("and then"), Timestamp: time.UnixMilli(1)},
	}
	for len(records) < 199 {
		records = append(records, &kgo.Record{
			Value: fmt.Appendf(nil, "%d", len(records)), Timestamp: time.UnixMilli(random.Int64N(1_700_000_000_000)),
		})
	}
	records = append(records, &kgo.Record{Value: []byte("the first again"), Timestamp: time.UnixMilli(0)})
	a.write(topic, records)
}

// writeTiny makes batches of one record: two do not fit into the smallest batch that the client can be told of.
func writeTiny(codec kgo.CompressionCodec) func(side, string) {
	return func(a side, topic string) {
		var records []*kgo.Record
		for i := range 4000 {
			records = append(records, &kgo.Record{
				Partition: int32(i % 2), Key: fmt.Appendf(nil, "%d", i), Value: bytes.Repeat([]byte{byte(i)}, 600),
			})
		}
		a.write(topic, records, kgo.ProducerBatchCompression(codec), kgo.ProducerBatchMaxBytes(1024))
	}
}

// writeLarge writes records just under the limit, which do not compress.
func writeLarge(codec kgo.CompressionCodec) func(side, string) {
	return func(a side, topic string) {
		random := rand.NewChaCha8([32]byte{7})
		var records []*kgo.Record
		for range 12 {
			value := make([]byte, 900<<10)
			_, _ = random.Read(value)
			records = append(records, &kgo.Record{Key: []byte("large"), Value: value})
		}
		a.write(topic, records, kgo.ProducerBatchCompression(codec))
	}
}

// writeLargeBatches writes batches of 5 MB, which the remote topic does not accept as they are.
func writeLargeBatches(a side, topic string) {
	random := rand.NewChaCha8([32]byte{8})
	var records []*kgo.Record
	for i := range 60 {
		value := make([]byte, 250_000)
		_, _ = random.Read(value)
		records = append(records, &kgo.Record{Key: fmt.Appendf(nil, "%d", i), Value: value})
	}
	a.write(topic, records, kgo.ProducerBatchMaxBytes(5<<20), kgo.ProducerBatchCompression(kgo.Lz4Compression()),
		kgo.ProducerLinger(200*time.Millisecond))
}

// writeCompacted writes 20 keys a hundred times over, now and then null, and waits until the cleaner has made holes.
// A timestamp far ahead of the segment's first one starts a new segment, without which nothing is cleaned.
func writeCompacted(a side, topic string) {
	a.t.Helper()
	for round := range 10 {
		var records []*kgo.Record
		for i := range 200 {
			r := &kgo.Record{
				Key: fmt.Appendf(nil, "key-%d", i*7%20), Value: fmt.Appendf(nil, "round %d, %d", round, i),
				Timestamp: time.UnixMilli(1_700_000_000_000 + int64(round)*10_000 + int64(i)),
			}
			if i%11 == 0 {
				r.Value = nil
			}
			if i%50 == 0 {
				r.Key = fmt.Appendf(nil, "kept-%d-%d", round, i)
			}
			records = append(records, r)
		}
		a.write(topic, records)
	}
	eventually(a.t, "holes in "+topic, func() error {
		kept := a.read(topic)[0]
		// The last segment is never cleaned: 200 of the 2000 stay whatever happens.
		if len(kept) > 400 {
			return fmt.Errorf("%d records are left of 2000", len(kept))
		}
		return nil
	})
}

// writeTransactions aborts three of ten transactions.
func writeTransactions(a side, topic string) {
	a.t.Helper()
	client := a.newClient(kgo.TransactionalID(topic), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer client.Close()
	ctx, cancel := context.WithTimeout(a.t.Context(), patience)
	defer cancel()
	for n := range 100 {
		commit, key := kgo.TryCommit, "committed"
		if n%10 < 3 {
			commit, key = kgo.TryAbort, "aborted"
		}
		if err := client.BeginTransaction(); err != nil {
			a.t.Fatal(err)
		}
		var records []*kgo.Record
		for i := range 20 {
			records = append(records, &kgo.Record{Partition: int32(i % 2), Key: []byte(key), Value: fmt.Appendf(nil, "%d of %d", i, n)})
		}
		if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
			a.t.Fatal(err)
		}
		if err := client.EndTransaction(ctx, commit); err != nil {
			a.t.Fatal(err)
		}
	}
}

func writeFifty(a side, topic string) {
	var records []*kgo.Record
	for i := range 5000 {
		records = append(records, &kgo.Record{Partition: int32(i * i % 50), Value: fmt.Appendf(nil, "%d", i)})
	}
	a.write(topic, records)
}
