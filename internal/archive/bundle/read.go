package bundle

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
)

// tailSize is what is read of an object at first: the whole footer of all but the widest flows.
const tailSize = 64 << 10

// footerFixed is what stands between the header and the body of a footer: a byte of flags and the plain length.
const footerFixed = 1 + 4

// OpenOptions say what a bundle is opened with.
type OpenOptions struct {
	Name   string // of the object, with its prefix; it must be the bundle's own. Empty where it has none, as a file that was copied
	Keeper Keeper // for encrypted bundles
}

// Reader reads one bundle. It is safe for concurrent use if its io.ReaderAt is.
type Reader struct {
	src    io.ReaderAt
	name   string
	footer Footer
	head   []byte
	seal   *seal
	tail   []byte // the last bytes of the object, as Open read them
	tailAt int64
}

// Open reads the end of an object of so many bytes, with one ranged read where the footer is small, and another one where it
// is not. The error wraps ErrCorrupt, ErrNewer, ErrName or ErrKey, or is what the store said. With ErrKey the stored footer and
// the name have been found right.
func Open(ctx context.Context, src io.ReaderAt, size int64, o OpenOptions) (*Reader, error) {
	r := &Reader{src: src, name: o.Name}
	if r.name == "" {
		r.name = "bundle"
	}
	if err := r.open(ctx, size, o); err != nil {
		return nil, fmt.Errorf("open %s: %w", r.name, err)
	}
	return r, nil
}

func (r *Reader) open(ctx context.Context, size int64, o OpenOptions) error {
	if size < trailerSize {
		return damaged("an object of %d bytes", size)
	}
	r.tailAt = max(0, size-tailSize)
	r.tail = make([]byte, size-r.tailAt)
	if err := readFull(r.src, r.tail, r.tailAt); err != nil {
		return err
	}
	end := r.tail[len(r.tail)-trailerSize:]
	t, err := parseTrailer(end, size)
	if err != nil {
		return err
	}
	stored := make([]byte, t.length)
	if err := r.readAt(stored, t.position); err != nil {
		return err
	}
	if sha256.Sum256(stored) != t.sha {
		return damaged("SHA-256 of the footer differs")
	}
	h, head, rest, err := cutHeader(stored)
	if err != nil {
		return fmt.Errorf("footer: %w", err)
	}
	if o.Name != "" && !named(o.Name, h) {
		return fmt.Errorf("it is %s: %w", Name("", h), ErrName)
	}
	if int64(len(head)) > t.position {
		return damaged("footer at %d, inside of the header", t.position)
	}
	r.head = bytes.Clone(head)
	if h.Encrypted {
		if r.seal, err = unwrapKey(ctx, o.Keeper, h, r.head); err != nil {
			return err
		}
	}
	plain, err := r.body(rest, t.previous)
	if err != nil {
		return fmt.Errorf("footer: %w", err)
	}
	if r.footer, err = parseBody(plain, int64(len(head)), t.position, h.CreatedAt); err != nil {
		return fmt.Errorf("footer: %w", err)
	}
	f := &r.footer
	f.Header, f.Digest, f.Previous, f.Size = h, sha256.Sum256(end), t.previous, size
	if len(f.Chunks) > 0 && r.tailAt > 0 {
		return nil // the header in front is read with chunk 0
	}
	front := make([]byte, len(r.head))
	if err := r.readAt(front, 0); err != nil {
		return err
	}
	return r.front(front)
}

// front compares the header in front with the one in the footer.
func (r *Reader) front(b []byte) error {
	if !bytes.Equal(b, r.head) {
		return damaged("the header in front differs from the one in the footer")
	}
	return nil
}

// body decrypts and decompresses the footer behind its header.
func (r *Reader) body(b []byte, previous Digest) ([]byte, error) {
	if len(b) < footerFixed {
		return nil, damaged("cut off")
	}
	d := &decoder{b: b[:footerFixed]}
	packed, length := d.flag(), int64(d.uint32())
	if d.err != nil || length > footerLimit {
		return nil, damaged("flags %02x, plain length %d", b[0], length)
	}
	stored := b[footerFixed:]
	if r.seal != nil {
		var err error
		if stored, err = r.seal.open(stored[:0], stored, partFooter, 0, footerBinds(previous, b[:footerFixed])); err != nil {
			return nil, err
		}
	}
	if !packed {
		if int64(len(stored)) != length {
			return nil, damaged("%d bytes, not %d", len(stored), length)
		}
		return stored, nil
	}
	plain := make([]byte, length)
	return plain, decompress(plain, stored)
}

// footerBinds is what the footer's encryption is bound to, besides the header.
func footerBinds(previous Digest, fixed []byte) []byte { return slices.Concat(previous[:], fixed) }

// Footer is all that is known without reading a chunk. It is shared: do not change it.
func (r *Reader) Footer() Footer { return r.footer }

// Chunk reads the batches of a chunk, with one ranged read, and checks them against the footer. They are put into buf where
// it is large enough. The error is a *ChunkError.
func (r *Reader) Chunk(ctx context.Context, i int, buf []byte) ([]byte, error) {
	if i < 0 || i >= len(r.footer.Chunks) {
		return nil, fmt.Errorf("read chunk %d of %s: it has %d", i, r.name, len(r.footer.Chunks))
	}
	e := &r.footer.Chunks[i]
	b, err := r.chunk(ctx, i, e, buf)
	if err != nil {
		return nil, &ChunkError{
			Object: r.name, Chunk: i, Topic: e.Topic, Partition: e.Partition, First: e.First, Next: e.Next, Err: err,
		}
	}
	return b, nil
}

func (r *Reader) chunk(ctx context.Context, i int, e *Entry, buf []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	at := e.Position
	if i == 0 {
		at = 0 // the header comes along
	}
	front := int(e.Position - at)
	n := front + int(e.Stored)
	packed := e.Compression == Zstd
	var b []byte
	if packed {
		s := borrow()
		defer giveBack(s)
		*s = slices.Grow(*s, n)[:n]
		b = *s
	} else {
		b = slices.Grow(buf[:0], n)[:n]
	}
	if err := r.readAt(b, at); err != nil {
		return nil, err
	}
	if front > 0 {
		if err := r.front(b[:front]); err != nil {
			return nil, err
		}
		b = b[front:]
	}
	if sha256.Sum256(b) != e.SHA256 {
		return nil, damaged("SHA-256 of the stored bytes differs")
	}
	if r.seal != nil {
		var err error
		if b, err = r.seal.open(b[:0], b, partChunk, i, nil); err != nil {
			return nil, err
		}
	}
	if packed {
		plain := slices.Grow(buf[:0], int(e.Plain))[:e.Plain]
		if err := decompress(plain, b); err != nil {
			return nil, err
		}
		b = plain
	}
	if int64(len(b)) != e.Plain || crc32.Checksum(b, castagnoli) != e.CRC {
		return nil, damaged("CRC of the batches differs")
	}
	return b, nil
}

// readAt reads from the tail what stands there.
func (r *Reader) readAt(p []byte, off int64) error {
	if off >= r.tailAt {
		copy(p, r.tail[off-r.tailAt:])
		return nil
	}
	return readFull(r.src, p, off)
}

// readFull fills p. An object that ends before has lost bytes since its size was told.
func readFull(src io.ReaderAt, p []byte, off int64) error {
	n, err := src.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return damaged("it ends at %d, inside of %d bytes from %d on", off+int64(n), len(p), off)
	default:
		return fmt.Errorf("read %d bytes from %d on: %w", len(p), off, err)
	}
}
