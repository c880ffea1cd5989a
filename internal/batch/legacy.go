package batch

import (
	"encoding/binary"
)

// Legacy messages. v0 has no timestamp; all else is the same:
//
//	 0 offset     int64   of a compressed wrapper: the offset of its last inner message
//	 8 size       int32   bytes that follow this field
//	12 CRC-32     uint32  of all bytes from 16 on
//	16 magic      int8    0, 1
//	17 attributes int8    codec 0-2, LogAppendTime 3 (v1)
//	18 timestamp  int64   (v1 only)
//	.. key        int32 length, -1 null, then bytes
//	.. value      int32 length, -1 null, then bytes; of a wrapper: messages, compressed as a whole
const (
	legacyCRC        = 12
	legacyAttributes = 17
	legacyTime       = 18
	minLegacy        = 14 // the least size field: v0, null key, null value
)

// legacy is one message, taken apart. The slices alias its bytes; nil is null.
type legacy struct {
	magic      int8
	attributes byte
	time       int64
	key, value []byte
}

func (m legacy) codec() Codec { return Codec(m.attributes & codecMask) }

// parseLegacy takes apart the message that raw holds from its offset on. base names the batch in errors.
func parseLegacy(raw []byte, base int64) (m legacy, err error) {
	if len(raw) < logOverhead+minLegacy {
		return m, corrupt("frame", base, "message of %d bytes", len(raw))
	}
	m = legacy{magic: int8(raw[atMagic]), attributes: raw[legacyAttributes], time: -1}
	rest := raw[legacyTime:]
	switch {
	case m.magic == 1 && len(rest) >= 16:
		m.time = int64(binary.BigEndian.Uint64(rest))
		rest = rest[8:]
	case m.magic != 0:
		return m, corrupt("frame", base, "message of magic %d in %d bytes", m.magic, len(raw))
	}
	if m.codec() > LZ4 { // zstd came after these formats
		return m, corrupt("frame", base, "codec %d in magic %d", m.codec(), m.magic)
	}
	var ok bool
	if m.key, rest, ok = legacyBytes(rest); !ok {
		return m, corrupt("frame", base, "key beyond the message")
	}
	if m.value, rest, ok = legacyBytes(rest); !ok || len(rest) != 0 {
		return m, corrupt("frame", base, "value does not end with the message")
	}
	return m, nil
}

// legacyBytes reads bytes that an int32 length precedes.
func legacyBytes(b []byte) (v, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, b, false
	}
	n := int(int32(binary.BigEndian.Uint32(b)))
	b = b[4:]
	if n == -1 {
		return nil, b, true
	}
	if n < 0 || n > len(b) {
		return nil, b, false
	}
	return b[:n:n], b[n:], true
}

func (v View) legacyTimestamp() int64 {
	if v.Magic() == 0 {
		return -1
	}
	return int64(v.u64(legacyTime))
}

// appendLegacy appends a message as a v2 record whose deltas count from 0.
func appendLegacy(dst []byte, offset int64, m legacy) []byte {
	n := 1 + varintSize(m.time) + varintSize(offset) + blobSize(m.key) + blobSize(m.value) + 1
	dst = binary.AppendVarint(dst, int64(n))
	dst = append(dst, 0)
	dst = binary.AppendVarint(dst, m.time)
	dst = binary.AppendVarint(dst, offset)
	dst = appendBlob(dst, m.key)
	dst = appendBlob(dst, m.value)
	return append(dst, 0) // no headers
}

func blobSize(b []byte) int {
	if b == nil {
		return 1
	}
	return varintSize(int64(len(b))) + len(b)
}

func appendBlob(dst, b []byte) []byte {
	if b == nil {
		return binary.AppendVarint(dst, -1)
	}
	return append(binary.AppendVarint(dst, int64(len(b))), b...)
}

// loadLegacy turns a legacy message, or all messages in a compressed wrapper, into v2 records. plain and converted are
// scratch, returned as they grew.
func (c *codecs) loadLegacy(v View, plain, converted []byte) (set recordSet, plain2, converted2 []byte, err error) {
	outer, err := parseLegacy(v.raw, v.base)
	if err != nil {
		return set, plain, converted, err
	}
	set = recordSet{first: v.base, last: v.base, prev: -1}
	if outer.codec() == None {
		converted = appendLegacy(converted[:0], v.base, outer)
		set.data, set.count = converted, 1
		return set, plain, converted, nil
	}
	if plain, err = c.decompress(plain, outer.codec(), outer.value); err != nil {
		return set, plain, converted, corrupt("decompress", v.base, "%v", err)
	}
	shift, err := innerShift(plain, v, outer)
	if err != nil {
		return set, plain, converted, err
	}
	converted = converted[:0]
	for rest := plain; ; set.count++ {
		var msg []byte
		if msg, rest = cutMessage(rest); msg == nil {
			break
		}
		m, err := parseLegacy(msg, v.base)
		if err != nil {
			return set, plain, converted, err
		}
		if m.codec() != None {
			return set, plain, converted, corrupt("decode", v.base, "compressed message in a wrapper")
		}
		if m.magic == 1 && v.LogAppendTime() {
			m.time = outer.time // the broker wrote its time into the wrapper alone
		}
		converted = appendLegacy(converted, shift+int64(binary.BigEndian.Uint64(msg)), m)
	}
	set.data = converted
	return set, plain, converted, nil
}

// innerShift is what must be added to the offsets of messages in a wrapper. v0 has absolute ones. v1 has them relative
// to the first message that the producer put in, and only the last one's absolute offset is known: the wrapper's.
func innerShift(plain []byte, v View, outer legacy) (int64, error) {
	lastInner := int64(-1)
	for rest := plain; ; {
		var msg []byte
		if msg, rest = cutMessage(rest); msg == nil {
			break
		}
		lastInner = int64(binary.BigEndian.Uint64(msg))
	}
	if lastInner < 0 {
		return 0, corrupt("decode", v.base, "wrapper without messages")
	}
	if outer.magic == 0 {
		return 0, nil
	}
	if lastInner > v.base {
		return 0, corrupt("decode", v.base, "last inner offset %d", lastInner)
	}
	return v.base - lastInner, nil
}

// cutMessage splits off the first message of a wrapper's content; nil at its end. As in Kafka's reader an incomplete
// message is the end too, but one whose size field is impossible is not: parseLegacy refuses what is returned for it.
func cutMessage(b []byte) (msg, rest []byte) {
	if len(b) < logOverhead {
		return nil, nil
	}
	size := int64(int32(binary.BigEndian.Uint32(b[atLength:])))
	if size < minLegacy {
		return b[:logOverhead], nil
	}
	if logOverhead+size > int64(len(b)) {
		return nil, nil
	}
	return b[:logOverhead+size], b[logOverhead+size:]
}
