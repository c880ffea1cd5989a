package bundle

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
)

// The trailer, the last 92 bytes. Its size, its CRC and its magic stay the same in all versions, so that a reader can tell a
// newer bundle from a damaged one:
//
//	 0  INT64     position of the footer
//	 8  INT32     length of the footer
//	12  32 bytes  SHA-256 of the footer as stored
//	44  32 bytes  digest of the writer's bundle before, zero when there is none
//	76  INT8   1  format version
//	77  3 bytes   zero
//	80  INT32     CRC-32C of the 80 bytes before
//	84  8 bytes   "TDM-END\n"
//
// The digest of the bundle is the SHA-256 of these 92 bytes.
const (
	trailerSize  = 92
	trailerMagic = "TDM-END\n"

	atFooterLength = 8
	atFooterSHA    = 12
	atPrevious     = 44
	atVersion      = 76
	atTrailerCRC   = 80
	atTrailerMagic = 84

	footerLimit = 64 << 20 // of a footer, stored and plain
)

type trailer struct {
	position int64
	length   int64
	sha      Digest
	previous Digest
}

func (t trailer) encode() []byte {
	b := make([]byte, trailerSize)
	binary.BigEndian.PutUint64(b, uint64(t.position))
	binary.BigEndian.PutUint32(b[atFooterLength:], uint32(t.length))
	copy(b[atFooterSHA:], t.sha[:])
	copy(b[atPrevious:], t.previous[:])
	b[atVersion] = version
	binary.BigEndian.PutUint32(b[atTrailerCRC:], crc32.Checksum(b[:atTrailerCRC], castagnoli))
	copy(b[atTrailerMagic:], trailerMagic)
	return b
}

// parseTrailer reads the trailer of an object of so many bytes.
func parseTrailer(b []byte, size int64) (t trailer, err error) {
	switch {
	case len(b) != trailerSize || string(b[atTrailerMagic:]) != trailerMagic:
		return t, damaged("no trailer at the end of %d bytes: cut off, or no bundle", size)
	case binary.BigEndian.Uint32(b[atTrailerCRC:]) != crc32.Checksum(b[:atTrailerCRC], castagnoli):
		return t, damaged("CRC of the trailer differs")
	case b[atVersion] != version || b[77]|b[78]|b[79] != 0:
		return t, fmt.Errorf("format version %d: %w", b[atVersion], ErrNewer)
	}
	t.position = int64(binary.BigEndian.Uint64(b))
	t.length = int64(binary.BigEndian.Uint32(b[atFooterLength:]))
	copy(t.sha[:], b[atFooterSHA:])
	copy(t.previous[:], b[atPrevious:])
	if t.length > footerLimit || t.position < 0 || t.position > size || t.position+t.length+trailerSize != size {
		return t, damaged("footer of %d bytes at %d in an object of %d bytes", t.length, t.position, size)
	}
	return t, nil
}

// ReadDigest reads the digest of a stored bundle from its trailer: whether it is the one that was to be stored there. That its
// bytes are whole it does not say.
func ReadDigest(src io.ReaderAt, size int64) (Digest, error) {
	b := make([]byte, trailerSize)
	if size < trailerSize {
		return Digest{}, fmt.Errorf("read trailer: %w", damaged("an object of %d bytes", size))
	}
	if err := readFull(src, b, size-trailerSize); err != nil {
		return Digest{}, fmt.Errorf("read trailer: %w", err)
	}
	if _, err := parseTrailer(b, size); err != nil {
		return Digest{}, fmt.Errorf("read trailer: %w", err)
	}
	return sha256.Sum256(b), nil
}
