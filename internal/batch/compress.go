package batch

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// codecs holds the state of encoders and decoders, each made when first needed. Not safe for concurrent use.
type codecs struct {
	most       int // bytes that one batch may decompress to
	gzipWriter *gzip.Writer
	gzipOut    sink
	gzipReader *gzip.Reader
	lz4        lz4.Compressor
	zstdWriter *zstd.Encoder
	zstdReader *zstd.Decoder
}

// sink is a writer that appends.
type sink struct{ b []byte }

func (s *sink) Write(p []byte) (int, error) {
	s.b = append(s.b, p...)
	return len(p), nil
}

// compress appends src, compressed, to dst.
func (c *codecs) compress(dst []byte, codec Codec, src []byte) ([]byte, error) {
	switch codec {
	case None:
		return append(dst, src...), nil
	case Gzip:
		return c.compressGzip(dst, src)
	case Snappy:
		return compressSnappy(dst, src), nil
	case LZ4:
		return c.compressLZ4(dst, src)
	case Zstd:
		return c.compressZstd(dst, src)
	default:
		return dst, fmt.Errorf("compress batch: no codec %d", codec)
	}
}

func (c *codecs) compressGzip(dst, src []byte) ([]byte, error) {
	c.gzipOut.b = dst
	if c.gzipWriter == nil {
		c.gzipWriter = gzip.NewWriter(&c.gzipOut)
	} else {
		c.gzipWriter.Reset(&c.gzipOut)
	}
	_, err := c.gzipWriter.Write(src)
	if err == nil {
		err = c.gzipWriter.Close()
	}
	dst, c.gzipOut.b = c.gzipOut.b, nil
	return dst, err
}

// zstdWindow bounds the encoder's memory and the reader's; batches are seldom larger, so it costs next to nothing.
const zstdWindow = 1 << 20

func (c *codecs) compressZstd(dst, src []byte) ([]byte, error) {
	if c.zstdWriter == nil {
		w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zstdWindow))
		if err != nil {
			return dst, fmt.Errorf("make zstd encoder: %w", err)
		}
		c.zstdWriter = w
	}
	return c.zstdWriter.EncodeAll(src, dst), nil
}

// xerialHeader starts the framing of snappy-java, which Java clients read and write: magic, version 1, compatible
// with 1. Blocks follow, each an int32 length and that many bytes of raw snappy.
var xerialHeader = []byte("\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01")

const xerialBlock = 32 << 10

func compressSnappy(dst, src []byte) []byte {
	dst = append(dst, xerialHeader...)
	for chunk := range slices.Chunk(src, xerialBlock) {
		bound := s2.MaxEncodedLen(len(chunk))
		dst = slices.Grow(dst, 4+bound)
		at := len(dst) + 4
		block := s2.EncodeSnappy(dst[at:at+bound], chunk)
		binary.BigEndian.PutUint32(dst[at-4:at], uint32(len(block)))
		dst = dst[:at+len(block)]
	}
	return dst
}

// lz4Header is the frame header of Java's Kafka client: version 1, independent blocks of up to 64 KiB, no checksums (the
// batch has its own). The last byte is the header's checksum.
var lz4Header = []byte{0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82}

const (
	lz4Block = 64 << 10
	lz4Raw   = 1 << 31 // in a block's size: the block is not compressed
)

func (c *codecs) compressLZ4(dst, src []byte) ([]byte, error) {
	dst = append(dst, lz4Header...)
	for chunk := range slices.Chunk(src, lz4Block) {
		bound := lz4.CompressBlockBound(len(chunk))
		dst = slices.Grow(dst, 4+bound)
		at := len(dst) + 4
		n, err := c.lz4.CompressBlock(chunk, dst[at:at+bound])
		if err != nil {
			return dst, fmt.Errorf("compress lz4 block: %w", err)
		}
		size := uint32(n)
		if n == 0 || n >= len(chunk) {
			n = copy(dst[at:at+len(chunk)], chunk)
			size = uint32(n) | lz4Raw
		}
		binary.LittleEndian.PutUint32(dst[at-4:at], size)
		dst = dst[:at+n]
	}
	return append(dst, 0, 0, 0, 0), nil // end mark
}
