package integration

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tandem/internal/testkit/realkafka"
)

const (
	keptTopics     = 20
	keptPartitions = 50 // of each: a thousand
)

// A thousand partitions: at a trickle they cost few objects, and under load no more memory than they may.
func TestArchiveOfManyPartitions(t *testing.T) {
	a := on(t, realkafka.Start(t, realkafka.Options{Config: brokerConfig}))
	topics := make([]string, keptTopics)
	for n := range topics {
		topics[n] = fmt.Sprintf("kept-%02d", n)
	}
	a.createAll(topics, keptPartitions)
	folder := t.TempDir()
	url := "file://" + folder
	client := a.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ProducerLinger(0), kgo.MaxBufferedRecords(100_000))
	write := func(value []byte) {
		t.Helper()
		var records []*kgo.Record
		for _, topic := range topics {
			for p := range int32(keptPartitions) {
				records = append(records, &kgo.Record{Topic: topic, Partition: p, Value: value})
			}
		}
		if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	properties := fmt.Sprintf(archiveProperties, "gone", a.Bootstrap, nobody(t), "kept-.*", url) + "A->gone.enabled = false\n"
	all := func(m *mirrorProcess, records int64) {
		t.Helper()
		m.until("all records in the archive", func() error {
			k := footersAt(t, url, "A")
			for _, topic := range topics {
				for p := range keptPartitions {
					if ends := k.ends[topic]; len(ends) <= p || ends[p] != records {
						return fmt.Errorf("%s is archived up to %v of %d", topic, ends, records)
					}
				}
			}
			return nil
		})
	}

	// The default interval, as one pays for it.
	seconds := 20
	if long() {
		seconds = 60
	}
	began, tick := time.Now(), time.NewTicker(time.Second)
	m := startMirror(t, strings.Replace(properties, "archive.flush.interval.ms = 200", "", 1))
	for range seconds {
		write([]byte("a record now and then"))
		<-tick.C
	}
	tick.Stop()
	took := time.Since(began)
	m.stop()
	objects := 0
	err := filepath.WalkDir(folder, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			objects++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d objects in %s", objects, took.Round(time.Second))
	if most := int(took/(10*time.Second)) + 2; objects == 0 || objects > most {
		t.Errorf("%d objects in %s, want at most %d", objects, took, most)
	}

	rounds, value := 1, make([]byte, 20_000) // 20 MB, many times the archive's memory
	if long() {
		rounds = 5
	}
	m = startMirror(t, properties+smallFlow)
	for range rounds {
		write(value)
	}
	all(m, int64(seconds+rounds))
	wantBounded(t, m, "A->gone", smallMemory)
	m.stop()
	k := archived(t, url, "A")
	if k.twice > 0 || len(k.trouble) > 0 || len(k.holes) > 0 {
		t.Errorf("twice: %d, holes: %v, trouble: %v", k.twice, k.holes, k.trouble)
	}
	wantChain(t, k.footers)
}
