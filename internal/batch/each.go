package batch

import (
	"encoding/binary"
	"fmt"
)

// Record is one record of a batch, as a reader sees it.
type Record struct {
	Offset     int64
	Timestamp  int64 // the time of append where the batch has that
	Attributes byte
	Body       []byte // key, value and headers, as format v2 has them; good until the Shaper's next batch
}

// Records tells each record of a view, in order, until each returns an error, which is returned as it is. Offsets that do not rise or
// leave the batch, and bytes that are left over, are errors that wrap ErrCorrupt.
func (s *Shaper) Records(v View, each func(Record) error) error {
	if v.empty() {
		return nil
	}
	set, err := s.load(v)
	if err != nil {
		return err
	}
	set.rewind()
	for set.more() {
		r, err := set.read()
		if err != nil {
			return err
		}
		if err := each(Record{Offset: r.offset, Timestamp: r.time, Attributes: r.attributes, Body: r.body}); err != nil {
			return err
		}
	}
	return set.finished()
}

// Plain are the records of a v2 view as they would stand in it without compression. They are good until the Shaper's next batch.
func (s *Shaper) Plain(v View) ([]byte, error) {
	if v.Magic() != 2 {
		return nil, fmt.Errorf("read batch at %d: it has the format v%d", v.base, v.Magic())
	}
	if v.empty() {
		return nil, nil
	}
	set, err := s.load(v)
	if err != nil {
		return nil, err
	}
	return set.data, nil
}

// empty says that the log cleaner left nothing of a compressed batch but its header: there is nothing to decompress.
func (v View) empty() bool { return v.Magic() == 2 && v.Codec() != None && v.Records() == 0 }

// Header is one header of a record.
type Header struct {
	Key   string
	Value []byte // nil: null
}

// Split takes the body apart. A nil key or value is null.
func (r Record) Split() (key, value []byte, headers []Header, err error) {
	bad := func() ([]byte, []byte, []Header, error) {
		return nil, nil, nil, fmt.Errorf("read record: its key, value or headers: %w", ErrCorrupt)
	}
	body, ok := r.Body, true
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
