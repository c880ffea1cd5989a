package integration

import (
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kgo"
)

// readBySarama is side.read with another client library.
func readBySarama(t *testing.T, s side, topic string) [][]*kgo.Record {
	t.Helper()
	ends, err := s.ends(topic)
	if err != nil {
		t.Fatal(err)
	}
	config := sarama.NewConfig()
	config.Version = sarama.V4_0_0_0
	consumer, err := sarama.NewConsumer(strings.Split(s.Direct, ","), config)
	if err != nil {
		t.Fatal(err)
	}
	defer consumer.Close()
	records := make([][]*kgo.Record, len(ends))
	for p, end := range ends {
		if end == 0 {
			continue
		}
		from, err := consumer.ConsumePartition(topic, int32(p), sarama.OffsetOldest)
		if err != nil {
			t.Fatal(err)
		}
		records[p] = messages(t, from, end)
		if err := from.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return records
}

// messages reads a partition up to an offset.
func messages(t *testing.T, from sarama.PartitionConsumer, end int64) (records []*kgo.Record) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		select {
		case m := <-from.Messages():
			r := &kgo.Record{Key: m.Key, Value: m.Value, Timestamp: m.Timestamp}
			for _, h := range m.Headers {
				r.Headers = append(r.Headers, kgo.RecordHeader{Key: string(h.Key), Value: h.Value})
			}
			if records = append(records, r); m.Offset == end-1 {
				return records
			}
		case <-deadline.C:
			t.Fatalf("sarama read %d records of %d", len(records), end)
		}
	}
}
