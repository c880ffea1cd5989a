package replicate

import (
	"context"
	"testing"

	"tandem/internal/stream"
)

// brief is a fetch session of a broker that tells of a partition once, when it learns of it, since nothing new comes.
type brief struct {
	known, added, forgotten map[stream.Partition]bool
}

func (s *brief) Set(p stream.Place) {
	s.added[p.Partition] = true
	delete(s.forgotten, p.Partition)
}

func (s *brief) Forget(p stream.Partition) {
	delete(s.added, p)
	s.forgotten[p] = true
}

func (s *brief) Fetch(context.Context, stream.FetchBounds) (all []stream.Fetched, err error) {
	for p := range s.forgotten {
		delete(s.known, p)
	}
	for p := range s.added {
		if !s.known[p] {
			all = append(all, stream.Fetched{Partition: p, HighWatermark: 7})
		}
		s.known[p] = true
	}
	clear(s.forgotten)
	clear(s.added)
	return all, nil
}

// Whoever reads an idle partition hears how far it goes, once, also if another reading of it ended just before.
func TestIdlePartitionReadAgain(t *testing.T) {
	session := &brief{map[stream.Partition]bool{}, map[stream.Partition]bool{}, map[stream.Partition]bool{}}
	f := newFetcher(1, session, NewBudget(64<<20), FetchSizes{}, nil, nil, make(chan fetchAnswer, 1), make(chan struct{}, 1))
	f.budget.join()
	place := stream.Place{Partition: stream.Partition{Topic: "idle"}, Offset: 7, LastEpoch: -1}
	read := func(generation uint64) { f.read(place, generation, &gate{}) }
	for _, c := range []struct {
		story string
		do    func()
		want  []uint64 // generations that hear of the end
	}{
		{"read", func() { read(1) }, []uint64{1}},
		{"nothing new", func() {}, nil},
		{"let go and read again at once", func() { f.stop(place.Partition); read(2) }, []uint64{2}},
		{"read anew without an end", func() { read(3) }, []uint64{3}},
		{"let go", func() { f.stop(place.Partition) }, nil},
		{"read again later", func() { read(4) }, []uint64{4}},
		{"let go and read again twice", func() { f.stop(place.Partition); read(5); f.stop(place.Partition); read(6) }, []uint64{5, 6}},
		{"a topic made anew", func() { f.stop(place.Partition); place.Topic[0] = 1; read(7) }, nil},
	} {
		c.do()
		f.changes()
		answer, err := f.fetch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var heard []uint64
		for _, one := range answer.chunks {
			if one.high != 7 || one.next != 7 {
				t.Errorf("%s: told of end %d, next %d", c.story, one.high, one.next)
			}
			heard = append(heard, one.generation)
		}
		if len(heard) != len(c.want) || len(heard) > 0 && heard[len(heard)-1] != c.want[len(c.want)-1] {
			t.Errorf("%s: %v have heard, want %v", c.story, heard, c.want)
		}
	}
}
