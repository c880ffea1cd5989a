package restore

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"tandem/internal/archive/catalog"
	"tandem/internal/stream"
)

// gated is a store that is far away: it answers once enough requests are on their way at the same time.
type gated struct {
	*chunkStore
	enough int

	mu      sync.Mutex
	waiting int
	open    chan struct{}
}

var errAlone = errors.New("one request after the other")

func (g *gated) pass() error {
	g.mu.Lock()
	if g.waiting++; g.waiting == g.enough {
		close(g.open)
	}
	g.mu.Unlock()
	select {
	case <-g.open:
		return nil
	case <-time.After(10 * time.Second):
		return errAlone
	}
}

func (g *gated) Chunk(ctx context.Context, o *catalog.Object, chunk int, b []byte) ([]byte, error) {
	if err := g.pass(); err != nil {
		return nil, err
	}
	return g.chunkStore.Chunk(ctx, o, chunk, b)
}

func (g *gated) Together(ctx context.Context, o *catalog.Object, chunks []int) ([][]byte, error) {
	if err := g.pass(); err != nil {
		return nil, err
	}
	return g.chunkStore.Together(ctx, o, chunks)
}

// Over a slow link one answer's chunks are not read one after the other.
func TestChunksAreReadSideBySide(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	chunks := &chunkStore{raw: make(map[string][][]byte)}
	far := &gated{chunkStore: chunks, enough: chunksAhead, open: make(chan struct{})}
	logs := make(map[stream.Partition]*Log)
	for n := range int32(4 * (chunksAhead + 2)) {
		part := chunks.archive(t, r, random(r, 0, 30), false, 0, nil)
		logs[stream.Partition{Topic: "orders", Number: n}] = NewLog(part, Cut{From: 0, End: part.Next(), Since: Always, Until: math.MaxInt64}, far)
	}
	source := NewSource(logs, nil, func(err error) { t.Error(err) })
	leaders, err := source.Leaders(t.Context(), []string{"orders"})
	if err != nil {
		t.Fatal(err)
	}
	s := source.Session(0)
	for p, l := range leaders {
		if l.Broker == 0 {
			s.Set(stream.Place{Partition: p, MaxBytes: 1 << 20})
		}
	}
	fetched, err := s.Fetch(t.Context(), stream.FetchBounds{MaxWaitMillis: 1, MaxBytes: 4 << 20})
	if err != nil || len(fetched) < chunksAhead {
		t.Errorf("%d pieces, %v", len(fetched), err)
	}
}
