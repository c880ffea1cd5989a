package stream

import (
	"fmt"
	"time"
)

// Upstream is an offset in a partition of the source cluster.
type Upstream int64

// Downstream is an offset in a partition of the target cluster.
type Downstream int64

// Flow names one direction of replication by the aliases of mm2.properties.
type Flow struct {
	Source string // alias of the cluster that is read
	Target string // alias of the cluster that is written
}

// String writes the flow as mm2.properties does: "A->B".
func (f Flow) String() string { return f.Source + "->" + f.Target }

// Reverse is the flow of the opposite direction.
func (f Flow) Reverse() Flow { return Flow{Source: f.Target, Target: f.Source} }

// Partition is one partition of a topic of some cluster.
type Partition struct {
	Topic  string
	Number int32
}

// String writes the partition as "topic/number".
func (p Partition) String() string { return fmt.Sprintf("%s/%d", p.Topic, p.Number) }

// TopicID is Kafka's identity of a topic (KIP-516): a topic deleted and made anew has another one.
// The zero value means that the broker does not know topic ids.
type TopicID [16]byte

// Run is a stretch of records that stand one after the other on both sides: record i of the run has source offset
// Up+i and target offset Down+i.
type Run struct {
	Up    Upstream
	Down  Downstream
	Count int64
}

// Ack says that the target cluster has appended, with acks=all, the records of one record batch.
//
// One with Bytes == 0 and no Runs tells of no batch, only of a place: a partition has started there, or has moved on over
// what needs no copy (transaction markers, aborted data, holes), or what it passed over at its start is certain by now.
// All other fields are set. It comes within a second or so where nothing else tells, and not more than once for a place.
type Ack struct {
	Source Partition
	Remote Partition
	Runs   []Run    // in order; a hole in the source starts a new run
	Next   Upstream // the first source offset that this batch and those before it do not cover
	Bytes  int      // bytes of the batch as it was sent
	At     time.Time

	Topic        TopicID // of the source topic
	NextSequence int32   // the producer sequence that the next record of the remote partition gets
	LeaderEpoch  int32   // the source leader epoch of the last batch, -1 when unknown

	// NextDown is the target offset of the next record, if nobody else writes, else the least that it can have: what is below Next
	// stands below it, wherever others have written in between. -1 when unknown.
	NextDown Downstream
}

// Records is the number of records that the ack covers.
func (a Ack) Records() int64 {
	var n int64
	for _, r := range a.Runs {
		n += r.Count
	}
	return n
}

// Record is one record of an internal topic: small, decoded, and written or read outside the data plane.
type Record struct {
	Partition int32
	Offset    int64 // set on records that were read
	Key       []byte
	Value     []byte // nil is a tombstone
	Timestamp time.Time
}
