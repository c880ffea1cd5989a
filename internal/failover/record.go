package failover

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"tandem/internal/stream"
)

// A failover is noted in mm2-tandem.A.internal on the target of the flow A->B, also the way back. It has a head, and parts
// with the lists that may be longer than one record may be. Parts are written first: a head that can be read has all of its
// parts. Numbers are big-endian, STRING is INT16 byte length and UTF-8, values are JSON.
//
//	key    INT8    1    version
//	       INT8    'F'  kind
//	       STRING       plan id
//	       INT32        0 for the head, else the number of the part
//	value  JSON         the head or a part
//
//	head   version, plan, kind, mode, from, from_id, to, to_id, state, created, at, by, parts, returns, completes, failed
//	part   boundaries: topic, partition, remote_topic, source_end, mirrored, mirrored_down
//	       groups: group, positions: topic, partition, old (null: none), old_metadata, new
const (
	recordVersion = 1

	maxParts      = 100_000
	maxValueBytes = 16 << 20
	partBytes     = 256 << 10 // aimed at; well below max.message.bytes
)

// State says how far a failover is.
type State string

// The states of a failover.
const (
	Applying State = "applying" // groups are being moved, or some could not be
	Applied  State = "applied"  // in force
	Undone   State = "undone"   // put back
	Returned State = "returned" // over: the groups are back
)

// Record is what the target keeps of a failover or a way back.
type Record struct {
	Version   int       `json:"version"`
	Plan      string    `json:"plan"`
	Kind      Kind      `json:"kind"`
	Mode      Mode      `json:"mode"`
	From      string    `json:"from"`
	FromID    string    `json:"from_id,omitempty"` // cluster id, empty where it did not answer
	To        string    `json:"to"`
	ToID      string    `json:"to_id,omitempty"`
	State     State     `json:"state"`
	Created   time.Time `json:"created"` // of the plan
	At        time.Time `json:"at"`      // of the state
	By        string    `json:"by"`      // user@host
	Parts     int       `json:"parts"`
	Returns   []string  `json:"returns,omitempty"`
	Completes []string  `json:"completes,omitempty"`
	Failed    []Failure `json:"failed,omitempty"` // groups that could not be moved

	Boundaries []Boundary    `json:"-"`
	Groups     []RecordGroup `json:"-"`
}

// Failure is a group that was not moved, and why.
type Failure struct {
	Group  string `json:"group"`
	Reason string `json:"reason"`
}

// Boundary is where a partition was mirrored to when the groups left. What the source holds from Mirrored on, and has up to
// SourceEnd at least, is on the source alone.
type Boundary struct {
	Topic        string `json:"topic"`
	Number       int32  `json:"partition"`
	Remote       string `json:"remote_topic"`
	SourceEnd    int64  `json:"source_end"`    // -1 unknown
	Mirrored     int64  `json:"mirrored"`      // -1 unknown
	MirroredDown int64  `json:"mirrored_down"` // -1 unknown
}

// RecordGroup is a group that was moved.
type RecordGroup struct {
	Group     string           `json:"group"`
	Positions []RecordPosition `json:"positions"` // Records keeps only those of the plan that it is told to
}

// RecordPosition is a position on To, before and after.
type RecordPosition struct {
	Topic  string `json:"topic"`
	Number int32  `json:"partition"`
	Old    *int64 `json:"old"`
	Note   string `json:"old_metadata,omitempty"`
	New    int64  `json:"new"`
}

type part struct {
	Boundaries []Boundary    `json:"boundaries,omitempty"`
	Groups     []RecordGroup `json:"groups,omitempty"`
}

var errRecord = errors.New("not a record of a failover")

// newRecord is the record of a plan that is about to be applied.
func newRecord(p Plan, at time.Time, by string) Record {
	r := Record{Version: recordVersion, Plan: p.ID, Kind: p.Kind, Mode: p.Mode,
		From: p.From.Alias, FromID: p.From.ClusterID, To: p.To.Alias, ToID: p.To.ClusterID, State: Applying, Created: p.Created, At: at.UTC(), By: by, Returns: p.Returns, Completes: p.Completes}
	for _, b := range p.Partitions {
		if b.Way != Home {
			r.Boundaries = append(r.Boundaries, Boundary{b.Topic, b.Number, b.Remote, b.SourceEnd, b.Mirrored, b.RemoteEnd})
		}
	}
	for _, g := range p.Groups {
		moved := RecordGroup{Group: g.Group}
		for _, x := range g.Positions {
			moved.Positions = append(moved.Positions, RecordPosition{x.Remote, x.Number, x.Old, x.OldNote, x.New})
		}
		r.Groups = append(r.Groups, moved)
	}
	return r
}

// AsPlan is as much of the plan as Undo needs, for when its file is lost. The record must have been read with its positions.
func (r Record) AsPlan(config string) Plan {
	p := Plan{Version: PlanVersion, ID: r.Plan, Kind: r.Kind, Mode: r.Mode, Created: r.Created, Config: config,
		From: Side{Alias: r.From, ClusterID: r.FromID}, To: Side{Alias: r.To, ClusterID: r.ToID}, Returns: r.Returns, Completes: r.Completes}
	for _, g := range r.Groups {
		moved := Group{Group: g.Group}
		for _, x := range g.Positions {
			moved.Positions = append(moved.Positions, Position{Remote: x.Topic, Number: x.Number, Old: x.Old, OldNote: x.Note, New: x.New})
		}
		p.Groups = append(p.Groups, moved)
	}
	return p
}

func (r Record) has(group string) bool {
	return slices.ContainsFunc(r.Groups, func(g RecordGroup) bool { return g.Group == group })
}

// Partition is the boundary's partition of the source.
func (b Boundary) Partition() stream.Partition {
	return stream.Partition{Topic: b.Topic, Number: b.Number}
}

// encode gives the parts and then the head, which says how many there are.
func (r *Record) encode() []stream.Record {
	var out []stream.Record
	var now part
	size := 0
	flush := func() {
		if size > 0 {
			out = append(out, stream.Record{Key: recordKey(r.Plan, int32(len(out)+1)), Value: compact(now)})
			now, size = part{}, 0
		}
	}
	room := func(n int) {
		if size+n > partBytes {
			flush()
		}
		size += n
	}
	for _, b := range r.Boundaries {
		room(120 + len(b.Topic) + len(b.Remote))
		now.Boundaries = append(now.Boundaries, b)
	}
	for _, g := range r.Groups { // g is a copy: its positions are taken off from the front
		// A group of more partitions than a part holds goes on in the next one.
		for start := true; start || len(g.Positions) > 0; start = false {
			n, some := 40+len(g.Group), 0
			for some < len(g.Positions) && some < 500 && (some == 0 || n < partBytes/2) {
				n += 100 + len(g.Positions[some].Topic) + 2*len(g.Positions[some].Note)
				some++
			}
			room(n)
			now.Groups = append(now.Groups, RecordGroup{g.Group, g.Positions[:some]})
			g.Positions = g.Positions[some:]
		}
	}
	flush()
	r.Parts = len(out)
	return append(out, r.head())
}

// head is the record that changes with the state. It names every group that failed; the reasons beyond the first hundred are
// left to the screen that showed them.
func (r Record) head() stream.Record {
	r.Failed = slices.Clone(r.Failed)
	for i := range r.Failed {
		if i >= 100 {
			r.Failed[i].Reason = ""
		}
	}
	return stream.Record{Key: recordKey(r.Plan, 0), Value: compact(r)}
}

func recordKey(plan string, n int32) []byte {
	key := append([]byte{stream.TandemVersion, stream.KindFailover}, 0, 0)
	binary.BigEndian.PutUint16(key[2:], uint16(len(plan)))
	key = append(key, plan...)
	return binary.BigEndian.AppendUint32(key, uint32(n))
}

func decodeKey(key []byte) (plan string, n int32, err error) {
	if len(key) < 8 {
		return "", 0, errRecord
	}
	length := int(int16(binary.BigEndian.Uint16(key[2:])))
	if length < 0 || len(key) != 4+length+4 {
		return "", 0, errRecord
	}
	return string(key[4 : 4+length]), int32(binary.BigEndian.Uint32(key[4+length:])), nil
}

// PlanOf is the plan to whose failover a record of the topic belongs, by its key.
func PlanOf(key []byte) (plan string, ok bool) {
	if len(key) < 2 || key[0] != stream.TandemVersion || key[1] != stream.KindFailover {
		return "", false
	}
	plan, _, err := decodeKey(key)
	return plan, err == nil
}

// Records collects the failovers of a flow from its topic.
type Records struct {
	Whole string // the plan whose positions are kept; of others they are left in the topic

	heads map[string]Record
	parts map[string]map[int32]part
}

// Load takes a record of the topic, in the order of the log. Those of other kinds are passed over.
func (c *Records) Load(r stream.Record) error {
	if len(r.Key) < 2 || r.Key[0] != stream.TandemVersion || r.Key[1] != stream.KindFailover {
		return nil
	}
	plan, n, err := decodeKey(r.Key)
	if err != nil {
		return err
	}
	if c.heads == nil {
		c.heads, c.parts = make(map[string]Record), make(map[string]map[int32]part)
	}
	switch {
	case len(r.Value) > maxValueBytes || n < 0 || n > maxParts:
		return fmt.Errorf("failover %s: %w: too large", plan, errRecord)
	case r.Value == nil && n == 0:
		delete(c.heads, plan)
		return nil
	case r.Value == nil:
		delete(c.parts[plan], n)
		return nil
	case n == 0:
		var head Record
		if err := json.Unmarshal(r.Value, &head); err != nil {
			return fmt.Errorf("failover %s: %w", plan, err)
		}
		if head.Version > recordVersion {
			return fmt.Errorf("failover %s: %w", plan, errNewer)
		}
		if head.Plan != plan || head.Parts < 0 || head.Parts > maxParts {
			return fmt.Errorf("failover %s: %w", plan, errRecord)
		}
		c.heads[plan] = head
		return nil
	}
	var p part
	if err := json.Unmarshal(r.Value, &p); err != nil {
		return fmt.Errorf("failover %s: part %d: %w", plan, n, err)
	}
	for i := range p.Groups {
		if plan != c.Whole {
			p.Groups[i].Positions = nil
		}
	}
	if c.parts[plan] == nil {
		c.parts[plan] = make(map[int32]part)
	}
	c.parts[plan][n] = p
	return nil
}

// All are the failovers, oldest first.
func (c *Records) All() []Record {
	var all []Record
	for plan, r := range c.heads {
		groups := make(map[string]int) // where in r.Groups, and 1
		for n := range r.Parts {
			p := c.parts[plan][int32(n+1)]
			r.Boundaries = append(r.Boundaries, p.Boundaries...)
			for _, g := range p.Groups {
				if at := groups[g.Group]; at > 0 { // a large one is in several parts
					r.Groups[at-1].Positions = append(slices.Clip(r.Groups[at-1].Positions), g.Positions...)
					continue
				}
				r.Groups = append(r.Groups, g)
				groups[g.Group] = len(r.Groups)
			}
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b Record) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		if a.Plan < b.Plan {
			return -1
		}
		return 1
	})
	return all
}

// Find is the record of a plan, nil if there is none.
func (c *Records) Find(plan string) *Record {
	for _, r := range c.All() {
		if r.Plan == plan {
			return &r
		}
	}
	return nil
}

// InForce are the failovers that have moved groups, or have begun to, and are not over.
func InForce(all []Record) []Record {
	var force []Record
	for _, r := range all {
		if r.inForce() {
			force = append(force, r)
		}
	}
	return force
}

func (r Record) inForce() bool {
	return r.Kind == Over && (r.State == Applying || r.State == Applied)
}
