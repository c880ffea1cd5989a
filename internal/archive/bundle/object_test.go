package bundle

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
)

// What is taken over stands in the object as what is copied does, wherever pieces and blocks end.
func TestAnObjectIsWhatWasAppended(t *testing.T) {
	for seed := range uint64(40) {
		rng, noise := rand.New(rand.NewPCG(seed, 0)), rand.NewChaCha8([32]byte{byte(seed)})
		var want []byte
		o := &Object{pool: NewBlocks(1 << 20)}
		for range 1 + rng.IntN(12) {
			p := make([]byte, rng.IntN([]int{10, 1000, blockSize, 3 * blockSize}[rng.IntN(4)]))
			_, _ = noise.Read(p)
			want = append(want, p...)
			if rng.IntN(3) == 0 {
				o.take(p)
			} else {
				o.append(p)
				clear(p) // a copy, then
			}
		}
		var written bytes.Buffer
		if n, err := o.WriteTo(&written); err != nil || n != o.Size() || !bytes.Equal(written.Bytes(), want) {
			t.Fatalf("seed %d: %d bytes written, %v", seed, n, err)
		}
		for range 20 {
			at := rng.Int64N(int64(len(want)) + 2)
			p := make([]byte, rng.IntN(2*blockSize))
			n, err := o.ReadAt(p, at)
			left := want[min(at, int64(len(want))):]
			if expected := min(len(p), len(left)); n != expected || (n < len(p)) != errors.Is(err, io.EOF) || !bytes.Equal(p[:n], left[:n]) {
				t.Fatalf("seed %d: read %d of %d at %d: %v", seed, n, len(p), at, err)
			}
		}
		o.Release()
	}
}
