package bundle

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"time"

	"tandem/internal/stream"
)

const (
	metaLimit   = 32 << 20 // bytes of the footer before the positions, and of the positions
	eventLimit  = 8 << 20  // of one event
	objectLimit = 4 << 30
)

// Options say how a bundle is written.
type Options struct {
	Compression Compression
	Keeper      Keeper  // nil: not encrypted
	Blocks      *Blocks // nil: memory is left to the garbage collector
	// TakeOver has Append hold on to the slices that it is given, until the object is released, where their bytes are stored as they are.
	// That saves a copy; small ones are copied all the same.
	TakeOver bool
}

// Writer builds one bundle in memory. It is not safe for concurrent use.
type Writer struct {
	header  Header
	options Options
	seal    *seal
	object  *Object // nil once finished
	start   int64   // where the chunks begin

	entries []Entry
	events  []Event
	chunked []byte // the entries, encoded
	told    []byte // the events, encoded

	ends map[part]stream.Upstream // where the last chunk of each partition ended
}

// part is a partition of a topic in one of its lives.
type part struct {
	topic  Topic
	number int32
}

// NewWriter begins a bundle. With a Keeper a data key is made and wrapped; without one nothing is asked of anybody.
func NewWriter(ctx context.Context, h Header, o Options) (*Writer, error) {
	h.CreatedAt = time.UnixMilli(h.CreatedAt.UnixMilli()).UTC()
	h.Encrypted, h.KeyID, h.wrapped = false, "", nil
	if err := h.check(); err != nil {
		return nil, fmt.Errorf("begin bundle: %w", err)
	}
	w := &Writer{options: o, ends: make(map[part]stream.Upstream)}
	name := Name("", h)
	var key []byte
	if o.Keeper != nil {
		var err error
		if key, err = wrapKey(ctx, o.Keeper, &h); err == nil {
			err = h.check()
		}
		if err != nil {
			return nil, fmt.Errorf("begin bundle %s: %w", name, err)
		}
	}
	head := h.encode()
	if key != nil {
		var err error
		if w.seal, err = newSeal(key, head); err != nil {
			return nil, fmt.Errorf("begin bundle %s: %w", name, err)
		}
	}
	w.header = h
	w.object = &Object{name: name, pool: o.Blocks}
	w.object.append(head)
	w.start = w.object.size
	return w, nil
}

// Append adds a chunk: whole batches, in order, as one slice or several; none is held on to without TakeOver. It gives the chunk's entry, whose
// Open goes into the partition's next chunk. After an error the bundle is as it was before.
func (w *Writer) Append(c Chunk, batches ...[]byte) (Entry, error) {
	fail := func(err error) (Entry, error) {
		return Entry{}, fmt.Errorf("append %s: %w", span(c.Topic, c.Partition, c.First, c.Next), err)
	}
	if w.object == nil {
		return fail(errFinished)
	}
	size := 0
	for _, b := range batches {
		size += len(b)
	}
	if size > chunkLimit-tagSize {
		return fail(fmt.Errorf("%d bytes in one chunk, at most %d", size, chunkLimit-tagSize))
	}
	if len(w.chunked)+len(w.told) > metaLimit || w.object.size+int64(size) > objectLimit {
		return fail(ErrFull)
	}
	e, compressed, err := scanChunk(c, batches)
	if err != nil {
		return fail(err)
	}
	p := part{topic: c.Topic, number: c.Partition}
	if end, ok := w.ends[p]; ok && c.First < end {
		return fail(fmt.Errorf("the chunk before ended at %d, and no event says that the source was truncated", end))
	}
	for _, b := range batches {
		e.CRC = crc32.Update(e.CRC, castagnoli, b)
	}
	if err := w.store(&e, compressed, batches); err != nil {
		return fail(err)
	}
	enc := encoder{b: w.chunked}
	enc.entry(&e)
	w.chunked = enc.b
	w.entries = append(w.entries, e)
	w.ends[p] = c.Next
	return e, nil
}

// takenLeast is from which size on a slice is held on to: below it a copy is cheaper than one more piece.
const takenLeast = 16 << 10

// store appends the bytes of a chunk in the form in which they are kept. Plain ones are copied once at most.
func (w *Writer) store(e *Entry, compressed int64, batches [][]byte) error {
	given := w.options.TakeOver
	if w.options.Compression == Zstd && e.Plain >= zstdLeast && compressed <= e.Plain/2 {
		joined, packed := borrow(), borrow()
		defer giveBack(joined)
		defer giveBack(packed)
		out, small, err := compress(*packed, join(joined, batches))
		if err != nil {
			return err
		}
		*packed = out
		if small {
			batches, e.Compression, given = [][]byte{out}, Zstd, false
		}
	}
	if w.seal != nil {
		joined, sealed := borrow(), borrow()
		defer giveBack(joined)
		defer giveBack(sealed)
		*sealed = w.seal.close(*sealed, join(joined, batches), partChunk, len(w.entries), nil)
		batches, given = [][]byte{*sealed}, false
	}
	sum := sha256.New()
	e.Position = w.object.size
	for _, b := range batches {
		sum.Write(b)
		if given && len(b) >= takenLeast {
			w.object.take(b)
		} else {
			w.object.append(b)
		}
	}
	e.Stored = w.object.size - e.Position
	sum.Sum(e.SHA256[:0])
	return nil
}

// join makes one slice of several, in a scratch.
func join(scratch *[]byte, batches [][]byte) []byte {
	if len(batches) == 1 {
		return batches[0]
	}
	for _, b := range batches {
		*scratch = append(*scratch, b...)
	}
	return *scratch
}

// Event adds what happened at a time, by the archive's clock.
func (w *Writer) Event(at time.Time, b Body) error {
	fail := func(err error) error { return fmt.Errorf("add event %s: %w", b.kind(), err) }
	if w.object == nil {
		return fail(errFinished)
	}
	if len(w.chunked)+len(w.told) > metaLimit {
		return fail(ErrFull)
	}
	ev := Event{At: time.UnixMilli(at.UnixMilli()).UTC(), Body: b}
	told, err := appendEvent(w.told, ev, w.header.CreatedAt)
	if err != nil {
		return fail(err)
	}
	if len(told)-len(w.told) > eventLimit {
		return fail(fmt.Errorf("%d bytes, at most %d", len(told)-len(w.told), eventLimit))
	}
	if t, ok := b.(Truncated); ok {
		delete(w.ends, part{topic: t.Topic, number: t.Partition})
	}
	w.told = told
	w.events = append(w.events, ev)
	return nil
}

// Size is about how large the object is so far, without the positions.
func (w *Writer) Size() int64 {
	if w.object == nil {
		return 0
	}
	return w.object.size + int64(len(w.chunked)+len(w.told)) + 2*trailerSize
}

// Empty says that nothing was added yet.
func (w *Writer) Empty() bool { return len(w.entries)+len(w.events) == 0 }

// Finish ends the bundle. previous is the digest of the one that its writer made before; positions are those of all partitions
// that the writer has, also of those without a chunk.
func (w *Writer) Finish(previous Digest, positions []Position) (*Object, Footer, error) {
	fail := func(err error) (*Object, Footer, error) {
		return nil, Footer{}, fmt.Errorf("finish bundle %s: %w", Name("", w.header), err)
	}
	if w.object == nil {
		return fail(errFinished)
	}
	positions, err := sorted(positions)
	if err != nil {
		return fail(err)
	}
	plain := body(w.chunked, len(w.entries), positions, w.told, len(w.events))
	if len(plain) > footerLimit-headerLimit-tagSize {
		return fail(fmt.Errorf("a footer of %d bytes", len(plain)))
	}
	footer, err := w.footer(plain, previous)
	if err != nil {
		return fail(err)
	}
	o := w.object
	t := trailer{position: o.size, length: int64(len(footer)), sha: sha256.Sum256(footer), previous: previous}
	end := t.encode()
	o.append(footer)
	o.append(end)
	o.digest = sha256.Sum256(end)
	f := Footer{
		Header: w.header, Digest: o.digest, Previous: previous, Size: o.size,
		Chunks: w.entries, Positions: positions, Events: w.events,
	}
	w.object = nil
	return o, f, nil
}

// footer makes the footer as it is stored.
func (w *Writer) footer(plain []byte, previous Digest) ([]byte, error) {
	head := w.header.encode()
	packed, small, err := compress(nil, plain)
	if err != nil {
		return nil, err
	}
	e := &encoder{b: head}
	e.flag(small)
	e.uint32(uint32(len(plain)))
	if !small {
		packed = plain
	}
	if w.seal != nil {
		packed = w.seal.close(packed[:0], packed, partFooter, 0, footerBinds(previous, e.b[len(e.b)-footerFixed:]))
	}
	e.raw(packed)
	return e.b, nil
}

// Discard gives up a bundle that is not finished.
func (w *Writer) Discard() {
	if w.object != nil {
		w.object.Release()
		w.object = nil
	}
}
