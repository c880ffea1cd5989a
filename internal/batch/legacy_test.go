package batch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// message encodes one legacy message of the given magic.
func message(magic int8, attributes int8, r rec) []byte {
	var raw []byte
	if magic == 0 {
		raw = (&kmsg.MessageV0{Offset: r.offset, Magic: 0, Attributes: attributes, Key: r.key, Value: r.value}).AppendTo(nil)
	} else {
		raw = (&kmsg.MessageV1{Offset: r.offset, Magic: 1, Attributes: attributes, Timestamp: r.time, Key: r.key, Value: r.value}).AppendTo(nil)
	}
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-12))
	binary.BigEndian.PutUint32(raw[12:], crc32.ChecksumIEEE(raw[16:]))
	return raw
}

// wrapper encodes recs as one compressed message: absolute inner offsets in v0, relative to start in v1.
func wrapper(t testing.TB, magic int8, attributes int8, codec kgo.CompressionCodecType, start, time int64, recs []rec) []byte {
	var inner []byte
	for _, r := range recs {
		if magic == 1 {
			r.offset -= start
		}
		inner = append(inner, message(magic, 0, r)...)
	}
	return message(magic, attributes|int8(codec), rec{offset: recs[len(recs)-1].offset, time: time, value: squeeze(t, codec, inner)})
}

// asLegacy is what a consumer reads of recs kept in the format magic: no headers, in v0 no timestamp.
func asLegacy(magic int8, recs []rec) []rec {
	out := slices.Clone(recs)
	for i := range out {
		out[i].headers = nil
		if magic == 0 {
			out[i].time = -1
		}
	}
	return out
}

func TestShapeLegacy(t *testing.T) {
	const stamp = 1_600_000_000_000
	six := some(3, 500, 6, 80)
	holes := without(six, 500, 502)
	v0, v1 := asLegacy(0, six), asLegacy(1, six)
	var loose0, loose1 [][]byte
	for _, r := range six {
		loose0, loose1 = append(loose0, message(0, 0, r)), append(loose1, message(1, 0, r))
	}
	for _, c := range []struct {
		story string
		raw   [][]byte
		from  int64
		want  []rec
		forms []Form
	}{
		{"v0, loose", loose0, 0, v0, []Form{FormMerge}},
		{"v1, loose", loose1, 0, v1, []Form{FormMerge}},
		{"v0 wrapper whose last message is cut off, as Kafka's reader sees it too",
			[][]byte{message(0, int8(kgo.CodecGzip), rec{offset: 505, value: squeeze(t, kgo.CodecGzip, slices.Concat(slices.Concat(loose0[:5]...), loose0[5][:30]))})},
			0, v0[:5], []Form{FormRecode}},
		{"v1, one", loose1[:1], 0, v1[:1], []Form{FormRecode}},
		{"v1 LogAppendTime, loose: the broker wrote each", [][]byte{message(1, bitLogAppendTime, six[0])}, 0, v1[:1], []Form{FormRecode}},
		{"v0 wrapper", [][]byte{wrapper(t, 0, 0, kgo.CodecGzip, 500, 0, six)}, 0, v0, []Form{FormRecode}},
		{"v0 wrapper, compacted", [][]byte{wrapper(t, 0, 0, kgo.CodecSnappy, 500, 0, holes)}, 0, asLegacy(0, holes), []Form{FormRecode}},
		{"v1 wrapper", [][]byte{wrapper(t, 1, 0, kgo.CodecLz4, 500, stamp, six)}, 0, v1, []Form{FormRecode}},
		{"v1 wrapper, compacted", [][]byte{wrapper(t, 1, 0, kgo.CodecGzip, 500, stamp, holes)}, 0, asLegacy(1, holes), []Form{FormRecode}},
		{"v1 wrapper, LogAppendTime", [][]byte{wrapper(t, 1, bitLogAppendTime, kgo.CodecGzip, 500, stamp, six)}, 0,
			appended(v1, stamp), []Form{FormRecode}},
		{"v1 wrapper, resumed inside", [][]byte{wrapper(t, 1, 0, kgo.CodecGzip, 500, stamp, six)}, 503, v1[3:], []Form{FormRecode}},
		{"wrappers and loose ones", [][]byte{wrapper(t, 0, 0, kgo.CodecGzip, 500, 0, six[:2]), loose1[2], wrapper(t, 1, 0, kgo.CodecLz4, 503, stamp, six[3:])},
			0, append(asLegacy(0, six[:2]), v1[2:]...), []Form{FormMerge}},
	} {
		t.Run(c.story, func(t *testing.T) {
			got, forms, next := shapeAll(t, NewShaper(), frame(t, c.raw...), c.from, usual, None)
			same(t, got, c.want)
			if !slices.Equal(forms, c.forms) || next != 506 && next != c.want[len(c.want)-1].offset+1 {
				t.Errorf("forms %v, next %d", forms, next)
			}
		})
	}
}

func TestShapeLegacyAnything(t *testing.T) {
	s := NewShaper()
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 3))
		var raw [][]byte
		var want []rec
		offset := r.Int64N(1000)
		for range 1 + r.IntN(8) {
			magic := int8(r.IntN(2))
			recs := asLegacy(magic, randomRecs(r, offset, 1+r.IntN(20), 100, r.IntN(2) == 0))
			codec := kgo.CompressionCodecType(r.IntN(4))
			if codec == kgo.CodecNone {
				for _, m := range recs {
					raw = append(raw, message(magic, 0, m))
				}
			} else {
				raw = append(raw, wrapper(t, magic, 0, codec, offset, 1, recs))
			}
			want = append(want, recs...)
			offset = recs[len(recs)-1].offset + 1 + r.Int64N(3)
		}
		lim := Limits{Max: 1_000 + r.IntN(9_000), MergeUpTo: r.IntN(9_000)}
		got, _, _ := shapeAll(t, s, frame(t, raw...), 0, lim, Codec(r.IntN(6)-1))
		same(t, got, want)
	}
}

func TestLegacyView(t *testing.T) {
	r := rec{offset: 42, time: 1234, key: []byte("k"), value: []byte("v")}
	loose := frame(t, message(1, bitLogAppendTime, r))[0]
	if s := fmt.Sprint(loose.Magic(), loose.BaseOffset(), loose.LastOffset(), loose.Records(), loose.Codec(), loose.LogAppendTime(), loose.BaseTimestamp(),
		loose.MaxTimestamp(), loose.ProducerID(), loose.ProducerEpoch(), loose.BaseSequence(), loose.LeaderEpoch(), loose.Control(), loose.Transactional()); s !=
		"1 42 42 1 none true 1234 1234 -1 -1 -1 -1 false false" {
		t.Error(s)
	}
	packed := frame(t, wrapper(t, 0, 0, kgo.CodecGzip, 42, 0, []rec{r}))[0]
	if s := fmt.Sprint(packed.Magic(), packed.Records(), packed.Codec(), packed.BaseTimestamp(), packed.LogAppendTime()); s != "0 -1 gzip -1 false" {
		t.Error(s)
	}
	loose.raw[20]++
	if err := loose.Verify(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("changed byte: %v", err)
	}
}

// Kafka's clients of v0 computed the LZ4 frame's header checksum over the wrong bytes.
func TestLegacyLZ4HeaderChecksum(t *testing.T) {
	recs := asLegacy(0, some(4, 10, 5, 50))
	var inner []byte
	for _, r := range recs {
		inner = append(inner, message(0, 0, r)...)
	}
	packed := squeeze(t, kgo.CodecLz4, inner)
	packed[6] ^= 0x55
	if _, err := lz4.NewReader(&reader{packed}).Read(make([]byte, 10)); err == nil {
		t.Fatal("byte 6 is not the checksum")
	}
	raw := message(0, int8(kgo.CodecLz4), rec{offset: recs[4].offset, value: packed})
	got, _, _ := shapeAll(t, NewShaper(), frame(t, raw), 0, usual, None)
	same(t, got, recs)
}

func TestShapeLegacyRefuses(t *testing.T) {
	six := some(3, 500, 6, 80)
	wrap := func(magic int8, inner []byte) []byte {
		return message(magic, int8(kgo.CodecGzip), rec{offset: 505, value: squeeze(t, kgo.CodecGzip, inner)})
	}
	compressedInner := wrapper(t, 1, 0, kgo.CodecGzip, 500, 0, six)
	for story, raw := range map[string][]byte{
		"a wrapper in a wrapper":            wrap(0, compressedInner),
		"a wrapper of nothing":              wrap(1, nil),
		"an inner offset past the wrapper":  wrap(1, message(1, 0, rec{offset: 506})),
		"inner offsets that fall":           wrap(0, slices.Concat(message(0, 0, six[1]), message(0, 0, six[0]))),
		"an inner value past its message":   wrap(0, func() []byte { b := message(0, 0, six[0]); b[21]++; return b }()),
		"an inner message of negative size": wrap(0, slices.Concat(message(0, 0, six[0]), []byte{0, 0, 0, 0, 0, 0, 1, 0xf6, 0xff, 0xff, 0xff, 0x9c})),
		"not gzip":                          message(1, int8(kgo.CodecGzip), rec{offset: 5, value: []byte("plain")}),
	} {
		_, used, err := NewShaper().Shape(nil, frame(t, raw), 0, usual, None)
		if !errors.Is(err, ErrCorrupt) || used != 0 {
			t.Errorf("%s: used %d, %v", story, used, err)
		}
	}
	if _, _, err := Next(message(1, int8(kgo.CodecZstd), rec{value: []byte{1}})); !errors.Is(err, ErrCorrupt) {
		t.Errorf("zstd in v1: %v", err)
	}
}
