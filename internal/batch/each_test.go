package batch

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var codecs5 = []kgo.CompressionCodecType{kgo.CodecNone, kgo.CodecGzip, kgo.CodecSnappy, kgo.CodecLz4, kgo.CodecZstd}

// Records of batches with holes, delete horizons and times of append, in every codec, are those that the batch was made of.
func TestRecords(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	sh := NewShaper()
	for range 500 {
		first := rng.Int64N(1 << 40)
		src := source{recs: randomRecs(rng, first, 1+rng.IntN(6), 40, true), codec: codecs5[rng.IntN(5)], base: at(first - rng.Int64N(3))}
		src.last = at(src.recs[len(src.recs)-1].offset + rng.Int64N(3))
		want := src.recs
		if rng.IntN(3) == 0 {
			src.baseTime, src.attributes = at(src.recs[0].time-1e9), 0x40 // a delete horizon
		}
		if rng.IntN(3) == 0 {
			src.attributes |= bitLogAppendTime
			src.maxTime = at(src.recs[0].time + 5)
			want = appended(want, *src.maxTime)
		}
		view := frame(t, encode(t, src))[0]
		var got []rec
		err := sh.Records(view, func(r Record) error {
			own := rec{offset: r.Offset, time: r.Timestamp}
			key, value, headers, err := r.Split()
			own.key, own.value = bytes.Clone(key), bytes.Clone(value)
			for _, h := range headers {
				own.headers = append(own.headers, kmsg.Header{Key: h.Key, Value: bytes.Clone(h.Value)})
			}
			got = append(got, own)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, want)
		plain, err := sh.Plain(view)
		src.codec = kgo.CodecNone
		if want := encode(t, src)[HeaderSize:]; err != nil || !bytes.Equal(plain, want) {
			t.Fatalf("plain records are\n%x, not\n%x: %v", plain, want, err)
		}
	}
}

func TestRecordsEnd(t *testing.T) {
	sh, stop := NewShaper(), errors.New("enough")
	view := frame(t, encode(t, source{recs: some(1, 0, 9, 20), codec: kgo.CodecLz4}))[0]
	n := 0
	err := sh.Records(view, func(Record) error {
		if n++; n == 3 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || n != 3 {
		t.Errorf("%d records: %v", n, err)
	}
	for magic := range int8(2) { // old message formats
		recs := some(1, 7, 4, 20)
		view := frame(t, wrapper(t, magic, 0, kgo.CodecGzip, 7, recs[3].time, recs))[0]
		n := 0
		if err := sh.Records(view, func(r Record) error { n++; return nil }); err != nil || n != 4 {
			t.Errorf("format v%d: %d records, %v", magic, n, err)
		}
		if _, err := sh.Plain(view); err == nil {
			t.Errorf("format v%d has plain records", magic)
		}
	}
	empty := frame(t, AppendEmpty(nil, 5, 9))[0]
	empty.raw[atAttributes+1] |= byte(Zstd) // as the log cleaner leaves one of a compressed batch
	plain, err := sh.Plain(empty)
	if err := errors.Join(err, sh.Records(empty, func(Record) error { return stop })); err != nil || len(plain) > 0 {
		t.Errorf("an empty batch: %v", err)
	}
}

func TestSplit(t *testing.T) {
	if key, value, headers, err := (Record{Body: []byte{1, 0, 0}}).Split(); key != nil || value == nil || len(value) != 0 || headers != nil || err != nil {
		t.Errorf("%v %v %v %v", key, value, headers, err)
	}
	for _, b := range []string{"", "\x01", "\x01\x00", "\x03\x00\x00", "\x01\x00\x02", "\x01\x00\x00\x00", "\x10\x00\x00"} {
		if _, _, _, err := (Record{Body: []byte(b)}).Split(); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%x: %v", b, err)
		}
	}
}

// Whatever the bytes are, records come out or an error.
func FuzzRecords(f *testing.F) {
	for _, b := range seeds(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, _, err := Next(b)
		if err != nil {
			return
		}
		s, n := NewShaper(), 0
		s.codecs.most = 1 << 20
		err = s.Records(v, func(r Record) error {
			n++
			_, _, _, _ = r.Split()
			return nil
		})
		if err == nil && v.Records() >= 0 && n != int(v.Records()) {
			t.Fatalf("%d records of %d", n, v.Records())
		}
		if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
		if v.Magic() == 2 {
			_, _ = s.Plain(v) // it may fail, and nothing else
		}
	})
}
