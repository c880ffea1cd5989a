package batch

// recordSet is the records of one view in v2's form, decompressed, and how far they have been read.
//
// A v2 record is: length varint, attributes int8, timestamp delta varint, offset delta varint, and what is called the
// body here because it is copied and never looked into: key, value and headers.
type recordSet struct {
	data  []byte
	count int32
	first int64 // what errors call the batch
	base  int64 // what offset deltas count from
	time  int64 // what timestamp deltas count from
	last  int64 // last offset of the view

	appended   bool  // LogAppendTime: every record has
	appendTime int64 // this timestamp

	pos  int   // next record to read starts here
	seen int32 // records before pos
	prev int64 // offset of the last record before pos
}

// record is one record of a set, its deltas resolved.
type record struct {
	offset     int64
	time       int64
	attributes byte
	body       []byte
}

// rewind goes back to the first record.
func (s *recordSet) rewind() { s.pos, s.seen, s.prev = 0, 0, -1 }

// seek makes read go on at a record not after the first one with offset from. It goes back to the start unless all that
// was read lies below from, so a split that resumes where it stopped does not read everything again.
func (s *recordSet) seek(from int64) {
	if from <= s.prev {
		s.rewind()
	}
}

// more says whether records remain.
func (s *recordSet) more() bool { return s.seen < s.count }

// finished refuses bytes after the last record.
func (s *recordSet) finished() error {
	if s.pos != len(s.data) {
		return corrupt("decode", s.first, "%d bytes after the last of %d records", len(s.data)-s.pos, s.count)
	}
	return nil
}

// unread puts the record read last back, given where it started and what came before it.
func (s *recordSet) unread(pos int, prev int64) { s.pos, s.seen, s.prev = pos, s.seen-1, prev }

// read returns the next record. Offsets must rise and stay within the view: runs and resume positions rest on it.
func (s *recordSet) read() (r record, err error) {
	rest := s.data[s.pos:]
	length, n := varint(rest)
	if n <= 0 || length < minRecord-1 || length > int64(len(rest)-n) {
		return r, corrupt("decode", s.first, "record %d of %d: length %d, %d bytes left", s.seen, s.count, length, len(rest))
	}
	b := rest[n : n+int(length)]
	dt, nt := varint(b[1:])
	if nt <= 0 {
		return r, corrupt("decode", s.first, "record %d of %d: timestamp delta", s.seen, s.count)
	}
	do, no := varint(b[1+nt:])
	if no <= 0 || 1+nt+no+3 > len(b) {
		return r, corrupt("decode", s.first, "record %d of %d: offset delta", s.seen, s.count)
	}
	r = record{offset: s.base + do, time: s.time + dt, attributes: b[0], body: b[1+nt+no:]}
	if r.offset <= s.prev || r.offset > s.last || do < 0 {
		return r, corrupt("decode", s.first, "record %d of %d: offset %d after %d in a batch up to %d", s.seen, s.count, r.offset, s.prev, s.last)
	}
	if s.appended {
		r.time = s.appendTime
	}
	s.pos += n + int(length)
	s.seen++
	s.prev = r.offset
	return r, nil
}
