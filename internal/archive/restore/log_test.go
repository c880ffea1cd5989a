package restore

import (
	"flag"
	"math/rand/v2"
	"slices"
	"testing"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	"tandem/internal/stream"
)

var seeds = flag.Int("seeds", 400, "random histories")

// What a log gives, and how it counts, is what a decision record by record gives.
func TestLogIsWhatIsWanted(t *testing.T) {
	for seed := range uint64(*seeds) {
		r := rand.New(rand.NewPCG(seed, 11))
		h := random(r, r.Int64N(2)*r.Int64N(1000), 1+r.IntN(60))
		committed := r.IntN(3) == 0
		store := &chunkStore{raw: make(map[string][][]byte)}
		var part catalog.Part
		truncated := !committed && r.IntN(3) == 0
		if truncated {
			h, part = truncate(t, r, store, h)
		} else {
			part = store.archive(t, r, h, committed, 0, nil)
		}
		if len(part.Stretches) == 0 {
			continue
		}
		if !truncated && r.IntN(3) == 0 {
			overlap(t, r, store, h, committed, &part)
		}
		for range 6 {
			cut := someCut(r, part, committed)
			check(t, seed, r, NewLog(part, cut, store), store, h.wanted(cut, committed))
			if t.Failed() {
				t.Fatalf("seed %d, committed %t, cut %+v", seed, committed, cut)
			}
		}
	}
}

// overlap reads the log in two archives with other chunks, one up to a place and the other from there on.
func overlap(t *testing.T, r *rand.Rand, store *chunkStore, h *history, committed bool, part *catalog.Part) {
	t.Helper()
	other := store.archive(t, r, h, committed, 0, nil)
	at := part.Stretches[r.IntN(len(part.Stretches))].To
	var joined []catalog.Stretch
	for _, s := range part.Stretches {
		if s.From < at {
			joined = append(joined, s)
		}
	}
	for _, s := range other.Stretches {
		if s.To > at {
			s.From = max(s.From, at)
			joined = append(joined, s)
		}
	}
	part.Stretches = joined
}

// truncate lets the log go on, be archived, lose what it went on with, and go on otherwise.
func truncate(t *testing.T, r *rand.Rand, store *chunkStore, h *history) (*history, catalog.Part) {
	t.Helper()
	lost, kept := h.branch(), h.branch()
	lost.grow(r, 1+r.IntN(20))
	kept.grow(r, 1+r.IntN(20))
	at := stream.Upstream(h.end)
	before := store.archive(t, r, lost, false, 0, nil)
	var part catalog.Part
	for _, s := range before.Stretches {
		if s.To = min(s.To, at); s.From < s.To {
			part.Stretches = append(part.Stretches, s)
		}
	}
	var open []bundle.Transaction
	for p, x := range h.open {
		open = append(open, bundle.Transaction{ProducerID: p, First: stream.Upstream(x.first)})
	}
	after := store.archive(t, r, kept, false, len(h.batches), open)
	part.Stretches = append(part.Stretches, after.Stretches...)
	return kept, part
}

func someCut(r *rand.Rand, part catalog.Part, committed bool) Cut {
	cut := Cut{From: part.First(), End: part.Next(), Since: Always, Until: Never, Raw: r.IntN(6) == 0}
	if r.IntN(2) == 0 {
		cut.Until = 900 + r.Int64N(900)
	}
	if r.IntN(4) == 0 {
		cut.Since = 900 + r.Int64N(600)
	}
	if r.IntN(3) == 0 && !committed { // as archived at a time, or of a point: between two batches
		s := part.Stretches[r.IntN(len(part.Stretches))]
		cut.End = s.From + stream.Upstream(r.Int64N(int64(s.To-s.From)+1))
	}
	if r.IntN(5) == 0 {
		cut.From += stream.Upstream(r.Int64N(20))
	}
	return cut
}

func check(t *testing.T, seed uint64, r *rand.Rand, l *Log, store *chunkStore, want []rec) {
	t.Helper()
	got := readLog(t, l, store, l.First())
	if !slices.Equal(got, want) {
		t.Errorf("seed %d: %d records, want %d\n%v\n%v", seed, len(got), len(want), got, want)
		return
	}
	from := l.First() + stream.Upstream(r.Int64N(int64(l.End()-l.First())+1))
	tail := slices.DeleteFunc(readLog(t, l, store, from), func(x rec) bool { return x.offset < int64(from) })
	n := slices.IndexFunc(want, func(x rec) bool { return x.offset >= int64(from) })
	if n < 0 {
		n = len(want)
	}
	if !slices.Equal(tail, want[n:]) {
		t.Errorf("from %d: %v, want %v", from, tail, want[n:])
	}
	below, err := l.Below(t.Context(), from)
	if err != nil || below != int64(n) {
		t.Errorf("%d records below %d, want %d: %v", below, from, n, err)
	}
	at, err := l.At(t.Context(), int64(n))
	wantAt := l.End()
	if n < len(want) {
		wantAt = stream.Upstream(want[n].offset)
	}
	if err != nil || at != wantAt {
		t.Errorf("record %d is at %d, want %d: %v", n, at, wantAt, err)
	}
	if all, exact := l.Records(); exact && all != int64(len(want)) {
		t.Errorf("%d records known, want %d", all, len(want))
	}
	if at, err := l.At(t.Context(), int64(len(want))+1); err == nil {
		t.Errorf("record %d of %d is at %d", len(want)+1, len(want), at)
	}
}
