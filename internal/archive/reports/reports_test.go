package reports

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/archive/store"
	"tandem/internal/archive/store/faulty"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 345e6, time.UTC)

func verified(level string, at time.Time) Report {
	return Report{Kind: Verify, Source: "primary", Level: level, At: at, Seconds: 1.5, Passed: true, Summary: "all is well",
		Counts: map[string]int64{"bundles": 2}, Tandem: "1.0"}
}

func drilled(target string, at time.Time) Report {
	return Report{Kind: Drill, Source: "primary", Flow: "primary->" + target, At: at, Passed: true, Summary: "done"}
}

// memory opens a store that is kept in memory, with faults.
func memory(t *testing.T, faults ...faulty.Fault) *faulty.Store {
	t.Helper()
	st, err := store.Open(t.Context(), "mem://", store.Options{Patience: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return faulty.Wrap(st, faults...)
}

func TestWhatIsKeptIsFound(t *testing.T) {
	at := time.Now().UTC()
	part := verified("chunk", at.Add(-time.Minute))
	part.Partial = true
	failed := verified("chunk", at.Add(-time.Hour))
	failed.Passed, failed.Summary = false, "3  findings\nof 2 bundles"
	tests := map[string]struct {
		kept []Report
		want map[string][]string // by kind: class and time of what is found
	}{
		"nothing": {nil, map[string][]string{}},
		"the newest of a level": {
			[]Report{verified("chunk", at.Add(-2*time.Hour)), failed, verified("chunk", at.Add(-3*time.Hour))},
			map[string][]string{Verify: {"chunk 1h0m0s failed"}},
		},
		"a part is no whole": {
			[]Report{part, verified("chunk", at.Add(-2*time.Hour)), verified("footer", at)},
			map[string][]string{Verify: {"footer 0s", "chunk-part 1m0s", "chunk 2h0m0s"}},
		},
		"drills into two targets": {
			[]Report{drilled("backup", at), drilled("a cup/é", at.Add(-time.Hour)), drilled("backup", at.Add(-time.Minute)), drilled("backup-2", at.Add(-time.Second))},
			map[string][]string{Drill: {"backup 0s", "backup-2 1s", "a%20cup%2F%C3%A9 1h0m0s"}},
		},
		"of another source": {[]Report{func() Report { r := verified("list", at); r.Source = "primary2"; return r }()}, map[string][]string{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			st := memory(t)
			for _, r := range test.kept {
				for range 2 { // twice is the same
					if _, err := Put(t.Context(), st, r); err != nil {
						t.Fatal(err)
					}
				}
			}
			for _, kind := range []string{Verify, Drill} {
				found, odd, err := Last(t.Context(), st, "primary", kind)
				if err != nil || len(odd) > 0 {
					t.Fatal(err, odd)
				}
				var got []string
				for _, r := range found {
					k, _ := keyOf(r)
					text := k.class + " " + at.Truncate(time.Millisecond).Sub(r.At).String()
					if !r.Passed {
						text += " failed"
						if r.Summary != "3 findings of 2 bundles" || r.Seconds != 1.5 || r.Counts["bundles"] != 2 || r.Tandem != "1.0" {
							t.Errorf("%+v", r)
						}
					}
					got = append(got, text)
				}
				if !slices.Equal(got, test.want[kind]) {
					t.Errorf("%s: %q, want %q", kind, got, test.want[kind])
				}
			}
		})
	}
}

// The newest of each class, whatever was kept in whatever order, against a search through all of them.
func TestLastAgainstAllOfThem(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 20261120))
	for round := range 30 {
		st := memory(t)
		newest := make(map[string]time.Time)
		for range random.IntN(60) {
			r := verified([]string{"list", "footer", "chunk", "record"}[random.IntN(4)], time.Now().UTC().Add(-time.Duration(random.Int64N(1e17))).Truncate(time.Millisecond))
			r.Partial = random.IntN(3) == 0
			class := fmt.Sprint(r.Level, r.Partial)
			if r.At.After(newest[class]) {
				newest[class] = r.At
			}
			if _, err := Put(t.Context(), st, r); err != nil {
				t.Fatal(err)
			}
		}
		before := len(st.Calls())
		found, _, err := Last(t.Context(), st, "primary", Verify)
		if err != nil {
			t.Fatal(err)
		}
		got := make(map[string]time.Time)
		for _, r := range found {
			got[fmt.Sprint(r.Level, r.Partial)] = r.At
		}
		if !maps.Equal(got, newest) {
			t.Fatalf("round %d: %v, want %v", round, got, newest)
		}
		if n := len(st.Calls()) - before; n != 2*len(newest)+1 {
			t.Errorf("%d requests for %d classes", n, len(newest))
		}
		if !slices.IsSortedFunc(found, func(a, b Report) int { return b.At.Compare(a.At) }) {
			t.Error("in disorder")
		}
	}
}

func TestTheNameSaysWhatItIs(t *testing.T) {
	name, b, err := encode(verified("chunk", noon))
	if err != nil {
		t.Fatal(err)
	}
	want := "v1/primary/reports/verify/chunk/8204823999654-20261120T120000.345Z-"
	if !strings.HasPrefix(name, want) || store.CheckName(name) != nil {
		t.Errorf("%s, want %s...", name, want)
	}
	if r, err := decode(name, b); err != nil || !r.At.Equal(noon) || r.Version != Version {
		t.Errorf("%+v, %v", r, err)
	}
	for what, other := range map[string]string{
		"time":   strings.Replace(name, "8204823999654-20261120T120000.345Z", "8204823999653-20261120T120000.346Z", 1),
		"class":  strings.Replace(name, "/chunk/", "/record/", 1),
		"source": strings.Replace(name, "v1/primary/", "v1/backup/", 1),
		"kind":   strings.Replace(name, "/verify/", "/drill/", 1),
		"stamps": strings.Replace(name, "8204823999654", "8204823999653", 1),
	} {
		if _, err := decode(other, b); !errors.Is(err, ErrOdd) {
			t.Errorf("another %s: %v", what, err)
		}
	}
	for at := range b {
		changed := bytes.Clone(b)
		changed[at] ^= 1
		if _, err := decode(name, changed); !errors.Is(err, ErrOdd) {
			t.Fatalf("byte %d: %v", at, err)
		}
	}
}

func TestWhatCannotBeAReport(t *testing.T) {
	for name, change := range map[string]func(*Report){
		"kind":    func(r *Report) { r.Kind = "failover" },
		"source":  func(r *Report) { r.Source = "" },
		"no time": func(r *Report) { r.At = time.Time{} },
		"year":    func(r *Report) { r.At = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) },
		"level":   func(r *Report) { r.Level = "chunk/../.." },
		"flow":    func(r *Report) { r.Kind, r.Flow = Drill, "backup->primary" },
		"counts": func(r *Report) {
			r.Counts = make(map[string]int64)
			for i := range countsLimit + 1 {
				r.Counts[fmt.Sprint(i)] = 1
			}
		},
		"size": func(r *Report) { r.Tandem = strings.Repeat("x", sizeLimit) },
	} {
		r := verified("chunk", noon)
		change(&r)
		if kept, err := Put(t.Context(), memory(t), r); err == nil {
			t.Errorf("%s: kept as %s", name, kept)
		}
	}
	r := verified("chunk", noon)
	r.Summary = strings.Repeat("é", summaryLimit)
	if name, err := Put(t.Context(), memory(t), r); err != nil {
		t.Error(name, err)
	}
}

// An error of the store is never "there is none".
func TestErrorsOfTheStoreAreTold(t *testing.T) {
	for _, fault := range []faulty.Fault{
		{Op: faulty.List, Kind: store.Transient},
		{Op: faulty.List, Skip: 1, Kind: store.AccessDenied},
		{Op: faulty.List, Kind: store.NotFound},
		{Op: faulty.Get, Kind: store.Throttled},
		{Op: faulty.Get, Cut: 10, CutKind: store.Transient},
		{Op: faulty.Get, Kind: store.AccessDenied},
	} {
		st := memory(t)
		if _, err := Put(t.Context(), st, verified("chunk", noon)); err != nil {
			t.Fatal(err)
		}
		st.Script(fault)
		found, _, err := Last(t.Context(), st, "primary", Verify)
		if err == nil || !errors.Is(err, faulty.ErrInjected) {
			t.Errorf("%+v: %v, %v", fault, found, err)
		}
	}
	st := memory(t, faulty.Fault{Op: faulty.Put, Kind: store.AccessDenied})
	if _, err := Put(t.Context(), st, verified("chunk", noon)); store.Classify(err) != store.AccessDenied {
		t.Error(err)
	}
}

// What cannot be read is passed over, and told.
func TestOddObjectsArePassedOver(t *testing.T) {
	st := memory(t)
	put := func(name string, b []byte) {
		t.Helper()
		if err := st.Put(t.Context(), name, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Put(t.Context(), st, verified("chunk", noon)); err != nil {
		t.Fatal(err)
	}
	damaged, b, _ := encode(verified("chunk", noon.Add(time.Second)))
	put(damaged, bytes.ToUpper(b))
	late, b, _ := encode(verified("chunk", time.Now().Add(48*time.Hour))) // a clock that is ahead
	put(late, b)
	put("v1/primary/reports/verify/chunk/0", []byte("?"))
	put("v1/primary/reports/verify/note", []byte("?"))
	found, odd, err := Last(t.Context(), st, "primary", Verify)
	if err != nil || len(found) != 1 || !found[0].At.Equal(noon) || len(odd) != 4 {
		t.Errorf("%+v, %v, %v", found, odd, err)
	}
	for _, err := range odd {
		if !errors.Is(err, ErrOdd) || !strings.Contains(err.Error(), "v1/primary/reports/") {
			t.Error(err)
		}
	}
	// too many of them end the search in their class, and not beyond
	for i := range 2 * triesLimit {
		put(fmt.Sprintf("v1/primary/reports/verify/chunk/0%d", i), []byte("?"))
	}
	if _, err := Put(t.Context(), st, verified("footer", noon)); err != nil {
		t.Fatal(err)
	}
	found, odd, err = Last(t.Context(), st, "primary", Verify)
	if err != nil || len(found) != 1 || found[0].Level != "footer" || len(odd) != triesLimit+1 {
		t.Errorf("%+v, %d odd, %v", found, len(odd), err)
	}
}

// A report that is removed between listing and reading is as if it had not been there.
func TestOneThatIsRemovedMeanwhile(t *testing.T) {
	st := memory(t)
	for _, at := range []time.Time{noon, noon.Add(time.Second)} {
		if _, err := Put(t.Context(), st, verified("chunk", at)); err != nil {
			t.Fatal(err)
		}
	}
	st.Script(faulty.Fault{Op: faulty.Get, Kind: store.NotFound})
	if found, odd, err := Last(t.Context(), st, "primary", Verify); err != nil || len(odd) > 0 || len(found) != 1 || !found[0].At.Equal(noon) {
		t.Errorf("%+v, %v, %v", found, odd, err)
	}
}

// noStore has one object, of any size.
type noStore struct {
	Store
	b []byte
}

func (s noStore) Get(context.Context, string, int64, int64) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(s.b)), nil
}

func TestSizesAreBounded(t *testing.T) {
	name, _, _ := encode(verified("chunk", noon))
	for _, size := range []int64{0, -1, sizeLimit + 1} {
		if _, err := read(t.Context(), nil, store.Info{Name: name, Size: size}); !errors.Is(err, ErrOdd) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	if _, err := read(t.Context(), noStore{b: make([]byte, 2*sizeLimit)}, store.Info{Name: name, Size: 100}); !errors.Is(err, ErrOdd) {
		t.Error(err)
	}
}

func FuzzDecode(f *testing.F) {
	name, b, _ := encode(verified("chunk", noon))
	f.Add(name, b)
	name, b, _ = encode(drilled("backup", noon))
	f.Add(name, b)
	f.Add("v1/a/reports/verify/x/", []byte("{}"))
	f.Fuzz(func(t *testing.T, name string, b []byte) {
		if k, ok := parseName(name); ok {
			if k.name() != name {
				t.Fatalf("%q is made %q", name, k.name())
			}
			k.sum = sha256.Sum256(b) // nobody guesses one
			name = k.name()
		}
		r, err := decode(name, b)
		if err != nil {
			if !errors.Is(err, ErrOdd) {
				t.Fatal(err)
			}
			return
		}
		again, _, err := encode(r)
		if err != nil {
			return // what a newer program may write, as a summary of two lines, this one does not
		}
		if a, b := again[:strings.LastIndexByte(again, '-')], name[:strings.LastIndexByte(name, '-')]; a != b {
			t.Fatalf("%q is encoded as %q", b, a)
		}
	})
}
