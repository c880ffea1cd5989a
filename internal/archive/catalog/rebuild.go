package catalog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/store"
)

// late is how long after its hour a bundle may be stored without being left out of the hour's index. One that comes later is read by
// itself until the index is written again.
const late = 15 * time.Minute

// IndexStore is where index objects are written: see store.Store for the contracts.
type IndexStore interface {
	Store
	Put(ctx context.Context, name string, body store.Body) error
}

// WriteIndex writes index objects for the hours of objects that are over, and says how many. An hour of which some index has all bundles
// is passed over. objects are all of their hours, by name, as List gives them; bundles that cannot be read are left out.
func WriteIndex(ctx context.Context, st IndexStore, o Options, objects []Object) (written int, err error) {
	if o.Parallel <= 0 {
		o.Parallel = parallel
	}
	if len(objects) == 0 {
		return 0, nil
	}
	if o.Source == "" {
		o.Source = objects[0].Header.Flow.Source
	}
	x, err := listIndexes(ctx, st, o, objects[0].Header.CreatedAt)
	if err != nil {
		return 0, err
	}
	over := time.Now().Add(-time.Hour - late)
	for done := 0; done < len(objects); {
		at := hourOf(&objects[done])
		n := slices.IndexFunc(objects[done:], func(k Object) bool { return !hourOf(&k).Equal(at) })
		if n < 0 {
			n = len(objects) - done
		}
		if !at.After(over) {
			more, err := x.write(ctx, st, o, at, objects[done:done+n])
			written += more
			if err != nil {
				return written, fmt.Errorf("write index of %s: %w", at.Format(indexHour), err)
			}
		}
		if done += n; o.Progress != nil {
			o.Progress(done, len(objects))
		}
	}
	return written, nil
}

// write writes the index of an hour.
func (x *indexes) write(ctx context.Context, st IndexStore, o Options, at time.Time, objects []Object) (written int, err error) {
	h := x.hours[at]
	delete(x.hours, at)
	if h == nil {
		h = &hour{at: at, lock: make(chan struct{}, 1)}
	}
	known, err := x.load(ctx, h)
	if err != nil {
		return 0, err
	}
	all := make([]tail, len(objects))
	g, reading := errgroup.WithContext(ctx)
	g.SetLimit(o.Parallel)
	fresh := false
	for i := range objects {
		k := &objects[i]
		if t, ok := known[k.Name]; ok && t.size == k.Size {
			all[i] = t
			continue
		}
		fresh = true
		g.Go(func() (err error) {
			all[i], err = readTail(reading, st, k)
			if theObjects(err) {
				err = nil // what is wrong with it, Walk tells
			}
			return err
		})
	}
	if err := g.Wait(); err != nil || !fresh {
		return 0, err
	}
	all = slices.DeleteFunc(all, func(t tail) bool { return len(t.bytes) == 0 })
	for len(all) > 0 {
		n, b, name := h.next(o.Source, all)
		all = all[n:]
		if name == "" || slices.ContainsFunc(h.names, func(i store.Info) bool { return i.Name == name }) {
			continue // it has all that can be read
		}
		if err := st.Put(ctx, name, bytes.NewReader(b)); err != nil {
			return written, err
		}
		written++
	}
	return written, nil
}

// next is the index object of the first n tails. An index that is damaged keeps its name, as nothing is written over: what it was to hold
// goes into two others then.
func (h *hour) next(source string, all []tail) (n int, b []byte, name string) {
	for size := 0; n < len(all) && (n == 0 || size+len(all[n].bytes) <= indexParts); n++ {
		size += len(all[n].bytes) + len(all[n].name)
	}
	for ; ; n = (n + 1) / 2 {
		b = encodeIndex(all[:n])
		name = indexName(source, h.at, [sha256.Size]byte(b[len(b)-sha256.Size:]))
		if !h.damaged[name] {
			return n, b, name
		}
		if n == 1 {
			return n, nil, ""
		}
	}
}

// readTail reads the end of a bundle: the footer as it is stored, and the trailer. It is enough if they are whole: an encrypted footer needs
// no key.
func readTail(ctx context.Context, st Store, o *Object) (tail, error) {
	t := tail{name: o.Name, size: o.Size}
	var err error
	if t.bytes, err = readRange(ctx, st, o.Name, o.Size-min(o.Size, firstRead), min(o.Size, firstRead)); err != nil {
		return t, err
	}
	if n := int64(len(t.bytes)); n >= trailerSize {
		footer := o.Size - int64(binary.BigEndian.Uint64(t.bytes[n-trailerSize:])) // from there to the end
		switch {
		case footer >= trailerSize && footer <= n:
			t.bytes = bytes.Clone(t.bytes[n-footer:])
		case footer > n && footer <= min(o.Size, indexLimit):
			if t.bytes, err = readRange(ctx, st, o.Name, o.Size-footer, footer); err != nil {
				return t, err
			}
		}
	}
	if _, err := bundle.Open(ctx, t, o.Size, bundle.OpenOptions{Name: o.Name}); err != nil && !errors.Is(err, bundle.ErrKey) {
		return tail{}, err
	}
	return t, nil
}

// firstRead is what is read of a bundle at first: the whole footer of all but the widest flows.
const firstRead = 64 << 10

// readRange reads bytes of an object that the listing says are there.
func readRange(ctx context.Context, st Store, name string, at, n int64) ([]byte, error) {
	body, err := st.Get(ctx, name, at, n)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	b := make([]byte, n)
	if got, err := io.ReadFull(body, b); err != nil {
		if own := (*store.Error)(nil); errors.As(err, &own) {
			return nil, err
		}
		return nil, fmt.Errorf("read %s: it ends at %d: %w", name, at+int64(got), bundle.ErrCorrupt)
	}
	return b, nil
}
