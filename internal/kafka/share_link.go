package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/stream"
)

// shareProtocol is what our members call their way of dividing; members that do not know it are not let in.
const shareProtocol = "tandem"

// shareLink is the requests of a member. kgo finds the coordinator and sends again what a moving one refused; joins and syncs,
// which a broker holds back, have a connection of their own.
type shareLink struct {
	conf   ShareConfig
	client *kgo.Client
}

func newShareLink(c Client, conf ShareConfig) (*shareLink, error) {
	opts, err := c.kgoOpts()
	if err != nil {
		return nil, err
	}
	// A coordinator that died without a word must be noticed within a session.
	opts = append(opts, kgo.RequestTimeoutOverhead(min(max(min(c.requestTimeout, conf.Session), 100*time.Millisecond), 15*time.Minute)))
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("prepare client for %s: %w", c.Bootstrap(), err)
	}
	return &shareLink{conf: conf, client: client}, nil
}

func (l *shareLink) close() { l.client.Close() }

// nullable is what Kafka wants for an instance: none is null.
func nullable(instance string) *string {
	if instance == "" {
		return nil
	}
	return &instance
}

// look counts the partitions of topics; one that does not exist, or not for us, has none.
func (l *shareLink) look(ctx context.Context, topics []string) (map[string]int32, error) {
	counts := make(map[string]int32, len(topics))
	for _, t := range topics {
		counts[t] = 0
	}
	if len(topics) == 0 {
		return counts, nil
	}
	ctx, cancel := context.WithTimeout(ctx, max(l.conf.Session/3, l.conf.Heartbeat))
	defer cancel()
	req := kmsg.NewPtrMetadataRequest()
	for _, name := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &name
		req.Topics = append(req.Topics, t)
	}
	resp, err := req.RequestWith(ctx, l.client)
	if err != nil {
		return nil, fmt.Errorf("count partitions: %w", err)
	}
	for _, t := range resp.Topics {
		if t.Topic != nil && t.ErrorCode == 0 {
			counts[*t.Topic] = int32(len(t.Partitions))
		}
	}
	return counts, nil
}

// round is a division of the partitions that has begun.
type round struct {
	identity
	leader  bool
	members []kmsg.JoinGroupResponseMember // of the leader that is to divide
}

func (l *shareLink) join(ctx context.Context, id string, s *subscription, why string) (round, error) {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.MemberID, req.InstanceID = l.conf.Group, id, nullable(l.conf.Instance)
	req.SessionTimeoutMillis = int32(l.conf.Session.Milliseconds())
	req.RebalanceTimeoutMillis = int32(l.conf.Rebalance.Milliseconds())
	req.ProtocolType, req.Reason = "consumer", &why
	p := kmsg.NewJoinGroupRequestProtocol()
	p.Name, p.Metadata = shareProtocol, s.encode()
	req.Protocols = append(req.Protocols, p)
	resp, err := req.RequestWith(ctx, l.client)
	if err != nil {
		return round{}, shardError(err)
	}
	j := round{identity: identity{resp.MemberID, resp.Generation}, leader: resp.LeaderID == resp.MemberID && !resp.SkipAssignment,
		members: resp.Members}
	return j, brokerError(resp.ErrorCode, nil)
}

// sync hands the leader's division over, and returns our part and what the leader said of all.
func (l *shareLink) sync(ctx context.Context, m identity, parts []kmsg.SyncGroupRequestGroupAssignment) ([]stream.Partition, []shareRow, error) {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Group, req.MemberID, req.InstanceID, req.Generation = l.conf.Group, m.id, nullable(l.conf.Instance), m.generation
	protocolType, protocol := "consumer", shareProtocol
	req.ProtocolType, req.Protocol = &protocolType, &protocol
	req.GroupAssignment = parts
	resp, err := req.RequestWith(ctx, l.client)
	if err != nil {
		return nil, nil, shardError(err)
	}
	if err := brokerError(resp.ErrorCode, nil); err != nil {
		return nil, nil, err
	}
	return decodeAssignment(resp.MemberAssignment)
}

func (l *shareLink) heartbeat(ctx context.Context, m identity) error {
	ctx, cancel := context.WithTimeout(ctx, max(l.conf.Session/3, l.conf.Heartbeat))
	defer cancel()
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.InstanceID, req.Generation = l.conf.Group, m.id, nullable(l.conf.Instance), m.generation
	resp, err := req.RequestWith(ctx, l.client)
	if err != nil {
		return shardError(err)
	}
	return brokerError(resp.ErrorCode, nil)
}

// leave takes us out of the group, a static member too. After a session the group has done it without us.
func (l *shareLink) leave(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, l.conf.Session)
	defer cancel()
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group, req.MemberID = l.conf.Group, id
	m := kmsg.NewLeaveGroupRequestMember()
	m.MemberID, m.InstanceID, m.Reason = id, nullable(l.conf.Instance), kmsg.StringPtr("stopped")
	req.Members = append(req.Members, m)
	resp, err := req.RequestWith(ctx, l.client)
	if err != nil {
		return shardError(err)
	}
	return brokerError(resp.ErrorCode, nil)
}

// divide is the leader's work: it reads what all members want and hold, and says who has what. Members that do not say it in
// a way we know get nothing; the error names the first.
func divide(members []kmsg.JoinGroupResponseMember) (parts []kmsg.SyncGroupRequestGroupAssignment, strange error) {
	var candidates []candidate
	var rows []shareRow
	for _, m := range members {
		row := shareRow{ShareMember: ShareMember{ID: m.MemberID}}
		if m.InstanceID != nil {
			row.Instance = *m.InstanceID
		}
		c := candidate{id: row.ID, instance: row.Instance, generation: -1}
		s, err := decodeSubscription(m.ProtocolMetadata)
		if err == nil {
			row.Host, row.Settings, row.stamp = s.host, s.settings, s.stamp
			c.generation, c.counts, c.keep, c.going = s.generation, s.counts, s.keep.sorted(), s.going.sorted()
		} else if strange == nil {
			strange = fmt.Errorf("member %s: %w", m.MemberID, err)
		}
		candidates, rows = append(candidates, c), append(rows, row)
	}
	shares := balance(candidates)
	for i := range rows {
		rows[i].Partitions, rows[i].pending = len(shares[i].given), shares[i].pending
	}
	for i := range rows {
		part := kmsg.NewSyncGroupRequestGroupAssignment()
		part.MemberID, part.MemberAssignment = rows[i].ID, encodeAssignment(shares[i].given, rows)
		parts = append(parts, part)
	}
	return parts, strange
}

// verdict is what the answer to a member's request means for it.
type verdict int8

const (
	inGroup  verdict = iota // we are in the group as before
	inRound                 // we are, and a round has begun
	unclear                 // nobody knows: the request may be sent again
	outside                 // we are not in the group, or were left out of a round
	mustStop                // a person or the caller has to decide
)

// judge sorts the answers of a coordinator.
func judge(err error) verdict {
	if err == nil {
		return inGroup
	}
	code, ok := stream.CodeOf(err)
	if !ok {
		return unclear
	}
	switch int16(code) {
	case kerr.RebalanceInProgress.Code, kerr.MemberIDRequired.Code:
		return inRound
	case kerr.UnknownMemberID.Code, kerr.IllegalGeneration.Code:
		return outside
	case kerr.FencedInstanceID.Code, kerr.InconsistentGroupProtocol.Code:
		return mustStop
	case kerr.InvalidSessionTimeout.Code, kerr.InvalidGroupID.Code, kerr.UnsupportedVersion.Code, kerr.InvalidRequest.Code:
		return mustStop
	}
	return unclear
}

// refusal is err in words that say what to do; errors that need no words are left as they are.
func (l *shareLink) refusal(err error, bootstrap string) error {
	code, _ := stream.CodeOf(err)
	switch int16(code) {
	case kerr.InconsistentGroupProtocol.Code:
		return fmt.Errorf("join group %s: %w (MirrorMaker 2's workers, or consumers with this group.id): stop them first: %w",
			l.conf.Group, ErrForeignMembers, err)
	case kerr.FencedInstanceID.Code:
		return fmt.Errorf("stay in group %s: %w, %s: give each process one of its own, or none: %w",
			l.conf.Group, ErrFencedInstance, l.conf.Instance, err)
	case kerr.GroupAuthorizationFailed.Code:
		return fmt.Errorf("join group %s: this needs READ on the group (kafka-acls --bootstrap-server %s --add "+
			"--allow-principal User:NAME --operation Read --group '%s'): %w", l.conf.Group, bootstrap, l.conf.Group, err)
	case kerr.InvalidSessionTimeout.Code:
		return fmt.Errorf("join group %s: session.timeout.ms = %d is not between the brokers' group.min.session.timeout.ms and "+
			"group.max.session.timeout.ms: %w", l.conf.Group, l.conf.Session.Milliseconds(), err)
	}
	return fmt.Errorf("join group %s: %w", l.conf.Group, err)
}

// hopeless says that an error of the first join will not pass by itself: who we are, or what we may do, is not accepted.
func hopeless(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	k := Classify(err)
	return k == Authentication || k == Authorization
}

// grown says that a topic has more partitions than it had, or is wanted anew or no more.
func grown(before, now map[string]int32) bool {
	for topic, n := range now {
		if was, ok := before[topic]; !ok || n > was {
			return true
		}
	}
	return len(before) != len(now)
}

// most is the larger count of each wanted topic: partitions never become fewer, and a broker that lags behind tells of fewer.
func most(before map[string]int32, now map[string]int32, topics []string) map[string]int32 {
	counts := make(map[string]int32, len(topics))
	for _, t := range topics {
		counts[t] = max(before[t], now[t])
	}
	return counts
}
