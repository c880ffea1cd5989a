package integration

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"tandem/internal/testkit/realkafka"
)

// side is a cluster as a test sees it, past any proxy or password.
type side struct {
	*realkafka.Cluster
	t      *testing.T
	client *kgo.Client
	// coordinated is for group requests, which newer versions of the protocol send with topic ids.
	coordinated *kgo.Client
}

func on(t *testing.T, c *realkafka.Cluster) side {
	t.Helper()
	s := side{Cluster: c, t: t}
	s.client = s.newClient()
	s.coordinated = s.newClient(kgo.MaxVersions(kversion.V3_8_0()))
	return s
}

func (s side) newClient(opts ...kgo.Opt) *kgo.Client {
	s.t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(strings.Split(s.Direct, ",")...)}, opts...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(client.Close)
	return client
}

// create makes a topic and waits until its partitions have leaders.
func (s side) create(name string, partitions int32, factor int16, configs map[string]string) {
	s.t.Helper()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, factor
	for key, value := range configs {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = key, &value
		topic.Configs = append(topic.Configs, c)
	}
	request := kmsg.NewPtrCreateTopicsRequest()
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(s.t.Context(), s.client)
	if err == nil {
		err = kerr.ErrorForCode(response.Topics[0].ErrorCode)
	}
	if err != nil {
		s.t.Fatalf("create topic %s: %v", name, err)
	}
	eventually(s.t, "the leaders of "+name, func() error {
		_, err := s.ends(name)
		return err
	})
}

func (s side) widen(name string, partitions int32) {
	s.t.Helper()
	topic := kmsg.NewCreatePartitionsRequestTopic()
	topic.Topic, topic.Count = name, partitions
	request := kmsg.NewPtrCreatePartitionsRequest()
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(s.t.Context(), s.client)
	if err == nil {
		err = kerr.ErrorForCode(response.Topics[0].ErrorCode)
	}
	if err != nil {
		s.t.Fatalf("widen topic %s: %v", name, err)
	}
}

// configure sets topic configs; an empty value deletes one.
func (s side) configure(name string, configs map[string]string) {
	s.t.Helper()
	s.alter(kmsg.ConfigResourceTypeTopic, name, configs)
}

func (s side) alter(kind kmsg.ConfigResourceType, name string, configs map[string]string) {
	s.t.Helper()
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kind, name
	for key, value := range configs {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Value = key, &value
		if value == "" {
			c.Op = kmsg.IncrementalAlterConfigOpDelete
		}
		resource.Configs = append(resource.Configs, c)
	}
	request := kmsg.NewPtrIncrementalAlterConfigsRequest()
	request.Resources = append(request.Resources, resource)
	response, err := request.RequestWith(s.t.Context(), s.client)
	if err == nil {
		err = kerr.ErrorForCode(response.Resources[0].ErrorCode)
	}
	if err != nil {
		s.t.Fatalf("configure %s %s: %v", kind, name, err)
	}
}

// configs are those that were set on the topic itself.
func (s side) configs(name string) (map[string]string, error) {
	resource := kmsg.NewDescribeConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, name
	request := kmsg.NewPtrDescribeConfigsRequest()
	request.Resources = append(request.Resources, resource)
	response, err := request.RequestWith(s.t.Context(), s.client)
	if err == nil {
		err = kerr.ErrorForCode(response.Resources[0].ErrorCode)
	}
	if err != nil {
		return nil, fmt.Errorf("describe configs of %s: %w", name, err)
	}
	set := map[string]string{}
	for _, c := range response.Resources[0].Configs {
		if c.Source == kmsg.ConfigSourceDynamicTopicConfig && c.Value != nil {
			set[c.Name] = *c.Value
		}
	}
	return set, nil
}

// describe is the cluster's metadata of topics, of all if none is named.
func (s side) describe(names ...string) (*kmsg.MetadataResponse, error) {
	request := kmsg.NewPtrMetadataRequest()
	for _, name := range names {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = &name
		request.Topics = append(request.Topics, topic)
	}
	response, err := request.RequestWith(s.t.Context(), s.client)
	if err != nil {
		return nil, err
	}
	for _, topic := range response.Topics {
		if err := kerr.ErrorForCode(topic.ErrorCode); err != nil {
			return nil, fmt.Errorf("describe topic %s: %w", *topic.Topic, err)
		}
	}
	return response, nil
}

// topicsWith are the topics whose names contain a word, sorted.
func (s side) topicsWith(word string) []string {
	s.t.Helper()
	all, err := s.describe()
	if err != nil {
		s.t.Fatal(err)
	}
	var names []string
	for _, topic := range all.Topics {
		if strings.Contains(*topic.Topic, word) {
			names = append(names, *topic.Topic)
		}
	}
	slices.Sort(names)
	return names
}

// ends are the log end offsets, by partition.
func (s side) ends(name string) ([]int64, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	described, err := s.describe(name)
	if err != nil {
		return nil, err
	}
	partitions := len(described.Topics[0].Partitions)
	topic := kmsg.NewListOffsetsRequestTopic()
	topic.Topic = name
	for p := range int32(partitions) {
		partition := kmsg.NewListOffsetsRequestTopicPartition()
		partition.Partition, partition.Timestamp = p, -1
		topic.Partitions = append(topic.Partitions, partition)
	}
	request := kmsg.NewPtrListOffsetsRequest()
	request.ReplicaID, request.Topics = -1, append(request.Topics, topic)
	ends, seen := make([]int64, partitions), 0
	for _, shard := range s.client.RequestSharded(ctx, request) {
		if shard.Err != nil {
			return nil, fmt.Errorf("list offsets of %s: %w", name, shard.Err)
		}
		for _, answer := range shard.Resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, p := range answer.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return nil, fmt.Errorf("list offsets of %s/%d: %w", name, p.Partition, err)
				}
				ends[p.Partition] = p.Offset
				seen++
			}
		}
	}
	if seen != partitions {
		return nil, fmt.Errorf("list offsets of %s: %d of %d partitions answered", name, seen, partitions)
	}
	return ends, nil
}

// count is the sum of the log end offsets: the number of records where the log has no holes.
func (s side) count(name string) (int64, error) {
	ends, err := s.ends(name)
	var n int64
	for _, end := range ends {
		n += end
	}
	return n, err
}

// holds is a condition: the topic has as many records, and no more.
func (s side) holds(name string, records int64) func() error {
	return func() error {
		n, err := s.count(name)
		if err == nil && n != records {
			err = fmt.Errorf("%s holds %d records, want %d", name, n, records)
		}
		return err
	}
}

// reaches is a condition: the topic has as many records, or more.
func (s side) reaches(name string, records int64) func() error {
	return func() error {
		n, err := s.count(name)
		if err == nil && n < records {
			err = fmt.Errorf("%s holds %d records, want %d", name, n, records)
		}
		return err
	}
}

// read reads a topic from its start to its end and returns the records by partition.
func (s side) read(name string, opts ...kgo.Opt) [][]*kgo.Record {
	s.t.Helper()
	ends, err := s.ends(name)
	if err != nil {
		s.t.Fatal(err)
	}
	client := s.newClient(append([]kgo.Opt{
		kgo.ConsumeTopics(name), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.KeepControlRecords(), // a marker may be the last that a log holds
	}, opts...)...)
	defer client.Close()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	records, next := make([][]*kgo.Record, len(ends)), make([]int64, len(ends))
	for slices.ContainsFunc(indexes(ends), func(p int) bool { return next[p] < ends[p] }) {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			s.t.Fatalf("read %s: %v; at %v of %v", name, err, next, ends)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			next[r.Partition] = r.Offset + 1
			if !r.Attrs.IsControl() {
				records[r.Partition] = append(records[r.Partition], r)
			}
		})
	}
	return records
}

func indexes[T any](list []T) []int {
	all := make([]int, len(list))
	for i := range all {
		all[i] = i
	}
	return all
}

// write produces records, each to its own partition, and waits for all acknowledgements.
func (s side) write(topic string, records []*kgo.Record, opts ...kgo.Opt) {
	s.t.Helper()
	client := s.newClient(append([]kgo.Opt{
		kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
	}, opts...)...)
	defer client.Close()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		s.t.Fatalf("write %s: %v", topic, err)
	}
}

func total(records [][]*kgo.Record) int {
	n := 0
	for _, p := range records {
		n += len(p)
	}
	return n
}

func numbered(n int) (records []*kgo.Record) {
	for i := range n {
		records = append(records, &kgo.Record{Value: fmt.Appendf(nil, "%d", i)})
	}
	return records
}

func toPartition(p int32, records []*kgo.Record) []*kgo.Record {
	for _, r := range records {
		r.Partition = p
	}
	return records
}
