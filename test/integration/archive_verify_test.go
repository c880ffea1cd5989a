package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tandem/internal/testkit/realkafka"
)

// A topic with every codec, transactions and holes that compaction left is archived, proved, exported and compacted. Kafka's own
// DumpLogSegments reads what was exported, before and after, and sees the source's records.
func TestArchiveVerifyExportCompact(t *testing.T) {
	a, b := clusters(t)
	const topic = "exported"
	a.create(topic, 1, 1, map[string]string{"cleanup.policy": "compact", "segment.ms": "1000", "min.cleanable.dirty.ratio": "0.01"})
	codecs := []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()}
	for i, c := range codecs {
		a.write(topic, keyedAs(fmt.Sprint("codec ", i), 40), kgo.ProducerBatchCompression(c))
	}
	transacted(t, a, topic, true)
	transacted(t, a, topic, false)
	a.write(topic, keyedAs("codec 3", 20), kgo.ProducerBatchCompression(kgo.Lz4Compression())) // half of these keys are taken by the cleaner
	for i := range 2 {                                                                         // a segment is cleaned once another one follows, as records later than the markers make it
		late := keyedAs("late", 1)
		late[0].Timestamp = time.UnixMilli(time.Now().UnixMilli() + int64(i+1)*10_000)
		a.write(topic, late)
	}
	eventually(t, "holes in "+topic, func() error {
		if n := total(a.read(topic)); n > 225 {
			return fmt.Errorf("%d records are left", n)
		}
		return nil
	})
	url := "file://" + t.TempDir()
	properties := fmt.Sprintf(archiveProperties, "B", a.Bootstrap, b.Bootstrap, topic, url) + "A->B.enabled = true\n"
	m := startMirror(t, properties)
	m.until("the whole topic in the archive", reachesEnds(t, url, a, topic))
	m.stop()
	m = startMirror(t, properties) // a bundle more: the newest one of a writer stays
	a.write(topic, keyedAs("last", 3))
	m.until("the rest in the archive", reachesEnds(t, url, a, topic))
	m.stop()
	file := filepath.Join(t.TempDir(), "mm2.properties")
	if err := os.WriteFile(file, []byte(properties), 0o600); err != nil {
		t.Fatal(err)
	}

	wantStatus(t, 0, "verify", file, "--level", "record")
	before := dumped(t, file, topic, "before")
	if r := wantStatus(t, 0, "compact", file, "--older-than", "0s", "--yes"); !strings.Contains(r.stdout, "records compared and equal") {
		t.Errorf("compact did nothing:\n%s", r.stdout)
	}
	wantStatus(t, 0, "verify", file, "--level", "record")
	after := dumped(t, file, topic, "after")
	if !slices.Equal(before, after) {
		t.Errorf("compacted, %d records are exported, not %d, or others", len(after), len(before))
	}
	t.Logf("%d records and markers", len(before))
}

func keyedAs(name string, n int) (records []*kgo.Record) {
	for i := range n {
		records = append(records, &kgo.Record{Key: fmt.Appendf(nil, "%s key %d", name, i), Value: fmt.Appendf(nil, "%s value %d", name, i),
			Timestamp: time.UnixMilli(1_700_000_000_000 + int64(i)), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("1")}}})
	}
	return records
}

// transacted writes a transaction, and ends it.
func transacted(t *testing.T, s side, topic string, commit bool) {
	t.Helper()
	client := s.newClient(kgo.TransactionalID(fmt.Sprint(topic, commit)), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer client.Close()
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(t.Context(), keyedAs(fmt.Sprint("transaction ", commit), 10)...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := client.EndTransaction(t.Context(), kgo.TransactionEndTry(commit)); err != nil {
		t.Fatal(err)
	}
}

func wantStatus(t *testing.T, status int, args ...string) ran {
	t.Helper()
	r := runArchive(t, args...)
	if r.status != status {
		t.Fatalf("archive %s: status %d\n%s%s", strings.Join(args, " "), r.status, r.stdout, r.stderr)
	}
	return r
}

var dumpedRecord = regexp.MustCompile(`(?m)^\| offset: (\d+) (?:CreateTime|LogAppendTime): (-?\d+) .*$`)

// dumped exports the partition, and has Kafka's own tool print its records; those that a reader sees are the source's.
func dumped(t *testing.T, file, topic, name string) (lines []string) {
	t.Helper()
	a, _ := clusters(t)
	dir := filepath.Join(t.TempDir(), name)
	wantStatus(t, 0, "export", file, topic+"/0", "--out", dir)
	segments, err := filepath.Glob(filepath.Join(dir, topic+"-0", "*.log"))
	if err != nil || len(segments) != 1 {
		t.Fatal(segments, err)
	}
	out, err := realkafka.Java(t.Context(), "org.apache.kafka.tools.DumpLogSegments", "--deep-iteration", "--print-data-log", "--files", segments[0])
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out, "isvalid: false") || strings.Contains(strings.ToLower(out), "corrupt") {
		t.Errorf("DumpLogSegments finds\n%s", out)
	}
	at := make(map[int64]string)
	for _, found := range dumpedRecord.FindAllStringSubmatch(out, -1) {
		offset, err := strconv.ParseInt(found[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		at[offset] = found[0]
		lines = append(lines, found[0])
	}
	for _, r := range a.read(topic)[0] {
		line, ok := at[r.Offset]
		delete(at, r.Offset)
		if ok && (!strings.Contains(line, fmt.Sprintf("Time: %d ", r.Timestamp.UnixMilli())) || !strings.Contains(line, fmt.Sprintf("headerKeys: [h] key: %s payload: %s", r.Key, r.Value))) {
			t.Errorf("record %d of the source, %s = %s, is dumped as %s", r.Offset, r.Key, r.Value, line)
		}
		if !ok {
			t.Errorf("record %d of the source is not in the segment", r.Offset)
		}
	}
	return lines
}
