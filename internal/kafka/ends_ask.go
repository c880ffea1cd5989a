package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/stream"
)

// EndsFor asks single brokers where partitions end for a reader: the high watermark, or with committed (isolation.level=read_committed)
// the last stable offset. It makes one request (ListOffsets), or a few where there are thousands of partitions, and tries once more only
// where the connection was one that the broker had closed.
type EndsFor struct {
	client    func(id int32) broker
	committed bool
}

// EndsFor is the Ends of replication.
func (w *Wire) EndsFor(committed bool) *EndsFor {
	return &EndsFor{client: func(id int32) broker { return w.client.Broker(int(id)) }, committed: committed}
}

// Ends asks a broker. A partition that it does not answer for is in the second map, by reason. The error says that it did not answer.
func (e *EndsFor) Ends(ctx context.Context, id int32, partitions []stream.Partition) (map[stream.Partition]stream.Upstream, map[stream.Partition]error, error) {
	ends, failed := make(map[stream.Partition]stream.Upstream, len(partitions)), make(map[stream.Partition]error)
	client := e.client(id)
	for some := range slices.Chunk(partitions, partitionsPerRequest) {
		answer, err := client.Request(ctx, listLatest(some, e.committed))
		if err != nil && stale(err) {
			answer, err = client.Request(ctx, listLatest(some, e.committed))
		}
		if err != nil {
			return ends, failed, fmt.Errorf("list offsets: %w", err)
		}
		resp, ok := answer.(*kmsg.ListOffsetsResponse)
		if !ok {
			return ends, failed, errors.New("list offsets: an answer of another kind")
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				key := stream.Partition{Topic: t.Topic, Number: p.Partition}
				if err := brokerError(p.ErrorCode, nil); err != nil {
					failed[key] = err
					continue
				}
				ends[key] = stream.Upstream(p.Offset)
			}
		}
	}
	return ends, failed, nil
}

func listLatest(partitions []stream.Partition, committed bool) *kmsg.ListOffsetsRequest {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	if committed {
		req.IsolationLevel = 1
	}
	topics := make(places)
	for _, p := range partitions {
		i := topics.at(p.Topic, func() {
			t := kmsg.NewListOffsetsRequestTopic()
			t.Topic = p.Topic
			req.Topics = append(req.Topics, t)
		})
		part := kmsg.NewListOffsetsRequestTopicPartition()
		part.Partition, part.Timestamp, part.CurrentLeaderEpoch = p.Number, stream.Latest, -1
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, part)
	}
	return req
}
