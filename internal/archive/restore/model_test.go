package restore

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	"tandem/internal/stream"
)

// rec is a record of the model.
type rec struct {
	offset, time int64
	value        string
}

// made is a batch of the model, as a broker has it.
type made struct {
	first, last int64
	records     []rec
	producer    int64 // -1: none
	inTxn       bool
	marker      int // 0 none, 1 commit, 2 abort
	append      int64
	logAppend   bool
	codec       kgo.CompressionCodecType
	txn         *txn
	old         int // message format 0 or 1, which knows no transactions; -1: batches
}

// txn is what becomes of a transaction.
type txn struct {
	first  int64
	marker int64 // -1: open
	abort  bool
	time   int64 // of the marker
}

var (
	compressor, _ = kgo.DefaultCompressor(kgo.SnappyCompression())
	decompressor  = kgo.DefaultDecompressor()
)

func (m *made) bytes(t testing.TB) []byte {
	t.Helper()
	if m.old >= 0 {
		return m.messages()
	}
	attributes, base, most := int16(m.codec), int64(-1), int64(-1)
	var payload []byte
	add := func(r kmsg.Record) {
		r.Length = int32(len(r.AppendTo(nil)) - 1)
		payload = r.AppendTo(payload)
	}
	n := len(m.records)
	for i, r := range m.records {
		if i == 0 {
			base, most = r.time, r.time
		}
		most = max(most, r.time)
		add(kmsg.Record{TimestampDelta64: r.time - base, OffsetDelta: int32(r.offset - m.first), Value: []byte(r.value)})
	}
	if m.marker > 0 {
		attributes, base, most, n = 0x30, m.append, m.append, 1
		add(kmsg.Record{Key: []byte{0, 0, 0, byte(2 - m.marker)}, Value: []byte{0, 0, 0, 0, 0, 0}})
	}
	if m.inTxn {
		attributes |= 0x10
	}
	if m.logAppend {
		attributes |= 0x08
		most = m.append
	}
	if m.codec != kgo.CodecNone {
		payload, _ = compressor.Compress(new(bytes.Buffer), payload)
	}
	b := kmsg.RecordBatch{
		FirstOffset: m.first, PartitionLeaderEpoch: 3, Magic: 2, Attributes: attributes, LastOffsetDelta: int32(m.last - m.first),
		FirstTimestamp: base, MaxTimestamp: most, ProducerID: m.producer, NumRecords: int32(n), Records: payload,
	}
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-12))
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	return raw
}

// messages is a message set of the old formats: one message, or a compressed one around them.
func (m *made) messages() []byte {
	var set []byte
	for _, r := range m.records {
		offset := r.offset
		if m.old == 1 && m.codec != kgo.CodecNone {
			offset -= m.first // relative
		}
		set = append(set, message(byte(m.old), 0, offset, r.time, []byte(r.value))...)
	}
	if m.codec == kgo.CodecNone {
		return set
	}
	packed, _ := compressor.Compress(new(bytes.Buffer), set)
	attributes, most := byte(m.codec), int64(-1)
	for _, r := range m.records {
		most = max(most, r.time)
	}
	if m.logAppend {
		attributes, most = attributes|8, m.append
	}
	return message(byte(m.old), attributes, m.last, most, packed)
}

func message(magic, attributes byte, offset, at int64, value []byte) []byte {
	body := []byte{magic, attributes}
	if magic == 1 {
		body = binary.BigEndian.AppendUint64(body, uint64(at))
	}
	body = binary.BigEndian.AppendUint32(body, math.MaxUint32) // null key
	body = append(binary.BigEndian.AppendUint32(body, uint32(len(value))), value...)
	b := binary.BigEndian.AppendUint64(nil, uint64(offset))
	b = binary.BigEndian.AppendUint32(b, uint32(4+len(body)))
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(body))
	return append(b, body...)
}

// cutMessages gives the messages of a set. Those of a compressed one are looked into.
func cutMessages(t testing.TB, set []byte) (list []rec) {
	t.Helper()
	for len(set) > 0 {
		offset, size := int64(binary.BigEndian.Uint64(set)), 12+int(binary.BigEndian.Uint32(set[8:]))
		m := set[:size]
		set = set[size:]
		if crc32.ChecksumIEEE(m[16:]) != binary.BigEndian.Uint32(m[12:]) {
			t.Fatalf("CRC of the message at %d", offset)
		}
		at, rest := int64(-1), m[18:]
		if m[16] == 1 {
			at, rest = int64(binary.BigEndian.Uint64(rest)), rest[8:]
		}
		value := rest[8:]
		if m[17]&7 == 0 {
			list = append(list, rec{offset, at, string(value)})
			continue
		}
		plain, err := decompressor.Decompress(value, kgo.CompressionCodecType(m[17]&7))
		if err != nil {
			t.Fatal(err)
		}
		inner := cutMessages(t, plain)
		for _, r := range inner {
			if m[16] == 1 {
				r.offset += offset - inner[len(inner)-1].offset
			}
			if m[17]&8 != 0 {
				r.time = at
			}
			list = append(list, r)
		}
	}
	return list
}

// history is a random log of one partition.
type history struct {
	batches []*made
	end     int64
	open    map[int64]*txn
	clock   int64
	old     int // message format of what is written now
}

// random makes a log: producers with and without transactions, timestamps back and forth, offsets that the cleaner has taken.
func random(r *rand.Rand, from int64, size int) *history {
	h := &history{end: from, open: make(map[int64]*txn), clock: 1000, old: -1}
	if r.IntN(4) == 0 { // it was begun by an old broker
		for h.old = range 2 {
			for range r.IntN(size + 1) {
				h.clock += r.Int64N(20)
				h.data(r, 0)
			}
		}
		h.old = -1
	}
	h.grow(r, size)
	return h
}

func (h *history) grow(r *rand.Rand, size int) {
	for range size {
		h.clock += r.Int64N(20)
		p := r.Int64N(4)
		if x := h.open[p]; p > 0 && x != nil && r.IntN(3) == 0 { // it ends
			delete(h.open, p)
			x.marker, x.abort, x.time = h.end, r.IntN(3) == 0, h.clock+r.Int64N(9)-4
			m := &made{first: h.end, last: h.end, producer: p, marker: 1, append: x.time, inTxn: true, old: -1}
			if x.abort {
				m.marker = 2
			}
			h.end++
			h.batches = append(h.batches, m)
		} else {
			h.data(r, p)
		}
		if r.IntN(10) == 0 {
			h.end += r.Int64N(5) // compacted away
		}
	}
}

// branch is the log as it was, to go on otherwise.
func (h *history) branch() *history {
	b := &history{end: h.end, clock: h.clock, open: make(map[int64]*txn), old: -1}
	copies := make(map[*txn]*txn)
	for _, m := range h.batches {
		c := *m
		if m.txn != nil {
			if copies[m.txn] == nil {
				x := *m.txn
				copies[m.txn] = &x
			}
			c.txn = copies[m.txn]
		}
		b.batches = append(b.batches, &c)
	}
	for p, x := range h.open {
		b.open[p] = copies[x]
	}
	return b
}

func (h *history) data(r *rand.Rand, p int64) {
	open, clock := h.open, h.clock
	m := &made{first: h.end, producer: p - 1, append: clock, old: h.old}
	if p > 0 {
		m.producer, m.inTxn = p, true
		if open[p] == nil {
			open[p] = &txn{first: h.end, marker: -1}
		}
		m.txn = open[p]
	}
	if r.IntN(3) == 0 {
		m.codec = kgo.CodecSnappy
	}
	m.logAppend = r.IntN(10) == 0
	n := 1 + r.Int64N(5)
	for i := range n {
		if n > 1 && r.IntN(8) == 0 {
			continue // a hole
		}
		at := clock + r.Int64N(200) - 100
		if r.IntN(30) == 0 {
			at = -1
		}
		if m.old == 0 {
			at = -1
		}
		m.records = append(m.records, rec{h.end + i, at, fmt.Sprintf("v%d-%d", h.end+i, r.Int64())})
	}
	m.last = h.end + n - 1
	if m.old >= 0 { // an entry of the log is named by its last record
		m.logAppend = m.logAppend && m.old == 1 && m.codec != kgo.CodecNone
		if len(m.records) == 0 {
			return
		}
		m.last = m.records[len(m.records)-1].offset
	}
	h.end = m.last + 1
	h.batches = append(h.batches, m)
}

// chunkStore has chunks in memory.
type chunkStore struct{ raw map[string][][]byte }

func (c *chunkStore) Chunk(_ context.Context, o *catalog.Object, chunk int, _ []byte) ([]byte, error) {
	return bytes.Clone(c.raw[o.Name][chunk]), nil
}

func (c *chunkStore) Together(ctx context.Context, o *catalog.Object, chunks []int) (all [][]byte, err error) {
	for _, i := range chunks {
		raw, _ := c.Chunk(ctx, o, i, nil)
		all = append(all, raw)
	}
	return all, nil
}

// archive makes chunks of a log, as an archiver does that reads it from an offset on: with read_committed only what a transaction that is
// open does not hold back. It begins after so many batches, with the transactions that are open there.
func (c *chunkStore) archive(t testing.TB, r *rand.Rand, h *history, committed bool, after int, opened []bundle.Transaction) catalog.Part {
	t.Helper()
	w, err := bundle.NewWriter(t.Context(), bundle.Header{Flow: stream.Flow{Source: "A", Target: "B"}, Writer: "w", CreatedAt: time.UnixMilli(5000)},
		bundle.Options{})
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("object-%d", len(c.raw))
	stable := h.end
	if committed {
		for _, m := range h.batches {
			if m.txn != nil && m.txn.marker < 0 {
				stable = min(stable, m.txn.first)
			}
		}
	}
	first := stream.Upstream(-1)
	for i := after; i < len(h.batches) && h.batches[i].first < stable; {
		n := i + 1
		for n < len(h.batches) && h.batches[n].first < stable && r.IntN(5) > 0 {
			n++
		}
		var raw []byte
		for _, m := range h.batches[i:n] {
			raw = append(raw, m.bytes(t)...)
		}
		if first < 0 {
			first = stream.Upstream(h.batches[i].first)
		}
		chunk := bundle.Chunk{Topic: bundle.Topic{Name: "orders"}, LeaderEpoch: 3, First: first, Next: stream.Upstream(h.batches[n-1].last + 1), Open: opened, Begins: i == 0, // none are told
			Committed: committed}
		if committed {
			chunk.Aborted = h.aborted(h.batches[i].first, h.batches[n-1].last+1)
		}
		e, err := w.Append(chunk, raw)
		if err != nil {
			t.Fatal(err)
		}
		c.raw[name] = append(c.raw[name], raw)
		opened, first, i = e.Open, e.Next, n
	}
	_, f, err := w.Finish(bundle.Digest{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	object := &catalog.Object{Name: name}
	var part catalog.Part
	for i := range f.Chunks {
		e := &f.Chunks[i]
		part.Stretches = append(part.Stretches, catalog.Stretch{Object: object, Chunk: i, Entry: e, From: e.First, To: e.Next})
		part.Entries = append(part.Entries, e)
	}
	return part
}

// aborted is what a broker tells of a range.
func (h *history) aborted(from, to int64) (list []stream.AbortedTransaction) {
	for _, m := range h.batches {
		if m.txn == nil || !m.txn.abort || m.txn.marker < from || m.txn.first >= to || m.first != m.txn.first {
			continue
		}
		list = append(list, stream.AbortedTransaction{ProducerID: m.producer, First: stream.Upstream(m.txn.first)})
	}
	return list
}

// wanted decides record by record.
func (h *history) wanted(cut Cut, committed bool) (list []rec) {
	for _, m := range h.batches {
		if m.marker > 0 {
			continue
		}
		for _, r := range m.records {
			if m.logAppend {
				r.time = m.append
			}
			at := stream.Upstream(r.offset)
			if at < cut.From || at >= cut.End || r.time > cut.Until || r.time < cut.Since {
				continue
			}
			if x := m.txn; x != nil && !cut.Raw {
				seen := x.marker >= 0 && x.marker < int64(cut.End) && x.time <= cut.Until
				if committed && cut.Until == Never { // it would not have been read otherwise
					seen = true
				}
				if !seen || x.abort {
					continue
				}
			}
			list = append(list, r)
		}
	}
	return list
}

// decode reads batches with nothing of this project.
func decode(t testing.TB, raw []byte) (list []rec, next int64) {
	t.Helper()
	for len(raw) > 0 {
		size := 12 + int(binary.BigEndian.Uint32(raw[8:]))
		if raw[16] < 2 {
			list = append(list, cutMessages(t, raw[:size])...)
			next, raw = int64(binary.BigEndian.Uint64(raw))+1, raw[size:]
			continue
		}
		b := kmsg.RecordBatch{}
		if err := b.ReadFrom(raw[:size]); err != nil {
			t.Fatal(err)
		}
		if crc32.Checksum(raw[21:size], crc32.MakeTable(crc32.Castagnoli)) != uint32(b.CRC) {
			t.Fatalf("CRC of the batch at %d", b.FirstOffset)
		}
		raw = raw[size:]
		next = b.FirstOffset + int64(b.LastOffsetDelta) + 1
		if b.Attributes&0x20 != 0 {
			continue
		}
		payload := b.Records
		if codec := b.Attributes & 7; codec != 0 {
			var err error
			if payload, err = decompressor.Decompress(payload, kgo.CompressionCodecType(codec)); err != nil {
				t.Fatal(err)
			}
		}
		for range b.NumRecords {
			length, n := binary.Varint(payload)
			one := payload[:n+int(length)]
			payload = payload[len(one):]
			r := kmsg.Record{}
			if err := r.ReadFrom(one); err != nil {
				t.Fatal(err)
			}
			at := b.FirstTimestamp + r.TimestampDelta64
			if b.Attributes&8 != 0 {
				at = b.MaxTimestamp
			}
			list = append(list, rec{b.FirstOffset + int64(r.OffsetDelta), at, string(r.Value)})
		}
	}
	return list, next
}

// readLog reads a log from an offset on, page by page.
func readLog(t testing.TB, l *Log, chunks Chunks, from stream.Upstream) (list []rec) {
	t.Helper()
	for i := l.at(from); i < len(l.spans); i++ {
		s := &l.spans[i]
		var raw []byte
		if !s.out {
			raw, _ = chunks.Chunk(t.Context(), s.Object, s.Chunk, nil)
		}
		p, err := l.page(t.Context(), i, from, raw)
		if err != nil {
			t.Fatal(err)
		}
		next := int64(-1)
		for _, piece := range p.joined() {
			var more []rec
			more, next = decode(t, piece)
			list = append(list, more...)
		}
		if next != int64(s.To) {
			t.Fatalf("span %d to %d moves a reader to %d", s.From, s.To, next)
		}
		from = s.To
	}
	return list
}
