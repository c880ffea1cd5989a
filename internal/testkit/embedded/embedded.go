// Package embedded runs Kafka clusters inside the process (franz-go's kfake) on ports of 127.0.0.1, with a writer of
// orders and a reader beside them: for the demo, and for tests that need no real broker.
//
// Not guaranteed: that it behaves as Apache Kafka in every corner. What kfake answers otherwise is in its own
// documentation; tests of such corners run on real brokers (package realkafka).
package embedded

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Cluster is one embedded cluster.
type Cluster struct{ fake *kfake.Cluster }

// Start starts a cluster of one broker under a cluster id, with a topic of so many partitions for each name.
func Start(id string, partitions int32, topics ...string) (*Cluster, error) {
	opts := []kfake.Opt{kfake.NumBrokers(1), kfake.ClusterID(id)}
	if len(topics) > 0 {
		opts = append(opts, kfake.SeedTopics(partitions, topics...))
	}
	fake, err := kfake.NewCluster(opts...)
	if err != nil {
		return nil, fmt.Errorf("start embedded cluster: %w", err)
	}
	return &Cluster{fake}, nil
}

// Bootstrap is the cluster's bootstrap.servers.
func (c *Cluster) Bootstrap() string { return strings.Join(c.fake.ListenAddrs(), ",") }

// Close stops the cluster.
func (c *Cluster) Close() { c.fake.Close() }

// Order is a record of the demo.
type Order struct {
	Partition int32
	Offset    int64
	Key       string
	Value     string
	At        time.Time // when it was written
}

// WriteOrders writes orders, so many a second, until ctx ends, and then waits for their acknowledgements. written
// hears of each one with its place.
func (c *Cluster) WriteOrders(ctx context.Context, topic string, perSecond int, written func(Order)) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(c.fake.ListenAddrs()...), kgo.DefaultProduceTopic(topic),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()), kgo.ProducerLinger(5*time.Millisecond))
	if err != nil {
		return fmt.Errorf("write orders: %w", err)
	}
	defer client.Close()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	start := time.Now()
	var failed error
	done := func(r *kgo.Record, err error) {
		if err != nil {
			failed = err
			return
		}
		written(Order{r.Partition, r.Offset, string(r.Key), string(r.Value), r.Timestamp})
	}
	for n := 0; ; {
		select {
		case <-ctx.Done():
			flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			if err := client.Flush(flush); err != nil {
				return fmt.Errorf("write orders: %w", err)
			}
			return failed
		case <-ticker.C:
		}
		for ; n < int(time.Since(start).Seconds()*float64(perSecond)); n++ {
			key := fmt.Sprintf("customer-%d", n%997)
			value := fmt.Sprintf(`{"order":%d,"customer":%q,"item":"book","amount":%d.%02d}`, n, key, n%90+9, n%100)
			client.Produce(context.WithoutCancel(ctx), &kgo.Record{Key: []byte(key), Value: []byte(value), Timestamp: time.Now()}, done)
		}
	}
}

// ReadOrders reads a topic from its beginning until ctx ends.
func (c *Cluster) ReadOrders(ctx context.Context, topic string, read func(Order)) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(c.fake.ListenAddrs()...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.MetadataMinAge(100*time.Millisecond), kgo.MetadataMaxAge(time.Second),
		kgo.UnknownTopicRetries(-1))
	if err != nil {
		return fmt.Errorf("read orders: %w", err)
	}
	defer client.Close()
	for {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		fetches.EachRecord(func(r *kgo.Record) {
			read(Order{r.Partition, r.Offset, string(r.Key), string(r.Value), r.Timestamp})
		})
	}
}
