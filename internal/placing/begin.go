package placing

import "tandem/internal/stream"

// Standing is the part of a map that learns where a remote partition stands.
type Standing interface {
	// Covered is the end of what the map knows; false where it knows nothing.
	Covered(remote stream.Partition) (up stream.Upstream, down stream.Downstream, ok bool)
	// Ack without runs says that below Next everything stands below NextDown, and the rest at or beyond.
	Ack(stream.Ack)
	// Stands says where the log of a remote partition starts and ends.
	Stands(remote, source stream.Partition, start, end stream.Downstream)
}

// Anchor is a place that was noted beside the map: source records below Next stand below Down.
type Anchor struct {
	Topic stream.TopicID
	Next  stream.Upstream
	Down  stream.Downstream // -1 when unknown
}

// Begin tells the map where a remote partition stands, between start and end. An anchor counts where it is no older than the
// map, and not of records that the target has lost since. The end comes last: what lies behind the anchor is a gap then.
func Begin(m Standing, source, remote stream.Partition, start, end stream.Downstream, at *Anchor) {
	if at != nil && at.Down >= 0 && at.Down <= end {
		up, down, some := m.Covered(remote)
		if !some || at.Next >= up && at.Down >= down {
			m.Ack(stream.Ack{Source: source, Remote: remote, Topic: at.Topic, Next: at.Next, NextDown: at.Down})
		}
	}
	m.Stands(remote, source, start, end)
}
