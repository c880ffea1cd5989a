// Package records reads the records of a record batch one by one, decompressed, with the offsets and timestamps that they have at the
// source. It is pure.
//
// In comes a batch.View whose CRC was checked; out come its records, or all of them as the bytes that the batch would hold without
// compression. Compressed batches and old message formats are taken apart by batch.Shaper.
//
// Not guaranteed: keys, values and headers are passed on as they stand; Split takes them apart.
package records

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"tandem/internal/batch"
)

// Where the fields of a batch stand that are read here; package batch has the table.
const (
	atAttributes      = 21
	atLastOffsetDelta = 23

	codecBits = 0x07
)

// errOdd says that a batch is well formed as far as its header goes, and cannot be taken apart.
var errOdd = errors.New("it has more offsets than can be counted")

// Record is one record.
type Record struct {
	Offset     int64
	Timestamp  int64 // as a reader is given it: the time of append where the batch has that
	Attributes byte
	Body       []byte // key, value and headers, as format v2 has them; good until the reader's next batch
}

// Reader reads batches, and keeps memory from one to the next. It is not safe for concurrent use.
type Reader struct {
	shaper *batch.Shaper
	forged []byte // a batch with a header of ours
	plain  []byte
}

// NewReader makes a Reader.
func NewReader() *Reader { return &Reader{shaper: batch.NewShaper()} }

// set are the records of a batch, uncompressed.
type set struct {
	data   []byte
	count  int
	base   int64       // offset that deltas count from; without meaning where there are runs
	time   int64       // timestamp that deltas count from
	runs   []batch.Run // offsets of the records, where the deltas do not tell them
	append bool        // every record has timestamp most
	most   int64
	last   int64
}

// load makes the records of a batch readable.
func (r *Reader) load(v batch.View) (s set, err error) {
	s = set{base: v.BaseOffset(), time: v.BaseTimestamp(), most: v.MaxTimestamp(), last: v.LastOffset(), count: int(v.Records())}
	if v.Magic() == 2 && v.Codec() == batch.None {
		s.data, s.append = v.Bytes()[batch.HeaderSize:], v.LogAppendTime()
		return s, nil
	}
	if v.Magic() == 2 {
		if s.append = v.LogAppendTime(); s.count == 0 {
			return s, nil
		}
		if v, err = r.forge(v); err != nil {
			return s, err
		}
	}
	out, _, err := r.shaper.Shape(r.plain, []batch.View{v}, 0, batch.Limits{Max: math.MaxInt}, batch.None)
	if err != nil {
		return s, err
	}
	if s.count = int(out.Records); s.count == 0 {
		return s, nil
	}
	if r.plain = out.Raw; cap(r.plain) > keepScratch {
		r.plain = nil
	}
	rebuilt, _, err := batch.Next(out.Raw)
	if err != nil {
		return s, err
	}
	s.data, s.time, s.runs = out.Raw[batch.HeaderSize:], rebuilt.BaseTimestamp(), out.Runs
	return s, nil
}

// keepScratch is the most memory that is kept from one batch to the next.
const keepScratch = 32 << 20

// forge makes a batch of the same records that Shape must take apart, since it claims an offset more than it has records for, and
// whose timestamps are those that stand in the records.
func (r *Reader) forge(v batch.View) (batch.View, error) {
	if cap(r.forged) > keepScratch {
		r.forged = nil
	}
	r.forged = append(r.forged[:0], v.Bytes()...)
	delta := v.LastOffset() - v.BaseOffset()
	if delta == math.MaxInt32 {
		return v, fmt.Errorf("read batch at %d: %w", v.BaseOffset(), errOdd)
	}
	binary.BigEndian.PutUint16(r.forged[atAttributes:], uint16(v.Codec()&codecBits))
	binary.BigEndian.PutUint32(r.forged[atLastOffsetDelta:], uint32(delta+1))
	v, _, err := batch.Next(r.forged)
	return v, err
}

// Each tells each record of a batch, in order, until each returns an error. Offsets that do not rise, or leave the batch, and bytes
// that are left over are errors.
func (r *Reader) Each(v batch.View, each func(Record) error) error {
	s, err := r.load(v)
	if err != nil {
		return err
	}
	return s.each(v, func(rec raw) error {
		at := s.time + rec.time
		if s.append {
			at = s.most
		}
		return each(Record{Offset: rec.offset, Timestamp: at, Attributes: rec.attributes, Body: rec.body})
	})
}

// Plain are the records of a v2 batch as they would stand in it without compression: their offsets and timestamps count from the
// batch's own. They are good until the reader's next batch.
func (r *Reader) Plain(v batch.View) ([]byte, error) {
	if v.Magic() != 2 {
		return nil, fmt.Errorf("read batch at %d: it has the format v%d", v.BaseOffset(), v.Magic())
	}
	s, err := r.load(v)
	if err != nil || len(s.runs) == 0 {
		return s.data, err
	}
	if len(s.runs) == 1 && s.runs[0].First == v.BaseOffset() && s.time == v.BaseTimestamp() {
		return s.data, nil
	}
	var out []byte
	err = s.each(v, func(rec raw) error {
		dt := s.time + rec.time - v.BaseTimestamp()
		do := rec.offset - v.BaseOffset()
		n := 1 + size(dt) + size(do) + len(rec.body)
		out = binary.AppendVarint(out, int64(n))
		out = append(out, rec.attributes)
		out = binary.AppendVarint(binary.AppendVarint(out, dt), do)
		out = append(out, rec.body...)
		return nil
	})
	return out, err
}

func size(v int64) int {
	var b [binary.MaxVarintLen64]byte
	return binary.PutVarint(b[:], v)
}

// raw is a record as it stands in a set.
type raw struct {
	offset     int64
	time       int64 // less the set's
	attributes byte
	body       []byte
}

func (s *set) each(v batch.View, each func(raw) error) error {
	fail := func(i int, what string) error {
		return fmt.Errorf("read batch at %d: record %d of %d: %s: %w", v.BaseOffset(), i, s.count, what, batch.ErrCorrupt)
	}
	b, prev, run, nth := s.data, int64(-1), 0, int32(0)
	for i := range s.count {
		length, n := binary.Varint(b)
		if n <= 0 || length < 6 || length > int64(len(b)-n) {
			return fail(i, "its length")
		}
		in := b[n : n+int(length)]
		b = b[n+int(length):]
		dt, nt := binary.Varint(in[1:])
		if nt <= 0 {
			return fail(i, "its timestamp")
		}
		do, no := binary.Varint(in[1+nt:])
		if no <= 0 || 1+nt+no+3 > len(in) {
			return fail(i, "its offset")
		}
		rec := raw{offset: s.base + do, time: dt, attributes: in[0], body: in[1+nt+no:]}
		if len(s.runs) > 0 {
			if nth == s.runs[run].Count {
				run, nth = run+1, 0
			}
			rec.offset = s.runs[run].First + int64(nth)
			nth++
		}
		if rec.offset <= prev || v.Magic() == 2 && (rec.offset < v.BaseOffset() || rec.offset > s.last) {
			return fail(i, fmt.Sprintf("offset %d after %d in a batch of %d to %d", rec.offset, prev, v.BaseOffset(), s.last))
		}
		prev = rec.offset
		if err := each(rec); err != nil {
			return err
		}
	}
	if len(b) != 0 {
		return fail(s.count, fmt.Sprintf("%d bytes behind the last one", len(b)))
	}
	return nil
}

// Header is one header of a record.
type Header struct {
	Key   string
	Value []byte // nil: null
}

// Split takes the body of a record apart. A nil key or value is null.
func Split(body []byte) (key, value []byte, headers []Header, err error) {
	bad := func() ([]byte, []byte, []Header, error) {
		return nil, nil, nil, fmt.Errorf("read record: its key, value or headers: %w", batch.ErrCorrupt)
	}
	ok := true
	next := func() []byte {
		n, w := binary.Varint(body)
		if w <= 0 || n < -1 || n > int64(len(body)-w) {
			ok = false
			return nil
		}
		if body = body[w:]; n < 0 {
			return nil
		}
		v := body[:n:n]
		body = body[n:]
		return v
	}
	key, value = next(), next()
	n, w := binary.Varint(body)
	if !ok || w <= 0 || n < 0 || n > int64(len(body)-w)/2 {
		return bad()
	}
	body = body[w:]
	for range n {
		h := Header{Key: string(next()), Value: next()}
		if !ok {
			return bad()
		}
		headers = append(headers, h)
	}
	if len(body) != 0 {
		return bad()
	}
	return key, value, headers, nil
}
