package bundle

import (
	"io"
	"sync"
)

// blockSize is the unit of memory that bundles are built in: small enough for a bundle of a quiet flow, large enough to be
// few.
const blockSize = 256 << 10

// Blocks lends out the memory that bundles are built in, and keeps some of what comes back for the next one: a bundle of 64 MiB
// every second is a lot of garbage otherwise. Safe for concurrent use; nil lends, and keeps nothing.
type Blocks struct {
	mu   sync.Mutex
	free [][]byte
	keep int
}

// NewBlocks makes Blocks that keep up to so many bytes that are not in use.
func NewBlocks(keep int64) *Blocks { return &Blocks{keep: int(keep / blockSize)} }

func (b *Blocks) get() []byte {
	if b != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		if n := len(b.free); n > 0 {
			block := b.free[n-1]
			b.free = b.free[:n-1]
			return block[:0]
		}
	}
	return make([]byte, 0, blockSize)
}

func (b *Blocks) put(blocks [][]byte) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if room := b.keep - len(b.free); room > 0 {
		b.free = append(b.free, blocks[:min(room, len(blocks))]...)
	}
}

// scratch lends memory for a chunk that is being compressed, encrypted, or read.
var scratch sync.Pool

// scratchKept bounds what is kept, should one chunk have been unusually large.
const scratchKept = 16 << 20

// borrow gives a slice of length 0.
func borrow() *[]byte {
	if b, ok := scratch.Get().(*[]byte); ok {
		*b = (*b)[:0]
		return b
	}
	return new([]byte)
}

func giveBack(b *[]byte) {
	if cap(*b) <= scratchKept {
		scratch.Put(b)
	}
}

// Object is a finished bundle, in memory, to be stored under its name. It can be read as often as an upload has to be tried.
type Object struct {
	name   string
	digest Digest
	blocks [][]byte // all full but the last
	size   int64
	pool   *Blocks
}

// Name is the name to store it under, without a prefix.
func (o *Object) Name() string { return o.name }

// Digest stands for all of its bytes; see ReadDigest.
func (o *Object) Digest() Digest { return o.digest }

// Size is how many bytes it has.
func (o *Object) Size() int64 { return o.size }

// ReadAt is io.ReaderAt.
func (o *Object) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		if off >= o.size || off < 0 {
			return n, io.EOF
		}
		m := copy(p[n:], o.blocks[off/blockSize][off%blockSize:])
		n, off = n+m, off+int64(m)
	}
	return n, nil
}

// WriteTo is io.WriterTo.
func (o *Object) WriteTo(w io.Writer) (n int64, err error) {
	for _, b := range o.blocks {
		m, err := w.Write(b)
		n += int64(m)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// Release gives the memory back. Nobody may be reading the object any more.
func (o *Object) Release() {
	o.pool.put(o.blocks)
	o.blocks, o.size = nil, 0
}

func (o *Object) append(p []byte) {
	for len(p) > 0 {
		last := len(o.blocks) - 1
		if last < 0 || len(o.blocks[last]) == blockSize {
			o.blocks = append(o.blocks, o.pool.get())
			last++
		}
		b := o.blocks[last]
		n := min(len(p), blockSize-len(b))
		o.blocks[last] = append(b, p[:n]...)
		p = p[n:]
		o.size += int64(n)
	}
}
