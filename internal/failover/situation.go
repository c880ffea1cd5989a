package failover

import (
	"context"
	"time"

	"tandem/internal/stream"
)

// Map is the exact map of one flow, by partitions of the flow's target (see package offsetsync).
type Map interface {
	// Translate finds a source offset on the target: never behind the first record at or after it.
	Translate(ctx context.Context, remote stream.Partition, up stream.Upstream) (stream.Translated, error)
	// Return finds a target offset at the source, as carefully.
	Return(ctx context.Context, remote stream.Partition, down stream.Downstream) (stream.Returned, error)
	// Covered is the end of the map: everything below up stands below down. False where it knows nothing.
	Covered(remote stream.Partition) (up stream.Upstream, down stream.Downstream, ok bool)
}

// Place is an offset of a partition.
type Place struct {
	stream.Partition
	Offset int64
}

// Times tells when the records of To were written.
type Times interface {
	// Timestamps are the times of the first records at or after the places, in their order; zero where there is none.
	Timestamps(ctx context.Context, at []Place) ([]time.Time, error)
	// After finds, in each partition, the first offset with a time not before at; -1 where there is none.
	After(ctx context.Context, partitions []stream.Partition, at time.Time) (map[stream.Partition]int64, error)
}

// Situation is all that a plan is made from.
type Situation struct {
	Now    time.Time
	ID     string // of the plan: unique
	Config string // absolute path of mm2.properties
	Kind   Kind
	Mode   Mode // empty: controlled, unless From does not answer

	Rules Rules
	Legs  []Leg // all partitions of chosen topics, and those in which groups have positions
	From  Source
	To    Target

	Map         Map // of the flow From->To; nil where there is none
	Home        Map // of the flow To->From; nil where there is none, or where it could not be read
	Checkpoints map[CheckpointKey]stream.Checkpoint
	Failovers   []Record        // what was done before, oldest first
	Returning   []Record        // of those, the ones in force that a way back is for
	Standing    map[string]bool // groups of Returning that have committed offsets on From

	AllowUnknown bool
	Align        bool
	AlignAt      time.Time // zero: the lowest time at which a position stands
	Times        Times     // of To; used with Align only

	Divergence []Divergence
	Notes      []string // what the gathering found, for the warnings
	Obstacles  []string // the same, for the blockers
}

// CheckpointKey names a checkpoint.
type CheckpointKey struct {
	Group  string
	Remote stream.Partition // on To
}

// Source is what is known of the cluster that groups leave.
type Source struct {
	ClusterID string
	Live      bool   // it answers: ends, offsets and states are of this moment
	Away      string // why it does not

	Ends   map[stream.Partition]stream.SourceEnd // with what is known to be mirrored of each
	Starts map[stream.Partition]int64            // log starts; only where Live
	Groups map[string]stream.GroupOffsets        // the chosen groups
	States map[string]stream.Group               // only where Live
}

// Target is what the cluster says to which groups go.
type Target struct {
	ClusterID    string
	Topics       map[string]stream.Topic
	Starts, Ends map[stream.Partition]int64
	States       map[string]stream.Group
	Offsets      map[string]map[stream.Partition]stream.Committed
}

// has says whether the partition is there, and could be asked for its ends.
func (t Target) has(p stream.Partition) bool {
	_, ok := t.Ends[p]
	return ok && t.Topics[p.Topic].Partitions > p.Number
}
