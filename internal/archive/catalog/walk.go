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
		for i := range objects {
			result := make(chan read, 1)
			select {
			case <-ctx.Done():
				return
			case results <- result:
			}
			all.Go(func() {
				f, err := footer(ctx, st, &objects[i], o)
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

func footer(ctx context.Context, st Store, object *Object, o Options) (*bundle.Footer, error) {
	src := &source{st: st, name: object.Name}
	r, err := src.open(ctx, object.Size, o.Keeper)
	if err != nil {
		return nil, err
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
