package bundle

import (
	"io"
	"slices"
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
	size   int64
	pool   *Blocks
	parts  [][]byte
	ends   []int64  // of the parts, in the object
	blocks [][]byte // those that are the pool's; the last one is being filled, if open
	open   bool     // the last part is of the last block, and more of it may follow
}

// Name is the name to store it under, without a prefix.
func (o *Object) Name() string { return o.name }

// Digest stands for all of its bytes; see ReadDigest.
func (o *Object) Digest() Digest { return o.digest }

// Size is how many bytes it has.
func (o *Object) Size() int64 { return o.size }

// ReadAt is io.ReaderAt.
func (o *Object) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, io.EOF
	}
	at, _ := slices.BinarySearch(o.ends, off+1) // the part that has the byte at off
	for ; n < len(p); at++ {
		if at == len(o.parts) {
			return n, io.EOF
		}
		part := o.parts[at]
		n += copy(p[n:], part[int64(len(part))-(o.ends[at]-off-int64(n)):])
	}
	return n, nil
}

// WriteTo is io.WriterTo.
func (o *Object) WriteTo(w io.Writer) (n int64, err error) {
	for _, b := range o.parts {
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
	o.blocks, o.parts, o.ends, o.size, o.open = nil, nil, nil, 0, false
}

// append copies bytes into blocks. Where something was taken over in between, what comes behind it goes on in the same block.
func (o *Object) append(p []byte) {
	for len(p) > 0 {
		last := len(o.blocks) - 1
		if last < 0 || len(o.blocks[last]) == blockSize {
			o.blocks = append(o.blocks, o.pool.get())
			last, o.open = last+1, false
		}
		b := o.blocks[last]
		n := min(len(p), blockSize-len(b))
		o.blocks[last] = append(b, p[:n]...)
		if fresh := o.blocks[last][len(b):]; o.open {
			o.grow(n)
		} else {
			o.add(fresh)
			o.open = true
		}
		p = p[n:]
	}
}

// take appends bytes that the caller gives away.
func (o *Object) take(p []byte) {
	if len(p) > 0 {
		o.add(p)
		o.open = false
	}
}

func (o *Object) add(part []byte) {
	o.size += int64(len(part))
	o.parts, o.ends = append(o.parts, part), append(o.ends, o.size)
}

// grow makes the last part, which ends where its block was filled to, longer by what was put behind it.
func (o *Object) grow(n int) {
	o.size += int64(n)
	last := len(o.parts) - 1
	o.parts[last] = o.parts[last][:len(o.parts[last])+n]
	o.ends[last] = o.size
}
