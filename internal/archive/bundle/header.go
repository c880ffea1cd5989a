package bundle

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	"tandem/internal/stream"
)

// The header, in front of the chunks and once more at the beginning of the footer:
//
//	8 bytes  89 54 44 4D 0D 0A 1A 0A   magic: a transfer that turns line ends or cuts the eighth bit breaks it
//	INT8     1                         format version
//	INT8                               flags: 1 encrypted
//	INT32                              length of the header, all of it
//	STRING                             alias of the source cluster
//	STRING                             alias of the target cluster
//	STRING                             cluster id of the source, empty when unknown
//	STRING                             writer
//	INT64                              generation
//	INT64                              sequence
//	INT64                              created at, milliseconds
//	STRING                             id of the key that wrapped the data key (flag 1)
//	BYTES                              wrapped data key (flag 1)
//	INT32                              CRC-32C of all bytes before
const (
	version       = 1
	flagEncrypted = 1

	headerMagic = "\x89TDM\r\n\x1a\n"
	headerFixed = len(headerMagic) + 1 + 1 + 4
	headerLimit = 64 << 10

	nameLimit   = 255 // of an alias, a cluster id, a writer
	keyIDLimit  = 4 << 10
	wrapLimit   = 32 << 10
	numberLimit = 1e10 // of generation and sequence: names have ten digits for each
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Header says what a bundle is of. Its name is made of it.
type Header struct {
	Flow       stream.Flow
	ClusterID  string // of the source; empty when unknown
	Writer     string // who wrote it: letters, digits, '_', '.', '-'; two writers that live at one time never have one name
	Generation int64  // goes up when the writer starts again
	Sequence   int64  // counts the bundles of a generation
	CreatedAt  time.Time

	Encrypted bool   // set by the Writer
	KeyID     string // of the key that wrapped the data key; set by the Writer
	wrapped   []byte
}

// Digest is the SHA-256 that stands for a whole bundle, the zero value for none.
type Digest [32]byte

// String is the digest in hex.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText is the digest in hex, for JSON.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// check refuses a header that has no name, or whose name would not be its own.
func (h Header) check() error {
	ms := h.CreatedAt.UnixMilli()
	switch {
	case h.Flow.Source == "" || len(h.Flow.Source) > nameLimit || len(h.Flow.Target) > nameLimit:
		return fmt.Errorf("flow %q: an alias has 1 to %d bytes", h.Flow, nameLimit)
	case len(h.ClusterID) > nameLimit:
		return fmt.Errorf("cluster id of %d bytes", len(h.ClusterID))
	case h.Writer == "" || len(h.Writer) > nameLimit || strings.ContainsFunc(h.Writer, notPlain):
		return fmt.Errorf("writer %q: letters, digits, '_', '.' and '-' only, at most %d", h.Writer, nameLimit)
	case h.Generation < 0 || h.Generation >= numberLimit || h.Sequence < 0 || h.Sequence >= numberLimit:
		return fmt.Errorf("generation %d, sequence %d: ten digits at most", h.Generation, h.Sequence)
	case ms < 0 || h.CreatedAt.UTC().Year() > 9999:
		return fmt.Errorf("created at %s", h.CreatedAt)
	case len(h.KeyID) > keyIDLimit || len(h.wrapped) > wrapLimit:
		return fmt.Errorf("key id of %d bytes, wrapped key of %d bytes", len(h.KeyID), len(h.wrapped))
	}
	return nil
}

func (h Header) encode() []byte {
	e := &encoder{}
	e.b = append(e.b, headerMagic...)
	e.byte(version)
	e.flag(h.Encrypted)
	e.uint32(0)
	e.string(h.Flow.Source)
	e.string(h.Flow.Target)
	e.string(h.ClusterID)
	e.string(h.Writer)
	e.int64(h.Generation)
	e.int64(h.Sequence)
	e.int64(h.CreatedAt.UnixMilli())
	if h.Encrypted {
		e.string(h.KeyID)
		e.string(string(h.wrapped))
	}
	length := encoder{b: e.b[:headerFixed-4]}
	length.uint32(uint32(len(e.b) + 4))
	e.uint32(crc32.Checksum(e.b, castagnoli))
	return e.b
}

// cutHeader takes the header from the front of b; raw are its bytes.
func cutHeader(b []byte) (h Header, raw, rest []byte, err error) {
	if len(b) < headerFixed || string(b[:len(headerMagic)]) != headerMagic {
		return h, nil, nil, damaged("no header")
	}
	d := &decoder{b: b[len(headerMagic):]}
	v, flags, length := d.byte(), d.byte(), int64(d.uint32())
	if length < int64(headerFixed)+4 || length > headerLimit || length > int64(len(b)) {
		return h, nil, nil, damaged("header of %d bytes", length)
	}
	raw, rest = b[:length:length], b[length:]
	crc := decoder{b: raw[length-4:]}
	if crc.uint32() != crc32.Checksum(raw[:length-4], castagnoli) {
		return h, nil, nil, damaged("CRC of the header differs")
	}
	if v != version || flags&^flagEncrypted != 0 {
		return h, nil, nil, fmt.Errorf("header of version %d, flags %02x: %w", v, flags, ErrNewer)
	}
	d.b = raw[headerFixed : length-4]
	h.Encrypted = flags&flagEncrypted != 0
	h.Flow = stream.Flow{Source: d.string(), Target: d.string()}
	h.ClusterID, h.Writer = d.string(), d.string()
	h.Generation, h.Sequence = d.int64(), d.int64()
	h.CreatedAt = time.UnixMilli(d.int64()).UTC()
	if h.Encrypted {
		h.KeyID = d.string()
		h.wrapped = bytes.Clone(d.bytes(d.number()))
	}
	if err := d.end(); err != nil {
		return h, nil, nil, fmt.Errorf("header: %w", err)
	}
	if err := h.check(); err != nil {
		return h, nil, nil, fmt.Errorf("header: %w: %w", err, ErrCorrupt)
	}
	return h, raw, rest, nil
}
