package stream

import "time"

// Class says how far a translated offset can be trusted.
type Class int8

// The classes, from the best to the worst.
const (
	Exact   Class = iota // the first surviving record at or after the offset, or the end of both logs
	Clamped              // the nearest known place before: nothing is skipped, some records may be read again
	Ahead                // beyond what is mirrored: the mirrored end, where reading goes on when the rest comes, or never if it is lost
	Unknown              // no place is known; there is no offset
)

// String is the class as commands and metrics show it.
func (c Class) String() string {
	switch c {
	case Exact:
		return "exact"
	case Clamped:
		return "clamped"
	case Ahead:
		return "ahead"
	case Unknown:
	}
	return "unknown"
}

// Translated is an offset of the source cluster, found on the target.
type Translated struct {
	Offset Downstream // -1 when Class is Unknown
	Class  Class
	Again  int64  // target records that may be read again, 0 when exact
	Reason string // why it is not exact, for people
}

// Returned is an offset of the target cluster, found at the source.
type Returned struct {
	Offset Upstream // -1 when Class is Unknown
	Class  Class
	Again  int64
	Reason string
}

// Gap is a stretch between two known places whose inside is not known: records were copied there, one after the other,
// but which source offsets they have is to be counted. Source offsets From <= u < To stand at target offsets
// FromDown <= d < ToDown.
//
// An open side is not known: From is -1 where no place before is known, and FromDown then is the least target offset that can
// be meant; To is -1 where no place after is known, and ToDown then is where the target's log ended.
type Gap struct {
	Source   Partition
	Remote   Partition
	From     Upstream
	FromDown Downstream
	To       Upstream
	ToDown   Downstream
	Wanted   Upstream // the lowest source offset that somebody asked for, -1 when it is not needed yet
}

// Records is how many target records stand in the gap.
func (g Gap) Records() int64 { return int64(g.ToDown - g.FromDown) }

// SourceEnd is where a source partition ended when it was last seen, and how far it was mirrored then.
type SourceEnd struct {
	End    Upstream  // high watermark of the source
	Acked  Upstream  // everything below is on the target
	Newest time.Time // timestamp of the newest record that is on the target; zero when unknown
	At     time.Time // when End was seen
}
