package offsetsync

import (
	"slices"

	"tandem/internal/stream"
)

// slots is how many offset syncs MM2 keeps of a source partition.
const slots = 64

// Store holds the offset syncs of a topic as MM2's checkpoint task does, and translates as it does: 64 slots for each source
// partition, the newest sync in the first, the oldest that is of use in the last, and between them ever wider apart.
//
// Slots refer to syncs; one sync stands in many slots, and two equal syncs are not one. With i < j, and slots i and j different:
//
//	near  up[i] <= up[j] + 2^j - 2^i         so that the distance at most doubles
//	far   up[i] >= up[j] + 2^max(i-2, 0)     so that no slot is wasted
//
// A Store is a value in memory without a lock; its owner serializes the calls.
type Store struct {
	toEnd      bool
	ready      bool
	partitions map[stream.Partition]*[slots]*Sync
}

// NewStore starts empty. mustReadToEnd is MM2's mode where checkpoints could not be loaded: of the syncs before Ready only the last
// of each partition counts.
func NewStore(mustReadToEnd bool) *Store {
	return &Store{toEnd: mustReadToEnd, partitions: map[stream.Partition]*[slots]*Sync{}}
}

// Ready says that the topic was read to its end; before, nothing is translated.
func (s *Store) Ready() { s.ready = true }

// Add takes the next sync of the topic in.
func (s *Store) Add(n Sync) {
	a := s.partitions[n.Source]
	if a == nil {
		a = new([slots]*Sync)
		s.partitions[n.Source] = a
	}
	if a[0] == nil || n.Up < a[0].Up || s.toEnd && !s.ready {
		for i := range a {
			a[i] = &n
		}
		return
	}
	insert(a, &n)
}

// insert moves syncs to later slots, each where it keeps both rules, and drops those that fit nowhere.
func insert(a *[slots]*Sync, n *Sync) {
	old, from := *a, 0
	a[0] = n
	filler := n
	for at := 1; at < slots; at++ {
		before := at - 1
		for {
			o := old[from]
			recent := near(a[before], o, before, at)
			separate := far(a[before], o, before)
			fits := at == slots-1 || far(o, a[at+1], at)
			again := from+1 < slots && old[from+1] == o
			promote, skip := recent && separate && fits, again || !separate
			if promote {
				filler = o
			}
			if promote || skip {
				from++
			}
			if from >= at || !skip {
				break
			}
		}
		if near(a[before], a[at], before, at) {
			return
		}
		a[at] = filler
	}
}

// near and far compare the syncs of slots i < j. The numbers are MM2's, also where they overflow.
func near(a, b *Sync, i, j int) bool {
	bound := int64(b.Up) + int64(1)<<j - int64(1)<<i
	return a == b || bound < 0 || int64(a.Up) <= bound
}

func far(a, b *Sync, i int) bool {
	bound := int64(b.Up) + int64(1)<<max(i-2, 0)
	return a == b || bound >= 0 && int64(a.Up) >= bound
}

// Translate is where MM2 lets a consumer of the source partition go on: -1 is for an offset older than every sync. It is not ok
// before Ready, and where there is no sync.
func (s *Store) Translate(source stream.Partition, up stream.Upstream) (down stream.Downstream, ok bool) {
	a := s.partitions[source]
	if !s.ready || a == nil {
		return 0, false
	}
	for _, sync := range a {
		switch {
		case sync.Up == up:
			return sync.Down, true
		case sync.Up < up:
			return sync.Down + 1, true
		}
	}
	return -1, true
}

// Points are the syncs that the slots of a source partition hold, oldest first; of two at one upstream offset both.
func (s *Store) Points(source stream.Partition) []Sync {
	a := s.partitions[source]
	if !s.ready || a == nil {
		return nil
	}
	var points []Sync
	for i, sync := range a {
		if i == 0 || sync != a[i-1] {
			points = append(points, *sync)
		}
	}
	slices.Reverse(points)
	return points
}

// ReadStore makes a Store of the records of an offset-syncs topic, which read hands over in the order of the log. As in MM2, a
// record that cannot be decoded is as good as none. The error is that of read.
func ReadStore(read func(each func(stream.Record) error) error) (*Store, error) {
	s := NewStore(false)
	err := read(func(r stream.Record) error {
		if n, err := Decode(r); err == nil {
			s.Add(n)
		}
		return nil
	})
	s.Ready()
	return s, err
}
