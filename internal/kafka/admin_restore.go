package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/stream"
)

// WouldBe is what a cluster would make of a topic.
type WouldBe struct {
	Err     error             // why it would refuse: rights, replication factor, a config, a policy, or the topic is there
	Configs map[string]string // in effect, the cluster's defaults among them; nil where it does not tell
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
			would := WouldBe{Err: brokerError(t.ErrorCode, t.ErrorMessage)}
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

// CreateACLs creates bindings; one that is there stays. The error names the first that was refused; those after it may have been
// created.
func (a *Admin) CreateACLs(ctx context.Context, bindings []stream.ACL) error {
	if len(bindings) == 0 {
		return nil
	}
	cl, err := a.requester()
	if err != nil {
		return fmt.Errorf("create ACLs: %w", err)
	}
	req := kmsg.NewPtrCreateACLsRequest()
	for _, b := range bindings {
		c := kmsg.NewCreateACLsRequestCreation()
		c.ResourceType, c.ResourcePatternType = kmsg.ACLResourceType(b.ResourceType), kmsg.ACLResourcePatternType(b.PatternType)
		c.ResourceName, c.Principal, c.Host = b.Resource, b.Principal, b.Host
		c.Operation, c.PermissionType = kmsg.ACLOperation(b.Operation), kmsg.ACLPermissionType(b.Permission)
		req.Creations = append(req.Creations, c)
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return fmt.Errorf("create %d ACLs: %w", len(bindings), err)
	}
	for i, r := range resp.Results {
		if err := brokerError(r.ErrorCode, r.ErrorMessage); err != nil && i < len(bindings) {
			return fmt.Errorf("create ACL of %s on %s: %w", bindings[i].Principal, bindings[i].Resource, err)
		}
	}
	return nil
}
