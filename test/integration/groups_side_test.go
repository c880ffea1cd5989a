package integration

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/stream"
)

// commit commits offsets for a group without members.
func (s side) commit(group string, offsets map[stream.Partition]int64) {
	s.t.Helper()
	request := kmsg.NewPtrOffsetCommitRequest()
	request.Group, request.Generation = group, -1
	for p, offset := range offsets {
		topic := kmsg.NewOffsetCommitRequestTopic()
		topic.Topic = p.Topic
		partition := kmsg.NewOffsetCommitRequestTopicPartition()
		partition.Partition, partition.Offset = p.Number, offset
		topic.Partitions = append(topic.Partitions, partition)
		request.Topics = append(request.Topics, topic)
	}
	response, err := request.RequestWith(s.t.Context(), s.coordinated)
	if err != nil {
		s.t.Fatalf("commit %s: %v", group, err)
	}
	for _, t := range response.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				s.t.Fatalf("commit %s: %s/%d: %v", group, t.Topic, p.Partition, err)
			}
		}
	}
}

// committed are the offsets that a group has committed.
func (s side) committed(group string) map[stream.Partition]int64 {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	request := kmsg.NewPtrOffsetFetchRequest()
	asked := kmsg.NewOffsetFetchRequestGroup()
	asked.Group = group
	request.Groups = append(request.Groups, asked)
	var response *kmsg.OffsetFetchResponse
	eventually(s.t, "the offsets of "+group, func() (err error) { // the first question of all finds no coordinator yet
		response, err = request.RequestWith(ctx, s.coordinated)
		if err == nil && len(response.Groups) != 1 {
			err = fmt.Errorf("%d answers", len(response.Groups))
		}
		if err == nil {
			err = kerr.ErrorForCode(response.Groups[0].ErrorCode)
		}
		return err
	})
	offsets := map[stream.Partition]int64{}
	for _, t := range response.Groups[0].Topics {
		for _, p := range t.Partitions {
			if p.Offset >= 0 {
				offsets[stream.Partition{Topic: t.Topic, Number: p.Partition}] = p.Offset
			}
		}
	}
	return offsets
}
