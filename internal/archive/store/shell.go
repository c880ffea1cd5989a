package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"time"
)

// backend is one kind of store; each method is a single try. Errors are raw, but for these: errExists of create, errMissing where
// the store says that there is no such object, errHeld of remove, errShort of open.
type backend interface {
	// create calls moved while bytes move. It never writes over an object.
	create(ctx context.Context, name string, body *summed, moved func()) error
	// open returns the whole object's size too. A length of -1 is to the end.
	open(ctx context.Context, name string, offset, length int64) (body io.ReadCloser, size int64, err error)
	// page returns some objects, and where to go on; nil is the end. after counts only while token is nil.
	page(ctx context.Context, prefix, after string, token []byte) (objects []Info, next []byte, err error)
	stat(ctx context.Context, name string) (Info, error)
	remove(ctx context.Context, name string) error
	// digest is the SHA-256 that the store itself has computed over the object; false where it has not.
	digest(ctx context.Context, name string) ([sha256.Size]byte, bool, error)
	close() error
}

// shell makes a Store of a backend.
type shell struct {
	backend  backend
	patience time.Duration
	idle     time.Duration
	retried  func(Retry)
}

func newShell(b backend, o Options) *shell {
	s := &shell{backend: b, patience: o.Patience, idle: o.Idle, retried: o.Retried}
	if s.patience == 0 {
		s.patience = DefaultPatience
	}
	if s.idle == 0 {
		s.idle = DefaultIdle
	}
	if s.retried == nil {
		s.retried = func(Retry) {}
	}
	return s
}

func body(b []byte) Body { return bytes.NewReader(b) }

// Put leaves to the shell what happens when the answer to a create was lost: the next try finds the object, and its bytes
// say whether it is ours.
func (s *shell) Put(ctx context.Context, name string, body Body) error {
	t := s.tries(ctx, "put", name)
	if err := CheckName(name); err != nil {
		return t.fail(err)
	}
	whole := &summed{Body: body}
	err := t.run(func(ctx context.Context, moved func()) error {
		return s.backend.create(ctx, name, whole, moved)
	})
	if Classify(err) != Conflict {
		return err
	}
	// Trying anew: that the object is there is an answer, and comparing is another question.
	t = s.tries(ctx, "put", name)
	same := false
	err = t.run(func(ctx context.Context, moved func()) (err error) {
		same, err = s.holds(ctx, name, whole, moved)
		return err
	})
	if err != nil || same {
		return err
	}
	return t.fail(fmt.Errorf("%w, with other bytes", errExists))
}

// holds says whether the object has these bytes. What the store computed by itself is believed; what a writer wrote
// beside the object is not, so without the store's word the object is read.
func (s *shell) holds(ctx context.Context, name string, body *summed, moved func()) (bool, error) {
	info, err := s.backend.stat(ctx, name)
	if err != nil || info.Size != body.Size() {
		return false, err
	}
	digest, err := body.digest()
	if err != nil {
		return false, err
	}
	if has, ok, err := s.backend.digest(ctx, name); err != nil || ok {
		return has == digest, err
	}
	object, _, err := s.backend.open(ctx, name, 0, -1)
	if err != nil {
		return false, err
	}
	defer object.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, progress{object, moved}); err != nil {
		return false, err
	}
	return [sha256.Size]byte(hash.Sum(nil)) == digest, nil
}

// summed is a body that is hashed at most once, and only where somebody wants to know.
type summed struct {
	Body
	sum   [sha256.Size]byte
	known bool
}

// digest is the SHA-256 of the body.
func (b *summed) digest() ([sha256.Size]byte, error) {
	if b.known {
		return b.sum, nil
	}
	hash := sha256.New()
	n, err := copyTo(hash, b.Body)
	if err == nil && n != b.Size() {
		err = errBody
	}
	if err != nil {
		return b.sum, err
	}
	b.sum, b.known = [sha256.Size]byte(hash.Sum(nil)), true
	return b.sum, nil
}

// copyTo writes a body out, in its own pieces where it has any.
func copyTo(w io.Writer, b Body) (int64, error) {
	if own, ok := b.(io.WriterTo); ok && !isReader(b) {
		return own.WriteTo(w)
	}
	return io.Copy(w, io.NewSectionReader(b, 0, b.Size()))
}

// isReader: WriteTo of something that is read from a place on moves the place, as that of bytes.Reader does.
func isReader(b Body) bool {
	_, ok := b.(io.Reader)
	return ok
}

type progress struct {
	io.Reader
	moved func()
}

func (p progress) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	p.moved()
	return n, err
}

func (s *shell) Stat(ctx context.Context, name string) (Info, error) {
	t := s.tries(ctx, "stat", name)
	if err := CheckName(name); err != nil {
		return Info{}, t.fail(err)
	}
	var info Info
	err := t.run(func(ctx context.Context, _ func()) (err error) {
		info, err = s.backend.stat(ctx, name)
		return err
	})
	info.Name = name
	return info, err
}

// Delete looks first: what is locked is not asked for, since S3 would answer by hiding the object and keeping its bytes.
func (s *shell) Delete(ctx context.Context, name string) error {
	t := s.tries(ctx, "delete", name)
	if err := CheckName(name); err != nil {
		return t.fail(err)
	}
	var info Info
	err := t.run(func(ctx context.Context, _ func()) (err error) {
		if info, err = s.backend.stat(ctx, name); err != nil {
			return err
		}
		if info.Held || info.Retained.After(time.Now()) {
			return errHeld
		}
		return s.backend.remove(ctx, name)
	})
	if Classify(err) == NotFound {
		return nil
	}
	var e *Error
	if errors.As(err, &e) && e.Kind == Retained && !info.Held {
		e.Until = info.Retained
	}
	return err
}

// List checks what it is told: a store that sends a page twice, or names out of order, would make an archive look whole that
// is not.
func (s *shell) List(ctx context.Context, prefix, startAfter string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		last, token := startAfter, []byte(nil)
		for {
			t := s.tries(ctx, "list", prefix)
			var objects []Info
			var next []byte
			err := t.run(func(ctx context.Context, _ func()) (err error) {
				objects, next, err = s.backend.page(ctx, prefix, startAfter, token)
				return err
			})
			for _, o := range objects {
				if err != nil {
					break
				}
				if o.Name <= startAfter && last == startAfter {
					continue // a store that cannot begin in the middle
				}
				if o.Name <= last {
					err = t.fail(fmt.Errorf("the store lists %s after %s", o.Name, last))
					break
				}
				if last = o.Name; !yield(o, nil) {
					return
				}
			}
			if err != nil {
				yield(Info{}, err)
				return
			}
			if token = next; token == nil {
				return
			}
		}
	}
}

func (s *shell) Close() error { return s.backend.close() }

// tries are those of one operation, or of one piece of a body.
type tries struct {
	*shell
	ctx      func() context.Context
	op, name string
	first    time.Time // of the first error since progress was made
	failed   int       // errors since
}

func (s *shell) tries(ctx context.Context, op, name string) *tries {
	return &tries{shell: s, ctx: func() context.Context { return ctx }, op: op, name: name}
}

func (t *tries) fail(err error) error {
	return &Error{Op: t.op, Name: t.name, Kind: Classify(err), Err: err}
}

// run tries until the error is one that does not pass, patience ends, or the context does.
func (t *tries) run(try func(ctx context.Context, moved func()) error) error {
	for {
		err := t.once(try)
		if err == nil {
			return nil
		}
		if err := t.wait(err); err != nil {
			return err
		}
	}
}

// once runs one try, and ends it when it stalls.
func (t *tries) once(try func(ctx context.Context, moved func()) error) error {
	ctx, cancel := context.WithCancelCause(t.ctx())
	defer cancel(nil)
	stall := time.AfterFunc(t.idle, func() { cancel(errStalled) })
	defer stall.Stop()
	err := try(ctx, func() { stall.Reset(t.idle) })
	return cause(ctx, err)
}

// cause puts the reason of a canceled try before what the library made of it.
func cause(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errStalled) {
		return fmt.Errorf("%w: %w", errStalled, err)
	}
	return err
}

// wait returns nil when it is time for another try, and the error that ends the operation otherwise.
func (t *tries) wait(err error) error {
	e := &Error{Op: t.op, Name: t.name, Kind: Classify(err), Err: err}
	ctx := t.ctx()
	if ctx.Err() != nil {
		e.Kind = Canceled
		return e
	}
	if e.Kind != Transient && e.Kind != Throttled {
		return e
	}
	now := time.Now()
	if t.failed == 0 {
		t.first = now
	}
	t.failed++
	pause := backoff(e.Kind, t.failed)
	if now.Add(pause).After(t.first.Add(t.patience)) {
		e.Err = fmt.Errorf("given up after %d tries: %w", t.failed, err)
		return e
	}
	t.retried(Retry{Err: e, Try: t.failed, In: pause})
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		e.Kind = Canceled
		return e
	}
}

// backoff doubles from a tenth of a second to ten seconds, from a second where the store asks for fewer requests. Half of it is
// chance, so that many writers do not come back at once.
func backoff(kind Kind, failed int) time.Duration {
	pause := 100 * time.Millisecond
	if kind == Throttled {
		pause = time.Second
	}
	pause = min(pause<<min(failed-1, 10), 10*time.Second)
	return pause/2 + rand.N(pause/2)
}
