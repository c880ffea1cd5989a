package compact

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	"tandem/internal/archive/store"
)

// Report is what a run did.
type Report struct {
	Written  int        `json:"written"` // new objects
	Bytes    int64      `json:"bytes"`   // that they take
	Records  int64      `json:"records"` // compared, and found equal
	Deleted  int        `json:"deleted"`
	Freed    int64      `json:"freed"` // bytes of old objects that are deleted
	Retained []Retained `json:"retained"`
	Indexed  int        `json:"indexed"` // index objects written
}

// Retained is an object that a lock holds back. The first run after its end deletes it.
type Retained struct {
	Object string    `json:"object"`
	Until  time.Time `json:"until,omitzero"` // zero: a legal hold
}

// run is the doing of a plan.
type run struct {
	*Plan
	report   Report
	header   bundle.Header
	previous bundle.Digest
	blocks   *bundle.Blocks
	opener   *catalog.Opener
	made     []*made // new objects that are stored
	done     int64   // bytes of old bundles
}

// made is a new object.
type made struct {
	object *catalog.Object
	footer bundle.Footer
	chunks []*joined
}

// openBundles is how many old bundles are kept open: chunks are read by partition, so each bundle is come back to.
const openBundles = 256

// Run does what the plan says. The report also tells what was done before an error.
func (p *Plan) Run(ctx context.Context) (Report, error) {
	r := &run{Plan: p, blocks: bundle.NewBlocks(p.options.ObjectBytes + 1<<20), opener: catalog.NewOpener(p.store, p.options.Keeper, openBundles)}
	now := time.UnixMilli(p.options.Now().UnixMilli())
	r.header = bundle.Header{Flow: p.options.Flow, ClusterID: p.cluster, Writer: Writer, CreatedAt: now}
	err := r.all(ctx)
	return r.report, err
}

func (r *run) all(ctx context.Context) error {
	objects, _, err := catalog.List(ctx, r.Plan.store, r.options.Flow.Source)
	if err != nil {
		return err
	}
	r.header.Generation = catalog.NextGeneration(objects, Writer, r.header.CreatedAt)
	if err := r.remove(ctx, "leftover", r.Leftovers); err != nil {
		return err
	}
	if len(r.old) == 0 {
		return nil
	}
	if err := r.write(ctx); err != nil {
		return err
	}
	events, err := r.events(ctx)
	if err != nil {
		return err
	}
	stale := r.covered()
	last, err := r.last(ctx, events, stale)
	if err != nil {
		return err
	}
	if err := r.compare(ctx, last.footer); err != nil {
		return err
	}
	if err := r.store(ctx, "removed", last); err != nil {
		return err
	}
	if err := r.present(ctx); err != nil {
		return err
	}
	gone := stale
	for _, s := range r.old {
		gone = append(gone, s.object.Name)
	}
	if err := r.remove(ctx, "delete", gone); err != nil {
		return err
	}
	return r.index(ctx)
}

func (r *run) step(what string) error {
	if err := r.options.Step(what); err != nil {
		return fmt.Errorf("compact: %s: %w", what, err)
	}
	return nil
}

// events puts those of the old bundles into new ones, in the order of history. What does not fit into one object goes into several; those
// that are left go into the last one.
func (r *run) events(ctx context.Context) ([]event, error) {
	var all []event
	for _, s := range r.old {
		for i, e := range s.footer.Events {
			all = append(all, event{Event: e, header: s.footer.Header, index: i})
		}
	}
	slices.SortFunc(all, event.compare)
	for {
		w, err := r.begin(ctx)
		if err != nil {
			return nil, err
		}
		n := 0
		for n < len(all) && err == nil && w.Size() < eventBytes {
			if err = w.Event(all[n].At, all[n].Body); err == nil {
				n++
			}
		}
		switch {
		case err != nil && (n == 0 || !errors.Is(err, bundle.ErrFull)):
			return nil, err
		case n == len(all):
			w.Discard()
			return all, nil
		}
		if err := r.finish(ctx, w, nil); err != nil {
			return nil, err
		}
		all = all[n:]
	}
}

// eventBytes is about how much of events goes into one object.
const eventBytes = 8 << 20

// event is one of an old bundle, and its place there.
type event struct {
	bundle.Event
	header bundle.Header
	index  int
}

func (e event) compare(o event) int {
	return cmp.Or(e.At.Compare(o.At), cmp.Compare(e.header.Writer, o.header.Writer), cmp.Compare(e.header.Generation, o.header.Generation),
		cmp.Compare(e.header.Sequence, o.header.Sequence), cmp.Compare(e.index, o.index))
}

// last makes the object that says what is gone. It is not stored yet.
func (r *run) last(ctx context.Context, events []event, stale []string) (*built, error) {
	w, err := r.begin(ctx)
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		if err := w.Event(e.At, e.Body); err != nil {
			return nil, err
		}
	}
	gone := bundle.Removed{Reason: "compacted"}
	digests := make(map[string]bundle.Digest)
	for _, s := range r.old {
		digests[s.object.Name] = s.footer.Digest
	}
	for _, name := range stale {
		digests[name] = r.digestOf(name)
	}
	asked := r.asked(digests)
	for _, name := range slices.Sorted(maps.Keys(digests)) {
		o := bundle.RemovedObject{Name: name}
		if asked[digests[name]] {
			o.Digest = digests[name]
		}
		gone.Objects = append(gone.Objects, o)
	}
	if err := w.Event(r.header.CreatedAt, gone); err != nil {
		return nil, err
	}
	return r.build(w, nil)
}

// asked are the digests that bundles name which stay. Of the others the name is enough: it takes a few bytes, a digest 32.
func (r *run) asked(going map[string]bundle.Digest) map[bundle.Digest]bool {
	asked := make(map[bundle.Digest]bool)
	for name, previous := range r.Plan.links {
		if _, goes := going[name]; !goes {
			asked[previous] = true
		}
	}
	return asked
}

// present looks once more whether everything is there that the old bundles are going to be deleted for.
func (r *run) present(ctx context.Context) error {
	if err := r.step("present"); err != nil {
		return err
	}
	objects, _, err := catalog.List(ctx, r.Plan.store, r.options.Flow.Source)
	if err != nil {
		return err
	}
	there := make(map[string]int64, len(objects))
	for _, o := range objects {
		there[o.Name] = o.Size
	}
	for _, m := range r.made {
		if size, ok := there[m.object.Name]; !ok || size != m.object.Size {
			return fmt.Errorf("%s is not there any more, as it was stored: another run may be under way; nothing was deleted", m.object.Name)
		}
	}
	return nil
}

// remove deletes objects. What a lock holds is told of, and no error.
func (r *run) remove(ctx context.Context, step string, names []string) error {
	for _, name := range names {
		if err := r.step(step + " " + name); err != nil {
			return err
		}
		err := r.Plan.store.Delete(ctx, name)
		if own, ok := errors.AsType[*store.Error](err); ok && own.Kind == store.Retained {
			r.report.Retained = append(r.report.Retained, Retained{name, own.Until})
			continue
		}
		if err != nil {
			return err
		}
		r.report.Deleted++
		r.report.Freed += r.sizes[name]
	}
	return nil
}

func (r *run) index(ctx context.Context) error {
	if err := r.step("index"); err != nil {
		return err
	}
	objects, _, err := catalog.List(ctx, r.Plan.store, r.options.Flow.Source)
	if err != nil {
		return err
	}
	r.report.Indexed, err = catalog.WriteIndex(ctx, r.Plan.store, r.walk(), objects)
	return err
}
