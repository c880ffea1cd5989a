package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"tandem/internal/stream"
)

var (
	errShort   = errors.New("too short")
	errLong    = errors.New("more than 32767 bytes")
	errBytes   = errors.New("bytes after the last field")
	errVersion = errors.New("written by a newer Tandem; upgrade this one")
	errKind    = errors.New("not a record of this kind")
)

// appendString writes a STRING: INT16 byte length and UTF-8.
func appendString(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

func fits(strings ...string) error {
	for _, s := range strings {
		if len(s) > math.MaxInt16 {
			return errLong
		}
	}
	return nil
}

// reader takes bytes apart. After the first mistake it gives zeros, and err says what was wrong.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.rest = nil
}

func (r *reader) take(n int) []byte {
	if n < 0 || len(r.rest) < n {
		r.fail(errShort)
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) int8() int8 {
	if b := r.take(1); b != nil {
		return int8(b[0])
	}
	return 0
}

func (r *reader) int16() int16 {
	if b := r.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *reader) int32() int32 {
	if b := r.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (r *reader) int64() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (r *reader) string() string {
	n := int(r.int16())
	if n < 0 {
		r.fail(fmt.Errorf("negative length %d", n))
	}
	return string(r.take(n))
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail(errShort)
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.fail(errShort)
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// count reads how many items follow, each of which has at least so many bytes: more than there is room for are a mistake,
// found before memory is taken for them.
func (r *reader) count(least int) int {
	n := r.uvarint()
	if n > uint64(len(r.rest)/least) {
		r.fail(errShort)
		return 0
	}
	return int(n)
}

// after reads a partition number that follows another, -1 for the first.
func (r *reader) after(before int32) int32 {
	n := r.uvarint()
	if n > math.MaxInt32 || int64(before)+1+int64(n) > math.MaxInt32 {
		r.fail(fmt.Errorf("partition number out of range"))
		return 0
	}
	return before + 1 + int32(n)
}

func appendAfter(b []byte, number, before int32) []byte {
	return binary.AppendUvarint(b, uint64(number-before-1))
}

// end says what was wrong, bytes that are left over included.
func (r *reader) end() error {
	if r.err == nil && len(r.rest) > 0 {
		return errBytes
	}
	return r.err
}

// version reads the version byte of a value of Tandem's.
func (r *reader) version() {
	switch v := r.int8(); {
	case r.err != nil, v == stream.TandemVersion:
	case v > stream.TandemVersion:
		r.fail(errVersion)
	default:
		r.fail(fmt.Errorf("version %d", v))
	}
}

// tandemKey is the key of a record of Tandem's own that has a name: of a topic, or of a group.
func tandemKey(kind byte, name string) []byte {
	return appendString([]byte{stream.TandemVersion, kind}, name)
}

// nameIn is the name in a key of that kind.
func nameIn(key []byte, kind byte) (string, error) {
	if len(key) < 2 || key[1] != kind {
		return "", errKind
	}
	r := reader{rest: key}
	r.version()
	r.int8()
	name := r.string()
	return name, r.end()
}
