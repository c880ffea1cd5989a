package main

import (
	"tandem/internal/replicate/position"
	"tandem/internal/stream"
)

// acked notes what the target has appended. An ack without bytes only tells a place.
func (r *replication) acked(a stream.Ack) {
	more := false
	if a.NextDown >= 0 || !r.conf().TwoWay { // where others write as well, the records behind an older anchor are found, behind none they are not
		more = r.memory.set(a.Remote, position.Anchor{
			Source: a.Topic, NextUp: a.Next, NextSequence: a.NextSequence, NextDown: a.NextDown, LeaderEpoch: a.LeaderEpoch,
		})
	}
	if a.Bytes > 0 || more { // more: a killed process had sent records that are certain by now
		r.positions.Set(a.Source, lastOf(a))
	}
	r.tellOf(a)
}

// lastOf is the last record of an ack, as far as it tells; what it lets pass behind it is no record.
func lastOf(a stream.Ack) stream.Upstream {
	if n := len(a.Runs); n > 0 {
		run := a.Runs[n-1]
		return run.Up + stream.Upstream(run.Count) - 1
	}
	return a.Next - 1
}

// tellOf hands an ack to those who listen, when it is certain.
func (r *replication) tellOf(a stream.Ack) {
	r.offsets.exact.Ack(a)
	if a.Bytes == 0 {
		return
	}
	if r.syncs != nil {
		r.syncs.ack(a)
	}
	if r.archive != nil {
		r.archive.runs.ack(a)
	}
	if r.observe != nil {
		r.observe(r.conf().Flow, a)
	}
}
