package kafka

import (
	"context"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/stream"
)

// WouldBe is what a cluster would make of a topic.
type WouldBe struct {
	Err     error             // why it would refuse: rights, replication factor, a config, a policy, or the topic is there
	Configs map[string]string // in effect, the cluster's defaults among them; nil where it does not tell
	Factor  int16             // replication factor; 0 where it does not tell
}

// ValidateTopics asks what would become of topics if they were created, and creates none. The error is for what went wrong as a
// whole.
func (a *Admin) ValidateTopics(ctx context.Context, topics []stream.NewTopic) (map[string]WouldBe, error) {
	cl, err := a.requester()
	if err != nil {
		return nil, fmt.Errorf("validate topics: %w", err)
	}
	answers := make(map[string]WouldBe, len(topics))
	for len(topics) > 0 {
		part := topics[:firstBatch(topics)]
		topics = topics[len(part):]
		req := kmsg.NewPtrCreateTopicsRequest()
		req.ValidateOnly = true
		req.TimeoutMillis = int32(a.brokerTimeout().Milliseconds())
		for _, t := range part {
			topic := kmsg.NewCreateTopicsRequestTopic()
			topic.Topic, topic.NumPartitions, topic.ReplicationFactor = t.Name, t.Partitions, t.Factor
			for name, value := range t.Configs {
				c := kmsg.NewCreateTopicsRequestTopicConfig()
				c.Name, c.Value = name, kmsg.StringPtr(value)
				topic.Configs = append(topic.Configs, c)
			}
			req.Topics = append(req.Topics, topic)
		}
		resp, err := req.RequestWith(ctx, cl)
		if err != nil {
			return answers, fmt.Errorf("validate %d topics: %w", len(part), err)
		}
		for _, t := range resp.Topics {
			would := WouldBe{Err: brokerError(t.ErrorCode, t.ErrorMessage), Factor: max(t.ReplicationFactor, 0)}
			for _, c := range t.Configs {
				if would.Configs == nil {
					would.Configs = make(map[string]string, len(t.Configs))
				}
				if c.Value != nil {
					would.Configs[c.Name] = *c.Value
				}
			}
			answers[t.Topic] = would
		}
	}
	return answers, nil
}

// Fitness is what a topic needs to be written to, and to be asked where a producer stands in it.
type Fitness struct {
	Replicas int      // of the partition that has the fewest
	InSync   int      // of the partition that has the fewest in sync
	Denied   []string // operations that we have no right to, of Write and Read; none where the cluster does not tell
}

// Fitness tells of topics whether they can be written to. One that is not there is left out.
func (a *Admin) Fitness(ctx context.Context, topics []string) (map[string]Fitness, error) {
	cl, err := a.requester()
	if err != nil {
		return nil, fmt.Errorf("describe topics: %w", err)
	}
	answers := make(map[string]Fitness, len(topics))
	if len(topics) == 0 {
		return answers, nil
	}
	req := kmsg.NewPtrMetadataRequest()
	req.IncludeTopicAuthorizedOperations = true
	for _, name := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, t)
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, fmt.Errorf("describe %d topics: %w", len(topics), err)
	}
	for _, t := range resp.Topics {
		if t.Topic == nil || len(t.Partitions) == 0 {
			continue
		}
		f := Fitness{Replicas: math.MaxInt, InSync: math.MaxInt}
		for _, p := range t.Partitions {
			f.Replicas, f.InSync = min(f.Replicas, len(p.Replicas)), min(f.InSync, len(p.ISR))
		}
		for _, o := range []struct {
			operation kmsg.ACLOperation
			name      string
		}{{kmsg.ACLOperationWrite, "Write"}, {kmsg.ACLOperationRead, "Read"}} {
			if t.AuthorizedOperations > 0 && t.AuthorizedOperations&(1<<o.operation) == 0 {
				f.Denied = append(f.Denied, o.name)
			}
		}
		answers[*t.Topic] = f
	}
	return answers, nil
}
