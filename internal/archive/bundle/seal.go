package bundle

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Compression of a chunk as it is stored.
type Compression int8

// The compressions. With Zstd a chunk is compressed if no more than half of its bytes are in batches that their producer compressed,
// and if it becomes smaller by a sixteenth at least; otherwise it is stored as it is.
const (
	None Compression = 0
	Zstd Compression = 1

	zstdLeast  = 128 // bytes of a chunk from which on it is tried
	zstdMargin = 16
	zstdWindow = 8 << 20
)

// String is the name that settings have for it.
func (c Compression) String() string {
	if c == Zstd {
		return "zstd"
	}
	return "none"
}

// ParseCompression reads the name.
func ParseCompression(name string) (Compression, error) {
	switch name {
	case "none":
		return None, nil
	case "zstd":
		return Zstd, nil
	}
	return None, fmt.Errorf("parse compression %q: none or zstd", name)
}

// Both are safe for concurrent use, and hold some memory for each processor.
var (
	zstdEncoder = sync.OnceValues(func() (*zstd.Encoder, error) {
		return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(zstdWindow/2),
			zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
	})
	zstdDecoder = sync.OnceValues(func() (*zstd.Decoder, error) {
		return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(chunkLimit),
			zstd.WithDecodeAllCapLimit(true))
	})
)

// compress appends src, compressed, to dst. ok is false where that is not worth it.
func compress(dst, src []byte) (out []byte, ok bool, err error) {
	enc, err := zstdEncoder()
	if err != nil {
		return dst, false, fmt.Errorf("make zstd encoder: %w", err)
	}
	out = enc.EncodeAll(src, dst)
	return out, len(out)-len(dst) <= len(src)-len(src)/zstdMargin, nil
}

// decompress fills dst, which is as long as what must come out.
func decompress(dst, src []byte) error {
	dec, err := zstdDecoder()
	if err != nil {
		return fmt.Errorf("make zstd decoder: %w", err)
	}
	out, err := dec.DecodeAll(src, dst[:0:len(dst)])
	if err != nil || len(out) != len(dst) {
		return damaged("zstd gives %d bytes, not %d (%v)", len(out), len(dst), err)
	}
	return nil
}

// Keeper wraps data keys with a key that it keeps. Both must be safe for concurrent use.
type Keeper interface {
	// Wrap encrypts a data key so that only Unwrap with the same aad gives it back. keyID names the key that was used, and
	// stands in the bundle for all to see.
	Wrap(ctx context.Context, key, aad []byte) (wrapped []byte, keyID string, err error)

	// Unwrap gives a data key back, also one that was wrapped with an older key. An error that wraps ErrKey says that the key
	// is not to be had; any other one may pass.
	Unwrap(ctx context.Context, keyID string, wrapped, aad []byte) (key []byte, err error)
}

// Each bundle has a data key of its own, made at random, with which nothing but its chunks and its footer are encrypted, each
// once. So the nonce can be a number: it is not stored.
//
//	nonce  INT32 part, INT64 number: part 1 is a chunk, numbered from 0; part 2 the footer, number 0
//	aad    the nonce, the header, and of the footer: the digest of the bundle before, its flags, its plain length
//
// The header is where the name comes from, so what was encrypted for one name does not open under another.
const (
	keySize = 32
	tagSize = 16

	partChunk  = 1
	partFooter = 2
)

// seal encrypts and decrypts the parts of one bundle. The nil seal leaves them plain.
type seal struct {
	aead cipher.AEAD
	head []byte
}

func newSeal(key, head []byte) (*seal, error) {
	if len(key) != keySize {
		return nil, fmt.Errorf("a data key of %d bytes", len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &seal{aead: aead, head: head}, nil
}

// wrapKey makes a data key for the bundle of h, and notes in h how it is wrapped.
func wrapKey(ctx context.Context, k Keeper, h *Header) (key []byte, err error) {
	key = make([]byte, keySize)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	h.Encrypted = true
	h.wrapped, h.KeyID, err = k.Wrap(ctx, key, []byte(Name("", *h)))
	if err != nil {
		return nil, fmt.Errorf("wrap data key: %w", err)
	}
	return key, nil
}

// unwrapKey makes the seal of a stored bundle.
func unwrapKey(ctx context.Context, k Keeper, h Header, head []byte) (*seal, error) {
	if k == nil {
		return nil, fmt.Errorf("it is encrypted with key %q, and no key was given: %w", h.KeyID, ErrKey)
	}
	key, err := k.Unwrap(ctx, h.KeyID, h.wrapped, []byte(Name("", h)))
	if err != nil {
		return nil, fmt.Errorf("unwrap data key with key %q: %w", h.KeyID, err)
	}
	s, err := newSeal(key, head)
	if err != nil {
		return nil, fmt.Errorf("unwrap data key with key %q: %w: %w", h.KeyID, err, ErrKey)
	}
	return s, nil
}

func (s *seal) bind(part uint32, number int, extra []byte) (nonce, aad []byte) {
	aad = make([]byte, 0, 12+len(s.head)+len(extra))
	aad = binary.BigEndian.AppendUint32(aad, part)
	aad = binary.BigEndian.AppendUint64(aad, uint64(number))
	aad = append(append(aad, s.head...), extra...)
	return aad[:12:12], aad
}

// close appends plain, encrypted, to dst; dst may be plain[:0].
func (s *seal) close(dst, plain []byte, part uint32, number int, extra []byte) []byte {
	nonce, aad := s.bind(part, number, extra)
	return s.aead.Seal(dst, nonce, plain, aad)
}

// open appends sealed, decrypted, to dst; dst may be sealed[:0].
func (s *seal) open(dst, sealed []byte, part uint32, number int, extra []byte) ([]byte, error) {
	nonce, aad := s.bind(part, number, extra)
	plain, err := s.aead.Open(dst, nonce, sealed, aad)
	if err != nil {
		return nil, fmt.Errorf("%w, or its header was exchanged", ErrKey)
	}
	return plain, nil
}

var errFinished = errors.New("the bundle is finished")
