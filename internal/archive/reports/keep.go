package reports

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"tandem/internal/archive/store"
)

// Putter is where reports are written: see store.Store for the contract.
type Putter interface {
	Put(ctx context.Context, name string, body store.Body) error
}

// Store is where reports are found: see store.Store for the contracts.
type Store interface {
	Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error)
	List(ctx context.Context, prefix, startAfter string) iter.Seq2[store.Info, error]
}

// Put creates the object of a report, and says its name. The same report again is no error.
func Put(ctx context.Context, st Putter, r Report) (name string, err error) {
	name, b, err := encode(r)
	if err != nil {
		return "", err
	}
	if err := st.Put(ctx, name, bytes.NewReader(b)); err != nil {
		return "", fmt.Errorf("keep the report: %w", err)
	}
	return name, nil
}

const (
	classesLimit = 64 // that are looked at
	triesLimit   = 8  // objects of one class that are looked at
	skew         = time.Hour
)

// Last finds the newest report of each class of a kind, the newest first; none is no error. odd are objects that were passed over on
// the way, and wrap ErrOdd. It takes one listing and one read for each class, and one listing more.
func Last(ctx context.Context, st Store, source, kind string) (found []Report, odd []error, err error) {
	folder := Folder(source) + kind + "/"
	for after, n := "", 0; n < classesLimit; n++ {
		class, r, bad, err := newest(ctx, st, folder, after)
		if err != nil {
			return nil, nil, fmt.Errorf("look for reports of %s: %w", kind, err)
		}
		odd = append(odd, bad...)
		if r != nil {
			found = append(found, *r)
		}
		if class == "" {
			break
		}
		after = folder + class + "0" // the byte behind the slash: all of the class are before it
	}
	slices.SortStableFunc(found, func(a, b Report) int { return b.At.Compare(a.At) })
	return found, odd, nil
}

// newest finds the first report behind a name that can be read, and which class it looked at; none is left where that is empty.
func newest(ctx context.Context, st Store, folder, after string) (class string, r *Report, odd []error, err error) {
	tries := 0
	for info, err := range st.List(ctx, folder, after) {
		if err != nil {
			return "", nil, nil, err
		}
		this, _, ok := strings.Cut(strings.TrimPrefix(info.Name, folder), "/")
		if class == "" {
			class = this
		}
		if this != class || tries == triesLimit {
			break
		}
		tries++
		if !ok {
			odd = append(odd, fmt.Errorf("read %s: it stands in no class: %w", info.Name, ErrOdd))
			continue
		}
		one, err := read(ctx, st, info)
		switch {
		case err == nil:
			return class, one, odd, nil
		case errors.Is(err, ErrOdd):
			odd = append(odd, err)
		case store.Classify(err) != store.NotFound: // removed since it was listed
			return "", nil, nil, err
		}
	}
	return class, nil, odd, nil
}

// read reads one report.
func read(ctx context.Context, st Store, info store.Info) (*Report, error) {
	k, ok := parseName(info.Name)
	switch at := time.UnixMilli(k.at); {
	case !ok:
		return nil, fmt.Errorf("read %s: its name is none of a report: %w", info.Name, ErrOdd)
	case info.Size <= 0 || info.Size > sizeLimit:
		return nil, fmt.Errorf("read %s: it has %d bytes: %w", info.Name, info.Size, ErrOdd)
	case !info.Modified.IsZero() && at.Sub(info.Modified) > skew:
		return nil, fmt.Errorf("read %s: it was stored at %s, before its own time: %w", info.Name, info.Modified.UTC().Format(time.RFC3339), ErrOdd)
	}
	body, err := st.Get(ctx, info.Name, 0, info.Size)
	var b []byte
	if err == nil {
		defer body.Close()
		b, err = io.ReadAll(io.LimitReader(body, sizeLimit+1))
	}
	if store.Classify(err) == store.Short && err != nil {
		err = fmt.Errorf("%w: %w", err, ErrOdd) // than the listing says
	}
	if err != nil {
		return nil, err
	}
	r, err := decode(info.Name, b)
	if err != nil {
		return nil, err
	}
	return &r, nil
}
