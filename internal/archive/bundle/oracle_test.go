package bundle

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"tandem/internal/stream"
)

// A second reader, written from docs/archive-format.md with nothing of the package but Name: it takes all of
// an object apart from its first byte on, and panics where something does not fit.
type dumb struct{ b []byte }

func (d *dumb) take(n int) []byte {
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *dumb) u() uint64 {
	v, n := binary.Uvarint(d.b)
	d.take(n)
	return v
}

func (d *dumb) s() int64 {
	v, n := binary.Varint(d.b)
	d.take(n)
	return v
}

func (d *dumb) str() string   { return string(d.take(int(d.u()))) }
func (d *dumb) i32() uint32   { return binary.BigEndian.Uint32(d.take(4)) }
func (d *dumb) i64() uint64   { return binary.BigEndian.Uint64(d.take(8)) }
func (d *dumb) topic() string { return fmt.Sprintf("%s %x %d", d.str(), d.take(16), d.u()) }

func (d *dumb) open() (out string) {
	for range d.u() {
		out += fmt.Sprintf(" open %d@%d", d.s(), d.u())
	}
	return out
}

func must(ok bool, what string) {
	if !ok {
		panic(what)
	}
}

// decoded is an object as lines of text, and the batches of its chunks.
func decoded(object []byte, dataKey func(keyID string, wrapped []byte, name string) []byte) (lines []string, chunks [][]byte) {
	end := &dumb{object[len(object)-92:]}
	position, length, sha, previous := end.i64(), end.i32(), end.take(32), end.take(32)
	must(bytes.Equal(end.take(4), []byte{1, 0, 0, 0}), "version")
	must(end.i32() == crc32.Checksum(object[len(object)-92:len(object)-12], crc32.MakeTable(crc32.Castagnoli)), "trailer CRC")
	must(string(end.b) == "TDM-END\n", "end")
	must(int(position)+int(length)+92 == len(object), "footer's place")
	footer := object[position:][:length]
	must(sha256.Sum256(footer) == [32]byte(sha), "footer SHA-256")

	h := &dumb{object}
	must(string(h.take(9)) == "\x89TDM\r\n\x1a\n\x01", "magic")
	encrypted := h.take(1)[0] == 1
	head := object[:h.i32()]
	must(bytes.HasPrefix(footer, head), "two headers")
	lines = append(lines, fmt.Sprintf("header %s %s %s %s", h.str(), h.str(), h.str(), h.str()))
	generation, sequence, created := h.i64(), h.i64(), int64(h.i64())
	lines = append(lines, fmt.Sprintf("number %d %d %d previous %x digest %x", generation, sequence, created, previous,
		sha256.Sum256(object[len(object)-92:])))
	var gcm cipher.AEAD
	if encrypted {
		id, wrapped := h.str(), h.str()
		block, err := aes.NewCipher(dataKey(id, []byte(wrapped), Name("", header())))
		must(err == nil, "key")
		gcm, _ = cipher.NewGCM(block)
	}
	must(h.i32() == crc32.Checksum(head[:len(head)-4], crc32.MakeTable(crc32.Castagnoli)), "header CRC")
	must(len(object)-len(h.b) == len(head), "header's length")
	decrypt := func(b []byte, part uint32, number uint64, more ...byte) []byte {
		if gcm == nil {
			return b
		}
		nonce := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(nil, part), number)
		plain, err := gcm.Open(nil, nonce, b, slices.Concat(nonce, head, more))
		must(err == nil, "encryption")
		return plain
	}
	unzip := func(b []byte, n int) []byte {
		r, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1))
		must(err == nil, "zstd")
		defer r.Close()
		plain, err := io.ReadAll(r)
		must(err == nil && len(plain) == n, "zstd")
		return plain
	}

	f := &dumb{footer[len(head):]}
	fixed := f.b[:5]
	packed, n := f.take(1)[0], f.i32()
	f.b = decrypt(f.b, 2, 0, slices.Concat(previous, fixed)...)
	if packed == 1 {
		f.b = unzip(f.b, int(n))
	}
	must(len(f.b) == int(n), "footer's plain length")

	at := len(head)
	for i := range f.u() {
		line := fmt.Sprintf("chunk %s/%d epoch %d", f.topic(), f.u(), f.s())
		first := f.u()
		line += fmt.Sprintf(" %d-%d batches %d records %d markers %d", first, first+f.u(), f.u(), f.s(), f.u())
		flags := f.take(1)[0]
		least := f.s()
		line += fmt.Sprintf(" flags %d times %d-%d", flags, least, least+f.s())
		stored, plain, crc, sum := int(f.u()), int(f.u()), f.i32(), f.take(32)
		line += fmt.Sprintf(" at %d stored %d plain %d%s", at, stored, plain, f.open())
		for range f.u() {
			line += fmt.Sprintf(" aborted %d@%d-%d", f.s(), f.u(), f.s())
		}
		lines = append(lines, line)
		b := object[at:][:stored]
		at += stored
		must(sha256.Sum256(b) == [32]byte(sum), "chunk SHA-256")
		b = decrypt(b, 1, i)
		if flags&1 != 0 {
			b = unzip(b, plain)
		}
		must(len(b) == plain && crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) == crc, "chunk CRC")
		chunks = append(chunks, b)
	}
	must(at == int(position), "chunks end where the footer begins")
	for range f.u() {
		t, p := f.topic(), -1
		for range f.u() {
			p += int(f.u()) + 1
			lines = append(lines, fmt.Sprintf("position %s/%d %d epoch %d%s", t, p, f.u(), f.s(), f.open()))
		}
	}
	for range f.u() {
		lines = append(lines, fmt.Sprintf("event %d version %d at %d %x", f.u(), f.u(), created+f.s(), f.take(int(f.u()))))
	}
	must(len(f.b) == 0, "bytes behind the events")
	return lines, chunks
}

// told is a footer in the words of the dumb reader.
func told(f Footer) (lines []string) {
	topic := func(t Topic) string { return fmt.Sprintf("%s %x %d", t.Name, t.ID[:], t.Incarnation) }
	open := func(all []Transaction) (out string) {
		for _, t := range all {
			out += fmt.Sprintf(" open %d@%d", t.ProducerID, t.First)
		}
		return out
	}
	h := f.Header
	lines = append(lines, fmt.Sprintf("header %s %s %s %s", h.Flow.Source, h.Flow.Target, h.ClusterID, h.Writer),
		fmt.Sprintf("number %d %d %d previous %x digest %x", h.Generation, h.Sequence, h.CreatedAt.UnixMilli(), f.Previous[:], f.Digest[:]))
	for _, c := range f.Chunks {
		flags := int(c.Compression)
		if c.MinExact {
			flags += 2
		}
		if c.Committed {
			flags += 4
		}
		line := fmt.Sprintf("chunk %s/%d epoch %d %d-%d batches %d records %d markers %d flags %d times %d-%d at %d stored %d plain %d%s",
			topic(c.Topic), c.Partition, c.LeaderEpoch, c.First, c.Next, c.Batches, c.Records, c.Markers, flags, c.MinTimestamp,
			c.MaxTimestamp, c.Position, c.Stored, c.Plain, open(c.Open))
		for _, a := range c.Aborted {
			line += fmt.Sprintf(" aborted %d@%d-%d", a.ProducerID, a.First, a.Marker)
		}
		lines = append(lines, line)
	}
	for _, p := range f.Positions {
		lines = append(lines, fmt.Sprintf("position %s/%d %d epoch %d%s", topic(p.Topic), p.Partition, p.Next, p.LeaderEpoch, open(p.Open)))
	}
	for _, ev := range f.Events {
		v, e := int64(1), &encoder{}
		if u, ok := ev.Body.(Unknown); ok {
			v = u.Version
		}
		if err := ev.Body.encode(e); err != nil {
			panic(err)
		}
		lines = append(lines, fmt.Sprintf("event %d version %d at %d %x", ev.Body.kind(), v, ev.At.UnixMilli(), e.b))
	}
	return lines
}

func unwrapped(tb testing.TB, k *keeper) func(string, []byte, string) []byte {
	return func(id string, wrapped []byte, name string) []byte {
		key, err := k.Unwrap(tb.Context(), id, wrapped, []byte(name))
		if err != nil {
			panic(err)
		}
		return key
	}
}

func compare(tb testing.TB, object []byte, plain [][]byte, o Options) {
	tb.Helper()
	k, _ := o.Keeper.(*keeper)
	lines, chunks := decoded(object, unwrapped(tb, k))
	f, again, err := readAll(tb, object, OpenOptions{Keeper: o.Keeper})
	if err != nil {
		tb.Fatal(err)
	}
	if want := told(f); !slices.Equal(lines, want) {
		tb.Errorf("the dumb reader reads\n%s\nnot\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	if !slices.EqualFunc(chunks, plain, bytes.Equal) || !slices.EqualFunc(again, plain, bytes.Equal) {
		tb.Error("the batches differ")
	}
}

func TestDumbReaderReadsTheSame(t *testing.T) {
	for name, o := range forms() {
		t.Run(name, func(t *testing.T) {
			object, plain, _ := sample(t, o)
			compare(t, object, plain, o)
		})
	}
}

func TestDumbReaderOnRandomBundles(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 8))
		var o Options
		if rnd.IntN(2) == 0 {
			o.Compression = Zstd
		}
		if rnd.IntN(3) == 0 {
			o.Keeper = newKeeper("k")
		}
		w := begin(t, header(), o)
		topics := []Topic{topic("a"), topic("b"), {Name: "a", Incarnation: 1}, {Name: "c.d_e-f"}}
		ends := make(map[part]Position)
		var plain [][]byte
		for range rnd.IntN(12) {
			p := part{topic: topics[rnd.IntN(len(topics))], number: rnd.Int32N(1000)}
			at := ends[p]
			c := Chunk{Topic: p.topic, Partition: p.number, LeaderEpoch: rnd.Int32N(5) - 1, First: at.Next, Open: at.Open, Committed: rnd.IntN(2) == 0}
			next, batches := int64(at.Next), [][]byte(nil)
			for range rnd.IntN(4) {
				m := made{base: next + rnd.Int64N(3), producer: rnd.Int64N(3), epoch: rnd.Int32N(9), value: random(rnd.IntN(600))}
				for range rnd.IntN(5) {
					m.times = append(m.times, rnd.Int64()>>rnd.IntN(64))
				}
				switch rnd.IntN(4) {
				case 0:
					m.attributes = 0x10
				case 1:
					m.times, m.marker = []int64{5}, 1+rnd.IntN(2)
				case 2:
					m.codec = int16(rnd.IntN(5))
				}
				next = m.base + int64(max(len(m.times), 1))
				batches = append(batches, m.bytes())
			}
			c.Next = stream.Upstream(next + rnd.Int64N(2))
			e := appended(t, w, c, batches...)
			ends[p] = Position{Topic: p.topic, Partition: p.number, Next: e.Next, LeaderEpoch: e.LeaderEpoch, Open: e.Open}
			plain = append(plain, slices.Concat(batches...))
		}
		var positions []Position
		for _, p := range ends {
			positions = append(positions, p)
		}
		object, _, _ := finished(t, w, Digest{}, positions...)
		compare(t, object, plain, o)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}
