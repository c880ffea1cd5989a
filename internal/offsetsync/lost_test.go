package offsetsync

import (
	"context"
	"fmt"
	"testing"

	"tandem/internal/stream"
)

// gone has lost every record.
type gone struct{}

func (gone) Segment(context.Context, int64) (stream.Record, error) {
	return stream.Record{}, fmt.Errorf("%w: the topic was deleted", ErrGone)
}

// TestLostSegment: where a part of the map is gone, what lies inside goes to its beginning; nothing is skipped, and the rest is
// as exact as before.
func TestLostSegment(t *testing.T) {
	size := segmentSize
	segmentSize = 64
	defer func() { segmentSize = size }()
	m := NewMap(0, gone{})
	source, remote := stream.Partition{Topic: "orders"}, stream.Partition{Topic: "A.orders"}
	const runs = 1000
	up, down := stream.Upstream(0), stream.Downstream(0)
	place := map[stream.Upstream]stream.Downstream{}
	for i := range runs {
		count := int64(1 + i%7)
		for n := range count {
			place[up+stream.Upstream(n)] = down + stream.Downstream(n)
		}
		m.Ack(stream.Ack{Source: source, Remote: remote, Bytes: 1, Next: up + stream.Upstream(count),
			Runs: []stream.Run{{Up: up, Down: down, Count: count}}})
		up, down = up+stream.Upstream(count)+stream.Upstream(1+i%3), down+stream.Downstream(count)
	}
	records := m.Changed()
	for i := range records {
		records[i].Offset = int64(i)
	}
	m.Stored(records)
	if s := m.Size(); s.Segments < 10 {
		t.Fatalf("%d segments are too few to lose one", s.Segments)
	}
	lost := 0
	for at, want := range place {
		got, err := m.Translate(t.Context(), remote, at)
		if err != nil || got.Offset > want || got.Class == stream.Exact && got.Offset != want || got.Offset+stream.Downstream(got.Again) < want {
			t.Fatalf("translate %d: %+v, %v; it stands at %d", at, got, err, want)
		}
		if got.Class != stream.Exact {
			lost++
		}
		back, err := m.Return(t.Context(), remote, want)
		if err != nil || back.Offset > at || back.Class == stream.Exact && back.Offset != at {
			t.Fatalf("return %d: %+v, %v; it is %d", want, back, err, at)
		}
	}
	if lost == 0 || lost == len(place) {
		t.Errorf("%d of %d are not exact", lost, len(place))
	}
}
