package checkpoint

import (
	"maps"
	"slices"
	"time"

	"tandem/internal/stream"
)

// freshness is how old the time in a stored record may become while nothing else in it changes: that a source partition is
// known to have ended there, and when, is what the loss is told by when the source is gone.
const freshness = time.Minute

// Ends turns where source partitions stand into the records that keep it on the target. It is for one goroutine.
type Ends struct {
	stored  map[string]map[int32]stream.SourceEnd
	pending map[string]map[int32]stream.SourceEnd // in records that may or may not be stored
}

// NewEnds makes an Ends that begins with what is stored; known may be nil.
func NewEnds(known *Known) *Ends {
	e := &Ends{stored: map[string]map[int32]stream.SourceEnd{}, pending: map[string]map[int32]stream.SourceEnd{}}
	if known != nil {
		for topic, ends := range known.ends {
			e.stored[topic] = maps.Clone(ends)
		}
	}
	return e
}

// Records are those to append to mm2-tandem.A.internal, in order: one for each source topic of which something changed
// since it was stored. A partition that is not among the standings stays as it was stored. Whoever has appended them calls
// Stored; until then they come again.
func (e *Ends) Records(standings map[stream.Partition]stream.SourceEnd) ([]stream.Record, error) {
	clear(e.pending)
	for p, now := range standings {
		was, known := e.stored[p.Topic][p.Number]
		if known && !moved(was, now) {
			continue
		}
		if e.pending[p.Topic] == nil {
			e.pending[p.Topic] = map[int32]stream.SourceEnd{}
		}
	}
	for topic := range e.pending {
		maps.Copy(e.pending[topic], e.stored[topic])
	}
	for p, now := range standings {
		if ends := e.pending[p.Topic]; ends != nil {
			ends[p.Number] = now
		}
	}
	var records []stream.Record
	for _, topic := range slices.Sorted(maps.Keys(e.pending)) {
		r, err := encodeEnds(topic, e.pending[topic])
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, nil
}

// Stored says that the records of the last call are appended.
func (e *Ends) Stored() {
	maps.Copy(e.stored, e.pending)
	clear(e.pending)
}

func moved(was, now stream.SourceEnd) bool {
	return was.End != now.End || was.Acked != now.Acked || was.Newest.UnixMilli() != now.Newest.UnixMilli() ||
		now.At.Sub(was.At) >= freshness
}
