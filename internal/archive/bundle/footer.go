package bundle

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"tandem/internal/stream"
)

// The footer as stored: the header once more, a byte of flags, the plain length, and the body:
//
//	header                             byte for byte the one in front
//	INT8                               flags: 1 zstd
//	INT32                              length of the plain body
//	body                               zstd (flag 1), then AES-256-GCM where the header says encrypted
//
// The plain body:
//
//	UVARINT  chunks, and for each, in their order in the object:
//	  TOPIC, UVARINT partition, VARINT leader epoch
//	  UVARINT first offset, UVARINT next less first
//	  UVARINT batches, VARINT records (-1 unknown), UVARINT markers
//	  INT8     flags: 1 zstd, 2 least timestamp is exact, 4 fetched with read_committed
//	  VARINT   least timestamp, VARINT largest less least (modulo 2^64)
//	  UVARINT  bytes stored, UVARINT bytes plain
//	  INT32    CRC-32C of the plain bytes, 32 bytes SHA-256 of the stored ones
//	  UVARINT  open transactions, and for each: VARINT producer id, UVARINT first offset
//	  UVARINT  aborted ones, and for each: VARINT producer id, UVARINT first offset, VARINT marker (-1 unknown)
//	UVARINT  topics, and for each, ascending: TOPIC, UVARINT partitions, and for each, ascending:
//	  UVARINT  partition, less the one before, less 1; the first as it is
//	  UVARINT  next offset, VARINT leader epoch
//	  UVARINT  open transactions, as above
//	UVARINT  events, and for each: see event.go
//
// Chunks stand one behind the other from the end of the header to the footer, so their positions are sums of lengths.
const (
	flagZstd      = 1
	flagMinExact  = 2
	flagCommitted = 4

	leastTopic       = 1 + 16 + 1
	leastEntry       = leastTopic + 15 + 4 + 32
	leastPosition    = 4
	leastTransaction = 2
	leastAborted     = 3
	leastEvent       = 4

	chunkLimit = 256 << 20 // bytes of a chunk, stored and plain
)

// Topic is a topic of the source in one of its lives.
type Topic struct {
	Name        string
	ID          stream.TopicID // zero where the broker has no topic ids
	Incarnation int32          // counts the lives of the name, as far as the archive saw them
}

// Transaction is one that is neither committed nor aborted at a place.
type Transaction struct {
	ProducerID int64
	First      stream.Upstream // its first record that is archived, or, where the broker told it, its first record
}

// Aborted is a transaction that was aborted: the records of the producer from First to Marker.
type Aborted struct {
	ProducerID int64
	First      stream.Upstream
	Marker     stream.Upstream // offset of the abort marker; -1 where the broker told of it and the marker stands in a later chunk
}

// Entry is what the footer says of a chunk.
type Entry struct {
	Topic       Topic
	Partition   int32
	LeaderEpoch int32 // of the last batch, -1 when unknown
	First       stream.Upstream
	Next        stream.Upstream

	Batches int64
	Records int64 // without markers; -1 where only decompression could tell (old message formats)
	Markers int64 // of transactions

	// MaxTimestamp is the largest of the records, MinTimestamp the least. No header has the least timestamp of a compressed
	// batch: there it is that of the first records, MinExact is false, and no chunk may be passed over by it. Both are -1
	// where there are no records, or none with a timestamp.
	MinTimestamp int64
	MaxTimestamp int64
	MinExact     bool

	Position    int64 // where its bytes begin in the object
	Stored      int64 // and how many they are
	Plain       int64 // bytes of the batches
	Compression Compression
	CRC         uint32 // CRC-32C of the plain bytes
	SHA256      Digest // of the stored bytes

	// Open are the transactions without a marker up to Next. A later footer tells how they ended.
	Open []Transaction

	// Aborted are the transactions whose abort marker stands in the chunk and, where Committed, all aborted ones with
	// records in it.
	Aborted   []Aborted
	Committed bool // fetched with read_committed
}

// Position is where the archive of a partition goes on.
type Position struct {
	Topic       Topic
	Partition   int32
	Next        stream.Upstream
	LeaderEpoch int32         // of the last batch, -1 when unknown
	Open        []Transaction // at Next
}

// Footer is all that is known of a bundle without reading a chunk.
type Footer struct {
	Header    Header
	Digest    Digest // of the bundle
	Previous  Digest // of the one that its writer made before, zero for none
	Size      int64  // bytes of the object
	Chunks    []Entry
	Positions []Position // of all partitions of the writer, by topic and partition
	Events    []Event
}

func (t Topic) compare(o Topic) int {
	return cmp.Or(cmp.Compare(t.Name, o.Name), cmp.Compare(t.Incarnation, o.Incarnation), slices.Compare(t.ID[:], o.ID[:]))
}

func (e *encoder) topic(t Topic) {
	e.string(t.Name)
	e.raw(t.ID[:])
	e.number(int64(t.Incarnation))
}

func (d *decoder) topic() (t Topic) {
	t.Name = d.string()
	copy(t.ID[:], d.bytes(int64(len(t.ID))))
	t.Incarnation = d.int32()
	return t
}

func (d *decoder) offset() stream.Upstream { return stream.Upstream(d.number()) }

func (e *encoder) open(open []Transaction) {
	e.number(int64(len(open)))
	for _, t := range open {
		e.signed(t.ProducerID)
		e.number(int64(t.First))
	}
}

func (d *decoder) open() []Transaction {
	return list(d, leastTransaction, func(d *decoder) Transaction {
		return Transaction{ProducerID: d.signed(), First: d.offset()}
	})
}

func (e *encoder) entry(c *Entry) {
	e.topic(c.Topic)
	e.number(int64(c.Partition))
	e.signed(int64(c.LeaderEpoch))
	e.number(int64(c.First))
	e.number(int64(c.Next - c.First))
	e.number(c.Batches)
	e.signed(c.Records)
	e.number(c.Markers)
	flags := byte(0)
	if c.Compression == Zstd {
		flags |= flagZstd
	}
	if c.MinExact {
		flags |= flagMinExact
	}
	if c.Committed {
		flags |= flagCommitted
	}
	e.byte(flags)
	e.signed(c.MinTimestamp)
	e.signed(c.MaxTimestamp - c.MinTimestamp)
	e.number(c.Stored)
	e.number(c.Plain)
	e.uint32(c.CRC)
	e.raw(c.SHA256[:])
	e.open(c.Open)
	e.number(int64(len(c.Aborted)))
	for _, a := range c.Aborted {
		e.signed(a.ProducerID)
		e.number(int64(a.First))
		e.signed(int64(a.Marker))
	}
}

func (d *decoder) entry() (c Entry) {
	c.Topic, c.Partition, c.LeaderEpoch = d.topic(), d.int32(), d.signed32()
	c.First = d.offset()
	length := d.number()
	if length > math.MaxInt64-int64(c.First) {
		d.fail("offset too large")
	}
	c.Next = c.First + stream.Upstream(length)
	c.Batches, c.Records, c.Markers = d.number(), d.signed(), d.number()
	flags := d.byte()
	if flags&^(flagZstd|flagMinExact|flagCommitted) != 0 {
		d.fail("bad flags")
	}
	if flags&flagZstd != 0 {
		c.Compression = Zstd
	}
	c.MinExact, c.Committed = flags&flagMinExact != 0, flags&flagCommitted != 0
	c.MinTimestamp = d.signed()
	c.MaxTimestamp = c.MinTimestamp + d.signed()
	c.Stored, c.Plain, c.CRC = d.number(), d.number(), d.uint32()
	if c.Stored > chunkLimit || c.Plain > chunkLimit {
		d.fail("chunk too large")
	}
	copy(c.SHA256[:], d.bytes(int64(len(c.SHA256))))
	c.Open = d.open()
	c.Aborted = list(d, leastAborted, func(d *decoder) Aborted {
		return Aborted{ProducerID: d.signed(), First: d.offset(), Marker: stream.Upstream(d.signed())}
	})
	return c
}

// sorted are the positions by topic and partition, each partition once.
func sorted(positions []Position) ([]Position, error) {
	out := slices.Clone(positions)
	slices.SortFunc(out, func(a, b Position) int {
		return cmp.Or(a.Topic.compare(b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	for i, p := range out {
		if p.Topic.Name == "" || p.Topic.Incarnation < 0 || p.Partition < 0 || p.Next < 0 {
			return nil, fmt.Errorf("position %s", p)
		}
		if i > 0 && p.Topic == out[i-1].Topic && p.Partition == out[i-1].Partition {
			return nil, fmt.Errorf("two positions of %s/%d: %d and %d", p.Topic, p.Partition, out[i-1].Next, p.Next)
		}
	}
	return out, nil
}

// positions writes positions that are sorted.
func (e *encoder) positions(all []Position) {
	topics := 0
	for i := range all {
		if i == 0 || all[i].Topic != all[i-1].Topic {
			topics++
		}
	}
	e.number(int64(topics))
	for len(all) > 0 {
		n := slices.IndexFunc(all, func(p Position) bool { return p.Topic != all[0].Topic })
		if n < 0 {
			n = len(all)
		}
		e.topic(all[0].Topic)
		e.number(int64(n))
		before := int32(-1)
		for _, p := range all[:n] {
			e.number(int64(p.Partition - before - 1))
			e.number(int64(p.Next))
			e.signed(int64(p.LeaderEpoch))
			e.open(p.Open)
			before = p.Partition
		}
		all = all[n:]
	}
}

func (d *decoder) positions() (all []Position) {
	var last Topic
	for i := range d.count(leastTopic) {
		t := d.topic()
		if i > 0 && last.compare(t) >= 0 {
			d.fail("topics in disorder")
		}
		last = t
		before := int64(-1)
		all = append(all, list(d, leastPosition, func(d *decoder) Position {
			before += d.number() + 1
			if before < 0 || before > math.MaxInt32 {
				d.fail("partition too large")
			}
			return Position{Topic: t, Partition: int32(before), Next: d.offset(), LeaderEpoch: d.signed32(), Open: d.open()}
		})...)
		if d.err != nil {
			return nil
		}
	}
	return all
}

// body puts the plain body together; chunks and events are so many encoded ones.
func body(chunks []byte, nchunks int, positions []Position, events []byte, nevents int) []byte {
	e := &encoder{}
	e.number(int64(nchunks))
	e.raw(chunks)
	e.positions(positions)
	e.number(int64(nevents))
	e.raw(events)
	return e.b
}

// parseBody reads the plain body of a footer that stands at end, whose chunks begin at start.
func parseBody(b []byte, start, end int64, created time.Time) (f Footer, err error) {
	d := &decoder{b: b}
	f.Chunks = list(d, leastEntry, (*decoder).entry)
	f.Positions = d.positions()
	f.Events = list(d, leastEvent, func(d *decoder) Event { return d.event(created) })
	if err := d.end(); err != nil {
		return f, err
	}
	at := start
	for i := range f.Chunks {
		c := &f.Chunks[i]
		c.Position = at
		if at += c.Stored; at > end {
			return f, damaged("chunk %d ends at %d, the footer begins at %d", i, at, end)
		}
	}
	if at != end {
		return f, damaged("chunks end at %d, the footer begins at %d", at, end)
	}
	return f, nil
}
