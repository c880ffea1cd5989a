package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

func (s *shell) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	r := &reader{tries: s.tries(ctx, "get", name), at: offset, left: length, size: -1}
	if err := CheckName(name); err != nil {
		return nil, r.fail(err)
	}
	if offset < 0 || length < -1 {
		return nil, r.fail(fmt.Errorf("range of %d bytes at %d", length, offset))
	}
	if length == 0 {
		return io.NopCloser(strings.NewReader("")), nil
	}
	for {
		err := r.reopen()
		if err == nil {
			return r, nil
		}
		if err := r.wait(err); err != nil {
			return nil, err
		}
	}
}

// reader is a body that goes on where it broke. The store's patience is counted anew after each byte that came.
type reader struct {
	*tries
	at   int64 // of the next byte
	left int64 // bytes to come; -1 before the first open of a read to the end
	size int64 // of the object; -1 before the first open

	body   io.ReadCloser // nil: reopen before reading
	cancel context.CancelCauseFunc
	done   error // what every Read returns from now on
}

// reopen leaves the context of the try running: the body lives on it.
func (r *reader) reopen() error {
	ctx, cancel := context.WithCancelCause(r.ctx())
	stall := time.AfterFunc(r.idle, func() { cancel(errStalled) })
	defer stall.Stop()
	body, size, err := r.backend.open(ctx, r.name, r.at, r.left)
	if err != nil {
		err = cause(ctx, err)
		cancel(nil)
		return err
	}
	r.body, r.cancel = body, cancel
	switch {
	case r.size >= 0 && r.size != size:
		err = errChanged
	case r.at > 0 && r.at >= size, r.left > size-r.at:
		err = fmt.Errorf("%w: it has %d bytes", errShort, size)
	}
	if err != nil {
		r.drop()
		return err
	}
	if r.size = size; r.left < 0 {
		r.left = size - r.at
	}
	return nil
}

// Read waits for the store only while it is called: whoever reads slowly is not a store that stalls.
func (r *reader) Read(p []byte) (int, error) {
	for r.done == nil {
		if r.left == 0 {
			return 0, io.EOF
		}
		n, err := r.once(p[:min(int64(len(p)), r.left)])
		if n > 0 {
			r.at, r.left, r.failed = r.at+int64(n), r.left-int64(n), 0
			return n, nil // an error comes back with the next Read, should it matter still
		}
		if err == nil {
			return 0, nil
		}
		r.drop()
		r.done = r.wait(err)
	}
	return 0, r.done
}

func (r *reader) once(p []byte) (int, error) {
	if r.body == nil {
		if err := r.reopen(); err != nil {
			return 0, err
		}
	}
	cancel := r.cancel
	stalled := make(chan struct{})
	stall := time.AfterFunc(r.idle, func() { cancel(errStalled); close(stalled) })
	n, err := r.body.Read(p)
	if !stall.Stop() {
		<-stalled
		if n == 0 && err != nil {
			return 0, fmt.Errorf("%w: %w", errStalled, err)
		}
	}
	if n == 0 && errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // the size says that there is more
	}
	return n, err
}

func (r *reader) drop() {
	if r.body != nil {
		r.cancel(nil)
		r.body.Close()
		r.body = nil
	}
}

func (r *reader) Close() error {
	r.drop()
	r.done = r.fail(errors.New("read after close"))
	return nil
}
