package kafka

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"tandem/internal/stream"
)

// ClusterLook is what a cluster says of itself.
type ClusterLook struct {
	ID      string
	Via     string        // address of the broker that answered first
	Took    time.Duration // until then, connecting included
	Brokers []BrokerLook  // by node id
}

// BrokerLook is what one broker says of itself.
type BrokerLook struct {
	ID      int32
	Address string
	Err     error    // it does not answer
	Version string   // the release that its requests are those of, such as "v3.9"
	Lacks   []string // of what Tandem uses where it is there, by name
}

// features are requests that Tandem can do without, and what it then does otherwise.
var features = []struct {
	key     kmsg.Key
	version int16
	name    string
}{
	{kmsg.DescribeProducers, 0, "DescribeProducers (Kafka 2.8)"},
	{kmsg.Fetch, 13, "topic ids (Kafka 3.1)"},
	{kmsg.IncrementalAlterConfigs, 0, "IncrementalAlterConfigs (Kafka 2.3)"},
}

// Look asks a cluster, and each of its brokers, who they are.
func (a *Admin) Look(ctx context.Context) (ClusterLook, error) {
	cl, err := a.requester()
	if err != nil {
		return ClusterLook{}, fmt.Errorf("look at the cluster: %w", err)
	}
	began := time.Now()
	shard := cl.RequestSharded(ctx, kmsg.NewPtrDescribeClusterRequest())[0]
	err = shardError(shard.Err)
	resp, _ := shard.Resp.(*kmsg.DescribeClusterResponse)
	if err == nil {
		err = brokerError(resp.ErrorCode, resp.ErrorMessage)
	}
	if err != nil {
		return ClusterLook{}, fmt.Errorf("look at cluster %s: %w", a.client.Bootstrap(), err)
	}
	look := ClusterLook{ID: resp.ClusterID, Took: time.Since(began), Via: fmt.Sprintf("%s:%d", shard.Meta.Host, shard.Meta.Port),
		Brokers: make([]BrokerLook, len(resp.Brokers))}
	var group sync.WaitGroup
	for i, b := range resp.Brokers {
		look.Brokers[i] = BrokerLook{ID: b.NodeID, Address: fmt.Sprintf("%s:%d", b.Host, b.Port)}
		group.Go(func() { look.Brokers[i].ask(ctx, cl.Broker(int(b.NodeID))) })
	}
	group.Wait()
	slices.SortFunc(look.Brokers, func(a, b BrokerLook) int { return int(a.ID) - int(b.ID) })
	return look, nil
}

func (b *BrokerLook) ask(ctx context.Context, to *kgo.Broker) {
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = softwareName, softwareVersion
	resp, err := req.RequestWith(ctx, to)
	if err == nil {
		err = brokerError(resp.ErrorCode, nil)
	}
	if err != nil {
		b.Err = err
		return
	}
	versions := kversion.FromApiVersionsResponse(resp)
	b.Version = versions.VersionGuess()
	for _, f := range features {
		if most, ok := versions.LookupMaxKeyVersion(f.key.Int16()); !ok || most < f.version {
			b.Lacks = append(b.Lacks, f.name)
		}
	}
}

// Clock is how far the clock of the cluster's controller is ahead of ours, give or take within. It needs Describe on the cluster,
// and KRaft; known is false without.
func (a *Admin) Clock(ctx context.Context) (ahead, within time.Duration, known bool, err error) {
	cl, err := a.requester()
	if err != nil {
		return 0, 0, false, fmt.Errorf("ask for the time: %w", err)
	}
	if supported, err := supports(ctx, cl, kmsg.DescribeQuorum); err != nil || !supported {
		return 0, 0, false, err
	}
	for range 2 { // the first one may have to connect, which takes long and so tells little
		req := kmsg.NewPtrDescribeQuorumRequest()
		t, p := kmsg.NewDescribeQuorumRequestTopic(), kmsg.NewDescribeQuorumRequestTopicPartition()
		t.Topic, t.Partitions = "__cluster_metadata", append(t.Partitions, p)
		req.Topics = append(req.Topics, t)
		began := time.Now()
		resp, err := req.RequestWith(ctx, cl)
		took := time.Since(began)
		if err != nil {
			return 0, 0, false, fmt.Errorf("ask for the time: %w", err)
		}
		known = false
		if resp.ErrorCode != 0 { // no right, or a cluster with ZooKeeper
			return 0, 0, false, nil
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				for _, v := range slices.Concat(p.CurrentVoters, p.Observers) {
					if v.ReplicaID == p.LeaderID && v.LastCaughtUpTimestamp > 0 { // the leader says the present of itself
						ahead, within, known = time.UnixMilli(v.LastCaughtUpTimestamp).Sub(began.Add(took/2)), took/2+time.Millisecond, true
					}
				}
			}
		}
	}
	return ahead, within, known, nil
}

// GroupProtocol is the protocol type of a group that has members ("consumer", "connect", ...), and who they are, as client id
// and host. It is empty where no group has members, or we may not see it. No group is created by it.
func (a *Admin) GroupProtocol(ctx context.Context, group string) (protocol string, members []string, err error) {
	members, err = a.GroupMembers(ctx, group)
	if err != nil || len(members) == 0 {
		return "", nil, err
	}
	listed, err := a.listGroups(ctx)
	return listed[group].protocol, members, err
}

// Transactional are those of the topics that have producers at the moment which use transactions. It needs Read on them; topics that
// may not be asked for are passed over, and so are brokers before Kafka 2.8.
func (a *Admin) Transactional(ctx context.Context, topics []stream.Topic) ([]string, error) {
	cl, err := a.requester()
	if err != nil {
		return nil, fmt.Errorf("look for transactions: %w", err)
	}
	if supported, err := supports(ctx, cl, kmsg.DescribeProducers); err != nil || !supported {
		return nil, err
	}
	found := make(map[string]bool)
	for batch := range slices.Chunk(topics, topicsPerRequest) {
		req := kmsg.NewPtrDescribeProducersRequest()
		for _, topic := range batch {
			t := kmsg.NewDescribeProducersRequestTopic()
			t.Topic = topic.Name
			for n := range topic.Partitions {
				t.Partitions = append(t.Partitions, n)
			}
			req.Topics = append(req.Topics, t)
		}
		for _, shard := range cl.RequestSharded(ctx, req) {
			if shard.Err != nil {
				if err == nil {
					err = fmt.Errorf("look for transactions: %w", shardError(shard.Err))
				}
				continue
			}
			for _, t := range shard.Resp.(*kmsg.DescribeProducersResponse).Topics {
				for _, p := range t.Partitions {
					for _, producer := range p.ActiveProducers {
						if p.ErrorCode == 0 && (producer.CoordinatorEpoch >= 0 || producer.CurrentTxnStartOffset >= 0) {
							found[t.Topic] = true
						}
					}
				}
			}
		}
	}
	var names []string
	for _, t := range topics {
		if found[t.Name] {
			names = append(names, t.Name)
		}
	}
	return names, err
}

// Authorizer says whether the cluster has one. told is false where we may not ask.
func (a *Admin) Authorizer(ctx context.Context) (has, told bool, err error) {
	cl, err := a.requester()
	if err != nil {
		return false, false, fmt.Errorf("ask for an authorizer: %w", err)
	}
	req := kmsg.NewPtrDescribeACLsRequest()
	req.ResourceType, req.ResourcePatternType = kmsg.ACLResourceTypeCluster, kmsg.ACLResourcePatternTypeLiteral
	req.ResourceName = kmsg.StringPtr("kafka-cluster")
	req.Operation, req.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return false, false, fmt.Errorf("ask for an authorizer: %w", err)
	}
	switch resp.ErrorCode {
	case kerr.SecurityDisabled.Code:
		return false, true, nil
	case 0, kerr.ClusterAuthorizationFailed.Code:
		return true, true, nil
	}
	return false, false, nil
}

// Principal is who brokers take us for, as ACLs name it by default; empty where the settings do not tell.
func (c Client) Principal() string {
	stores, login := c.security.current()
	switch {
	case login != nil:
		if login.principal != "" {
			return "User:" + login.principal
		}
	case stores != nil:
		if certificates := stores.current().conf.Certificates; len(certificates) > 0 && len(certificates[0].Certificate) > 0 {
			if leaf, err := x509.ParseCertificate(certificates[0].Certificate[0]); err == nil {
				return "User:" + distinguished(leaf)
			}
			return ""
		}
		return "User:ANONYMOUS"
	default:
		return "User:ANONYMOUS"
	}
	return ""
}

// distinguished is the name of a certificate's owner as Java writes it (RFC 2253), which is what a broker makes a principal of.
func distinguished(c *x509.Certificate) string {
	var names pkix.RDNSequence
	if _, err := asn1.Unmarshal(c.RawSubject, &names); err != nil {
		return c.Subject.String()
	}
	return names.String()
}
