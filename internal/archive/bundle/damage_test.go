package bundle

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

func random(n int) []byte {
	rnd := rand.New(rand.NewPCG(uint64(n), 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

func TestEveryFlippedByteIsFound(t *testing.T) {
	for name, o := range forms() {
		t.Run(name, func(t *testing.T) {
			object, _, f := sample(t, o)
			for i := range object {
				for _, mask := range []byte{0x01, 0x80, 0xff} {
					object[i] ^= mask
					_, _, err := readAll(t, object, opened(o))
					object[i] ^= mask
					if !errors.Is(err, ErrCorrupt) {
						t.Fatalf("byte %d of %d, flipped by %02x: %v", i, len(object), mask, err)
					}
					for n, c := range f.Chunks {
						if int64(i) < c.Position || int64(i) >= c.Position+c.Stored {
							continue
						}
						var ce *ChunkError
						if !errors.As(err, &ce) || ce.Chunk != n || ce.Topic != c.Topic || ce.First != c.First || ce.Next != c.Next {
							t.Fatalf("byte %d of chunk %d: %v", i, n, err)
						}
					}
				}
			}
		})
	}
}

// A large bundle, of which Open reads only the end: the header in front is looked at with chunk 0.
func TestFlippedHeaderOfLargeBundle(t *testing.T) {
	w := begin(t, header(), Options{})
	appended(t, w, Chunk{Topic: topic("t"), Next: 1}, made{times: []int64{1}, value: random(2 * tailSize)}.bytes())
	object, _, f := finished(t, w, Digest{})
	for i := range f.Chunks[0].Position {
		object[i] ^= 4
		if _, _, err := readAll(t, object, OpenOptions{}); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("byte %d: %v", i, err)
		}
		object[i] ^= 4
	}
}

func TestCutOffAndLonger(t *testing.T) {
	for name, o := range forms() {
		t.Run(name, func(t *testing.T) {
			object, _, _ := sample(t, o)
			for n := range object {
				if _, _, err := readAll(t, object[:n], opened(o)); !errors.Is(err, ErrCorrupt) {
					t.Fatalf("%d of %d bytes: %v", n, len(object), err)
				}
			}
			for _, more := range []string{"\x00", "\n", string(object), string(object[len(object)-trailerSize:])} {
				if _, _, err := readAll(t, append([]byte(more), object...), opened(o)); !errors.Is(err, ErrCorrupt) {
					t.Errorf("%d bytes in front: %v", len(more), err)
				}
				if _, _, err := readAll(t, append(bytes.Clone(object), more...), opened(o)); !errors.Is(err, ErrCorrupt) {
					t.Errorf("%d bytes behind: %v", len(more), err)
				}
			}
		})
	}
}

func TestErrorsSayWhatAndWhere(t *testing.T) {
	plain, _, f := sample(t, Options{})
	secret, _, _ := sample(t, Options{Keeper: newKeeper("k1")})
	other := header()
	other.Sequence++
	own := Name("p", header())
	newer := bytes.Clone(plain)
	end := newer[len(newer)-trailerSize:]
	end[atVersion] = 2
	binary.BigEndian.PutUint32(end[atTrailerCRC:], crc32.Checksum(end[:atTrailerCRC], castagnoli))
	flipped := bytes.Clone(plain)
	flipped[f.Chunks[1].Position] ^= 1

	for name, c := range map[string]struct {
		object []byte
		open   OpenOptions
		is     error
		says   []string
	}{
		"swapped":         {plain, OpenOptions{Name: Name("p", other)}, ErrName, []string{Name("p", other), "it is " + Name("", header())}},
		"cut off":         {plain[:500], OpenOptions{Name: own}, ErrCorrupt, []string{own, "500 bytes", "cut off"}},
		"flipped":         {flipped, OpenOptions{Name: own}, ErrCorrupt, []string{own, "chunk 1", "orders/3 offsets 104 to 104", "SHA-256"}},
		"newer":           {newer, OpenOptions{Name: own}, ErrNewer, []string{own, "version 2", "newer version of Tandem"}},
		"no key":          {secret, OpenOptions{Name: own}, ErrKey, []string{own, `key "k1"`}},
		"wrong key":       {secret, OpenOptions{Name: own, Keeper: newKeeper("k2")}, ErrKey, []string{own, `key "k1"`}},
		"key that lies":   {secret, OpenOptions{Name: own, Keeper: liar{}}, ErrKey, []string{own}},
		"key that is cut": {secret, OpenOptions{Name: own, Keeper: liar{n: 16}}, ErrKey, []string{own, "16 bytes"}},
		"no bundle":       {bytes.Repeat([]byte("text\n"), 100), OpenOptions{Name: own}, ErrCorrupt, []string{own, "no bundle"}},
		"empty":           {nil, OpenOptions{Name: own}, ErrCorrupt, []string{own, "0 bytes"}},
	} {
		_, _, err := readAll(t, c.object, c.open)
		if !errors.Is(err, c.is) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, s := range c.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %q does not say %q", name, err, s)
			}
		}
	}
}

// liar gives another key.
type liar struct{ n int }

func (liar) Wrap(context.Context, []byte, []byte) ([]byte, string, error) { return nil, "", nil }
func (l liar) Unwrap(context.Context, string, []byte, []byte) ([]byte, error) {
	if l.n == 0 {
		l.n = keySize
	}
	return make([]byte, l.n), nil
}

// broken fails some reads.
type broken struct {
	src   io.ReaderAt
	err   error
	after int
}

func (b *broken) ReadAt(p []byte, off int64) (int, error) {
	if b.after--; b.after < 0 {
		return 0, b.err
	}
	return b.src.ReadAt(p, off)
}

// A store that cannot be read is not a bundle that is damaged; one that has fewer bytes than it said is.
func TestStoreTrouble(t *testing.T) {
	w := begin(t, header(), Options{})
	appended(t, w, Chunk{Topic: topic("t"), Next: 1}, made{times: []int64{1}, value: random(2 * tailSize)}.bytes())
	object, _, _ := finished(t, w, Digest{})
	slow := errors.New("503 SlowDown")
	for after := range 2 {
		for _, err := range []error{slow, io.EOF} {
			lost := errors.Is(err, io.EOF)
			r, got := Open(t.Context(), &broken{bytes.NewReader(object), err, after}, int64(len(object)), OpenOptions{})
			if got == nil {
				_, got = r.Chunk(t.Context(), 0, nil)
			}
			if errors.Is(got, ErrCorrupt) != lost || errors.Is(got, slow) == lost {
				t.Errorf("%v after %d reads: %v", err, after, got)
			}
		}
	}
	r, err := Open(t.Context(), bytes.NewReader(object), int64(len(object)), OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Chunk(ctx, 0, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := r.Chunk(t.Context(), 1, nil); err == nil {
		t.Error("a chunk that is not there")
	}
}

// What was encrypted for one bundle does not pass in another, though both are whole: parts of one key, swapped.
func TestEncryptionBindsItsPlace(t *testing.T) {
	k := newKeeper("k1")
	h := header()
	key, err := wrapKey(t.Context(), k, &h)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSeal(key, h.encode())
	if err != nil {
		t.Fatal(err)
	}
	sealed := s.close(nil, []byte("plain"), partChunk, 3, nil)
	other := h
	other.Sequence++
	moved, err := newSeal(key, other.encode())
	if err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func() ([]byte, error){
		"another chunk":    func() ([]byte, error) { return s.open(nil, sealed, partChunk, 4, nil) },
		"as a footer":      func() ([]byte, error) { return s.open(nil, sealed, partFooter, 3, nil) },
		"another previous": func() ([]byte, error) { return s.open(nil, sealed, partChunk, 3, []byte{1}) },
		"another header":   func() ([]byte, error) { return moved.open(nil, sealed, partChunk, 3, nil) },
	} {
		if b, err := open(); !errors.Is(err, ErrKey) {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	if b, err := s.open(nil, sealed, partChunk, 3, nil); string(b) != "plain" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := unwrapKey(t.Context(), k, other, other.encode()); !errors.Is(err, ErrKey) {
		t.Errorf("wrapped for another name: %v", err)
	}
}

func TestRotatedKeys(t *testing.T) {
	old, _, _ := sample(t, Options{Keeper: newKeeper("k1")})
	fresh, _, _ := sample(t, Options{Keeper: newKeeper("k2", "k1")})
	for _, object := range [][]byte{old, fresh} {
		f, _, err := readAll(t, object, OpenOptions{Keeper: newKeeper("k2", "k1")})
		if err != nil {
			t.Errorf("key %s: %v", f.Header.KeyID, err)
		}
	}
}

// Every byte of an object belongs to something: a footer whose chunks leave a space, or overlap it, is refused.
func TestNoSpaceBetween(t *testing.T) {
	_, _, f := sample(t, Options{})
	b, start, end := again(t, f)
	for _, move := range []int64{-1, 0, 1} {
		if _, err := parseBody(b, start, end+move, noon); (err == nil) != (move == 0) {
			t.Errorf("the footer begins %d bytes further on: %v", move, err)
		}
	}
}

// The CRC is of what came out of decryption and decompression: it would find a fault in those.
func TestCRCOfTheBatches(t *testing.T) {
	for name, o := range forms() {
		object, _, _ := sample(t, o)
		r, err := Open(t.Context(), bytes.NewReader(object), int64(len(object)), opened(o))
		if err != nil {
			t.Fatal(err)
		}
		r.footer.Chunks[0].CRC++
		if _, err := r.Chunk(t.Context(), 0, nil); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "CRC of the batches") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
