package archive

import (
	"bytes"
	"context"
	"os"
	"testing"
	"time"

	"tandem/internal/archive/bundle"
)

// TestMain compresses and decompresses once: what package zstd shares must not be made inside of one test's bubble.
func TestMain(m *testing.M) {
	h := bundle.Header{Flow: flowAB, Writer: "w", CreatedAt: time.Now()}
	w, err := bundle.NewWriter(context.Background(), h, bundle.Options{Compression: bundle.Zstd})
	if err != nil {
		panic(err)
	}
	b := plainBatch(0, 1, 1, bytes.Repeat([]byte("x"), 10000))
	if _, err := w.Append(bundle.Chunk{Topic: bundle.Topic{Name: "t"}, Next: 1}, b); err != nil {
		panic(err)
	}
	o, _, err := w.Finish(bundle.Digest{}, nil)
	if err != nil {
		panic(err)
	}
	r, err := bundle.Open(context.Background(), o, o.Size(), bundle.OpenOptions{})
	if err != nil {
		panic(err)
	}
	if _, err := r.Chunk(context.Background(), 0, nil); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
