package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/store"
	"tandem/internal/archive/verify/sample"
	"tandem/internal/batch"
)

// small is an archive of two writers, several bundles and partitions, with transactions, markers, holes and events.
func small(tb testing.TB, o bundle.Options) *sample.Store {
	tb.Helper()
	st := sample.NewStore()
	orders, audit := sample.Topic("orders"), sample.Topic("audit")
	w := sample.NewWriter(tb, st, "w1", o)
	w.Event(bundle.TopicCreated{Topic: orders, Partitions: 2, Factor: 1, Found: true})
	w.Append(orders, 0, 0, made(0, 3, batch.None), made(3, 2, batch.LZ4))
	w.Append(orders, 1, 0, sample.Batch{Base: 0, Producer: 7, Attributes: 0x10, Records: some(2)}.Bytes())
	w.Flush()
	w.Append(orders, 1, 0, sample.Batch{Base: 2, Producer: 7, Marker: 2}.Bytes(),
		sample.Batch{Base: 3, Producer: 8, Attributes: 0x10, Records: some(1)}.Bytes())
	w.Append(orders, 0, 9, made(6, 2, batch.Gzip))
	w.Flush()
	w.Append(orders, 1, 0, sample.Batch{Base: 4, Producer: 8, Marker: 1}.Bytes())
	w.Flush()
	w.Restart()
	w.Append(orders, 0, 0, made(9, 1, batch.Snappy))
	w.Flush()
	other := sample.NewWriter(tb, st, "w2", o)
	other.Header.CreatedAt = sample.Noon.Add(time.Second)
	other.Append(audit, 0, 0, made(0, 4, batch.Zstd))
	other.Flush()
	other.Append(audit, 0, 0, made(4, 1, batch.None))
	other.Flush()
	return st
}

// made is a batch of so many.
func made(base int64, n int, c batch.Codec) []byte {
	return sample.Batch{Base: base, Codec: c, Records: some(n)}.Bytes()
}

func some(n int) (all []sample.Record) {
	for i := range n {
		all = append(all, sample.Record{
			Delta: int32(i), Time: 1700000000000 + int64(i*i%7), Key: []byte("k"), Value: fmt.Appendf(nil, "a value, and again a value, %d", i),
			Headers: []string{"h", "1"},
		})
	}
	return all
}

func verified(tb testing.TB, st *sample.Store, o Options) Report {
	tb.Helper()
	o.Source = "A"
	r, err := Run(tb.Context(), st, o)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func forms() map[string]bundle.Options {
	return map[string]bundle.Options{
		"plain":     {},
		"zstd":      {Compression: bundle.Zstd},
		"encrypted": {Compression: bundle.Zstd, Keeper: sample.Keeper{"k1"}},
	}
}

func TestAWholeArchive(t *testing.T) {
	for name, o := range forms() {
		for l := List; l <= Record; l++ {
			st := small(t, o)
			r := verified(t, st, Options{Level: l, Keeper: o.Keeper})
			if len(r.Findings) > 0 || !r.Complete || r.Objects != 6 {
				t.Errorf("%s, level %s: %d objects, %v", name, l, r.Objects, r.Findings)
			}
			if l == Record && (r.Records != 18 || r.Batches != 10 || r.Chunks != 8) {
				t.Errorf("%s: %d records in %d batches of %d chunks", name, r.Records, r.Batches, r.Chunks)
			}
		}
	}
}

// One byte anywhere is found at the level of chunks, and the object named.
func TestEveryByte(t *testing.T) {
	for name, o := range forms() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := small(t, o)
			for _, object := range st.Names() {
				b := st.Object(object)
				step := 1
				if testing.Short() || raceDetector {
					step = 23
				}
				for i := 0; i < len(b); i += step {
					b[i] ^= 1 << (i % 8)
					r := verified(t, st, Options{Level: Chunk, Keeper: o.Keeper, Parallel: 1})
					if !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Object == object }) {
						t.Errorf("byte %d of %s: %v", i, object, r.Findings)
					}
					b[i] ^= 1 << (i % 8)
				}
			}
		})
	}
}

// A damaged chunk is named with the offsets that it held.
func TestOffsetsAreNamed(t *testing.T) {
	st := small(t, bundle.Options{})
	name := st.Names()[0]
	b := st.Object(name)
	b[strings.Index(string(b), "again a value, 2")]++
	r := verified(t, st, Options{Level: Chunk})
	if len(r.Findings) != 1 || !strings.Contains(r.Findings[0].String(), name+": orders/0 offsets 0 to 4: chunk 0: SHA-256") {
		t.Errorf("%v", r.Findings)
	}
}

// What befalls objects as a whole, and the least level at which it is found.
func TestObjects(t *testing.T) {
	for _, c := range []struct {
		name  string
		level Level
		spoil func(st *sample.Store, names []string)
		says  string
	}{
		{"the second bundle of a writer is missing", List, func(st *sample.Store, names []string) { st.Set(names[2], nil) },
			"bundle 1 of writer w1, generation 0, should be there"},
		{"the first bundle of a writer is missing", List, func(st *sample.Store, names []string) { st.Set(names[0], nil) },
			"bundle 0 of writer w1, generation 0, should be there"},
		{"the last bundle of a generation is missing", Footer, func(st *sample.Store, names []string) { st.Set(names[4], nil) },
			"the bundle that writer w1 made before it"},
		{"truncated", Footer, func(st *sample.Store, names []string) { st.Set(names[2], st.Object(names[2])[:200]) }, "no trailer"},
		{"cut in front", Footer, func(st *sample.Store, names []string) { st.Set(names[2], st.Object(names[2])[1:]) }, "in an object of"},
		{"empty", List, func(st *sample.Store, names []string) { st.Set(names[2], []byte{}) }, "an object of 0 bytes"},
		{"bytes behind it", Footer, func(st *sample.Store, names []string) { st.Set(names[2], append(slices.Clone(st.Object(names[2])), 0)) },
			"no trailer"},
		{"bytes in front of it", Footer, func(st *sample.Store, names []string) { st.Set(names[2], append([]byte{0}, st.Object(names[2])...)) },
			"in an object of"},
		{"two names swapped", Footer, func(st *sample.Store, names []string) {
			a, b := st.Object(names[0]), st.Object(names[2])
			st.Set(names[0], b)
			st.Set(names[2], a)
		}, "a name that is not its own"},
		{"a stranger", List, func(st *sample.Store, _ []string) { st.Set("v1/A/bundles/notes.txt", []byte("?")) }, "no bundle stands among"},
		{"two writers of one name, a store that lets the second one win", Footer, func(st *sample.Store, names []string) {
			w := sample.NewWriter(t, sample.NewStore(), "w1", bundle.Options{})
			w.Event(bundle.TopicDeleted{Topic: sample.Topic("x")})
			own := sample.NewStore()
			*w = *sample.NewWriter(t, own, "w1", bundle.Options{})
			w.Event(bundle.TopicDeleted{Topic: sample.Topic("x")})
			w.Flush()
			st.Set(names[0], own.Object(own.Names()[0]))
		}, "it is not the bundle that its writer wrote there"},
		{"two writers of one name at other times", List, func(st *sample.Store, _ []string) {
			w := sample.NewWriter(t, st, "w1", bundle.Options{})
			w.Header.CreatedAt = sample.Noon.Add(time.Minute)
			w.Event(bundle.TopicDeleted{Topic: sample.Topic("x")})
			w.Flush()
		}, "has made two bundles 0 of generation 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for l := List; l <= Record; l++ {
				st := small(t, bundle.Options{})
				c.spoil(st, st.Names())
				r := verified(t, st, Options{Level: l})
				found := slices.ContainsFunc(r.Findings, func(f Finding) bool { return strings.Contains(f.String(), c.says) })
				if found != (l >= c.level) && !(c.level == List && l > List && len(r.Findings) > 0) {
					t.Errorf("level %s: %v", l, r.Findings)
				}
			}
		})
	}
}

// Nothing that a store fails with is taken for an object that is not there, or is damaged.
func TestStoreTrouble(t *testing.T) {
	for _, kind := range []store.Kind{store.Transient, store.Throttled, store.AccessDenied, store.Settings, store.Other, store.Canceled} {
		for _, op := range []string{"list", "get"} {
			st := small(t, bundle.Options{})
			n := 0
			st.Fail = func(o, name string) error {
				if o != op || op == "get" && !strings.Contains(name, "w2") {
					return nil
				}
				n++
				return sample.Failure(o, name, kind)
			}
			r, err := Run(t.Context(), st, Options{Source: "A", Level: Chunk, Parallel: 1})
			if store.Classify(err) != kind || r.Complete || n == 0 || len(r.Findings) > 0 {
				t.Errorf("%s, %s: %v, %v", op, kind, err, r.Findings)
			}
			if op == "get" && (r.Objects != 1 || r.Through != st.Names()[0]) {
				t.Errorf("%s: %d objects through %s", kind, r.Objects, r.Through)
			}
		}
	}
	st := small(t, bundle.Options{})
	st.Fail = func(op, name string) error {
		if op == "get" && name == st.Names()[1] {
			return nil
		}
		return nil
	}
	gone := st.Names()[1]
	listed := false
	st.Fail = func(op, name string) error {
		if op == "get" && name == gone && listed {
			return sample.Failure(op, name, store.NotFound)
		}
		listed = true
		return nil
	}
	r, err := Run(t.Context(), st, Options{Source: "A", Level: Chunk})
	if err != nil || !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Object == gone }) {
		t.Errorf("an object that went while it was verified: %v, %v", err, r.Findings)
	}
}

func TestKeys(t *testing.T) {
	st := small(t, bundle.Options{Keeper: sample.Keeper{"k1"}})
	r := verified(t, st, Options{Level: Chunk, Keeper: sample.Keeper{"k2"}})
	if len(r.Findings) < 6 || !strings.Contains(r.Findings[0].String(), "archive.encryption.key.url") {
		t.Errorf("%v", r.Findings)
	}
	if r := verified(t, st, Options{Level: Record, Keeper: sample.Keeper{"k2", "k1"}}); len(r.Findings) > 0 {
		t.Errorf("after a rotation: %v", r.Findings)
	}
	_, err := Run(t.Context(), st, Options{Source: "A", Level: Chunk, Keeper: away{}})
	if !errors.Is(err, errAway) {
		t.Errorf("a key service that is away: %v", err)
	}
}

var errAway = errors.New("away")

type away struct{ sample.Keeper }

func TestADay(t *testing.T) {
	st := small(t, bundle.Options{})
	spoiled := st.Object(st.Names()[0])
	spoiled[strings.Index(string(spoiled), "again a value, 2")]++
	o := Options{Level: Chunk, From: sample.Noon.Add(time.Second)}
	if r := verified(t, st, o); len(r.Findings) > 0 || r.Objects != 5 {
		t.Errorf("the damage lies before: %d objects, %v", r.Objects, r.Findings)
	}
	o = Options{Level: Chunk, Until: sample.Noon.Add(time.Second)}
	if r := verified(t, st, o); len(r.Findings) != 1 || r.Objects != 1 {
		t.Errorf("the damage lies within: %d objects, %v", r.Objects, r.Findings)
	}
	o = Options{Level: Chunk, Wanted: func(topic string) bool { return topic == "audit" }}
	if r := verified(t, st, o); len(r.Findings) > 0 || r.Chunks != 2 {
		t.Errorf("another topic: %d chunks, %v", r.Chunks, r.Findings)
	}
}

func (away) Unwrap(context.Context, string, []byte, []byte) ([]byte, error) { return nil, errAway }
