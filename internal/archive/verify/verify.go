package verify

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
)

// Options say what is verified, and how.
type Options struct {
	Source   string // alias of the source cluster
	Keeper   bundle.Keeper
	Level    Level
	Wanted   func(topic string) bool // whose chunks are read and whose holes are told; nil: all
	From     time.Time               // of the bundles created in From <= t < Until every byte is looked at; of the others only what
	Until    time.Time               // footers or index objects say. Zero: without bound
	Parallel int                     // objects at a time; 0: as many as there is sense in
	Progress func(Progress)          // nil: nobody
	Found    func(Finding)           // is told of each finding at once; nil: nobody
}

// Progress is how far it is.
type Progress struct {
	Objects, All    int
	Bytes, AllBytes int64
}

func (o *Options) wants(topic string) bool { return o.Wanted == nil || o.Wanted(topic) }

func (o *Options) inRange(t time.Time) bool {
	return !t.Before(o.From) && (o.Until.IsZero() || t.Before(o.Until))
}

// run is one verification.
type run struct {
	Report
	store   catalog.Store
	options Options
	objects []catalog.Object
	removed *removed
	chain   chain
	carry   carry
	twice   twice
	view    *catalog.View
}

// Run verifies an archive. The error is the store's, or that of ctx: the report then tells what was found until there. What is odd about
// the archive is no error but a finding.
func Run(ctx context.Context, st catalog.Store, o Options) (Report, error) {
	r := &run{store: st, options: o, removed: newRemoved(), carry: make(carry), twice: make(twice)}
	r.Source, r.Level = o.Source, o.Level
	r.view = catalog.NewView(o.Source, time.Time{}, o.Wanted)
	err := r.all(ctx)
	slices.SortStableFunc(r.Findings, Finding.compare)
	r.Complete = err == nil
	return r.Report, err
}

func (r *run) found(all ...Finding) {
	r.add(all...)
	if r.options.Found != nil {
		for _, f := range all {
			r.options.Found(f)
		}
	}
}

func (r *run) all(ctx context.Context) error {
	objects, strange, err := catalog.List(ctx, r.store, r.options.Source)
	if err != nil {
		return err
	}
	r.objects, r.Listed = objects, len(objects)
	for _, s := range strange {
		r.found(Finding{Object: s.Name, What: fmt.Sprintf("an object of %d bytes that is no bundle stands among the bundles", s.Size), Do: doMove})
	}
	r.found(named(objects)...)
	if r.options.Level == List {
		return r.list(ctx)
	}
	inside, outside := r.split()
	if err := r.outside(ctx, outside); err != nil {
		return err
	}
	if err := r.inside(ctx, inside); err != nil {
		return err
	}
	r.found(r.chain.findings(r.removed)...)
	r.found(holes(r.view.State())...)
	if err := r.indexes(ctx); err != nil {
		return err
	}
	if r.options.Level < Record {
		return nil
	}
	return r.compare(ctx)
}

// list looks at no footer but those that say what was removed: without them every prune would be a gap.
func (r *run) list(ctx context.Context) error {
	for _, o := range r.objects {
		if o.Size < leastBundle {
			r.found(Finding{Object: o.Name, What: fmt.Sprintf("an object of %d bytes is no bundle: it is cut off", o.Size), Do: doCopy})
		}
		r.Objects, r.Bytes = r.Objects+1, r.Bytes+o.Size
		r.span(o)
	}
	var removers []catalog.Object
	for _, o := range r.objects {
		if o.Size >= leastBundle && isRemover(o.Header.Writer) {
			removers = append(removers, o)
		}
		r.chain.list(o)
	}
	err := catalog.Walk(ctx, r.store, removers, r.walk(), func(_ catalog.Object, f *bundle.Footer, _ error) error {
		if f != nil {
			r.removed.add(f)
		}
		return nil // a damaged one is for the level of footers
	})
	if err != nil {
		return err
	}
	r.found(r.chain.findings(r.removed)...)
	return nil
}

func (r *run) span(o catalog.Object) {
	t := o.Header.CreatedAt
	if r.Oldest.IsZero() || t.Before(r.Oldest) {
		r.Oldest = t
	}
	if t.After(r.Newest) {
		r.Newest = t
	}
}

func (r *run) walk() catalog.Options {
	return catalog.Options{Source: r.options.Source, Keeper: r.options.Keeper, Parallel: r.options.Parallel}
}

func (r *run) split() (inside, outside []catalog.Object) {
	for _, o := range r.objects {
		if r.options.inRange(o.Header.CreatedAt) {
			inside = append(inside, o)
		} else {
			outside = append(outside, o)
		}
	}
	return inside, outside
}

// outside takes note of the footers of the bundles that are not looked at, from index objects where they have them.
func (r *run) outside(ctx context.Context, objects []catalog.Object) error {
	return catalog.Walk(ctx, r.store, objects, r.walk(), func(o catalog.Object, f *bundle.Footer, err error) error {
		if err != nil {
			r.found(unreadable(o.Name, err))
			r.chain.damaged(o)
			r.view.AddDamaged(o, err)
			return nil
		}
		r.note(o, f, nil)
		return nil
	})
}

func (r *run) note(o catalog.Object, f *bundle.Footer, known []facts) {
	r.removed.add(f)
	r.chain.add(o, f)
	r.view.Add(o, f)
	if r.options.Level >= Record {
		r.found(r.carry.add(o, f, known)...)
		r.twice.add(&o, f, r.options.wants, known != nil)
	}
}

// job is an object to be looked at, and what comes of it.
type job struct {
	object catalog.Object
	done   chan looked
}

// inside looks at objects, several at a time, and takes note of them in their order.
func (r *run) inside(ctx context.Context, objects []catalog.Object) error {
	ctx, stop := context.WithCancel(ctx)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer stop()
	n := min(r.parallel(), max(1, len(objects)))
	jobs, order := make(chan job), make(chan job, n)
	for range n {
		workers.Go(func() {
			w := newWorker(r.store, r.options)
			for j := range jobs {
				j.done <- w.look(ctx, j.object)
			}
		})
	}
	workers.Go(func() {
		defer close(jobs)
		defer close(order)
		for _, o := range objects {
			j := job{o, make(chan looked, 1)}
			select {
			case order <- j:
			case <-ctx.Done():
				return
			}
			select {
			case jobs <- j:
			case <-ctx.Done():
				j.done <- looked{err: context.Cause(ctx)}
				return
			}
		}
	})
	p := Progress{All: len(objects)}
	for _, o := range objects {
		p.AllBytes += o.Size
	}
	for j := range order {
		if err := r.take(j.object, <-j.done); err != nil {
			return err
		}
		if r.options.Progress != nil {
			p.Objects, p.Bytes = r.Objects, r.Bytes
			r.options.Progress(p)
		}
	}
	return ctx.Err()
}

func (r *run) take(o catalog.Object, l looked) error {
	if l.err != nil {
		return fmt.Errorf("verify %s: %w", o.Name, l.err)
	}
	r.found(l.findings...)
	if l.footer == nil {
		r.chain.damaged(o)
		r.view.AddDamaged(o, l.damage)
	} else {
		r.note(o, l.footer, l.facts)
	}
	r.span(o)
	r.Through = o.Name
	r.Objects, r.Bytes = r.Objects+1, r.Bytes+o.Size
	r.Read, r.Chunks = r.Read+l.read, r.Chunks+l.chunks
	r.Batches, r.Records = r.Batches+l.batches, r.Records+l.records
	return nil
}

// parallel is how many objects are looked at at a time. Footers wait for the store, chunks for the processor too, and take memory.
func (r *run) parallel() int {
	switch {
	case r.options.Parallel > 0:
		return r.options.Parallel
	case r.options.Level < Chunk:
		return 16
	default:
		return 4
	}
}

// holes are the offsets that no chunk has, and that nothing accounts for.
func holes(s *catalog.State) (all []Finding) {
	for _, lives := range [][]catalog.Life{s.Past, s.Lives} {
		for _, l := range lives {
			for _, p := range l.Parts {
				for _, h := range p.Holes {
					if h.Why == catalog.Lost {
						all = append(all, Finding{Topic: l.Topic.String(), Partition: p.Number, From: h.From, To: h.To,
							What: "no bundle has these offsets, and nothing says why", Do: doHole})
					}
				}
			}
		}
	}
	return all
}

const doHole = "a bundle is lost or damaged: put it back from a copy of the store, if there is one; restore needs --allow-holes to go on without"
