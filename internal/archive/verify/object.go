package verify

import (
	"context"
	"errors"
	"io"
	"strings"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	"tandem/internal/archive/store"
	"tandem/internal/batch"
	"tandem/internal/stream"
)

// looked is what one object was found to be.
type looked struct {
	footer   *bundle.Footer // nil: it does not open
	damage   error          // why
	findings []Finding
	facts    []facts // level record: of each chunk that was read; nil where it was not
	read     int64
	chunks   int64
	batches  int64
	records  int64
	err      error // of the store: nothing can be said
}

// worker looks at one object after the other. Its memory is used again.
type worker struct {
	store   catalog.Store
	options Options
	window  window
	buf     []byte
	shaper  *batch.Shaper
}

func newWorker(st catalog.Store, o Options) *worker {
	return &worker{store: st, options: o, shaper: batch.NewShaper()}
}

// bufferKept bounds what a worker keeps, should one chunk have been unusually large.
const bufferKept = 16 << 20

// look reads an object as far as the level says.
func (w *worker) look(ctx context.Context, o catalog.Object) (out looked) {
	w.window.open(ctx, w.store, o.Name)
	if w.options.Level >= Chunk && o.Size > 0 && o.Size <= windowSize {
		if out.err = w.window.fill(0, o.Size); out.err != nil {
			return out
		}
	}
	r, err := bundle.Open(ctx, &w.window, o.Size, bundle.OpenOptions{Name: o.Name, Keeper: w.options.Keeper})
	if err != nil {
		if err = w.window.told(err); !isDamage(err) {
			out.err = err
			return out
		}
		out.damage = err
		out.findings = append(out.findings, unreadable(o.Name, err))
		return out
	}
	f := r.Footer()
	out.footer = &f
	if w.options.Level >= Chunk {
		out.err = w.chunks(ctx, r, o.Name, &out)
	}
	return out
}

// isDamage says that an error is about the object itself: it cannot be used, and asking again changes nothing.
func isDamage(err error) bool {
	return errors.Is(err, bundle.ErrCorrupt) || errors.Is(err, bundle.ErrNewer) || errors.Is(err, bundle.ErrName) ||
		errors.Is(err, bundle.ErrKey) || brief(err)
}

// brief says that an object is gone, or has fewer bytes, since it was listed.
func brief(err error) bool {
	kind := store.Classify(err)
	return kind == store.Short || kind == store.NotFound || errors.Is(err, io.ErrUnexpectedEOF) && kind == store.Other
}

func unreadable(object string, err error) Finding {
	f := Finding{Object: object, What: reason(err), Do: doCopy}
	switch {
	case errors.Is(err, bundle.ErrKey):
		f.Do = doKey
	case errors.Is(err, bundle.ErrNewer):
		f.Do = doNew
	case errors.Is(err, bundle.ErrName):
		f.Do = "somebody copied or renamed it: give it its own name again, or move it away"
	case store.Classify(err) == store.NotFound:
		f.Do = "if prune or compact ran meanwhile, verify again"
	}
	return f
}

// reason is an error without the object's name in front, which the finding has.
func reason(err error) string {
	if c, ok := errors.AsType[*bundle.ChunkError](err); ok {
		return c.Err.Error()
	}
	if before, what, ok := strings.Cut(err.Error(), ".tdm: "); ok && strings.HasPrefix(before, "open ") {
		return what
	}
	return err.Error()
}

// chunks reads those chunks that are wanted, several neighbors at a time.
func (w *worker) chunks(ctx context.Context, r *bundle.Reader, name string, out *looked) error {
	all := out.footer.Chunks
	if w.options.Level >= Record {
		out.facts = make([]facts, len(all))
	}
	for i := range all {
		e := &all[i]
		if !w.options.wants(e.Topic.Name) {
			continue
		}
		if err := w.ahead(all, i); err != nil {
			return err
		}
		b, err := r.Chunk(ctx, i, w.buf)
		if err != nil {
			if err = w.window.told(err); !isDamage(err) {
				return err
			}
			w.window.err = nil
			f := at(name, e, e.First, e.Next, "chunk %d: %s", i, reason(err))
			f.Do = unreadable(name, err).Do
			out.findings = append(out.findings, f)
			continue
		}
		out.chunks, out.read = out.chunks+1, out.read+e.Stored
		if w.options.Level >= Record {
			c := check{object: name, chunk: i, entry: e, shaper: w.shaper}
			out.facts[i] = c.all(b)
			out.findings = append(out.findings, c.findings...)
			out.batches, out.records = out.batches+c.batches, out.records+c.seen
		}
		if w.buf = b; cap(b) > bufferKept {
			w.buf = nil
		}
	}
	return nil
}

// ahead reads the chunk and what of its neighbors fits into the window. The header in front comes along with chunk 0.
func (w *worker) ahead(all []bundle.Entry, i int) error {
	from, end := all[i].Position, all[i].Position+all[i].Stored
	if i == 0 {
		from = 0
	}
	if from >= w.window.at && end <= w.window.at+int64(len(w.window.buf)) || end-from > windowSize {
		return nil // it is there, or is read by itself
	}
	for j := i + 1; j < len(all) && w.options.wants(all[j].Topic.Name) && all[j].Position+all[j].Stored-from <= windowSize; j++ {
		end = all[j].Position + all[j].Stored
	}
	return w.window.fill(from, end)
}

// partition is one of a topic in one of its lives.
type partition struct {
	topic  bundle.Topic // without the incarnation where there is an id: two writers may count differently
	number int32
}

func partitionOf(t bundle.Topic, number int32) partition {
	if t.ID != (stream.TopicID{}) {
		t.Incarnation = 0
	}
	return partition{topic: t, number: number}
}
