package metrics

import (
	"time"

	"tandem/internal/stream"
)

// Snapshot is everything at one moment. What is zero in it is not known, and has no series, except for numbers that count something,
// and where a field says otherwise.
type Snapshot struct {
	Build        Build
	Ready        bool // /readyz answers 200
	Flows        []Flow
	Archives     []Archive
	Drills       []Drill
	Certificates []Certificate
	MemoryUsed   int64
	MemoryLimit  int64
}

// Build names the process.
type Build struct {
	Version  string
	Instance string // group.instance.id, or what stands for it
}

// Flow is how one flow gets on, and what it has done since the start of the process.
type Flow struct {
	Name string // A->B
	Up   bool   // it has started and answers; until then nothing is said of its partitions

	Members     int  // processes that share it
	Differ      bool // one of them runs it by other settings
	Duties      bool // this process looks after its topics, groups and heartbeats
	Rebalancing bool // partitions are being moved between processes

	Records     int64
	Bytes       int64 // of record batches, as sent
	Fetched     int64 // bytes of record batches, as fetched; where nobody counts them Bytes stands for it
	Refused     int64
	Forms       map[string]int64 // records by form
	FormBytes   map[string]int64 // bytes of batches as sent, by form
	FormBatches map[string]int64 // batches as sent, by form
	Troubles    map[string]int64 // how often a partition came to stand still, or went on in spite of it, by cause

	Partitions      []Partition // those of this process
	Heartbeat       time.Time   // timestamp of the newest heartbeat of the source that is on the target
	Groups          *Groups     // nil where there are no checkpoints
	MapBytes        int64       // of memory, of the exact map of offsets
	MapInconsistent int64       // segments of it that could not be read or contradict the logs
}

// Partition is where one partition stands. What it has done counts from when this process took it on.
type Partition struct {
	Topic  string // of the source
	Number int32
	Remote stream.Partition // empty: as Topic and Number, for MM2's names

	State  string
	Cause  string // why it stands still; empty while it does not
	Stands bool   // it makes /readyz say no
	Lag    int64  // records
	Behind time.Duration
	Sure   time.Time // the last moment as of which everything of the source is known to be on the target; zero: never yet

	Records  int64
	Bytes    int64
	InFlight int64  // records sent and not acknowledged
	Age      Window // of the newest record of a batch when it was fetched
	Latency  Window // of the same when it was acknowledged
}

// Window is a time that is measured again and again: the last one, and those of MM2's window, the last 30 to 60 seconds.
type Window struct {
	Seen          bool // one was measured; without it there is nothing to show
	Last          time.Duration
	Recent        bool // one was measured within the window; without it there is only Last
	Min, Max, Avg time.Duration
}

// Groups is how the consumer groups of a flow stand.
type Groups struct {
	Number      int
	Positions   map[string]int // by class
	Round       time.Time      // of the last look at them; zero before the first
	Took        time.Duration  // the time that it took
	Written     int64          // checkpoints
	Synced      int64          // offsets
	Checkpoints []Checkpoint   // those to show one by one under MM2's names
}

// Checkpoint is how long it took from the look at a group to its checkpoint of one partition.
type Checkpoint struct {
	Group   string
	Remote  stream.Partition
	Latency Window
}

// Archive is how the archive of a flow gets on.
type Archive struct {
	Flow    string
	Up      bool
	Age     time.Duration // zero: nothing waits
	Behind  int
	Bundles int64
	Bytes   int64
	Gaps    int64
	Errors  map[string]int64 // by kind
	Memory  int64

	Durable time.Time // everything that the source had before is durable

	Listed  time.Time // when what follows was last seen; zero: never, and none of it is shown
	Oldest  time.Time // the earliest moment as of which every topic in it can be restored
	Objects int64
	Stored  int64 // bytes
	Holes   int

	Verified []Verified // the last time at each level
}

// Verified is the last time that archive verify went through everything at a level.
type Verified struct {
	Level  string
	At     time.Time
	Passed bool
}

// Drill is the last rehearsal of a kind, and the next one.
type Drill struct {
	Flow   string
	Kind   string    // failover or archive
	At     time.Time // its end; zero: there was none, and only Due is shown
	Took   time.Duration
	Passed bool
	Due    time.Time // zero: nothing is planned
}

// Certificate is one that a client uses. Of several with the same names the one that ends first is shown.
type Certificate struct {
	Cluster string
	Subject string
	Trusted bool // an authority, not our own
	Ends    time.Time
}
