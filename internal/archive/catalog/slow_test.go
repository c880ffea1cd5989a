package catalog

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"
)

// gate lets requests pass once enough of them are on their way at the same time: a network that is far away, and whose delay counts
// once for all of them.
type gate struct {
	Store
	enough int

	mu      sync.Mutex
	waiting int
	open    chan struct{}
}

var errAlone = errors.New("one request after the other")

func (g *gate) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	g.mu.Lock()
	if g.waiting++; g.waiting == g.enough {
		close(g.open)
	}
	g.mu.Unlock()
	select {
	case <-g.open:
		return g.Store.Get(ctx, name, offset, length)
	case <-time.After(10 * time.Second):
		return nil, errAlone
	}
}

// Over a slow link footers are not asked for one after the other: sixteen are on their way at once.
func TestFootersAreReadSideBySide(t *testing.T) {
	sizes := make([]int, 40)
	for i := range sizes {
		sizes[i] = 100
	}
	st, _ := archiveOf(t, nil, time.Minute, sizes...)
	s, err := Load(t.Context(), &gate{Store: st, enough: 16, open: make(chan struct{})}, Options{Source: "A", Direct: true}, time.Time{}, nil)
	if err != nil || s.Objects != len(sizes) {
		t.Errorf("%d objects, %v", s.Objects, err)
	}
}
