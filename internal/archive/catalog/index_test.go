package catalog

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/store"
	"tandem/internal/archive/store/faulty"
)

// indexed is an archive of three hours with their index.
func indexed(t *testing.T, k bundle.Keeper) (*faulty.Store, []Object, []string) {
	t.Helper()
	sizes := []int{10, 100_000, 0, 70_000, 10, 10, 0, 100, 200_000, 10, 10, 10}
	st, objects := archiveOf(t, k, 15*time.Minute, sizes...)
	if n, err := WriteIndex(t.Context(), st, Options{Source: "A"}, objects); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	return st, objects, indexNames(t, st)
}

func indexNames(t *testing.T, st Store) (names []string) {
	t.Helper()
	for info, err := range st.List(t.Context(), "v1/A/index/", "") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, info.Name)
	}
	return names
}

// reads counts the calls for bundles and for index objects since the last count.
func reads(st *faulty.Store, from int) (bundles, indexes, now int) {
	calls := st.Calls()
	for _, c := range calls[from:] {
		switch {
		case strings.HasPrefix(c, "get v1/A/bundles/"):
			bundles++
		case strings.HasPrefix(c, "get v1/A/index/"):
			indexes++
		}
	}
	return bundles, indexes, len(calls)
}

func TestIndexSparesRequests(t *testing.T) {
	for name, k := range map[string]bundle.Keeper{"plain": nil, "encrypted": &keeper{}} {
		t.Run(name, func(t *testing.T) {
			st, objects, _ := indexed(t, k)
			want, err := Load(t.Context(), st, Options{Source: "A", Keeper: k, Direct: true}, time.Time{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _, from := reads(st, 0)
			got, err := Load(t.Context(), st, Options{Source: "A", Keeper: k}, time.Time{}, nil)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%v:\n%+v\nnot\n%+v", err, got, want)
			}
			if b, i, _ := reads(st, from); b != 0 || i != 3 {
				t.Errorf("%d bundles and %d index objects read", b, i)
			}
			if again := listed(t, st); !reflect.DeepEqual(again, objects) {
				t.Errorf("the listing has %v", again)
			}
			_, _, from = reads(st, 0)
			if n, err := WriteIndex(t.Context(), st, Options{Source: "A"}, objects); n != 0 || err != nil {
				t.Errorf("written again: %d, %v", n, err)
			}
			if b, _, _ := reads(st, from); b != 0 {
				t.Errorf("%d bundles read for nothing", b)
			}
			if lines, err := walked(t, st, objects, Options{Source: "A"}); k != nil && (err != nil || lines[3] != "3 key") {
				t.Errorf("without a key: %v, %v", lines, err)
			}
		})
	}
}

func TestIndexIsNeverNeeded(t *testing.T) {
	for name, spoil := range map[string]func(*testing.T, *faulty.Store, []string) (damaged int){
		"deleted": func(t *testing.T, st *faulty.Store, names []string) int {
			for _, n := range names {
				if err := st.Delete(t.Context(), n); err != nil {
					t.Fatal(err)
				}
			}
			return 0
		},
		"deleted after the listing": func(_ *testing.T, st *faulty.Store, names []string) int {
			st.Script(faulty.Fault{Op: faulty.Get, Name: names[1], Kind: store.NotFound})
			return 0
		},
		"a byte changed": func(t *testing.T, st *faulty.Store, names []string) int {
			change(t, st, names[0], flip(700))
			return 1
		},
		"cut off": func(t *testing.T, st *faulty.Store, names []string) int {
			change(t, st, names[2], func(b []byte) []byte { return b[:len(b)-1] })
			return 1
		},
		"short": func(_ *testing.T, st *faulty.Store, names []string) int {
			st.Script(faulty.Fault{Op: faulty.Get, Name: names[1], Kind: store.Short})
			return 1
		},
		"empty": func(t *testing.T, st *faulty.Store, names []string) int {
			change(t, st, names[2], func([]byte) []byte { return nil })
			return 1
		},
		"swapped": func(t *testing.T, st *faulty.Store, names []string) int {
			b := get(t, st, names[1])
			change(t, st, names[2], func([]byte) []byte { return b })
			return 1
		},
		"it has what is of another hour": func(t *testing.T, st *faulty.Store, names []string) int {
			all, err := decodeIndex(get(t, st, names[0]))
			if err != nil {
				t.Fatal(err)
			}
			b := encodeIndex(all)
			put(t, st, indexName("A", noon.Add(time.Hour), [32]byte(b[len(b)-32:])), b)
			return 1
		},
		"it has another tail": func(t *testing.T, st *faulty.Store, names []string) int {
			all, err := decodeIndex(get(t, st, names[0]))
			if err != nil {
				t.Fatal(err)
			}
			all[1].bytes = all[0].bytes
			b := encodeIndex(all)
			if err := st.Delete(t.Context(), names[0]); err != nil {
				t.Fatal(err)
			}
			put(t, st, indexName("A", noon, [32]byte(b[len(b)-32:])), b)
			return 1
		},
		"of a newer version": func(t *testing.T, st *faulty.Store, names []string) int {
			b := get(t, st, names[0])[:]
			b[len(indexMagic)] = 2
			sum := sha256.Sum256(b[:len(b)-32])
			copy(b[len(b)-32:], sum[:])
			if err := st.Delete(t.Context(), names[0]); err != nil {
				t.Fatal(err)
			}
			put(t, st, indexName("A", noon, sum), b)
			return 1
		},
	} {
		t.Run(name, func(t *testing.T) {
			st, objects, names := indexed(t, nil)
			want := spoil(t, st, names)
			damaged := 0
			o := Options{Source: "A", IndexDamaged: func(string, error) { damaged++ }}
			lines, err := walked(t, st, objects, o)
			if err != nil || !slices.Equal(lines, numbers(len(objects))) || damaged != want {
				t.Errorf("%v: %v, %d damaged", err, lines, damaged)
			}
			st.Script()
			if _, err := WriteIndex(t.Context(), st, Options{Source: "A"}, objects); err != nil {
				t.Fatal(err)
			}
			_, _, from := reads(st, 0)
			if lines, err := walked(t, st, objects, Options{Source: "A"}); err != nil || !slices.Equal(lines, numbers(len(objects))) {
				t.Errorf("%v: %v", err, lines)
			}
			if b, _, _ := reads(st, from); b > want*2 {
				t.Errorf("%d bundles read when the index was written again", b)
			}
		})
	}
}

// An index that cannot be had is not one that is not there.
func TestWalkEndsWithTheStoresErrorsOfAnIndex(t *testing.T) {
	st, objects, names := indexed(t, nil)
	for _, f := range []faulty.Fault{
		{Op: faulty.Get, Name: names[1], Kind: store.AccessDenied}, {Op: faulty.Get, Name: names[0], Cut: 100, CutKind: store.AccessDenied},
		{Op: faulty.List, Name: "index", Kind: store.AccessDenied},
	} {
		st.Script(f)
		if lines, err := walked(t, st, objects, Options{Source: "A"}); store.Classify(err) != store.AccessDenied {
			t.Errorf("%v, %v", lines, err)
		}
		st.Script(f)
		if n, err := WriteIndex(t.Context(), st, Options{Source: "A"}, objects); store.Classify(err) != store.AccessDenied {
			t.Errorf("%d, %v", n, err)
		}
	}
	st, objects = archiveOf(t, nil, time.Minute, 1, 1, 1)
	for _, f := range []faulty.Fault{{Op: faulty.Get, Kind: store.Throttled}, {Op: faulty.Put, Kind: store.Throttled}} {
		st.Script(f)
		if n, err := WriteIndex(t.Context(), st, Options{Source: "A"}, objects); n != 0 || store.Classify(err) != store.Throttled {
			t.Errorf("%d, %v", n, err)
		}
	}
}

func TestIndexLacksWhatCameLater(t *testing.T) {
	st, objects := archiveOf(t, nil, 5*time.Minute, make([]int, 12)...)
	if n, err := WriteIndex(t.Context(), st, Options{}, objects[:11]); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	_, _, from := reads(st, 0)
	lines, err := walked(t, st, objects, Options{Source: "A"})
	b, _, from := reads(st, from)
	if err != nil || !slices.Equal(lines, numbers(12)) || b == 0 {
		t.Errorf("%v, %v, %d read", lines, err, b)
	}
	if n, err := WriteIndex(t.Context(), st, Options{}, objects); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	_, _, from = reads(st, from)
	// The older one of the hour is still there, and the first bundle no longer is.
	lines, err = walked(t, st, objects[1:], Options{Source: "A"})
	if b, i, _ := reads(st, from); err != nil || !slices.Equal(lines, numbers(12)[1:]) || b != 0 || i != 2 {
		t.Errorf("%v, %v, %d and %d read", lines, err, b, i)
	}
}

func TestIndexLeavesOutWhatIsDamaged(t *testing.T) {
	st, objects := archiveOf(t, nil, 5*time.Minute, make([]int, 12)...)
	change(t, st, objects[3].Name, flip(-30))
	for i, want := range []int{1, 0} {
		if n, err := WriteIndex(t.Context(), st, Options{Source: "A"}, objects); n != want || err != nil {
			t.Errorf("try %d: %d, %v", i, n, err)
		}
	}
	lines, err := walked(t, st, objects, Options{Source: "A"})
	if err != nil || !slices.Equal(lines, numbers(12, "3 corrupt")) {
		t.Errorf("%v, %v", lines, err)
	}
}

func TestIndexIsOfHoursThatAreOver(t *testing.T) {
	st, _ := archiveOf(t, nil, time.Minute)
	now := time.Now()
	var objects []Object
	for i, ago := range []time.Duration{3 * time.Hour, time.Minute, 0} {
		h := bundle.Header{Flow: archiveFlow, Writer: "w", Sequence: int64(i), CreatedAt: now.Add(-ago)}
		w, err := bundle.NewWriter(t.Context(), h, bundle.Options{})
		if err != nil {
			t.Fatal(err)
		}
		o, _, err := w.Finish(bundle.Digest{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		put(t, st, o.Name(), content(o))
	}
	objects = listed(t, st)
	if n, err := WriteIndex(t.Context(), st, Options{Source: "A"}, objects); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// Any byte of an index changed, it is refused.
func TestEveryByteOfAnIndexCounts(t *testing.T) {
	st, _, names := indexed(t, nil)
	b := get(t, st, names[0])
	for i := range b {
		if all, err := decodeIndex(flip(i)(b)); err == nil {
			t.Fatalf("byte %d: %d bundles", i, len(all))
		}
	}
}

// Whatever bytes come, an index is refused, or is written again as it was.
func FuzzIndex(f *testing.F) {
	f.Add(encodeIndex(nil))
	f.Add(encodeIndex([]tail{{"a", 92, make([]byte, 92)}, {"b", 1 << 40, make([]byte, 100)}}))
	f.Add([]byte(indexMagic + "\x01\xff\xff\xff\xff\xff\xff\xff\xff\x7f"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for range 2 {
			all, err := decodeIndex(b)
			if err == nil {
				for _, x := range all {
					p := make([]byte, 200)
					for _, off := range []int64{0, x.size - 200, x.size - 92, x.size} {
						_, _ = x.ReadAt(p, max(off, 0))
					}
				}
				if second, err := decodeIndex(encodeIndex(all)); err != nil || !reflect.DeepEqual(second, all) {
					t.Fatalf("%v: %v", second, err)
				}
			} else if !errors.Is(err, bundle.ErrCorrupt) && !errors.Is(err, bundle.ErrNewer) {
				t.Fatal(err)
			}
			if len(b) < sha256.Size {
				return
			}
			sum := sha256.Sum256(b[:len(b)-sha256.Size]) // and once more with the right sum
			b = append(bytes.Clone(b[:len(b)-sha256.Size]), sum[:]...)
		}
	})
}
