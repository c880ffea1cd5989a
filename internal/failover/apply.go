package failover

import (
	"context"
	"fmt"
	"slices"

	"tandem/internal/stream"
)

// Apply moves the groups of a plan that Check has passed. The failover is noted with its boundaries before the first group is
// moved, so that a mirror that starts meanwhile knows of it, and as applied when all have been. When it stops half way, on
// either side of any step, it can be called again: groups that are where they should be are left alone.
//
// The error says that the failover could not be noted; the outcome tells of the groups.
func (m *Mover) Apply(ctx context.Context, p Plan, done *Record) (Outcome, error) {
	r := newRecord(p, m.Now(), m.By)
	notes := r.encode()
	if done == nil {
		if err := m.Notes.Write(ctx, notes); err != nil {
			return Outcome{}, fmt.Errorf("note the failover (no group was moved): %w", m.words(err))
		}
	}
	out := m.each(ctx, pending(p, done).Groups, forth)
	r.Failed, r.At = out.Failed, m.Now().UTC()
	var heads []stream.Record
	if len(out.Failed) == 0 {
		r.State = Applied
		heads = m.turn(p.Completes, Returned)
	}
	if ctx.Err() != nil {
		return out, ctx.Err()
	}
	if err := m.Notes.Write(ctx, append(heads, r.head())); err != nil {
		return out, fmt.Errorf("note the end of the failover: %w", m.words(err))
	}
	return out, nil
}

// pending is a plan without the groups that an earlier Apply moved. They may be running again, and are not to be stopped for
// the sake of those that it could not move. Of one that was killed nothing is known, so all its groups are pending.
func pending(p Plan, done *Record) Plan {
	if done == nil || len(done.Failed) == 0 {
		return p
	}
	failed := make(map[string]bool, len(done.Failed))
	for _, f := range done.Failed {
		failed[f.Group] = true
	}
	p.Groups = slices.DeleteFunc(slices.Clone(p.Groups), func(g Group) bool { return !failed[g.Group] })
	return p
}

// forth moves a group to its new positions, unless somebody else has moved it.
func forth(g Group, now map[stream.Partition]stream.Committed) (change, string) {
	c := change{group: g.Group, set: make(map[stream.Partition]stream.Committed)}
	for _, p := range g.Positions {
		at, ok := now[p.RemotePartition()]
		switch {
		case ok && at.Offset == p.New:
		case p.wasThere(at.Offset, ok):
			c.set[p.RemotePartition()] = stream.Committed{Offset: p.New, Metadata: p.Note}
		default:
			return change{}, fmt.Sprintf("it stands at %s in %s, and stood at %s when the plan was made: make a new one",
				offsetText(at.Offset, ok), p.RemotePartition(), oldText(p.Old))
		}
	}
	return c, ""
}

// wasThere says whether an offset on To, or none, is the one from before the plan.
func (p Position) wasThere(offset int64, ok bool) bool {
	return ok == (p.Old != nil) && (!ok || offset == *p.Old)
}

// Undo puts the old positions back, wherever the position is still the one that Apply wrote. What has moved on since is left
// alone and among the failures; then the failover stays in force.
func (m *Mover) Undo(ctx context.Context, p Plan, done Record) (Outcome, error) {
	out := m.each(ctx, p.Groups, back)
	if ctx.Err() != nil || len(out.Failed) > 0 {
		return out, ctx.Err()
	}
	done.State, done.At, done.By, done.Failed = Undone, m.Now().UTC(), m.By, nil
	if err := m.Notes.Write(ctx, append(m.turn(p.Completes, Applied), done.head())); err != nil {
		return out, fmt.Errorf("note that the failover is undone: %w", m.words(err))
	}
	return out, nil
}

// back moves a group to its old positions.
func back(g Group, now map[stream.Partition]stream.Committed) (change, string) {
	c := change{group: g.Group, set: make(map[stream.Partition]stream.Committed)}
	trouble := ""
	for _, p := range g.Positions {
		at, ok := now[p.RemotePartition()]
		switch {
		case p.wasThere(at.Offset, ok):
		case !ok:
			trouble = fmt.Sprintf("it has no offset in %s any more, where %d was written: left as it is", p.RemotePartition(), p.New)
		case at.Offset != p.New:
			trouble = fmt.Sprintf("it has moved on in %s, from %d to %d: left as it is", p.RemotePartition(), p.New, at.Offset)
		case p.Old == nil:
			c.drop = append(c.drop, p.RemotePartition())
		default:
			c.set[p.RemotePartition()] = stream.Committed{Offset: *p.Old, Metadata: p.OldNote}
		}
	}
	return c, trouble
}

// turn gives the heads of other failovers in a new state.
func (m *Mover) turn(plans []string, to State) []stream.Record {
	var heads []stream.Record
	for _, r := range m.Failovers {
		if slices.Contains(plans, r.Plan) && r.State != to {
			r.State, r.At = to, m.Now().UTC()
			heads = append(heads, r.head())
		}
	}
	return heads
}
