package drill

import (
	"math"
	"math/rand/v2"
	"slices"

	"tandem/internal/archive/catalog"
	"tandem/internal/stream"
)

// Place says where in a partition a stretch lies.
type Place string

// The places.
const (
	Oldest Place = "oldest"
	Newest Place = "newest"
	Inside Place = "inside"
)

// Stretch is what is tried of one partition: source offsets From <= o < End.
type Stretch struct {
	stream.Partition
	From, End stream.Upstream
	Place     Place
}

// Bounds say how much is tried.
type Bounds struct {
	Partitions int
	Records    int64 // of each partition, about
	Bytes      int64 // of each partition, about; one record at least
	// Below is the offset below which the other side is known to have a partition; what lies behind is not tried, unless nothing
	// else is there. Nil: all may be tried.
	Below func(stream.Partition) (stream.Upstream, bool)
}

// Choose draws partitions, one of each topic before a second one of any, and a stretch in each: the oldest, the newest, and one inside,
// in turn. The same draws give the same stretches.
func Choose(draw *rand.Rand, lives []catalog.Life, b Bounds) []Stretch {
	var topics [][]extent
	for _, life := range lives {
		var parts []extent
		for _, part := range life.Parts {
			if x := extentOf(life.Topic.Name, part, b); x.records > 0 {
				parts = append(parts, x)
			}
		}
		if len(parts) > 0 {
			draw.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
			topics = append(topics, parts)
		}
	}
	draw.Shuffle(len(topics), func(i, j int) { topics[i], topics[j] = topics[j], topics[i] })
	places := []Place{Oldest, Newest, Inside}
	turn := draw.IntN(len(places))
	var chosen []Stretch
	for round := 0; len(chosen) < b.Partitions && len(topics) > 0; round++ {
		topics = slices.DeleteFunc(topics, func(parts []extent) bool { return len(parts) <= round })
		for _, parts := range topics {
			if len(chosen) == b.Partitions {
				break
			}
			chosen = append(chosen, parts[round].stretch(draw, places[(turn+len(chosen))%len(places)], b))
		}
	}
	return chosen
}

// extent is what can be tried of a partition.
type extent struct {
	partition stream.Partition
	chunks    []piece
	records   float64
}

// piece is what a chunk has of it: so many records and bytes for each offset, taken to be spread evenly.
type piece struct {
	from, to       stream.Upstream
	records, bytes float64 // for each offset
}

func extentOf(topic string, part catalog.Part, b Bounds) extent {
	x := extent{partition: stream.Partition{Topic: topic, Number: part.Number}}
	end := stream.Upstream(math.MaxInt64)
	if b.Below != nil {
		if below, ok := b.Below(x.partition); ok && below > part.First() {
			end = below
		}
	}
	for _, s := range part.Stretches {
		e, n := s.Entry, float64(s.Entry.Next-s.Entry.First)
		p := piece{from: s.From, to: min(s.To, end)}
		if p.from >= p.to || e.Records == 0 || n <= 0 {
			continue
		}
		p.records, p.bytes = 1, max(float64(e.Plain)/n, 0)
		if e.Records > 0 {
			p.records = min(float64(e.Records)/n, 1)
		}
		x.chunks = append(x.chunks, p)
		x.records += p.records * float64(p.to-p.from)
	}
	return x
}

// stretch is the one at a place.
func (x extent) stretch(draw *rand.Rand, place Place, b Bounds) Stretch {
	s := Stretch{Partition: x.partition, Place: place}
	last := len(x.chunks) - 1
	switch place {
	case Newest:
		s.End = x.chunks[last].to
		s.From = x.back(s.End, b)
	case Inside:
		at := draw.Float64() * max(x.records-float64(b.Records), 0)
		i := 0
		for ; i < last; i++ {
			if n := x.chunks[i].records * float64(x.chunks[i].to-x.chunks[i].from); at < n {
				break
			} else {
				at -= n
			}
		}
		c := x.chunks[i]
		s.From = min(c.from+stream.Upstream(at/c.records), c.to-1)
		s.End = x.ahead(s.From, b)
	case Oldest:
		s.From = x.chunks[0].from
		s.End = x.ahead(s.From, b)
	}
	return s
}

// ahead is where a stretch ends that begins at an offset of a chunk.
func (x extent) ahead(from stream.Upstream, b Bounds) stream.Upstream {
	left := newAllowance(b)
	end := from
	for _, c := range x.chunks {
		if c.to <= from {
			continue
		}
		begin := max(c.from, from)
		n := left.take(c, c.to-begin)
		if n > 0 {
			end = begin + n
		}
		if n < c.to-begin {
			break
		}
	}
	return max(end, from+1)
}

// back is where a stretch begins that ends behind an offset of a chunk.
func (x extent) back(end stream.Upstream, b Bounds) stream.Upstream {
	left := newAllowance(b)
	from := end
	for _, c := range slices.Backward(x.chunks) {
		n := left.take(c, c.to-c.from)
		if n > 0 {
			from = c.to - n
		}
		if n < c.to-c.from {
			break
		}
	}
	return min(from, end-1)
}

// allowance is how much a stretch may still have.
type allowance struct{ records, bytes float64 }

func newAllowance(b Bounds) allowance { return allowance{float64(b.Records), float64(b.Bytes)} }

// take is how many of n offsets of a chunk there is room for.
func (a *allowance) take(c piece, n stream.Upstream) stream.Upstream {
	fit := min(float64(n), math.Ceil(a.records/c.records))
	if c.bytes > 0 {
		fit = min(fit, math.Floor(a.bytes/c.bytes))
	}
	fit = max(fit, 0)
	a.records -= fit * c.records
	a.bytes -= fit * c.bytes
	return stream.Upstream(fit)
}
