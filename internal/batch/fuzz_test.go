package batch

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

func seeds(f *testing.F) [][]byte {
	f.Helper()
	recs := some(1, 100, 6, 60)
	var out [][]byte
	for codec := range kgo.CompressionCodecType(5) {
		out = append(out, encode(f, source{recs: recs, codec: codec}), encode(f, source{recs: without(recs, 102), codec: codec, attributes: bitLogAppendTime}))
		if codec != kgo.CodecNone && codec != kgo.CodecZstd {
			out = append(out, wrapper(f, 0, 0, codec, 100, 0, recs), wrapper(f, 1, bitLogAppendTime, codec, 100, 5, recs))
		}
	}
	return append(out, message(0, 0, recs[0]), message(1, 0, recs[0]), encode(f, source{base: at(3), last: at(9)}))
}

// Whatever bytes come, Next frames within them and every accessor can be called.
func FuzzNext(f *testing.F) {
	for _, b := range seeds(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, rest, err := Next(b)
		if err != nil {
			if !errors.Is(err, ErrTruncated) && !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		if len(v.Bytes())+len(rest) != len(b) || v.LastOffset() < v.BaseOffset() || v.BaseOffset() < 0 {
			t.Fatalf("%d and %d of %d bytes, offsets %d to %d", len(v.Bytes()), len(rest), len(b), v.BaseOffset(), v.LastOffset())
		}
		_ = v.Verify()
		_, _ = v.Aborts()
		_, _, _, _, _, _ = v.Records(), v.Codec(), v.ProducerID(), v.ProducerEpoch(), v.BaseSequence(), v.LeaderEpoch()
		_, _, _, _, _ = v.BaseTimestamp(), v.MaxTimestamp(), v.Control(), v.Transactional(), v.LogAppendTime()
	})
}

// Whatever bytes come, Shape gets through them or says why not, and what it makes frames, verifies and holds as many
// records as it says.
func FuzzShape(f *testing.F) {
	for _, b := range seeds(f) {
		f.Add(b, int64(0), uint16(900), uint16(700), int8(-1))
		f.Add(append(append([]byte(nil), b...), b...), int64(102), uint16(300), uint16(300), int8(3))
	}
	f.Fuzz(func(t *testing.T, b []byte, from int64, most, merge uint16, codec int8) {
		s := NewShaper()
		s.codecs.most = 1 << 20
		lim := Limits{Max: int(most), MergeUpTo: int(merge), MergeBelow: 500, MergeCompressedBelow: 400}
		if codec < int8(KeepCodec) || codec > int8(Zstd) {
			codec = int8(None)
		}
		var views []View
		for {
			v, rest, err := Next(b)
			if err != nil || v.Control() {
				break
			}
			views, b = append(views, v), rest
		}
		for len(views) > 0 {
			out, used, err := s.Shape(nil, views, from, lim, Codec(codec))
			var tooLarge *TooLargeError
			if errors.As(err, &tooLarge) && tooLarge.Size > lim.Max && tooLarge.Offset >= from {
				from = tooLarge.Offset + 1
				continue
			}
			if err != nil {
				if !errors.Is(err, ErrCorrupt) {
					t.Fatal(err)
				}
				views = views[1:]
				continue
			}
			if out.Records > 0 {
				reread(t, out, lim)
			}
			if used == 0 && out.Next <= from {
				t.Fatalf("stands still at %d", from)
			}
			from, views = out.Next, views[used:]
		}
	})
}

// reread checks a shaped batch with no more than this package: fuzzed records need not make sense to others.
func reread(t *testing.T, out Shaped, lim Limits) {
	t.Helper()
	Stamp(out.Raw, Producer{ID: 1})
	v, rest, err := Next(out.Raw)
	if err != nil || len(rest) > 0 || len(out.Raw) > lim.Max {
		t.Fatalf("%s: %d bytes, %d after it, %v", out.Form, len(out.Raw), len(rest), err)
	}
	if err := v.Verify(); err != nil {
		t.Fatal(err)
	}
	var n int32
	for _, r := range out.Runs {
		n += r.Count
	}
	if v.BaseOffset() != 0 || v.Records() != out.Records || v.LastOffset() != int64(out.Records)-1 || n != out.Records || v.LogAppendTime() {
		t.Fatalf("%s: offsets %d to %d, %d records, says %d in %v", out.Form, v.BaseOffset(), v.LastOffset(), v.Records(), out.Records, out.Runs)
	}
	if out.Form == FormStamp {
		return // its records were not looked at
	}
	set, err := NewShaper().load(v)
	for err == nil && set.more() {
		_, err = set.read()
	}
	if err == nil {
		err = set.finished()
	}
	if err != nil {
		t.Fatalf("%s: %v", out.Form, err)
	}
}
