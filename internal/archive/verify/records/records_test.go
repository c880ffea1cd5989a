package records

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"tandem/internal/archive/verify/sample"
	"tandem/internal/batch"
)

func framed(tb testing.TB, b []byte) batch.View {
	tb.Helper()
	v, rest, err := batch.Next(b)
	if err != nil || len(rest) > 0 {
		tb.Fatal(err)
	}
	return v
}

// Records of batches with holes, delete horizons and times of append, in every codec, are those that the batch was made of.
func TestEach(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	r := NewReader()
	for range 500 {
		m := sample.Batch{Base: rng.Int64N(1 << 40), Codec: batch.Codec(rng.IntN(5)), Last: int32(rng.IntN(9)), Producer: 7, Attributes: int16(rng.IntN(2) << 4)}
		delta := int32(rng.IntN(3))
		for range rng.IntN(6) {
			m.Records = append(m.Records, sample.Record{Delta: delta, Time: 1700000000000 + rng.Int64N(1000) - 500, Key: bytes.Repeat([]byte("k"), rng.IntN(3)),
				Value: bytes.Repeat([]byte("value "), rng.IntN(20)), Headers: []string{"a", "b"}})
			delta += 1 + int32(rng.IntN(3)/2*rng.IntN(4))
		}
		if rng.IntN(3) == 0 {
			m.BaseTime, m.Attributes = 1690000000000, m.Attributes|0x40 // a delete horizon
		}
		if rng.IntN(3) == 0 {
			m.Attributes |= 0x08 // the time of append
		}
		v := framed(t, m.Bytes())
		i := 0
		err := r.Each(v, func(rec Record) error {
			want := m.Records[i]
			at := want.Time
			if m.Attributes&0x08 != 0 {
				at = v.MaxTimestamp()
			}
			key, value, headers, err := Split(rec.Body)
			if err != nil || rec.Offset != m.Base+int64(want.Delta) || rec.Timestamp != at || !bytes.Equal(key, want.Key) ||
				!bytes.Equal(value, want.Value) || len(headers) != 1 || headers[0].Key != "a" || string(headers[0].Value) != "b" {
				t.Fatalf("record %d of %+v: %+v, %v", i, m, rec, err)
			}
			i++
			return nil
		})
		if err != nil || i != len(m.Records) {
			t.Fatalf("%d of %d records: %v", i, len(m.Records), err)
		}
		if m.Codec == batch.None || len(m.Records) == 0 {
			continue
		}
		plain, err := r.Plain(v)
		m.Codec = batch.None
		if want := m.Bytes()[batch.HeaderSize:]; err != nil || !bytes.Equal(plain, want) {
			t.Fatalf("plain records of %+v are\n%x, not\n%x: %v", m, plain, want, err)
		}
	}
}

func TestSplit(t *testing.T) {
	if key, value, headers, err := Split([]byte{1, 0, 0}); key != nil || value == nil || len(value) != 0 || headers != nil || err != nil {
		t.Errorf("%v %v %v %v", key, value, headers, err)
	}
	for _, b := range []string{"", "\x01", "\x01\x00", "\x03\x00\x00", "\x01\x00\x02", "\x01\x00\x00\x00", "\x10\x00\x00"} {
		if _, _, _, err := Split([]byte(b)); !errors.Is(err, batch.ErrCorrupt) {
			t.Errorf("%x: %v", b, err)
		}
	}
}

// Whatever the bytes are, records come out or an error.
func FuzzEach(f *testing.F) {
	for c := range batch.Codec(5) {
		f.Add(sample.Batch{Base: 5, Codec: c, Records: []sample.Record{{Time: 5, Value: []byte("v")}, {Delta: 3, Time: 4}}}.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, _, err := batch.Next(b)
		if err != nil {
			return
		}
		r, n := NewReader(), 0
		err = r.Each(v, func(rec Record) error { n++; return nil })
		if err == nil && v.Records() >= 0 && n != int(v.Records()) {
			t.Fatalf("%d records of %d", n, v.Records())
		}
		if v.Magic() == 2 {
			_, _ = r.Plain(v) // it may fail, and nothing else
		}
	})
}
