package kafka

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/stream"
)

// noOffset is what a broker says of a partition for which a group has committed nothing.
const noOffset = -1

// GroupOffsets asks for the committed offsets of groups. A group that has none, or does not exist, has an empty map; one that
// could not be answered is in the second map instead, by reason. Offsets that belong to open transactions are not
// waited for: what was committed before them is answered, as MM2 has it.
//
// The error says that the call ended before each group had its answer: ctx ended, or no broker is there.
func (a *Admin) GroupOffsets(ctx context.Context, ids []string) (map[string]map[stream.Partition]stream.Committed, map[string]error, error) {
	var mu sync.Mutex
	offsets := make(map[string]map[stream.Partition]stream.Committed, len(ids))
	failed, err := a.atCoordinators(ctx, ids, func(ctx context.Context, b *kgo.Broker, groups []string) (map[string]error, error) {
		answers, err := fetchOffsets(ctx, b, groups)
		refused := make(map[string]error)
		mu.Lock()
		defer mu.Unlock()
		for _, g := range answers {
			committed, err := committedOf(g)
			if err != nil {
				refused[g.Group] = err
				continue
			}
			offsets[g.Group] = committed
		}
		return refused, err
	})
	for id, why := range failed {
		delete(offsets, id)
		failed[id] = fmt.Errorf("fetch offsets of group %s: %w", id, why)
	}
	if err != nil {
		return offsets, failed, fmt.Errorf("fetch offsets of %d groups: %w", len(ids), err)
	}
	return offsets, failed, nil
}

// fetchOffsets asks a coordinator for all offsets of some groups. Before version 8 of the request (Kafka 3.0) it named one group,
// in a field that newer versions do not send: filled with the first group, one request fits all brokers, and the version of the
// answer tells whether the others have still to be asked for.
func fetchOffsets(ctx context.Context, b *kgo.Broker, ids []string) ([]kmsg.OffsetFetchResponseGroup, error) {
	var answers []kmsg.OffsetFetchResponseGroup
	for len(ids) > 0 {
		req := kmsg.NewPtrOffsetFetchRequest()
		req.Group = ids[0] // no topics: all of them
		for _, id := range ids {
			g := kmsg.NewOffsetFetchRequestGroup()
			g.Group = id
			req.Groups = append(req.Groups, g)
		}
		resp, err := req.RequestWith(ctx, b)
		if err != nil {
			return answers, err
		}
		if resp.Version >= 8 {
			return resp.Groups, nil
		}
		g := kmsg.OffsetFetchResponseGroup{Group: ids[0], ErrorCode: resp.ErrorCode}
		for _, t := range resp.Topics {
			topic := kmsg.OffsetFetchResponseGroupTopic{Topic: t.Topic}
			for _, p := range t.Partitions {
				topic.Partitions = append(topic.Partitions, kmsg.OffsetFetchResponseGroupTopicPartition{
					Partition: p.Partition, Offset: p.Offset, Metadata: p.Metadata, ErrorCode: p.ErrorCode,
				})
			}
			g.Topics = append(g.Topics, topic)
		}
		answers, ids = append(answers, g), ids[1:]
	}
	return answers, nil
}

func committedOf(g kmsg.OffsetFetchResponseGroup) (map[stream.Partition]stream.Committed, error) {
	room := 0
	for _, t := range g.Topics {
		room += len(t.Partitions)
	}
	committed := make(map[stream.Partition]stream.Committed, room)
	if g.ErrorCode == kerr.GroupIDNotFound.Code {
		return committed, nil
	}
	if err := brokerError(g.ErrorCode, nil); err != nil {
		return nil, err
	}
	for _, t := range g.Topics {
		for _, p := range t.Partitions {
			at := stream.Partition{Topic: t.Topic, Number: p.Partition}
			if err := brokerError(p.ErrorCode, nil); err != nil {
				return nil, fmt.Errorf("%s: %w", at, err)
			}
			if p.Offset == noOffset {
				continue
			}
			c := stream.Committed{Offset: p.Offset}
			if p.Metadata != nil {
				c.Metadata = *p.Metadata
			}
			committed[at] = c
		}
	}
	return committed, nil
}

// CommitOffsets commits offsets for a group without members, without a leader epoch: that of a record on this cluster is not
// known, and a wrong one would make consumers look for a truncation that never was. A group that does not exist comes into
// being.
//
// Partitions that were refused are in the map by reason, such as CodeUnknownTopicOrPartition; all others are committed when
// the error is nil. The error says that the group as a whole was refused (CodeUnknownMemberID: it has members and commits for
// itself) or could not be reached; of more than a thousand partitions, a part may be committed then.
func (a *Admin) CommitOffsets(ctx context.Context, group string, offsets map[stream.Partition]stream.Committed) (map[stream.Partition]error, error) {
	refused := make(map[stream.Partition]error)
	err := a.inParts(ctx, group, slices.Collect(maps.Keys(offsets)), func(ctx context.Context, b *kgo.Broker, part []stream.Partition) (error, error) {
		resp, err := commitRequest(group, part, offsets).RequestWith(ctx, b)
		if err != nil {
			return nil, err
		}
		answered := make(map[stream.Partition]error, len(part))
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				err := brokerError(p.ErrorCode, nil)
				if ofGroup(p.ErrorCode) {
					return err, nil
				}
				answered[stream.Partition{Topic: t.Topic, Number: p.Partition}] = err
			}
		}
		for _, p := range part {
			if err, ok := answered[p]; !ok {
				return fmt.Errorf("no answer for %s: %w", p, brokerError(kerr.UnknownServerError.Code, nil)), nil
			} else if err != nil {
				refused[p] = err
			}
		}
		return nil, nil
	})
	if err != nil {
		return refused, fmt.Errorf("commit offsets of group %s: %w", group, err)
	}
	return refused, nil
}

func commitRequest(group string, partitions []stream.Partition, offsets map[stream.Partition]stream.Committed) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group = group
	req.Generation = -1 // with no member id: whoever commits is not a member
	topics := make(places)
	for _, p := range partitions {
		i := topics.at(p.Topic, func() {
			t := kmsg.NewOffsetCommitRequestTopic()
			t.Topic = p.Topic
			req.Topics = append(req.Topics, t)
		})
		c := kmsg.NewOffsetCommitRequestTopicPartition()
		c.Partition = p.Number
		c.Offset = offsets[p].Offset
		c.LeaderEpoch = -1
		c.Metadata = kmsg.StringPtr(offsets[p].Metadata)
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, c)
	}
	return req
}

// DeleteOffsets deletes what a group has committed for the partitions. Having committed nothing there is no error, nor is a
// topic that is gone, since its offsets went with it. A group that does not exist is refused with CodeGroupIDNotFound, one
// whose members are subscribed to a topic with CodeGroupSubscribedToTopic; the first refusal ends the call, and the
// partitions that were not refused may have been deleted.
func (a *Admin) DeleteOffsets(ctx context.Context, group string, partitions []stream.Partition) error {
	err := a.inParts(ctx, group, partitions, func(ctx context.Context, b *kgo.Broker, part []stream.Partition) (error, error) {
		req := kmsg.NewPtrOffsetDeleteRequest()
		req.Group = group
		topics := make(places)
		for _, p := range part {
			i := topics.at(p.Topic, func() {
				t := kmsg.NewOffsetDeleteRequestTopic()
				t.Topic = p.Topic
				req.Topics = append(req.Topics, t)
			})
			d := kmsg.NewOffsetDeleteRequestTopicPartition()
			d.Partition = p.Number
			req.Topics[i].Partitions = append(req.Topics[i].Partitions, d)
		}
		resp, err := req.RequestWith(ctx, b)
		if err != nil {
			return nil, err
		}
		if err := brokerError(resp.ErrorCode, nil); err != nil {
			return err, nil
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				if err := brokerError(p.ErrorCode, nil); err != nil && p.ErrorCode != kerr.UnknownTopicOrPartition.Code {
					return fmt.Errorf("%s/%d: %w", t.Topic, p.Partition, err), nil
				}
			}
		}
		return nil, nil
	})
	if err != nil {
		return fmt.Errorf("delete offsets of group %s: %w", group, err)
	}
	return nil
}

// inParts sends requests about partitions of one group to its coordinator, so many partitions at a time, in order; one that has
// been answered is not sent again. send answers with a refusal of the whole group, and with an error of the request.
func (a *Admin) inParts(ctx context.Context, group string, partitions []stream.Partition,
	send func(ctx context.Context, b *kgo.Broker, part []stream.Partition) (refused, err error),
) error {
	left := slices.Clone(partitions)
	slices.SortFunc(left, func(x, y stream.Partition) int {
		return cmp.Or(cmp.Compare(x.Topic, y.Topic), cmp.Compare(x.Number, y.Number))
	})
	left = slices.Compact(left)
	if len(left) == 0 {
		return nil
	}
	failed, err := a.atCoordinators(ctx, []string{group}, func(ctx context.Context, b *kgo.Broker, _ []string) (map[string]error, error) {
		for len(left) > 0 {
			part := left[:min(partitionsPerRequest, len(left))]
			if refused, err := send(ctx, b, part); err != nil || refused != nil {
				return map[string]error{group: refused}, err
			}
			left = left[len(part):]
		}
		return nil, nil
	})
	if err == nil {
		err = failed[group]
	}
	return err
}

// ofGroup says that an error code, although a broker gives it for each partition, is about the group.
func ofGroup(code int16) bool {
	switch code {
	case kerr.CoordinatorLoadInProgress.Code, kerr.CoordinatorNotAvailable.Code, kerr.NotCoordinator.Code, // it passes
		kerr.UnknownMemberID.Code, kerr.IllegalGeneration.Code, kerr.RebalanceInProgress.Code, // it has members
		kerr.StaleMemberEpoch.Code, kerr.FencedMemberEpoch.Code, kerr.FencedInstanceID.Code,
		kerr.GroupIDNotFound.Code, kerr.InvalidGroupID.Code, // it is of another type, or has no name
		kerr.GroupAuthorizationFailed.Code:
		return true
	}
	return false
}
