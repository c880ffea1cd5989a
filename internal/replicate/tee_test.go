package replicate

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/batch"
	"tandem/internal/stream"
)

// simTee keeps a copy of all that it is handed.
type simTee struct {
	mu     sync.Mutex
	rand   *rand.Rand // nil: never full
	closed bool
	parts  map[stream.Partition]*simTeed
	asked  int
}

type simTeed struct {
	stretches []Stretch
	batches   map[int64][]byte
	next      stream.Upstream // all below was handed over
}

func (s *simTee) Take(one Stretch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.parts[one.Source] == nil {
		s.parts[one.Source] = &simTeed{batches: make(map[int64][]byte)}
	}
	p := s.parts[one.Source]
	one.Batches = bytes.Clone(one.Batches)
	p.stretches = append(p.stretches, one)
	if one.From <= p.next {
		p.next = max(p.next, one.Next)
	}
}

func (s *simTee) Full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	return s.closed || s.rand != nil && s.rand.IntN(5) == 0
}

func (s *simTee) reaches(p stream.Partition) stream.Upstream {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.parts[p] == nil {
		return 0
	}
	return s.parts[p].next
}

// compare puts what the tee got together, and wants the source's log, byte for byte.
func (s *simTee) compare(t *testing.T, m *sim) {
	t.Helper()
	for source, l := range m.logs {
		p := s.parts[source]
		for _, one := range p.stretches {
			first, last := int64(-1), int64(-1)
			for rest := one.Batches; len(rest) > 0; {
				v, more, err := batch.Next(rest)
				if err != nil {
					t.Fatalf("%s from %d: %v", source, one.From, err)
				}
				if first < 0 {
					first = v.LastOffset()
				}
				last = v.LastOffset()
				p.batches[v.BaseOffset()], rest = v.Bytes(), more
			}
			if first < int64(one.From) || last != int64(one.Next)-1 {
				t.Errorf("%s: stretch from %d to %d has batches that end at %d to %d", source, one.From, one.Next, first, last)
			}
			if want := l.epochBefore(int64(one.From)); one.LeaderEpoch >= 0 && one.LeaderEpoch != want {
				t.Errorf("%s: leader epoch %d before %d, want %d", source, one.LeaderEpoch, one.From, want)
			}
		}
		if len(p.batches) != len(l.batches) {
			t.Errorf("%s: %d batches of %d", source, len(p.batches), len(l.batches))
		}
		for _, e := range l.batches {
			v, _, _ := batch.Next(e.raw)
			if !bytes.Equal(p.batches[v.BaseOffset()], e.raw) {
				t.Errorf("%s: batch at %d is not the source's", source, v.BaseOffset())
			}
		}
	}
}

// epochBefore is the leader epoch of the batch before an offset.
func (l *simLog) epochBefore(offset int64) int32 {
	epoch := int32(-1)
	for _, e := range l.batches {
		v, _, _ := batch.Next(e.raw)
		if v.BaseOffset() < offset {
			epoch = v.LeaderEpoch()
		}
	}
	return epoch
}

func TestTheTeeGetsTheSourcesLog(t *testing.T) {
	for _, faults := range []int{0, 40} {
		for seed := range dice(6) {
			t.Run(fmt.Sprintf("one fault in %d, seed %d", faults, seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m := newSim(seed)
					var list []Assignment
					for i := range int32(4) {
						list = append(list, m.add("orders", i, 150))
					}
					m.faults = faults
					tee := &simTee{rand: rand.New(rand.NewPCG(seed, 1)), parts: make(map[stream.Partition]*simTeed)}
					m.tee = tee
					runUntil(t, m.pipe(newSimMemory(), NewBudget(8<<20)), list, 10*time.Minute, func() bool {
						for p, l := range m.logs {
							if int64(tee.reaches(p)) < l.end {
								return false
							}
						}
						return m.complete()
					})
					m.compare(t)
					tee.compare(t, m)
				})
			})
		}
	}
}

// While the tee is full nothing is asked for; after it everything comes.
func TestAFullTeeHoldsReadingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newSim(1)
		list := []Assignment{m.add("orders", 0, 50)}
		tee := &simTee{closed: true, parts: make(map[stream.Partition]*simTeed)}
		m.tee = tee
		opened := false
		runUntil(t, m.pipe(newSimMemory(), NewBudget(8<<20)), list, time.Minute, func() bool {
			tee.mu.Lock()
			if tee.asked > 20 && tee.closed {
				m.mu.Lock()
				if m.fetches > 0 {
					t.Errorf("%d fetches while the tee was full", m.fetches)
				}
				m.mu.Unlock()
				tee.closed, opened = false, true
			}
			tee.mu.Unlock()
			return m.complete()
		})
		if !opened {
			t.Error("it was never asked")
		}
		m.compare(t)
	})
}

// Without a tee framing costs nothing more; with one, what a broker does not check is not said to be checked.
func TestTellTheTee(t *testing.T) {
	at := stream.Place{Partition: stream.Partition{Topic: "t"}, Offset: 5, LastEpoch: 3}
	none := &fetcher{}
	if n := testing.AllocsPerRun(100, func() { none.tell(at, 9, nil, stream.Fetched{}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	tee := &simTee{parts: make(map[stream.Partition]*simTeed)}
	f := &fetcher{tee: tee}
	f.tell(at, 5, nil, stream.Fetched{}) // nothing came
	f.tell(at, 9, nil, stream.Fetched{})
	f.tell(at, 9, nil, stream.Fetched{Unguarded: true})
	got := tee.parts[at.Partition].stretches
	if len(got) != 2 || got[0].LeaderEpoch != 3 || got[1].LeaderEpoch != -1 {
		t.Errorf("got %+v", got)
	}
}

// What was read goes from the batch that ends at the place or behind it to the last whole one.
func TestWhatWasRead(t *testing.T) {
	var records []byte
	var starts []int
	for base := int64(0); base < 30; base += 10 {
		starts = append(starts, len(records))
		records = append(records, simBatch("t", base, []int64{base, base + 9}, 0, -1)...)
	}
	for _, c := range []struct {
		from  stream.Upstream
		cut   int // bytes of the last batch that are missing
		first int // batch
		next  stream.Upstream
	}{{0, 0, 0, 30}, {10, 0, 1, 30}, {15, 0, 1, 30}, {29, 0, 2, 30}, {0, 1, 0, 20}, {19, 5, 1, 20}} {
		f := stream.Fetched{Records: records[:len(records)-c.cut]}
		end := len(records)
		if c.cut > 0 {
			end = starts[2]
		}
		r, err := route(t.Context(), f, c.from, Epoch{}, nil)
		if err != nil || r.next != c.next || !bytes.Equal(r.whole, records[starts[c.first]:end]) {
			t.Errorf("from %d, %d bytes cut: %d bytes up to %d, %v", c.from, c.cut, len(r.whole), r.next, err)
		}
	}
}
