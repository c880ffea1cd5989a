package verify

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/stream"
)

// Level says how much is to be proved.
type Level int8

// The levels, from the cheapest to the one that proves all.
const (
	List Level = iota
	Footer
	Chunk
	Record
)

var levels = [...]string{List: "list", Footer: "footer", Chunk: "chunk", Record: "record"}

// String is the level as the command has it.
func (l Level) String() string { return levels[l] }

// MarshalText is the name, for JSON.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// ParseLevel reads the name of a level.
func ParseLevel(name string) (Level, error) {
	for l, n := range levels {
		if n == name {
			return Level(l), nil
		}
	}
	return 0, fmt.Errorf("parse level %q: it is one of %s", name, strings.Join(levels[:], ", "))
}

// Finding is one thing that is odd.
type Finding struct {
	Object    string          `json:"object,omitempty"`
	Topic     string          `json:"topic,omitempty"` // with its incarnation behind a '#', where it is not the first; empty: no partition is touched
	Partition int32           `json:"partition"`
	From      stream.Upstream `json:"from"` // offsets From <= o < To are touched; both are 0 where they are not known
	To        stream.Upstream `json:"to"`
	What      string          `json:"what"`
	Do        string          `json:"do,omitempty"`
}

// String is the finding in a line.
func (f Finding) String() string {
	var b strings.Builder
	if f.Object != "" {
		b.WriteString(f.Object + ": ")
	}
	if f.Topic != "" {
		fmt.Fprintf(&b, "%s/%d", f.Topic, f.Partition)
		if f.To > f.From {
			fmt.Fprintf(&b, " offsets %d to %d", f.From, f.To-1)
		}
		b.WriteString(": ")
	}
	b.WriteString(f.What)
	if f.Do != "" {
		b.WriteString("; " + f.Do)
	}
	return b.String()
}

func (f Finding) compare(g Finding) int {
	return cmp.Or(cmp.Compare(f.Object, g.Object), cmp.Compare(f.Topic, g.Topic), cmp.Compare(f.Partition, g.Partition),
		cmp.Compare(f.From, g.From), cmp.Compare(f.To, g.To), cmp.Compare(f.What, g.What))
}

// at is a finding in a chunk.
func at(object string, e *bundle.Entry, from, to stream.Upstream, format string, args ...any) Finding {
	return Finding{
		Object: object, Topic: e.Topic.String(), Partition: e.Partition, From: from, To: to, What: fmt.Sprintf(format, args...),
	}
}

// Report is what was looked at, and what was found.
type Report struct {
	Source   string    `json:"source"`
	Level    Level     `json:"level"`
	Complete bool      `json:"complete"` // false: an error ended it, and what lies behind Through was not looked at
	Through  string    `json:"through,omitempty"`
	Listed   int       `json:"listed"`  // bundles
	Objects  int       `json:"objects"` // of them looked at, as far as the level goes
	Bytes    int64     `json:"bytes"`   // of these objects
	Read     int64     `json:"read"`    // bytes of chunks whose digests were computed
	Chunks   int64     `json:"chunks"`
	Batches  int64     `json:"batches"` // level record: batches and records that were read
	Records  int64     `json:"records"`
	Twice    int       `json:"twice"`   // level record: chunks that have offsets of another one, and were compared with it
	Indexes  int       `json:"indexes"` // index objects
	Oldest   time.Time `json:"oldest,omitzero"`
	Newest   time.Time `json:"newest,omitzero"`
	Findings []Finding `json:"findings"`
}

func (r *Report) add(f ...Finding) { r.Findings = append(r.Findings, f...) }

// What is to be done about things that are gone. The archive cannot mend itself: it has each byte once.
const (
	doCopy = "put the object back from a copy of the store, if there is one; else what it held is lost, and restore needs --allow-holes"
	doKey  = "add the key to archive.encryption.key.url; archive keys check says which one is meant"
	doNew  = "verify with the version of Tandem that wrote it"
	doMove = "move it out of the folder of bundles if it is not needed"
)
