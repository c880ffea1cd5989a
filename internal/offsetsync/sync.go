package offsetsync

import (
	"encoding/binary"
	"errors"
	"fmt"

	"tandem/internal/stream"
)

// An offset sync as it stands in the topic; integers are big-endian, and the value has no version:
//
//	key    INT16  n       length of the topic name
//	       n bytes        source topic, UTF-8
//	       INT32          source partition
//	value  INT64          upstream offset
//	       INT64          downstream offset
//
// Bytes after these are ignored, as MM2's reader ignores them.

// errShort says that the bytes end before the last field.
var errShort = errors.New("too short")

// Sync says that the record at offset Up of the source partition stands at offset Down of its remote partition.
type Sync struct {
	Source stream.Partition
	Up     stream.Upstream
	Down   stream.Downstream
}

// Record is the sync as a record of the offset-syncs topic, which has one partition.
func (s Sync) Record() stream.Record {
	key := binary.BigEndian.AppendUint16(nil, uint16(len(s.Source.Topic)))
	key = append(key, s.Source.Topic...)
	key = binary.BigEndian.AppendUint32(key, uint32(s.Source.Number))
	value := binary.BigEndian.AppendUint64(nil, uint64(s.Up))
	value = binary.BigEndian.AppendUint64(value, uint64(s.Down))
	return stream.Record{Key: key, Value: value}
}

// Decode reads a record of the offset-syncs topic. A tombstone is an error: MM2 writes none.
func Decode(r stream.Record) (Sync, error) {
	p, err := decodeKey(r.Key)
	if err != nil {
		return Sync{}, fmt.Errorf("decode key of offset sync at %d: %w", r.Offset, err)
	}
	if len(r.Value) < 16 {
		return Sync{}, fmt.Errorf("decode offset sync of %s at %d: %w", p, r.Offset, errShort)
	}
	return Sync{
		Source: p,
		Up:     stream.Upstream(binary.BigEndian.Uint64(r.Value)),
		Down:   stream.Downstream(binary.BigEndian.Uint64(r.Value[8:])),
	}, nil
}

func decodeKey(key []byte) (stream.Partition, error) {
	if len(key) < 2 {
		return stream.Partition{}, errShort
	}
	n := int(int16(binary.BigEndian.Uint16(key)))
	if n < 0 {
		return stream.Partition{}, fmt.Errorf("topic name of negative length %d", n)
	}
	if len(key) < 2+n+4 {
		return stream.Partition{}, errShort
	}
	return stream.Partition{
		Topic:  string(key[2 : 2+n]),
		Number: int32(binary.BigEndian.Uint32(key[2+n:])),
	}, nil
}
