package bundle

import (
	"fmt"
	"time"

	"tandem/internal/stream"
)

// An event in the footer:
//
//	UVARINT  kind
//	UVARINT  version of the kind, 1 so far
//	VARINT   when it was seen, milliseconds since the bundle was created
//	UVARINT  length of what follows
//	         by kind: see the encode methods in events.go
//
// A reader keeps a kind or a version that it does not know as it is (Unknown) and goes on.
const eventVersion = 1

// Kind says what an event tells of. The numbers are in bundles and stay.
type Kind int64

// The kinds.
const (
	KindTopicCreated   Kind = 1
	KindTopicWidened   Kind = 2
	KindTopicDeleted   Kind = 3
	KindTopicRecreated Kind = 4
	KindTruncated      Kind = 5
	KindTopicConfigs   Kind = 6
	KindACLs           Kind = 7
	KindGroupOffsets   Kind = 8
	KindRuns           Kind = 9
	KindGap            Kind = 10
	KindMark           Kind = 11
	KindRemoved        Kind = 12
	KindCompacted      Kind = 13
)

// String is the kind's name, as commands show it.
func (k Kind) String() string {
	names := [...]string{
		KindTopicCreated: "topic-created", KindTopicWidened: "topic-widened", KindTopicDeleted: "topic-deleted",
		KindTopicRecreated: "topic-recreated", KindTruncated: "truncated", KindTopicConfigs: "topic-configs", KindACLs: "acls",
		KindGroupOffsets: "group-offsets", KindRuns: "runs", KindGap: "gap", KindMark: "mark",
		KindRemoved: "removed", KindCompacted: "compacted",
	}
	if k > 0 && int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("kind-%d", int64(k))
}

// Event is something that the archive saw at a time: by its own clock, in milliseconds.
type Event struct {
	At   time.Time
	Body Body
}

// Body is what an event tells: one of the types of this package that have a Kind.
type Body interface {
	String() string
	kind() Kind
	encode(*encoder) error
}

// Unknown is an event of a kind, or of a version of it, that this program does not know.
type Unknown struct {
	Number  Kind
	Version int64
	Raw     []byte
}

// TopicCreated says that a topic is there.
type TopicCreated struct {
	Topic      Topic
	Partitions int32
	Factor     int16 // replication factor, -1 when unknown
	Found      bool  // it was there when the archive first looked
}

// TopicWidened says that a topic has more partitions than before.
type TopicWidened struct {
	Topic    Topic
	From, To int32
}

// TopicDeleted says that a topic is gone.
type TopicDeleted struct{ Topic Topic }

// TopicRecreated says that a topic was deleted and made anew: what is archived from now on belongs to New.
type TopicRecreated struct {
	Old, New   Topic
	Partitions int32
	Factor     int16
}

// Truncated says that the source lost the end of a log: what was archived from To on is no more, and other records may have
// its offsets.
type Truncated struct {
	Topic       Topic
	Partition   int32
	LeaderEpoch int32           // from which the log goes on otherwise, -1 when unknown
	From, To    stream.Upstream // the archived end before, and where the log really ended
}

// Config is one config of a topic.
type Config struct{ Name, Value string }

// TopicConfigs are all configs that are set on a topic itself.
type TopicConfigs struct {
	Topic   Topic
	Configs []Config // by name
}

// ACL is one binding, in the numbers of Kafka's protocol.
type ACL struct {
	ResourceType, PatternType int8
	Resource, Principal, Host string
	Operation, Permission     int8
}

// ACLs are all bindings that the flow takes notice of.
type ACLs struct{ Bindings []ACL }

// GroupOffset is what a group had committed for a partition of the source.
type GroupOffset struct {
	Topic       string
	Partition   int32
	Offset      stream.Upstream // -1 where the group's offset is gone
	LeaderEpoch int32           // as committed, -1 for none
	Metadata    string
}

// GroupOffsets are positions of a group at the source. Without Whole they are those that changed since the event before.
type GroupOffsets struct {
	Group   string
	Whole   bool // all positions of the group; without any the group is gone
	Offsets []GroupOffset
}

// Runs are a stretch of the offset map: where records of a source partition stand on the target.
type Runs struct {
	Source    Topic
	Partition int32
	Remote    stream.Partition
	Runs      []stream.Run // in the order of the source
}

// Gap says that the source deleted records before they were archived: From <= offset < To.
type Gap struct {
	Topic     Topic
	Partition int32
	From, To  stream.Upstream
	Reason    string
}

// Mark is a point with a name: the positions of one moment at which no transaction was open.
type Mark struct {
	Name, Note string
	Positions  []Position
}

// Removed says which bundles were taken away, and why. It is stored before the first of them goes.
type Removed struct {
	Reason  string // "pruned" or "compacted"
	Objects []RemovedObject
	Ranges  []RemovedRange // what is gone for good; of pruned ones only
	Runs    []RemovedRun   // bundles that went long ago, and are not named any more
}

// RemovedObject is a bundle that was taken away.
type RemovedObject struct {
	Name   string
	Digest Digest // zero where it could not be read
}

// RemovedRange is a stretch of a partition that no bundle has any more: From <= offset < To.
type RemovedRange struct {
	Topic     Topic
	Partition int32
	From, To  stream.Upstream
}

// RemovedRun are bundles of one generation of a writer: From <= sequence < To.
type RemovedRun struct {
	Writer     string
	Generation int64
	From, To   int64
}

// Compacted says of chunks of its own bundle, which were put together from those of older bundles, when they were archived.
type Compacted struct {
	Chunks []CompactedChunk // by number
}

// CompactedChunk is one of them.
type CompactedChunk struct {
	Chunk int // index in the footer
	Steps []Step
}

// Step says when the part of a chunk from the step before (at first: from its beginning) to Next was first archived. Next of the last
// step is the chunk's.
type Step struct {
	At   time.Time
	Next stream.Upstream
}

func appendEvent(b []byte, ev Event, created time.Time) ([]byte, error) {
	inner, v := &encoder{}, int64(eventVersion)
	if err := ev.Body.encode(inner); err != nil {
		return b, err
	}
	if u, ok := ev.Body.(Unknown); ok {
		v = u.Version
	}
	e := &encoder{b: b}
	e.number(int64(ev.Body.kind()))
	e.number(v)
	e.signed(ev.At.UnixMilli() - created.UnixMilli())
	e.number(int64(len(inner.b)))
	e.raw(inner.b)
	return e.b, nil
}

func (d *decoder) event(created time.Time) Event {
	kind, v := Kind(d.number()), d.number()
	at := time.UnixMilli(created.UnixMilli() + d.signed()).UTC()
	raw := d.bytes(d.number())
	if d.err != nil {
		return Event{}
	}
	in := &decoder{b: raw, names: d.names}
	body := in.known(kind, v)
	if body == nil {
		return Event{At: at, Body: Unknown{Number: kind, Version: v, Raw: append([]byte(nil), raw...)}}
	}
	if err := in.end(); err != nil {
		d.fail(fmt.Sprintf("event %s: %v", kind, err))
	}
	d.names = in.names
	return Event{At: at, Body: body}
}

// known reads the body of an event, nil for one that is not known.
func (d *decoder) known(kind Kind, v int64) Body {
	if v != eventVersion {
		return nil
	}
	switch kind {
	case KindTopicCreated:
		return TopicCreated{Topic: d.topic(), Partitions: d.int32(), Factor: d.signed16(), Found: d.flag()}
	case KindTopicWidened:
		return TopicWidened{Topic: d.topic(), From: d.int32(), To: d.int32()}
	case KindTopicDeleted:
		return TopicDeleted{Topic: d.topic()}
	case KindTopicRecreated:
		return TopicRecreated{Old: d.topic(), New: d.topic(), Partitions: d.int32(), Factor: d.signed16()}
	case KindTruncated:
		return Truncated{Topic: d.topic(), Partition: d.int32(), LeaderEpoch: d.signed32(), From: d.offset(), To: d.offset()}
	case KindTopicConfigs:
		return TopicConfigs{Topic: d.topic(), Configs: list(d, 2, func(d *decoder) Config {
			return Config{Name: d.string(), Value: d.string()}
		})}
	case KindACLs:
		return ACLs{Bindings: list(d, 7, (*decoder).acl)}
	case KindGroupOffsets:
		return GroupOffsets{Group: d.string(), Whole: d.flag(), Offsets: list(d, 5, (*decoder).groupOffset)}
	case KindRuns:
		return d.runs()
	case KindGap:
		return Gap{Topic: d.topic(), Partition: d.int32(), From: d.offset(), To: d.offset(), Reason: d.string()}
	case KindMark:
		return Mark{Name: d.string(), Note: d.string(), Positions: d.positions()}
	case KindRemoved:
		return d.removed()
	case KindCompacted:
		return d.compacted()
	default:
		return nil
	}
}
