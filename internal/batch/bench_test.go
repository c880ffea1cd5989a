package batch

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// orders makes n records of about 890 bytes of JSON.
func orders(first int64, n int) []rec {
	out := make([]rec, n)
	for i := range out {
		v := fmt.Appendf(nil, `{"order":%d,"customer":"c-%07d","items":[`, first+int64(i), i*7919%999983)
		for k := 0; len(v) < 860; k++ {
			v = fmt.Appendf(v, `{"sku":"%08x","price":%d},`, uint32(i*k)*2654435761, i*k%9973)
		}
		out[i] = rec{offset: first + int64(i), time: 1_700_000_000_000 + int64(i), key: fmt.Appendf(nil, "order-%d", i), value: append(v, "]}"...)}
	}
	return out
}

func benchShape(b *testing.B, views []View, records int, from int64, lim Limits, codec Codec, want Form) {
	b.Helper()
	s := NewShaper()
	dst := make([]byte, 0, 2<<20)
	size := 0
	for _, v := range views {
		size += len(v.raw)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		for rest, next := views, from; len(rest) > 0; {
			out, used, err := s.Shape(dst, rest, next, lim, codec)
			if err != nil || out.Form != want {
				b.Fatal(out.Form, err)
			}
			Stamp(out.Raw, Producer{ID: 1})
			rest, next = rest[used:], out.Next
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(records), "ns/record")
}

func BenchmarkStamp64KiB(b *testing.B) {
	views := frame(b, encode(b, source{recs: orders(0, 72)}))
	benchShape(b, views, 72, 0, usual, None, FormStamp)
}

func BenchmarkMerge1000x915B(b *testing.B) {
	var raw [][]byte
	for _, s := range each(orders(0, 1000), kgo.CodecNone) {
		raw = append(raw, encode(b, s))
	}
	for _, upTo := range []int{256 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", upTo>>10), func(b *testing.B) {
			lim := usual
			lim.MergeUpTo = upTo
			benchShape(b, frame(b, raw...), 1000, 0, lim, None, FormMerge)
		})
	}
}

// BenchmarkCopy1000x915B is the floor of the merge: the same bytes copied and their CRC computed.
func BenchmarkCopy1000x915B(b *testing.B) {
	var raw [][]byte
	for _, s := range each(orders(0, 1000), kgo.CodecNone) {
		raw = append(raw, encode(b, s))
	}
	all := bytes.Join(raw, nil)
	dst := make([]byte, len(all))
	b.SetBytes(int64(len(all)))
	for b.Loop() {
		copy(dst, all)
		Stamp(dst, Producer{ID: 1})
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/record")
}

func BenchmarkRecode(b *testing.B) {
	recs := without(orders(0, 500), 250)
	for codec := range kgo.CompressionCodecType(5) {
		b.Run(Codec(codec).String(), func(b *testing.B) {
			benchShape(b, frame(b, encode(b, source{recs: recs, codec: codec})), 499, 0, usual, KeepCodec, FormRecode)
		})
	}
}

// A batch split into k parts is to cost about as much as one recoded whole, not k times that.
func BenchmarkSplitLZ4(b *testing.B) {
	views := frame(b, encode(b, source{recs: orders(0, 1000), codec: kgo.CodecLz4}))
	lim := usual
	lim.Max = len(views[0].raw) - 1
	benchShape(b, views, 1000, 0, lim, KeepCodec, FormSplit)
}
