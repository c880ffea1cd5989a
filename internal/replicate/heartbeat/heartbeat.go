package heartbeat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"tandem/internal/stream"
)

// A heartbeat as it stands in the topic. Integers are big-endian, STRING is INT16 byte length and UTF-8. The record's
// timestamp is the value's.
//
//	key    STRING  source cluster alias
//	       STRING  target cluster alias
//	value  INT16   version, 0; readers ignore it
//	       INT64   timestamp in milliseconds
//
// Bytes after these are ignored, as MM2's readers ignore them.

// Topic is where heartbeats stand, on every cluster.
const Topic = "heartbeats" // the separator of a replication policy never touches this name

var errShort = errors.New("too short")

// Heartbeat says that a flow's emitter was alive at a time.
type Heartbeat struct {
	Flow stream.Flow
	At   time.Time // to the millisecond
}

// Record is the heartbeat as a record of the heartbeats topic.
func (h Heartbeat) Record() stream.Record {
	millis := h.At.UnixMilli()
	value := binary.BigEndian.AppendUint64([]byte{0, 0}, uint64(millis))
	return stream.Record{
		Key:       appendString(appendString(nil, h.Flow.Source), h.Flow.Target),
		Value:     value,
		Timestamp: time.UnixMilli(millis),
	}
}

// Decode reads a record of a heartbeats topic, or of a replica of one.
func Decode(r stream.Record) (Heartbeat, error) {
	source, rest, err := readString(r.Key)
	if err != nil {
		return Heartbeat{}, fmt.Errorf("decode source alias of heartbeat at %d: %w", r.Offset, err)
	}
	target, _, err := readString(rest)
	if err != nil {
		return Heartbeat{}, fmt.Errorf("decode target alias of heartbeat at %d: %w", r.Offset, err)
	}
	if len(r.Value) < 2+8 {
		return Heartbeat{}, fmt.Errorf("decode heartbeat at %d: %w", r.Offset, errShort)
	}
	return Heartbeat{
		Flow: stream.Flow{Source: source, Target: target},
		At:   time.UnixMilli(int64(binary.BigEndian.Uint64(r.Value[2:]))),
	}, nil
}

func appendString(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

func readString(b []byte) (s string, rest []byte, err error) {
	if len(b) < 2 {
		return "", nil, errShort
	}
	n := int(int16(binary.BigEndian.Uint16(b)))
	if n < 0 {
		return "", nil, fmt.Errorf("negative length %d", n)
	}
	if len(b) < 2+n {
		return "", nil, errShort
	}
	return string(b[2 : 2+n]), b[2+n:], nil
}
