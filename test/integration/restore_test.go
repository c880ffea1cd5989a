package integration

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tandem/internal/stream"
)

// backedUp archives topics of A until all of them is there, and gives the file and the store.
func backedUp(t *testing.T, a, b side, topics ...string) (file, url string) {
	t.Helper()
	url = "file://" + t.TempDir()
	properties := fmt.Sprintf(archiveProperties, "B", a.Bootstrap, b.Bootstrap, strings.Join(topics, ","), url) +
		"A->B.enabled = false\nemit.checkpoints.interval.seconds = 1\narchive.flush.bytes = 2000000\n"
	m := startMirror(t, properties)
	for _, topic := range topics {
		m.until("all of "+topic+" in the archive", reachesEnds(t, url, a, topic))
	}
	m.stop()
	return propertiesFile(t, properties), url
}

// A topic with everything in it comes back as it was, with its configs; groups stand on the same records; and once more nothing is written.
func TestRestore(t *testing.T) {
	a, b := clusters(t)
	const topic = "bring-orders"
	a.create(topic, 4, 1, map[string]string{"retention.ms": "-1", "segment.bytes": "1048576"})
	for p, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		a.write(topic, toPartition(int32(p), awkward(2000)), kgo.ProducerBatchCompression(codec))
	}
	writeGaps(a, topic, 3)
	groups := map[stream.Partition]int64{{Topic: topic}: 7, {Topic: topic, Number: 1}: 2000, {Topic: topic, Number: 3}: 12}
	a.commit("bring-group", groups)
	file, _ := backedUp(t, a, b, topic)

	dry := runArchive(t, "restore", file, "--to", "B", "--dry-run").must(t)
	if !strings.Contains(dry.stdout, topic) || len(b.topicsWith(topic)) > 0 {
		t.Fatalf("a dry run prints\n%s", dry.stdout)
	}
	done := runArchive(t, "restore", file, "--to", "B", "--yes").must(t)
	t.Log(done.stdout, done.stderr)
	wantSame(t, a.read(topic), b.read(topic))
	eventually(t, "its configs", hasConfigs(b, topic, map[string]string{"retention.ms": "-1", "segment.bytes": "1048576"}))
	// Transactions of ten records and a marker: offset 12 is the record behind the first of the second one.
	want := map[stream.Partition]int64{{Topic: topic}: 7, {Topic: topic, Number: 1}: 2000, {Topic: topic, Number: 3}: 11}
	if got := b.committed("bring-group"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the group stands at %v, want %v", got, want)
	}
	again := runArchive(t, "restore", file, "--to", "B", "--yes").must(t)
	if !strings.Contains(again.stdout, "nothing was written") {
		t.Errorf("once more it says\n%s", again.stdout)
	}
	other := runArchive(t, "restore", file, "--to", "B", "--yes", "--topics", topic)
	if other.status != 1 || !strings.Contains(other.stdout, "is there already") {
		t.Errorf("into a topic that is there: %d\n%s%s", other.status, other.stdout, other.stderr)
	}
	wantSame(t, a.read(topic), b.read(topic))
}

// awkward are records as few producers write them.
func awkward(n int) (records []*kgo.Record) {
	base := time.Now().Add(-time.Hour)
	for i := range n {
		r := &kgo.Record{Key: fmt.Appendf(nil, "key-%d", i), Value: fmt.Appendf(nil, "%d %s", i, strings.Repeat("abc", i%50)), Timestamp: base}
		switch i % 7 {
		case 0:
			r.Key = nil
		case 1:
			r.Value = nil
		case 2:
			r.Key, r.Value = []byte{}, []byte{}
		case 3:
			r.Headers = []kgo.RecordHeader{{Key: "h", Value: nil}, {Key: "h", Value: []byte{}}, {Key: "", Value: []byte("\n\x00")}}
		}
		r.Timestamp = base.Add(time.Duration((i*7919)%3000) * time.Second / 2) // back and forth
		records = append(records, r)
	}
	return records
}

// noise are records that no codec makes small.
func noise(random *rand.Rand, n, size int) (records []*kgo.Record) {
	for range n {
		value := make([]byte, size)
		for i := range value {
			value[i] = byte(random.Uint32())
		}
		records = append(records, &kgo.Record{Value: value})
	}
	return records
}
