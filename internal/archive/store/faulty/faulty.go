// Package faulty spoils a store by a script, for tests of what is built on stores: refusals, throttling, a full disk, a store
// that is away, slow or broken bodies, a put whose answer is lost.
//
// In comes a store and faults; out comes a store that behaves as they say. What a caller sees is what it would see above the
// tries of a real store: an error here is one that the store gave up on.
//
// Not guaranteed: an order of faults among calls that run at once.
package faulty

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"tandem/internal/archive/store"
)

// Op is an operation of a store.
type Op string

// The operations. Any matches each of them.
const (
	Any    Op = ""
	Put    Op = "put"
	Get    Op = "get"
	List   Op = "list"
	Stat   Op = "stat"
	Delete Op = "delete"
)

// Fault is what befalls calls. Without Kind and Lost and Cut a call passes, after Wait.
type Fault struct {
	Op   Op
	Name string // the call's name or prefix contains it
	Skip int    // so many matching calls pass before
	// Times is how many calls it befalls after them: 0 means one, negative all.
	Times int

	Wait  <-chan struct{} // first the call waits until this is closed, or its context ends
	Kind  store.Kind      // then it fails with this kind; Other, the zero value, is no failure
	Until time.Time       // of Retained
	Lost  bool            // Put and Delete: what was asked is done, and then it fails as Transient
	// Cut is for Get: so many bytes come, then the body fails with CutKind (Other: it just ends, as a truncated object does).
	Cut     int64
	CutKind store.Kind
	Slow    func() // Get: called before each piece of Piece bytes
	Piece   int
}

// ErrInjected is at the bottom of every error made here.
var ErrInjected = errors.New("injected")

// Store is a store with faults.
type Store struct {
	inner store.Store

	mu     sync.Mutex
	faults []*Fault
	calls  []string
}

var _ store.Store = (*Store)(nil)

// Wrap returns the store with these faults.
func Wrap(inner store.Store, faults ...Fault) *Store {
	s := &Store{inner: inner}
	s.Script(faults...)
	return s
}

// Script replaces the faults.
func (s *Store) Script(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
	for _, f := range faults {
		s.faults = append(s.faults, &f)
	}
}

// Calls are the calls so far: "put NAME", "list PREFIX".
func (s *Store) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// next takes the first fault that matches; faults before it that only skip count the call too.
func (s *Store) next(op Op, name string) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, string(op)+" "+name)
	for i, f := range s.faults {
		switch {
		case f.Op != Any && f.Op != op, !strings.Contains(name, f.Name):
		case f.Skip > 0:
			f.Skip--
		default:
			found := *f
			if f.Times >= 0 {
				if f.Times--; f.Times <= 0 {
					s.faults = slices.Delete(s.faults, i, i+1)
				}
			}
			return found
		}
	}
	return Fault{}
}

// before is what happens ahead of the call: nil when it may go on.
func (s *Store) before(ctx context.Context, op Op, name string) (Fault, error) {
	f := s.next(op, name)
	if f.Wait != nil {
		select {
		case <-f.Wait:
		case <-ctx.Done():
			return f, failure(op, name, store.Canceled, ctx.Err())
		}
	}
	if f.Kind != store.Other {
		err := failure(op, name, f.Kind, ErrInjected)
		err.Until = f.Until
		return f, err
	}
	return f, nil
}

func failure(op Op, name string, kind store.Kind, err error) *store.Error {
	return &store.Error{Op: string(op), Name: name, Kind: kind, Err: err}
}

// after loses the answer to what went well.
func (f Fault) after(op Op, name string, err error) error {
	if err == nil && f.Lost {
		return failure(op, name, store.Transient, ErrInjected)
	}
	return err
}

// Put is store.Store's.
func (s *Store) Put(ctx context.Context, name string, body store.Body) error {
	f, err := s.before(ctx, Put, name)
	if err != nil {
		return err
	}
	return f.after(Put, name, s.inner.Put(ctx, name, body))
}

// Get is store.Store's.
func (s *Store) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	f, err := s.before(ctx, Get, name)
	if err != nil {
		return nil, err
	}
	body, err := s.inner.Get(ctx, name, offset, length)
	if err != nil || (f.Cut == 0 && f.Slow == nil) {
		return body, err
	}
	return &spoiled{ReadCloser: body, fault: f, name: name, left: f.Cut}, nil
}

type spoiled struct {
	io.ReadCloser
	fault Fault
	name  string
	left  int64
}

func (b *spoiled) Read(p []byte) (int, error) {
	if b.fault.Slow != nil {
		b.fault.Slow()
		p = p[:min(len(p), max(b.fault.Piece, 1))]
	}
	if b.fault.Cut == 0 {
		return b.ReadCloser.Read(p)
	}
	if b.left == 0 {
		if b.fault.CutKind == store.Other {
			return 0, io.EOF
		}
		return 0, failure(Get, b.name, b.fault.CutKind, ErrInjected)
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// List is store.Store's.
func (s *Store) List(ctx context.Context, prefix, startAfter string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		if _, err := s.before(ctx, List, prefix); err != nil {
			yield(store.Info{}, err)
			return
		}
		s.inner.List(ctx, prefix, startAfter)(yield)
	}
}

// Stat is store.Store's.
func (s *Store) Stat(ctx context.Context, name string) (store.Info, error) {
	if _, err := s.before(ctx, Stat, name); err != nil {
		return store.Info{}, err
	}
	return s.inner.Stat(ctx, name)
}

// Delete is store.Store's.
func (s *Store) Delete(ctx context.Context, name string) error {
	f, err := s.before(ctx, Delete, name)
	if err != nil {
		return err
	}
	return f.after(Delete, name, s.inner.Delete(ctx, name))
}

// Close closes the store below.
func (s *Store) Close() error { return s.inner.Close() }
