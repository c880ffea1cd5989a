package bundle

import (
	"context"
	"fmt"
	"io"
)

// Together reads chunks that stand near each other, ascending, with one ranged read over all of them. The error of the first that is not
// as it should be is a *ChunkError.
func (r *Reader) Together(ctx context.Context, chunks []int) ([][]byte, error) {
	if len(chunks) == 0 {
		return nil, nil
	}
	if last := chunks[len(chunks)-1]; chunks[0] < 0 || last >= len(r.footer.Chunks) {
		return nil, fmt.Errorf("read chunks %d to %d of %s: it has %d", chunks[0], last, r.name, len(r.footer.Chunks))
	}
	from, to := r.Range(chunks)
	all := make([]byte, to-from)
	if err := r.readAt(all, from); err != nil {
		return nil, fmt.Errorf("read chunks %d to %d of %s: %w", chunks[0], chunks[len(chunks)-1], r.name, err)
	}
	near := *r
	near.src = &window{all, from}
	out := make([][]byte, len(chunks))
	for i, c := range chunks {
		var err error
		if out[i], err = near.Chunk(ctx, c, nil); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Range is what Together reads of the object for chunks.
func (r *Reader) Range(chunks []int) (from, to int64) {
	if first := chunks[0]; first > 0 { // the header comes along with chunk 0
		from = r.footer.Chunks[first].Position
	}
	last := &r.footer.Chunks[chunks[len(chunks)-1]]
	return from, last.Position + last.Stored
}

// window is a part of an object in memory.
type window struct {
	b  []byte
	at int64
}

// ReadAt is io.ReaderAt.
func (w *window) ReadAt(p []byte, off int64) (int, error) {
	if off < w.at || off-w.at > int64(len(w.b)) {
		return 0, io.EOF
	}
	n := copy(p, w.b[off-w.at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
