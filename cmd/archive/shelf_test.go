package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	"tandem/internal/archive/keys"
	"tandem/internal/archive/store"
	"tandem/internal/stream"
)

// shelf is an archive in a folder, and the file that names it.
type shelf struct {
	t        *testing.T
	dir      string
	file     string
	store    store.Store
	keeper   bundle.Keeper
	writer   string
	sequence int64
	previous bundle.Digest
	next     map[int32]stream.Upstream
	names    []string
	topic    bundle.Topic
}

var ordersTopic = bundle.Topic{Name: "orders", ID: stream.TopicID{1}}

// newShelf makes an empty archive. more are lines of the file.
func newShelf(t *testing.T, more ...string) *shelf {
	t.Helper()
	s := &shelf{t: t, dir: t.TempDir(), writer: "mirror-B", topic: ordersTopic, next: make(map[int32]stream.Upstream)}
	s.file = filepath.Join(t.TempDir(), "mm2.properties")
	s.configure(more...)
	var err error
	if s.store, err = store.Open(t.Context(), "file://"+s.dir, store.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.store.Close() })
	return s
}

func (s *shelf) configure(more ...string) {
	s.t.Helper()
	lines := append([]string{
		"clusters = A, B", "A.bootstrap.servers = 127.0.0.1:1", "B.bootstrap.servers = 127.0.0.1:1", "A->B.enabled = true", "A->B.topics = orders",
		"A->B.archive.enabled = true", "A->B.archive.url = file://" + s.dir,
	}, more...)
	if err := os.WriteFile(s.file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// encrypt has the bundles to come encrypted.
func (s *shelf) encrypt(urls ...string) {
	s.t.Helper()
	ring, err := keys.Open(s.t.Context(), urls)
	if err != nil {
		s.t.Fatal(err)
	}
	s.keeper = ring
	s.configure("A->B.archive.encryption.key.url = " + strings.Join(urls, ", "))
}

// rawBatch is a record batch of n records without contents.
func rawBatch(first stream.Upstream, n int, at time.Time) []byte {
	var records []byte
	for i := range n {
		body := binary.AppendVarint([]byte{0}, 0)
		body = binary.AppendVarint(body, int64(i))
		body = append(binary.AppendVarint(binary.AppendVarint(body, -1), 1), 'x', 0)
		records = append(binary.AppendVarint(records, int64(len(body))), body...)
	}
	b := binary.BigEndian.AppendUint64(nil, uint64(first))
	b = binary.BigEndian.AppendUint32(b, uint32(49+len(records)))
	b = binary.BigEndian.AppendUint32(b, 0)
	b = append(b, 2, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(n-1))
	b = binary.BigEndian.AppendUint64(b, uint64(at.UnixMilli()))
	b = binary.BigEndian.AppendUint64(b, uint64(at.UnixMilli()))
	b = binary.BigEndian.AppendUint64(b, 1<<64-1)
	b = binary.BigEndian.AppendUint16(b, 1<<16-1)
	b = binary.BigEndian.AppendUint32(b, 1<<32-1)
	b = binary.BigEndian.AppendUint32(b, uint32(n))
	b = append(b, records...)
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// bundle stores ten records of each partition that is named, and events. It gives the name.
func (s *shelf) bundle(at time.Time, partitions []int32, events ...bundle.Body) string {
	s.t.Helper()
	ctx := context.Background()
	w, err := bundle.NewWriter(ctx, bundle.Header{
		Flow: stream.Flow{Source: "A", Target: "B"}, Writer: s.writer, Generation: 1, Sequence: s.sequence, CreatedAt: at,
	}, bundle.Options{Keeper: s.keeper})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, p := range partitions {
		first := s.next[p]
		s.next[p] += 10
		if _, err := w.Append(bundle.Chunk{Topic: s.topic, Partition: p, First: first, Next: first + 10}, rawBatch(first, 10, at)); err != nil {
			s.t.Fatal(err)
		}
	}
	for _, e := range events {
		if err := w.Event(at, e); err != nil {
			s.t.Fatal(err)
		}
	}
	var positions []bundle.Position
	for p, next := range s.next {
		positions = append(positions, bundle.Position{Topic: s.topic, Partition: p, Next: next, LeaderEpoch: -1})
	}
	o, f, err := w.Finish(s.previous, positions)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.store.Put(ctx, o.Name(), o); err != nil {
		s.t.Fatal(err)
	}
	s.sequence, s.previous, s.names = s.sequence+1, f.Digest, append(s.names, o.Name())
	return o.Name()
}

// days is an archive of some days, a bundle each, the last one of an hour ago.
func (s *shelf) days(n int) {
	s.t.Helper()
	now := time.Now().Truncate(time.Millisecond)
	for i := range n {
		at := now.Add(-time.Duration(n-1-i) * 24 * time.Hour).Add(-time.Hour)
		var events []bundle.Body
		if i == 0 {
			events = append(events, bundle.TopicCreated{Topic: ordersTopic, Partitions: 2, Factor: 1, Found: true},
				bundle.TopicConfigs{Topic: ordersTopic, Configs: []bundle.Config{{Name: "cleanup.policy", Value: "delete"}, {Name: "retention.ms", Value: "3600000"}}},
				bundle.GroupOffsets{Group: "billing", Whole: true, Offsets: []bundle.GroupOffset{{Topic: "orders", Offset: 7}}})
		}
		s.bundle(at, []int32{0, 1}, events...)
	}
}

func (s *shelf) state(at time.Time) *catalog.State {
	s.t.Helper()
	state, err := catalog.Load(s.t.Context(), s.store, catalog.Options{Source: "A", Keeper: s.keeper}, at, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return state
}

// objects lists all names below a prefix.
func (s *shelf) objects(prefix string) (names []string) {
	s.t.Helper()
	for info, err := range s.store.List(s.t.Context(), prefix, "") {
		if err != nil {
			s.t.Fatal(err)
		}
		names = append(names, info.Name)
	}
	return names
}

// outcome is what a command said.
type outcome struct {
	status   int
	out, err string
}

func command(t *testing.T, args ...string) outcome {
	t.Helper()
	var out, err bytes.Buffer
	status := run(t.Context(), args, strings.NewReader(""), &out, &err)
	return outcome{status, out.String(), err.String()}
}

// must runs a command that has to end with a status, and to say some words.
func must(t *testing.T, status int, words string, args ...string) outcome {
	t.Helper()
	r := command(t, args...)
	if r.status != status || !strings.Contains(r.out+r.err, words) {
		t.Fatalf("archive %s: status %d, not %d, or without %q:\n%s%s", strings.Join(args, " "), r.status, status, words, r.out, r.err)
	}
	return r
}

func (s *shelf) damage(name string) {
	s.t.Helper()
	path := filepath.Join(s.dir, filepath.FromSlash(name))
	text, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	text[len(text)-20] ^= 1
	if err := os.WriteFile(path, text, 0o600); err != nil {
		s.t.Fatal(fmt.Errorf("damage %s: %w", name, err))
	}
}

func bytesBody(text string) store.Body { return bytes.NewReader([]byte(text)) }
