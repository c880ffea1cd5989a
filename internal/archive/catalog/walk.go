package catalog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/store"
)

const parallel = 16 // footers read at a time where nothing else is said

// Walk reads the footers of objects and hands them over in the order of objects, from the goroutine that calls it; footers are read
// ahead. err, without a footer, is what is wrong with this object: it wraps bundle.ErrCorrupt, ErrNewer, ErrName or ErrKey, or the store
// says that the object is Short or NotFound. Any other error of the store ends Walk, and so does one of each.
func Walk(ctx context.Context, st Store, objects []Object, o Options, each func(Object, *bundle.Footer, error) error) error {
	if o.Parallel <= 0 {
		o.Parallel = parallel
	}
	var index *indexes
	if o.Source == "" && len(objects) > 0 {
		o.Source = objects[0].Header.Flow.Source
	}
	if len(objects) >= worthwhile && !o.Direct {
		var err error
		if index, err = listIndexes(ctx, st, o, objects[0].Header.CreatedAt); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()

	type read struct {
		footer *bundle.Footer
		err    error
	}
	results := make(chan chan read, o.Parallel-1) // as many as are read ahead, besides the one that is waited for
	all.Go(func() {
		defer close(results)
		var of *hour
		for i := range objects {
			of = index.hour(&objects[i], of)
			of := of
			result := make(chan read, 1)
			select {
			case <-ctx.Done():
				return
			case results <- result:
			}
			all.Go(func() {
				f, err := footer(ctx, st, &objects[i], o, index, of)
				result <- read{f, err}
			})
		}
	})
	done := 0
	for result := range results {
		r, object := <-result, objects[done]
		if r.err != nil && !theObjects(r.err) {
			return fmt.Errorf("read footers: %w", r.err)
		}
		if err := each(object, r.footer, r.err); err != nil {
			return err
		}
		if done++; o.Progress != nil {
			o.Progress(done, len(objects))
		}
	}
	if done < len(objects) {
		return fmt.Errorf("read footers: %w", context.Cause(ctx))
	}
	return nil
}

// theObjects says that an error tells of one object, and not of the store, of a service that keeps keys, or of this process.
func theObjects(err error) bool {
	for _, known := range []error{bundle.ErrCorrupt, bundle.ErrNewer, bundle.ErrName, bundle.ErrKey} {
		if errors.Is(err, known) {
			return true
		}
	}
	kind := store.Classify(err)
	return kind == store.Short || kind == store.NotFound
}

// footer reads one footer, from an index if it has it.
func footer(ctx context.Context, st Store, object *Object, o Options, index *indexes, of *hour) (*bundle.Footer, error) {
	t, ok, err := index.tail(ctx, of, object)
	if err != nil {
		return nil, err
	}
	var odd error
	if ok {
		r, err := bundle.Open(ctx, t, object.Size, bundle.OpenOptions{Name: object.Name, Keeper: o.Keeper})
		if err == nil {
			f := r.Footer()
			return &f, nil
		}
		odd = err // or it is the bundle itself
	}
	src := &source{st: st, name: object.Name}
	r, err := src.open(ctx, object.Size, o.Keeper)
	if err != nil {
		return nil, err
	}
	if odd != nil {
		index.odd(indexFolder(o.Source)+of.at.Format(indexHour), odd)
	}
	f := r.Footer()
	return &f, nil
}

// Load lists, reads and folds an archive: what it is as of a moment. at zero: all there is; wanted nil: all topics.
func Load(ctx context.Context, st Store, o Options, at time.Time, wanted func(topic string) bool) (*State, error) {
	objects, _, err := List(ctx, st, o.Source)
	if err != nil {
		return nil, err
	}
	v := NewView(o.Source, at, wanted)
	err = Walk(ctx, st, objects, o, func(object Object, f *bundle.Footer, err error) error {
		if err != nil {
			v.AddDamaged(object, err)
		} else {
			v.Add(object, f)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return v.State(), nil
}
