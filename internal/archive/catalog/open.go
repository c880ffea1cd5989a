package catalog

import (
	"context"
	"errors"
	"fmt"

	lru "github.com/hashicorp/golang-lru/v2"

	"tandem/internal/archive/bundle"
)

// Opener reads chunks of many bundles, and keeps those open that were used last: the end of a bundle is read once. Safe for concurrent
// use.
type Opener struct {
	st     Store
	keeper bundle.Keeper
	open   *lru.Cache[string, *handle]
}

// handle is a bundle that is open, or is being opened by who holds the lock.
type handle struct {
	src    source
	lock   chan struct{}  // of one place
	reader *bundle.Reader // nil until it was opened
}

// NewOpener makes an Opener that keeps so many bundles open. keeper is for encrypted ones.
func NewOpener(st Store, keeper bundle.Keeper, keep int) *Opener {
	cache, err := lru.New[string, *handle](max(keep, 1))
	if err != nil {
		panic(err) // only of a size below 1
	}
	return &Opener{st: st, keeper: keeper, open: cache}
}

// Chunk reads the batches of a chunk, checked against the footer, into buf where it is large enough. The error is a *bundle.ChunkError,
// or one that names the object.
func (o *Opener) Chunk(ctx context.Context, obj *Object, chunk int, buf []byte) ([]byte, error) {
	h, r, err := o.reader(ctx, obj)
	if err != nil {
		return nil, err
	}
	chunks := r.Footer().Chunks
	at := int64(0) // the header comes along with chunk 0
	if chunk > 0 && chunk < len(chunks) {
		at = chunks[chunk].Position
	}
	c, err := h.src.begin(ctx, at)
	if err != nil {
		return nil, fmt.Errorf("read chunk %d of %s: %w", chunk, obj.Name, err)
	}
	defer h.src.end(at)
	b, err := r.Chunk(ctx, chunk, buf)
	if own, ok := errors.AsType[*bundle.ChunkError](err); ok && c.err != nil {
		own.Err = c.err
		return nil, own
	}
	return b, err
}

// Together reads chunks of one bundle that stand near each other, ascending, with one request. Errors are those of Chunk.
func (o *Opener) Together(ctx context.Context, obj *Object, chunks []int) ([][]byte, error) {
	h, r, err := o.reader(ctx, obj)
	if err != nil {
		return nil, err
	}
	n := len(r.Footer().Chunks)
	for _, c := range chunks {
		if c < 0 || c >= n {
			return nil, fmt.Errorf("read chunk %d of %s: it has %d", c, obj.Name, n)
		}
	}
	at, _ := r.Range(chunks)
	c, err := h.src.begin(ctx, at)
	if err != nil {
		return nil, fmt.Errorf("read chunk %d of %s: %w", chunks[0], obj.Name, err)
	}
	defer h.src.end(at)
	all, err := r.Together(ctx, chunks)
	if err != nil && c.err != nil {
		return nil, fmt.Errorf("read chunks %d to %d of %s: %w", chunks[0], chunks[len(chunks)-1], obj.Name, c.err)
	}
	return all, err
}

// Footer is the footer of a bundle. It is shared: do not change it.
func (o *Opener) Footer(ctx context.Context, obj *Object) (bundle.Footer, error) {
	_, r, err := o.reader(ctx, obj)
	if err != nil {
		return bundle.Footer{}, err
	}
	return r.Footer(), nil
}

func (o *Opener) reader(ctx context.Context, obj *Object) (*handle, *bundle.Reader, error) {
	fresh := &handle{src: source{st: o.st, name: obj.Name}, lock: make(chan struct{}, 1)}
	h, was, _ := o.open.PeekOrAdd(obj.Name, fresh)
	if was {
		o.open.Get(obj.Name) // it was used
	} else {
		h = fresh
	}
	select {
	case <-ctx.Done():
		return nil, nil, fmt.Errorf("open %s: %w", obj.Name, context.Cause(ctx))
	case h.lock <- struct{}{}:
	}
	defer func() { <-h.lock }()
	if h.reader == nil {
		r, err := h.src.open(ctx, obj.Size, o.keeper)
		if err != nil {
			return nil, nil, err
		}
		h.reader = r
	}
	return h, h.reader, nil
}
