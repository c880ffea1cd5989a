package batch

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// However records are cut into batches and compressed, their digests are the same; and a change of any part of a record
// changes its digest.
func TestDigestsAreOfRecordsNotOfBatches(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		recs := randomRecs(r, 100, 40, 60, true)
		all := func(views []View, from int64) (digests []uint64) {
			s := NewShaper()
			for _, v := range views {
				if err := s.Digests(v, from, func(_ int64, d uint64) bool { digests = append(digests, d); return true }); err != nil {
					t.Fatal(err)
				}
			}
			return digests
		}
		var singles [][]byte
		for _, one := range each(recs, kgo.CodecNone) {
			singles = append(singles, encode(t, one))
		}
		want := all(frame(t, singles...), 0)
		whole := frame(t, encode(t, source{recs: recs, codec: kgo.CodecLz4}))
		if got := all(whole, 0); len(want) != len(recs) || !slices.Equal(got, want) {
			t.Fatalf("seed %d: digests of one batch differ from those of single ones", seed)
		}
		if got := all(whole, recs[7].offset); !slices.Equal(got, want[7:]) {
			t.Fatalf("seed %d: digests from offset %d on are not the last %d", seed, recs[7].offset, len(want)-7)
		}
		changed := slices.Clone(recs)
		changed[3].time++
		if got := all(frame(t, encode(t, source{recs: changed})), 0); got[3] == want[3] || !slices.Equal(got[4:], want[4:]) {
			t.Fatalf("seed %d: a timestamp does not count", seed)
		}
		changed = slices.Clone(recs)
		changed[5].value = append(slices.Clone(changed[5].value), 'x')
		if got := all(frame(t, encode(t, source{recs: changed})), 0); got[5] == want[5] {
			t.Fatalf("seed %d: a value does not count", seed)
		}
	}
}

// Offsets are those of the records that Digests tells of, holes or not.
func TestOffsetsAreThoseOfTheDigests(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 2))
		recs := randomRecs(r, 60, 40, 60, true)
		from := recs[r.IntN(len(recs))].offset
		s := NewShaper()
		for _, v := range frame(t, encode(t, source{recs: recs, codec: kgo.CodecLz4})) {
			var want, got []int64
			err := s.Digests(v, from, func(offset int64, _ uint64) bool { want = append(want, offset); return len(want) < 20 })
			if err == nil {
				err = s.Offsets(v, from, func(offset int64) bool { got = append(got, offset); return len(got) < 20 })
			}
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("seed %d: offsets %v, want %v: %v", seed, got, want, err)
			}
		}
	}
}
