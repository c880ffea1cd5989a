package checkpoint

import (
	"context"
	"time"

	"tandem/internal/stream"
)

// Source is the cluster whose groups are looked after.
type Source interface {
	// Groups lists the consumer groups in all states. With an error the list may be incomplete, and what was found is
	// returned all the same.
	Groups(ctx context.Context) ([]stream.Group, error)
	// GroupOffsets answers for each group with all its committed offsets, or with an error; the maps are the caller's to
	// keep and to change. A partition without a committed offset is not among them. The last error is that nothing is known.
	GroupOffsets(ctx context.Context, groups []string) (map[string]map[stream.Partition]stream.Committed, map[string]error, error)
}

// Target is the cluster on which group sync commits.
type Target interface {
	// GroupOffsets is that of Source; a group that does not exist has no offsets.
	GroupOffsets(ctx context.Context, groups []string) (map[string]map[stream.Partition]stream.Committed, map[string]error, error)
	// GroupStates tells the states of groups, as their coordinators see them at that moment. A group that does not exist is
	// Dead; one whose state could not be found out is missing in the answer, and the error says why.
	GroupStates(ctx context.Context, groups []string) (map[string]stream.Group, error)
	// CommitOffsets commits for a group without members, with leader epoch -1, and creates the group if need be. The broker
	// refuses it where the group has members. Partitions in the answer were refused. The error says that the group was, or that
	// its coordinator could not be asked.
	CommitOffsets(ctx context.Context, group string, offsets map[stream.Partition]stream.Committed) (map[stream.Partition]error, error)
}

// Log is the compacted topics of the target.
type Log interface {
	// ReadAll calls each for every record from the beginning of the topic to what was its end when the call began, in offset
	// order within a partition, never concurrently; with committed it leaves out records of open and aborted transactions.
	// It stops at the first error that each returns, and returns that. A topic that does not exist is an error.
	ReadAll(ctx context.Context, topic string, committed bool, each func(stream.Record) error) error
	// Append returns nil once all the records are appended with acks=all, in this order within a partition. After an error
	// any of the records may or may not have been appended.
	Append(ctx context.Context, topic string, records []stream.Record) error
}

// Config is what a Keeper needs.
type Config struct {
	Flow   stream.Flow
	Source Source
	Target Target
	Log    Log

	// Translate finds an offset of a partition whose topic the flow replicates. What is not known is Unknown, with a
	// reason; an error is that it could not be looked up.
	Translate func(ctx context.Context, source stream.Partition, up stream.Upstream) (remote stream.Partition, t stream.Translated, err error)
	// Home does the same for a partition of the source whose topic came from the target: remote is the partition there that
	// it is a copy of. False says that it is none. Home may be nil.
	Home func(ctx context.Context, p stream.Partition, up stream.Upstream) (remote stream.Partition, t stream.Translated, ok bool, err error)
	// Durable returns once what translations rest on is stored on the target.
	Durable func(ctx context.Context) error

	// Away are the groups that a failover has moved to the target, as of now: their place there is a person's to say, and
	// group sync leaves them alone. It is asked before each pass, which an error puts off. Away may be nil.
	Away func(ctx context.Context) (map[string]bool, error)

	Groups func(group string) bool // groups, groups.exclude
	Topics func(topic string) bool // whether the flow replicates the topic of the source

	CheckpointsTopic string // A.checkpoints.internal
	TandemTopic      string // mm2-tandem.A.internal
	Known            *Known // what TandemTopic holds, where somebody has read it already; nil: Run reads it

	Interval time.Duration // between rounds
	Refresh  time.Duration // of the list of groups; 0: never again after the first
	Sync     time.Duration // between passes of group sync; 0: off

	Report stream.Report
}

// Standing is how a Keeper gets on.
type Standing struct {
	Groups  int // that have offsets which count
	Exact   int // partitions of groups, by the class of their translation
	Clamped int
	Ahead   int
	Unknown int

	Round time.Time     // when the last round that succeeded began; zero before the first
	Took  time.Duration // how long it took

	Written   int64 // checkpoints, since the start
	Committed int64 // offsets of group sync, since the start
}
