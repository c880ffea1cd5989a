package failover

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	"tandem/internal/stream"
)

// Check looks at everything that Apply rests on and writes nothing. The problems are all that was found; an error means that
// a cluster could not be asked. done is the record of the plan, if it was applied before, wholly or in part: then it is no
// more too old, and groups that have got there are as they should be.
func (m *Mover) Check(ctx context.Context, p Plan, done *Record, maxAge time.Duration) ([]string, error) {
	c := checker{mover: m, plan: pending(p, done)}
	for _, b := range p.Blockers {
		c.say("the plan is blocked: %s", b.What)
	}
	switch {
	case done == nil:
		if age := m.Now().Sub(p.Created); age > maxAge {
			c.say("the plan is %s old, and plans are good for %s (--max-age): make a new one", age.Round(time.Second), maxAge)
		} else if age < -time.Minute {
			c.say("the plan was made at %s, which is in the future: set the clocks right", p.Created.Format(time.RFC3339))
		}
	case done.State != Applying:
		c.say("the plan is %s since %s (by %s): make a new one", done.State, done.At.UTC().Format(time.RFC3339), done.By)
	}
	if len(c.problems) > 0 {
		return c.problems, nil
	}
	for _, step := range []func(context.Context) error{c.logs, c.target, c.source} {
		if err := step(ctx); err != nil {
			return c.problems, err
		}
	}
	if done == nil && p.Mode == Disaster {
		c.news()
	}
	return c.problems, nil
}

type checker struct {
	mover    *Mover
	plan     Plan
	problems []string
}

func (c *checker) say(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

// news are groups that the lost cluster was heard to have moved since the plan was made, because it was there again for a while. Where the plan
// would put them they would read all of that once more.
func (c *checker) news() {
	for _, g := range c.plan.Groups {
		noted := c.mover.Noted[g.Group]
		if !noted.At.After(g.Seen) {
			continue
		}
		for _, p := range g.Positions {
			if at, ok := noted.Offsets[p.SourcePartition()]; ok && at.Offset != p.Source {
				c.say("group %s has moved from %d to %d in %s of %s since the plan was made: make a new one",
					g.Group, p.Source, at.Offset, p.SourcePartition(), c.plan.From.Alias)
				break
			}
		}
	}
}

// logs makes sure that the remote partitions are those that were planned with.
func (c *checker) logs(ctx context.Context) error {
	to := c.plan.To.Alias
	id, err := c.mover.Logs.ClusterID(ctx)
	if err != nil {
		return fmt.Errorf("ask %s for its cluster id: %w", to, c.mover.words(err))
	}
	if id != c.plan.To.ClusterID {
		c.say("%s is another cluster than when the plan was made (id %s, was %s): look at its bootstrap.servers", to, id, c.plan.To.ClusterID)
		return nil
	}
	listed, err := c.mover.Logs.Topics(ctx)
	if err != nil {
		return fmt.Errorf("list the topics of %s: %w", to, c.mover.words(err))
	}
	topics := make(map[string]stream.Topic, len(listed))
	for _, t := range listed {
		topics[t.Name] = t
	}
	used := c.used()
	told := make(map[string]bool)
	for _, x := range c.plan.Partitions {
		t, there := topics[x.Remote]
		if told[x.Remote] || used[x.RemotePartition()] == nil {
			continue
		}
		if !there {
			told[x.Remote] = true
			c.say("topic %s of %s is gone since the plan was made: make a new one", x.Remote, to)
		} else if got := hex.EncodeToString(t.ID[:]); x.RemoteID != "" && got != x.RemoteID {
			told[x.Remote] = true
			c.say("topic %s of %s was made anew since the plan was made: make a new one", x.Remote, to)
		}
	}
	return c.bounds(ctx, used, topics)
}

// span is how far apart the new positions in a partition are.
type span struct{ low, high int64 }

func (c *checker) used() map[stream.Partition]*span {
	used := make(map[stream.Partition]*span)
	for _, g := range c.plan.Groups {
		for _, p := range g.Positions {
			if s := used[p.RemotePartition()]; s == nil {
				used[p.RemotePartition()] = &span{p.New, p.New}
			} else {
				s.low, s.high = min(s.low, p.New), max(s.high, p.New)
			}
		}
	}
	return used
}

// bounds makes sure that the new positions are inside the logs.
func (c *checker) bounds(ctx context.Context, used map[stream.Partition]*span, topics map[string]stream.Topic) error {
	to := c.plan.To.Alias
	var partitions []stream.Partition
	for _, p := range sorted(used) {
		if topics[p.Topic].Partitions > p.Number {
			partitions = append(partitions, p)
		}
	}
	for _, at := range []int64{stream.Earliest, stream.Latest} {
		offsets, refused, err := c.mover.Logs.Offsets(ctx, partitions, at)
		if err != nil {
			return fmt.Errorf("ask %s for the ends of its logs: %w", to, c.mover.words(err))
		}
		for _, p := range partitions {
			offset, ok := offsets[p]
			switch {
			case !ok && at == stream.Latest: // told by the first question
			case !ok:
				c.say("%s does not tell where %s begins (%s): try again when the partition has a leader", to, p, c.mover.explainNil(refused[p]))
			case at == stream.Earliest && offset > used[p].low:
				c.say("%s has deleted records of %s since the plan was made (it begins at %d, the plan needs %d): make a new one", to, p, offset, used[p].low)
			case at == stream.Latest && offset < used[p].high:
				c.say("%s of %s ends at %d, before %d, where a group is to go on: its log was cut; make a new plan", p, to, offset, used[p].high)
			}
		}
	}
	return nil
}

func (m *Mover) explainNil(err error) string {
	if err == nil {
		return "no answer"
	}
	return m.explain(err)
}

// target makes sure that no group has members on To, and that each position is the one before the plan or the one after.
func (c *checker) target(ctx context.Context) error {
	to := c.plan.To.Alias
	for groups := range slices.Chunk(c.plan.Groups, groupsAtATime) {
		states, now, refused, err := c.mover.ask(ctx, groups)
		if err != nil {
			return fmt.Errorf("ask %s for its groups: %w", to, c.mover.words(err))
		}
		for _, g := range groups {
			if err := refused[g.Group]; err != nil {
				c.say("group %s: %s does not tell its offsets: %s", g.Group, to, c.mover.explain(err))
				continue
			}
			if state, ok := states[g.Group]; !ok || state.Live() {
				c.say("group %s has members on %s (state %s): stop its consumers there", g.Group, to, stateOf(state))
				continue
			}
			for _, p := range g.Positions {
				at, ok := now[g.Group][p.RemotePartition()]
				if ok && at.Offset == p.New || p.wasThere(at.Offset, ok) {
					continue
				}
				c.say("group %s stands at %s in %s of %s, and stood at %s when the plan was made: make a new one",
					g.Group, offsetText(at.Offset, ok), p.RemotePartition(), to, oldText(p.Old))
				break
			}
		}
	}
	return nil
}

// source makes sure that the groups stand where they stood on From, if it answers.
func (c *checker) source(ctx context.Context) error {
	from := c.plan.From.Alias
	if c.mover.Source == nil {
		if c.plan.Mode == Controlled {
			c.say("%s does not answer any more: if it is lost, plan again with --mode disaster", from)
		}
		return nil
	}
	for groups := range slices.Chunk(c.plan.Groups, groupsAtATime) {
		ids := make([]string, len(groups))
		for i, g := range groups {
			ids[i] = g.Group
		}
		now, refused, err := c.mover.Source.GroupOffsets(ctx, ids)
		var states map[string]stream.Group
		if err == nil && c.plan.Mode == Controlled {
			states, err = c.mover.Source.GroupStates(ctx, ids)
		}
		if err != nil {
			if c.plan.Mode == Disaster {
				return nil // it comes and goes; the plan does not rest on it
			}
			return fmt.Errorf("ask %s for its groups: %w", from, c.mover.words(err))
		}
		for _, g := range groups {
			if refused[g.Group] == nil {
				c.unmoved(g, now[g.Group], states[g.Group])
			} else if c.plan.Mode == Controlled {
				c.say("group %s: %s does not tell its offsets: %s", g.Group, from, c.mover.explain(refused[g.Group]))
			}
		}
	}
	return nil
}

// unmoved compares a group with what it was on From. In a disaster it may have gone on there; that is read again. But one
// that was set back would miss records.
func (c *checker) unmoved(g Group, now map[stream.Partition]stream.Committed, state stream.Group) {
	from := c.plan.From.Alias
	if c.plan.Mode == Controlled && state.Live() {
		c.say("group %s has members on %s (state %s): stop its consumers, then make a new plan", g.Group, from, stateOf(state))
		return
	}
	for _, p := range g.Positions {
		at, ok := now[p.SourcePartition()]
		switch {
		case !ok && c.plan.Mode == Controlled:
			c.say("group %s has no committed offset in %s of %s any more (was %d): make a new plan", g.Group, p.SourcePartition(), from, p.Source)
			return
		case ok && (at.Offset < p.Source || at.Offset > p.Source && c.plan.Mode == Controlled):
			c.say("group %s moved from %d to %d in %s of %s since the plan was made: make a new one", g.Group, p.Source, at.Offset, p.SourcePartition(), from)
			return
		}
	}
}

func sorted[V any](m map[stream.Partition]V) []stream.Partition {
	return slices.SortedFunc(maps.Keys(m), compare)
}

func first[V any](m map[stream.Partition]V) stream.Partition { return sorted(m)[0] }

func offsetText(offset int64, ok bool) string {
	if !ok {
		return "no offset"
	}
	return fmt.Sprint(offset)
}

func oldText(old *int64) string {
	if old == nil {
		return "no offset"
	}
	return fmt.Sprint(*old)
}
