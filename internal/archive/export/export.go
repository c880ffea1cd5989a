package export

import (
	"context"
	"fmt"

	"tandem/internal/archive/catalog"
	"tandem/internal/batch"
	"tandem/internal/stream"
)

// Chunks reads the batches of a chunk of an object, checked, into buf where it is large enough: a catalog.Opener does.
type Chunks interface {
	Chunk(ctx context.Context, object *catalog.Object, chunk int, buf []byte) ([]byte, error)
}

// Result says what was copied.
type Result struct {
	From    stream.Upstream `json:"from"` // the first offset that was copied,
	To      stream.Upstream `json:"to"`   // and behind the last one; both are 0 where there was nothing
	Batches int64           `json:"batches"`
	Bytes   int64           `json:"bytes"`
	Below   int64           `json:"below"` // offsets of the first batch that lie below what was wanted
	Above   int64           `json:"above"` // offsets of the last batch that lie above it
	Rebuilt int64           `json:"rebuilt"`
	Holes   []catalog.Hole  `json:"holes"` // within what was wanted
	Files   []string        `json:"files,omitempty"`
}

// Copy hands over the batches that have offsets from <= o < to, in order. A view is good until each returns.
func Copy(ctx context.Context, c Chunks, p catalog.Part, from, to stream.Upstream, each func(batch.View) error) (Result, error) {
	k := copying{from: from, to: to, each: each}
	for _, h := range p.Holes {
		if h.From < to && h.To > from {
			k.Holes = append(k.Holes, catalog.Hole{From: max(h.From, from), To: min(h.To, to), Why: h.Why})
		}
	}
	var buf []byte
	for _, s := range p.Stretches {
		if s.To <= from || s.From >= to || s.From >= s.To {
			continue
		}
		b, err := c.Chunk(ctx, s.Object, s.Chunk, buf)
		if err != nil {
			return k.Result, err
		}
		if buf = b; cap(buf) > keepChunk {
			buf = nil
		}
		for len(b) > 0 {
			v, rest, err := batch.Next(b)
			if err == nil {
				err = k.batch(v, s, max(s.From, from), min(s.To, to))
			}
			if err != nil {
				return k.Result, fmt.Errorf("copy chunk %d of %s: %w", s.Chunk, s.Object.Name, err)
			}
			b = rest
		}
	}
	return k.Result, nil
}

// keepChunk bounds the memory that is kept from one chunk to the next.
const keepChunk = 16 << 20

type copying struct {
	Result
	from, to stream.Upstream
	each     func(batch.View) error
	shaper   *batch.Shaper
}

// batch copies one that has offsets low <= o < high.
func (k *copying) batch(v batch.View, s catalog.Stretch, low, high stream.Upstream) error {
	first, last := stream.Upstream(v.BaseOffset()), stream.Upstream(v.LastOffset())
	if last < low || first >= high || last < k.To {
		return nil
	}
	if k.Batches > 0 && first < k.To || last >= s.To {
		var ok bool
		var err error
		if v, ok, err = k.cut(v, s.To); err != nil || !ok {
			return err
		}
		first, last = stream.Upstream(v.BaseOffset()), stream.Upstream(v.LastOffset())
	}
	if k.Batches == 0 {
		k.From = first
		k.Below = max(0, int64(k.from-first))
	}
	if err := k.each(v); err != nil {
		return err
	}
	k.Batches++
	k.Bytes += int64(len(v.Bytes()))
	k.To, k.Above = last+1, max(0, int64(last+1-k.to))
	return nil
}

// cut rebuilds a batch that begins below what was copied, or ends above what is to be read of its chunk: what is there is to be read
// from another one.
func (k *copying) cut(v batch.View, end stream.Upstream) (batch.View, bool, error) {
	if v.Control() {
		return v, false, nil // one record, which was copied
	}
	if k.shaper == nil {
		k.shaper = batch.NewShaper()
	}
	raw, n, err := k.shaper.Sieve(v, func(offset, _ int64) bool {
		o := stream.Upstream(offset)
		return o < end && (k.Batches == 0 || o >= k.To)
	})
	if err != nil || n == 0 {
		return v, false, err
	}
	k.Rebuilt++
	v, _, err = batch.Next(raw)
	return v, true, err
}
