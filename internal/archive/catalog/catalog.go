package catalog

import (
	"context"
	"io"
	"iter"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/store"
	"tandem/internal/stream"
)

// Store is what an archive is read from: see store.Store for the contracts.
type Store interface {
	Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error)
	List(ctx context.Context, prefix, startAfter string) iter.Seq2[store.Info, error]
}

// Object is a bundle as the listing has it.
type Object struct {
	Name   string
	Size   int64
	Header bundle.Header // what its name tells: writer, generation, sequence, time, source
}

// Damaged is an object that cannot be used, and why.
type Damaged struct {
	Object
	Err error
}

// Life is a topic between its creation and its deletion, as far as the archive saw it.
type Life struct {
	Topic      bundle.Topic
	Partitions int32             // as of the moment
	Factor     int16             // replication factor at its creation, -1 unknown
	Configs    map[string]string // set on the topic itself, as of the moment; nil where nothing is known
	Since      time.Time         // zero: it was there when the archive first looked
	Until      time.Time         // zero: it is there at the moment
	Parts      []Part            // by number; partitions of which nothing is archived are left out
}

// Part is what is archived of a partition in one life.
type Part struct {
	Number    int32
	Stretches []Stretch // by offset, without overlap
	Holes     []Hole    // by offset
	// Entries are all entries of this partition and life in the order of the archive, also those that no stretch reads from (above a
	// truncation they do not count): what the rule for transactions of docs/archive-format.md needs.
	Entries []*bundle.Entry

	archived []stair
}

// First is the first offset that is archived, Next is behind the last one. Both are 0 where there is none.
func (p Part) First() stream.Upstream {
	if len(p.Stretches) == 0 {
		return 0
	}
	return p.Stretches[0].From
}

// Next is behind the last offset that is archived: see First.
func (p Part) Next() stream.Upstream {
	if len(p.Stretches) == 0 {
		return 0
	}
	return p.Stretches[len(p.Stretches)-1].To
}

// Stretch is what is to be read of one chunk: source offsets From <= o < To.
type Stretch struct {
	Object *Object
	Chunk  int // index in the footer
	Entry  *bundle.Entry
	From   stream.Upstream
	To     stream.Upstream

	archived []bundle.Step
}

// Why says why there is a hole.
type Why string

// The reasons.
const (
	Deleted Why = "deleted by the source before it was archived" // a Gap event says so
	Pruned  Why = "pruned"                                       // a Removed event says so
	Lost    Why = "missing"                                      // nothing says so: a bundle is lost or damaged
)

// Hole is source offsets From <= o < To that no chunk has.
type Hole struct {
	From, To stream.Upstream
	Why      Why
}

// Point is a named moment.
type Point struct {
	Name, Note string
	At         time.Time
	Positions  []bundle.Position // records below Next belong to it
	Object     string            // the bundle that has it
}

// State is an archive as of a moment.
type State struct {
	Source  string // alias
	Moment  time.Time
	Lives   []Life // of the topics that exist at the moment, by name
	Past    []Life // deleted or made anew by then, by name and time
	ACLs    []bundle.ACL
	ACLsAt  time.Time                                          // zero: nothing is known
	Groups  map[string]map[stream.Partition]bundle.GroupOffset // positions at the source
	Points  []Point                                            // all of them, by time: also those behind the moment
	Damaged []Damaged
	Missing []string // names or digests of bundles that others say there were, and that nothing says were removed

	Oldest, Newest time.Time // creation of the first and the last bundle
	Objects        int
	Bytes          int64
}

// Options say how an archive is read.
type Options struct {
	Source   string        // alias of the source cluster
	Keeper   bundle.Keeper // for encrypted bundles
	Parallel int           // footers read at a time; 0 is 16
	Progress func(done, all int)

	// Direct reads each footer from its own bundle, and no index object: for who wants to know that it is there.
	Direct bool
	// IndexDamaged is told of an index object that cannot be used; footers are read from the bundles then. Nil: nobody is. Calls come
	// one at a time, from any goroutine.
	IndexDamaged func(name string, err error)
}
