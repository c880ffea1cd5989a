package restore

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	"tandem/internal/stream"
)

var seeds = flag.Int("seeds", 250, "random histories")

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

// Bundles are gone, or chunks cannot be read: what is there comes back, and counts are of what is there. What became of a transaction
// that reaches into such a hole nobody knows; all others are as they were.
func TestLogsWithHoles(t *testing.T) {
	for seed := range uint64(*seeds) / 2 {
		r := rand.New(rand.NewPCG(seed, 12))
		h := random(r, 0, 10+r.IntN(60))
		store := &chunkStore{raw: make(map[string][][]byte)}
		part := store.archive(t, r, h, false, 0, nil)
		var gone, lost []catalog.Stretch
		left := part
		left.Stretches = nil
		for _, s := range part.Stretches {
			switch r.IntN(8) {
			case 0:
				gone = append(gone, s)
				continue
			case 1:
				lost = append(lost, s)
			}
			left.Stretches = append(left.Stretches, s)
		}
		if len(left.Stretches) == 0 {
			continue
		}
		for range 4 {
			cut := someCut(r, left, false)
			l := NewLog(left, cut, store)
			for _, s := range lost {
				l.Lose(s.Object.Name, s.Chunk)
			}
			missing := slices.Concat(gone, lost)
			got := readLog(t, l, store, l.First())
			known := func(list []rec) []rec {
				return slices.DeleteFunc(slices.Clone(list), func(x rec) bool { return h.reachesInto(missing, cut, x.offset) })
			}
			want := slices.DeleteFunc(h.wanted(cut, false), func(x rec) bool { return within(missing, x.offset) })
			if slices.ContainsFunc(got, func(x rec) bool { return within(missing, x.offset) }) || !slices.Equal(known(got), known(want)) {
				t.Fatalf("seed %d, cut %+v: %d records, want %d\n%v\n%v", seed, cut, len(known(got)), len(known(want)), known(got), known(want))
			}
			if l.First() < l.End() {
				check(t, seed, r, l, store, got)
			}
			if t.Failed() {
				t.Fatalf("seed %d, cut %+v", seed, cut)
			}
		}
	}
}

// A transaction of which the marker is gone counts as committed, whatever became of the next one of its producer.
func TestLostCommitBeforeAnAbort(t *testing.T) {
	store := &chunkStore{raw: make(map[string][][]byte)}
	data := func(first int64, x *txn) *made {
		return &made{first: first, last: first, producer: 1, inTxn: true, old: -1, txn: x, records: []rec{{first, 1000, fmt.Sprint(first)}}}
	}
	marker := func(at int64, kind int) *made {
		return &made{first: at, last: at, producer: 1, inTxn: true, old: -1, marker: kind, append: 1000}
	}
	first, second := &txn{first: 0, marker: 2}, &txn{first: 3, marker: 4, abort: true}
	h := &history{end: 5, batches: []*made{data(0, first), data(1, first), marker(2, 1), data(3, second), marker(4, 2)}}
	var part catalog.Part
	for len(part.Stretches) != 4 || part.Stretches[3].From != 3 { // the last chunk has all of the second one
		part = store.archive(t, rand.New(rand.NewPCG(uint64(len(store.raw)), 13)), h, false, 0, nil)
	}
	part.Stretches = slices.Delete(part.Stretches, 2, 3)
	for _, until := range []int64{Never, 2000} {
		l := NewLog(part, Cut{End: 5, Since: Always, Until: until}, store)
		if got := readLog(t, l, store, 0); len(got) != 2 || got[1].value != "1" {
			t.Errorf("until %d: %v", until, got)
		}
	}
}

func within(list []catalog.Stretch, offset int64) bool {
	return slices.ContainsFunc(list, func(s catalog.Stretch) bool { return int64(s.From) <= offset && offset < int64(s.To) })
}

// reachesInto says that a record is of a transaction that has offsets among the missing ones, as far as the cut goes.
func (h *history) reachesInto(missing []catalog.Stretch, cut Cut, offset int64) bool {
	i := slices.IndexFunc(h.batches, func(m *made) bool { return m.first <= offset && offset <= m.last })
	x := h.batches[i].txn
	if x == nil {
		return false
	}
	end := x.marker
	if end < 0 || end >= int64(cut.End) {
		end = int64(cut.End) - 1
	}
	return slices.ContainsFunc(missing, func(s catalog.Stretch) bool { return int64(s.From) <= end && x.first < int64(s.To) })
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
