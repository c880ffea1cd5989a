package batch

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

var usual = Limits{Max: 1 << 20, MergeUpTo: 256 << 10, MergeBelow: 32 << 10, MergeCompressedBelow: 4 << 10}

func some(seed uint64, first int64, n, size int) []rec {
	return randomRecs(rand.New(rand.NewPCG(seed, 1)), first, n, size, false)
}

// each cuts recs into batches of one record.
func each(recs []rec, codec kgo.CompressionCodecType) []source {
	var out []source
	for i := range recs {
		out = append(out, source{recs: recs[i : i+1], codec: codec})
	}
	return out
}

func without(recs []rec, drop ...int64) []rec {
	return slices.DeleteFunc(slices.Clone(recs), func(r rec) bool { return slices.Contains(drop, r.offset) })
}

// appended is what a consumer reads of a batch with LogAppendTime.
func appended(recs []rec, at int64) []rec {
	out := slices.Clone(recs)
	for i := range out {
		out[i].time = at
	}
	return out
}

func TestShape(t *testing.T) {
	ten := some(1, 100, 10, 400)
	large := some(2, 100, 400, 400)
	var same500 []rec // half a kilobyte when compressed
	for i := range int64(500) {
		same500 = append(same500, rec{offset: 110 + i, time: 7, value: make([]byte, 100)})
	}
	const appendTime = 1_800_000_000_000
	for _, c := range []struct {
		story string
		in    []source
		from  int64
		lim   Limits
		codec Codec
		want  []rec // nil: all records of in
		forms []Form
		next  int64
	}{
		{story: "a small batch alone is stamped",
			in: []source{{recs: ten}}, forms: []Form{FormStamp}, next: 110},
		{story: "a transactional batch is stamped, its bit cleared",
			in: []source{{recs: ten, attributes: bitTransactional}}, forms: []Form{FormStamp}, next: 110},
		{story: "a batch with a delete horizon is stamped, its timestamps as before",
			in: []source{{recs: ten, attributes: bitDeleteHorizon, baseTime: at(1_900_000_000_000)}}, forms: []Form{FormStamp}, next: 110},
		{story: "a batch with a delete horizon and holes is recoded, its timestamps as before",
			in:    []source{{recs: without(ten, 104), attributes: bitDeleteHorizon, baseTime: at(1_900_000_000_000)}},
			forms: []Form{FormRecode}, next: 110},
		{story: "large batches are stamped one by one",
			in:    []source{{recs: some(3, 0, 300, 400)}, {recs: some(4, 300, 300, 400)}},
			forms: []Form{FormStamp, FormStamp}, next: 600},
		{story: "small uncompressed batches are merged",
			in: each(ten, kgo.CodecNone), forms: []Form{FormMerge}, next: 110},
		{story: "small lz4 batches are merged",
			in: each(ten, kgo.CodecLz4), codec: KeepCodec, forms: []Form{FormMerge}, next: 110},
		{story: "a merge stops before a large batch, which is stamped",
			in:    append(each(ten, kgo.CodecNone), source{recs: some(5, 110, 300, 400)}),
			forms: []Form{FormMerge, FormStamp}, next: 410},
		{story: "one small batch before a large one is not rebuilt for nothing",
			in:    []source{{recs: ten}, {recs: some(5, 110, 300, 400)}},
			forms: []Form{FormStamp, FormStamp}, next: 410},
		{story: "a merge stops at its size",
			in: each(ten, kgo.CodecNone), lim: Limits{Max: 1 << 20, MergeUpTo: 900, MergeBelow: 32 << 10},
			forms: []Form{FormMerge, FormMerge, FormMerge}, next: 110},
		{story: "nothing is merged when merging is off",
			in: each(ten[:3], kgo.CodecNone), lim: Limits{Max: 1 << 20}, forms: []Form{FormStamp, FormStamp, FormStamp}, next: 103},
		{story: "a merge stops where the codec changes and codecs are kept",
			in: append(each(ten[:5], kgo.CodecLz4), each(ten[5:], kgo.CodecZstd)...), codec: KeepCodec,
			forms: []Form{FormMerge, FormMerge}, next: 110},
		{story: "with a codec given, codecs mix",
			in: append(each(ten[:5], kgo.CodecLz4), each(ten[5:], kgo.CodecNone)...), codec: Zstd,
			forms: []Form{FormMerge}, next: 110},
		{story: "a merge over missing offsets has a run for each side",
			in:    each(without(ten, 103, 104, 107), kgo.CodecNone),
			forms: []Form{FormMerge}, next: 110},
		{story: "a compacted batch is recoded, the hole at its end covered",
			in: []source{{recs: without(ten, 100, 105, 109), base: at(100), last: at(109)}}, forms: []Form{FormRecode}, next: 110},
		{story: "a compacted batch joins its neighbours",
			in:    append(each(ten[:3], kgo.CodecNone), source{recs: without(ten[3:], 105)}),
			forms: []Form{FormMerge}, next: 110},
		{story: "a batch that compaction emptied is consumed",
			in: []source{{base: at(100), last: at(119)}}, want: []rec{}, next: 120},
		{story: "emptied batches amid others are covered",
			in:    []source{{base: at(90), last: at(99)}, {recs: ten[:5]}, {base: at(105), last: at(119)}, {recs: some(6, 120, 5, 100)}, {base: at(125), last: at(129)}},
			forms: []Form{FormMerge}, next: 130},
		{story: "LogAppendTime becomes each record's CreateTime",
			in: []source{{recs: ten, attributes: bitLogAppendTime, maxTime: at(appendTime)}}, want: appended(ten, appendTime),
			forms: []Form{FormRecode}, next: 110},
		{story: "LogAppendTime, compressed",
			in:   []source{{recs: ten, attributes: bitLogAppendTime, maxTime: at(appendTime), codec: kgo.CodecSnappy}},
			want: appended(ten, appendTime), codec: KeepCodec, forms: []Form{FormRecode}, next: 110},
		{story: "a resume in the middle of a batch leaves out what the target has",
			in: []source{{recs: ten, codec: kgo.CodecGzip}}, from: 104, want: ten[4:], codec: KeepCodec, forms: []Form{FormRecode}, next: 110},
		{story: "a resume beyond a batch passes it over",
			in: []source{{recs: ten[:5]}, {recs: ten[5:]}}, from: 105, want: ten[5:], forms: []Form{FormStamp}, next: 110},
		{story: "a resume in the hole at a batch's end",
			in:   []source{{recs: ten[:5], last: at(107)}, {recs: ten[8:]}},
			from: 106, want: ten[8:], forms: []Form{FormStamp}, next: 110},
		{story: "a batch larger than the target takes is split",
			in: []source{{recs: large}}, lim: Limits{Max: 30_000}, next: 500},
		{story: "a compressed one is split by uncompressed size",
			in: []source{{recs: large, codec: kgo.CodecZstd}}, lim: Limits{Max: 4_000}, codec: KeepCodec, next: 500},
		{story: "a compressed one with holes that fits when compressed stays whole",
			in: []source{{recs: without(large, 200), codec: kgo.CodecZstd}}, lim: Limits{Max: 40_000}, codec: KeepCodec,
			forms: []Form{FormRecode}, next: 500},
		{story: "and is cut when the codec asked for does not make it fit",
			in: []source{{recs: without(large, 200), codec: kgo.CodecZstd}}, lim: Limits{Max: 40_000}, codec: None,
			forms: []Form{FormSplit, FormRecode}, next: 500},
		{story: "or when it is cut smaller than one that the source's codec makes fit",
			in: []source{{recs: without(large, 200), codec: kgo.CodecZstd}}, lim: Limits{Max: 16_000}, codec: Snappy, next: 500,
			forms: []Form{FormSplit, FormRecode}},
		{story: "a small batch whose neighbour turns out too large is stamped",
			in: []source{{recs: ten, codec: kgo.CodecZstd}, {recs: same500, codec: kgo.CodecZstd}}, codec: KeepCodec,
			lim: Limits{Max: 1 << 20, MergeUpTo: 20_000, MergeCompressedBelow: 4 << 10}, forms: []Form{FormStamp, FormStamp}, next: 610},
	} {
		t.Run(c.story, func(t *testing.T) {
			if c.lim == (Limits{}) {
				c.lim = usual
			}
			var raw [][]byte
			want := c.want
			for _, s := range c.in {
				raw = append(raw, encode(t, s))
				if c.want == nil {
					want = append(want, s.recs...)
				}
			}
			got, forms, next := shapeAll(t, NewShaper(), frame(t, raw...), c.from, c.lim, c.codec)
			same(t, got, want)
			if next != c.next {
				t.Errorf("next %d, want %d", next, c.next)
			}
			if c.forms != nil && fmt.Sprint(forms) != fmt.Sprint(c.forms) {
				t.Errorf("forms %v, want %v", forms, c.forms)
			}
			if c.forms == nil && len(want) > 0 && (len(forms) < 2 || slices.ContainsFunc(forms, func(f Form) bool { return f != FormSplit })) {
				t.Errorf("forms %v, want splits", forms)
			}
		})
	}
}

// Whatever batches a source holds and whatever the limits are, a consumer of the target reads the same records.
func TestShapeAnything(t *testing.T) {
	seen := map[Form]int{}
	shaper := NewShaper() // one for all, so that state left over from one case would show in the next
	for seed := range uint64(1500) {
		r := rand.New(rand.NewPCG(seed, 2))
		var raw [][]byte
		var all []rec
		offset := r.Int64N(1000)
		for range 1 + r.IntN(12) {
			s := source{codec: kgo.CompressionCodecType(r.IntN(5))}
			if seed%2 == 0 {
				s.codec = kgo.CompressionCodecType(seed / 2 % 5)
			}
			s.recs = randomRecs(r, offset, 1+r.IntN(1+r.IntN(60)), 1+r.IntN(600), r.IntN(3) == 0)
			read := s.recs
			end := s.recs[len(s.recs)-1].offset + 1
			if r.IntN(8) == 0 {
				s.base = at(offset)
				end += r.Int64N(6)
				s.last = at(end - 1)
			}
			switch r.IntN(10) {
			case 0:
				s.attributes, s.maxTime = bitLogAppendTime, at(r.Int64N(1<<41))
				read = appended(read, *s.maxTime)
			case 1:
				s.attributes = bitTransactional
			case 2:
				s.attributes, s.baseTime = bitDeleteHorizon, at(r.Int64N(1<<41))
			}
			raw, all = append(raw, encode(t, s)), append(all, read...)
			if r.IntN(12) == 0 { // an emptied batch in between
				raw = append(raw, encode(t, source{base: at(end), last: at(end + 2)}))
				end += 3
			}
			offset = end + r.Int64N(3)*r.Int64N(2)
		}
		from := int64(0)
		if r.IntN(3) == 0 {
			from = all[0].offset + r.Int64N(offset-all[0].offset)
		}
		lim := Limits{Max: 2_000 + r.IntN(40_000), MergeUpTo: r.IntN(40_000), MergeBelow: r.IntN(20_000), MergeCompressedBelow: r.IntN(8_000)}
		codec := Codec(r.IntN(6) - 1)
		name := fmt.Sprintf("seed %d: %d batches from %d, %+v, %s", seed, len(raw), from, lim, codec)
		got, forms, next := shapeAll(t, shaper, frame(t, raw...), from, lim, codec)
		want := slices.DeleteFunc(slices.Clone(all), func(r rec) bool { return r.offset < from })
		if len(got) != len(want) {
			t.Errorf("%s: %d records, want %d", name, len(got), len(want))
		}
		same(t, got, want)
		if next < all[len(all)-1].offset+1 {
			t.Fatalf("%s: next %d", name, next)
		}
		for _, f := range forms {
			seen[f]++
		}
	}
	for _, f := range []Form{FormStamp, FormMerge, FormRecode, FormSplit} {
		if seen[f] < 100 {
			t.Errorf("%s was taken %d times: the test has lost its reach", f, seen[f])
		}
	}
}

// Reading forward must not depend on where a call stops: a caller may come back with any from, as after an error.
func TestShapeAgainFromEarlier(t *testing.T) {
	recs := some(7, 50, 300, 200)
	views := frame(t, encode(t, source{recs: recs, codec: kgo.CodecLz4}))
	s, lim := NewShaper(), Limits{Max: 6_000}
	for i, from := range []int64{50, 120, 60, 349, 50, 51} {
		out, _, err := s.Shape(nil, views, from, lim, KeepCodec)
		if err != nil {
			t.Fatal(err)
		}
		got := check(t, out, Producer{}, lim)
		same(t, got, recs[from-50:][:len(got)])
		if i == 0 && out.Next == 350 {
			t.Fatal("not split")
		}
	}
}

// Fetch buffers are used again: a view is not the one before because it lies in the same place.
func TestShapeMemoryUsedAgain(t *testing.T) {
	one, two := some(8, 10, 200, 100), some(9, 10, 200, 100)
	buf := make([]byte, 100_000)
	s, lim := NewShaper(), Limits{Max: 3_000}
	for range 2 {
		for _, recs := range [][]rec{one, two} {
			v, _, err := Next(buf[:copy(buf, encode(t, source{recs: recs, codec: kgo.CodecLz4}))])
			if err != nil {
				t.Fatal(err)
			}
			got, _, _ := shapeAll(t, s, []View{v}, 0, lim, KeepCodec)
			same(t, got, recs)
		}
	}
}

// A split goes on where it stopped. The bytes that were read are gone here, and nothing looks at them again.
func TestShapeReadsOnce(t *testing.T) {
	recs := some(14, 10, 400, 200)
	for _, codec := range []kgo.CompressionCodecType{kgo.CodecNone, kgo.CodecZstd} {
		raw := encode(t, source{recs: recs, codec: codec})
		v := frame(t, raw)[0]
		s, lim := NewShaper(), Limits{Max: 8_000}
		out, _, err := s.Shape(nil, []View{v}, 0, lim, KeepCodec)
		if err != nil || out.Form != FormSplit {
			t.Fatal(out.Form, err)
		}
		got := check(t, out, Producer{}, lim)
		clear(v.raw[HeaderSize:][:200])
		rest, _, _ := shapeAll(t, s, []View{v}, out.Next, lim, KeepCodec)
		same(t, append(got, rest...), recs)
	}
}

// With buffers that have grown as they must, a merge takes no memory but for its runs, which come in blocks.
func TestShapeAllocations(t *testing.T) {
	for _, codec := range []kgo.CompressionCodecType{kgo.CodecNone, kgo.CodecSnappy, kgo.CodecLz4} {
		var raw [][]byte
		for _, s := range each(orders(0, 100), codec) {
			raw = append(raw, encode(t, s))
		}
		views := frame(t, raw...)
		s, dst := NewShaper(), make([]byte, 0, 1<<20)
		n := testing.AllocsPerRun(50, func() {
			out, used, err := s.Shape(dst, views, 0, usual, KeepCodec)
			if err != nil || used != 100 || out.Form != FormMerge {
				t.Fatal(used, out.Form, err)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", Codec(codec), n)
		}
	}
}

// Compression that makes a batch larger is left out, so cutting by uncompressed size always gives batches that fit.
func TestShapeNoise(t *testing.T) {
	var recs []rec
	noise := randomNoise(40_000)
	for i := range int64(40) {
		recs = append(recs, rec{offset: i, time: i, value: noise[i*1000:][:1000]})
	}
	for codec := Gzip; codec <= Zstd; codec++ {
		views := frame(t, encode(t, source{recs: recs}))
		s, lim := NewShaper(), Limits{Max: 61 + 8*1009} // eight records, to the byte
		out, _, err := s.Shape(nil, views, 0, lim, codec)
		if err != nil || out.Records != 8 || Codec(out.Raw[atAttributes+1]) != None {
			t.Fatalf("%s: %d records in %d bytes, attributes %x, %v", codec, out.Records, len(out.Raw), out.Raw[atAttributes+1], err)
		}
		got, _, _ := shapeAll(t, s, views, 0, lim, codec)
		same(t, got, recs)
	}
}

// A view remembers its source offsets although stamping it writes 0 into its bytes.
func TestShapeAgainAfterStamp(t *testing.T) {
	recs := some(10, 77, 5, 100)
	views := frame(t, encode(t, source{recs: recs}))
	for range 2 {
		got, forms, next := shapeAll(t, NewShaper(), views, 0, usual, None)
		same(t, got, recs)
		if forms[0] != FormStamp || next != 82 || views[0].BaseOffset() != 77 {
			t.Fatalf("%v, next %d, base %d", forms, next, views[0].BaseOffset())
		}
	}
}

func TestShapeLargeRecord(t *testing.T) {
	big := rec{offset: 41, time: 5, value: bytes.Repeat([]byte("0123456789"), 5_000)}
	noise := rec{offset: 41, time: 5, value: randomNoise(50_000)}
	lim := Limits{Max: 10_000, MergeUpTo: 10_000, MergeBelow: 5_000}
	around := some(11, 40, 3, 50)
	for _, c := range []struct {
		story string
		mid   rec
		codec Codec
		fits  bool
	}{
		{"lz4 is enough", big, LZ4, true},
		{"uncompressed batches get gzip, rather than to stop", big, None, true},
		{"nothing helps", noise, None, false},
		{"nothing helps, with a codec", noise, Zstd, false},
	} {
		t.Run(c.story, func(t *testing.T) {
			recs := []rec{around[0], c.mid, around[2]}
			views := frame(t, encode(t, source{recs: recs}))
			s := NewShaper()
			if c.fits {
				got, _, _ := shapeAll(t, s, views, 0, lim, c.codec)
				same(t, got, recs)
				return
			}
			out, used, err := s.Shape(nil, views, 0, lim, c.codec)
			if err != nil || used != 0 || out.Next != 41 {
				t.Fatalf("the record before it: used %d, next %d, %v", used, out.Next, err)
			}
			same(t, check(t, out, Producer{}, lim), recs[:1])
			_, _, err = s.Shape(nil, views, 41, lim, c.codec)
			var tooLarge *TooLargeError
			if !errors.As(err, &tooLarge) || tooLarge.Offset != 41 || tooLarge.Max != 10_000 || tooLarge.Size < 50_000 ||
				err.Error() != fmt.Sprintf("shape record at offset 41: a batch of it alone has %d bytes, the target topic takes 10000 (max.message.bytes)", tooLarge.Size) {
				t.Fatalf("got %v", err)
			}
			got, _, _ := shapeAll(t, s, views, 42, lim, c.codec) // a caller that passes it over goes on
			same(t, got, recs[2:])
		})
	}
}

func randomNoise(n int) []byte {
	r, b := rand.New(rand.NewPCG(1, 1)), make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestFormString(t *testing.T) {
	if got := fmt.Sprint(FormStamp, FormMerge, FormRecode, FormSplit, Form(9), KeepCodec, Codec(7)); got != "stamp merge recode split form(9) producer codec(7)" {
		t.Error(got)
	}
}

func TestShapeRefuses(t *testing.T) {
	ten := some(12, 100, 10, 40)
	holes := without(ten, 103, 105)
	for _, c := range []struct {
		story  string
		in     source
		damage func([]byte)
	}{
		{"a record longer than the batch", source{recs: holes}, func(b []byte) { b[HeaderSize], b[HeaderSize+1] = 0xff, 0x7f }},
		{"one record fewer than the header says", source{recs: holes, codec: kgo.CodecLz4}, func(b []byte) { b[60]++ }},
		{"one record more than the header says", source{recs: holes, codec: kgo.CodecLz4}, func(b []byte) { b[60]-- }},
		{"records beyond the last offset", source{recs: without(ten, 103, 105), codec: kgo.CodecLz4}, func(b []byte) { b[26]-- }},
		{"bytes that are not zstd", source{recs: holes, codec: kgo.CodecZstd}, func(b []byte) { b[HeaderSize]++ }},
		{"bytes that are not gzip", source{recs: holes, codec: kgo.CodecGzip}, func(b []byte) { b[HeaderSize]++ }},
		{"bytes that are not lz4", source{recs: holes, codec: kgo.CodecLz4}, func(b []byte) { b[HeaderSize]++ }},
		{"bytes that are not snappy", source{recs: holes, codec: kgo.CodecSnappy}, func(b []byte) { b[HeaderSize]++ }},
	} {
		t.Run(c.story, func(t *testing.T) {
			raw := encode(t, c.in)
			c.damage(raw)
			v, _, err := Next(raw)
			if err != nil {
				t.Fatal(err)
			}
			out, used, err := NewShaper().Shape(nil, []View{v}, 0, usual, KeepCodec)
			if !errors.Is(err, ErrCorrupt) || used != 0 || !bytes.Contains([]byte(fmt.Sprint(err)), []byte("batch at 100")) {
				t.Fatalf("%d records, used %d, %v", out.Records, used, err)
			}
			// Behind a good batch it is left for the next call.
			good := frame(t, encode(t, source{recs: some(13, 90, 2, 40), codec: c.in.codec}))[0]
			out, used, err = NewShaper().Shape(nil, []View{good, v}, 0, usual, KeepCodec)
			if err != nil || used != 1 || out.Records != 2 || out.Next != 92 {
				t.Fatalf("behind a good one: %d records, used %d, %v", out.Records, used, err)
			}
		})
	}
	control := frame(t, encode(t, source{recs: ten[:1], attributes: bitControl | bitTransactional}))
	if _, _, err := NewShaper().Shape(nil, control, 0, usual, KeepCodec); err == nil {
		t.Error("a control batch was shaped")
	}
}
