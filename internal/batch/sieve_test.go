package batch

import (
	"math"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// What is sieved reads as the records that were kept do in the batch before: offsets, timestamps, keys, values, headers.
func TestSieve(t *testing.T) {
	for _, codec := range []kgo.CompressionCodecType{kgo.CodecNone, kgo.CodecGzip, kgo.CodecSnappy, kgo.CodecLz4, kgo.CodecZstd} {
		for _, appended := range []bool{false, true} {
			recs := without(some(3, 100, 20, 50), 103, 104, 111)
			s := source{recs: recs, codec: codec, base: at(98), last: at(130)}
			if appended {
				s.attributes = bitLogAppendTime
				s.maxTime = at(777)
			}
			view := frame(t, encode(t, s))[0]
			var want []rec
			for _, r := range recs {
				if appended {
					r.time = 777
				}
				if r.offset%3 != 0 {
					want = append(want, r)
				}
			}
			sh := NewShaper()
			raw, n, err := sh.Sieve(view, func(offset, timestamp int64) bool {
				if appended && timestamp != 777 {
					t.Fatalf("timestamp %d", timestamp)
				}
				return offset%3 != 0
			})
			if err != nil || int(n) != len(want) {
				t.Fatalf("%d records, not %d: %v", n, len(want), err)
			}
			got := frame(t, raw)[0]
			if got.Verify() != nil || got.BaseOffset() != want[0].offset || got.LastOffset() != want[len(want)-1].offset ||
				got.LeaderEpoch() != -1 || got.Transactional() || got.LogAppendTime() || int(got.Records()) != len(want) {
				t.Fatalf("codec %d: a batch from %d to %d of %d records", codec, got.BaseOffset(), got.LastOffset(), got.Records())
			}
			// Offsets first, then what Single makes of each.
			i := 0
			for from, used := int64(0), 0; used == 0; i++ {
				var out Shaped
				if out, used, err = sh.Single(nil, got, from, KeepCodec); err != nil {
					t.Fatal(err)
				}
				one := check(t, out, Producer{}, Limits{Max: 1 << 20})
				one[0].offset = out.Runs[0].First
				same(t, one, want[i:i+1])
				from = out.Next
			}
			if i != len(want) {
				t.Fatalf("%d records, not %d", i, len(want))
			}
			if raw, n, err := sh.Sieve(view, func(int64, int64) bool { return false }); raw != nil || n != 0 || err != nil {
				t.Fatalf("nothing kept: %d records in %d bytes: %v", n, len(raw), err)
			}
		}
	}
}

func TestEmptyBatchesCoverAllOffsets(t *testing.T) {
	for _, c := range []struct{ first, last int64 }{{0, 0}, {5, 9}, {7, math.MaxInt32 + 7}, {1, 3 * math.MaxInt32}} {
		next := c.first
		for rest := AppendEmpty(nil, c.first, c.last); len(rest) > 0; {
			v, left, err := Next(rest)
			if err != nil || v.Verify() != nil || v.Records() != 0 || v.BaseOffset() != next {
				t.Fatalf("%d to %d: a batch at %d, not %d, of %d records: %v", c.first, c.last, v.BaseOffset(), next, v.Records(), err)
			}
			next, rest = v.LastOffset()+1, left
		}
		if next != c.last+1 {
			t.Fatalf("%d to %d: ends at %d", c.first, c.last, next)
		}
	}
	if b := AppendEmpty(nil, 5, 4); len(b) != 0 {
		t.Fatalf("%d bytes for nothing", len(b))
	}
}
