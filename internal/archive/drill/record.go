package drill

import (
	"encoding/binary"
	"hash/maphash"

	"tandem/internal/batch"
)

// Record is what is compared of a record.
type Record struct {
	Offset    int64 // where it was read
	Timestamp int64
	Key       uint64
	Value     uint64
	Headers   uint64
	Keyed     bool // it has a key
	Tombstone bool // its value is null
	Unwanted  bool // of an archived one: a restore leaves it out
}

var seed = maphash.MakeSeed()

// Read takes the records out of a batch; transaction markers are none.
func Read(s *batch.Shaper, v batch.View, each func(r Record, bytes int) error) error {
	if v.Control() {
		return nil
	}
	return s.Records(v, func(r batch.Record) error {
		key, value, headers, err := r.Split()
		if err != nil {
			return err
		}
		return each(Record{Offset: r.Offset, Timestamp: r.Timestamp, Key: digest(key), Value: digest(value), Headers: digestAll(headers),
			Keyed: key != nil, Tombstone: value == nil}, len(r.Body))
	})
}

// digest tells null from empty.
func digest(b []byte) uint64 {
	if b == nil {
		return 0
	}
	return maphash.Bytes(seed, b) | 1
}

func digestAll(headers []batch.Header) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	var n [16]byte
	for _, x := range headers {
		length := int64(-1)
		if x.Value != nil {
			length = int64(len(x.Value))
		}
		binary.BigEndian.PutUint64(n[:8], uint64(len(x.Key)))
		binary.BigEndian.PutUint64(n[8:], uint64(length))
		_, _ = h.Write(n[:]) // a hash takes all
		_, _ = h.WriteString(x.Key)
		_, _ = h.Write(x.Value)
	}
	return h.Sum64()
}

// differs names what two records do not have in common; empty where they are equal.
func (r Record) differs(o Record, times bool) string {
	switch {
	case r.Key != o.Key || r.Keyed != o.Keyed:
		return "key"
	case r.Value != o.Value || r.Tombstone != o.Tombstone:
		return "value"
	case r.Headers != o.Headers:
		return "headers"
	case times && r.Timestamp != o.Timestamp:
		return "timestamp"
	}
	return ""
}
