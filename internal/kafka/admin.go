package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"

	"tandem/internal/stream"
)

// Bounds of one request. A cluster may have tens of thousands of topics; answers must stay a few megabytes, and a
// controller refuses requests that ask for more than 10,000 records of metadata at once.
const (
	topicsPerRequest        = 200
	newPartitionsPerRequest = 2000
)

// ClusterID asks for the id that the cluster was given when its storage was formatted.
func (a *Admin) ClusterID(ctx context.Context) (string, error) {
	resp, err := ask(ctx, a, anyBroker, func(b *sarama.Broker) (*sarama.DescribeClusterResponse, error) {
		resp, err := b.DescribeCluster(sarama.NewDescribeClusterRequest(a.version()))
		if err != nil {
			return nil, err
		}
		return resp, brokerError(int16(resp.Err), resp.ErrorMessage)
	})
	if err != nil {
		return "", fmt.Errorf("describe cluster %s: %w", a.client.Bootstrap(), err)
	}
	return resp.ClusterID, nil
}

// Topics lists the topics that we may see, with one metadata request. Topics that are being created or deleted at this
// moment, and have no partitions to speak of, are left out; one that was just created may not be known to every broker.
func (a *Admin) Topics(ctx context.Context) ([]stream.Topic, error) {
	resp, err := ask(ctx, a, anyBroker, func(b *sarama.Broker) (*sarama.MetadataResponse, error) {
		return b.GetMetadata(sarama.NewMetadataRequest(a.version(), nil))
	})
	if err != nil {
		return nil, fmt.Errorf("list topics of %s: %w", a.client.Bootstrap(), err)
	}
	topics := make([]stream.Topic, 0, len(resp.Topics))
	for _, t := range resp.Topics {
		// A topic whose leader is away is answered with an error and its partitions: it is there all the same.
		if len(t.Partitions) == 0 || t.Err != sarama.ErrNoError && t.Err != sarama.ErrLeaderNotAvailable {
			continue
		}
		topics = append(topics, stream.Topic{
			Name:       t.Name,
			ID:         stream.TopicID(t.Uuid),
			Partitions: int32(len(t.Partitions)),
			Internal:   t.IsInternal,
		})
	}
	return topics, nil
}

// Configs describes all configs of the topics. A topic that is not there (deleted since it was listed) is left out; any
// other refusal is in the error, beside the answers for the rest.
func (a *Admin) Configs(ctx context.Context, topics []string) (map[string][]stream.ConfigEntry, error) {
	configs := make(map[string][]stream.ConfigEntry, len(topics))
	var refused []error
	for start := 0; start < len(topics); start += topicsPerRequest {
		batch := topics[start:min(start+topicsPerRequest, len(topics))]
		resp, err := ask(ctx, a, anyBroker, func(b *sarama.Broker) (*sarama.DescribeConfigsResponse, error) {
			req := &sarama.DescribeConfigsRequest{Version: 4}
			for _, name := range batch {
				req.Resources = append(req.Resources, &sarama.ConfigResource{Type: sarama.TopicResource, Name: name})
			}
			return b.DescribeConfigs(req)
		})
		if err != nil {
			return configs, fmt.Errorf("describe configs of %d topics: %w", len(batch), err)
		}
		for _, r := range resp.Resources {
			err := brokerError(r.ErrorCode, &r.ErrorMsg)
			switch {
			case err == nil:
				configs[r.Name] = configEntries(r.Configs)
			case Classify(err) != UnknownTopic:
				refused = append(refused, fmt.Errorf("describe configs of %s: %w", r.Name, err))
			}
		}
	}
	return configs, errors.Join(refused...)
}

func configEntries(described []*sarama.ConfigEntry) []stream.ConfigEntry {
	entries := make([]stream.ConfigEntry, len(described))
	for i, e := range described {
		entries[i] = stream.ConfigEntry{
			Name:      e.Name,
			Value:     e.Value,
			Source:    stream.ConfigSource(e.Source),
			ReadOnly:  e.ReadOnly,
			Sensitive: e.Sensitive,
		}
	}
	return entries
}

// CreateTopics creates topics and answers for each: nil when it is there now, also when it was before, else the broker's
// reason. The error is for what went wrong as a whole; topics without an answer are then not in the map.
func (a *Admin) CreateTopics(ctx context.Context, topics []stream.NewTopic) (map[string]error, error) {
	results := make(map[string]error, len(topics))
	for len(topics) > 0 {
		batch := topics[:firstBatch(topics)]
		topics = topics[len(batch):]
		resp, err := ask(ctx, a, controller, func(b *sarama.Broker) (*sarama.CreateTopicsResponse, error) {
			resp, err := b.CreateTopics(sarama.NewCreateTopicsRequest(a.version(), topicDetails(batch), a.brokerTimeout(), false))
			if err != nil {
				return nil, err
			}
			for _, e := range resp.TopicErrors {
				if e.Err == sarama.ErrNotController { // said of all or none: the request went to the wrong broker
					return nil, e.Err
				}
			}
			return resp, nil
		})
		if err != nil {
			return results, fmt.Errorf("create %d topics: %w", len(batch), err)
		}
		for _, t := range batch {
			answer, ok := resp.TopicErrors[t.Name]
			switch {
			case !ok:
				results[t.Name] = fmt.Errorf("create topic %s: %w", t.Name, sarama.ErrIncompleteResponse)
			case answer.Err == sarama.ErrNoError, answer.Err == sarama.ErrTopicAlreadyExists:
				results[t.Name] = nil
			default:
				results[t.Name] = fmt.Errorf("create topic %s: %w", t.Name, brokerError(int16(answer.Err), answer.ErrMsg))
			}
		}
	}
	return results, nil
}

// firstBatch is how many of the topics go into one request, one at least.
func firstBatch(topics []stream.NewTopic) int {
	var partitions int32
	for i, t := range topics {
		partitions += max(t.Partitions, 1)
		if i > 0 && (i == topicsPerRequest || partitions > newPartitionsPerRequest) {
			return i
		}
	}
	return len(topics)
}

func topicDetails(topics []stream.NewTopic) map[string]*sarama.TopicDetail {
	details := make(map[string]*sarama.TopicDetail, len(topics))
	for _, t := range topics {
		d := &sarama.TopicDetail{NumPartitions: t.Partitions, ReplicationFactor: t.Factor, ConfigEntries: make(map[string]*string)}
		for name, value := range t.Configs {
			d.ConfigEntries[name] = &value
		}
		details[t.Name] = d
	}
	return details
}

// CreatePartitions widens a topic to total partitions. A topic that has as many already, or more, is left as it is, so
// that the call can be repeated.
func (a *Admin) CreatePartitions(ctx context.Context, topic string, total int32) error {
	_, err := ask(ctx, a, controller, func(b *sarama.Broker) (*sarama.CreatePartitionsResponse, error) {
		resp, err := b.CreatePartitions(&sarama.CreatePartitionsRequest{
			Version:         3,
			Timeout:         a.brokerTimeout(),
			TopicPartitions: map[string]*sarama.TopicPartition{topic: {Count: total}},
		})
		if err != nil {
			return nil, err
		}
		answer, ok := resp.TopicPartitionErrors[topic]
		if !ok {
			return nil, sarama.ErrIncompleteResponse
		}
		return resp, brokerError(int16(answer.Err), answer.ErrMsg)
	})
	// Of a number above 0 the broker says so only when it would not be an increase. To ask for the number instead would not
	// do: another broker may not have heard of the new partitions yet.
	if code, ok := stream.CodeOf(err); ok && int16(code) == kerr.InvalidPartitions.Code && total > 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("widen topic %s to %d partitions: %w", topic, total, err)
	}
	return nil
}

// AlterConfigs sets and deletes topic configs (IncrementalAlterConfigs), all changes of a topic or none, and answers for
// each topic. The error is for what went wrong as a whole; topics without an answer are then not in the map.
func (a *Admin) AlterConfigs(ctx context.Context, changes map[string][]stream.ConfigChange) (map[string]error, error) {
	results := make(map[string]error, len(changes))
	var resources []*sarama.IncrementalAlterConfigsResource
	for topic, list := range changes {
		resources = append(resources, alteration(topic, list))
	}
	for start := 0; start < len(resources); start += topicsPerRequest {
		batch := resources[start:min(start+topicsPerRequest, len(resources))]
		resp, err := ask(ctx, a, controller, func(b *sarama.Broker) (*sarama.IncrementalAlterConfigsResponse, error) {
			return b.IncrementalAlterConfigs(&sarama.IncrementalAlterConfigsRequest{Version: 1, Resources: batch})
		})
		if err != nil {
			return results, fmt.Errorf("alter configs of %d topics: %w", len(batch), err)
		}
		for _, r := range batch {
			results[r.Name] = fmt.Errorf("alter configs of %s: %w", r.Name, sarama.ErrIncompleteResponse)
		}
		for _, r := range resp.Resources {
			results[r.Name] = nil
			if err := brokerError(r.ErrorCode, &r.ErrorMsg); err != nil {
				results[r.Name] = fmt.Errorf("alter configs of %s: %w", r.Name, err)
			}
		}
	}
	return results, nil
}

func alteration(topic string, changes []stream.ConfigChange) *sarama.IncrementalAlterConfigsResource {
	r := &sarama.IncrementalAlterConfigsResource{
		Type:          sarama.TopicResource,
		Name:          topic,
		ConfigEntries: make(map[string]sarama.IncrementalAlterConfigsEntry, len(changes)),
	}
	for _, c := range changes {
		entry := sarama.IncrementalAlterConfigsEntry{Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &c.Value}
		if c.Delete {
			entry = sarama.IncrementalAlterConfigsEntry{Operation: sarama.IncrementalAlterConfigsOperationDelete}
		}
		r.ConfigEntries[c.Name] = entry
	}
	return r
}
