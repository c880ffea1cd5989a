package verify

import (
	"crypto/sha256"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/verify/sample"
)

// Bundles that went long ago are not named any more: a run of their numbers accounts for them, and for no other one.
func TestRuns(t *testing.T) {
	writer := func(st *sample.Store) *sample.Writer {
		w := sample.NewWriter(t, st, "w1", bundle.Options{})
		for i := range 6 {
			w.Append(sample.Topic("orders"), 0, int64(i+1)*3, made(int64(i)*3, 3, 0))
			w.Flush()
		}
		return w
	}
	for _, c := range []struct {
		name     string
		run      bundle.RemovedRun
		also     int // is missing
		findings int
	}{
		{"0, 1 and 2 went", bundle.RemovedRun{Writer: "w1", To: 3}, -1, 0},
		{"they are another writer's", bundle.RemovedRun{Writer: "w2", To: 3}, -1, 1},
		{"of another generation", bundle.RemovedRun{Writer: "w1", Generation: 1, To: 3}, -1, 1},
		{"0 is not told of", bundle.RemovedRun{Writer: "w1", From: 1, To: 3}, -1, 1},
		{"4 is missing as well", bundle.RemovedRun{Writer: "w1", To: 3}, 4, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := sample.NewStore()
			writer(st)
			names := st.Names()
			digest := digestOf(t, st, names[2])
			teller := sample.NewWriter(t, st, "archive-prune", bundle.Options{})
			teller.Event(bundle.Removed{Reason: "pruned", Runs: []bundle.RemovedRun{c.run}, Objects: []bundle.RemovedObject{{Name: "v1/gone", Digest: digest}},
				Ranges: []bundle.RemovedRange{{Topic: sample.Topic("orders"), To: 9}}})
			teller.Flush()
			for i, n := range names {
				if i < 3 || i == c.also {
					st.Set(n, nil)
				}
			}
			for l := List; l <= Record; l++ {
				r := verified(t, st, Options{Level: l})
				numbers := 0
				for _, f := range r.Findings {
					if strings.Contains(f.What, "nothing says that it was removed") {
						numbers++
					}
				}
				if numbers != c.findings || c.also < 0 && len(r.Findings) != c.findings {
					t.Errorf("level %s: %v", l, r.Findings)
				}
			}
		})
	}
}

func digestOf(t *testing.T, st *sample.Store, name string) bundle.Digest {
	t.Helper()
	b := st.Object(name)
	return sha256.Sum256(b[len(b)-leastBundle:])
}

// Runs in any order and overlapping, against a set of numbers.
func TestMissingNumbers(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	key := series{"w", 1}
	for range 2000 {
		r, set := newRemoved(), make(map[int64]bool)
		for range rng.IntN(6) {
			from := rng.Int64N(30)
			to := from + rng.Int64N(6)
			r.run(key.writer, key.generation, span{from, to})
			for i := from; i < to; i++ {
				set[i] = true
			}
			if rng.IntN(3) == 0 {
				r.has(number{key.writer, key.generation, rng.Int64N(30)}) // sorts them in between
			}
		}
		asked := span{rng.Int64N(20), 0}
		asked.to = asked.from + rng.Int64N(20)
		var want, got []int64
		for i := asked.from; i < asked.to; i++ {
			if !set[i] {
				want = append(want, i)
			}
		}
		for _, s := range r.missing(key, asked) {
			for i := s.from; i < s.to; i++ {
				got = append(got, i)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%v of %v: %v, not %v", asked, r.runs, got, want)
		}
	}
}
