package stream

import "time"

// Group is a consumer group as a cluster lists it.
type Group struct {
	ID    string
	Type  string // "classic" or "consumer" (KIP-848); empty where the broker does not tell
	State string // Kafka's name of the state, such as Stable or Empty
}

// Live says that the group has members, or may have some in a moment: its offsets are theirs. A state that is not known
// counts as live.
func (g Group) Live() bool { return g.State != "Empty" && g.State != "Dead" }

// Committed is a group's committed offset of one partition. An offset is upstream or downstream by the cluster that was
// asked.
type Committed struct {
	Offset   int64
	Metadata string
}

// GroupOffsets are the offsets that a group had committed at a time.
type GroupOffsets struct {
	Group   string
	At      time.Time
	Offsets map[Partition]Committed
}

// Checkpoint is a group's position on both clusters (MM2's checkpoint record): a consumer that had handled everything below
// Up at the source goes on at Down on the target.
type Checkpoint struct {
	Group    string
	Remote   Partition // a partition of the target cluster
	Up       Upstream
	Down     Downstream
	Metadata string
	At       time.Time
}
