package archive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/store"
	"tandem/internal/batch"
	"tandem/internal/stream"
)

var errAway = errors.New("away")

// shelf is a store in memory that fails as a test wants it.
type shelf struct {
	mu      sync.Mutex
	objects map[string][]byte
	away    bool
	goes    string   // the object that somebody removes when it is asked for
	faults  []string // of the next puts: "", "500", "lost", "late"
	late    []func() // puts whose process was killed, and which the store has not worked off
}

func newShelf() *shelf { return &shelf{objects: make(map[string][]byte)} }

func (s *shelf) failure(op, name string, kind store.Kind) error {
	return &store.Error{Op: op, Name: name, Kind: kind, Err: errAway}
}

// Put is store.Store's.
func (s *shelf) Put(ctx context.Context, name string, body store.Body) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	fault := ""
	if len(s.faults) > 0 {
		fault, s.faults = s.faults[0], s.faults[1:]
	}
	if ctx.Err() != nil {
		return s.failure("put", name, store.Canceled)
	}
	if s.away || fault == "500" {
		return s.failure("put", name, store.Transient)
	}
	b := make([]byte, body.Size())
	if n, err := body.ReadAt(b, 0); n != len(b) {
		return err
	}
	if fault == "late" {
		s.late = append(s.late, func() { s.objects[name] = b })
		return s.failure("put", name, store.Transient)
	}
	if has, ok := s.objects[name]; ok && !bytes.Equal(has, b) {
		return s.failure("put", name, store.Conflict)
	}
	s.objects[name] = b
	if fault == "lost" {
		return s.failure("put", name, store.Transient)
	}
	return nil
}

// Get is store.Store's.
func (s *shelf) Get(_ context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return nil, s.failure("get", name, store.Transient)
	}
	if name == s.goes {
		delete(s.objects, name)
	}
	object, ok := s.objects[name]
	if !ok {
		return nil, s.failure("get", name, store.NotFound)
	}
	return io.NopCloser(bytes.NewReader(object[offset : offset+length])), nil
}

// List is store.Store's.
func (s *shelf) List(_ context.Context, prefix, after string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.away {
			yield(store.Info{}, s.failure("list", prefix, store.Transient))
			return
		}
		for _, name := range slices.Sorted(maps.Keys(s.objects)) {
			if strings.HasPrefix(name, prefix) && name > after && !yield(store.Info{Name: name, Size: int64(len(s.objects[name]))}, nil) {
				return
			}
		}
	}
}

func (s *shelf) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.objects)
}

func (s *shelf) put(name string, b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[name] = b
}

func (s *shelf) script(faults ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = faults
}

func (s *shelf) setAway(v bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = v
}

// work finishes the puts of the dead.
func (s *shelf) work() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.late {
		f()
	}
	s.late = nil
}

// span is a stretch of offsets.
type span struct{ from, to stream.Upstream }

// kept is what the store holds of one partition of one life.
type kept struct {
	covered []span // chunks and gaps, in the order of the names
	gaps    []span
	twice   int              // offsets that stand in two chunks
	batches map[int64][]byte // by base offset
}

// part is one partition of one life.
type part struct {
	id     stream.TopicID
	number int32
}

// read takes the whole store apart, by its bundles alone, and fails where two of them contradict each other.
func (s *shelf) read(t *testing.T) (map[part]*kept, []bundle.Footer) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	all, footers := make(map[part]*kept), []bundle.Footer(nil)
	of := func(topic bundle.Topic, number int32) *kept {
		k := all[part{topic.ID, number}]
		if k == nil {
			k = &kept{batches: make(map[int64][]byte)}
			all[part{topic.ID, number}] = k
		}
		return k
	}
	for _, name := range slices.Sorted(maps.Keys(s.objects)) {
		b := s.objects[name]
		r, err := bundle.Open(t.Context(), bytes.NewReader(b), int64(len(b)), bundle.OpenOptions{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		f := r.Footer()
		footers = append(footers, f)
		for _, e := range f.Events {
			switch e := e.Body.(type) {
			case bundle.Gap:
				k := of(e.Topic, e.Partition)
				k.covered, k.gaps = append(k.covered, span{e.From, e.To}), append(k.gaps, span{e.From, e.To})
			case bundle.Truncated:
				of(e.Topic, e.Partition).truncate(e.To)
			}
		}
		for i, c := range f.Chunks {
			k := of(c.Topic, c.Partition)
			plain, err := r.Chunk(t.Context(), i, nil)
			if err != nil {
				t.Fatal(err)
			}
			for len(plain) > 0 {
				v, more, err := batch.Next(plain)
				if err != nil {
					t.Fatal(err)
				}
				if before, ok := k.batches[v.BaseOffset()]; ok && !bytes.Equal(before, v.Bytes()) {
					t.Fatalf("%s/%d: two batches at %d", c.Topic, c.Partition, v.BaseOffset())
				} else if ok {
					k.twice++
				}
				k.batches[v.BaseOffset()] = slices.Clone(v.Bytes())
				plain = more
			}
			k.covered = append(k.covered, span{c.First, c.Next})
		}
	}
	return all, footers
}

func (k *kept) truncate(to stream.Upstream) {
	maps.DeleteFunc(k.batches, func(base int64, _ []byte) bool { return base >= int64(to) })
	for i := range k.covered {
		k.covered[i].to = min(k.covered[i].to, to)
	}
	k.covered = slices.DeleteFunc(k.covered, func(s span) bool { return s.from >= s.to })
}

// reaches says up to where everything from an offset on is covered.
func (k *kept) reaches(from stream.Upstream) stream.Upstream {
	if k == nil {
		return from
	}
	all := slices.Clone(k.covered)
	slices.SortFunc(all, func(a, b span) int { return int(a.from - b.from) })
	for _, s := range all {
		if s.from <= from {
			from = max(from, s.to)
		}
	}
	return from
}
