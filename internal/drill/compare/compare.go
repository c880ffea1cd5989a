package compare

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
)

// Record is a record as a reader sees it.
type Record struct {
	Offset    int64
	Timestamp int64
	Key       []byte // nil: none
	Value     []byte // nil: a tombstone
	Headers   []Header
}

// Header is one header of a record.
type Header struct {
	Key   string
	Value []byte
}

// Log reads a partition in the order of offsets, up to an end that was fixed before. The source's end must have been asked for after the
// target's: then the source has all that was copied to the target.
type Log interface {
	// Next is the next record that a consumer would get; false at the end.
	Next(ctx context.Context) (Record, bool, error)
	// Start is where the log begins, as of the last look; End is where it is read to.
	Start() int64
	End() int64
}

// Places are what the map of offsets says.
type Places interface {
	// Down is where a record of the source stands on the target. copied is false where none stands for it. known is false where the map does
	// not tell, or does not reach.
	Down(ctx context.Context, up int64) (down int64, copied, known bool, err error)
	// Up is which record of the source stands at an offset of the target. ours is false where none does, as behind the end of the map; known is
	// false where the map does not tell.
	Up(ctx context.Context, down int64) (up int64, ours, known bool, err error)
}

// Rules say what may differ.
type Rules struct {
	SourceCompacted bool
	TargetCompacted bool
	Shared          bool  // others write to the target's partition too
	OtherTimes      bool  // the target stamps records with the time of append
	Limit           int64 // records of the source that are looked at; 0: all
	Search          int64 // further records that are read on either side to find later ones of keys that a cleaner took
}

const mostDifferences = 20

// Difference is where the replica is not what it should be.
type Difference struct {
	Up, Down int64 // of the source, of the target; -1: none
	What     string
}

// Result is what a comparison found.
type Result struct {
	Same        int64 // records
	GoneSource  int64 // only on the target: retention or the cleaner took them from the source
	GoneTarget  int64 // only at the source: retention or the cleaner took them from the target
	Others      int64 // of others, in a shared partition
	Unsure      int64 // on one side only, in a compacted topic, where no later record of the key was found as far as was searched
	Differences []Difference
	More        bool // there may be more differences than these

	// Uncovered is the first offset of the source of which the map does not tell where it stands; -1: it tells of all. The comparison ended
	// there and can be made again when the map knows more.
	Uncovered int64
	// Behind says that the comparison ended where the target did, and the source has more, which is not there yet.
	Behind bool
}

// Logs compares what two readers give. They begin at places that belong together.
func Logs(ctx context.Context, source, target Log, places Places, rules Rules) (Result, error) {
	c := comparison{source: source, target: target, places: places, rules: rules, seed: maphash.MakeSeed(), recent: make(map[uint64]int64), owed: make(map[string][]owed)}
	c.Uncovered = -1
	err := c.run(ctx)
	if err == nil && c.Uncovered < 0 {
		err = c.settle(ctx)
	}
	return c.Result, err
}

// owed is a record of a compacted topic that one side does not have, until a later one of its key is seen.
type owed struct {
	difference Difference
	onTarget   bool // the target does not have it; else the source
}

type comparison struct {
	Result
	source, target Log
	places         Places
	rules          Rules

	s, t     Record
	sok, tok bool

	seed   maphash.Seed
	recent map[uint64]int64 // by content, the source offset of records that were the same
	owed   map[string][]owed
}

func (c *comparison) nextSource(ctx context.Context) (err error) {
	c.s, c.sok, err = c.source.Next(ctx)
	if c.sok {
		c.later(c.s.Key)
	}
	return err
}

func (c *comparison) nextTarget(ctx context.Context) (err error) {
	c.t, c.tok, err = c.target.Next(ctx)
	if c.tok {
		c.later(c.t.Key) // it may be a tombstone that the source has no more
	}
	return err
}

// later settles what is owed of a key: there is a later record of it.
func (c *comparison) later(key []byte) {
	if len(c.owed) == 0 || key == nil {
		return
	}
	for _, o := range c.owed[string(key)] {
		if o.onTarget {
			c.GoneTarget++
		} else {
			c.GoneSource++
		}
	}
	delete(c.owed, string(key))
}

func (c *comparison) run(ctx context.Context) error {
	if err := c.nextSource(ctx); err != nil {
		return err
	}
	if err := c.nextTarget(ctx); err != nil {
		return err
	}
	for looked := int64(0); c.sok || c.tok; {
		if c.rules.Limit > 0 && looked >= c.rules.Limit {
			return nil
		}
		if len(c.Differences) >= mostDifferences {
			c.More = true
			return nil
		}
		done, took, err := c.step(ctx)
		if err != nil || done {
			return err
		}
		if took {
			looked++
		}
	}
	return nil
}

// step looks at the next record of either side; took says that it was one of the source.
func (c *comparison) step(ctx context.Context) (done, took bool, err error) {
	if !c.sok {
		return c.onlyTarget(ctx)
	}
	down, copied, known, err := c.places.Down(ctx, c.s.Offset)
	switch {
	case err != nil:
		return false, false, err
	case !known:
		c.Uncovered = c.s.Offset
		return true, false, nil
	case !copied && c.rules.Shared: // the opposite flow has brought it
		c.Others++
		return false, true, c.nextSource(ctx)
	case !copied:
		c.differs(c.s.Offset, -1, "the mirror has not copied this record, and has gone on behind it")
		return false, true, c.nextSource(ctx)
	case !c.tok && down >= c.target.End():
		c.Behind = true
		return true, false, nil
	case !c.tok || down < c.t.Offset:
		return false, true, c.onlySource(ctx, down)
	case down > c.t.Offset:
		return c.onlyTarget(ctx)
	}
	if what := c.differ(c.s, c.t); what != "" {
		c.differs(c.s.Offset, c.t.Offset, what)
	} else {
		c.Same++
		if len(c.recent) > 10_000 {
			clear(c.recent)
		}
		c.recent[c.content(c.s)] = c.s.Offset
	}
	if err := c.nextTarget(ctx); err != nil {
		return false, true, err
	}
	return false, true, c.nextSource(ctx)
}

func (c *comparison) differs(up, down int64, what string) {
	c.Differences = append(c.Differences, Difference{up, down, what})
}

// onlySource is for a record that the target should have at an offset and does not.
func (c *comparison) onlySource(ctx context.Context, down int64) error {
	missing := Difference{c.s.Offset, down, "the target does not have this record"}
	switch {
	case down < c.target.Start(): // retention has come closer meanwhile
		c.GoneTarget++
	case c.rules.TargetCompacted && c.s.Key != nil && c.s.Value == nil: // a tombstone that has done its work
		c.GoneTarget++
	case c.rules.TargetCompacted && c.s.Key != nil && c.tok && bytes.Equal(c.s.Key, c.t.Key):
		c.GoneTarget++
	case c.rules.TargetCompacted && c.s.Key != nil:
		c.owed[string(c.s.Key)] = append(c.owed[string(c.s.Key)], owed{missing, true})
	default:
		c.Differences = append(c.Differences, missing)
	}
	return c.nextSource(ctx)
}

// onlyTarget is for a record of the target that is not the one of the source which comes next.
func (c *comparison) onlyTarget(ctx context.Context) (done, took bool, err error) {
	up, ours, known, err := c.places.Up(ctx, c.t.Offset)
	if err != nil {
		return false, false, err
	}
	if !known {
		if c.Uncovered = c.source.End(); c.sok {
			c.Uncovered = c.s.Offset
		}
		return true, false, nil
	}
	extra := Difference{up, c.t.Offset, "the source does not have this record"}
	switch {
	case !ours && c.rules.Shared:
		c.Others++
	case !ours:
		what := "a record that did not come from the source: somebody else has written it"
		if before, seen := c.recent[c.content(c.t)]; seen {
			what = fmt.Sprintf("repeats the record of source offset %d", before)
		}
		c.differs(-1, c.t.Offset, what)
	case up < c.source.Start():
		c.GoneSource++
	case c.rules.SourceCompacted && c.t.Key != nil && c.t.Value == nil:
		c.GoneSource++
	case c.rules.SourceCompacted && c.t.Key != nil && c.sok && bytes.Equal(c.s.Key, c.t.Key):
		c.GoneSource++
	case c.rules.SourceCompacted && c.t.Key != nil:
		c.owed[string(c.t.Key)] = append(c.owed[string(c.t.Key)], owed{extra, false})
	default:
		c.Differences = append(c.Differences, extra)
	}
	return false, false, c.nextTarget(ctx)
}

// settle reads on for later records of the keys that are owed.
func (c *comparison) settle(ctx context.Context) error {
	for n := int64(0); (c.sok || c.tok) && len(c.owed) > 0 && n < c.rules.Search; n++ {
		if c.sok {
			if err := c.nextSource(ctx); err != nil {
				return err
			}
		}
		if c.tok {
			if err := c.nextTarget(ctx); err != nil {
				return err
			}
		}
	}
	for _, list := range c.owed {
		for _, o := range list {
			if c.sok || c.tok { // not searched to the end
				c.Unsure++
			} else {
				c.Differences = append(c.Differences, o.difference)
			}
		}
	}
	slices.SortStableFunc(c.Differences, func(a, b Difference) int { return cmp.Compare(a.Down, b.Down) })
	return nil
}

// differ says in what two records differ; empty if they are the same.
func (c *comparison) differ(s, t Record) string {
	var parts []string
	if !same(s.Key, t.Key) {
		parts = append(parts, "key")
	}
	if !same(s.Value, t.Value) {
		parts = append(parts, "value")
	}
	if !sameHeaders(s.Headers, t.Headers) {
		parts = append(parts, "headers")
	}
	if s.Timestamp != t.Timestamp && !c.rules.OtherTimes {
		parts = append(parts, "timestamp")
	}
	if len(parts) == 0 {
		return ""
	}
	if up, seen := c.recent[c.content(t)]; seen && len(parts) > 1 {
		return fmt.Sprintf("another record stands there, the one of source offset %d", up)
	}
	return "another " + strings.Join(parts, ", ")
}

// same tells none from empty.
func same(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

func sameHeaders(a, b []Header) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Key != b[i].Key || !same(a[i].Value, b[i].Value) {
			return false
		}
	}
	return true
}

// content is a hash of what a producer has written.
func (c *comparison) content(r Record) uint64 {
	var h maphash.Hash
	h.SetSeed(c.seed)
	part := func(b []byte) {
		fmt.Fprintf(&h, "%d %t ", len(b), b == nil)
		_, _ = h.Write(b) // never fails
	}
	part(r.Key)
	part(r.Value)
	for _, x := range r.Headers {
		part([]byte(x.Key))
		part(x.Value)
	}
	return h.Sum64()
}
