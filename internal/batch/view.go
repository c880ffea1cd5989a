package batch

import (
	"encoding/binary"
	"hash/crc32"
	"math"
)

// HeaderSize is the size of a v2 batch without its records.
const HeaderSize = 61

// Places of fields; the table in doc.go has them all.
const (
	atLength          = 8
	atLeaderEpoch     = 12
	atMagic           = 16
	atCRC             = 17
	atAttributes      = 21
	atLastOffsetDelta = 23
	atBaseTimestamp   = 27
	atMaxTimestamp    = 35
	atProducerID      = 43
	atProducerEpoch   = 51
	atBaseSequence    = 53
	atRecords         = 57

	logOverhead = 12 // base offset and length, which come before every batch and legacy message
	minRecord   = 7  // a v2 record of null key, null value, no headers
)

// Bits of the attributes, in v2 batches and (codec and LogAppendTime) in v1 messages.
const (
	codecMask        = 0x07
	bitLogAppendTime = 0x08
	bitTransactional = 0x10
	bitControl       = 0x20
	bitDeleteHorizon = 0x40
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// View is one complete record batch (v2), or one legacy message (v0, v1; possibly a compressed wrapper), framed but not
// copied. Its header was checked by Next, its CRC was not: see Verify.
type View struct {
	raw  []byte
	base int64 // remembered, as Stamp sets it to 0 in raw and a view must still name its source offsets then
}

// Next frames the first batch of b. The error is ErrTruncated when b ends before the batch does, else wraps ErrCorrupt.
func Next(b []byte) (v View, rest []byte, err error) {
	if len(b) < logOverhead {
		return View{}, b, ErrTruncated
	}
	base := int64(binary.BigEndian.Uint64(b))
	length := int64(int32(binary.BigEndian.Uint32(b[atLength:])))
	if base < 0 || length < minLegacy {
		return View{}, b, corrupt("frame", base, "length %d", length)
	}
	if len(b) <= atMagic {
		return View{}, b, ErrTruncated
	}
	magic := int8(b[atMagic])
	if magic < 0 || magic > 2 {
		return View{}, b, corrupt("frame", base, "magic %d", magic)
	}
	if magic == 2 && length < HeaderSize-logOverhead {
		return View{}, b, corrupt("frame", base, "length %d", length)
	}
	end := logOverhead + length
	if int64(len(b)) < end {
		return View{}, b, ErrTruncated
	}
	v = View{raw: b[:end:end], base: base}
	if magic == 2 {
		err = v.checkHeader()
	} else {
		_, err = parseLegacy(v.raw, base)
	}
	if err != nil {
		return View{}, b, err
	}
	return v, b[end:], nil
}

// checkHeader refuses a v2 header whose counts contradict each other or the bytes that are there.
func (v View) checkHeader() error {
	n, delta := v.Records(), v.lastOffsetDelta()
	switch {
	case v.Codec() > Zstd:
		return corrupt("frame", v.base, "codec %d", v.Codec())
	case n < 0 || delta < 0 || int64(n) > int64(delta)+1:
		return corrupt("frame", v.base, "%d records, last offset delta %d", n, delta)
	case v.base > math.MaxInt64-int64(delta)-1:
		return corrupt("frame", v.base, "offsets beyond the end of numbers")
	case v.Codec() == None && int64(n)*minRecord > int64(len(v.raw)-HeaderSize):
		return corrupt("frame", v.base, "%d records in %d bytes", n, len(v.raw)-HeaderSize)
	}
	return nil
}

// Bytes is the whole batch as it was fetched (or stamped since).
func (v View) Bytes() []byte { return v.raw }

// Magic is the format: 0 and 1 are legacy messages, 2 is the record batch.
func (v View) Magic() int8 { return int8(v.raw[atMagic]) }

// BaseOffset is the batch's first offset, whether or not compaction left a record there. Of a compressed legacy wrapper,
// where only decompression could tell, it is the last offset.
func (v View) BaseOffset() int64 { return v.base }

// LastOffset is the last offset that the batch covers.
func (v View) LastOffset() int64 {
	if v.Magic() < 2 {
		return v.base
	}
	return v.base + int64(v.lastOffsetDelta())
}

// Records is the number of records; -1 for a compressed legacy wrapper, where only decompression could tell.
func (v View) Records() int32 {
	if v.Magic() < 2 {
		if v.Codec() != None {
			return -1
		}
		return 1
	}
	return int32(v.u32(atRecords))
}

// Codec is the compression of the records.
func (v View) Codec() Codec { return Codec(v.attributes() & codecMask) }

// Control says that the batch holds transaction markers, not data.
func (v View) Control() bool { return v.Magic() == 2 && v.attributes()&bitControl != 0 }

// Transactional says that the batch was written in a transaction.
func (v View) Transactional() bool { return v.Magic() == 2 && v.attributes()&bitTransactional != 0 }

// LogAppendTime says that the broker's time of append stands for the timestamps of all records. v0 has no timestamps.
func (v View) LogAppendTime() bool { return v.Magic() > 0 && v.attributes()&bitLogAppendTime != 0 }

// ProducerID is the id of the producer, -1 without one.
func (v View) ProducerID() int64 {
	if v.Magic() < 2 {
		return -1
	}
	return int64(v.u64(atProducerID))
}

// ProducerEpoch is the epoch of the producer id, -1 without one.
func (v View) ProducerEpoch() int16 {
	if v.Magic() < 2 {
		return -1
	}
	return int16(binary.BigEndian.Uint16(v.raw[atProducerEpoch:]))
}

// BaseSequence is the producer's sequence number of the first record, -1 without one.
func (v View) BaseSequence() int32 {
	if v.Magic() < 2 {
		return -1
	}
	return int32(v.u32(atBaseSequence))
}

// LeaderEpoch is the epoch of the partition leader that appended the batch, -1 where the format has none.
func (v View) LeaderEpoch() int32 {
	if v.Magic() < 2 {
		return -1
	}
	return int32(v.u32(atLeaderEpoch))
}

// BaseTimestamp is what timestamp deltas count from: the first record's timestamp, or a delete horizon (see doc.go).
// A v0 message has none: -1.
func (v View) BaseTimestamp() int64 {
	if v.Magic() < 2 {
		return v.legacyTimestamp()
	}
	return int64(v.u64(atBaseTimestamp))
}

// MaxTimestamp is the largest timestamp of the records, or the append time of a LogAppendTime batch; -1 in v0.
func (v View) MaxTimestamp() int64 {
	if v.Magic() < 2 {
		return v.legacyTimestamp()
	}
	return int64(v.u64(atMaxTimestamp))
}

// Verify checks the batch's CRC: CRC-32C over all from the attributes on, or a legacy message's CRC-32.
func (v View) Verify() error {
	var want, got uint32
	if v.Magic() == 2 {
		want, got = v.u32(atCRC), crc32.Checksum(v.raw[atAttributes:], castagnoli)
	} else {
		want, got = v.u32(legacyCRC), crc32.ChecksumIEEE(v.raw[atMagic:])
	}
	if want != got {
		return corrupt("verify", v.base, "CRC %08x, computed %08x", want, got)
	}
	return nil
}

// Aborts says of a control batch whether its marker is ABORT. A control batch that compaction emptied, and a marker of a
// type that is neither, abort nothing.
func (v View) Aborts() (abort bool, err error) {
	if !v.Control() || v.Codec() != None {
		return false, corrupt("read marker of", v.base, "not an uncompressed control batch")
	}
	if v.Records() == 0 {
		return false, nil
	}
	set := v.records(v.raw[HeaderSize:])
	rec, err := set.read()
	if err != nil {
		return false, err
	}
	n, w := varint(rec.body)
	if w <= 0 || n < 4 || n > int64(len(rec.body)-w) {
		return false, corrupt("read marker of", v.base, "key of %d bytes", n)
	}
	key := rec.body[w:] // version int16, type int16: 0 abort, 1 commit
	return binary.BigEndian.Uint16(key[2:]) == 0, nil
}

func (v View) lastOffsetDelta() int32 { return int32(v.u32(atLastOffsetDelta)) }

func (v View) attributes() int16 {
	if v.Magic() < 2 {
		return int16(v.raw[legacyAttributes])
	}
	return int16(binary.BigEndian.Uint16(v.raw[atAttributes:]))
}

func (v View) u32(at int) uint32 { return binary.BigEndian.Uint32(v.raw[at:]) }
func (v View) u64(at int) uint64 { return binary.BigEndian.Uint64(v.raw[at:]) }
