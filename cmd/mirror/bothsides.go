package main

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"tandem/internal/offsetsync"
	"tandem/internal/stream"
)

// Groups of a topic that has one name on both sides and is copied both ways: their positions stand among the records of both
// clusters, which are in another order on the other side. Reading goes on there at the first record, of whichever origin, that
// the group may not have read.

// bothSides translates groups of such topics.
type bothSides struct {
	flow     *flow
	exact    *offsetsync.Map
	opposite *opposite

	mu     sync.Mutex                   // guards places
	places map[stream.Partition]*behind // by partition, which has the same name on both sides
}

// behind is a place on the target below which no record of the source stands that the map does not know. Where the target's
// own producers are the ones that write, the last record of the source is far behind it.
//
// It is found in this order: first how far the opposite flow has read the target, then where the source ends; once the map
// covers that, all of the source's that stood below the place are known.
type behind struct {
	known stream.Downstream
	next  stream.Downstream // to become known when the map covers end
	end   stream.Upstream   // -1 while it is to be asked for
}

const bothSidesEvery = time.Second

func newBothSides(f *flow, exact *offsetsync.Map, o *opposite) *bothSides {
	return &bothSides{flow: f, exact: exact, opposite: o, places: make(map[stream.Partition]*behind)}
}

// translate finds an offset of the source on the target.
func (b *bothSides) translate(ctx context.Context, p stream.Partition, up stream.Upstream) (stream.Translated, error) {
	home, err := b.opposite.latest(ctx)
	if err != nil {
		return stream.Translated{}, fmt.Errorf("read the map of %s: %w", b.flow.conf().Reverse(), err)
	}
	if home == nil {
		return stream.Translated{Offset: -1, Class: stream.Unknown, Reason: fmt.Sprintf("the flow %s has not begun", b.flow.conf().Reverse())}, nil
	}
	// What is known behind the map comes first, so that the map knows all that it rests on.
	beyond := b.known(p, home)
	there, err := b.exact.Translate(ctx, p, up)
	if err != nil {
		return there, err
	}
	one := bound{Translated: there}
	if _, down, ok := b.exact.Covered(p); ok && (there.Class == stream.Exact || there.Class == stream.Ahead) && there.Offset >= down {
		one.Offset, one.end = max(there.Offset, beyond), true
	}
	back, err := home.Return(ctx, p, stream.Downstream(up))
	if err != nil {
		return stream.Translated{}, err
	}
	two := bound{Translated: stream.Translated{Offset: stream.Downstream(back.Offset), Class: back.Class, Again: back.Again, Reason: back.Reason}}
	if end, _, ok := home.Covered(p); ok {
		two.end = back.Offset >= end
	}
	return first(one, two), nil
}

// bound is where the records of one cluster begin that a group may not have read.
type bound struct {
	stream.Translated
	end bool // none is known, and none stands before the place
}

// first is the lower one of the bounds of both clusters.
func first(a, b bound) stream.Translated {
	if b.Class == stream.Unknown || a.Class != stream.Unknown && a.Offset > b.Offset {
		a, b = b, a
	}
	switch {
	case a.Class == stream.Unknown:
		return a.Translated
	case a.Offset == b.Offset:
		return stream.Translated{Offset: a.Offset, Class: max(a.Class, b.Class), Again: max(a.Again, b.Again), Reason: cmp.Or(a.Reason, b.Reason)}
	case a.Class == stream.Exact && a.end:
		a.Class, a.Reason = stream.Clamped, "how far the records of both clusters have come there is not known yet"
	}
	a.Again += int64(b.Offset - a.Offset)
	return a.Translated
}

// known is the place behind which records of the source may stand that the map does not know; 0 where none is known.
func (b *bothSides) known(p stream.Partition, home *offsetsync.Map) stream.Downstream {
	read, _, ok := home.Covered(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	at := b.places[p]
	if at == nil || !ok {
		return 0
	}
	return min(at.known, stream.Downstream(read)) // a topic that was made anew is read from its beginning
}

// watch moves the places on.
func (b *bothSides) watch(ctx context.Context, sources []stream.Partition) error {
	home, err := b.opposite.latest(ctx)
	if home == nil || err != nil {
		return err
	}
	read := make(map[stream.Partition]stream.Downstream)
	var ask []stream.Partition
	b.mu.Lock()
	for _, p := range sources {
		at := b.places[p]
		if at == nil {
			at = &behind{end: -1}
			b.places[p] = at
		}
		if up, _, ok := b.exact.Covered(p); ok && at.end >= 0 && up >= at.end {
			at.known, at.end = at.next, -1
		}
		if up, _, ok := home.Covered(p); ok && at.end < 0 {
			read[p] = stream.Downstream(up)
			ask = append(ask, p)
		}
	}
	b.mu.Unlock()
	if len(ask) == 0 {
		return nil
	}
	ends, _, err := b.flow.clients.sourceWire.Offsets(ctx, ask, stream.Latest)
	if err != nil {
		return fmt.Errorf("find the ends of the source: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for p, end := range ends {
		b.places[p].next, b.places[p].end = read[p], stream.Upstream(end)
	}
	return nil
}
