package compact

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	"tandem/internal/archive/store"
	"tandem/internal/stream"
)

// Writer is the name under which new bundles are written.
const Writer = "archive-compact"

// Store is where the archive is: see store.Store for the contracts.
type Store interface {
	Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error)
	List(ctx context.Context, prefix, startAfter string) iter.Seq2[store.Info, error]
	Put(ctx context.Context, name string, body store.Body) error
	Delete(ctx context.Context, name string) error
}

// Options say what is rewritten, and how.
type Options struct {
	Flow        stream.Flow // of the archive
	Keeper      bundle.Keeper
	Before      time.Time // bundles created before it
	ObjectBytes int64     // about how large new objects are; 0: 64 MiB
	Bundles     int       // rewritten in one run, at most; 0: 10,000
	Parallel    int       // chunks at a time; 0: one for each processor
	Now         func() time.Time
	Progress    func(done, all int64) // bytes of old bundles
	Step        func(string) error    // tests: is told of each step before it is done, and ends it with an error; nil: nobody
}

// Left is a bundle that stays as it is, and why.
type Left struct {
	Object string `json:"object"`
	Why    string `json:"why"`
}

// Plan is what a run would do.
type Plan struct {
	Objects   int      `json:"objects"` // old ones that go
	Bytes     int64    `json:"bytes"`   // what they take,
	After     int64    `json:"after"`   // and about what the new ones will
	Chunks    int      `json:"chunks"`  // of theirs,
	Joined    int      `json:"joined"`  // and what becomes of these
	Records   int64    `json:"records"`
	Events    int      `json:"events"`
	Left      []Left   `json:"left"`
	Leftovers []string `json:"leftovers"` // were to be deleted by an earlier run
	Stale     []string `json:"stale"`     // an earlier run did not finish
	More      bool     `json:"more"`      // there are others for a run after this one

	store   Store
	options Options
	old     []*source
	joined  []joined
	before  *catalog.State
	cluster string

	unfinished []*source                // the stale ones
	known      map[string]bool          // all objects there were
	sizes      map[string]int64         // theirs
	links      map[string]bundle.Digest // the bundle before each, as it says itself
}

// source is an old bundle that is to be rewritten.
type source struct {
	object *catalog.Object
	footer *bundle.Footer
	chunks int
	steps  map[int][]bundle.Step // of each chunk, as far as it is read
	full   int                   // chunks that are read as a whole
	why    string                // it is left alone
}

const (
	defaultObject  = 64 << 20
	defaultBundles = 10_000
)

// New looks at the archive. It writes nothing.
func New(ctx context.Context, st Store, o Options) (*Plan, error) {
	if o.ObjectBytes <= 0 {
		o.ObjectBytes = defaultObject
	}
	if o.Bundles <= 0 {
		o.Bundles = defaultBundles
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Step == nil {
		o.Step = func(string) error { return nil }
	}
	p := &Plan{store: st, options: o}
	objects, _, err := catalog.List(ctx, st, o.Flow.Source)
	if err != nil {
		return nil, err
	}
	p.known, p.sizes, p.links = make(map[string]bool), make(map[string]int64), make(map[string]bundle.Digest)
	for _, o := range objects {
		p.known[o.Name], p.sizes[o.Name] = true, o.Size
	}
	l := looking{
		plan: p, sources: make(map[string]*source), removed: make(map[string]bool), finished: make(map[int64]bool),
		cut: make(map[partition]bool), newest: make(map[string]*catalog.Object),
	}
	view := catalog.NewView(o.Flow.Source, time.Time{}, nil)
	err = catalog.Walk(ctx, st, objects, p.walk(), func(object catalog.Object, f *bundle.Footer, err error) error {
		if err != nil {
			view.AddDamaged(object, err)
			l.damaged(object, err)
			return nil
		}
		if l.add(object, f); object.Header.Writer != Writer {
			view.Add(object, f)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, s := range l.own { // what an unfinished run left counts as not there
		if l.finished[s.object.Header.Generation] {
			view.Add(*s.object, s.footer)
		}
	}
	p.before = view.State()
	l.choose(objects)
	if err := p.footers(ctx); err != nil {
		return nil, err
	}
	p.join()
	return p, p.estimate(ctx)
}

// footers reads those of the bundles that were chosen.
func (p *Plan) footers(ctx context.Context) error {
	objects := make([]catalog.Object, len(p.old))
	for i, s := range p.old {
		objects[i] = *s.object
	}
	i := 0
	return catalog.Walk(ctx, p.store, objects, p.walk(), func(o catalog.Object, f *bundle.Footer, err error) error {
		if err != nil {
			return err
		}
		s := p.old[i]
		s.footer = f
		i++
		p.Objects, p.Bytes, p.Chunks, p.Events = p.Objects+1, p.Bytes+o.Size, p.Chunks+len(f.Chunks), p.Events+len(f.Events)
		for c := range f.Chunks {
			p.Records += max(0, f.Chunks[c].Records)
		}
		return nil
	})
}

// samples are how many chunks are tried to see how much smaller they become.
const samples = 8

// estimate tries some chunks.
func (p *Plan) estimate(ctx context.Context) error {
	c, err := newRecoder()
	if err != nil {
		return err
	}
	opener := catalog.NewOpener(p.store, p.options.Keeper, samples)
	var old, made int64
	for i := 0; i < len(p.joined); i += max(1, len(p.joined)/samples) {
		j := &p.joined[i]
		one := joined{pieces: j.pieces[:1]}
		e := &j.pieces[0].src.footer.Chunks[j.pieces[0].chunk]
		r := c.joined(ctx, opener, &one)
		if r.err != nil {
			return r.err
		}
		old, made = old+e.Stored, made+min(e.Stored, int64(len(r.batches)))
		spare.Put(r.lent)
	}
	if p.After = p.Bytes; old > 0 {
		p.After = int64(float64(p.Bytes) * float64(made) / float64(old))
	}
	return nil
}

func (p *Plan) walk() catalog.Options {
	return catalog.Options{Source: p.options.Flow.Source, Keeper: p.options.Keeper}
}

// Empty says that there is nothing to be done.
func (p *Plan) Empty() bool { return len(p.old)+len(p.Leftovers) == 0 }

// partition is one of a topic in one of its lives.
type partition struct {
	topic  bundle.Topic
	number int32
}

func partitionOf(t bundle.Topic, number int32) partition {
	if t.ID != (stream.TopicID{}) {
		t.Incarnation = 0
	}
	return partition{t, number}
}

// looking goes through all bundles.
type looking struct {
	plan     *Plan
	sources  map[string]*source // by name: those that are old, and not ours
	own      []*source          // ours
	removed  map[string]bool    // what a bundle says is gone, and is there
	finished map[int64]bool     // generations of ours that came to their end
	cut      map[partition]bool // the source was truncated
	newest   map[string]*catalog.Object
}

func (l *looking) damaged(o catalog.Object, err error) {
	if o.Header.CreatedAt.Before(l.plan.options.Before) {
		why := "it is damaged: archive verify tells more"
		if errors.Is(err, bundle.ErrKey) {
			why = "it does not open with the keys that are there"
		}
		l.plan.Left = append(l.plan.Left, Left{o.Name, why})
	}
}

func (l *looking) add(o catalog.Object, f *bundle.Footer) {
	if n := l.newest[o.Header.Writer]; n == nil || cmp.Or(cmp.Compare(o.Header.Generation, n.Header.Generation), cmp.Compare(o.Header.Sequence, n.Header.Sequence)) > 0 {
		l.newest[o.Header.Writer] = &o
	}
	if f.Previous != (bundle.Digest{}) {
		l.plan.links[o.Name] = f.Previous
	}
	if f.Header.ClusterID != "" {
		l.plan.cluster = f.Header.ClusterID
	}
	s := &source{object: &o, chunks: len(f.Chunks), steps: make(map[int][]bundle.Step)}
	for _, e := range f.Events {
		switch b := e.Body.(type) {
		case bundle.Removed:
			for _, r := range b.Objects {
				if l.plan.known[r.Name] {
					l.removed[r.Name] = true
				}
			}
			if o.Header.Writer == Writer {
				l.finished[o.Header.Generation] = true
			}
		case bundle.Truncated:
			l.cut[partitionOf(b.Topic, b.Partition)] = true
			s.why = "it tells of a truncation of the source"
		case bundle.Compacted:
			if o.Header.Writer != Writer {
				s.why = "it was put together from older ones"
			}
		}
	}
	switch {
	case o.Header.Writer == Writer:
		s.footer = f
		l.own = append(l.own, s)
	case o.Header.CreatedAt.Before(l.plan.options.Before):
		l.sources[o.Name] = s
	}
}

// choose says which of them are rewritten.
func (l *looking) choose(objects []catalog.Object) {
	p := l.plan
	read, chunks := l.read(), 0
	for _, s := range l.own {
		if !l.finished[s.object.Header.Generation] && !l.removed[s.object.Name] {
			p.Stale = append(p.Stale, s.object.Name)
			p.unfinished = append(p.unfinished, s)
		}
	}
	for _, o := range objects {
		if l.removed[o.Name] && !read[o.Name] {
			p.Leftovers = append(p.Leftovers, o.Name)
			continue
		}
		s := l.sources[o.Name]
		if s == nil {
			continue
		}
		why := l.why(s)
		switch {
		case l.removed[o.Name]:
			why = "it was to be removed, and what was to stand for it is not there"
		case l.newest[o.Header.Writer].Name == o.Name:
			why = "it is the newest one of its writer, which goes on from there"
		}
		switch {
		case why != "":
			p.Left = append(p.Left, Left{o.Name, why})
		case p.More || len(p.old) == p.options.Bundles || chunks+s.chunks > chunksEach && len(p.old) > 0:
			p.More = true
		default:
			p.old = append(p.old, s)
			chunks += s.chunks
		}
	}
}

// chunksEach bounds the memory that the footers of one run take.
const chunksEach = 200_000

// read finds out what of the chunks is read, and when it was archived.
func (l *looking) read() map[string]bool {
	read := make(map[string]bool)
	state := l.plan.before
	for _, lives := range [][]catalog.Life{state.Past, state.Lives} {
		for _, life := range lives {
			for _, part := range life.Parts {
				for _, s := range part.Stretches {
					read[s.Object.Name] = true
					src := l.sources[s.Object.Name]
					if src == nil {
						continue
					}
					e := s.Entry
					if l.cut[partitionOf(e.Topic, e.Partition)] {
						src.why = fmt.Sprintf("the source of %s/%d was truncated", e.Topic, e.Partition)
					}
					if s.From == e.First && s.To == e.Next {
						src.full++
						src.steps[s.Chunk] = s.Steps()
					}
				}
			}
		}
	}
	return read
}

func (l *looking) why(s *source) string {
	if s.why == "" && s.full != s.chunks {
		return "not all of its offsets are read from it"
	}
	return s.why
}

// join puts small neighbors together.
func (p *Plan) join() {
	type place struct {
		src   *source
		chunk int
	}
	var all []place
	for _, s := range p.old {
		for i := range s.footer.Chunks {
			all = append(all, place{s, i})
		}
	}
	entry := func(a place) *bundle.Entry { return &a.src.footer.Chunks[a.chunk] }
	slices.SortFunc(all, func(a, b place) int {
		x, y := entry(a), entry(b)
		return cmp.Or(cmp.Compare(x.Topic.Name, y.Topic.Name), cmp.Compare(x.Topic.Incarnation, y.Topic.Incarnation), slices.Compare(x.Topic.ID[:], y.Topic.ID[:]),
			cmp.Compare(x.Partition, y.Partition), cmp.Compare(x.First, y.First))
	})
	for _, a := range all {
		one := newJoined(a.src, a.chunk)
		if n := len(p.joined); n > 0 && p.joined[n-1].takes(one) {
			p.joined[n-1].take(one)
		} else {
			p.joined = append(p.joined, one)
		}
	}
	p.Joined = len(p.joined)
}
