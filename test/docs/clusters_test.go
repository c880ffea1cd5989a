package docs

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/testkit/realkafka"
)

// create makes a topic of one partition.
func create(t *testing.T, c *realkafka.Cluster, topic, cleanup string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Direct))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	request, wanted, config := kmsg.NewPtrCreateTopicsRequest(), kmsg.NewCreateTopicsRequestTopic(), kmsg.NewCreateTopicsRequestTopicConfig()
	config.Name, config.Value = "cleanup.policy", &cleanup
	wanted.Topic, wanted.NumPartitions, wanted.ReplicationFactor, wanted.Configs = topic, 1, 1, append(wanted.Configs, config)
	request.Topics = append(request.Topics, wanted)
	response, err := request.RequestWith(t.Context(), client)
	if err == nil {
		err = kerr.ErrorForCode(response.Topics[0].ErrorCode)
	}
	if err != nil {
		t.Fatalf("create topic %s: %v", topic, err)
	}
}

// write produces records to partition 0 of a topic.
func write(t *testing.T, c *realkafka.Cluster, topic string, records ...*kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Direct), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatalf("write %s: %v", topic, err)
	}
}

// first waits for so many records of a topic and returns their values.
func first(t *testing.T, c *realkafka.Cluster, topic string, records int) (values []string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Direct), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.UnknownTopicRetries(-1), kgo.MetadataMinAge(100*time.Millisecond), kgo.MetadataMaxAge(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for len(values) < records {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			t.Fatalf("%d records in %s, want %d: %v", len(values), topic, records, err)
		}
		fetches.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	return values
}

// all are the records of partition 0 of a topic, up to its end; none where there is no such topic.
func all(t *testing.T, c *realkafka.Cluster, topic string) (list []*kgo.Record) {
	t.Helper()
	end := int64(0)
	ask(t, c, func(ctx context.Context, client *kgo.Client) error {
		request, of, in := kmsg.NewPtrListOffsetsRequest(), kmsg.NewListOffsetsRequestTopic(), kmsg.NewListOffsetsRequestTopicPartition()
		in.Timestamp, in.CurrentLeaderEpoch = -1, -1
		of.Topic, of.Partitions = topic, append(of.Partitions, in)
		request.Topics = append(request.Topics, of)
		response, err := request.RequestWith(ctx, client)
		if err == nil {
			err = kerr.ErrorForCode(response.Topics[0].Partitions[0].ErrorCode)
		}
		if errors.Is(err, kerr.UnknownTopicOrPartition) {
			return nil
		}
		if err == nil {
			end = response.Topics[0].Partitions[0].Offset
		}
		return err
	})
	if end == 0 {
		return nil
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Direct), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx := expiring(t, patience)
	for reached := int64(0); reached < end; {
		client.PollFetches(ctx).EachRecord(func(r *kgo.Record) { list, reached = append(list, r), r.Offset+1 })
		if err := ctx.Err(); err != nil {
			t.Fatalf("read %s: %d of %d: %v", topic, reached, end, err)
		}
	}
	return list
}

// drop deletes a topic, and returns when it is gone.
func drop(t *testing.T, c *realkafka.Cluster, topic string) {
	t.Helper()
	ask(t, c, func(ctx context.Context, client *kgo.Client) error {
		request, one := kmsg.NewPtrDeleteTopicsRequest(), kmsg.NewDeleteTopicsRequestTopic()
		one.Topic = &topic
		request.Topics, request.TopicNames = append(request.Topics, one), []string{topic}
		response, err := request.RequestWith(ctx, client)
		if err != nil {
			return err
		}
		return kerr.ErrorForCode(response.Topics[0].ErrorCode)
	})
}

// forget removes the position of a group in partition 0 of a topic.
func forget(t *testing.T, c *realkafka.Cluster, group, topic string) {
	t.Helper()
	ask(t, c, func(ctx context.Context, client *kgo.Client) error {
		request, of, at := kmsg.NewPtrOffsetDeleteRequest(), kmsg.NewOffsetDeleteRequestTopic(), kmsg.NewOffsetDeleteRequestTopicPartition()
		of.Topic, of.Partitions = topic, append(of.Partitions, at)
		request.Group, request.Topics = group, append(request.Topics, of)
		response, err := request.RequestWith(ctx, client)
		if err != nil {
			return err
		}
		return kerr.ErrorForCode(response.ErrorCode)
	})
}
