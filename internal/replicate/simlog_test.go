package replicate

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"

	"tandem/internal/batch"
	"tandem/internal/stream"
)

// The simulated source: batches built by hand, and random histories of a partition.

// simBatch builds an uncompressed v2 batch with one record for each offset; the value of a record names its offset.
func simBatch(topic string, base int64, offsets []int64, attributes int16, producer int64) []byte {
	var records []byte
	for _, o := range offsets {
		value := fmt.Sprintf("%s:%d", topic, o)
		var r []byte
		r = append(r, 0)
		r = binary.AppendVarint(r, 0)
		r = binary.AppendVarint(r, o-base)
		r = binary.AppendVarint(r, -1)
		r = binary.AppendVarint(r, int64(len(value)))
		r = append(r, value...)
		r = binary.AppendVarint(r, 0)
		records = binary.AppendVarint(records, int64(len(r)))
		records = append(records, r...)
	}
	b := make([]byte, batch.HeaderSize, batch.HeaderSize+len(records))
	binary.BigEndian.PutUint64(b, uint64(base))
	binary.BigEndian.PutUint32(b[8:], uint32(batch.HeaderSize-12+len(records)))
	b[16] = 2
	binary.BigEndian.PutUint16(b[21:], uint16(attributes))
	binary.BigEndian.PutUint32(b[23:], uint32(offsets[len(offsets)-1]-base))
	binary.BigEndian.PutUint64(b[27:], uint64(1700000000000))
	binary.BigEndian.PutUint64(b[35:], uint64(1700000000000))
	binary.BigEndian.PutUint64(b[43:], uint64(producer))
	binary.BigEndian.PutUint16(b[51:], 0xffff)
	binary.BigEndian.PutUint32(b[53:], 0xffffffff)
	binary.BigEndian.PutUint32(b[57:], uint32(len(offsets)))
	b = append(b, records...)
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// reseal makes the length and the CRC of a changed batch right.
func reseal(b []byte) []byte {
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// simMarker is a control batch: an abort or a commit of a producer.
func simMarker(offset, producer int64, abort bool) []byte {
	kind := byte(1)
	if abort {
		kind = 0
	}
	key := []byte{0, 0, 0, kind}
	var r []byte
	r = append(r, 0)
	r = binary.AppendVarint(r, 0)
	r = binary.AppendVarint(r, 0)
	r = binary.AppendVarint(r, int64(len(key)))
	r = append(r, key...)
	r = binary.AppendVarint(r, 6)
	r = append(r, 0, 0, 0, 0, 0, 0)
	r = binary.AppendVarint(r, 0)
	b := simBatch("", offset, []int64{offset}, 0x30, producer)[:batch.HeaderSize]
	b = binary.AppendVarint(b, int64(len(r)))
	b = append(b, r...)
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// simValues reads the values of an uncompressed batch: the tests' own small decoder.
func simValues(raw []byte) []string {
	var values []string
	b := raw[batch.HeaderSize:]
	for len(b) > 0 {
		size, n := binary.Varint(b)
		r := b[n : n+int(size)]
		b = b[n+int(size):]
		r = r[1:]
		_, n = binary.Varint(r)
		r = r[n:]
		_, n = binary.Varint(r)
		r = r[n:]
		key, n := binary.Varint(r)
		r = r[n:]
		if key > 0 {
			r = r[key:]
		}
		value, n := binary.Varint(r)
		values = append(values, string(r[n:n+int(value)]))
	}
	return values
}

// simLog is one partition of the source.
type simLog struct {
	id      stream.TopicID
	batches []simEntry
	start   int64 // where retention has moved it
	end     int64
	aborted []stream.AbortedTransaction
	epoch   int32 // of what is appended
	leaders []simLeader
	want    []string // values that a read_committed reader sees, in order
	wantAt  []int64  // and their offsets
}

type simEntry struct {
	last int64
	raw  []byte
}

func (l *simLog) append(raw []byte, last int64) {
	l.batches = append(l.batches, simEntry{last, l.stamped(raw)})
	l.end = last + 1
}

// fill writes a random history: batches of all sizes, holes as compaction leaves them, aborted transactions, markers.
func (l *simLog) fill(r *rand.Rand, topic string, batches int) {
	for range batches {
		if r.IntN(6) == 0 {
			l.epoch++
		}
		base := l.end
		n := 1 + r.IntN(5)
		if r.IntN(10) == 0 {
			n = 200 + r.IntN(2000)
		}
		var offsets []int64
		for i := range n {
			if r.IntN(8) != 0 || i == n-1 {
				offsets = append(offsets, base+int64(i))
			}
		}
		if r.IntN(2) == 0 { // no holes
			offsets = offsets[:0]
			for i := range n {
				offsets = append(offsets, base+int64(i))
			}
		}
		last := offsets[len(offsets)-1]
		transactional := r.IntN(6) == 0
		if !transactional {
			l.append(simBatch(topic, base, offsets, 0, -1), last)
			l.see(topic, offsets)
			continue
		}
		producer := int64(1000 + len(l.batches))
		l.append(simBatch(topic, base, offsets, 0x10, producer), last)
		abort := r.IntN(2) == 0
		if abort {
			l.aborted = append(l.aborted, stream.AbortedTransaction{ProducerID: producer, First: stream.Upstream(base)})
		} else {
			l.see(topic, offsets)
		}
		l.append(simMarker(last+1, producer, abort), last+1)
	}
}

func (l *simLog) see(topic string, offsets []int64) {
	for _, o := range offsets {
		l.want = append(l.want, fmt.Sprintf("%s:%d", topic, o))
		l.wantAt = append(l.wantAt, o)
	}
}
