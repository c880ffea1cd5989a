package checkpoint

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"tandem/internal/stream"
)

// Tandem's own records, in mm2-tandem.A.internal. STRING is INT16 byte length and UTF-8; UVARINT and VARINT are seven bits
// to a byte, the lowest first, VARINT with the sign in its lowest bit. Bytes after the last field are an error: a newer
// version has a newer version byte. Partitions ascend.
//
//	ends    key    INT8     1    version
//	               INT8     'E'  kind
//	               STRING   source topic
//	        value  INT8     1    version
//	               UVARINT  number of partitions; then for each
//	                 UVARINT  partition, less the one before, less 1
//	                 VARINT   end of the source partition
//	                 VARINT   end less what is mirrored
//	                 VARINT   when the end was seen, in milliseconds, less that of the partition before
//	                 UVARINT  1 if the timestamp of the newest mirrored record is known, otherwise 0; after a 1
//	                   VARINT   when the end was seen less that timestamp, in milliseconds
//
//	group   key    INT8     1    version
//	               INT8     'G'  kind
//	               STRING   group
//	        value  INT8     1    version
//	               VARINT   when the offsets were asked for, in milliseconds
//	               UVARINT  number of topics, ascending by name; then for each
//	                 STRING   source topic
//	                 UVARINT  number of partitions; then for each
//	                   UVARINT  partition, less the one before, less 1
//	                   VARINT   committed offset
//	                   UVARINT  byte length of the metadata
//	                   bytes    metadata
//	        A tombstone says that the group is gone at the source. Where all metadata together would make the record too
//	        large for a topic with max.message.bytes at its default, they are left out.
const (
	leastEnd   = 5       // bytes of a partition in a record of ends
	leastTopic = 2 + 1   // bytes of a topic in a record of a group
	leastGroup = 3       // bytes of a partition there
	mostValue  = 900_000 // bytes of the value of a group's record with metadata
)

func encodeEnds(topic string, ends map[int32]stream.SourceEnd) (stream.Record, error) {
	if err := fits(topic); err != nil {
		return stream.Record{}, fmt.Errorf("encode ends of topic %.50q: %w", topic, err)
	}
	value := binary.AppendUvarint([]byte{stream.TandemVersion}, uint64(len(ends)))
	before, seen := int32(-1), int64(0)
	for _, number := range slices.Sorted(maps.Keys(ends)) {
		e := ends[number]
		at := e.At.UnixMilli()
		value = appendAfter(value, number, before)
		value = binary.AppendVarint(value, int64(e.End))
		value = binary.AppendVarint(value, int64(e.End-e.Acked))
		value = binary.AppendVarint(value, at-seen)
		if e.Newest.IsZero() {
			value = append(value, 0)
		} else {
			value = binary.AppendVarint(append(value, 1), at-e.Newest.UnixMilli())
		}
		before, seen = number, at
	}
	return stream.Record{Key: tandemKey(stream.KindEnds, topic), Value: value}, nil
}

func decodeEnds(value []byte) (map[int32]stream.SourceEnd, error) {
	r := reader{rest: value}
	r.version()
	n := r.count(leastEnd)
	ends := make(map[int32]stream.SourceEnd, n)
	number, at := int32(-1), int64(0)
	for range n {
		number = r.after(number)
		end := r.varint()
		e := stream.SourceEnd{End: stream.Upstream(end), Acked: stream.Upstream(end - r.varint())}
		at += r.varint()
		e.At = time.UnixMilli(at)
		switch known := r.uvarint(); known {
		case 0:
		case 1:
			e.Newest = time.UnixMilli(at - r.varint())
		default:
			r.fail(fmt.Errorf("mark of the newest record is %d", known))
		}
		ends[number] = e
	}
	return ends, r.end()
}

func encodeGroup(g stream.GroupOffsets) (stream.Record, error) {
	size := 0
	for p, c := range g.Offsets {
		if err := fits(p.Topic); err != nil {
			return stream.Record{}, fmt.Errorf("encode offsets of group %.50q: %w", g.Group, err)
		}
		size += leastGroup + 8 + len(c.Metadata)
	}
	if err := fits(g.Group); err != nil {
		return stream.Record{}, fmt.Errorf("encode offsets of group %.50q: %w", g.Group, err)
	}
	value := binary.AppendVarint([]byte{stream.TandemVersion}, g.At.UnixMilli())
	partitions := slices.SortedFunc(maps.Keys(g.Offsets), comparePartitions)
	topics := 0
	for i, p := range partitions {
		if i == 0 || p.Topic != partitions[i-1].Topic {
			topics++
		}
	}
	value = binary.AppendUvarint(value, uint64(topics))
	for len(partitions) > 0 {
		n := slices.IndexFunc(partitions, func(p stream.Partition) bool { return p.Topic != partitions[0].Topic })
		if n < 0 {
			n = len(partitions)
		}
		value = appendGroupTopic(value, g.Offsets, partitions[:n], size <= mostValue)
		partitions = partitions[n:]
	}
	return stream.Record{Key: tandemKey(stream.KindGroup, g.Group), Value: value}, nil
}

// appendGroupTopic writes the partitions of one topic.
func appendGroupTopic(value []byte, offsets map[stream.Partition]stream.Committed, partitions []stream.Partition, metadata bool) []byte {
	value = appendString(value, partitions[0].Topic)
	value = binary.AppendUvarint(value, uint64(len(partitions)))
	before := int32(-1)
	for _, p := range partitions {
		c := offsets[p]
		if !metadata {
			c.Metadata = ""
		}
		value = appendAfter(value, p.Number, before)
		value = binary.AppendVarint(value, c.Offset)
		value = binary.AppendUvarint(value, uint64(len(c.Metadata)))
		value = append(value, c.Metadata...)
		before = p.Number
	}
	return value
}

func decodeGroup(group string, value []byte) (stream.GroupOffsets, error) {
	r := reader{rest: value}
	r.version()
	g := stream.GroupOffsets{Group: group, At: time.UnixMilli(r.varint()), Offsets: map[stream.Partition]stream.Committed{}}
	for range r.count(leastTopic) {
		p := stream.Partition{Topic: r.string(), Number: -1}
		for range r.count(leastGroup) {
			p.Number = r.after(p.Number)
			c := stream.Committed{Offset: r.varint()}
			c.Metadata = string(r.take(r.count(1)))
			g.Offsets[p] = c
		}
	}
	return g, r.end()
}

func comparePartitions(a, b stream.Partition) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Number, b.Number))
}
