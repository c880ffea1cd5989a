package integration

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"tandem/internal/testkit/realkafka"
)

const bytesProperties = oneBroker + `
clusters = bytes, bytesB
bytes.bootstrap.servers = %s
bytesB.bootstrap.servers = %s
bytes->bytesB.enabled = true
bytes->bytesB.topics = bytes-.*
offset.lag.max = 10
emit.heartbeats.interval.seconds = 1
`

// Internal topics hold the bytes that MM2 writes, and MM2's own readers understand them.
func TestBytes(t *testing.T) {
	a, b := clusters(t)
	a.create("bytes-orders", 4, 1, nil)
	writeGaps(a, "bytes-orders", 3)
	m := startMirror(t, fmt.Sprintf(bytesProperties, a.Bootstrap, b.Bootstrap))
	m.until("the records", b.holds("bytes.bytes-orders", 100))
	m.until("heartbeats of both pairs", func() error {
		if own, others := beats(b, "heartbeats", "bytes", "bytesB"), beats(b, "bytes.heartbeats", "bytesB", "bytes"); len(own) == 0 || len(others) == 0 {
			return fmt.Errorf("%d and %d", len(own), len(others))
		}
		return nil
	})
	m.stop()

	t.Run("heartbeats", func(t *testing.T) {
		for _, r := range beats(on(t, b.Cluster), "heartbeats", "bytes", "bytesB") {
			want := binary.BigEndian.AppendUint64([]byte{0, 0}, uint64(r.Timestamp.UnixMilli()))
			if !bytes.Equal(r.Value, want) || len(r.Headers) > 0 || r.Partition != 0 {
				t.Fatalf("heartbeat %x with %d headers, want %x", r.Value, len(r.Headers), want)
			}
		}
	})
	t.Run("offset syncs", func(t *testing.T) { syncsAreTrue(t, on(t, a.Cluster), on(t, b.Cluster)) })
	t.Run("positions", func(t *testing.T) { positionIsMM2s(t, on(t, a.Cluster), on(t, b.Cluster)) })
	t.Run("MM2's formatters", func(t *testing.T) {
		lines := console(t, b, "heartbeats", "Heartbeat")
		if !strings.Contains(lines, "Heartbeat{sourceClusterAlias=bytes, targetClusterAlias=bytesB, timestamp=") {
			t.Errorf("heartbeats read as\n%s", lines)
		}
		// Ten transactions of ten records, each with a marker: the last record is number 99 at offset 108.
		lines = console(t, a, "mm2-offset-syncs.bytesB.internal", "OffsetSync")
		if !strings.Contains(lines, "OffsetSync{topicPartition=bytes-orders-3, upstreamOffset=108, downstreamOffset=99}") {
			t.Errorf("offset syncs read as\n%s", lines)
		}
	})
	t.Run("MM2's client", func(t *testing.T) {
		out := java(t, "testdata/Mirrors.java", b.Direct, "bytes")
		answers := map[string]string{}
		for l := range strings.Lines(out) {
			name, answer, _ := strings.Cut(strings.TrimSpace(l), " ")
			answers[name] = " " + strings.Trim(answer, "[]") + ","
		}
		for name, want := range map[string]string{
			"heartbeatTopics": " bytes.heartbeats,", "upstreamClusters": " bytes,", "replicationHops": " 1,", "remoteTopics": " bytes.bytes-orders,",
		} {
			if !strings.Contains(answers[name], want) {
				t.Errorf("%s answers %q, want %q in it", name, answers[name], want)
			}
		}
	})
}

// writeGaps writes ten transactions of ten records; the markers keep source and target offsets apart.
func writeGaps(a side, topic string, partition int32) {
	a.t.Helper()
	client := a.newClient(kgo.TransactionalID(topic), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer client.Close()
	ctx, cancel := context.WithTimeout(a.t.Context(), patience)
	defer cancel()
	for n := range 10 {
		err := client.BeginTransaction()
		if err == nil {
			err = client.ProduceSync(ctx, toPartition(partition, numberedFrom(10*n, 10))...).FirstErr()
		}
		if err == nil {
			err = client.EndTransaction(ctx, kgo.TryCommit)
		}
		if err != nil {
			a.t.Fatal(err)
		}
	}
}

// str is a STRING of Kafka's protocol.
func str(s string) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...) }

// beats are the heartbeats of a pair.
func beats(s side, topic, source, target string) (found []*kgo.Record) {
	s.t.Helper()
	if _, err := s.ends(topic); err != nil {
		return nil // not yet there
	}
	for _, r := range s.read(topic)[0] {
		if bytes.Equal(r.Key, append(str(source), str(target)...)) {
			found = append(found, r)
		}
	}
	return found
}

// syncsAreTrue wants of each offset sync that the record at its source offset is the one at its target offset, and that the
// last one names the last record.
func syncsAreTrue(t *testing.T, a, b side) {
	source, remote := map[int64]string{}, map[int64]string{}
	for _, r := range a.read("bytes-orders")[3] {
		source[r.Offset] = string(r.Value)
	}
	for _, r := range b.read("bytes.bytes-orders")[3] {
		remote[r.Offset] = string(r.Value)
	}
	key := binary.BigEndian.AppendUint32(str("bytes-orders"), 3)
	last, syncs := int64(-1), 0
	for _, r := range a.read("mm2-offset-syncs.bytesB.internal")[0] {
		if !bytes.Equal(r.Key, key) {
			continue // heartbeats have syncs, too
		}
		if len(r.Value) != 16 || len(r.Headers) > 0 {
			t.Fatalf("an offset sync of %d bytes and %d headers", len(r.Value), len(r.Headers))
		}
		up, down := int64(binary.BigEndian.Uint64(r.Value)), int64(binary.BigEndian.Uint64(r.Value[8:]))
		if source[up] == "" || source[up] != remote[down] {
			t.Fatalf("source offset %d is %q, target offset %d is %q", up, source[up], down, remote[down])
		}
		if down <= last {
			t.Fatalf("sync at %d after one at %d", down, last)
		}
		last = down
		syncs++
	}
	if last != 99 {
		t.Fatalf("the last of %d syncs is at %d, want 99", syncs, last)
	}
}

func positionIsMM2s(t *testing.T, a, b side) {
	const key = `["MirrorSourceConnector",{"cluster":"bytes","partition":3,"topic":"bytes-orders"}]`
	partitions := b.read("mm2-offsets.bytes.internal")
	if len(partitions) != 25 {
		t.Fatalf("%d partitions, want 25", len(partitions))
	}
	where := kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&kgo.Record{Key: []byte(key)}, 25)
	var values []string
	for p, records := range partitions {
		for _, r := range records {
			if string(r.Key) != key {
				continue
			}
			if p != where {
				t.Errorf("written to partition %d, Java's partitioner chooses %d", p, where)
			}
			values = append(values, string(r.Value))
		}
	}
	ends, err := a.ends("bytes-orders")
	if err != nil {
		t.Fatal(err)
	}
	// The end is after the last marker, and the last record before it.
	if want := fmt.Sprintf(`{"offset":%d}`, ends[3]-2); len(values) == 0 || values[len(values)-1] != want {
		t.Fatalf("positions %q, want %q last", values, want)
	}
}

// console reads a topic with Kafka's console consumer and one of MM2's formatters.
func console(t *testing.T, s side, topic, formatter string) string {
	t.Helper()
	s = on(t, s.Cluster)
	n := total(s.read(topic))
	return java(t, "org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", s.Direct, "--topic", topic,
		"--from-beginning", "--max-messages", fmt.Sprint(n), "--timeout-ms", "60000",
		"--formatter", "org.apache.kafka.connect.mirror.formatters."+formatter+"Formatter")
}

// java runs a class of the Kafka release, or a source file, to its end.
func java(t *testing.T, class string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := realkafka.Java(ctx, class, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func numberedFrom(first, n int) []*kgo.Record {
	return slices.Clip(numbered(first + n)[first:])
}
