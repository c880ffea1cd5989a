package batch

import (
	"bytes"
	stdgzip "compress/gzip"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/snappy/xerial"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

type reader struct{ b []byte }

func (r *reader) Read(p []byte) (int, error) {
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.b)
	r.b = r.b[n:]
	return n, nil
}

// contents are what is compressed in these tests: sizes at and around the block sizes of the framings.
func contents() [][]byte {
	r := rand.New(rand.NewPCG(1, 4))
	var out [][]byte
	for _, n := range []int{1, 17, 1000, 32 << 10, 32<<10 + 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 300_000} {
		noise := make([]byte, n)
		for i := range noise {
			noise[i] = byte(r.Uint32())
		}
		text := bytes.Repeat([]byte("{\"id\":17,\"name\":\"somebody\"},"), n/20+1)[:n]
		out = append(out, noise, text, make([]byte, n))
	}
	return out
}

func roomy() *codecs { return &codecs{most: maxDecompressed} }

// What is compressed here, others read.
func TestCompress(t *testing.T) {
	c := roomy()
	for codec, read := range map[Codec]func([]byte) ([]byte, error){
		Gzip: func(b []byte) ([]byte, error) {
			r, err := stdgzip.NewReader(bytes.NewReader(b))
			if err != nil {
				return nil, err
			}
			return io.ReadAll(r)
		},
		Snappy: func(b []byte) ([]byte, error) {
			if !bytes.HasPrefix(b, []byte("\x82SNAPPY\x00")) {
				return nil, errors.New("not the framing that Java reads")
			}
			return xerial.Decode(b)
		},
		LZ4: func(b []byte) ([]byte, error) { return io.ReadAll(lz4.NewReader(bytes.NewReader(b))) },
		Zstd: func(b []byte) ([]byte, error) {
			r, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderMaxWindow(zstdWindow))
			if err != nil {
				return nil, err
			}
			defer r.Close()
			return io.ReadAll(r)
		},
	} {
		for i, want := range contents() {
			prefix := []byte("kept")
			packed, err := c.compress(prefix, codec, want)
			if err != nil || !bytes.HasPrefix(packed, prefix) {
				t.Fatalf("%s %d: %v", codec, i, err)
			}
			if got, err := read(packed[4:]); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s %d: %d bytes of %d: %v", codec, i, len(got), len(want), err)
			}
			if got, err := c.decompress(nil, codec, packed[4:]); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s %d, read back: %d bytes of %d: %v", codec, i, len(got), len(want), err)
			}
		}
	}
}

// What others compress, in the ways that clients of Kafka do, is read here.
func TestDecompress(t *testing.T) {
	lz4With := func(opts ...lz4.Option) func([]byte) []byte {
		return func(b []byte) []byte {
			var out bytes.Buffer
			w := lz4.NewWriter(&out)
			if err := w.Apply(opts...); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(b); err != nil || w.Close() != nil {
				t.Fatal(err)
			}
			return out.Bytes()
		}
	}
	zstdStream := func(b []byte) []byte { // no content size in the header, as zstd-jni's stream writes
		var out bytes.Buffer
		w, err := zstd.NewWriter(&out, zstd.WithEncoderCRC(true))
		if err != nil {
			t.Fatal(err)
		}
		for len(b) > 0 {
			n, err := w.Write(b[:min(len(b), 10_000)])
			if err != nil {
				t.Fatal(err)
			}
			b = b[n:]
		}
		w.Close()
		return out.Bytes()
	}
	c := roomy()
	for _, k := range []struct {
		story string
		codec Codec
		pack  func([]byte) []byte
	}{
		{"lz4, blocks of 64 KiB", LZ4, lz4With(lz4.BlockSizeOption(lz4.Block64Kb))},
		{"lz4, blocks of 4 MiB, all checksums", LZ4, lz4With(lz4.BlockSizeOption(lz4.Block4Mb), lz4.BlockChecksumOption(true), lz4.ChecksumOption(true))},
		{"lz4, content size", LZ4, func(b []byte) []byte { return lz4With(lz4.SizeOption(uint64(len(b))))(b) }},
		{"lz4, high compression", LZ4, lz4With(lz4.CompressionLevelOption(lz4.Level9))},
		{"snappy, raw block", Snappy, func(b []byte) []byte { return literalSnappy(b) }},
		{"snappy, framed", Snappy, func(b []byte) []byte { return xerial.Encode(nil, b) }},
		{"snappy, two framed streams", Snappy, func(b []byte) []byte {
			return append(xerial.Encode(nil, b[:len(b)/2]), xerial.Encode(nil, b[len(b)/2:])...)
		}},
		{"zstd, stream", Zstd, zstdStream},
		{"zstd, two frames", Zstd, func(b []byte) []byte { return append(zstdStream(b[:len(b)/2]), zstdStream(b[len(b)/2:])...) }},
	} {
		for i, want := range contents() {
			if got, err := c.decompress(nil, k.codec, k.pack(want)); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s, %d: %d bytes of %d: %v", k.story, i, len(got), len(want), err)
			}
		}
	}
}

// literalSnappy is b as a raw snappy block that compresses nothing.
func literalSnappy(b []byte) []byte {
	var out []byte
	for n := len(b); ; n >>= 7 { // length, then literals of up to 60 bytes
		if n < 0x80 {
			out = append(out, byte(n))
			break
		}
		out = append(out, byte(n)|0x80)
	}
	for len(b) > 0 {
		n := min(60, len(b))
		out = append(append(out, byte(n-1)<<2), b[:n]...)
		b = b[n:]
	}
	return out
}

// A linked block copies from the one before: here 8 bytes from 8 back, then 5 literals.
func TestDecompressLinkedLZ4(t *testing.T) {
	frame := []byte{0x04, 0x22, 0x4d, 0x18, 0x40, 0x40, 0xc0}
	frame = append(frame, 8, 0, 0, 0x80)
	frame = append(frame, "abcdefgh"...)
	frame = append(frame, 9, 0, 0, 0, 0x04, 8, 0, 0x50)
	frame = append(frame, "ijklm"...)
	frame = append(frame, 0, 0, 0, 0)
	got, err := roomy().decompress(nil, LZ4, frame)
	if err != nil || string(got) != "abcdefghabcdefghijklm" {
		t.Fatalf("%q, %v", got, err)
	}
}

// A batch that decompresses to more than is taken is refused, and memory stays near what is taken.
func TestDecompressBomb(t *testing.T) {
	const most = 1 << 20
	bomb := make([]byte, 8<<20)
	for _, codec := range []Codec{Gzip, Snappy, LZ4, Zstd} {
		packed, err := roomy().compress(nil, codec, bomb)
		if err != nil {
			t.Fatal(err)
		}
		c := &codecs{most: most}
		got, err := c.decompress(nil, codec, packed)
		if err == nil || cap(got) > 4*most {
			t.Errorf("%s: %d bytes, room for %d: %v", codec, len(got), cap(got), err)
		}
		packed, _ = c.compress(nil, codec, bomb[:most])
		if got, err := c.decompress(nil, codec, packed); err != nil || len(got) != most {
			t.Errorf("%s, as much as is taken: %d bytes, %v", codec, len(got), err)
		}
	}
}

// Text that compresses several hundredfold is no bomb.
func TestDecompressFar(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789abcdef"), 40<<20/16)
	for _, codec := range []Codec{Gzip, Zstd} {
		packed, err := roomy().compress(nil, codec, want)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := roomy().decompress(nil, codec, packed); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s, %d bytes: %d of %d, %v", codec, len(packed), len(got), len(want), err)
		}
	}
}

// Headers that promise much are not believed.
func TestDecompressLies(t *testing.T) {
	for _, c := range []struct {
		story string
		codec Codec
		b     []byte
	}{
		{"snappy block of 256 MiB", Snappy, []byte{0x80, 0x80, 0x80, 0x80, 0x01, 0, 'x'}},
		{"framed snappy block beyond the end", Snappy, append(bytes.Clone(xerialHeader), 0x7f, 0xff, 0xff, 0xff, 1, 0, 'x')},
		{"framed snappy, length cut off", Snappy, append(bytes.Clone(xerialHeader), 0, 0)},
		{"snappy header cut off", Snappy, xerialHeader[:9]},
		{"zstd frame of 400 MiB", Zstd, []byte{0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 0x19, 0x09, 0, 0, 'x'}},
		{"zstd frame cut off", Zstd, []byte{0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0}},
		{"lz4 block beyond the end", LZ4, append(bytes.Clone(lz4Header), 0xff, 0xff, 0, 0, 1)},
		{"lz4 frame without an end", LZ4, lz4Header},
		{"lz4 frame of a dictionary", LZ4, []byte{0x04, 0x22, 0x4d, 0x18, 0x61, 0x40, 0, 0, 0, 0, 0, 0}},
		{"empty gzip", Gzip, nil},
	} {
		got, err := roomy().decompress(nil, c.codec, c.b)
		if err == nil || cap(got) > 1<<20 {
			t.Errorf("%s: %d bytes, room for %d: %v", c.story, len(got), cap(got), err)
		}
	}
}
