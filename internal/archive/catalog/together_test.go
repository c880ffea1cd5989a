package catalog

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"tandem/internal/archive/store"
	"tandem/internal/archive/store/faulty"
)

// Chunks that are read together are those that are read alone; what the store says is told as it is.
func TestOpenerReadsTogether(t *testing.T) {
	st, objects := archiveOf(t, nil, time.Minute, 100_000, 100_000)
	o := NewOpener(st, nil, 4)
	alone, err := o.Chunk(t.Context(), &objects[0], 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	all, err := o.Together(t.Context(), &objects[0], []int{0})
	if err != nil || len(all) != 1 || !bytes.Equal(all[0], alone) {
		t.Errorf("%d chunks: %v", len(all), err)
	}
	if _, err := o.Together(t.Context(), &objects[0], []int{0, 3}); err == nil {
		t.Error("a chunk that it does not have")
	}
	st.Script(faulty.Fault{Op: faulty.Get, Kind: store.Transient})
	if _, err := o.Together(t.Context(), &objects[0], []int{0}); store.Classify(err) != store.Transient || !strings.Contains(err.Error(), objects[0].Name) {
		t.Error(err)
	}
}
