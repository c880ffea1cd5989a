package failover

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"tandem/internal/stream"
)

// Groups are the consumer groups of a cluster.
type Groups interface {
	// GroupStates are the states of the groups at this moment; one that does not exist is Dead.
	GroupStates(ctx context.Context, ids []string) (map[string]stream.Group, error)
	// GroupOffsets are the committed offsets; groups that could not be asked are in the second map.
	GroupOffsets(ctx context.Context, ids []string) (map[string]map[stream.Partition]stream.Committed, map[string]error, error)
}

// Offsets are committed offsets that can be changed. Both changes are for groups without members; the broker refuses others.
type Offsets interface {
	Groups
	CommitOffsets(ctx context.Context, group string, offsets map[stream.Partition]stream.Committed) (map[stream.Partition]error, error)
	DeleteOffsets(ctx context.Context, group string, partitions []stream.Partition) error
}

// Logs are the topics of a cluster.
type Logs interface {
	ClusterID(ctx context.Context) (string, error)
	Topics(ctx context.Context) ([]stream.Topic, error)
	// Offsets are the ends of partitions (stream.Latest, stream.Earliest); those that could not be asked are in the second map.
	Offsets(ctx context.Context, partitions []stream.Partition, at int64) (map[stream.Partition]int64, map[stream.Partition]error, error)
}

// Notes keeps records in the topic of the flow. Write returns when all are safe, and may be repeated.
type Notes interface {
	Write(ctx context.Context, records []stream.Record) error
}

// Mover carries plans out and puts them back. Each step can be repeated: what has been done is seen in the target's offsets.
type Mover struct {
	Target    Offsets
	Logs      Logs                           // of the same cluster
	Source    Groups                         // of the cluster that groups leave; nil where it does not answer
	Notes     Notes                          // of the flow's topic
	Failovers []Record                       // that it holds
	Noted     map[string]stream.GroupOffsets // by group, what it last heard of their offsets on the cluster that they leave
	Now       func() time.Time
	By        string              // user@host
	Progress  func(done, all int) // groups; may be nil
	Explain   func(error) string  // an error for people; nil is Error
}

// Outcome is what became of the groups of a plan.
type Outcome struct {
	Changed int       // groups whose offsets were written now
	Already int       // groups that stood there already
	Failed  []Failure // groups that did not get there; the others are not harmed by them
}

const (
	groupsAtATime = 100 // bounds how long ago a group's state was asked when its offsets are committed
	commits       = 8   // under way at a time
)

// change is what is to be written for one group.
type change struct {
	group string
	set   map[stream.Partition]stream.Committed
	drop  []stream.Partition
}

func (c change) empty() bool { return len(c.set) == 0 && len(c.drop) == 0 }

// decide says what to change of a group, given its offsets now; trouble is what cannot be.
type decide func(g Group, now map[stream.Partition]stream.Committed) (c change, trouble string)

// each goes through the groups, in batches: states and offsets are asked, decided on, written side by side and read back.
func (m *Mover) each(ctx context.Context, groups []Group, to decide) Outcome {
	var out Outcome
	all := len(groups)
	for done := 0; len(groups) > 0; {
		some := groups[:min(groupsAtATime, len(groups))]
		groups = groups[len(some):]
		if err := m.some(ctx, some, to, &out); err != nil {
			// The rest would fare the same, each only after its own timeout.
			for _, g := range groups {
				out.fail(g.Group, "not tried: "+m.explain(err))
			}
			return out
		}
		if done += len(some); m.Progress != nil {
			m.Progress(done, all)
		}
	}
	return out
}

func (o *Outcome) fail(group, reason string) {
	o.Failed = append(o.Failed, Failure{group, reason})
}

func (m *Mover) explain(err error) string {
	if m.Explain != nil {
		return m.Explain(err)
	}
	return err.Error()
}

// told is an error in words for people.
type told struct {
	error
	words string
}

func (t told) Error() string { return t.words }
func (t told) Unwrap() error { return t.error }

func (m *Mover) words(err error) error { return told{err, m.explain(err)} }

// some does one batch. Every group of it is in the outcome, also when the cluster stopped answering.
func (m *Mover) some(ctx context.Context, groups []Group, to decide, out *Outcome) error {
	states, now, refused, err := m.ask(ctx, groups)
	if err != nil {
		for _, g := range groups {
			out.fail(g.Group, "not tried: "+m.explain(err))
		}
		return err
	}
	var changes []change
	troubles := make(map[string]string)
	for _, g := range groups {
		if err := refused[g.Group]; err != nil {
			out.fail(g.Group, "read its offsets: "+m.explain(err))
			continue
		}
		c, trouble := to(g, now[g.Group])
		state, known := states[g.Group]
		switch {
		case c.empty() && trouble == "":
			out.Already++
		case !known || state.Live():
			out.fail(g.Group, fmt.Sprintf("it has members (state %s): stop its consumers", stateOf(state)))
		case c.empty():
			out.fail(g.Group, trouble)
		default:
			changes = append(changes, c)
			troubles[c.group] = trouble
		}
	}
	failed, err := m.write(ctx, changes)
	for _, c := range changes {
		reason := failed[c.group]
		if reason == "" {
			reason = troubles[c.group]
		}
		if reason != "" {
			out.fail(c.group, reason)
		} else {
			out.Changed++
		}
	}
	return err
}

// ask asks for the states last: a consumer that starts now is seen.
func (m *Mover) ask(ctx context.Context, groups []Group) (map[string]stream.Group, map[string]map[stream.Partition]stream.Committed, map[string]error, error) {
	ids := make([]string, len(groups))
	for i, g := range groups {
		ids[i] = g.Group
	}
	now, refused, err := m.Target.GroupOffsets(ctx, ids)
	if err != nil {
		return nil, nil, nil, err
	}
	states, err := m.Target.GroupStates(ctx, ids)
	if len(states) > 0 {
		err = nil // a group whose state could not be found out counts as live
	}
	return states, now, refused, err
}

// write makes the changes and reads them back. The map holds the groups that failed, and why.
func (m *Mover) write(ctx context.Context, changes []change) (map[string]string, error) {
	if len(changes) == 0 {
		return nil, nil
	}
	var mu sync.Mutex // guards failed
	failed := make(map[string]string)
	var workers errgroup.Group
	workers.SetLimit(commits)
	for _, c := range changes {
		workers.Go(func() error {
			if reason := m.writeOne(ctx, c); reason != "" {
				mu.Lock()
				failed[c.group] = reason
				mu.Unlock()
			}
			return nil
		})
	}
	_ = workers.Wait() // none has an error of its own
	ids := make([]string, len(changes))
	for i, c := range changes {
		ids[i] = c.group
	}
	now, refused, err := m.Target.GroupOffsets(ctx, ids)
	for _, c := range changes {
		switch {
		case failed[c.group] != "":
		case err != nil:
			failed[c.group] = "written, but not read back: " + m.explain(err)
		case refused[c.group] != nil:
			failed[c.group] = "written, but not read back: " + m.explain(refused[c.group])
		default:
			if wrong := c.differs(now[c.group]); wrong != "" {
				failed[c.group] = wrong
			}
		}
	}
	return failed, err
}

func (m *Mover) writeOne(ctx context.Context, c change) string {
	if len(c.set) > 0 {
		refused, err := m.Target.CommitOffsets(ctx, c.group, c.set)
		if err != nil {
			return m.refusal(err)
		}
		if len(refused) > 0 {
			p := first(refused)
			return fmt.Sprintf("commit %s: %s", p, m.refusal(refused[p]))
		}
	}
	if len(c.drop) > 0 {
		if err := m.Target.DeleteOffsets(ctx, c.group, c.drop); err != nil {
			return m.refusal(err)
		}
	}
	return ""
}

func (m *Mover) refusal(err error) string {
	if code, ok := stream.CodeOf(err); ok && code == stream.CodeUnknownMemberID {
		return "it got members just now: stop its consumers"
	}
	return m.explain(err)
}

// differs compares what was read back with what was to be written.
func (c change) differs(now map[stream.Partition]stream.Committed) string {
	for _, p := range sorted(c.set) {
		if at, ok := now[p]; !ok || at.Offset != c.set[p].Offset {
			return fmt.Sprintf("written, but %s now stands at %s, not at %d: somebody else commits its offsets", p, offsetText(at.Offset, ok), c.set[p].Offset)
		}
	}
	for _, p := range c.drop {
		if at, ok := now[p]; ok {
			return fmt.Sprintf("deleted, but %s now stands at %d: somebody else commits its offsets", p, at.Offset)
		}
	}
	return ""
}
