package batch

import (
	"encoding/binary"
	"math/bits"
)

// varint reads a zigzag varint; n <= 0 when b does not hold one, as encoding/binary says it. Most are one byte long.
func varint(b []byte) (v int64, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return int64(b[0]>>1) ^ -int64(b[0]&1), 1
	}
	return binary.Varint(b)
}

// varintSize is the number of bytes that v takes as a zigzag varint.
func varintSize(v int64) int {
	return (bits.Len64(uint64(v<<1)^uint64(v>>63)|1) + 6) / 7
}
