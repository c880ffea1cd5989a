package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestNext(t *testing.T) {
	recs := some(1, 1000, 3, 50)
	one := encode(t, source{recs: recs, attributes: bitTransactional, last: at(1009), maxTime: at(77), baseTime: at(33), codec: kgo.CodecLz4})
	two := encode(t, source{recs: some(2, 1010, 1, 50), attributes: bitLogAppendTime})
	v, rest, err := Next(append(bytes.Clone(one), two...))
	if err != nil || !bytes.Equal(v.Bytes(), one) || !bytes.Equal(rest, two) {
		t.Fatalf("framed %d of %d bytes, %d left: %v", len(v.Bytes()), len(one), len(rest), err)
	}
	type fields struct {
		magic              int8
		base, last         int64
		records            int32
		codec              Codec
		control, tx, byLog bool
		id                 int64
		epoch              int16
		sequence, leader   int32
		baseTime, maxTime  int64
	}
	read := func(v View) fields {
		return fields{v.Magic(), v.BaseOffset(), v.LastOffset(), v.Records(), v.Codec(), v.Control(), v.Transactional(), v.LogAppendTime(),
			v.ProducerID(), v.ProducerEpoch(), v.BaseSequence(), v.LeaderEpoch(), v.BaseTimestamp(), v.MaxTimestamp()}
	}
	if got, want := read(v), (fields{2, 1000, 1009, 3, LZ4, false, true, false, 4711, 3, 99, 7, 33, 77}); got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	v, _, err = Next(two)
	if err != nil {
		t.Fatal(err)
	}
	if got := read(v); !got.byLog || got.tx || got.codec != None {
		t.Errorf("got %+v", got)
	}
	for n := range one {
		if v, rest, err := Next(one[:n]); !errors.Is(err, ErrTruncated) || v.Bytes() != nil || len(rest) != n {
			t.Fatalf("%d of %d bytes: %v", n, len(one), err)
		}
	}
}

func TestNextRefuses(t *testing.T) {
	put32 := func(at int, v int32) func([]byte) {
		return func(b []byte) { binary.BigEndian.PutUint32(b[at:], uint32(v)) }
	}
	for _, c := range []struct {
		story  string
		damage func([]byte)
	}{
		{"negative length", put32(atLength, -1)},
		{"no room for a legacy message", put32(atLength, 13)},
		{"no room for a v2 header", put32(atLength, 48)},
		{"magic 3", func(b []byte) { b[atMagic] = 3 }},
		{"magic -1", func(b []byte) { b[atMagic] = 0xff }},
		{"codec 5", func(b []byte) { b[atAttributes+1] = 5 }},
		{"negative base offset", func(b []byte) { b[0] = 0x80 }},
		{"offsets past the last number", func(b []byte) { binary.BigEndian.PutUint64(b, math.MaxInt64-2) }},
		{"negative record count", put32(atRecords, -1)},
		{"negative last offset delta", put32(atLastOffsetDelta, -1)},
		{"more records than offsets", put32(atRecords, 4)},
		{"more records than bytes", func(b []byte) { put32(atRecords, 1<<20)(b); put32(atLastOffsetDelta, 1<<20)(b) }},
		{"a v2 batch said to be a v1 message", func(b []byte) { b[atMagic] = 1 }},
		{"a v2 batch said to be a v0 message", func(b []byte) { b[atMagic] = 0 }},
	} {
		t.Run(c.story, func(t *testing.T) {
			raw := encode(t, source{recs: some(1, 1000, 3, 50)})
			c.damage(raw)
			if _, rest, err := Next(raw); !errors.Is(err, ErrCorrupt) || len(rest) != len(raw) {
				t.Fatalf("got %v", err)
			}
		})
	}
}

func TestVerify(t *testing.T) {
	raw := encode(t, source{recs: some(1, 1000, 3, 50)})
	v := frame(t, raw)[0]
	free := map[int]bool{} // bytes that the CRC does not cover
	for i := range 16 {
		free[i] = true // base offset, length, leader epoch
	}
	free[atMagic] = true
	for i := range v.raw {
		v.raw[i] ^= 0x10
		if i != atMagic {
			if err := v.Verify(); (err == nil) != free[i] || err != nil && !errors.Is(err, ErrCorrupt) {
				t.Errorf("byte %d changed: %v", i, err)
			}
		}
		v.raw[i] ^= 0x10
	}
}

func TestStamp(t *testing.T) {
	raw := encode(t, source{recs: some(1, 1000, 30, 50), attributes: bitTransactional | bitDeleteHorizon | bitLogAppendTime, codec: kgo.CodecZstd})
	was := bytes.Clone(raw)
	p := Producer{ID: 1<<62 + 5, Epoch: 12, Sequence: math.MaxInt32}
	Stamp(raw, p)
	v, _, err := Next(raw)
	if err != nil || v.Verify() != nil {
		t.Fatal(err, v.Verify())
	}
	if v.BaseOffset() != 0 || v.LeaderEpoch() != -1 || v.ProducerID() != p.ID || v.ProducerEpoch() != 12 || v.BaseSequence() != math.MaxInt32 {
		t.Errorf("offset %d, leader epoch %d, producer %d/%d/%d", v.BaseOffset(), v.LeaderEpoch(), v.ProducerID(), v.ProducerEpoch(), v.BaseSequence())
	}
	if got := v.attributes(); got != bitLogAppendTime|int16(Zstd) {
		t.Errorf("attributes %x", got)
	}
	if !bytes.Equal(raw[HeaderSize:], was[HeaderSize:]) || !bytes.Equal(raw[atLastOffsetDelta:atProducerID], was[atLastOffsetDelta:atProducerID]) ||
		!bytes.Equal(raw[atRecords:HeaderSize], was[atRecords:HeaderSize]) || !bytes.Equal(raw[atLength:atLeaderEpoch], was[atLength:atLeaderEpoch]) {
		t.Error("bytes changed that are not the producer's to set")
	}
	if n := testing.AllocsPerRun(100, func() { Stamp(raw, p) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestNextSequence(t *testing.T) {
	for _, c := range []struct{ seq, n, want int32 }{
		{0, 0, 0}, {0, 10, 10}, {math.MaxInt32 - 1, 1, math.MaxInt32}, {math.MaxInt32, 1, 0}, {math.MaxInt32 - 2, 10, 7},
		{math.MaxInt32, math.MaxInt32, math.MaxInt32 - 1},
	} {
		if got := NextSequence(c.seq, c.n); got != c.want {
			t.Errorf("%d after %d is %d, want %d", c.n, c.seq, got, c.want)
		}
	}
}

func TestAborts(t *testing.T) {
	marker := func(key ...byte) rec { return rec{offset: 9, time: 1, key: key, value: []byte{0, 0, 0, 0, 0, 1}} }
	control := int16(bitControl | bitTransactional)
	for _, c := range []struct {
		story string
		in    source
		abort bool
		fails bool
	}{
		{"abort", source{recs: []rec{marker(0, 0, 0, 0)}, attributes: control}, true, false},
		{"commit", source{recs: []rec{marker(0, 0, 0, 1)}, attributes: control}, false, false},
		{"a later version of the key, longer", source{recs: []rec{marker(0, 1, 0, 0, 9, 9)}, attributes: control}, true, false},
		{"neither", source{recs: []rec{marker(0, 0, 0, 5)}, attributes: control}, false, false},
		{"emptied by compaction", source{base: at(9), last: at(9), attributes: control}, false, false},
		{"key too short", source{recs: []rec{marker(0, 0, 0)}, attributes: control}, false, true},
		{"null key", source{recs: []rec{{offset: 9}}, attributes: control}, false, true},
		{"not a control batch", source{recs: []rec{marker(0, 0, 0, 0)}}, false, true},
	} {
		abort, err := frame(t, encode(t, c.in))[0].Aborts()
		if abort != c.abort || (err != nil) != c.fails || err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: abort %v, %v", c.story, abort, err)
		}
	}
}

func TestParseCodec(t *testing.T) {
	for _, c := range []Codec{None, Gzip, Snappy, LZ4, Zstd} {
		if got, err := ParseCodec(c.String()); got != c || err != nil {
			t.Errorf("%s: %d, %v", c, got, err)
		}
	}
	for _, name := range []string{"", "producer", "LZ4", "codec(5)"} {
		if c, err := ParseCodec(name); err == nil {
			t.Errorf("%q is %s", name, c)
		}
	}
}
