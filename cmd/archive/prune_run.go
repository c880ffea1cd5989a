package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	"tandem/internal/archive/retain"
	"tandem/internal/archive/store"
)

// removal is what a run of prune did.
type removal struct {
	Written  []string   `json:"written"` // bundles that say what was removed, and hold what had to stay
	Removed  int        `json:"removed"`
	Bytes    int64      `json:"bytes"`
	Retained int        `json:"retained"`
	Until    *time.Time `json:"retained_until,omitempty"` // the last of them; absent where the store does not say
	Index    int        `json:"index_written"`
}

func (r removal) print(w io.Writer) {
	fmt.Fprintf(w, "removed %s, %s\n", count(r.Removed, "bundle"), byteCount(r.Bytes))
	if r.Retained > 0 {
		until := "for as long as a lock holds"
		if r.Until != nil {
			until = "until " + stamp(*r.Until)
		}
		fmt.Fprintf(w, "%s retained %s: run prune again then\n", count(r.Retained, "bundle"), until)
	}
}

// remove does it. What the archive says of itself is durable before the first bundle goes, so that it may be stopped anywhere: the next
// run finds in there what is left to do.
//
//	bundles with what is carried over, and then with the names of what goes  ->  index objects of those hours go
//	  ->  bundles go  ->  index objects are written anew
func (r *remover) remove(ctx context.Context, plan retain.Plan) (removal, error) {
	done := removal{Written: []string{}}
	if err := r.write(ctx, plan.Events, &done); err != nil {
		return done, err
	}
	going := slices.Concat(plan.Leftovers, plan.Remove)
	if err := r.dropIndex(ctx, going); err != nil {
		return done, err
	}
	var failed error
	gone := make(map[string]bool, len(going))
	for i, o := range going {
		r.progress.Show("prune: %d of %d bundles", i, len(going))
		err := r.store.Delete(ctx, o.Name)
		if ctx.Err() != nil {
			return done, err
		}
		switch {
		case err == nil:
			gone[o.Name] = true
			done.Removed++
			done.Bytes += o.Size
		case store.Classify(err) == store.Retained:
			done.retained(err)
		case failed == nil: // the others go nevertheless
			failed = err
		}
	}
	left := slices.DeleteFunc(slices.Clone(r.objects), func(o catalog.Object) bool { return gone[o.Name] })
	var err error
	if done.Index, err = catalog.WriteIndex(ctx, r.store, r.options(r.progress, "index"), left); failed == nil {
		failed = err
	}
	if failed != nil {
		return done, refused{fmt.Errorf("not all was removed, run prune again: %w", failed)}
	}
	return done, nil
}

func (r *removal) retained(err error) {
	r.Retained++
	if own, ok := errors.AsType[*store.Error](err); ok && !own.Until.IsZero() && (r.Until == nil || own.Until.After(*r.Until)) {
		until := own.Until.UTC()
		r.Until = &until
	}
}

const pruneWriter = "archive-prune"

// write stores the events, in as few bundles as they fit into, in their order.
func (r *remover) write(ctx context.Context, events []bundle.Event, done *removal) error {
	for sequence := int64(0); len(events) > 0; sequence++ {
		name, n, err := r.writeOne(ctx, sequence, events)
		if err != nil {
			return err
		}
		done.Written = append(done.Written, name)
		events = events[n:]
	}
	return nil
}

// writeOne stores one bundle and says how many events are in it.
func (r *remover) writeOne(ctx context.Context, sequence int64, events []bundle.Event) (name string, n int, err error) {
	w, err := bundle.NewWriter(ctx, r.header(pruneWriter, sequence), bundle.Options{Keeper: r.keeper})
	if err != nil {
		return "", 0, err
	}
	for n < len(events) {
		if err = w.Event(events[n].At, events[n].Body); err != nil {
			break
		}
		n++
	}
	if err != nil && (n == 0 || !errors.Is(err, bundle.ErrFull)) {
		w.Discard()
		return "", 0, err
	}
	name, err = putBundle(ctx, r.store, w)
	return name, n, err
}

// header is that of a bundle that a command writes.
func (r *remover) header(writer string, sequence int64) bundle.Header {
	return bundle.Header{
		Flow: r.flow.Flow, ClusterID: r.newest.ClusterID, Writer: writer, Generation: catalog.NextGeneration(r.objects, writer, r.now),
		Sequence: sequence, CreatedAt: r.now,
	}
}

// putBundle finishes a bundle without positions and stores it.
func putBundle(ctx context.Context, st store.Store, w *bundle.Writer) (string, error) {
	o, _, err := w.Finish(bundle.Digest{}, nil)
	if err != nil {
		w.Discard()
		return "", err
	}
	defer o.Release()
	return o.Name(), st.Put(ctx, o.Name(), o)
}

// dropIndex removes the index objects of the hours of bundles that go: one that names what is not there is harmless, and of no use.
func (r *remover) dropIndex(ctx context.Context, going []catalog.Object) error {
	folder := bundle.Folder("", r.flow.Source)
	last := ""
	for _, o := range going {
		hour := o.Name[len(folder):strings.LastIndexByte(o.Name, '/')]
		if hour == last {
			continue
		}
		last = hour
		names, err := indexObjects(ctx, r.opened, hour+"-")
		if err != nil {
			return err
		}
		if _, _, err := deleteIndex(ctx, r.opened, names, r.progress); err != nil {
			return err
		}
	}
	return nil
}
