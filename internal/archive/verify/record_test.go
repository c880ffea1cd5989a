package verify

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	"tandem/internal/archive/verify/sample"
	"tandem/internal/batch"
	"tandem/internal/stream"
)

// Batches that a writer took as they were, and that are not what their headers say: only the level of records finds them.
func TestDamagedBeforeItWasArchived(t *testing.T) {
	good := made(3, 3, batch.None)
	spoil := func(change func(b []byte)) []byte {
		b := slices.Clone(good)
		change(b)
		return b
	}
	for _, c := range []struct {
		name, says string
		batch      []byte
	}{
		{"a byte of a value", "offsets 3 to 5: chunk 0: verify batch", spoil(func(b []byte) { b[len(b)-9] ^= 1 })},
		{"more records than its header says", "3 to 5: chunk 0: decode batch", spoil(func(b []byte) {
			binary.BigEndian.PutUint32(b[57:], 2)
			sample.Sum(b)
		})},
		{"offsets that do not rise", "offset 3 after 3", sample.Batch{Base: 3, Last: 2, Records: []sample.Record{{Delta: 0}, {Delta: 0}}}.Bytes()},
		{"a record newer than its header says", "restore --until would miss it", spoil(func(b []byte) {
			binary.BigEndian.PutUint64(b[35:], 1700000000000)
			sample.Sum(b)
		})},
		{"garbage that is not of its codec", "decompress", spoil(func(b []byte) { b[22] = 3; sample.Sum(b) })},
	} {
		st := sample.NewStore()
		w := sample.NewWriter(t, st, "w1", bundle.Options{})
		w.Append(sample.Topic("orders"), 0, 0, made(0, 3, batch.LZ4), c.batch, made(6, 1, batch.Zstd))
		w.Flush()
		if r := verified(t, st, Options{Level: Chunk}); len(r.Findings) > 0 {
			t.Errorf("%s: %v", c.name, r.Findings)
		}
		r := verified(t, st, Options{Level: Record})
		if len(r.Findings) != 1 || !strings.Contains(r.Findings[0].String(), c.says) {
			t.Errorf("%s: %v", c.name, r.Findings)
		}
	}
}

// entry is that of a chunk with everything that an entry can tell.
func entry(t *testing.T) (bundle.Entry, []byte) {
	t.Helper()
	st := sample.NewStore()
	w := sample.NewWriter(t, st, "w1", bundle.Options{})
	w.Seek(sample.Topic("orders"), 0, 10)
	b := slices.Concat(made(10, 3, batch.None),
		sample.Batch{Base: 13, Producer: 7, Attributes: 0x10, Records: some(2)}.Bytes(),
		sample.Batch{Base: 15, Producer: 8, Attributes: 0x10, Records: some(1)}.Bytes(),
		sample.Batch{Base: 16, Producer: 7, Marker: 2}.Bytes(),
		sample.Batch{Base: 17, Producer: 9, Marker: 2}.Bytes(),
		sample.Batch{Base: 20, Records: some(2)}.Bytes())
	return w.Append(sample.Topic("orders"), 0, 25, b), b
}

// Whatever an entry says that its batches do not is found.
func TestFootersThatLie(t *testing.T) {
	good, b := entry(t)
	look := func(e bundle.Entry) []Finding {
		c := check{object: "o", entry: &e, shaper: batch.NewShaper()}
		c.all(b)
		return c.findings
	}
	if f := look(good); len(f) > 0 {
		t.Fatalf("%v", f)
	}
	for name, lie := range map[string]func(e *bundle.Entry){
		"batches":           func(e *bundle.Entry) { e.Batches++ },
		"records":           func(e *bundle.Entry) { e.Records-- },
		"markers":           func(e *bundle.Entry) { e.Markers++ },
		"next":              func(e *bundle.Entry) { e.Next = 21 },
		"first":             func(e *bundle.Entry) { e.First = 13 },
		"largest timestamp": func(e *bundle.Entry) { e.MaxTimestamp++ },
		"least timestamp":   func(e *bundle.Entry) { e.MinTimestamp-- },
		"open left out":     func(e *bundle.Entry) { e.Open = nil },
		"open invented": func(e *bundle.Entry) {
			e.Open = append(slices.Clone(e.Open), bundle.Transaction{ProducerID: 5, First: 12})
		},
		"open though aborted": func(e *bundle.Entry) {
			e.Open = append(slices.Clone(e.Open), bundle.Transaction{ProducerID: 7, First: 13})
		},
		"aborted left out": func(e *bundle.Entry) { e.Aborted = nil },
		"aborted invented": func(e *bundle.Entry) {
			e.Aborted = append(slices.Clone(e.Aborted), bundle.Aborted{ProducerID: 8, First: 15, Marker: 18})
		},
		"aborted from later": func(e *bundle.Entry) { e.Aborted = []bundle.Aborted{{ProducerID: 7, First: 14, Marker: 16}} },
	} {
		e := good
		lie(&e)
		if f := look(e); len(f) == 0 {
			t.Errorf("%s: nothing was found", name)
		}
	}
}

func TestWhatIsOpenGoesOn(t *testing.T) {
	e := bundle.Entry{Topic: sample.Topic("orders"), First: 10, Next: 20}
	open := []bundle.Transaction{{ProducerID: 7, First: 3}}
	aborts := []marker{{producer: 7, at: 12, abort: true}}
	for name, c := range map[string]struct {
		open    []bundle.Transaction
		aborted []bundle.Aborted
		before  []bundle.Transaction
		markers []marker
		odd     bool
	}{
		"goes on":            {open: open, before: open},
		"is forgotten":       {before: open, odd: true},
		"is invented":        {open: open, odd: true},
		"commits":            {before: open, markers: []marker{{producer: 7, at: 12}}},
		"aborts":             {before: open, markers: aborts, aborted: []bundle.Aborted{{ProducerID: 7, First: 3, Marker: 12}}},
		"aborts, not told":   {before: open, markers: aborts, odd: true},
		"aborts, told wrong": {before: open, markers: aborts, aborted: []bundle.Aborted{{ProducerID: 7, First: 5, Marker: 12}}, odd: true},
	} {
		e.Open, e.Aborted = c.open, c.aborted
		if f := carried("o", &e, c.before, c.markers); (len(f) > 0) != c.odd {
			t.Errorf("%s: %v", name, f)
		}
	}
}

// Two processes archived the same offsets. That they differ is found, unless a truncation of the source explains it.
func TestTwice(t *testing.T) {
	other := some(3)
	other[1].Value = []byte("another value")
	for _, c := range []struct {
		name   string
		second []byte
		first  int64
		odd    bool
	}{
		{"the same bytes", made(0, 3, batch.None), 0, false},
		{"the same records, compressed otherwise", made(0, 3, batch.Gzip), 0, false},
		{"another value", sample.Batch{Base: 0, Records: other}.Bytes(), 0, true},
		{"another value under another leader", sample.Batch{Base: 0, Records: other, Epoch: 1}.Bytes(), 0, false},
		{"what the log cleaner left", sample.Batch{Base: 0, Last: 2, Records: some(3)[2:]}.Bytes(), 0, false},
		{"a part of it", sample.Batch{Base: 2, Records: []sample.Record{{Time: some(3)[2].Time, Value: []byte("other")}}}.Bytes(), 2, true},
	} {
		st := sample.NewStore()
		a := sample.NewWriter(t, st, "w1", bundle.Options{})
		a.Append(sample.Topic("orders"), 0, 0, made(0, 3, batch.None), made(3, 2, batch.None))
		a.Flush()
		b := sample.NewWriter(t, st, "w2", bundle.Options{})
		b.Seek(sample.Topic("orders"), 0, c.first)
		b.Append(sample.Topic("orders"), 0, 0, c.second)
		b.Flush()
		r := verified(t, st, Options{Level: Record})
		if (len(r.Findings) > 0) != c.odd {
			t.Errorf("%s: %v", c.name, r.Findings)
		}
	}
}

// Pairs are found as by looking at every two.
func TestPairs(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	name := &bundleObject
	for range 300 {
		var all []piece
		for i := range rng.IntN(12) {
			first := stream.Upstream(rng.IntN(30))
			all = append(all, piece{object: name, chunk: i, first: first, next: first + 1 + stream.Upstream(rng.IntN(8)), crc: uint32(rng.IntN(2)), looked: rng.IntN(3) > 0})
		}
		want := 0
		for i, a := range all {
			for _, b := range all[:i] {
				same := a.first == b.first && a.next == b.next && a.crc == b.crc
				if max(a.first, b.first) < min(a.next, b.next) && !same && (a.looked || b.looked) {
					want++
				}
			}
		}
		got := 0
		if err := pairs(all, func(a, b piece) error {
			if max(a.first, b.first) >= min(a.next, b.next) {
				t.Fatalf("%v and %v have nothing in common", a, b)
			}
			got++
			return nil
		}); err != nil || got != want {
			t.Fatalf("%d pairs, not %d: %v", got, want, all)
		}
	}
}

var bundleObject = catalog.Object{Name: "o"}
