package catalog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/store"
	"tandem/internal/archive/store/faulty"
	"tandem/internal/stream"
)

var archiveFlow = stream.Flow{Source: "A", Target: "B"}

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// batch is a record batch of one record of so many bytes.
func batch(offset int64, size int) []byte {
	body := append([]byte{0, 0, 0, 1}, binary.AppendVarint(nil, int64(size))...)
	for i := range size {
		body = append(body, byte(offset*31+int64(i*i)))
	}
	record := append(binary.AppendVarint(nil, int64(len(body)+1)), append(body, 0)...)
	b := binary.BigEndian.AppendUint64(nil, uint64(offset))
	b = binary.BigEndian.AppendUint32(b, uint32(49+len(record)))
	b = append(b, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	b = append(b, make([]byte, 16)...)
	b = append(b, bytes.Repeat([]byte{0xff}, 14)...)
	return append(append(b, 0, 0, 0, 1), record...)
}

// archiveOf stores bundles of the given record sizes, one every so often, and gives the store.
func archiveOf(t *testing.T, keeper bundle.Keeper, every time.Duration, sizes ...int) (*faulty.Store, []Object) {
	t.Helper()
	inner, err := store.Open(t.Context(), "mem://", store.Options{Patience: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { inner.Close() })
	topic, previous := bundle.Topic{Name: "orders", ID: stream.TopicID{1}}, bundle.Digest{}
	for i, size := range sizes {
		h := bundle.Header{Flow: archiveFlow, Writer: "w", Sequence: int64(i), CreatedAt: noon.Add(time.Duration(i) * every)}
		w, err := bundle.NewWriter(t.Context(), h, bundle.Options{Keeper: keeper})
		if err != nil {
			t.Fatal(err)
		}
		if size > 0 {
			c := bundle.Chunk{Topic: topic, LeaderEpoch: 1, First: stream.Upstream(i), Next: stream.Upstream(i + 1)}
			if _, err := w.Append(c, batch(int64(i), size)); err != nil {
				t.Fatal(err)
			}
		}
		o, f, err := w.Finish(previous, []bundle.Position{{Topic: topic, Next: stream.Upstream(i + 1)}})
		if err != nil {
			t.Fatal(err)
		}
		previous = f.Digest
		put(t, inner, o.Name(), content(o))
	}
	st := faulty.Wrap(inner)
	return st, listed(t, st)
}

func content(o *bundle.Object) []byte {
	var b bytes.Buffer
	_, _ = o.WriteTo(&b)
	return b.Bytes()
}

func put(t *testing.T, st store.Store, name string, b []byte) {
	t.Helper()
	if err := st.Put(t.Context(), name, bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, st store.Store, name string) []byte {
	t.Helper()
	b, err := readRange(t.Context(), st, name, 0, sizeOf(t, st, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sizeOf(t *testing.T, st store.Store, name string) int64 {
	t.Helper()
	info, err := st.Stat(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size
}

// change replaces an object by another one, as no writer can.
func change(t *testing.T, st store.Store, name string, how func([]byte) []byte) {
	t.Helper()
	b := how(get(t, st, name))
	if err := st.Delete(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	put(t, st, name, b)
}

func listed(t *testing.T, st Store) []Object {
	t.Helper()
	objects, strange, err := List(t.Context(), st, "A")
	if err != nil || len(strange) > 0 {
		t.Fatal(strange, err)
	}
	return objects
}

// walked are the objects of a walk, in the order in which they came, and what was wrong with them.
func walked(t *testing.T, st Store, objects []Object, o Options) (lines []string, err error) {
	t.Helper()
	err = Walk(t.Context(), st, objects, o, func(k Object, f *bundle.Footer, err error) error {
		line := fmt.Sprint(k.Header.Sequence)
		for name, known := range map[string]error{"corrupt": bundle.ErrCorrupt, "name": bundle.ErrName, "key": bundle.ErrKey} {
			if errors.Is(err, known) {
				line += " " + name
			}
		}
		if kind := store.Classify(err); kind != store.Other {
			line += " " + kind.String()
		}
		if (err == nil) != (f != nil && f.Header.Sequence == k.Header.Sequence) {
			line += " and a footer"
		}
		lines = append(lines, line)
		return nil
	})
	return lines, err
}

func numbers(n int, wrong ...string) []string {
	var out []string
	for i := range n {
		line := fmt.Sprint(i)
		for _, w := range wrong {
			if strings.HasPrefix(w, line+" ") {
				line = w
			}
		}
		out = append(out, line)
	}
	return out
}

func flip(at int) func([]byte) []byte {
	return func(b []byte) []byte {
		b = bytes.Clone(b)
		if at < 0 {
			at += len(b)
		}
		b[at] ^= 4
		return b
	}
}

func TestListPassesOverWhatIsNoBundle(t *testing.T) {
	st, _ := archiveOf(t, nil, time.Minute, 100, 100)
	put(t, st, "v1/A/bundles/2026/11/20/12/notes.txt", []byte("x"))
	put(t, st, "v1/AB/bundles/2026/11/20/12/20261120T120000.000Z-w-0000000000-0000000000.tdm", []byte("of another source"))
	put(t, st, "v1/A/index/2026/11/20/12-00.tdx", []byte("x"))
	objects, strange, err := List(t.Context(), st, "A")
	if err != nil || len(objects) != 2 || len(strange) != 1 || !strings.HasSuffix(strange[0].Name, "notes.txt") {
		t.Errorf("%v, strange %v, %v", objects, strange, err)
	}
	st.Script(faulty.Fault{Op: faulty.List, Kind: store.AccessDenied})
	if objects, _, err := List(t.Context(), st, "A"); store.Classify(err) != store.AccessDenied || len(objects) > 0 {
		t.Errorf("%v, %v", objects, err)
	}
}

func TestWalkTellsWhatIsWrongWithAnObject(t *testing.T) {
	st, objects := archiveOf(t, nil, time.Minute, 100, 100, 100_000, 100, 100, 100)
	change(t, st, objects[1].Name, flip(-20))
	change(t, st, objects[2].Name, func(b []byte) []byte { return b[:len(b)-5] })
	if err := st.Delete(t.Context(), objects[3].Name); err != nil {
		t.Fatal(err)
	}
	four, five := get(t, st, objects[4].Name), get(t, st, objects[5].Name)
	change(t, st, objects[4].Name, func([]byte) []byte { return five })
	change(t, st, objects[5].Name, func([]byte) []byte { return four })
	done := 0
	lines, err := walked(t, st, objects, Options{Source: "A", Parallel: 2, Progress: func(n, all int) { done = n*100 + all }})
	if want := numbers(6, "1 corrupt", "2 short", "3 not found", "4 name", "5 name"); err != nil || !slices.Equal(lines, want) {
		t.Errorf("%v: %v\nnot %v", err, lines, want)
	}
	if done != 606 {
		t.Errorf("progress %d", done)
	}
	s, err := Load(t.Context(), st, Options{Source: "A"}, time.Time{}, nil)
	if err != nil || len(s.Damaged) != 4 || s.Objects != 5 || len(s.Missing) != 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestWalkEndsWithTheStoresErrors(t *testing.T) {
	for _, kind := range []store.Kind{store.AccessDenied, store.Transient, store.Throttled, store.Settings, store.Full} {
		st, objects := archiveOf(t, nil, time.Minute, 100, 100, 100)
		st.Script(faulty.Fault{Op: faulty.Get, Skip: 1, Kind: kind})
		if lines, err := walked(t, st, objects, Options{Source: "A", Parallel: 1}); store.Classify(err) != kind || len(lines) != 1 {
			t.Errorf("%s: %v, %v", kind, lines, err)
		}
		st.Script(faulty.Fault{Op: faulty.Get, Cut: 50, CutKind: kind})
		if lines, err := walked(t, st, objects, Options{Source: "A", Parallel: 1}); store.Classify(err) != kind || len(lines) != 0 {
			t.Errorf("%s in the body: %v, %v", kind, lines, err)
		}
		if s, err := Load(t.Context(), faulty.Wrap(st, faulty.Fault{Op: faulty.List, Kind: kind}), Options{Source: "A"}, time.Time{}, nil); store.Classify(err) != kind || s != nil {
			t.Errorf("%s: loaded %v, %v", kind, s, err)
		}
	}
}

// A connection that breaks looks like the end of a file to who reads, and is none.
func TestABrokenConnectionIsNoDamage(t *testing.T) {
	st, objects := archiveOf(t, nil, time.Minute, 100)
	broken := brokenStore{st}
	if lines, err := walked(t, broken, objects, Options{Source: "A"}); store.Classify(err) != store.Transient || len(lines) > 0 {
		t.Errorf("%v, %v", lines, err)
	}
	if _, err := NewOpener(broken, nil, 1).Chunk(t.Context(), &objects[0], 0, nil); store.Classify(err) != store.Transient || errors.Is(err, bundle.ErrCorrupt) {
		t.Error(err)
	}
}

func TestWalkEndsWithEach(t *testing.T) {
	st, objects := archiveOf(t, nil, time.Second, make([]int, 40)...)
	enough := errors.New("enough")
	n := 0
	err := Walk(t.Context(), st, objects, Options{Source: "A"}, func(Object, *bundle.Footer, error) error {
		if n++; n == 3 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || n != 3 {
		t.Errorf("%d, %v", n, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = Walk(ctx, st, objects, Options{Source: "A", Parallel: 1}, func(Object, *bundle.Footer, error) error {
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := Walk(t.Context(), st, nil, Options{Source: "A"}, nil); err != nil {
		t.Error(err)
	}
}

func TestOpenerReadsTheEndOfABundleOnce(t *testing.T) {
	st, objects := archiveOf(t, &keeper{}, time.Minute, 100_000, 200_000, 10)
	o := NewOpener(st, &keeper{}, 2)
	var all sync.WaitGroup
	for g := range 16 {
		all.Go(func() {
			for i := range objects {
				b, err := o.Chunk(t.Context(), &objects[(i+g)%2], 0, nil)
				if want := batch(int64((i+g)%2), 100_000*(1+(i+g)%2)); err != nil || !bytes.Equal(b, want) {
					t.Errorf("%d bytes, not %d: %v", len(b), len(want), err)
				}
			}
		})
	}
	all.Wait()
	reads := len(st.Calls())
	if f, err := o.Footer(t.Context(), &objects[1]); err != nil || f.Header.Sequence != 1 || len(st.Calls()) != reads {
		t.Errorf("%v, %v: %d reads", f, err, len(st.Calls())-reads)
	}
	if reads > 1+2*(1+8*3) {
		t.Errorf("%d reads", reads)
	}
	if _, err := o.Footer(t.Context(), &objects[2]); err != nil {
		t.Error(err)
	}
	if o.open.Len() != 2 {
		t.Errorf("%d are open", o.open.Len())
	}
}

func TestOpenerTellsWhatItCouldNotRead(t *testing.T) {
	st, objects := archiveOf(t, nil, time.Minute, 100_000, 100_000)
	o := NewOpener(st, nil, 4)
	st.Script(faulty.Fault{Op: faulty.Get, Kind: store.Throttled})
	if _, err := o.Chunk(t.Context(), &objects[0], 0, nil); store.Classify(err) != store.Throttled || !strings.Contains(err.Error(), objects[0].Name) {
		t.Error(err)
	}
	st.Script(faulty.Fault{Op: faulty.Get, Skip: 1, Kind: store.Transient}) // now the bundle opens, and the chunk does not come
	_, err := o.Chunk(t.Context(), &objects[0], 0, nil)
	if c, ok := errors.AsType[*bundle.ChunkError](err); !ok || c.Next != 1 || store.Classify(err) != store.Transient || errors.Is(err, bundle.ErrCorrupt) {
		t.Error(err)
	}
	if b, err := o.Chunk(t.Context(), &objects[0], 0, nil); err != nil || len(b) < 100_000 {
		t.Errorf("again: %d bytes, %v", len(b), err)
	}
	if _, err := o.Chunk(t.Context(), &objects[0], 3, nil); err == nil {
		t.Error("a chunk that it does not have")
	}
	change(t, st, objects[1].Name, flip(5000))
	_, err = o.Chunk(t.Context(), &objects[1], 0, nil)
	if c, ok := errors.AsType[*bundle.ChunkError](err); !ok || !errors.Is(err, bundle.ErrCorrupt) || c.Object != objects[1].Name {
		t.Error(err)
	}
	wait := make(chan struct{})
	st.Script(faulty.Fault{Op: faulty.Get, Wait: wait})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := o.Chunk(ctx, &objects[0], 0, nil); !errors.Is(err, context.Canceled) && store.Classify(err) != store.Canceled {
		t.Error(err)
	}
}

// brokenStore gives bodies that break as a connection does.
type brokenStore struct{ store.Store }

func (b brokenStore) Get(ctx context.Context, name string, offset, length int64) (body io.ReadCloser, err error) {
	if body, err = b.Store.Get(ctx, name, offset, length); err == nil {
		body = broken{body, name}
	}
	return body, err
}

type broken struct {
	io.ReadCloser
	name string
}

func (b broken) Read([]byte) (int, error) {
	return 0, &store.Error{Op: "get", Name: b.name, Kind: store.Transient, Err: io.ErrUnexpectedEOF}
}

// keeper wraps keys with a secret that is none.
type keeper struct{}

func (*keeper) Wrap(_ context.Context, key, aad []byte) ([]byte, string, error) {
	return masked(key, aad), "k", nil
}

func (*keeper) Unwrap(_ context.Context, id string, wrapped, aad []byte) ([]byte, error) {
	if id != "k" {
		return nil, bundle.ErrKey
	}
	return masked(wrapped, aad), nil
}

func masked(key, aad []byte) []byte {
	out := bytes.Clone(key)
	sum := sha256.Sum256(aad)
	for i := range out {
		out[i] ^= sum[i%len(sum)]
	}
	return out
}
