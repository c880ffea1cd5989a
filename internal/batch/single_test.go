package batch

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Taken one by one, records of any batch are the ones a reader sees.
func TestSingle(t *testing.T) {
	for _, codec := range []kgo.CompressionCodecType{kgo.CodecNone, kgo.CodecLz4, kgo.CodecZstd} {
		recs := some(3, 100, 20, 50)
		recs = without(recs, 103, 104, 111)
		views := frame(t, encode(t, source{recs: recs, codec: codec}))
		s := NewShaper()
		var got []rec
		from := int64(101)
		for used := 0; used == 0; {
			var out Shaped
			var err error
			if out, used, err = s.Single(nil, views[0], from, KeepCodec); err != nil {
				t.Fatal(err)
			}
			if out.Records != 1 || len(out.Runs) != 1 || out.Runs[0].First < from || out.Next <= out.Runs[0].First {
				t.Fatalf("codec %d: %+v from %d", codec, out, from)
			}
			one := check(t, out, Producer{ID: 1, Sequence: 5}, Limits{Max: 1 << 20})
			one[0].offset = out.Runs[0].First
			got = append(got, one...)
			from = out.Next
		}
		same(t, got, recs[1:])
	}
}
