package main

import (
	"context"
	"encoding/json"
	"fmt"

	"tandem/internal/replicate"
	"tandem/internal/stream"
)

// refusedTopicConfigs keep refused records for good, whatever their size.
var refusedTopicConfigs = map[string]string{"cleanup.policy": "delete", "retention.ms": "-1", "max.message.bytes": "104857600"}

// refusedPlace is the key of a record in the topic of refused records: where it stood, and why it is here. The value is a
// record batch (magic 2) with the one record: key, value, headers and timestamp as they were.
type refusedPlace struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Remote    string `json:"remote"`
	Reason    string `json:"reason"`
}

// setAside keeps a refused record in mm2-tandem-refused.A.internal on the target.
func (r *replication) setAside(ctx context.Context, refused replicate.Refused) error {
	topic := "mm2-tandem-refused." + r.conf().Source + ".internal"
	key, err := json.Marshal(refusedPlace{
		Topic: refused.Source.Topic, Partition: refused.Source.Number, Offset: int64(refused.Offset),
		Remote: refused.Remote.Topic, Reason: refused.Reason,
	})
	if err != nil {
		return err
	}
	created, err := r.clients.target.CreateTopics(ctx, []stream.NewTopic{{Name: topic, Partitions: 1, Factor: r.conf().OffsetsFactor, Configs: refusedTopicConfigs}})
	if err == nil {
		err = created[topic]
	}
	if err == nil {
		err = r.clients.target.Append(ctx, topic, []stream.Record{{Key: key, Value: refused.Batch}})
	}
	if err != nil {
		return fmt.Errorf("set refused record at offset %d of %s aside in %s: %w", refused.Offset, refused.Source, topic, err)
	}
	return nil
}
