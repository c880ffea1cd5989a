package bundle

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
)

// countedReads counts what is read of an object, and may give other bytes.
type countedReads struct {
	io.ReaderAt
	n int
}

func (c *countedReads) ReadAt(p []byte, off int64) (int, error) {
	c.n++
	return c.ReaderAt.ReadAt(p, off)
}

// Chunks that are read together are those that are read one by one, with one read; of a broken one the error names it.
func TestTogether(t *testing.T) {
	k := newKeeper("one")
	for _, o := range []Options{{}, {Keeper: k}} {
		object, plain, f := sample(t, o)
		src := &countedReads{ReaderAt: bytes.NewReader(object)}
		r, err := Open(t.Context(), src, int64(len(object)), OpenOptions{Keeper: k})
		if err != nil {
			t.Fatal(err)
		}
		r.tail, r.tailAt = nil, int64(len(object)) // as of an object with a larger end: nothing is in memory
		lists := [][]int{nil, {0}, {len(plain) - 1}, {0, len(plain) - 1}}
		all := make([]int, len(plain))
		for i := range all {
			all[i] = i
		}
		for _, list := range append(lists, all, all[1:]) {
			src.n = 0
			got, err := r.Together(t.Context(), list)
			if err != nil || len(got) != len(list) || src.n > 1 {
				t.Fatalf("%v: %d chunks with %d reads: %v", list, len(got), src.n, err)
			}
			for i, c := range list {
				if !bytes.Equal(got[i], plain[c]) {
					t.Errorf("%v: chunk %d is another one", list, c)
				}
			}
		}
		if _, err := r.Together(t.Context(), []int{0, len(plain)}); err == nil {
			t.Error("there is no such chunk")
		}
		spoilt := slices.Clone(object)
		spoilt[f.Chunks[1].Position] ^= 1
		r.src = bytes.NewReader(spoilt)
		own := (*ChunkError)(nil)
		if _, err := r.Together(t.Context(), all); !errors.As(err, &own) || own.Chunk != 1 {
			t.Errorf("a broken chunk 1 is told as %v", err)
		}
		r.src = bytes.NewReader(object[:f.Chunks[1].Position])
		if _, err := r.Together(t.Context(), all); !errors.Is(err, ErrCorrupt) {
			t.Errorf("an object that was cut off is told as %v", err)
		}
	}
}
