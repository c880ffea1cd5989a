package failover

import (
	"time"

	"tandem/internal/stream"
)

// Kind says which way a plan goes.
type Kind string

// The kinds of plans.
const (
	Over Kind = "failover" // with the flow: away from the cluster that was mirrored
	Back Kind = "back"     // against it: back to the cluster that was mirrored
)

// Mode says what a plan may take for granted.
type Mode string

// The modes of a plan.
const (
	Controlled Mode = "controlled" // both clusters answer, the groups have stopped, and nothing is lost
	Disaster   Mode = "disaster"   // the cluster that groups leave is lost, or given up: what it alone holds is lost
)

// PlanVersion is the version of plan files.
const PlanVersion = 1

// Plan says where each group goes on, and what stands in the way. Its lists are in the order of names, so that two plans can
// be compared line by line. It holds no secrets: clusters are named by alias and id, connections come from the file Config.
type Plan struct {
	Version  int       `json:"version"`
	ID       string    `json:"id"`
	Checksum string    `json:"checksum"` // SHA-256 of everything else
	Kind     Kind      `json:"kind"`
	Mode     Mode      `json:"mode"`
	Created  time.Time `json:"created"`
	Config   string    `json:"config"` // absolute path of mm2.properties
	From     Side      `json:"from"`
	To       Side      `json:"to"`

	Align        *time.Time `json:"align,omitempty"`         // all positions stand at this time of the source or before it
	AllowUnknown bool       `json:"allow_unknown,omitempty"` // positions without a known place were left out on purpose

	Blockers   []Blocker    `json:"blockers"` // while there are any, the plan is not applied
	Warnings   []string     `json:"warnings"`
	Returns    []string     `json:"returns,omitempty"`    // failovers that a way back is for
	Completes  []string     `json:"completes,omitempty"`  // those of them that are over when it is applied
	Divergence []Divergence `json:"divergence,omitempty"` // what only the cluster that groups return to holds
	Partitions []Partition  `json:"partitions"`
	Groups     []Group      `json:"groups"`
}

// Side is one of the two clusters of a plan.
type Side struct {
	Alias     string `json:"alias"`
	ClusterID string `json:"cluster_id,omitempty"` // empty where it did not answer
	Live      bool   `json:"live"`                 // it answered when the plan was made
	Away      string `json:"away,omitempty"`       // why it did not
}

// Blocker is a reason not to apply a plan.
type Blocker struct {
	What    string `json:"what"`              // what, where, and what to do
	Passing bool   `json:"passing,omitempty"` // it goes away by itself when the mirror catches up
}

// Partition is a partition of From and how much of it is on To.
type Partition struct {
	Topic       string     `json:"topic"`
	Number      int32      `json:"partition"`
	Remote      string     `json:"remote_topic"`
	RemoteID    string     `json:"remote_topic_id,omitempty"` // hex
	Way         Way        `json:"way"`
	SourceEnd   int64      `json:"source_end"`     // -1 unknown
	Seen        *time.Time `json:"seen,omitempty"` // when SourceEnd was seen
	Mirrored    int64      `json:"mirrored"`       // source offset below which all is on To; -1 unknown
	RemoteEnd   int64      `json:"remote_end"`     // log end on To; -1 unknown
	Lost        int64      `json:"lost"`           // source records, at most, that To does not hold
	LostSeconds float64    `json:"lost_seconds"`   // from the newest record on To to Seen; -1 unknown
}

// Source is the partition on From.
func (p Partition) Source() stream.Partition {
	return stream.Partition{Topic: p.Topic, Number: p.Number}
}

// RemotePartition is the partition on To.
func (p Partition) RemotePartition() stream.Partition {
	return stream.Partition{Topic: p.Remote, Number: p.Number}
}

// Group is a consumer group and its positions.
type Group struct {
	Group     string     `json:"group"`
	Seen      time.Time  `json:"seen"` // when its offsets on From were
	Positions []Position `json:"positions"`
}

// Position is where a group goes on in one partition of To.
type Position struct {
	Topic     string `json:"topic"` // on From
	Number    int32  `json:"partition"`
	Remote    string `json:"remote_topic"` // on To
	Source    int64  `json:"source"`       // committed on From
	Old       *int64 `json:"old"`          // committed on To before; null is none
	OldNote   string `json:"old_metadata,omitempty"`
	New       int64  `json:"new"` // committed on To by this plan
	Note      string `json:"metadata,omitempty"`
	Class     string `json:"class"`
	Again     int64  `json:"again"`   // records of To that are read again, at most
	Skipped   int64  `json:"skipped"` // always 0
	Reason    string `json:"reason,omitempty"`
	blocksWhy string // why it stands in the way of a controlled plan
}

// RemotePartition is the partition on To.
func (p Position) RemotePartition() stream.Partition {
	return stream.Partition{Topic: p.Remote, Number: p.Number}
}

// SourcePartition is the partition on From.
func (p Position) SourcePartition() stream.Partition {
	return stream.Partition{Topic: p.Topic, Number: p.Number}
}

// Divergence is what a partition holds that never reached the other cluster.
type Divergence struct {
	Topic   string    `json:"topic"`
	Number  int32     `json:"partition"`
	From    int64     `json:"from"`
	To      int64     `json:"to"` // not in it
	Records int64     `json:"records"`
	First   time.Time `json:"first"` // time of the first record
	Last    time.Time `json:"last"`
}

// Flow is the direction of mirroring that the plan's failover belongs to, and whose topic on its target keeps the records:
// that of the plan, or against it for a way back.
func (p Plan) Flow() stream.Flow {
	f := stream.Flow{Source: p.From.Alias, Target: p.To.Alias}
	if p.Kind == Back {
		return f.Reverse()
	}
	return f
}

// Blocked says whether anything stands in the way.
func (p Plan) Blocked() bool { return len(p.Blockers) > 0 }

// Passing says that whatever stands in the way goes away by itself when the mirror catches up.
func (p Plan) Passing() bool {
	for _, b := range p.Blockers {
		if !b.Passing {
			return false
		}
	}
	return p.Blocked()
}
