package batch

import (
	"encoding/binary"
	"hash/crc32"
	"math"
)

// Sieve makes a v2 batch of those records of v that keep says, at the offsets and with the timestamps that a reader of v sees. It is
// not transactional and has no leader epoch; its codec is that of v, unless compression would make it larger. raw is nil where no
// record is kept.
func (s *Shaper) Sieve(v View, keep func(offset, timestamp int64) bool) (raw []byte, records int32, err error) {
	if v.Control() {
		return nil, 0, corrupt("sieve", v.base, "a control batch")
	}
	set, err := s.load(v)
	if err != nil {
		return nil, 0, err
	}
	set.rewind()
	b := newBuilder(s.build, s.runs)
	first, last := int64(0), int64(-1)
	for set.more() {
		r, err := set.read()
		if err != nil {
			return nil, 0, err
		}
		if !keep(r.offset, r.time) {
			continue
		}
		if b.count == 0 {
			first, b.base, b.max = r.offset, r.time, r.time
		}
		last = r.offset
		b.max = max(b.max, r.time)
		b.buf = appendRecord(b.buf, r, r.time-b.base, r.offset-first)
		b.count++
	}
	s.build, s.runs = release(b.buf), b.runs
	if err := set.finished(); err != nil || b.count == 0 {
		return nil, 0, err
	}
	as := v.Codec()
	if as == None {
		raw = append([]byte(nil), b.buf...)
		b.header(raw, None)
	} else if raw, err = s.compress(nil, &b, as); err != nil {
		return nil, 0, err
	}
	place(raw, first, last)
	return raw, b.count, nil
}

func appendRecord(buf []byte, r record, dt, do int64) []byte {
	n := 1 + varintSize(dt) + varintSize(do) + len(r.body)
	buf = binary.AppendVarint(buf, int64(n))
	buf = append(buf, r.attributes)
	buf = binary.AppendVarint(buf, dt)
	buf = binary.AppendVarint(buf, do)
	return append(buf, r.body...)
}

// place writes the offsets that a batch covers, and its CRC.
func place(raw []byte, first, last int64) {
	binary.BigEndian.PutUint64(raw, uint64(first))
	binary.BigEndian.PutUint32(raw[atLastOffsetDelta:], uint32(last-first))
	binary.BigEndian.PutUint32(raw[atCRC:], crc32.Checksum(raw[atAttributes:], castagnoli))
}

// AppendEmpty appends batches without records that cover the offsets from first through last, as the log cleaner leaves them
// behind: whoever reads them is moved on.
func AppendEmpty(dst []byte, first, last int64) []byte {
	for first <= last {
		end := min(last, first+math.MaxInt32-1)
		at := len(dst)
		var header [HeaderSize]byte
		dst = append(dst, header[:]...)
		b := builder{base: -1, max: -1}
		b.header(dst[at:], None)
		place(dst[at:], first, end)
		first = end + 1
	}
	return dst
}

// ForgetLeader sets the leader epoch of a v2 batch to -1, in place: the CRC does not cover it.
func (v View) ForgetLeader() {
	if v.Magic() == 2 {
		binary.BigEndian.PutUint32(v.raw[atLeaderEpoch:], math.MaxUint32)
	}
}
