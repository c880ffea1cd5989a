package restore

import (
	"context"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	"tandem/internal/archive/store"
	"tandem/internal/stream"
)

// counted is a store that counts what is asked of it.
type counted struct {
	store.Store
	gets, bytes atomic.Int64
}

func (c *counted) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	c.gets.Add(1)
	c.bytes.Add(max(length, 0))
	return c.Store.Get(ctx, name, offset, length)
}

func (c *counted) List(ctx context.Context, prefix, after string) iter.Seq2[store.Info, error] {
	return c.Store.List(ctx, prefix, after)
}

// Many partitions at a trickle: each bundle has a chunk of each, in an order of its own. They come back with a few requests for a bundle,
// although a tenth of the chunks is of topics that nobody wants, and with each record in its place; a chunk that is broken is named alone.
func TestManySmallChunks(t *testing.T) {
	const partitions, bundles = 300, 12
	r := rand.New(rand.NewPCG(8, 9))
	plain, err := store.Open(t.Context(), "file://"+t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	st := &counted{Store: plain}
	histories, ends := make([]*history, partitions), make([]int, partitions)
	for i := range histories {
		histories[i] = random(r, 0, 4*bundles)
	}
	parts := make([]catalog.Part, partitions)
	var broken *catalog.Object
	for n := range bundles {
		header := bundle.Header{Flow: stream.Flow{Source: "A", Target: "B"}, Writer: "w", Sequence: int64(n), CreatedAt: time.UnixMilli(5000 + int64(n))}
		w, err := bundle.NewWriter(t.Context(), header, bundle.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range r.Perm(partitions) {
			h := histories[p]
			batches := h.batches[ends[p]:min(ends[p]+1+r.IntN(4), len(h.batches))]
			if len(batches) == 0 {
				continue
			}
			c := bundle.Chunk{Topic: bundle.Topic{Name: "orders"}, Partition: int32(p), First: stream.Upstream(batches[0].first), Next: stream.Upstream(batches[len(batches)-1].last + 1),
				Begins: ends[p] == 0}
			if k := len(parts[p].Entries); k > 0 {
				c.First, c.Open = parts[p].Entries[k-1].Next, parts[p].Entries[k-1].Open
			}
			var raw []byte
			for _, b := range batches {
				raw = append(raw, b.bytes(t)...)
			}
			e, err := w.Append(c, raw)
			if err != nil {
				t.Fatal(err)
			}
			ends[p] += len(batches)
			parts[p].Entries = append(parts[p].Entries, &e)
		}
		b, f, err := w.Finish(bundle.Digest{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		o := &catalog.Object{Name: bundle.Name("", header), Size: b.Size(), Header: header}
		if err := st.Put(t.Context(), o.Name, b); err != nil {
			t.Fatal(err)
		}
		for i := range f.Chunks {
			e := &f.Chunks[i]
			p := &parts[e.Partition]
			p.Stretches = append(p.Stretches, catalog.Stretch{Object: o, Chunk: i, Entry: e, From: e.First, To: e.Next})
		}
		broken = o
	}
	logs, wanted, places := make(map[stream.Partition]*Log), make(map[stream.Partition][]rec), make(map[stream.Partition]stream.Place)
	opener := catalog.NewOpener(st, nil, 4)
	for p := range parts {
		if at := (stream.Partition{Topic: "orders", Number: int32(p)}); p%10 > 0 {
			cut := Cut{End: parts[p].Next(), Since: Always, Until: Never}
			logs[at], wanted[at] = NewLog(parts[p], cut, opener), histories[p].wanted(cut, false)
			places[at] = stream.Place{Partition: at, MaxBytes: 1 << 20}
		}
	}
	source := NewSource(logs, nil, func(err error) { t.Error(err) })
	session := source.Session(0)
	for at, place := range places {
		if source.lane[at] != 0 {
			t.Fatalf("%s is read elsewhere", at)
		}
		session.Set(place)
	}
	got := make(map[stream.Partition][]rec)
	for rounds := 0; ; rounds++ {
		fetched, err := session.Fetch(t.Context(), stream.FetchBounds{MaxWaitMillis: 1, MaxBytes: 200_000})
		if err != nil {
			t.Fatal(err)
		}
		if len(fetched) == 0 {
			t.Logf("%d rounds, %d requests, %d bytes", rounds, st.gets.Load(), st.bytes.Load())
			break
		}
		for _, f := range fetched {
			list, next := decode(t, f.Records)
			place := places[f.Partition]
			got[f.Partition] = append(got[f.Partition], list...)
			place.Offset = stream.Upstream(next)
			places[f.Partition] = place
			session.Set(place)
		}
	}
	for at, log := range logs {
		if places[at].Offset != log.End() || !slices.Equal(got[at], wanted[at]) {
			t.Fatalf("%s is read up to %d of %d: %d records, want %d", at, places[at].Offset, log.End(), len(got[at]), len(wanted[at]))
		}
	}
	if n := st.gets.Load(); n > 6*bundles { // its end, and one or two for the chunks, twice where a round ends inside of it
		t.Errorf("%d requests for %d bundles", n, bundles)
	}
	if err := plain.Delete(t.Context(), broken.Name); err != nil {
		t.Fatal(err)
	}
	failed := fmt.Errorf("none")
	source = NewSource(logs, nil, func(err error) { failed = err })
	session = source.Session(0)
	for at, log := range logs {
		session.Set(stream.Place{Partition: at, Offset: log.spans[len(log.spans)-1].From, MaxBytes: 1 << 20})
	}
	opener = catalog.NewOpener(st, nil, 1)
	for _, log := range logs {
		log.chunks = opener
	}
	if _, err := session.Fetch(t.Context(), stream.FetchBounds{MaxBytes: 1 << 20}); err == nil || store.Classify(failed) != store.NotFound {
		t.Errorf("a bundle that is gone is told as %v, %v", err, failed)
	}
}
