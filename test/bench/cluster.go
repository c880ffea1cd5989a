package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/testkit/realkafka"
)

// cluster is one real broker and a client for the bench's own requests.
type cluster struct {
	kafka  *realkafka.Cluster
	client *kgo.Client
}

// brokerJVM is what Kafka's own start script gives a broker: the heap, the collector, and with them the full compiler.
var brokerJVM = []string{"-Xms1G", "-Xmx1G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
	"-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true"}

// How long a broker may be silent. One that is kept from the processor is not dead; but one that is killed and started again is let in
// only then.
const (
	patientSession = time.Minute
	briefSession   = 5 * time.Second
)

func startCluster(dir string, session time.Duration) (*cluster, error) {
	k, err := realkafka.StartCluster(dir, realkafka.Options{
		JVM: brokerJVM,
		Config: map[string]string{
			"log.retention.ms":          "-1", // the records' timestamps are constants, and time goes on
			"broker.session.timeout.ms": strconv.FormatInt(session.Milliseconds(), 10),
		},
	})
	if err != nil {
		return nil, err
	}
	c := &cluster{kafka: k}
	if c.client, err = c.newClient(); err != nil {
		k.Stop()
		return nil, err
	}
	return c, nil
}

func (c *cluster) stop() {
	c.client.Close()
	c.kafka.Stop()
}

func (c *cluster) newClient(opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(c.kafka.Bootstrap)}, opts...)...)
}

func (c *cluster) createTopic(ctx context.Context, name string) error {
	return c.createTopicOf(ctx, name, partitions)
}

func (c *cluster) createTopicOf(ctx context.Context, name string, count int) error {
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, int32(count), 1
	request := kmsg.NewPtrCreateTopicsRequest()
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(ctx, c.client)
	if err == nil {
		err = kerr.ErrorForCode(response.Topics[0].ErrorCode)
	}
	if err != nil {
		return fmt.Errorf("create topic %s: %w", name, err)
	}
	return c.awaitTopic(ctx, name, count)
}

// awaitTopic returns when the partitions answer: the controller has promised the topic before its brokers know of it.
func (c *cluster) awaitTopic(ctx context.Context, name string, count int) error {
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		_, err := c.ends(ctx, name, count)
		if err == nil || !kerr.IsRetriable(err) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

func (c *cluster) deleteTopic(ctx context.Context, name string) error {
	topic := kmsg.NewDeleteTopicsRequestTopic()
	topic.Topic = kmsg.StringPtr(name)
	request := kmsg.NewPtrDeleteTopicsRequest()
	request.Topics, request.TopicNames = append(request.Topics, topic), []string{name}
	response, err := request.RequestWith(ctx, c.client)
	if err == nil {
		err = kerr.ErrorForCode(response.Topics[0].ErrorCode)
	}
	if err != nil {
		return fmt.Errorf("delete topic %s: %w", name, err)
	}
	return nil
}

// endOffsets is ends of a job's topic.
func (c *cluster) endOffsets(ctx context.Context, topic string) (ends [partitions]int64, err error) {
	list, err := c.ends(ctx, topic, partitions)
	copy(ends[:], list)
	return ends, err
}

// ends asks for the log end offset of each of so many partitions.
func (c *cluster) ends(ctx context.Context, topic string, count int) ([]int64, error) {
	request := kmsg.NewPtrListOffsetsRequest()
	request.ReplicaID = -1
	asked := kmsg.NewListOffsetsRequestTopic()
	asked.Topic = topic
	for p := range int32(count) {
		partition := kmsg.NewListOffsetsRequestTopicPartition()
		partition.Partition, partition.Timestamp = p, -1
		asked.Partitions = append(asked.Partitions, partition)
	}
	request.Topics = append(request.Topics, asked)
	response, err := request.RequestWith(ctx, c.client)
	if err != nil {
		return nil, fmt.Errorf("list offsets of %s: %w", topic, err)
	}
	ends, seen := make([]int64, count), 0
	for _, t := range response.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return nil, fmt.Errorf("list offsets of %s/%d: %w", topic, p.Partition, err)
			}
			ends[p.Partition] = p.Offset
			seen++
		}
	}
	if seen != count {
		return nil, errors.New("list offsets of " + topic + ": partitions are missing in the answer")
	}
	return ends, nil
}
