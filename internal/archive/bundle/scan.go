package bundle

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"tandem/internal/batch"
	"tandem/internal/stream"
)

// Chunk is what its writer says of the batches that it appends; the rest their headers say.
type Chunk struct {
	Topic       Topic
	Partition   int32
	LeaderEpoch int32           // where the batches do not tell one: -1 when unknown
	First       stream.Upstream // where the chunk before ended
	Next        stream.Upstream // nothing between First and Next is missing, but for what the broker no longer had

	// Open are the transactions that are open at First: Entry.Open of the chunk before. Begins says that there is no chunk before,
	// as where the archive begins or goes on behind a gap.
	Open   []Transaction
	Begins bool

	// Aborted are what the fetches told, where they were read_committed (Committed). A list may come with each chunk of an
	// answer that is cut into several.
	Aborted   []stream.AbortedTransaction
	Committed bool
}

// check refuses what the format has no place for.
func (c *Chunk) check() error {
	if c.Topic.Name == "" || c.Topic.Incarnation < 0 || c.Partition < 0 || c.First < 0 || c.Next < c.First {
		return errors.New("it has no topic, or a negative number, or ends before it begins")
	}
	for _, t := range c.Open {
		if t.First < 0 {
			return fmt.Errorf("transaction of producer %d from %d on", t.ProducerID, t.First)
		}
	}
	for _, t := range c.Aborted {
		if t.First < 0 {
			return fmt.Errorf("aborted transaction of producer %d from %d on", t.ProducerID, t.First)
		}
	}
	return nil
}

// scan goes through the headers of the batches of a chunk.
type scan struct {
	entry      Entry
	told       []stream.AbortedTransaction // by the fetch, and not met yet
	timed      bool                        // a record with a timestamp was met
	last       stream.Upstream             // the batches up to now end there
	compressed int64                       // bytes of batches that are compressed
}

// scanChunk makes the entry of a chunk, as far as its batches tell it. compressed says how many of their bytes their producers
// compressed.
func scanChunk(c Chunk, batches [][]byte) (e Entry, compressed int64, err error) {
	if err := c.check(); err != nil {
		return e, 0, err
	}
	s := &scan{last: -1, entry: Entry{
		Topic: c.Topic, Partition: c.Partition, LeaderEpoch: c.LeaderEpoch, First: c.First, Next: c.Next,
		MinTimestamp: -1, MaxTimestamp: -1, MinExact: true, Open: slices.Clone(c.Open), Committed: c.Committed,
	}}
	s.listen(c)
	for _, b := range batches {
		for len(b) > 0 {
			v, rest, err := batch.Next(b)
			if err != nil {
				return e, 0, err
			}
			if err := s.add(v); err != nil {
				return e, 0, err
			}
			b = rest
		}
	}
	s.finish()
	return s.entry, s.compressed, nil
}

func (s *scan) add(v batch.View) error {
	first, last := stream.Upstream(v.BaseOffset()), stream.Upstream(v.LastOffset())
	if last < s.entry.First || first <= s.last || last >= s.entry.Next {
		return fmt.Errorf("batch of offsets %d to %d, behind offset %d, in a chunk of %d to %d", first, last, s.last,
			s.entry.First, s.entry.Next-1)
	}
	s.last = last
	e, n := &s.entry, int64(v.Records())
	e.Batches++
	e.Plain += int64(len(v.Bytes()))
	if v.LeaderEpoch() >= 0 {
		e.LeaderEpoch = v.LeaderEpoch()
	}
	if v.Codec() != batch.None {
		s.compressed += int64(len(v.Bytes()))
	}
	if v.Control() {
		e.Markers += n
		return s.marker(v)
	}
	if v.Transactional() {
		s.begins(v.ProducerID(), first)
	}
	switch {
	case n < 0 || e.Records < 0:
		e.Records = -1
	default:
		e.Records += n
	}
	if n != 0 {
		s.timestamps(v)
	}
	return nil
}

func (s *scan) timestamps(v batch.View) {
	least, exact := leastTimestamp(v)
	most := v.MaxTimestamp()
	e := &s.entry
	if !s.timed {
		e.MinTimestamp, e.MaxTimestamp, s.timed = least, most, true
	}
	e.MinTimestamp, e.MaxTimestamp = min(e.MinTimestamp, least), max(e.MaxTimestamp, most)
	e.MinExact = e.MinExact && exact
}

// listen takes over what the fetches told of aborted transactions. One that began before the chunk is open at its beginning;
// where it is not, its marker stands before the chunk too, and the list was meant for another chunk of the answer. Only where
// there is no chunk before nobody else can have noted it.
func (s *scan) listen(c Chunk) {
	for _, t := range c.Aborted {
		open := Transaction{ProducerID: t.ProducerID, First: t.First}
		switch {
		case t.First >= c.Next || slices.Contains(s.told, t):
			continue
		case t.First >= c.First || slices.Contains(c.Open, open):
		case c.Begins:
			s.entry.Open = append(s.entry.Open, open)
		default:
			continue
		}
		s.told = append(s.told, t)
	}
	slices.SortFunc(s.told, func(a, b stream.AbortedTransaction) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.ProducerID, b.ProducerID))
	})
}

// begins notes the first batch of a transaction. Where the broker told of it as aborted, it knows an earlier one.
func (s *scan) begins(producer int64, at stream.Upstream) {
	if slices.ContainsFunc(s.entry.Open, func(t Transaction) bool { return t.ProducerID == producer }) {
		return
	}
	for _, t := range s.told {
		if t.ProducerID == producer && t.First <= at {
			at = t.First
			break
		}
	}
	s.entry.Open = append(s.entry.Open, Transaction{ProducerID: producer, First: at})
}

// marker ends the transaction of a producer.
func (s *scan) marker(v batch.View) error {
	producer, at := v.ProducerID(), stream.Upstream(v.BaseOffset())
	first := stream.Upstream(-1)
	s.entry.Open = slices.DeleteFunc(s.entry.Open, func(t Transaction) bool {
		if t.ProducerID == producer {
			first = t.First
		}
		return t.ProducerID == producer
	})
	abort, err := v.Aborts()
	if err != nil || !abort {
		return err
	}
	told := slices.IndexFunc(s.told, func(t stream.AbortedTransaction) bool { return t.ProducerID == producer && t.First < at })
	if told >= 0 {
		if first < 0 {
			first = s.told[told].First
		}
		s.told = slices.Delete(s.told, told, told+1)
	}
	if first >= 0 {
		s.entry.Aborted = append(s.entry.Aborted, Aborted{ProducerID: producer, First: first, Marker: at})
	}
	return nil
}

// finish takes over what the fetches told of transactions whose marker stands behind the chunk. They are open at its end, even
// where compaction left none of their records in it.
func (s *scan) finish() {
	e := &s.entry
	for _, t := range s.told {
		e.Aborted = append(e.Aborted, Aborted{ProducerID: t.ProducerID, First: t.First, Marker: -1})
		s.begins(t.ProducerID, t.First)
	}
	if len(e.Open) == 0 {
		e.Open = nil
	}
}

// leastTimestamp is the least timestamp of a batch's records. Of a compressed batch, which is not taken apart, it is that of
// the first record, which need not be the least.
func leastTimestamp(v batch.View) (least int64, exact bool) {
	switch {
	case v.LogAppendTime():
		return v.MaxTimestamp(), true
	case v.Magic() == 0:
		return -1, true
	case v.Codec() != batch.None:
		return min(v.BaseTimestamp(), v.MaxTimestamp()), false
	case v.Magic() == 1:
		return v.MaxTimestamp(), true
	}
	least = v.MaxTimestamp()
	b := v.Bytes()[batch.HeaderSize:]
	for range v.Records() { // a record: its length, a byte of attributes, how far its timestamp is from the base, ...
		length, n := binary.Varint(b)
		if n <= 0 || length < 2 || length > int64(len(b)-n) {
			return least, false
		}
		delta, w := binary.Varint(b[n+1 : n+int(length)])
		if w <= 0 {
			return least, false
		}
		least = min(least, v.BaseTimestamp()+delta)
		b = b[n+int(length):]
	}
	return least, true
}
