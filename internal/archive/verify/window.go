package verify

import (
	"context"
	"errors"
	"io"
	"slices"

	"tandem/internal/archive/catalog"
	"tandem/internal/archive/store"
)

// windowSize is how much of an object is read at a time: a request costs as much as some MiB.
const windowSize = 4 << 20

// window is an object as an io.ReaderAt that has a stretch of it in memory. What is asked for beyond it costs a read each.
type window struct {
	store catalog.Store
	name  string
	buf   []byte
	at    int64           // where buf begins in the object
	err   error           // what the store said last
	ctx   context.Context //nolint:containedctx // io.ReaderAt has none, and this lives for one object
}

// errStore stands for what a store said: its own error may wrap io.ErrUnexpectedEOF, as of a connection that broke, and that is what
// package bundle takes for an object that was cut off.
var errStore = errors.New("the store did not give it")

// open begins with another object.
func (w *window) open(ctx context.Context, st catalog.Store, name string) {
	w.ctx, w.store, w.name, w.at, w.buf, w.err = ctx, st, name, 0, w.buf[:0], nil
}

// fill reads a stretch. Of an object that is shorter it has what there is; who reads on then finds that out.
func (w *window) fill(from, to int64) error {
	w.buf, w.at = slices.Grow(w.buf[:0], int(to-from))[:to-from], from
	n, err := w.read(w.buf, from)
	if err != nil {
		w.buf = w.buf[:n]
		if err = w.told(err); !brief(err) {
			return err
		}
		w.err = nil
	}
	return nil
}

func (w *window) read(p []byte, off int64) (int, error) {
	body, err := w.store.Get(w.ctx, w.name, off, int64(len(p)))
	if err != nil {
		w.err = err
		return 0, errStore
	}
	defer body.Close()
	n, err := io.ReadFull(body, p)
	if own := (*store.Error)(nil); errors.As(err, &own) {
		w.err, err = err, errStore
	}
	return n, err
}

// told is the store's word where it said something, and err else.
func (w *window) told(err error) error {
	if w.err != nil {
		return w.err
	}
	return err
}

// ReadAt is io.ReaderAt.
func (w *window) ReadAt(p []byte, off int64) (int, error) {
	if off >= w.at && off+int64(len(p)) <= w.at+int64(len(w.buf)) {
		return copy(p, w.buf[off-w.at:]), nil
	}
	return w.read(p, off)
}
