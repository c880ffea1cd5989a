package catalog

import (
	"context"
	"errors"
	"io"
	"sync"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/store"
)

// errStore stands for what a store said while package bundle was reading. The store's error itself stays outside: a connection that
// broke wraps io.ErrUnexpectedEOF, and that is what package bundle takes for an object that was cut off.
var errStore = errors.New("the store did not give it")

// source reads one object by range, for several calls at a time, each with a context of its own: a call is known by the offset that
// it is going to read from.
type source struct {
	st   Store
	name string

	mu    sync.Mutex
	calls map[int64]*call
}

type call struct {
	ctx  context.Context //nolint:containedctx // io.ReaderAt has none, and this lives for one call
	err  error           // what the store said
	done chan struct{}
}

// anywhere is the offset of a call that may read from all of the object. No other one may run beside it.
const anywhere = -1

// begin registers a call. Two that read from one offset come one after the other.
func (s *source) begin(ctx context.Context, offset int64) (*call, error) {
	for {
		s.mu.Lock()
		other, busy := s.calls[offset]
		if !busy {
			c := &call{ctx: ctx, done: make(chan struct{})}
			if s.calls == nil {
				s.calls = make(map[int64]*call)
			}
			s.calls[offset] = c
			s.mu.Unlock()
			return c, nil
		}
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-other.done:
		}
	}
}

func (s *source) end(offset int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.calls[offset].done)
	delete(s.calls, offset)
}

// ReadAt is io.ReaderAt.
func (s *source) ReadAt(p []byte, off int64) (int, error) {
	s.mu.Lock()
	c := s.calls[off]
	if c == nil {
		c = s.calls[anywhere]
	}
	s.mu.Unlock()
	if c == nil {
		return 0, errStore
	}
	body, err := s.st.Get(c.ctx, s.name, off, int64(len(p)))
	if err != nil {
		c.err = err
		return 0, errStore
	}
	defer body.Close()
	n, err := io.ReadFull(body, p)
	if own := (*store.Error)(nil); errors.As(err, &own) {
		c.err, err = err, errStore
	}
	return n, err
}

// open reads the end of the object.
func (s *source) open(ctx context.Context, size int64, keeper bundle.Keeper) (*bundle.Reader, error) {
	c, err := s.begin(ctx, anywhere)
	if err != nil {
		return nil, err
	}
	defer s.end(anywhere)
	r, err := bundle.Open(ctx, s, size, bundle.OpenOptions{Name: s.name, Keeper: keeper})
	if c.err != nil {
		return nil, c.err // it names the object
	}
	return r, err
}
