package kafka

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/stream"
)

// OffsetTime is an offset that was found by time, and the timestamp of the record that stands there: zero when an end of the
// log was asked for, or when there is no such record.
type OffsetTime struct {
	Offset int64
	Time   time.Time
}

// Offsets asks for an offset of each partition: the earliest, the latest, or that of the first record whose timestamp
// is at a time (milliseconds) or after it, -1 when there is none. Partitions that could not be answered are in the second map, by
// reason. The error says that nothing was asked at all.
func (a *Admin) Offsets(ctx context.Context, partitions []stream.Partition, at int64) (map[stream.Partition]int64, map[stream.Partition]error, error) {
	found, failed, err := a.OffsetTimes(ctx, partitions, at)
	return offsetsOnly(found), failed, err
}

// OffsetTimes is Offsets with the timestamps of the records that were found.
func (a *Admin) OffsetTimes(ctx context.Context, partitions []stream.Partition, at int64) (map[stream.Partition]OffsetTime, map[stream.Partition]error, error) {
	cl, err := a.requester()
	if err != nil {
		return nil, nil, fmt.Errorf("list offsets: %w", err)
	}
	found, failed := listOffsets(ctx, cl, partitions, at)
	for n := 1; n < attempts; n++ {
		again := withStale(failed)
		if len(again) == 0 {
			break
		}
		_ = wait(ctx, a.client.backoff(n)) // when ctx has ended, the next try ends with it
		more, still := listOffsets(ctx, cl, again, at)
		maps.Copy(found, more)
		for _, p := range again {
			delete(failed, p)
		}
		maps.Copy(failed, still)
	}
	return found, failed, nil
}

// withStale are the partitions that failed because connections had been closed, most often for being idle.
func withStale(failed map[stream.Partition]error) []stream.Partition {
	var partitions []stream.Partition
	for p, err := range failed {
		if stale(err) {
			partitions = append(partitions, p)
		}
	}
	return partitions
}

// Offsets asks for an offset of each partition: the earliest, the latest, or the first at or after a time (milliseconds).
// Partitions that could not be answered are in the second map, by reason.
func (w *Wire) Offsets(ctx context.Context, partitions []stream.Partition, at int64) (map[stream.Partition]int64, map[stream.Partition]error, error) {
	found, failed := listOffsets(ctx, w.client, partitions, at)
	return offsetsOnly(found), failed, nil
}

// StableOffsets asks for the last stable offset of each partition: below it every transaction has ended.
func (w *Wire) StableOffsets(ctx context.Context, partitions []stream.Partition) (map[stream.Partition]int64, map[stream.Partition]error) {
	found, failed := listOffsetsAs(ctx, w.client, partitions, stream.Latest, 1)
	return offsetsOnly(found), failed
}

func offsetsOnly(found map[stream.Partition]OffsetTime) map[stream.Partition]int64 {
	offsets := make(map[stream.Partition]int64, len(found))
	for p, o := range found {
		offsets[p] = o.Offset
	}
	return offsets
}

// listOffsets asks the leaders of the partitions.
func listOffsets(ctx context.Context, cl *kgo.Client, partitions []stream.Partition, at int64) (map[stream.Partition]OffsetTime, map[stream.Partition]error) {
	return listOffsetsAs(ctx, cl, partitions, at, 0)
}

// listOffsetsAs also says as whom to ask: 1 is a reader with read_committed.
func listOffsetsAs(ctx context.Context, cl *kgo.Client, partitions []stream.Partition, at int64, isolation int8) (map[stream.Partition]OffsetTime, map[stream.Partition]error) {
	found, failed := make(map[stream.Partition]OffsetTime, len(partitions)), make(map[stream.Partition]error)
	if len(partitions) == 0 {
		return found, failed
	}
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID, req.IsolationLevel = -1, isolation
	topics := make(places)
	for _, p := range partitions {
		i := topics.at(p.Topic, func() {
			t := kmsg.NewListOffsetsRequestTopic()
			t.Topic = p.Topic
			req.Topics = append(req.Topics, t)
		})
		part := kmsg.NewListOffsetsRequestTopicPartition()
		part.Partition = p.Number
		part.Timestamp = at
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, part)
	}
	for _, shard := range cl.RequestSharded(ctx, req) {
		if shard.Err != nil { // one broker that is away, or a partition without a leader: the others have their answers
			for _, t := range shard.Req.(*kmsg.ListOffsetsRequest).Topics {
				for _, p := range t.Partitions {
					failed[stream.Partition{Topic: t.Topic, Number: p.Partition}] = fmt.Errorf("list offsets: %w", shardError(shard.Err))
				}
			}
			continue
		}
		for _, t := range shard.Resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, p := range t.Partitions {
				key := stream.Partition{Topic: t.Topic, Number: p.Partition}
				if err := brokerError(p.ErrorCode, nil); err != nil {
					failed[key] = err
					continue
				}
				o := OffsetTime{Offset: p.Offset}
				if p.Timestamp >= 0 {
					o.Time = time.UnixMilli(p.Timestamp)
				}
				found[key] = o
			}
		}
	}
	return found, failed
}
