package bundle

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"
	"time"

	"tandem/internal/stream"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 123e6, time.UTC)

func header() Header {
	return Header{
		Flow: stream.Flow{Source: "A", Target: "B"}, ClusterID: "kafka-1", Writer: "w1", Generation: 7, Sequence: 42, CreatedAt: noon,
	}
}

func topic(name string) Topic {
	t := Topic{Name: name}
	if name != "" {
		sum := sha256.Sum256([]byte(name))
		t.ID = stream.TopicID(sum[:16])
	}
	return t
}

// made is a record batch to make.
type made struct {
	base       int64
	times      []int64 // of the records
	last       int32   // last offset delta; 0: as many as there are records
	codec      int16
	attributes int16
	producer   int64
	epoch      int32  // of the leader
	marker     int    // 1 commit, 2 abort
	value      []byte // of every record
}

func (m made) bytes() []byte {
	var records []byte
	base, most := int64(0), int64(-1)
	for i, at := range m.times {
		if i == 0 {
			base = at
		}
		most = max(most, at)
		body := binary.AppendVarint([]byte{0}, at-base)
		body = binary.AppendVarint(body, int64(i))
		if m.marker > 0 {
			body = append(binary.AppendVarint(body, 4), 0, 0, 0, byte(2-m.marker))
		} else {
			body = binary.AppendVarint(body, -1)
		}
		body = append(binary.AppendVarint(body, int64(len(m.value))), m.value...)
		body = binary.AppendVarint(body, 0)
		records = append(binary.AppendVarint(records, int64(len(body))), body...)
	}
	if m.marker > 0 {
		m.attributes |= 0x30
	}
	last := m.last
	if last == 0 {
		last = int32(max(len(m.times)-1, 0))
	}
	b := binary.BigEndian.AppendUint64(nil, uint64(m.base))
	b = binary.BigEndian.AppendUint32(b, uint32(49+len(records)))
	b = binary.BigEndian.AppendUint32(b, uint32(m.epoch))
	b = append(b, 2)
	b = binary.BigEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(m.attributes|m.codec))
	b = binary.BigEndian.AppendUint32(b, uint32(last))
	b = binary.BigEndian.AppendUint64(b, uint64(base))
	b = binary.BigEndian.AppendUint64(b, uint64(most))
	b = binary.BigEndian.AppendUint64(b, uint64(m.producer))
	b = append(b, 0, 0, 0, 0, 0, 0) // epoch, sequence
	b = binary.BigEndian.AppendUint32(b, uint32(len(m.times)))
	b = append(b, records...)
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// message is an uncompressed message of format v0 or v1, or a compressed wrapper that nobody looks into.
func message(magic, attributes byte, offset, at int64, value []byte) []byte {
	body := []byte{magic, attributes}
	if magic == 1 {
		body = binary.BigEndian.AppendUint64(body, uint64(at))
	}
	body = binary.BigEndian.AppendUint32(body, 0xffffffff) // null key
	body = append(binary.BigEndian.AppendUint32(body, uint32(len(value))), value...)
	b := binary.BigEndian.AppendUint64(nil, uint64(offset))
	b = binary.BigEndian.AppendUint32(b, uint32(4+len(body)))
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(body))
	return append(b, body...)
}

// keeper keeps keys in memory; the first is the newest.
type keeper struct {
	ids  []string
	keys map[string][32]byte
}

func newKeeper(ids ...string) *keeper {
	k := &keeper{ids: ids, keys: make(map[string][32]byte)}
	for _, id := range ids {
		k.keys[id] = sha256.Sum256([]byte("key " + id))
	}
	return k
}

func (k *keeper) gcm(id string) (cipher.AEAD, error) {
	key, ok := k.keys[id]
	if !ok {
		return nil, fmt.Errorf("no key %q: %w", id, ErrKey)
	}
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func (k *keeper) Wrap(_ context.Context, key, aad []byte) ([]byte, string, error) {
	g, err := k.gcm(k.ids[0])
	if err != nil {
		return nil, "", err
	}
	return g.Seal(nil, make([]byte, 12), key, aad), k.ids[0], nil // one nonce for all: good enough for a test, for nothing else
}

func (k *keeper) Unwrap(_ context.Context, id string, wrapped, aad []byte) ([]byte, error) {
	g, err := k.gcm(id)
	if err != nil {
		return nil, err
	}
	key, err := g.Open(nil, make([]byte, 12), wrapped, aad)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrKey)
	}
	return key, nil
}

func begin(tb testing.TB, h Header, o Options) *Writer {
	tb.Helper()
	w, err := NewWriter(tb.Context(), h, o)
	if err != nil {
		tb.Fatal(err)
	}
	return w
}

func appended(tb testing.TB, w *Writer, c Chunk, batches ...[]byte) Entry {
	tb.Helper()
	e, err := w.Append(c, batches...)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

func finished(tb testing.TB, w *Writer, previous Digest, positions ...Position) ([]byte, *Object, Footer) {
	tb.Helper()
	o, f, err := w.Finish(previous, positions)
	if err != nil {
		tb.Fatal(err)
	}
	b := make([]byte, o.Size())
	if n, err := o.ReadAt(b, 0); n != len(b) || err != nil {
		tb.Fatalf("%d of %d bytes: %v", n, len(b), err)
	}
	return b, o, f
}

// sample is a bundle with everything in it. Its chunks' batches are second.
func sample(tb testing.TB, o Options) (object []byte, plain [][]byte, f Footer) {
	tb.Helper()
	w := begin(tb, header(), o)
	orders, audit := topic("orders"), Topic{Name: "audit", Incarnation: 2}
	text := slices.Repeat([]byte("a word, and again "), 12)

	first := [][]byte{
		made{base: 100, times: []int64{1700000000500, 1700000000000, 1700000000900}, producer: -1, epoch: 4, value: text}.bytes(),
		made{base: 103, times: []int64{1700000000000}, producer: 77, attributes: 0x10, epoch: 5}.bytes(),
	}
	e := appended(tb, w, Chunk{Topic: orders, Partition: 3, LeaderEpoch: -1, First: 98, Next: 104}, first...)
	second := made{base: 104, times: []int64{1700000001000}, producer: 77, marker: 2, epoch: 5}.bytes()
	e = appended(tb, w, Chunk{Topic: orders, Partition: 3, LeaderEpoch: -1, First: 104, Next: 105, Open: e.Open}, second)
	third := made{base: 7, times: []int64{5, 3}, codec: 4, producer: -1, epoch: -1}.bytes()
	appended(tb, w, Chunk{Topic: audit, Partition: 0, LeaderEpoch: 9, First: 0, Next: 20, Begins: true, Committed: true,
		Aborted: []stream.AbortedTransaction{{ProducerID: 5, First: 12}}}, third)
	appended(tb, w, Chunk{Topic: audit, Partition: 1, LeaderEpoch: -1, First: 3, Next: 4})
	for i, body := range bodies() {
		if err := w.Event(noon.Add(time.Duration(i-3)*time.Second), body); err != nil {
			tb.Fatal(err)
		}
	}
	object, _, f = finished(tb, w, sha256.Sum256([]byte("the one before")),
		Position{Topic: orders, Partition: 3, Next: e.Next, LeaderEpoch: 5, Open: []Transaction{{ProducerID: 1 << 40, First: 1}}},
		Position{Topic: audit, Partition: 1, Next: 4, LeaderEpoch: -1}, Position{Topic: audit, Next: 20, LeaderEpoch: 9})
	return object, [][]byte{slices.Concat(first...), second, third, {}}, f
}

// bodies are events of all kinds.
func bodies() []Body {
	orders := topic("orders")
	return []Body{
		TopicCreated{Topic: orders, Partitions: 4, Factor: 3, Found: true},
		TopicWidened{Topic: orders, From: 4, To: 8},
		TopicDeleted{Topic: orders},
		TopicRecreated{Old: orders, New: Topic{Name: "orders", ID: stream.TopicID{1}, Incarnation: 1}, Partitions: 2, Factor: -1},
		Truncated{Topic: orders, Partition: 3, LeaderEpoch: 6, From: 110, To: 104},
		TopicConfigs{Topic: orders, Configs: []Config{{"cleanup.policy", "compact,delete"}, {"retention.ms", "-1"}}},
		ACLs{Bindings: []ACL{{2, 3, "orders", "User:alice", "*", 3, 3}}},
		GroupOffsets{Group: "billing", Whole: true, Offsets: []GroupOffset{{"orders", 3, 101, 4, "it's \"here\""}, {"orders", 4, -1, -1, ""}}},
		Runs{Source: orders, Partition: 3, Remote: stream.Partition{Topic: "A.orders", Number: 3}, Runs: []stream.Run{
			{Up: 100, Down: 90, Count: 4}, {Up: 105, Down: 94, Count: 1}, {Up: 106, Down: 20, Count: 1 << 40}}},
		Gap{Topic: orders, Partition: 5, From: 10, To: 20, Reason: "retention.ms"},
		Mark{Name: "before-deploy-42", Note: "by hand", Positions: []Position{{Topic: orders, Partition: 3, Next: 105, LeaderEpoch: 5}}},
		Unknown{Number: 99, Version: 3, Raw: []byte{1, 2, 3}},
		Unknown{Number: KindGap, Version: 2, Raw: nil},
		Removed{Reason: "pruned", Objects: []RemovedObject{{"v1/A/bundles/x.tdm", sha256.Sum256([]byte("x"))}, {"y", Digest{}}},
			Ranges: []RemovedRange{{orders, 3, 10, 90}, {orders, 4, 7, 7}},
			Runs:   []RemovedRun{{"mirror-1", 1795000000, 0, 8640}, {"mirror-1", 1795000001, 7, 7}}},
		Compacted{Chunks: []CompactedChunk{{0, []Step{{noon, 101}, {noon.Add(-time.Hour), 103}, {noon.Add(time.Hour), 104}}}, {2, nil},
			{3, []Step{{noon, 4}}}}},
	}
}
