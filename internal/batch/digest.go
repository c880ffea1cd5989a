package batch

import (
	"encoding/binary"
	"hash/maphash"
)

// digestSeed is one for the process: digests are compared, never kept.
var digestSeed = maphash.MakeSeed()

// Digests tells each record of a view, from an offset on, by a digest of its timestamp, key, value and headers, until each
// returns false. Two records that a reader takes for equal have equal digests, whatever batches they stand in.
func (s *Shaper) Digests(v View, from int64, each func(offset int64, digest uint64) bool) error {
	set, err := s.load(v)
	if err != nil {
		return err
	}
	set.rewind()
	var h maphash.Hash
	h.SetSeed(digestSeed)
	for set.more() {
		r, err := set.read()
		if err != nil {
			return err
		}
		if r.offset < from {
			continue
		}
		h.Reset()
		var t [8]byte
		binary.BigEndian.PutUint64(t[:], uint64(r.time))
		_, _ = h.Write(t[:]) // it never fails
		_, _ = h.Write(r.body)
		if !each(r.offset, h.Sum64()) {
			return nil
		}
	}
	return set.finished()
}

// Offsets tells the offset of each record of a view, from an offset on, until each returns false. Only a view with holes has
// to be asked: of any other its header says it.
func (s *Shaper) Offsets(v View, from int64, each func(offset int64) bool) error {
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
		if r.offset >= from && !each(r.offset) {
			return nil
		}
	}
	return set.finished()
}
