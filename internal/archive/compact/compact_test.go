package compact

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	"tandem/internal/archive/store"
	"tandem/internal/archive/verify"
	"tandem/internal/archive/verify/sample"
	"tandem/internal/batch"
	"tandem/internal/stream"
)

var later = sample.Noon.Add(24 * time.Hour)

func options(o bundle.Options) Options {
	return Options{
		Flow: stream.Flow{Source: "A", Target: "B"}, Keeper: o.Keeper, Before: later, ObjectBytes: 8 << 10, Now: func() time.Time { return later },
	}
}

// history is an archive of two writers with partitions that they share out among them, transactions, codecs, holes, events.
func history(t *testing.T, seed uint64, o bundle.Options) *sample.Store {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 7))
	st := sample.NewStore()
	var writers []*sample.Writer
	for i := range 2 {
		w := sample.NewWriter(t, st, fmt.Sprintf("w%d", i), o)
		w.Header.CreatedAt = sample.Noon.Add(time.Duration(i) * time.Second)
		writers = append(writers, w)
	}
	topics := []bundle.Topic{sample.Topic("orders"), sample.Topic("audit"), {Name: "old"}}
	type part struct {
		next int64
		open map[int64]bool
	}
	parts := make([]part, 6)
	for i := range parts {
		parts[i].open = make(map[int64]bool)
		if rng.IntN(2) == 0 {
			parts[i].next = rng.Int64N(1000)
			writers[i%2].Seek(topics[i/2], int32(i%2), parts[i].next)
		}
	}
	for _, topic := range topics {
		writers[0].Event(bundle.TopicCreated{Topic: topic, Partitions: 2, Factor: 1, Found: true})
	}
	for range 12 + rng.IntN(20) {
		w := writers[rng.IntN(2)]
		for i := range parts {
			if writers[i%2] != w || rng.IntN(3) == 0 {
				continue
			}
			p := &parts[i]
			var batches [][]byte
			for range rng.IntN(4) {
				batches = append(batches, one(rng, &p.next, p.open))
			}
			if len(batches) > 0 {
				w.Append(topics[i/2], int32(i%2), p.next, batches...)
			}
		}
		if rng.IntN(3) == 0 {
			w.Event(bundle.GroupOffsets{Group: fmt.Sprint("g", rng.IntN(3)), Whole: rng.IntN(3) == 0, Offsets: []bundle.GroupOffset{
				{Topic: "orders", Partition: int32(rng.IntN(2)), Offset: stream.Upstream(rng.IntN(50) - 1)}}})
		}
		if rng.IntN(6) == 0 {
			w.Event(bundle.TopicConfigs{Topic: topics[rng.IntN(3)], Configs: []bundle.Config{{Name: "retention.ms", Value: fmt.Sprint(rng.IntN(9))}}})
		}
		if rng.IntN(8) == 0 {
			w.Event(bundle.Mark{Name: fmt.Sprint("m", rng.IntN(99)), Positions: []bundle.Position{{Topic: topics[0], Next: stream.Upstream(rng.IntN(9))}}})
		}
		if rng.IntN(8) == 0 {
			w.Event(bundle.ACLs{Bindings: []bundle.ACL{{Resource: fmt.Sprint(rng.IntN(9))}}})
		}
		if rng.IntN(20) == 0 {
			w.Event(bundle.Unknown{Number: 77, Version: 1, Raw: []byte{1}})
		}
		w.Flush()
		if rng.IntN(8) == 0 {
			w.Restart()
		}
	}
	return st
}

// one is a batch that goes on at next: of a transaction, a marker, or plain, perhaps with holes.
func one(rng *rand.Rand, next *int64, open map[int64]bool) []byte {
	*next += int64(rng.IntN(4) / 3 * rng.IntN(5)) // a hole that compaction left
	m := sample.Batch{Base: *next, Codec: batch.Codec(rng.IntN(5)), Epoch: 3}
	producer := int64(1 + rng.IntN(3))
	switch rng.IntN(4) {
	case 0:
		m.Producer, m.Attributes, open[producer] = producer, 0x10, true
	case 1:
		if open[producer] {
			delete(open, producer)
			m = sample.Batch{Base: *next, Producer: producer, Marker: 1 + rng.IntN(2), Epoch: 3}
			*next++
			return m.Bytes()
		}
	}
	delta := int32(0)
	for range rng.IntN(12) {
		m.Records = append(m.Records, sample.Record{Delta: delta, Time: 1700000000000 + rng.Int64N(100000), Key: fmt.Append(nil, rng.IntN(99)),
			Value: bytes.Repeat(fmt.Append(nil, "word ", rng.IntN(9)), rng.IntN(30))})
		delta += 1 + int32(rng.IntN(5)/4)
	}
	m.Last = delta + int32(rng.IntN(2))
	b := m.Bytes()
	*next += int64(max(m.Last, 0)) + 1
	return b
}

// all is everything that an archive says: states as of many moments, and each record.
type all struct {
	states  []*catalog.State
	records map[string]string
}

func moments() (m []time.Time) {
	for i := range 16 {
		m = append(m, sample.Noon.Add(time.Duration(i)*23*time.Second))
	}
	return append(m, time.Time{})
}

func read(t *testing.T, st *sample.Store, k bundle.Keeper) all {
	t.Helper()
	a := all{records: make(map[string]string)}
	o := catalog.Options{Source: "A", Keeper: k}
	for _, m := range moments() {
		s, err := catalog.Load(t.Context(), st, o, m, nil)
		if err != nil {
			t.Fatal(err)
		}
		a.states = append(a.states, s)
	}
	opener, reader := catalog.NewOpener(st, k, 64), batch.NewShaper()
	for _, l := range a.states[len(a.states)-1].Lives {
		for _, p := range l.Parts {
			for _, e := range p.Entries { // what is open at a place is needed where a restore ends there
				if len(e.Open) > 0 {
					a.records[fmt.Sprintf("%s/%d open at %d", l.Topic, p.Number, e.Next)] = fmt.Sprint(e.Open)
				}
			}
			for _, s := range p.Stretches {
				b, err := opener.Chunk(t.Context(), s.Object, s.Chunk, nil)
				if err != nil {
					t.Fatal(err)
				}
				for len(b) > 0 {
					v, rest, err := batch.Next(b)
					if err != nil || v.Verify() != nil {
						t.Fatal(err)
					}
					b = rest
					at := fmt.Sprintf("%s/%d %d", l.Topic, p.Number, v.BaseOffset())
					a.records[at] = fmt.Sprint("batch ", v.LastOffset(), v.LeaderEpoch(), v.ProducerID(), v.Control(), v.Transactional(), v.BaseTimestamp(), v.MaxTimestamp())
					err = reader.Records(v, func(r batch.Record) error {
						a.records[fmt.Sprintf("%s/%d record %d", l.Topic, p.Number, r.Offset)] = fmt.Sprint(r.Timestamp, r.Attributes, string(r.Body))
						return nil
					})
					if err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
	return a
}

func same(t *testing.T, what string, a, b all) {
	t.Helper()
	for i := range a.states {
		if err := differ(a.states[i], b.states[i], moments()); err != nil {
			t.Fatalf("%s, as of %s: %v", what, moments()[i], err)
		}
		if d := len(b.states[i].Damaged) + len(b.states[i].Missing); d > 0 {
			t.Fatalf("%s: %v", what, b.states[i].Missing)
		}
	}
	if !maps.Equal(a.records, b.records) {
		t.Fatalf("%s: %d records and batches, not %d, or others", what, len(b.records), len(a.records))
	}
}

func compacted(t *testing.T, st *sample.Store, o Options) Report {
	t.Helper()
	p, err := New(t.Context(), st, o)
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Run(t.Context())
	if err != nil {
		t.Fatalf("%v\n%+v", err, p)
	}
	return r
}

func forms() []bundle.Options {
	return []bundle.Options{{}, {Compression: bundle.Zstd}, {Compression: bundle.Zstd, Keeper: sample.Keeper{"k2", "k1"}}}
}

// Whatever the archive is, it says the same afterwards, as of any moment, in fewer objects.
func TestSameAsBefore(t *testing.T) {
	seeds := uint64(40)
	if testing.Short() || raceDetector {
		seeds = 6
	}
	for seed := range seeds {
		o := forms()[seed%3]
		st := history(t, seed, o)
		before, names := read(t, st, o.Keeper), st.Names()
		r := compacted(t, st, options(o))
		same(t, fmt.Sprint("seed ", seed), before, read(t, st, o.Keeper))
		if r.Deleted == 0 || len(st.Names()) >= len(names) {
			t.Errorf("seed %d: %d objects, not less than %d, %+v", seed, len(st.Names()), len(names), r)
		}
		found, err := verify.Run(t.Context(), st, verify.Options{Source: "A", Keeper: o.Keeper, Level: verify.Record})
		if err != nil || len(found.Findings) > 0 {
			t.Errorf("seed %d: %v, %v", seed, found.Findings, err)
		}
		again := compacted(t, st, options(o))
		if again.Written+again.Deleted > 0 {
			t.Errorf("seed %d: a second run did %+v", seed, again)
		}
	}
}

var errKilled = errors.New("killed")

// Killed at any step, the archive says the same; run again, it comes to its end.
func TestKilledAtEachStep(t *testing.T) {
	seeds, each := uint64(3), 1
	if testing.Short() || raceDetector {
		seeds, each = 1, 4
	}
	for seed := range seeds {
		o := forms()[seed%3]
		first := history(t, seed, o)
		before := read(t, first, o.Keeper)
		clean := first.Copy()
		compacted(t, clean, options(o))
		for kill := 0; ; kill += each {
			st := first.Copy()
			own := options(o)
			step, where := 0, ""
			own.Step = func(s string) error {
				if step++; step > kill {
					where = s
					return errKilled
				}
				return nil
			}
			p, err := New(t.Context(), st, own)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = p.Run(t.Context()); err == nil {
				break
			}
			if !errors.Is(err, errKilled) {
				t.Fatal(err)
			}
			what := fmt.Sprintf("seed %d, killed at %s", seed, where)
			same(t, what, before, read(t, st, o.Keeper))
			own.Step, own.Now = nil, func() time.Time { return later.Add(time.Minute) }
			compacted(t, st, own)
			same(t, what+", run again", before, read(t, st, o.Keeper))
			if len(st.Names()) > len(clean.Names())+1 {
				t.Errorf("%s: %d objects are left, a clean run leaves %d", what, len(st.Names()), len(clean.Names()))
			}
		}
	}
}

// What a lock holds is told of, does not count twice, and goes with the run after its end.
func TestLock(t *testing.T) {
	st := history(t, 3, bundle.Options{})
	before := read(t, st, nil)
	held := st.Names()[2]
	st.Held[held] = later.Add(time.Hour)
	r := compacted(t, st, options(bundle.Options{}))
	if len(r.Retained) != 1 || r.Retained[0].Object != held || !r.Retained[0].Until.Equal(later.Add(time.Hour)) {
		t.Errorf("%+v", r)
	}
	same(t, "held", before, read(t, st, nil))
	if r := compacted(t, st, options(bundle.Options{})); len(r.Retained) != 1 || r.Written > 0 {
		t.Errorf("held still: %+v", r)
	}
	delete(st.Held, held)
	if r := compacted(t, st, options(bundle.Options{})); r.Deleted != 1 || slices.Contains(st.Names(), held) {
		t.Errorf("free: %+v", r)
	}
	same(t, "free", before, read(t, st, nil))
}

// Errors of the store end the run, and nothing is lost, whatever fails.
func TestStoreTrouble(t *testing.T) {
	first := history(t, 5, bundle.Options{})
	before := read(t, first, nil)
	step := 1
	if raceDetector {
		step = 6
	}
	for fail := 0; ; fail += step {
		st := first.Copy()
		n := 0
		st.Fail = func(op, name string) error {
			if n++; n > 60+fail*19 {
				return sample.Failure(op, name, store.Transient)
			}
			return nil
		}
		p, err := New(t.Context(), st, options(bundle.Options{}))
		if err == nil {
			_, err = p.Run(t.Context())
		}
		st.Fail = nil
		same(t, fmt.Sprint("after error ", fail), before, read(t, st, nil))
		if err == nil {
			return
		}
	}
}

// A record that comes out otherwise stops everything before anything is removed.
func TestWhatDiffersIsNotBelieved(t *testing.T) {
	p := newProver()
	old := sample.Batch{Base: 5, Codec: batch.LZ4, Records: []sample.Record{{Time: 5, Value: []byte("value")}, {Delta: 1, Time: 9}}}
	if n, err := p.same(old.Bytes(), old.Bytes()); n != 2 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	for name, change := range map[string]func(b *sample.Batch){
		"value":     func(b *sample.Batch) { b.Records[0].Value = []byte("valu") },
		"null":      func(b *sample.Batch) { b.Records[1].Value = []byte{} },
		"timestamp": func(b *sample.Batch) { b.Records[1].Time = 8 },
		"offset":    func(b *sample.Batch) { b.Records[1].Delta = 2 },
		"one less":  func(b *sample.Batch) { b.Records = b.Records[:1] },
		"producer":  func(b *sample.Batch) { b.Producer = 4 },
		"base":      func(b *sample.Batch) { b.Base = 6 },
		"epoch":     func(b *sample.Batch) { b.Epoch = 2 },
	} {
		other := old
		other.Codec, other.Records = batch.Zstd, slices.Clone(old.Records)
		change(&other)
		if _, err := p.same(old.Bytes(), other.Bytes()); !errors.Is(err, errDiffers) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := p.same(nil, old.Bytes()); !errors.Is(err, errDiffers) {
		t.Errorf("a batch too many: %v", err)
	}
	if _, err := p.same(old.Bytes(), nil); !errors.Is(err, errDiffers) {
		t.Errorf("a batch too few: %v", err)
	}
}

// What is left alone, and why.
func TestLeftAlone(t *testing.T) {
	st := sample.NewStore()
	orders := sample.Topic("orders")
	w := sample.NewWriter(t, st, "w1", bundle.Options{})
	var next int64
	rng := rand.New(rand.NewPCG(1, 1))
	for range 4 {
		w.Append(orders, 0, 0, one(rng, &next, map[int64]bool{}))
		w.Append(orders, 1, 0, one(rng, &next, map[int64]bool{}))
		w.Flush()
	}
	w.Event(bundle.Truncated{Topic: orders, Partition: 0, From: stream.Upstream(next), To: 1})
	w.Flush()
	b := slices.Clone(st.Object(w.Names[1]))
	b[len(b)-1]++
	st.Set(w.Names[1], b)
	p, err := New(t.Context(), st, options(bundle.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	why := make(map[string]string)
	for _, l := range p.Left {
		why[l.Object] = l.Why
	}
	for i, want := range []string{"truncated", "damaged", "", "", "newest"} {
		if got := why[w.Names[i]]; want != "" && !strings.Contains(got, want) {
			t.Errorf("bundle %d: %q", i, got)
		}
	}
	if len(p.old) > 0 {
		t.Errorf("%d are rewritten", len(p.old))
	}
}

// Two runs of one second, and one whose clock went back, have generations of their own: one that does not finish is not taken for the other.
func TestTwoRunsInOneSecond(t *testing.T) {
	st := history(t, 1, bundle.Options{})
	before := read(t, st, nil)
	half := options(bundle.Options{})
	half.Bundles = 4
	for i, at := range []time.Duration{0, time.Millisecond, -time.Hour} {
		half.Now = func() time.Time { return later.Add(at) }
		if r := compacted(t, st, half); r.Written == 0 {
			t.Fatalf("run %d did nothing", i)
		}
	}
	last := make(map[int64]int64)
	for _, name := range st.Names() {
		h, err := bundle.ParseName("", name)
		if err != nil || h.Writer != Writer {
			continue
		}
		if n, ok := last[h.Generation]; ok && n == h.Sequence {
			t.Errorf("two bundles %d of generation %d", n, h.Generation)
		}
		last[h.Generation] = h.Sequence
	}
	if len(last) != 3 {
		t.Errorf("%d generations of three runs", len(last))
	}
	same(t, "three runs", before, read(t, st, nil))
}

// The names of old bundles are enough, but for those that one which stays names as the bundle before it.
func TestFewDigestsAreKept(t *testing.T) {
	st := history(t, 2, bundle.Options{})
	compacted(t, st, options(bundle.Options{}))
	names, digests := 0, 0
	err := catalog.Walk(t.Context(), st, listed(t, st), catalog.Options{Source: "A"}, func(_ catalog.Object, f *bundle.Footer, err error) error {
		for _, ev := range f.Events {
			r, ok := ev.Body.(bundle.Removed)
			for i := range r.Objects {
				if names++; ok && r.Objects[i].Digest != (bundle.Digest{}) {
					digests++
				}
			}
		}
		return err
	})
	if err != nil || names < 10 || digests == 0 || digests > 2 { // two writers go on
		t.Errorf("%d names, %d digests: %v", names, digests, err)
	}
}

func listed(t *testing.T, st *sample.Store) []catalog.Object {
	t.Helper()
	objects, _, err := catalog.List(t.Context(), st, "A")
	if err != nil {
		t.Fatal(err)
	}
	return objects
}
