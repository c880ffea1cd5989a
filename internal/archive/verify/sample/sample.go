// Package sample makes small archives for tests: record batches of all kinds, bundles of several writers, and a store in memory that
// fails as a test wants it.
package sample

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/store"
	"tandem/internal/batch"
	"tandem/internal/stream"
)

// Noon is when all archives of this package begin.
var Noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// Store is a store in memory.
type Store struct {
	mu      sync.Mutex
	objects map[string][]byte
	calls   []string

	// Fail is asked before each call: an error is what the call fails with.
	Fail func(op, name string) error
	// Held are objects that a lock keeps, and until when.
	Held map[string]time.Time
}

var _ store.Store = (*Store)(nil)

// NewStore is an empty one.
func NewStore() *Store {
	return &Store{objects: make(map[string][]byte), Held: make(map[string]time.Time)}
}

// Failure is an error as a store has it.
func Failure(op, name string, kind store.Kind) error {
	return &store.Error{Op: op, Name: name, Kind: kind, Err: errors.New("injected")}
}

func (s *Store) ask(op, name string) error {
	s.calls = append(s.calls, op+" "+name)
	if s.Fail != nil {
		return s.Fail(op, name)
	}
	return nil
}

// Put is store.Store's.
func (s *Store) Put(_ context.Context, name string, body store.Body) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ask("put", name); err != nil {
		return err
	}
	b := make([]byte, body.Size())
	if n, err := body.ReadAt(b, 0); n != len(b) {
		return err
	}
	if has, ok := s.objects[name]; ok && !bytes.Equal(has, b) {
		return Failure("put", name, store.Conflict)
	}
	s.objects[name] = b
	return nil
}

// Get is store.Store's.
func (s *Store) Get(_ context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ask("get", name); err != nil {
		return nil, err
	}
	b, ok := s.objects[name]
	if !ok {
		return nil, Failure("get", name, store.NotFound)
	}
	if length < 0 {
		length = int64(len(b)) - offset
	}
	if length == 0 {
		return io.NopCloser(strings.NewReader("")), nil
	}
	if offset < 0 || offset >= int64(len(b)) || offset+length > int64(len(b)) {
		return nil, Failure("get", name, store.Short)
	}
	return io.NopCloser(bytes.NewReader(b[offset : offset+length])), nil
}

// List is store.Store's.
func (s *Store) List(_ context.Context, prefix, after string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		s.mu.Lock()
		err := s.ask("list", prefix)
		var all []store.Info
		for _, name := range slices.Sorted(maps.Keys(s.objects)) {
			if strings.HasPrefix(name, prefix) && name > after {
				all = append(all, store.Info{Name: name, Size: int64(len(s.objects[name]))})
			}
		}
		s.mu.Unlock()
		if err != nil {
			yield(store.Info{}, err)
			return
		}
		for _, i := range all {
			if !yield(i, nil) {
				return
			}
		}
	}
}

// Stat is store.Store's.
func (s *Store) Stat(_ context.Context, name string) (store.Info, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ask("stat", name); err != nil {
		return store.Info{}, err
	}
	b, ok := s.objects[name]
	if !ok {
		return store.Info{}, Failure("stat", name, store.NotFound)
	}
	return store.Info{Name: name, Size: int64(len(b)), Retained: s.Held[name]}, nil
}

// Delete is store.Store's.
func (s *Store) Delete(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ask("delete", name); err != nil {
		return err
	}
	if until, ok := s.Held[name]; ok {
		return &store.Error{Op: "delete", Name: name, Kind: store.Retained, Until: until, Err: errors.New("a lock holds the object")}
	}
	delete(s.objects, name)
	return nil
}

// Close is store.Store's.
func (s *Store) Close() error { return nil }

// Calls are the calls so far, as "put NAME".
func (s *Store) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Names are the objects there are.
func (s *Store) Names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.objects))
}

// Object is the bytes of one; they are the store's own.
func (s *Store) Object(name string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.objects[name]
}

// Set replaces an object behind everybody's back; nil takes it away.
func (s *Store) Set(name string, b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.objects[name] = b; b == nil {
		delete(s.objects, name)
	}
}

// Copy is a store with the same objects.
func (s *Store) Copy() *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &Store{objects: maps.Clone(s.objects), Held: maps.Clone(s.Held)}
}

// Record is a record of a batch to make.
type Record struct {
	Delta int32 // of its offset; rises
	Time  int64
	Key   []byte // nil: null
	Value []byte
	// Headers are names and values in turns.
	Headers []string
}

// Batch is a record batch to make.
type Batch struct {
	Base       int64
	Last       int32 // last offset delta; less than that of the last record: that
	Records    []Record
	Codec      batch.Codec
	Attributes int16 // beside the codec
	BaseTime   int64 // 0: that of the first record
	Producer   int64 // 0: none
	Sequence   int32
	Epoch      int32 // of the leader
	Marker     int   // 1 commit, 2 abort
}

// Bytes is the batch.
func (m Batch) Bytes() []byte {
	if m.Marker > 0 {
		m.Attributes |= 0x30
		m.Records = []Record{{Time: m.BaseTime + 1700000000000, Key: []byte{0, 0, 0, byte(2 - m.Marker)}, Value: make([]byte, 6)}}
		m.BaseTime = 0
	}
	base, most, last := m.BaseTime, int64(-1), m.Last
	var records []byte
	for i, r := range m.Records {
		if i == 0 && base == 0 {
			base = r.Time
		}
		most, last = max(most, r.Time), max(last, r.Delta)
		body := binary.AppendVarint([]byte{0}, r.Time-base)
		body = binary.AppendVarint(body, int64(r.Delta))
		body = appendBytes(appendBytes(body, r.Key), r.Value)
		body = binary.AppendVarint(body, int64(len(r.Headers)/2))
		for _, h := range r.Headers {
			body = appendBytes(body, []byte(h))
		}
		records = append(binary.AppendVarint(records, int64(len(body))), body...)
	}
	producer := m.Producer
	if producer == 0 {
		producer = -1
	}
	n := len(m.Records)
	if n > 0 {
		records = pressed(m.Codec, records)
	}
	b := binary.BigEndian.AppendUint64(nil, uint64(m.Base))
	b = binary.BigEndian.AppendUint32(b, uint32(49+len(records)))
	b = binary.BigEndian.AppendUint32(b, uint32(m.Epoch))
	b = append(b, 2, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(m.Attributes)|uint16(m.Codec))
	b = binary.BigEndian.AppendUint32(b, uint32(last))
	b = binary.BigEndian.AppendUint64(b, uint64(base))
	b = binary.BigEndian.AppendUint64(b, uint64(most))
	b = binary.BigEndian.AppendUint64(b, uint64(producer))
	b = append(b, 0, 0) // producer epoch
	b = binary.BigEndian.AppendUint32(b, uint32(m.Sequence))
	b = binary.BigEndian.AppendUint32(b, uint32(n))
	return Sum(append(b, records...))
}

// Sum writes the CRC of a batch.
func Sum(b []byte) []byte {
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

func appendBytes(b, v []byte) []byte {
	if v == nil {
		return binary.AppendVarint(b, -1)
	}
	return append(binary.AppendVarint(b, int64(len(v))), v...)
}

func pressed(c batch.Codec, b []byte) []byte {
	var out bytes.Buffer
	switch c {
	case batch.Gzip:
		w := gzip.NewWriter(&out)
		_, _ = w.Write(b) // to memory
		_ = w.Close()
	case batch.Snappy:
		return s2.EncodeSnappy(nil, b)
	case batch.LZ4:
		w := lz4.NewWriter(&out)
		_, _ = w.Write(b)
		_ = w.Close()
	case batch.Zstd:
		w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
		if err != nil {
			panic(err)
		}
		return w.EncodeAll(b, nil)
	default:
		return b
	}
	return out.Bytes()
}

// Topic is a topic with an id of its own.
func Topic(name string) bundle.Topic {
	sum := sha256.Sum256([]byte(name))
	return bundle.Topic{Name: name, ID: stream.TopicID(sum[:16])}
}

// Keeper keeps keys in memory; the first is the newest. It is good enough for a test, for nothing else.
type Keeper []string

func (k Keeper) gcm(id string) (cipher.AEAD, error) {
	if !slices.Contains(k, id) {
		return nil, fmt.Errorf("no key %q: %w", id, bundle.ErrKey)
	}
	key := sha256.Sum256([]byte("key " + id))
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// Wrap is bundle.Keeper's.
func (k Keeper) Wrap(_ context.Context, key, aad []byte) ([]byte, string, error) {
	g, err := k.gcm(k[0])
	if err != nil {
		return nil, "", err
	}
	return g.Seal(nil, make([]byte, 12), key, aad), k[0], nil
}

// Unwrap is bundle.Keeper's.
func (k Keeper) Unwrap(_ context.Context, id string, wrapped, aad []byte) ([]byte, error) {
	g, err := k.gcm(id)
	if err != nil {
		return nil, err
	}
	key, err := g.Open(nil, make([]byte, 12), wrapped, aad)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, bundle.ErrKey)
	}
	return key, nil
}

// Writer writes the bundles of one writer, as the archiver does.
type Writer struct {
	Header  bundle.Header
	Options bundle.Options
	Names   []string // of the bundles so far

	tb       testing.TB
	store    *Store
	writer   *bundle.Writer
	previous bundle.Digest
	at       map[key]*bundle.Position
	begun    map[key]bool
}

type key struct {
	topic  bundle.Topic
	number int32
}

// NewWriter begins with generation 0 at Noon.
func NewWriter(tb testing.TB, st *Store, name string, o bundle.Options) *Writer {
	return &Writer{tb: tb, store: st, Options: o, at: make(map[key]*bundle.Position), begun: make(map[key]bool), Header: bundle.Header{
		Flow: stream.Flow{Source: "A", Target: "B"}, Writer: name, CreatedAt: Noon,
	}}
}

func (w *Writer) begin() *bundle.Writer {
	w.tb.Helper()
	if w.writer == nil {
		var err error
		if w.writer, err = bundle.NewWriter(w.tb.Context(), w.Header, w.Options); err != nil {
			w.tb.Fatal(err)
		}
	}
	return w.writer
}

// Append adds batches as one chunk, from where the partition's chunk before ended up to behind the last batch, or up to next.
func (w *Writer) Append(t bundle.Topic, number int32, next int64, batches ...[]byte) bundle.Entry {
	w.tb.Helper()
	k := key{t, number}
	p := w.at[k]
	if p == nil {
		p = &bundle.Position{Topic: t, Partition: number, LeaderEpoch: -1}
		w.at[k] = p
	}
	c := bundle.Chunk{Topic: t, Partition: number, LeaderEpoch: -1, First: p.Next, Open: p.Open, Begins: !w.begun[k]}
	for _, b := range batches {
		for len(b) > 0 {
			v, rest, err := batch.Next(b)
			if err != nil {
				w.tb.Fatal(err)
			}
			c.Next, b = stream.Upstream(v.LastOffset())+1, rest
		}
	}
	c.Next = max(c.Next, stream.Upstream(next))
	e, err := w.begin().Append(c, batches...)
	if err != nil {
		w.tb.Fatal(err)
	}
	p.Next, p.LeaderEpoch, p.Open, w.begun[k] = e.Next, e.LeaderEpoch, e.Open, true
	return e
}

// Seek says that the partition goes on elsewhere.
func (w *Writer) Seek(t bundle.Topic, number int32, to int64) {
	w.at[key{t, number}] = &bundle.Position{Topic: t, Partition: number, Next: stream.Upstream(to), LeaderEpoch: -1}
	delete(w.begun, key{t, number})
}

// Event adds one, seen when the bundle was begun.
func (w *Writer) Event(b bundle.Body) {
	w.tb.Helper()
	if err := w.begin().Event(w.Header.CreatedAt, b); err != nil {
		w.tb.Fatal(err)
	}
}

// Flush stores the bundle. The next one is made ten seconds later.
func (w *Writer) Flush() bundle.Footer {
	w.tb.Helper()
	var positions []bundle.Position
	for _, p := range w.at {
		positions = append(positions, *p)
	}
	o, f, err := w.begin().Finish(w.previous, positions)
	if err != nil {
		w.tb.Fatal(err)
	}
	b := make([]byte, o.Size())
	if n, err := o.ReadAt(b, 0); n != len(b) {
		w.tb.Fatal(err)
	}
	w.store.Set(o.Name(), b)
	w.Names = append(w.Names, o.Name())
	w.previous, w.writer = f.Digest, nil
	w.Header.Sequence++
	w.Header.CreatedAt = w.Header.CreatedAt.Add(10 * time.Second)
	return f
}

// Restart begins the next generation.
func (w *Writer) Restart() {
	w.Header.Generation++
	w.Header.Sequence = 0
}
