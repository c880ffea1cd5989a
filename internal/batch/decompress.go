package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// maxDecompressed bounds what one batch may decompress to. The largest batch that Kafka can hold is 2 GiB; what brokers
// are configured to take is near 1 MiB, and even 20 MiB of text does not reach this.
const maxDecompressed = 512 << 20

var errTooMuch = errors.New("decompresses to more than is taken")

// decompress replaces the content of dst with src decompressed. dst grows with what comes out, never with what a header
// promises.
func (c *codecs) decompress(dst []byte, codec Codec, src []byte) ([]byte, error) {
	dst = dst[:0]
	switch codec {
	case None:
		return append(dst, src...), nil
	case Gzip:
		return c.decompressGzip(dst, src)
	case Snappy:
		return c.decompressSnappy(dst, src)
	case LZ4:
		return c.decompressLZ4(dst, src)
	case Zstd:
		return c.decompressZstd(dst, src)
	default:
		return dst, fmt.Errorf("no codec %d", codec)
	}
}

func (c *codecs) decompressGzip(dst, src []byte) ([]byte, error) {
	in := bytes.NewReader(src)
	var err error
	if c.gzipReader == nil {
		c.gzipReader, err = gzip.NewReader(in)
	} else {
		err = c.gzipReader.Reset(in)
	}
	if err != nil {
		return dst, err
	}
	dst = slices.Grow(dst, 2*len(src))
	for {
		if len(dst) == cap(dst) {
			dst = slices.Grow(dst, max(4096, len(dst)))
		}
		n, err := c.gzipReader.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		switch {
		case len(dst) > c.most:
			return dst, errTooMuch
		case errors.Is(err, io.EOF):
			return dst, nil
		case err != nil:
			return dst, err
		}
	}
}

// snappyRatio is more than snappy can reach: a tag of two bytes yields at most 64. A block that promises more is a lie.
const snappyRatio = 64

// decompressSnappy reads snappy-java's framing (see compressSnappy) and the raw block that some old clients wrote.
func (c *codecs) decompressSnappy(dst, src []byte) ([]byte, error) {
	if !bytes.HasPrefix(src, xerialHeader[:8]) {
		return c.snappyBlock(dst, src)
	}
	for len(src) > 0 {
		if bytes.HasPrefix(src, xerialHeader[:8]) { // at the start, and between streams that were joined
			if len(src) < len(xerialHeader) {
				return dst, io.ErrUnexpectedEOF
			}
			src = src[len(xerialHeader):]
			continue
		}
		if len(src) < 4 {
			return dst, io.ErrUnexpectedEOF
		}
		n := int64(binary.BigEndian.Uint32(src))
		src = src[4:]
		if n > int64(len(src)) {
			return dst, io.ErrUnexpectedEOF
		}
		var err error
		if dst, err = c.snappyBlock(dst, src[:n]); err != nil {
			return dst, err
		}
		src = src[n:]
	}
	return dst, nil
}

func (c *codecs) snappyBlock(dst, block []byte) ([]byte, error) {
	n, err := s2.DecodedLen(block)
	if err != nil {
		return dst, err
	}
	if n > snappyRatio*len(block) {
		return dst, fmt.Errorf("snappy block of %d bytes claims %d", len(block), n)
	}
	if n > c.most-len(dst) {
		return dst, errTooMuch
	}
	dst = slices.Grow(dst, n)
	out, err := s2.Decode(dst[len(dst):len(dst)+n], block)
	if err != nil {
		return dst, err
	}
	return dst[:len(dst)+len(out)], nil
}

// decompressLZ4 reads one LZ4 frame. Its checksums are passed over: the batch's CRC covers these bytes, and the header
// checksum of Kafka's v0 messages was computed wrongly anyway.
//
//	0 magic int32 LE | 4 flags | 5 block size | [content size 8] | [dictionary id 4] | header checksum 1
//	then blocks: size int32 LE (top bit: not compressed), bytes, [checksum 4]; a size of 0 ends the frame
func (c *codecs) decompressLZ4(dst, src []byte) ([]byte, error) {
	const fixed = 7
	if len(src) < fixed || !bytes.Equal(src[:4], lz4Header[:4]) {
		return dst, errors.New("not an lz4 frame")
	}
	flags, blockMax := src[4], 1<<(8+2*(src[5]>>4&7))
	if flags>>6 != 1 || blockMax < lz4Block || flags&0x01 != 0 {
		return dst, fmt.Errorf("lz4 frame of unknown kind: flags %02x %02x", flags, src[5])
	}
	start := fixed
	if flags&0x08 != 0 {
		start += 8
	}
	linked, checksum := flags&0x20 == 0, 0
	if flags&0x10 != 0 {
		checksum = 4
	}
	for src = src[min(start, len(src)):]; ; {
		if len(src) < 4 {
			return dst, io.ErrUnexpectedEOF
		}
		size := binary.LittleEndian.Uint32(src)
		src = src[4:]
		if size == 0 {
			return dst, nil
		}
		n := int(size &^ lz4Raw)
		if n > blockMax || n+checksum > len(src) {
			return dst, io.ErrUnexpectedEOF
		}
		var err error
		if dst, err = c.lz4Append(dst, src[:n], size&lz4Raw != 0, linked, blockMax); err != nil {
			return dst, err
		}
		src = src[n+checksum:]
	}
}

// lz4Append appends the content of one block. A linked block may refer to the 64 KiB before it.
func (c *codecs) lz4Append(dst, block []byte, raw, linked bool, blockMax int) ([]byte, error) {
	if len(dst) >= c.most {
		return dst, errTooMuch
	}
	if raw {
		return append(dst, block...), nil // no longer than what is there
	}
	room := min(blockMax, c.most-len(dst), 255*len(block)+64) // an LZ4 byte yields at most 255
	dst = slices.Grow(dst, room)
	var dict []byte
	if linked {
		dict = dst[max(0, len(dst)-64<<10):]
	}
	n, err := lz4.UncompressBlockWithDict(block, dst[len(dst):len(dst)+room], dict)
	if err != nil {
		return dst, err
	}
	return dst[:len(dst)+n], nil
}

// zstdAtOnce is how much memory a zstd frame may ask for by the number of its blocks alone.
const zstdAtOnce = 16 << 20

func (c *codecs) decompressZstd(dst, src []byte) ([]byte, error) {
	if c.zstdReader == nil {
		r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true),
			zstd.WithDecoderMaxMemory(uint64(c.most)))
		if err != nil {
			return dst, fmt.Errorf("make zstd decoder: %w", err)
		}
		c.zstdReader = r
	}
	most := min(zstdBound(src), c.most) + 64
	for room := min(most, max(zstdAtOnce, 4*len(src))); ; room = min(most, 4*room) {
		dst = slices.Grow(dst[:0], room)
		out, err := c.zstdReader.DecodeAll(src, dst)
		if !errors.Is(err, zstd.ErrDecoderSizeExceeded) {
			return out, err
		}
		if room == most {
			return dst, errTooMuch
		}
	}
}

// zstdBound is at least what src decompresses to, seen from the headers of its blocks, each of at most 128 KiB.
func zstdBound(src []byte) int {
	const blockMax = 128 << 10
	bound := 0
	for len(src) > 0 {
		var h zstd.Header
		if h.Decode(src) != nil || h.HeaderSize > len(src) {
			return bound // the decoder will not get further either
		}
		if h.Skippable {
			return maxDecompressed // legal, though no client is known to write one; let the decoder judge
		}
		src = src[h.HeaderSize:]
		for last := false; !last; {
			if len(src) < 3 {
				return bound
			}
			header := int(src[0]) | int(src[1])<<8 | int(src[2])<<16
			kind, size := header>>1&3, header>>3
			last = header&1 != 0
			src = src[3:]
			switch kind {
			case 0: // raw
				bound += size
			case 1: // one byte, repeated
				bound, size = bound+size, 1
			default:
				bound += blockMax
			}
			if bound > maxDecompressed || size > len(src) {
				return min(bound, maxDecompressed)
			}
			src = src[size:]
		}
		if h.HasCheckSum {
			src = src[min(4, len(src)):]
		}
	}
	return bound
}
