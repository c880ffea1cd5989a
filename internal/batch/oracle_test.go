package batch

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// rec is a record as a consumer sees it.
type rec struct {
	offset, time int64
	key, value   []byte
	headers      []kmsg.Header
}

func (r rec) String() string {
	return fmt.Sprintf("%d@%d %s=%s %v", r.offset, r.time, show(r.key), show(r.value), r.headers)
}

func show(b []byte) string {
	switch {
	case b == nil:
		return "null"
	case len(b) > 20:
		return fmt.Sprintf("%q..(%d bytes, crc %08x)", b[:12], len(b), crc32.ChecksumIEEE(b))
	}
	return fmt.Sprintf("%q", b)
}

// source describes a batch of the source partition, to be encoded without any code of this package.
type source struct {
	recs       []rec
	codec      kgo.CompressionCodecType
	attributes int16  // besides the codec
	base       *int64 // offset, when not that of the first record
	last       *int64 // offset, when not that of the last record
	baseTime   *int64 // when not that of the first record
	maxTime    *int64 // when not the largest of the records
}

func at(v int64) *int64 { return &v }

func or(p *int64, v int64) int64 {
	if p != nil {
		return *p
	}
	return v
}

// encode is the batch as a broker would send it: written by a producer, kept under leader epoch 7.
func encode(t testing.TB, s source) []byte {
	t.Helper()
	var firstOffset, lastOffset, firstTime, maxTime int64
	for i, r := range s.recs {
		if i == 0 {
			firstOffset, firstTime, maxTime = r.offset, r.time, r.time
		}
		lastOffset, maxTime = r.offset, max(maxTime, r.time)
	}
	base, baseTime := or(s.base, firstOffset), or(s.baseTime, firstTime)
	var payload []byte
	for _, r := range s.recs {
		m := kmsg.Record{TimestampDelta64: r.time - baseTime, OffsetDelta: int32(r.offset - base), Key: r.key, Value: r.value, Headers: r.headers}
		m.Length = int32(len(m.AppendTo(nil)) - 1) // the length field itself took one byte, for 0
		payload = m.AppendTo(payload)
	}
	b := kmsg.RecordBatch{
		FirstOffset: base, PartitionLeaderEpoch: 7, Magic: 2, Attributes: s.attributes | int16(s.codec),
		LastOffsetDelta: int32(or(s.last, lastOffset) - base), FirstTimestamp: baseTime, MaxTimestamp: or(s.maxTime, maxTime),
		ProducerID: 4711, ProducerEpoch: 3, FirstSequence: 99, NumRecords: int32(len(s.recs)), Records: squeeze(t, s.codec, payload),
	}
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-12))
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	return raw
}

var compressors = func() map[kgo.CompressionCodecType]kgo.Compressor {
	all := map[kgo.CompressionCodecType]kgo.Compressor{}
	for _, c := range []kgo.CompressionCodec{kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		z, err := kgo.DefaultCompressor(c)
		if err != nil {
			panic(err)
		}
		_, codec := z.Compress(new(bytes.Buffer), nil)
		all[codec] = z
	}
	return all
}()

// squeeze compresses as franz-go's producer does.
func squeeze(t testing.TB, codec kgo.CompressionCodecType, b []byte) []byte {
	t.Helper()
	if codec == kgo.CodecNone {
		return b
	}
	out, got := compressors[codec].Compress(new(bytes.Buffer), b)
	if got != codec {
		t.Fatalf("compressed with %d, want %d", got, codec)
	}
	return bytes.Clone(out)
}

// consume reads a batch as franz-go's consumer would and checks what a broker would refuse in a Produce request.
func consume(raw []byte) ([]rec, kmsg.RecordBatch, error) {
	var b kmsg.RecordBatch
	raw = bytes.Clone(raw) // the records of kmsg alias it, and the caller builds the next batch there
	if err := b.ReadFrom(raw); err != nil {
		return nil, b, fmt.Errorf("read batch: %w", err)
	}
	crc := crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli))
	switch {
	case int(b.Length) != len(raw)-12:
		return nil, b, fmt.Errorf("length %d of %d bytes", b.Length, len(raw))
	case b.Magic != 2 || b.FirstOffset != 0 || b.PartitionLeaderEpoch != -1:
		return nil, b, fmt.Errorf("magic %d, base offset %d, leader epoch %d", b.Magic, b.FirstOffset, b.PartitionLeaderEpoch)
	case b.LastOffsetDelta+1 != b.NumRecords:
		return nil, b, fmt.Errorf("last offset delta %d, %d records", b.LastOffsetDelta, b.NumRecords)
	case b.Attributes&^7 != 0:
		return nil, b, fmt.Errorf("attributes %x", b.Attributes)
	case uint32(b.CRC) != crc:
		return nil, b, fmt.Errorf("CRC %08x, computed %08x", uint32(b.CRC), crc)
	}
	plain, err := kgo.DefaultDecompressor().Decompress(b.Records, kgo.CompressionCodecType(b.Attributes&7))
	if err != nil {
		return nil, b, fmt.Errorf("decompress: %w", err)
	}
	var out []rec
	for i := range b.NumRecords {
		length, n := binary.Varint(plain)
		if n <= 0 || int(length) > len(plain)-n {
			return nil, b, fmt.Errorf("record %d: length %d of %d", i, length, len(plain))
		}
		var m kmsg.Record
		if err := m.ReadFrom(plain[:n+int(length)]); err != nil {
			return nil, b, fmt.Errorf("record %d: %w", i, err)
		}
		if m.OffsetDelta != i {
			return nil, b, fmt.Errorf("record %d: offset delta %d", i, m.OffsetDelta)
		}
		if len(m.Headers) == 0 {
			m.Headers = nil
		}
		out = append(out, rec{time: b.FirstTimestamp + m.TimestampDelta64, key: m.Key, value: m.Value, headers: m.Headers})
		plain = plain[n+int(length):]
	}
	if len(plain) > 0 {
		return nil, b, fmt.Errorf("%d bytes after the last record", len(plain))
	}
	return out, b, nil
}

// frame cuts raw into views and fails the test unless nothing is left over and all CRCs are right.
func frame(t testing.TB, raw ...[]byte) []View {
	t.Helper()
	var views []View
	for b := bytes.Join(raw, nil); len(b) > 0; {
		v, rest, err := Next(b)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Verify(); err != nil {
			t.Fatal(err)
		}
		views, b = append(views, v), rest
	}
	return views
}

// shapeAll runs views through Shape until they are used up, stamping every batch, and returns what a consumer of the
// target reads, with the source offsets that Runs claim, and the forms taken.
func shapeAll(t testing.TB, s *Shaper, views []View, from int64, lim Limits, codec Codec) (got []rec, forms []Form, next int64) {
	t.Helper()
	next = from
	var dst []byte
	var kept [][]Run
	var copies [][]Run
	p := Producer{ID: 1 << 40, Epoch: 5, Sequence: 1<<31 - 3}
	for calls := 0; len(views) > 0; calls++ {
		if calls > 100_000 {
			t.Fatalf("no end: %d views left at %d", len(views), next)
		}
		out, used, err := s.Shape(dst, views, next, lim, codec)
		if err != nil {
			t.Fatalf("shape at %d: %v", next, err)
		}
		if used == 0 && out.Next <= next {
			t.Fatalf("shape at %d: stands still", next)
		}
		if out.Next < next {
			t.Fatalf("shape at %d: next %d", next, out.Next)
		}
		if used > 0 && out.Next < views[used-1].LastOffset()+1 {
			t.Fatalf("shape at %d: used a view up to %d, next is %d", next, views[used-1].LastOffset(), out.Next)
		}
		next, views = out.Next, views[used:]
		if out.Records == 0 {
			if out.Raw != nil || out.Runs != nil {
				t.Fatalf("no records but %d bytes, runs %v", len(out.Raw), out.Runs)
			}
			continue
		}
		got = append(got, check(t, out, p, lim)...)
		p.Sequence = NextSequence(p.Sequence, out.Records)
		forms = append(forms, out.Form)
		kept, copies = append(kept, out.Runs), append(copies, append([]Run(nil), out.Runs...))
		if out.Form != FormStamp {
			dst = out.Raw
		}
	}
	if fmt.Sprint(kept) != fmt.Sprint(copies) {
		t.Fatal("runs changed after they were returned")
	}
	return got, forms, next
}

// check stamps one shaped batch and reads it back.
func check(t testing.TB, out Shaped, p Producer, lim Limits) []rec {
	t.Helper()
	if len(out.Raw) > lim.Max {
		t.Fatalf("%s: %d bytes, max %d", out.Form, len(out.Raw), lim.Max)
	}
	Stamp(out.Raw, p)
	recs, b, err := consume(out.Raw)
	if err != nil {
		t.Fatalf("%s: %v", out.Form, err)
	}
	if b.ProducerID != p.ID || b.ProducerEpoch != p.Epoch || b.FirstSequence != p.Sequence {
		t.Fatalf("%s: producer %d/%d/%d", out.Form, b.ProducerID, b.ProducerEpoch, b.FirstSequence)
	}
	if int(out.Records) != len(recs) {
		t.Fatalf("%s: %d records, says %d", out.Form, len(recs), out.Records)
	}
	var offsets []int64
	for i, r := range out.Runs {
		if r.Count <= 0 || i > 0 && r.First <= out.Runs[i-1].First+int64(out.Runs[i-1].Count) {
			t.Fatalf("%s: runs %v", out.Form, out.Runs)
		}
		for k := range r.Count {
			offsets = append(offsets, r.First+int64(k))
		}
	}
	if len(offsets) != len(recs) {
		t.Fatalf("%s: runs %v for %d records", out.Form, out.Runs, len(recs))
	}
	newest := recs[0].time
	for i := range recs {
		recs[i].offset = offsets[i]
		newest = max(newest, recs[i].time)
	}
	if b.MaxTimestamp != newest {
		t.Fatalf("%s: max timestamp %d of records up to %d", out.Form, b.MaxTimestamp, newest)
	}
	return recs
}

// same fails the test unless both sides hold the same records; null and empty are different things.
func same(t testing.TB, got, want []rec) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		g, w := "nothing", "nothing"
		if i < len(got) {
			g = got[i].String() + fmt.Sprintf("%#v", got[i].headers)
		}
		if i < len(want) {
			w = want[i].String() + fmt.Sprintf("%#v", want[i].headers)
		}
		if g != w {
			t.Fatalf("record %d of %d (want %d):\n got %s\nwant %s", i, len(got), len(want), g, w)
		}
	}
}

// randomRecs makes n records from offset first on, with gaps when holes is set.
func randomRecs(r *rand.Rand, first int64, n, size int, holes bool) []rec {
	out := make([]rec, n)
	now := int64(1_700_000_000_000) + r.Int64N(1e9)
	for i := range out {
		out[i] = rec{offset: first, time: now + r.Int64N(5000) - 2500, key: randomBytes(r, 20), value: randomBytes(r, size)}
		if r.IntN(20) == 0 {
			out[i].time = []int64{-1, 0, 1 << 60}[r.IntN(3)]
		}
		for range r.IntN(4) * r.IntN(2) {
			key := []string{"", "trace", "trace", "ключ"}[r.IntN(4)]
			out[i].headers = append(out[i].headers, kmsg.Header{Key: key, Value: randomBytes(r, 10)})
		}
		first++
		if holes && r.IntN(3) == 0 {
			first += r.Int64N(5)
		}
	}
	return out
}

// randomBytes is null, empty, compressible or not.
func randomBytes(r *rand.Rand, size int) []byte {
	switch r.IntN(8) {
	case 0:
		return nil
	case 1:
		return []byte{}
	case 2:
		b := make([]byte, r.IntN(size+1))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	return bytes.Repeat([]byte("{\"id\":17,"), 1+r.IntN(size/9+1))
}
