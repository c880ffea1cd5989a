package replicate

import (
	"context"
	"math/bits"
)

// A record that is alone of its kind in a window may have an equal far away. What is longer than a window is read once
// before, and each digest leaves a bit: one whose bit was set already is not alone, or shares its bit. The latter costs
// a landmark, never the truth: with a thousand million records of a side, one in some thousands is still a landmark.

const (
	rareBitsPer = 16
	rareMost    = 1 << 27 // bits of each set: 16 MiB
)

// bitset is a power of two of bits.
type bitset []uint64

func newBitset(size int64) bitset {
	return make(bitset, max(1, 1<<bits.Len64(uint64(min(size, rareMost)-1))/64))
}

func (b bitset) at(digest uint64) (word *uint64, bit uint64) {
	return &b[(digest>>6)%uint64(len(b))], 1 << (digest & 63)
}

func (b bitset) has(digest uint64) bool {
	word, bit := b.at(digest)
	return *word&bit != 0
}

// set reports whether the bit was set before.
func (b bitset) set(digest uint64) bool {
	word, bit := b.at(digest)
	was := *word&bit != 0
	*word |= bit
	return was
}

// repeated reads a side through and sets the bits of digests that came twice.
func repeated(ctx context.Context, c *cursor, twice bitset) error {
	once := make(bitset, len(twice))
	for {
		m, ok, err := c.next(ctx)
		if err != nil || !ok {
			return err
		}
		if once.set(m.digest) {
			twice.set(m.digest)
		}
	}
}
