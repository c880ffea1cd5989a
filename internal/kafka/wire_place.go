package kafka

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/stream"
)

// ReadPlace fetches once what lies at and after a place, up to about MaxBytes, outside of any session, and waits for nothing: at
// the end of the log the answer is empty. It heeds the topic id of the place, and its LastEpoch where the broker does (see
// Fetched.Unguarded). What the broker says of the partition is both in Fetched.Err and in the error.
//
// Leaders are remembered from one call to the next; one that has moved is looked up again, once in a call.
func (w *Wire) ReadPlace(ctx context.Context, p stream.Place, committed bool) (stream.Fetched, error) {
	for again := false; ; again = true {
		leader, cached, err := w.leader(ctx, p)
		if err != nil {
			return stream.Fetched{Partition: p.Partition}, fmt.Errorf("read %s at %d: %w", p.Partition, p.Offset, err)
		}
		f, err := w.readAt(ctx, leader, p, committed)
		if err == nil {
			return f, nil
		}
		if code, ok := stream.CodeOf(err); !ok || slices.Contains(moved, code) {
			w.forgetLeaders(p.Partition.Topic)
			if cached && !again && ctx.Err() == nil {
				continue
			}
		}
		return f, fmt.Errorf("read %s at %d: %w", p.Partition, p.Offset, err)
	}
}

// moved are the answers of a broker that does not serve a partition, or does not know what others may know by now.
var moved = []stream.Code{
	stream.CodeNotLeaderOrFollower, stream.CodeUnknownTopicOrPartition, stream.CodeUnknownTopicID, stream.CodeInconsistentTopicID,
	stream.CodeLeaderNotAvailable, stream.CodeReplicaNotAvailable, stream.CodeFencedLeaderEpoch, stream.CodeUnknownLeaderEpoch,
	stream.CodeKafkaStorageError, stream.CodeOffsetNotAvailable,
}

func (w *Wire) readAt(ctx context.Context, leader int32, p stream.Place, committed bool) (stream.Fetched, error) {
	s := w.Session(leader, committed)
	s.epoch = -1 // no session
	s.Set(p)
	all, err := s.Fetch(ctx, stream.FetchBounds{MinBytes: 1, MaxBytes: p.MaxBytes})
	if err != nil || len(all) == 0 {
		return stream.Fetched{Partition: p.Partition}, err
	}
	return all[0], all[0].Err
}

// leaders are those of a topic, by partition; -1 where there is none.
type leaders struct {
	topic stream.TopicID
	nodes []int32
}

// leader finds who leads the partition of a place, in what is remembered (cached) or by a question about its topic.
func (w *Wire) leader(ctx context.Context, p stream.Place) (node int32, cached bool, err error) {
	w.mu.Lock()
	known, ok := w.leads[p.Partition.Topic]
	w.mu.Unlock()
	if node, err := known.of(p); ok && err == nil {
		return node, true, nil
	}
	if known, err = w.askLeaders(ctx, p.Partition.Topic); err != nil {
		return -1, false, err
	}
	w.mu.Lock()
	w.leads[p.Partition.Topic] = known
	w.mu.Unlock()
	node, err = known.of(p)
	return node, false, err
}

// of is the leader of a partition; brokers without topic ids may have another topic of that name.
func (l leaders) of(p stream.Place) (int32, error) {
	none := stream.TopicID{}
	n := int(p.Partition.Number)
	switch {
	case p.Topic != none && l.topic != none && p.Topic != l.topic:
		return -1, brokerError(kerr.UnknownTopicID.Code, nil)
	case n >= len(l.nodes) || l.nodes[n] < 0:
		return -1, brokerError(kerr.LeaderNotAvailable.Code, nil)
	}
	return l.nodes[n], nil
}

func (w *Wire) forgetLeaders(topic string) {
	w.mu.Lock()
	delete(w.leads, topic)
	w.mu.Unlock()
}

func (w *Wire) askLeaders(ctx context.Context, topic string) (leaders, error) {
	req := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &topic
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, w.client)
	if err != nil {
		return leaders{}, fmt.Errorf("read metadata: %w", err)
	}
	if len(resp.Topics) != 1 {
		return leaders{}, fmt.Errorf("read metadata: %d topics in the answer", len(resp.Topics))
	}
	answer := resp.Topics[0]
	if err := brokerError(answer.ErrorCode, nil); err != nil {
		return leaders{}, fmt.Errorf("read metadata: %w", err)
	}
	l := leaders{topic: answer.TopicID, nodes: slices.Repeat([]int32{-1}, len(answer.Partitions))}
	for _, part := range answer.Partitions {
		if n := int(part.Partition); n >= 0 && n < len(l.nodes) {
			l.nodes[n] = part.Leader
		}
	}
	return l, nil
}
