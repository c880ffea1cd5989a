// Package embedded runs Kafka clusters inside the process (franz-go's kfake) on ports of 127.0.0.1, with a writer of
// orders, readers and a consumer group beside them: for the demo, and for tests that need no real broker.
//
// Not guaranteed: that it behaves as Apache Kafka in every corner. What kfake answers otherwise is in its own
// documentation; tests of such corners run on real brokers (package realkafka).
package embedded

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Cluster is one embedded cluster.
type Cluster struct {
	fake  *kfake.Cluster
	addrs []string
	close sync.Once
	gone  chan struct{} // closed when the cluster is

	*distance // nil: it is here
}

// Start starts a cluster of one broker under a cluster id, with a topic of so many partitions for each name.
func Start(id string, partitions int32, topics ...string) (*Cluster, error) {
	return start(id, nil, partitions, topics)
}

// StartAway starts a cluster whose answers take some time to whoever is not a client of this package, as if that one were in another
// region.
func StartAway(away time.Duration, id string, partitions int32, topics ...string) (*Cluster, error) {
	return start(id, &distance{away: away, near: make(map[string]bool)}, partitions, topics)
}

func start(id string, d *distance, partitions int32, topics []string) (*Cluster, error) {
	opts := []kfake.Opt{kfake.NumBrokers(1), kfake.ClusterID(id)}
	if d != nil {
		opts = append(opts, kfake.ListenFn(d.listen))
	}
	if len(topics) > 0 {
		opts = append(opts, kfake.SeedTopics(partitions, topics...))
	}
	fake, err := kfake.NewCluster(opts...)
	if err != nil {
		return nil, fmt.Errorf("start embedded cluster: %w", err)
	}
	return &Cluster{fake: fake, addrs: fake.ListenAddrs(), gone: make(chan struct{}), distance: d}, nil
}

// Bootstrap is the cluster's bootstrap.servers.
func (c *Cluster) Bootstrap() string { return strings.Join(c.addrs, ",") }

// Close ends the cluster as a crash does: connections break, answers on their way are lost, and nobody answers from now on. What
// it held is gone.
func (c *Cluster) Close() {
	c.close.Do(func() {
		close(c.gone) // first: who is refused afterwards knows why
		c.fake.Close()
	})
}

// leaveWait bounds what a client does for a clean end.
const leaveWait = 5 * time.Second

// client makes a client, and the context of what it still has to do when ctx ends: that ends with the cluster only.
func (c *Cluster) client(ctx context.Context, opts ...kgo.Opt) (*kgo.Client, context.Context, context.CancelFunc, error) {
	opts = append(opts, kgo.SeedBrokers(c.addrs...), kgo.DisableClientMetrics(), kgo.DisableFetchSessions())
	if c.distance != nil {
		opts = append(opts, kgo.Dialer(c.dial))
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, nil, nil, err
	}
	alive, cancel := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		select {
		case <-c.gone:
		case <-alive.Done():
		}
		cancel()
	}()
	return client, alive, func() {
		client.Close()
		cancel()
	}, nil
}

// DeleteTopic deletes a topic.
func (c *Cluster) DeleteTopic(ctx context.Context, topic string) error {
	client, _, done, err := c.client(ctx)
	if err != nil {
		return fmt.Errorf("delete topic %s: %w", topic, err)
	}
	defer done()
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TopicNames = []string{topic}
	named := kmsg.NewDeleteTopicsRequestTopic()
	named.Topic = kmsg.StringPtr(topic)
	req.Topics = append(req.Topics, named)
	resp, err := req.RequestWith(ctx, client)
	if err == nil && len(resp.Topics) == 1 {
		err = kerr.ErrorForCode(resp.Topics[0].ErrorCode)
	}
	if err != nil {
		return fmt.Errorf("delete topic %s: %w", topic, err)
	}
	return nil
}

// ends are the offsets at which the partitions of a topic end.
func ends(ctx context.Context, client *kgo.Client, topic string) (map[int32]int64, error) {
	meta := kmsg.NewPtrMetadataRequest()
	named := kmsg.NewMetadataRequestTopic()
	named.Topic = kmsg.StringPtr(topic)
	meta.Topics = append(meta.Topics, named)
	known, err := meta.RequestWith(ctx, client)
	if err != nil {
		return nil, err
	}
	req := kmsg.NewPtrListOffsetsRequest()
	for _, t := range known.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return nil, err
		}
		asked := kmsg.NewListOffsetsRequestTopic()
		asked.Topic = topic
		for _, p := range t.Partitions {
			one := kmsg.NewListOffsetsRequestTopicPartition()
			one.Partition, one.Timestamp = p.Partition, -1
			asked.Partitions = append(asked.Partitions, one)
		}
		req.Topics = append(req.Topics, asked)
	}
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return nil, err
	}
	found := make(map[int32]int64)
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return nil, err
			}
			found[p.Partition] = p.Offset
		}
	}
	return found, nil
}
