package batch

import (
	"encoding/binary"
	"math"
)

// Run is a stretch of consecutive source offsets.
type Run struct {
	First int64
	Count int32
}

// builder makes the records of one batch. It is a value: a copy taken before records are added is the way back.
type builder struct {
	buf   []byte // room for the header, then uncompressed records
	count int32
	base  int64 // timestamp of the first record
	max   int64
	runs  []Run // all but the last
	run   Run   // the last
}

// newBuilder builds into buf and runs, whose content is lost.
func newBuilder(buf []byte, runs []Run) builder {
	var header [HeaderSize]byte
	return builder{buf: append(buf[:0], header[:]...), runs: runs[:0]}
}

// add copies the set's records, leaving out those below from, until the batch would grow beyond limit bytes or most
// records were added. more says that the set has records left; it goes on with those when it is next read.
func (b *builder) add(set *recordSet, from int64, limit int, most int32) (more bool, err error) {
	set.seek(from)
	for set.more() {
		pos, prev := set.pos, set.prev
		r, err := set.read()
		if err != nil {
			return false, err
		}
		if r.offset < from {
			continue
		}
		if most == 0 || !b.append(r, limit) {
			set.unread(pos, prev)
			return true, nil
		}
		most--
	}
	return false, set.finished()
}

// append copies one record, renumbered, unless the batch would grow beyond limit bytes.
func (b *builder) append(r record, limit int) bool {
	if b.count == 0 {
		b.base, b.max = r.time, r.time
	}
	dt, do := r.time-b.base, int64(b.count)
	n := 1 + varintSize(dt) + varintSize(do) + len(r.body)
	if n > limit-len(b.buf)-varintSize(int64(n)) || n > math.MaxInt32 || b.count == math.MaxInt32 {
		return false
	}
	b.buf = binary.AppendVarint(b.buf, int64(n))
	b.buf = append(b.buf, r.attributes)
	b.buf = binary.AppendVarint(b.buf, dt)
	b.buf = binary.AppendVarint(b.buf, do)
	b.buf = append(b.buf, r.body...)
	b.max = max(b.max, r.time)
	b.count++
	switch {
	case b.run.Count == 0:
		b.run = Run{First: r.offset, Count: 1}
	case b.run.First+int64(b.run.Count) == r.offset:
		b.run.Count++
	default:
		b.runs = append(b.runs, b.run)
		b.run = Run{First: r.offset, Count: 1}
	}
	return true
}

// header writes the batch's header into raw; CRC and producer are left to Stamp.
func (b *builder) header(raw []byte, codec Codec) {
	clear(raw[:HeaderSize])
	binary.BigEndian.PutUint32(raw[atLength:], uint32(len(raw)-logOverhead))
	binary.BigEndian.PutUint32(raw[atLeaderEpoch:], math.MaxUint32)
	raw[atMagic] = 2
	binary.BigEndian.PutUint16(raw[atAttributes:], uint16(codec))
	binary.BigEndian.PutUint32(raw[atLastOffsetDelta:], uint32(b.count-1))
	binary.BigEndian.PutUint64(raw[atBaseTimestamp:], uint64(b.base))
	binary.BigEndian.PutUint64(raw[atMaxTimestamp:], uint64(b.max))
	binary.BigEndian.PutUint64(raw[atProducerID:], math.MaxUint64)
	binary.BigEndian.PutUint16(raw[atProducerEpoch:], math.MaxUint16)
	binary.BigEndian.PutUint32(raw[atBaseSequence:], math.MaxUint32)
	binary.BigEndian.PutUint32(raw[atRecords:], uint32(b.count))
}
