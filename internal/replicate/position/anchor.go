package position

import (
	"encoding/binary"
	"errors"
	"fmt"

	"tandem/internal/stream"
)

// Tandem's own records. Integers are big-endian, STRING is INT16 byte length and UTF-8, and bytes after the last field
// are an error: a newer version has a newer version byte.
//
//	producer   key    INT8   1    version
//	                  INT8   'P'  kind
//	           value  INT8   1    version
//	                  INT64       producer id
//	                  INT16       producer epoch
//
//	origin     key    INT8   1    version
//	                  INT8   'O'  kind
//	                  INT64       a producer id that the flow has, or had
//	           value  INT8   1    version
//
//	anchor     key    INT8   1    version
//	                  INT8   'A'  kind
//	                  STRING      remote topic
//	                  INT32       remote partition
//	           value  INT8   1    version
//	                  16 bytes    source topic id, zero when unknown
//	                  INT64       next source offset
//	                  INT32       next sequence number
//	                  INT64       next target offset, -1 when unknown
//	                  INT32       leader epoch at the source, -1 when unknown
const (
	version      = stream.TandemVersion
	kindProducer = stream.KindProducer
	kindOrigin   = stream.KindOrigin
	kindAnchor   = stream.KindAnchor

	producerValueLen = 1 + 8 + 2
	originKeyLen     = 2 + 8
	originValueLen   = 1
	anchorValueLen   = 1 + 16 + 8 + 4 + 8 + 4
)

var (
	errLength  = errors.New("wrong length")
	errVersion = errors.New("written by a newer Tandem; upgrade this one")
)

// Producer is the identity with which a flow appends: one producer id for all of its remote partitions.
type Producer struct {
	ID    int64
	Epoch int16
}

// Anchor ties a place in a source partition to a place in its remote partition: the record at NextUp is to be appended
// with sequence number NextSequence, and will get offset NextDown if nobody else writes.
type Anchor struct {
	Source       stream.TopicID // of the source topic; another id means that the topic was made anew
	NextUp       stream.Upstream
	NextSequence int32
	NextDown     stream.Downstream // -1 when unknown
	LeaderEpoch  int32             // of the last replicated record's batch at the source; -1 when unknown
}

func encodeProducer(p Producer) stream.Record {
	value := binary.BigEndian.AppendUint64([]byte{version}, uint64(p.ID))
	value = binary.BigEndian.AppendUint16(value, uint16(p.Epoch))
	return stream.Record{Key: []byte{version, kindProducer}, Value: value}
}

func encodeOrigin(id int64) stream.Record {
	return stream.Record{Key: binary.BigEndian.AppendUint64([]byte{version, kindOrigin}, uint64(id)), Value: []byte{version}}
}

func encodeAnchor(remote stream.Partition, a Anchor) stream.Record {
	key := binary.BigEndian.AppendUint16([]byte{version, kindAnchor}, uint16(len(remote.Topic)))
	key = append(key, remote.Topic...)
	key = binary.BigEndian.AppendUint32(key, uint32(remote.Number))

	value := append(make([]byte, 0, anchorValueLen), version)
	value = append(value, a.Source[:]...)
	value = binary.BigEndian.AppendUint64(value, uint64(a.NextUp))
	value = binary.BigEndian.AppendUint32(value, uint32(a.NextSequence))
	value = binary.BigEndian.AppendUint64(value, uint64(a.NextDown))
	value = binary.BigEndian.AppendUint32(value, uint32(a.LeaderEpoch))
	return stream.Record{Key: key, Value: value}
}

// kindOf is the kind of a record by its key; 0 for a key that is not Tandem's.
func kindOf(key []byte) (byte, error) {
	if len(key) < 2 {
		return 0, nil
	}
	if key[0] != version {
		return 0, errVersion
	}
	return key[1], nil
}

func decodeProducer(r stream.Record) (Producer, error) {
	if len(r.Key) != 2 {
		return Producer{}, fmt.Errorf("key: %w", errLength)
	}
	if err := checkValue(r.Value, producerValueLen); err != nil {
		return Producer{}, err
	}
	return Producer{
		ID:    int64(binary.BigEndian.Uint64(r.Value[1:])),
		Epoch: int16(binary.BigEndian.Uint16(r.Value[9:])),
	}, nil
}

// decodeOriginKey reads a key whose kind is known to be that of an origin.
func decodeOriginKey(key []byte) (int64, error) {
	if len(key) != originKeyLen {
		return 0, fmt.Errorf("key: %w", errLength)
	}
	return int64(binary.BigEndian.Uint64(key[2:])), nil
}

// decodeAnchorKey reads a key whose kind is known to be that of an anchor.
func decodeAnchorKey(key []byte) (stream.Partition, error) {
	if len(key) < 4 {
		return stream.Partition{}, fmt.Errorf("key: %w", errLength)
	}
	n := int(int16(binary.BigEndian.Uint16(key[2:])))
	if n < 0 || len(key) != 4+n+4 {
		return stream.Partition{}, fmt.Errorf("key: %w", errLength)
	}
	return stream.Partition{Topic: string(key[4 : 4+n]), Number: int32(binary.BigEndian.Uint32(key[4+n:]))}, nil
}

func decodeAnchorValue(value []byte) (Anchor, error) {
	if err := checkValue(value, anchorValueLen); err != nil {
		return Anchor{}, err
	}
	return Anchor{
		Source:       stream.TopicID(value[1:17]),
		NextUp:       stream.Upstream(binary.BigEndian.Uint64(value[17:])),
		NextSequence: int32(binary.BigEndian.Uint32(value[25:])),
		NextDown:     stream.Downstream(binary.BigEndian.Uint64(value[29:])),
		LeaderEpoch:  int32(binary.BigEndian.Uint32(value[37:])),
	}, nil
}

func checkValue(value []byte, length int) error {
	switch {
	case len(value) > 0 && value[0] > version:
		return fmt.Errorf("value: %w", errVersion)
	case len(value) != length || value[0] != version:
		return fmt.Errorf("value: %w", errLength)
	}
	return nil
}
