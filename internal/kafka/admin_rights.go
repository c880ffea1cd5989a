package kafka

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// What a login may do is asked without doing it: by the authorized operations that answers carry, and, where no answer does, by
// requests that a broker refuses in any case, once it has looked whether they are allowed.

// operationNames are the operations as kafka-acls writes them, by their number in Kafka's protocol.
var operationNames = map[int]string{
	3: "Read", 4: "Write", 5: "Create", 6: "Delete", 7: "Alter", 8: "Describe", 9: "ClusterAction",
	10: "DescribeConfigs", 11: "AlterConfigs", 12: "IdempotentWrite",
}

func operationsOf(bits int32) []string {
	var names []string
	for n := range 31 {
		if name, ok := operationNames[n]; ok && bits > 0 && bits&(1<<n) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// TopicRights is what we may do with a topic.
type TopicRights struct {
	Exists bool
	// Hidden says that we may not even describe it: whether it exists is not known, nor are rights that do not imply Describe.
	Hidden     bool
	Operations []string // as kafka-acls writes them
}

// TopicRights asks about topics by name, also about names that no topic has; nothing is created by it.
func (a *Admin) TopicRights(ctx context.Context, names []string) (map[string]TopicRights, error) {
	cl, err := a.requester()
	if err != nil {
		return nil, fmt.Errorf("ask for rights on topics: %w", err)
	}
	rights := make(map[string]TopicRights, len(names))
	for batch := range slices.Chunk(names, topicsPerRequest) {
		req := kmsg.NewPtrMetadataRequest()
		req.AllowAutoTopicCreation = false
		req.IncludeTopicAuthorizedOperations = true
		for _, name := range batch {
			t := kmsg.NewMetadataRequestTopic()
			t.Topic = kmsg.StringPtr(name)
			req.Topics = append(req.Topics, t)
		}
		resp, err := req.RequestWith(ctx, cl)
		if err != nil {
			return rights, fmt.Errorf("ask for rights on %d topics: %w", len(batch), err)
		}
		for _, t := range resp.Topics {
			if t.Topic == nil {
				continue
			}
			r := TopicRights{Exists: len(t.Partitions) > 0, Hidden: t.ErrorCode == kerr.TopicAuthorizationFailed.Code}
			if !r.Hidden {
				r.Operations = operationsOf(t.AuthorizedOperations)
			}
			rights[*t.Topic] = r
		}
	}
	return rights, nil
}

// ClusterRights asks what we may do with the cluster as a whole. told is false where we may not describe it, and so do not learn
// what else we may.
func (a *Admin) ClusterRights(ctx context.Context) (operations []string, told bool, err error) {
	cl, err := a.requester()
	if err != nil {
		return nil, false, fmt.Errorf("ask for rights on the cluster: %w", err)
	}
	req := kmsg.NewPtrDescribeClusterRequest()
	req.IncludeClusterAuthorizedOperations = true
	resp, err := req.RequestWith(ctx, cl)
	if err == nil {
		err = brokerError(resp.ErrorCode, resp.ErrorMessage)
	}
	if err != nil {
		return nil, false, fmt.Errorf("ask for rights on the cluster: %w", err)
	}
	return operationsOf(resp.ClusterAuthorizedOperations), resp.ClusterAuthorizedOperations > 0, nil
}

// GroupRights asks whether we may Describe and Read groups, also ones that do not exist. The question goes to any broker:
// to look for the coordinator would create the topic of group offsets.
func (a *Admin) GroupRights(ctx context.Context, groups []string) (map[string][]string, error) {
	b, err := a.oneBroker(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask for rights on groups: %w", err)
	}
	rights := make(map[string][]string, len(groups))
	for batch := range slices.Chunk(groups, groupsPerRequest) {
		described, err := describeClassic(ctx, b, batch)
		if err != nil {
			return rights, fmt.Errorf("ask for rights on %d groups: %w", len(batch), err)
		}
		for _, g := range described {
			rights[g.Group] = []string{}
			if g.ErrorCode != kerr.GroupAuthorizationFailed.Code {
				rights[g.Group] = append(rights[g.Group], "Describe")
			}
		}
	}
	for _, group := range groups {
		// The heartbeat of a member that no group has: refused for want of the right, or for want of the member.
		req := kmsg.NewPtrHeartbeatRequest()
		req.Group, req.Generation, req.MemberID = group, -1, "tandem-check"
		resp, err := req.RequestWith(ctx, b)
		if err != nil {
			return rights, fmt.Errorf("ask for rights on group %s: %w", group, err)
		}
		if resp.ErrorCode != kerr.GroupAuthorizationFailed.Code {
			rights[group] = append(rights[group], "Read")
		}
	}
	return rights, nil
}

// TransactionRights asks whether we may Describe and Write under transactional ids, also ones that do not exist.
func (a *Admin) TransactionRights(ctx context.Context, ids []string) (map[string][]string, error) {
	b, err := a.oneBroker(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask for rights on transactional ids: %w", err)
	}
	rights := make(map[string][]string, len(ids))
	for _, id := range ids {
		// The end of a transaction of a producer that does not exist: refused for want of the right, or for want of the producer.
		req := kmsg.NewPtrEndTxnRequest()
		req.TransactionalID, req.ProducerID, req.ProducerEpoch = id, 1<<63-1, 0
		resp, err := req.RequestWith(ctx, b)
		if err != nil {
			return rights, fmt.Errorf("ask for rights on transactional id %s: %w", id, err)
		}
		rights[id] = []string{}
		if resp.ErrorCode != kerr.TransactionalIDAuthorizationFailed.Code {
			rights[id] = append(rights[id], "Describe", "Write")
		}
	}
	return rights, nil
}

// oneBroker is a broker that answers, for requests that are not to be sent to a coordinator.
func (a *Admin) oneBroker(ctx context.Context) (*kgo.Broker, error) {
	cl, err := a.requester()
	if err != nil {
		return nil, err
	}
	resp, err := kmsg.NewPtrDescribeClusterRequest().RequestWith(ctx, cl)
	if err == nil {
		err = brokerError(resp.ErrorCode, resp.ErrorMessage)
	}
	if err != nil {
		return nil, err
	}
	err = brokerError(kerr.BrokerNotAvailable.Code, nil)
	for _, listed := range resp.Brokers {
		b := cl.Broker(int(listed.NodeID))
		if _, err = supports(ctx, b, kmsg.Heartbeat); err == nil {
			return b, nil
		}
	}
	return nil, err
}
