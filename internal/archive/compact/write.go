package compact

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
)

// begin begins a new object.
func (r *run) begin(ctx context.Context) (*bundle.Writer, error) {
	return bundle.NewWriter(ctx, r.header, bundle.Options{Compression: bundle.Zstd, Keeper: r.options.Keeper, Blocks: r.blocks})
}

// made anew: a chunk that is ready to be appended.
type ready struct {
	batches []byte
	lent    *[]byte
	err     error
}

// write makes and stores the objects with the chunks, in the order of partitions and offsets. Chunks are made ahead, several at a time.
func (r *run) write(ctx context.Context) error {
	n := r.options.Parallel
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	ctx, stop := context.WithCancel(ctx)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer stop()
	type job struct {
		chunk *joined
		done  chan ready
	}
	jobs, order := make(chan job), make(chan job, n)
	for range n {
		workers.Go(func() {
			c, err := newRecoder()
			for j := range jobs {
				if err != nil {
					j.done <- ready{err: err}
					continue
				}
				j.done <- c.joined(ctx, r.opener, j.chunk)
			}
		})
	}
	workers.Go(func() {
		defer close(jobs)
		defer close(order)
		for i := range r.joined {
			j := job{&r.joined[i], make(chan ready, 1)}
			select {
			case order <- j:
			case <-ctx.Done():
				return
			}
			select {
			case jobs <- j:
			case <-ctx.Done():
				j.done <- ready{err: context.Cause(ctx)}
				return
			}
		}
	})
	o := building{run: r}
	for j := range order {
		made := <-j.done
		if made.err != nil {
			return made.err
		}
		if err := o.add(ctx, j.chunk, made.batches); err != nil {
			return err
		}
		spare.Put(made.lent)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return o.flush(ctx)
}

// spare lends the memory of chunks that are ready.
var spare = sync.Pool{New: func() any { return new([]byte) }}

// joined reads the old chunks and makes the new one.
func (r *recoder) joined(ctx context.Context, opener *catalog.Opener, j *joined) ready {
	lent, _ := spare.Get().(*[]byte)
	out := (*lent)[:0]
	for _, p := range j.pieces {
		var err error
		if r.old, err = opener.Chunk(ctx, p.src.object, p.chunk, r.old); err == nil {
			out, err = r.chunk(out, r.old)
		}
		if err != nil {
			return ready{err: fmt.Errorf("chunk %d of %s: %w", p.chunk, p.src.object.Name, err)}
		}
	}
	*lent = out
	return ready{batches: out, lent: lent}
}

// building is the object that chunks are added to.
type building struct {
	*run
	writer *bundle.Writer
	chunks []*joined
}

func (b *building) add(ctx context.Context, j *joined, batches []byte) (err error) {
	if b.writer != nil && b.writer.Size()+int64(len(batches)) > b.options.ObjectBytes {
		if err := b.flush(ctx); err != nil {
			return err
		}
	}
	if b.writer == nil {
		if b.writer, err = b.begin(ctx); err != nil {
			return err
		}
	}
	e, err := b.writer.Append(j.chunk(), batches)
	if err == nil {
		j.entry.Plain = e.Plain
		err = j.check(e)
	}
	if err != nil {
		return err
	}
	b.chunks = append(b.chunks, j)
	return nil
}

// flush stores the object and proves it.
func (b *building) flush(ctx context.Context) error {
	if b.writer == nil {
		return nil
	}
	event := bundle.Compacted{}
	for i, j := range b.chunks {
		event.Chunks = append(event.Chunks, bundle.CompactedChunk{Chunk: i, Steps: j.steps})
	}
	if err := b.writer.Event(b.header.CreatedAt, event); err != nil {
		return err
	}
	w, chunks := b.writer, b.chunks
	b.writer, b.chunks = nil, nil
	return b.finish(ctx, w, chunks)
}

// built is an object that is not stored yet.
type built struct {
	*made
	body *bundle.Object
}

func (r *run) build(w *bundle.Writer, chunks []*joined) (*built, error) {
	o, f, err := w.Finish(r.previous, nil)
	if err != nil {
		return nil, err
	}
	object := &catalog.Object{Name: o.Name(), Size: o.Size(), Header: f.Header}
	return &built{&made{object, f, chunks}, o}, nil
}

func (r *run) finish(ctx context.Context, w *bundle.Writer, chunks []*joined) error {
	b, err := r.build(w, chunks)
	if err != nil {
		return err
	}
	if err := r.store(ctx, "store", b); err != nil {
		return err
	}
	return r.prove(ctx, b.made)
}

func (r *run) store(ctx context.Context, step string, b *built) error {
	if err := r.step(step + " " + b.object.Name); err != nil {
		return err
	}
	if err := r.Plan.store.Put(ctx, b.object.Name, b.body); err != nil {
		return err
	}
	b.body.Release()
	r.previous = b.footer.Digest
	r.header.Sequence++
	r.made = append(r.made, b.made)
	r.report.Written, r.report.Bytes = r.report.Written+1, r.report.Bytes+b.object.Size
	return nil
}

// prove reads an object back from the store, and compares each record with the one of the old bundle.
func (r *run) prove(ctx context.Context, m *made) error {
	if err := r.step("prove " + m.object.Name); err != nil {
		return err
	}
	opener := catalog.NewOpener(r.Plan.store, r.options.Keeper, 1)
	p := newProver()
	var old, b, one []byte
	for i, j := range m.chunks {
		var err error
		if b, err = opener.Chunk(ctx, m.object, i, b); err != nil {
			return err
		}
		old = old[:0]
		for _, piece := range j.pieces {
			if one, err = r.opener.Chunk(ctx, piece.src.object, piece.chunk, one); err != nil {
				return err
			}
			old = append(old, one...)
			r.done += piece.src.footer.Chunks[piece.chunk].Stored
		}
		n, err := p.same(old, b)
		if err != nil {
			return fmt.Errorf("prove chunk %d of %s: %w", i, m.object.Name, err)
		}
		r.report.Records += n
		if r.options.Progress != nil {
			r.options.Progress(r.done, r.Bytes)
		}
	}
	return nil
}
