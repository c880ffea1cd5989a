package verify

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	"tandem/internal/batch"
	"tandem/internal/stream"
)

// twice are all chunks by partition, to find those that have offsets of another one. Two processes may have archived the same
// stretch; then they have read the same records. Kafka promises that of one offset and leader epoch; what a truncation of
// the source has replaced has another epoch.
type twice map[partition][]piece

type piece struct {
	object      *catalog.Object
	chunk       int
	first, next stream.Upstream
	crc         uint32
	plain       int64
	looked      bool // it was read, and belongs to what is verified
}

func (t twice) add(o *catalog.Object, f *bundle.Footer, wants func(string) bool, looked bool) {
	for i := range f.Chunks {
		e := &f.Chunks[i]
		if p := partitionOf(e.Topic, e.Partition); wants(e.Topic.Name) && e.Batches > 0 {
			t[p] = append(t[p], piece{o, i, e.First, e.Next, e.CRC, e.Plain, looked})
		}
	}
}

// pairs are the chunks of a partition that have offsets in common, and different bytes.
func pairs(all []piece, each func(a, b piece) error) error {
	slices.SortFunc(all, func(a, b piece) int {
		return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.object.Name, b.object.Name), cmp.Compare(a.chunk, b.chunk))
	})
	var open []piece // begun before, and not ended
	for _, b := range all {
		open = slices.DeleteFunc(open, func(a piece) bool { return a.next <= b.first })
		for _, a := range open {
			same := a.first == b.first && a.next == b.next && a.crc == b.crc && a.plain == b.plain
			if same || !a.looked && !b.looked {
				continue
			}
			if err := each(a, b); err != nil {
				return err
			}
		}
		open = append(open, b)
	}
	return nil
}

// openReaders is how many footers are kept while chunks are compared.
const openReaders = 8

// compare reads the chunks that have offsets in common.
func (r *run) compare(ctx context.Context) error {
	opener := catalog.NewOpener(r.store, r.options.Keeper, openReaders)
	c := comparison{opener: opener, shaper: batch.NewShaper(), seed: maphash.MakeSeed()}
	for p, all := range r.twice {
		err := pairs(all, func(a, b piece) error {
			r.Twice++
			from, to, err := c.differ(ctx, a, b)
			switch {
			case isDamage(err), errors.Is(err, batch.ErrCorrupt), errors.Is(err, batch.ErrTruncated):
				return nil // it was found before
			case err != nil:
				return err
			case from < to:
				r.found(Finding{Object: b.object.Name, Topic: p.topic.String(), Partition: p.number, From: from, To: to,
					What: fmt.Sprintf("chunk %d has other records at these offsets than chunk %d of %s, under the same leader epoch", b.chunk, a.chunk, a.object.Name),
					Do:   "one of the two is not what the source had: compare with the source, or with the target, before restoring these"})
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

type comparison struct {
	opener *catalog.Opener
	shaper *batch.Shaper
	seed   maphash.Seed
	a, b   []byte
}

// seen is a record, of which no more is kept than what tells it from another.
type seen struct {
	epoch  int32
	digest uint64
}

// differ finds the offsets at which two chunks have different records under one leader epoch. One of them may lack records
// that the log cleaner has taken meanwhile.
func (c *comparison) differ(ctx context.Context, a, b piece) (from, to stream.Upstream, err error) {
	low, high := max(a.first, b.first), min(a.next, b.next)
	if c.a, err = c.opener.Chunk(ctx, a.object, a.chunk, c.a); err != nil {
		return 0, 0, err
	}
	had := make(map[int64]seen)
	err = c.each(c.a, low, high, func(offset int64, s seen) { had[offset] = s })
	if err != nil {
		return 0, 0, err
	}
	if c.b, err = c.opener.Chunk(ctx, b.object, b.chunk, c.b); err != nil {
		return 0, 0, err
	}
	err = c.each(c.b, low, high, func(offset int64, s seen) {
		if h, ok := had[offset]; ok && h.epoch == s.epoch && h.digest != s.digest {
			if from == to {
				from = stream.Upstream(offset)
			}
			to = stream.Upstream(offset) + 1
		}
	})
	return from, to, err
}

func (c *comparison) each(b []byte, low, high stream.Upstream, each func(int64, seen)) error {
	for len(b) > 0 {
		v, rest, err := batch.Next(b)
		if err != nil {
			return err
		}
		b = rest
		if stream.Upstream(v.LastOffset()) < low || stream.Upstream(v.BaseOffset()) >= high && v.Magic() == 2 {
			continue
		}
		var h maphash.Hash
		h.SetSeed(c.seed)
		err = c.shaper.Records(v, func(r batch.Record) error {
			if o := stream.Upstream(r.Offset); o >= low && o < high {
				h.Reset()
				var t [8]byte
				binary.BigEndian.PutUint64(t[:], uint64(r.Timestamp))
				_, _ = h.Write(t[:]) // it never fails
				_, _ = h.Write(r.Body)
				each(r.Offset, seen{v.LeaderEpoch(), h.Sum64()})
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
