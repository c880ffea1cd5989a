package archive

import (
	"context"
	"fmt"
	"maps"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/store"
	"tandem/internal/stream"
)

const (
	firstRetry = time.Second // doubled up to lastRetry
	lastRetry  = time.Minute
)

// flushLoop commits a bundle whenever the oldest thing has waited for the interval, or enough waits.
func (a *Archiver) flushLoop(ctx context.Context) error {
	for {
		left, waits := a.dueIn()
		switch {
		case ctx.Err() != nil:
			return a.lastly(ctx)
		case !waits:
			select {
			case <-ctx.Done():
			case <-a.flushWake:
			}
		case left > 0:
			pause(ctx, left, a.flushWake)
		default:
			if err := a.commit(ctx); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

// dueIn says how long the next bundle has time, and whether there is anything to be written.
func (a *Archiver) dueIn() (left time.Duration, waits bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.items) == 0 {
		return 0, false
	}
	if a.waiting >= a.flushBytes() {
		return 0, true
	}
	return time.Until(a.items[0].since.Add(a.cfg.FlushInterval)), true
}

// lastly writes what waits when Run is told to end. What does not get there is read from the source again.
func (a *Archiver) lastly(ctx context.Context) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer stop()
	for {
		if _, waits := a.dueIn(); !waits && a.unsent == nil {
			return nil
		}
		if err := a.commit(ctx); err != nil {
			return ended(ctx, err)
		}
	}
}

// commit writes one bundle. Killed before the create it has done nothing; killed after it, the next survey finds the bundle.
func (a *Archiver) commit(ctx context.Context) error {
	if a.unsent == nil {
		if err := a.build(ctx); err != nil {
			return err
		}
	}
	b := a.unsent
	if err := a.step("built"); err != nil {
		return err
	}
	name := b.object.Name()
	err := a.persist(ctx, "store "+name, func() error { return a.store.Put(ctx, name, b.object) })
	if err != nil {
		return err
	}
	if err := a.step("stored"); err != nil {
		return err
	}
	a.unsent = nil
	b.object.Release()
	a.mu.Lock()
	a.used -= b.charge
	a.bundles++
	a.bytes += b.size
	a.flying = time.Time{}
	a.mu.Unlock()
	wake(a.gapWake)
	a.cfg.Durable(b.durable)
	return a.step("told")
}

// unsent is a bundle that is not known to be stored. It is stored under its name before any other one is built: the ledger counts
// on it.
type unsent struct {
	object  *bundle.Object
	charge  int64
	size    int64
	durable map[stream.Partition]stream.Upstream
}

// build makes a bundle of what waits at the front of the queue.
func (a *Archiver) build(ctx context.Context) error {
	a.header.CreatedAt = time.Now()
	var w *bundle.Writer
	err := a.persist(ctx, "begin a bundle", func() (err error) { // asks the keeper of keys
		w, err = bundle.NewWriter(ctx, a.header, bundle.Options{Compression: a.cfg.Compression, Keeper: a.cfg.Keeper, Blocks: a.blocks, TakeOver: true})
		return err
	})
	if err != nil {
		return err
	}
	a.building.Lock()
	defer a.building.Unlock()
	a.mu.Lock()
	items, charge := a.cut(a.flushBytes())
	a.flying = items[0].since
	now, gone, past := maps.Clone(a.ledger), make(map[*track]bool), a.past()
	for _, i := range items {
		if i.track != nil {
			i.track.last = nil
			gone[i.track] = i.track.gone
		}
	}
	a.mu.Unlock()
	if err := a.step("taken"); err != nil {
		return err
	}
	b := builder{writer: w, ledger: now, gone: gone, refuse: func(e bundle.Event, err error) {
		a.report(stream.Error, "an event was not archived", stream.F("kind", e.Kind().String()), stream.F("error", err))
	}}
	if err := b.all(items); err != nil {
		w.Discard()
		return err
	}
	now.forget(past)
	object, f, err := w.Finish(a.previous, now.positions())
	if err != nil {
		return err
	}
	a.unsent = &unsent{object: object, charge: charge, size: object.Size(), durable: b.durable(items)}
	a.previous = f.Digest
	a.header.Sequence++
	a.mu.Lock()
	defer a.mu.Unlock()
	for t := range gone {
		a.ledger.settle(t, t.gone)
	}
	a.ledger.forget(past)
	return nil
}

// persist tries until it is done, ctx ends, or trying again changes nothing. The first error and each of another kind are reported.
func (a *Archiver) persist(ctx context.Context, what string, try func() error) error {
	var told store.Kind
	for n := 0; ; n++ {
		err := try()
		if err == nil {
			if n > 0 {
				a.report(stream.Info, "the archive goes on", stream.F("after", what))
			}
			return nil
		}
		if ctx.Err() != nil || hopeless(err) {
			return fmt.Errorf("%s: %w", what, err)
		}
		kind := store.Classify(err)
		a.mu.Lock()
		a.errors[kind]++
		a.mu.Unlock()
		if n == 0 || kind != told {
			told = kind
			a.report(stream.Error, a.advice(kind), stream.F("doing", what), stream.F("error", err))
		}
		if !pause(ctx, min(firstRetry<<min(n, 10), lastRetry), nil) {
			return fmt.Errorf("%s: %w", what, context.Cause(ctx))
		}
	}
}

// advice is what a person reads of an error that keeps the archive from going on.
func (a *Archiver) advice(k store.Kind) string {
	wait := "; replication goes on, and the archive catches up when the store is back"
	if a.cfg.Pause {
		wait = "; replication waits once half of the archive's memory is full (archive.on.failure=pause)"
	}
	switch k {
	case store.AccessDenied:
		return "the archive's store refuses access: check credentials and rights" + wait
	case store.Settings:
		return "the archive's store cannot be used as it is set: check archive.url and the bucket" + wait
	case store.Full:
		return "the archive's store is full: free space or raise the quota" + wait
	default:
		return "the archive's store cannot be reached" + wait
	}
}
