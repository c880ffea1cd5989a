package offsetsync

import (
	"encoding/binary"
	"errors"
	"fmt"

	"tandem/internal/stream"
)

// A segment as a record of mm2-tandem.A.internal; integers are big-endian, UVARINT as in Go and Protobuf:
//
//	key    INT8   1        version
//	       INT8   'M'      stream.KindRuns
//	       INT16  n        length of the remote topic's name
//	       n bytes         remote topic, UTF-8
//	       INT32           partition
//	       INT64           target offset of the segment's first run
//	value  INT8   1        version
//	       INT8            flags: 1 a topic id follows, 2 counted, 4 begins a generation
//	       16 bytes        id of the source topic (flag 1)
//	       UVARINT         source offset of the first run
//	       UVARINT         source offsets behind the last run that are known to need no copy
//	       steps           see steps.go, to the end
//
// The value's order of steps and the keys' order of offsets is all there is: a segment tells nothing of its neighbours.
// A generation (the source was truncated, or its topic made anew) shows in source offsets that go back, or in another id; the flag
// says it where the segment from which they go back is no more.
const (
	formatVersion = 1
	flagTopic     = 1
	flagCounted   = 2
	flagBreaks    = 4

	segmentLimit = 64 * 1024 // bytes of a value that are looked at; what we write is far below
)

// segmentSize is how many bytes of steps close a segment. Tests make it small, to see many of them.
var segmentSize = 4096

// ErrNewer says that a segment was written by a newer version.
var ErrNewer = errors.New("written by a newer version of Tandem; run that version, or delete the record to have its stretch counted again")

// segment is the index entry of runs that follow one another without a gap. It ends at a place: source records below endUp stand
// below endDown, the others at or above.
type segment struct {
	up, endUp     stream.Upstream
	lastUp        stream.Upstream // where the last run, or noted place, ends; endUp is beyond it where nothing needs a copy
	down, endDown stream.Downstream
	topic         *stream.TopicID
	ops           []byte // nil when the steps are in the partition's builder, in the cache, or only in the topic
	at            int64  // offset of its record in the topic
	runs          int64
	size          int32  // bytes of steps
	version       uint32 // goes up with each change
	changed       bool   // not in the topic as it is; its steps are held in memory until they are
	written       bool   // a record with its key may be in the topic
	breaks        bool   // begins a generation, whatever its offsets
	counted       bool   // lies below the first run that was acknowledged to us: what follows it is counted only when it is wanted
}

func (s *segment) touch() {
	s.version++
	s.changed = true
}

func (s *segment) walk(ops []byte) *cursor { return walk(ops, s.up, s.down) }

func segmentKey(remote stream.Partition, down stream.Downstream) []byte {
	key := []byte{stream.TandemVersion, stream.KindRuns}
	key = binary.BigEndian.AppendUint16(key, uint16(len(remote.Topic)))
	key = append(key, remote.Topic...)
	key = binary.BigEndian.AppendUint32(key, uint32(remote.Number))
	return binary.BigEndian.AppendUint64(key, uint64(down))
}

// RemoteOf is the remote partition of a map segment, by the key of its record; false for records of other kinds.
func RemoteOf(key []byte) (stream.Partition, bool) {
	remote, _, ours, err := parseKey(key)
	return remote, ours && err == nil
}

// parseKey reads the key of a segment; ours says that it is one.
func parseKey(key []byte) (remote stream.Partition, down stream.Downstream, ours bool, err error) {
	if len(key) < 2 || key[1] != stream.KindRuns {
		return remote, 0, false, nil
	}
	if key[0] != stream.TandemVersion {
		return remote, 0, true, fmt.Errorf("key of version %d: %w", key[0], ErrNewer)
	}
	if len(key) < 4 {
		return remote, 0, true, errDamaged
	}
	n := int(binary.BigEndian.Uint16(key[2:]))
	if len(key) != 4+n+12 {
		return remote, 0, true, errDamaged
	}
	remote = stream.Partition{Topic: string(key[4 : 4+n]), Number: int32(binary.BigEndian.Uint32(key[4+n:]))}
	down = stream.Downstream(binary.BigEndian.Uint64(key[4+n+4:]))
	if down < 0 || remote.Number < 0 {
		return remote, 0, true, errDamaged
	}
	return remote, down, true, nil
}

// value writes a segment with its steps.
func (s *segment) value(ops []byte) []byte {
	flags := byte(0)
	if *s.topic != (stream.TopicID{}) {
		flags |= flagTopic
	}
	if s.counted {
		flags |= flagCounted
	}
	if s.breaks {
		flags |= flagBreaks
	}
	v := append(make([]byte, 0, len(ops)+2+16+2*binary.MaxVarintLen64), formatVersion, flags)
	if flags&flagTopic != 0 {
		v = append(v, s.topic[:]...)
	}
	v = binary.AppendUvarint(v, uint64(s.up))
	v = binary.AppendUvarint(v, uint64(s.endUp-s.lastUp))
	return append(v, ops...)
}

// parseValue reads the value of a segment whose first run stands at down.
func parseValue(v []byte, down stream.Downstream) (s *segment, ops []byte, err error) {
	if len(v) < 2 || len(v) > segmentLimit {
		return nil, nil, errDamaged
	}
	if v[0] != formatVersion {
		return nil, nil, fmt.Errorf("value of version %d: %w", v[0], ErrNewer)
	}
	flags, id := v[1], stream.TopicID{}
	v = v[2:]
	if flags&flagTopic != 0 {
		if len(v) < len(id) {
			return nil, nil, errDamaged
		}
		v = v[copy(id[:], v):]
	}
	head := &cursor{ops: v}
	up, rest := head.number(), head.number()
	if head.err != nil || flags&^(flagTopic|flagCounted|flagBreaks) != 0 || len(head.ops) == 0 {
		return nil, nil, errDamaged
	}
	s = &segment{up: stream.Upstream(up), down: down, topic: &id, written: true}
	s.counted, s.breaks = flags&flagCounted != 0, flags&flagBreaks != 0
	c := s.walk(head.ops)
	c.check = true
	s.runs = runsIn(c)
	if c.err != nil || !fits(int64(c.up), rest, 0, 1) {
		return nil, nil, errDamaged
	}
	s.lastUp, s.endUp, s.endDown = c.up, c.up+stream.Upstream(rest), c.down
	ops = append([]byte(nil), head.ops...) // the record may share its memory with a whole batch
	s.size = int32(len(ops))
	return s, ops, nil
}
