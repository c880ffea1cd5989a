package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"
)

// Store keeps objects. Its methods may be called at once from many goroutines; every error of theirs is an *Error.
// Names are relative to the prefix of the URL: see CheckName for what they may hold.
type Store interface {
	// Put creates the object. An object of that name with the same bytes is success,
	// one with others is Conflict and stays as it is. The body is read again for another try. After an error the
	// object may be there all the same (the answer was lost): the same Put again tells.
	Put(ctx context.Context, name string, body Body) error

	// Get reads length bytes from offset; a length of -1 reads to the end. A body that breaks is resumed where it broke.
	// An object that ends before is Short, and so is an offset behind the last byte. No bytes are asked of nobody.
	Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error)

	// List yields the objects whose names begin with prefix and sort after startAfter ("" for all), in the order of the
	// names' bytes. After an error nothing follows.
	List(ctx context.Context, prefix, startAfter string) iter.Seq2[Info, error]

	// Stat asks for one object.
	Stat(ctx context.Context, name string) (Info, error)

	// Delete removes the object and its bytes. One that is not there is success. What a lock holds back is Retained.
	Delete(ctx context.Context, name string) error

	// Close gives up connections; nothing may be called after it.
	Close() error
}

// Body is an object to write. *bytes.Reader and *io.SectionReader are bodies.
type Body interface {
	io.ReaderAt
	Size() int64
}

// Info is what a store says of an object.
type Info struct {
	Name     string
	Size     int64
	Modified time.Time // by the store's clock
	// Retained is until when a lock holds the object; the zero time without one. Only Stat fills it in.
	Retained time.Time
	// Held says that the object is under a legal hold: for as long as somebody says. Only Stat fills it in.
	Held bool
}

const maxName = 1024 // bytes, prefix included: S3's and Google's limit

// CheckName says what is wrong with an object's name. Names are segments of A-Z a-z 0-9 . _ - = + % separated by slashes, and
// no segment begins with a dot: the same name then means the same in every store, a local folder too.
func CheckName(name string) error {
	if len(name) > maxName {
		return fmt.Errorf("object name of %d bytes: at most %d", len(name), maxName)
	}
	for segment := range strings.SplitSeq(name, "/") {
		if segment == "" || segment[0] == '.' {
			return fmt.Errorf("object name %q: a segment is empty or begins with a dot", name)
		}
		if i := strings.IndexFunc(segment, func(r rune) bool { return !isPlain(r) }); i >= 0 {
			return fmt.Errorf("object name %q: only letters, digits and ._-=+%% are allowed in a segment", name)
		}
	}
	return nil
}

func isPlain(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._-=+%", r)
}

// ReaderAt reads an object by range, each ReadAt a Get. The context is that of every ReadAt to come.
func ReaderAt(ctx context.Context, s Store, name string) (io.ReaderAt, int64, error) {
	info, err := s.Stat(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	return readerAt(func(p []byte, offset int64) (int, error) {
		return readAt(ctx, s, info, p, offset)
	}), info.Size, nil
}

type readerAt func(p []byte, offset int64) (int, error)

func (r readerAt) ReadAt(p []byte, offset int64) (int, error) { return r(p, offset) }

func readAt(ctx context.Context, s Store, info Info, p []byte, offset int64) (int, error) {
	if offset < 0 {
		return 0, fmt.Errorf("read %s at %d: negative offset", info.Name, offset)
	}
	if offset >= info.Size {
		return 0, io.EOF
	}
	want := p[:min(int64(len(p)), info.Size-offset)]
	if len(want) == 0 {
		return 0, nil
	}
	body, err := s.Get(ctx, info.Name, offset, int64(len(want)))
	if err != nil {
		return 0, err
	}
	defer body.Close()
	n, err := io.ReadFull(body, want)
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// ErrUnfit says that a store lacks what an archive rests on.
var ErrUnfit = errors.New("not fit for an archive")

// Probe finds out whether the store refuses to write over an object, with an object of the given name that must not exist. It
// deletes the object again; under object lock it stays until the lock ends.
func Probe(ctx context.Context, s Store, name string) error {
	first, second := []byte("first "+name), []byte("second "+name)
	if err := s.Put(ctx, name, body(first)); err != nil {
		return fmt.Errorf("probe store: %w", err)
	}
	err := s.Put(ctx, name, body(second))
	switch {
	case err == nil:
		err = fmt.Errorf("%w: it wrote over an object that was there (it ignores If-None-Match): choose a store with conditional writes", ErrUnfit)
	case Classify(err) == Conflict:
		err = nil
	}
	if gone := s.Delete(ctx, name); err == nil && Classify(gone) != Retained {
		err = gone
	}
	if err != nil {
		return fmt.Errorf("probe store: %w", err)
	}
	return nil
}
