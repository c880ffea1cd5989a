package integration

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/stream"
)

const smallProperties = oneBroker + quiet + `
clusters = %[1]s, %[1]sB
%[1]s.bootstrap.servers = %[2]s
%[1]sB.bootstrap.servers = %[3]s
%[1]s->%[1]sB.enabled = true
%[1]s->%[1]sB.topics = %[1]s
%[1]s.consumer.isolation.level = read_committed
emit.checkpoints.enabled = false
`

const smallPartitions = 50

// The exact map of a topic of one-record transactions is small, in memory and in Tandem's topic, and that of a plain topic
// is hardly there.
func TestMapIsSmall(t *testing.T) {
	a, b := clusters(t)
	records := 20_000
	if long() {
		records = 1_000_000
	}
	topics := []struct {
		name      string
		write     func(topic string)
		most      float64 // bytes of memory
		partition int     // bytes of a partition in Tandem's topic, at most; 0: half a percent of the topic's
	}{
		{name: "small-plain", write: func(topic string) {
			for p := range int32(smallPartitions) {
				a.write(topic, toPartition(p, numbered(100_000/smallPartitions)))
			}
		}, most: smallPartitions << 10, partition: 1 << 10},
		{name: "small-tx", write: func(topic string) { a.writeSingly(topic, 1, records) }, most: 8e6},
		{name: "small-mixed", write: func(topic string) { a.writeSingly(topic, 3, records) }, most: 8e6},
	}
	for _, c := range topics {
		t.Run(c.name, func(t *testing.T) {
			a, b := on(t, a.Cluster), on(t, b.Cluster)
			a.create(c.name, smallPartitions, 1, nil)
			flow := c.name + "->" + c.name + "B"
			m := startMirror(t, fmt.Sprintf(smallProperties, c.name, a.Bootstrap, b.Bootstrap))
			c.write(c.name)
			want := int64(total(a.read(c.name)))
			m.until("the records", b.reaches(c.name+"."+c.name, want))
			memory := m.value("tandem_offset_map_bytes", flow)
			t.Logf("%d records of %s: a map of %.1f KB in memory", want, c.name, memory/1e3)
			if memory > c.most {
				t.Errorf("more than %.1f KB", c.most/1e3)
			}
			m.stop()

			kept, written := mapBytes(b, "mm2-tandem."+c.name+".internal")
			source := a.logBytes(c.name)
			share := func(n int) float64 { return 100 * float64(n) / float64(source) }
			t.Logf("%d bytes at the source; of the map %d bytes are kept, %.3f %%, %.1f a partition, %.3f a record; %d were written, %.3f %%",
				source, kept, share(kept), float64(kept)/smallPartitions, float64(kept)/float64(want), written, share(written))
			switch {
			case c.partition > 0 && kept > c.partition*smallPartitions:
				t.Errorf("more than %d bytes a partition", c.partition)
			case c.partition == 0 && share(kept) > 0.5:
				t.Errorf("more than half a percent")
			}
		})
	}
}

// mapBytes are the bytes of the map's records in Tandem's topic: of the last of each key, and of all.
func mapBytes(s side, topic string) (kept, written int) {
	s.t.Helper()
	last := map[string]int{}
	for _, r := range s.read(topic)[0] {
		if len(r.Key) > 1 && r.Key[1] == stream.KindRuns {
			last[string(r.Key)] = len(r.Key) + len(r.Value)
			written += len(r.Key) + len(r.Value)
		}
	}
	for _, n := range last {
		kept += n
	}
	return kept, written
}

// logBytes is how large the logs of a topic are on disk.
func (s side) logBytes(topic string) (bytes int64) {
	s.t.Helper()
	request := kmsg.NewPtrDescribeLogDirsRequest()
	request.Topics = nil
	for _, shard := range s.client.RequestSharded(s.t.Context(), request) {
		if shard.Err != nil {
			s.t.Fatalf("describe log dirs: %v", shard.Err)
		}
		for _, dir := range shard.Resp.(*kmsg.DescribeLogDirsResponse).Dirs {
			for _, t := range dir.Topics {
				for _, p := range t.Partitions {
					if t.Topic == topic {
						bytes += p.Size
					}
				}
			}
		}
	}
	return bytes
}

// writeSingly writes so many records of 100 bytes, each of them alone in its partition in its transaction; with several
// producers transactions overlap.
func (s side) writeSingly(topic string, producers, records int) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	value := make([]byte, 100)
	one := func(client *kgo.Client) error {
		if err := client.BeginTransaction(); err != nil {
			return err
		}
		batch := make([]*kgo.Record, smallPartitions)
		for p := range batch {
			batch[p] = &kgo.Record{Partition: int32(p), Value: value}
		}
		if err := client.ProduceSync(ctx, batch...).FirstErr(); err != nil {
			return err
		}
		return client.EndTransaction(ctx, kgo.TryCommit)
	}
	var writers sync.WaitGroup
	for p := range producers {
		client := s.newClient(kgo.TransactionalID(fmt.Sprintf("%s-%d", topic, p)), kgo.DefaultProduceTopic(topic),
			kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.NoCompression()))
		writers.Go(func() {
			for range records / smallPartitions / producers {
				if err := one(client); err != nil {
					s.t.Errorf("write %s in transactions: %v", topic, err)
					return
				}
			}
		})
	}
	writers.Wait()
}
