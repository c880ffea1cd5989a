package realkafka

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// patience bounds every request of these tests; a broker's death is noticed well within it.
const patience = 30 * time.Second

func newClient(t *testing.T, c *Cluster, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(strings.Split(c.Bootstrap, ",")...)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func createTopic(t *testing.T, c *Cluster, name string, partitions int32, factor int16) {
	t.Helper()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, factor
	request := kmsg.NewPtrCreateTopicsRequest()
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(t.Context(), newClient(t, c))
	if err != nil {
		t.Fatal(err)
	}
	if err := kerr.ErrorForCode(response.Topics[0].ErrorCode); err != nil {
		t.Fatalf("create topic %s: %v", name, err)
	}
}

func produce(t *testing.T, c *Cluster, topic string, values ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client := newClient(t, c, kgo.DefaultProduceTopic(topic), kgo.AllowIdempotentProduceCancellation())
	for _, v := range values {
		if err := client.ProduceSync(ctx, kgo.StringRecord(v)).FirstErr(); err != nil {
			t.Fatalf("produce %q to %s: %v", v, topic, err)
		}
	}
}

// wantRecords reads exactly these values, and sees that the partition ends after them.
func wantRecords(t *testing.T, c *Cluster, topic string, want ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	got, err := consume(ctx, c, topic, len(want))
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("%s holds %q, want %q (%v)", topic, got, want, err)
	}
}

// consume reads a topic of one partition from its start until n records were seen and the log end is reached.
func consume(ctx context.Context, c *Cluster, topic string, n int) ([]string, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(c.Bootstrap, ",")...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.MetadataMinAge(100*time.Millisecond),
		kgo.MetadataMaxAge(time.Second))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	var got []string
	end := int64(-1)
	for len(got) < n || int64(len(got)) < end {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return got, ctx.Err()
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) { end = max(end, p.HighWatermark) })
		fetches.EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
	}
	return got, nil
}

// leader is the index of the broker that leads partition 0.
func leader(t *testing.T, c *Cluster, topic string) int {
	t.Helper()
	topics := kmsg.NewMetadataRequestTopic()
	topics.Topic = kmsg.StringPtr(topic)
	request := kmsg.NewPtrMetadataRequest()
	request.Topics = append(request.Topics, topics)
	response, err := request.RequestWith(t.Context(), newClient(t, c))
	if err != nil {
		t.Fatal(err)
	}
	return int(response.Topics[0].Partitions[0].Leader) - 1
}

func clusterID(t *testing.T, c *Cluster) string {
	t.Helper()
	response, err := kmsg.NewPtrMetadataRequest().RequestWith(t.Context(), newClient(t, c))
	if err != nil {
		t.Fatal(err)
	}
	return *response.ClusterID
}
