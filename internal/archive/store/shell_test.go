package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// scripted is a backend of one object whose opens and pages the test makes.
type scripted struct {
	backend
	opens func(ctx context.Context, offset, length int64) (io.ReadCloser, int64, error)
	pages func(token []byte) ([]Info, []byte, error)
}

func (s scripted) open(ctx context.Context, _ string, offset, length int64) (io.ReadCloser, int64, error) {
	return s.opens(ctx, offset, length)
}

func (s scripted) page(_ context.Context, _, _ string, token []byte) ([]Info, []byte, error) {
	return s.pages(token)
}

// pieces gives some bytes and then fails.
type pieces struct {
	io.Reader
	err error
}

func (p *pieces) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	if errors.Is(err, io.EOF) {
		err = p.err
	}
	return n, err
}

func (p *pieces) Close() error { return nil }

// Whatever breaks, and wherever, what comes out is the range that was asked for.
func TestAReadIsItsRange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(300) {
			rng := rand.New(rand.NewPCG(seed, 0))
			object := make([]byte, 1+rng.IntN(300))
			for i := range object {
				object[i] = byte(rng.Uint32())
			}
			s := newShell(scripted{opens: func(_ context.Context, offset, length int64) (io.ReadCloser, int64, error) {
				if rng.IntN(4) == 0 {
					return nil, 0, syscall.ECONNRESET
				}
				if length < 0 {
					length = int64(len(object)) - offset
				}
				part := object[offset : offset+length]
				err := []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET}[rng.IntN(3)]
				return &pieces{bytes.NewReader(part[:rng.IntN(len(part)+1)]), err}, int64(len(object)), nil
			}}, Options{Patience: time.Hour})
			offset := rng.Int64N(int64(len(object)))
			length := rng.Int64N(int64(len(object))-offset) + 1
			want := object[offset : offset+length]
			if rng.IntN(3) == 0 {
				length, want = -1, object[offset:]
			}
			got, err := read(t.Context(), s, "a", offset, length)
			if err != nil || got != string(want) {
				t.Fatalf("seed %d: %d bytes of %d, %v", seed, len(got), len(want), err)
			}
		}
	})
}

// A try that moves nothing is ended; a slow reader is no stall; a store that is away for good is given up on.
func TestStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opened := 0
		s := newShell(scripted{opens: func(ctx context.Context, offset, length int64) (io.ReadCloser, int64, error) {
			if opened++; opened == 1 {
				<-ctx.Done() // never answers
				return nil, 0, ctx.Err()
			}
			if opened == 2 {
				return &pieces{readerFunc(func([]byte) (int, error) { <-ctx.Done(); return 0, ctx.Err() }), io.EOF}, 3, nil
			}
			return &pieces{strings.NewReader("abc"[offset : offset+length]), io.EOF}, 3, nil
		}}, Options{Idle: 30 * time.Second})
		start := time.Now()
		body, err := s.Get(t.Context(), "a", 0, 3)
		if err != nil {
			t.Fatal(err)
		}
		var got [1]byte
		for i := range 3 {
			if _, err := io.ReadFull(body, got[:]); err != nil || got[0] != "abc"[i] {
				t.Fatal(got, err)
			}
			if i == 0 {
				if took := time.Since(start); opened != 3 || took < time.Minute || took > 61*time.Second {
					t.Fatalf("%d opens in %s", opened, took)
				}
			}
			<-time.After(time.Hour) // the reader's own business
		}
		if opened != 3 {
			t.Fatalf("%d opens", opened)
		}
		if err := body.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		s := newShell(scripted{opens: func(context.Context, int64, int64) (io.ReadCloser, int64, error) {
			tries++
			return nil, 0, syscall.ECONNREFUSED
		}}, Options{})
		start := time.Now()
		_, err := s.Get(t.Context(), "a", 0, 3)
		wantKind(t, err, Transient, fmt.Sprintf("given up after %d tries", tries))
		if took := time.Since(start); took > DefaultPatience || took < DefaultPatience-10*time.Second || tries < 10 || tries > 60 {
			t.Fatalf("%d tries in %s", tries, took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		_, err = s.Get(ctx, "a", 0, 3)
		wantKind(t, err, Canceled)
		if took := time.Since(start); took != time.Second {
			t.Fatalf("canceled after %s", took)
		}
	})
}

// A store that lists a name twice or out of order is not believed.
func TestListsThatCannotBe(t *testing.T) {
	for _, pages := range [][][]string{{{"b", "a"}}, {{"a", "b"}, {"b", "c"}}, {{"a", "b"}, {"a", "b"}}, {{"a", "a"}}} {
		s := newShell(scripted{pages: func(token []byte) (page []Info, next []byte, err error) {
			n := len(token)
			for _, name := range pages[n] {
				page = append(page, Info{Name: name})
			}
			if n+1 < len(pages) {
				next = make([]byte, n+1)
			}
			return page, next, nil
		}}, Options{})
		var last error
		for _, err := range s.List(t.Context(), "", "") {
			last = err
		}
		wantKind(t, last, Other, "the store lists")
	}
}

// A store that ignores the condition writes over objects: found out before an archive rests on it.
func TestProbeFindsAStoreThatWritesOver(t *testing.T) {
	s := overwriting{opened(t, "mem://", Options{})}
	if err := Probe(t.Context(), s, "probe"); !errors.Is(err, ErrUnfit) {
		t.Fatal(err)
	}
}

type overwriting struct{ Store }

func (o overwriting) Put(ctx context.Context, name string, body Body) error {
	if err := o.Delete(ctx, name); err != nil {
		return err
	}
	return o.Store.Put(ctx, name, body)
}
