package bundle

import (
	"encoding/binary"
	"math"
)

// encoder appends the types of which header, footer and events are made; docs/archive-format.md has the table.
type encoder struct{ b []byte }

func (e *encoder) byte(v byte)     { e.b = append(e.b, v) }
func (e *encoder) raw(v []byte)    { e.b = append(e.b, v...) }
func (e *encoder) number(v int64)  { e.b = binary.AppendUvarint(e.b, uint64(v)) }
func (e *encoder) signed(v int64)  { e.b = binary.AppendVarint(e.b, v) }
func (e *encoder) uint32(v uint32) { e.b = binary.BigEndian.AppendUint32(e.b, v) }
func (e *encoder) int64(v int64)   { e.b = binary.BigEndian.AppendUint64(e.b, uint64(v)) }

func (e *encoder) string(v string) {
	e.number(int64(len(v)))
	e.b = append(e.b, v...)
}

func (e *encoder) flag(v bool) {
	if v {
		e.byte(1)
	} else {
		e.byte(0)
	}
}

// decoder takes them apart again. After the first error it gives zeros, so that one look at err is enough.
type decoder struct {
	b     []byte
	err   error
	names map[string]string // equal strings of a footer share their bytes
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = damaged("%s at %d bytes before the end", what, len(d.b))
	}
	d.b = nil
}

// bytes are the next n bytes; they alias the input.
func (d *decoder) bytes(n int64) []byte {
	if d.err != nil || n < 0 || n > int64(len(d.b)) {
		d.fail("bytes missing")
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) byte() byte {
	if v := d.bytes(1); v != nil {
		return v[0]
	}
	return 0
}

func (d *decoder) uint32() uint32 {
	if v := d.bytes(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

func (d *decoder) int64() int64 {
	if v := d.bytes(8); v != nil {
		return int64(binary.BigEndian.Uint64(v))
	}
	return 0
}

// number is a UVARINT that fits into an int64.
func (d *decoder) number() int64 {
	v, n := binary.Uvarint(d.b)
	if d.err != nil || n <= 0 || v > math.MaxInt64 {
		d.fail("bad number")
		return 0
	}
	d.b = d.b[n:]
	return int64(v)
}

func (d *decoder) signed() int64 {
	v, n := binary.Varint(d.b)
	if d.err != nil || n <= 0 {
		d.fail("bad number")
		return 0
	}
	d.b = d.b[n:]
	return v
}

// int32 is a UVARINT that fits into an int32.
func (d *decoder) int32() int32 {
	v := d.number()
	if v > math.MaxInt32 {
		d.fail("number too large")
		return 0
	}
	return int32(v)
}

// signed32 is a VARINT that fits into an int32.
func (d *decoder) signed32() int32 {
	v := d.signed()
	if v < math.MinInt32 || v > math.MaxInt32 {
		d.fail("number too large")
		return 0
	}
	return int32(v)
}

// signed16 is a VARINT that fits into an int16.
func (d *decoder) signed16() int16 {
	v := d.signed()
	if v < math.MinInt16 || v > math.MaxInt16 {
		d.fail("number too large")
		return 0
	}
	return int16(v)
}

// count is the number of things to come, each of which takes at least so many bytes: memory may be taken for them.
func (d *decoder) count(least int) int {
	n := d.number()
	if n > int64(len(d.b)/least) {
		d.fail("more things than bytes")
		return 0
	}
	return int(n)
}

func (d *decoder) string() string {
	b := d.bytes(d.number())
	if len(b) == 0 {
		return ""
	}
	if s, ok := d.names[string(b)]; ok {
		return s
	}
	s := string(b)
	if d.names == nil {
		d.names = make(map[string]string)
	}
	d.names[s] = s
	return s
}

func (d *decoder) flag() bool {
	v := d.byte()
	if v > 1 {
		d.fail("bad flag")
	}
	return v == 1
}

// list reads a count and so many things.
func list[T any](d *decoder, least int, one func(*decoder) T) []T {
	n := d.count(least)
	if n == 0 {
		return nil
	}
	out := make([]T, 0, n)
	for range n {
		if d.err != nil {
			return nil
		}
		out = append(out, one(d))
	}
	return out
}

// end says whether all bytes were taken, without an error before.
func (d *decoder) end() error {
	if d.err == nil && len(d.b) != 0 {
		d.fail("bytes left over")
	}
	return d.err
}
