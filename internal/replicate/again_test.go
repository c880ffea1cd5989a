package replicate

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

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

// TestSessionIsSilent: what a session does not speak of has not moved, if it was in the session all the time.
func TestSessionIsSilent(t *testing.T) {
	session := &brief{map[stream.Partition]bool{}, map[stream.Partition]bool{}, map[stream.Partition]bool{}}
	f := newFetcher(1, session, NewBudget(64<<20), FetchSizes{}, nil, nil, make(chan fetchAnswer, 1), make(chan struct{}, 1))
	f.budget.join()
	place := stream.Place{Partition: stream.Partition{Topic: "idle"}, Offset: 7, LastEpoch: -1}
	var inside *atomic.Uint64
	reading := func() *reading { return f.readings[place.Partition] }
	for i, c := range []struct {
		story string
		do    func()
		want  uint64 // the answer since which it is in the session, behind the fetch
	}{
		{"read", func() { inside = f.read(place, 1, &gate{}) }, 1},
		{"nothing new", func() {}, 1},
		{"taken out", func() { f.leave(reading()) }, 0},
		{"still out", func() {}, 0},
		{"and back", func() { f.enter(reading()) }, 5},
		{"out and back at once", func() { f.leave(reading()); f.enter(reading()) }, 5},
		{"let go and read again at once", func() { f.stop(place.Partition); inside = f.read(place, 2, &gate{}) }, 7},
		{"out, let go and read again at once", func() {
			f.leave(reading())
			f.stop(place.Partition)
			inside = f.read(place, 3, &gate{})
		}, 0}, // the broker will not tell, and nobody knows that it need not: it is asked
	} {
		c.do()
		f.changes()
		if _, err := f.fetch(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := inside.Load(); got != c.want || f.answers != uint64(i+1) {
			t.Errorf("%s: in the session since answer %d of %d, want %d", c.story, got, f.answers, c.want)
		}
	}
}

// TestSaidBefore: what is said again says nothing about now.
func TestSaidBefore(t *testing.T) {
	p := New(Config{})
	part := &partition{known: known{end: -1}, acked: 7, inside: new(atomic.Uint64)}
	at := func(s int) time.Time { return p.base.Add(time.Duration(s) * time.Second) }
	p.spoke(part, fetchAnswer{number: 1, asked: at(1), got: at(2)}, chunk{high: 7, stable: 7})
	for number, again := range []bool{true, false} {
		p.spoke(part, fetchAnswer{number: uint64(number), asked: at(3), got: at(4)}, chunk{high: 7 + stream.Upstream(number), stable: 7 + stream.Upstream(number), again: again})
		if _, sure := p.behind(part, at(5)); !sure.Equal(at(1)) {
			t.Errorf("sure as of %v, asked at 1 s", sure.Sub(p.base))
		}
	}
}
