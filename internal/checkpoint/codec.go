package checkpoint

import (
	"encoding/binary"
	"fmt"

	"tandem/internal/stream"
)

// A checkpoint as MM2 writes it. Integers are big-endian, STRING is INT16 byte length and UTF-8. The record's timestamp is
// when the group's offsets were asked for.
//
//	key    STRING  group
//	       STRING  topic on the target
//	       INT32   partition
//	value  INT16   version, 0; readers ignore it
//	       INT64   upstream offset
//	       INT64   downstream offset
//	       STRING  metadata
//
// Bytes after these are ignored, as MM2's readers ignore them. There are no tombstones: one breaks the start of MM2.

func encodeCheckpoint(c stream.Checkpoint) (stream.Record, error) {
	if err := fits(c.Group, c.Remote.Topic, c.Metadata); err != nil {
		return stream.Record{}, fmt.Errorf("encode checkpoint of group %.50q: %w", c.Group, err)
	}
	key := make([]byte, 0, 2+len(c.Group)+2+len(c.Remote.Topic)+4)
	key = appendString(appendString(key, c.Group), c.Remote.Topic)
	key = binary.BigEndian.AppendUint32(key, uint32(c.Remote.Number))

	value := append(make([]byte, 0, 2+8+8+2+len(c.Metadata)), 0, 0)
	value = binary.BigEndian.AppendUint64(value, uint64(c.Up))
	value = binary.BigEndian.AppendUint64(value, uint64(c.Down))
	value = appendString(value, c.Metadata)
	return stream.Record{Key: key, Value: value, Timestamp: c.At}, nil
}

// decodeCheckpointKey leaves the value's fields of the checkpoint empty.
func decodeCheckpointKey(key []byte) (stream.Checkpoint, error) {
	r := reader{rest: key}
	c := stream.Checkpoint{Group: r.string(), Remote: stream.Partition{Topic: r.string(), Number: r.int32()}}
	if r.err == nil && c.Remote.Number < 0 {
		r.fail(fmt.Errorf("partition %d", c.Remote.Number))
	}
	return c, r.err
}

func decodeCheckpoint(rec stream.Record) (stream.Checkpoint, error) {
	c, err := decodeCheckpointKey(rec.Key)
	if err != nil {
		return stream.Checkpoint{}, fmt.Errorf("decode key of checkpoint: %w", err)
	}
	r := reader{rest: rec.Value}
	r.int16() // the version
	c.Up, c.Down = stream.Upstream(r.int64()), stream.Downstream(r.int64())
	c.Metadata = r.string()
	if r.err == nil && (c.Up < 0 || c.Down < 0) {
		r.fail(fmt.Errorf("offset below 0"))
	}
	if r.err != nil {
		return stream.Checkpoint{}, fmt.Errorf("decode checkpoint of group %s for %s: %w", c.Group, c.Remote, r.err)
	}
	c.At = rec.Timestamp
	return c, nil
}
