package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"tandem/internal/archive/restore"
	"tandem/internal/kafka"
	"tandem/internal/stream"
)

// groupsDone is what came of the groups.
type groupsDone struct {
	restored int
	left     map[string]string // by name, and why
	clamped  []string          // positions that were behind the end
}

func (g *groupsDone) names() []string { return slices.Sorted(maps.Keys(g.left)) }

// restoreGroups commits the positions that groups had, on the same records. One that has members is left alone.
func (r *restoring) restoreGroups(ctx context.Context, logs map[stream.Partition]*restore.Log, ends map[stream.Partition]int64) (*groupsDone, error) {
	g := &groupsDone{left: make(map[string]string)}
	if len(r.plan.Groups) == 0 {
		return g, nil
	}
	names := make([]string, len(r.plan.Groups))
	for i, group := range r.plan.Groups {
		names[i] = group.Name
	}
	states, err := r.target.admin.GroupStates(ctx, names)
	if err != nil {
		r.say("some groups cannot be asked: %s", kafka.Explain(err))
	}
	had, _, err := r.target.admin.GroupOffsets(ctx, names)
	if err != nil {
		return nil, reason("read offsets of groups", err)
	}
	for i, group := range r.plan.Groups {
		r.show.show("groups: %d of %d", i, len(r.plan.Groups))
		if states[group.Name].Live() {
			g.left[group.Name] = fmt.Sprintf("it has members (%s)", stateName(states[group.Name]))
			continue
		}
		offsets, err := r.positions(ctx, logs, ends, group, g)
		if err != nil {
			return nil, err
		}
		if r.plan.Append || r.plan.Missing {
			for p := range offsets { // a position of its own may be among records that were there before
				if at, ok := had[group.Name][p]; ok && at.Offset != offsets[p].Offset {
					delete(offsets, p)
					g.left[group.Name] = fmt.Sprintf("it has a position of its own in %s", p)
				}
			}
		}
		if err := r.commit(ctx, group.Name, offsets); err != nil {
			g.left[group.Name] = err.Error()
			continue
		}
		g.restored++
	}
	r.show.clear()
	return g, nil
}

func stateName(g stream.Group) string {
	if g.State == "" {
		return "its state is not known"
	}
	return g.State
}

// positions are those of a group on the target.
func (r *restoring) positions(ctx context.Context, logs map[stream.Partition]*restore.Log, ends map[stream.Partition]int64, group restore.Group,
	g *groupsDone) (map[stream.Partition]stream.Committed, error) {
	to := make(map[string]string)
	for _, t := range r.plan.Topics {
		to[t.Name] = t.To
	}
	bases := make(map[stream.Partition]stream.Downstream)
	for _, b := range r.ledger.Begun.Bases {
		bases[stream.Partition{Topic: b.Topic, Number: b.Partition}] = b.Offset
	}
	offsets := make(map[stream.Partition]stream.Committed)
	for _, o := range group.Offsets {
		at := stream.Partition{Topic: o.Topic, Number: o.Partition}
		log := logs[at]
		remote := stream.Partition{Topic: to[o.Topic], Number: o.Partition}
		n := ends[at]
		if r.plan.Missing && o.Offset < log.First() {
			g.clamped = append(g.clamped, fmt.Sprintf("%s in %s is left as it is: it was at %d, which the target had", group.Name, at, o.Offset))
			continue
		}
		if o.Offset > log.End() {
			g.clamped = append(g.clamped, fmt.Sprintf("%s in %s is set to the end: it was at %d, what is restored ends at %d", group.Name, at, o.Offset, log.End()))
		} else {
			below, err := log.Below(ctx, o.Offset)
			if err != nil {
				return nil, refused{fmt.Errorf("find where group %s stands in %s: %w", group.Name, at, err)}
			}
			n = min(below, n)
		}
		offsets[remote] = stream.Committed{Offset: int64(bases[remote]) + n, Metadata: o.Metadata}
	}
	return offsets, nil
}

// commit commits the offsets of a group, and reads them back.
func (r *restoring) commit(ctx context.Context, group string, offsets map[stream.Partition]stream.Committed) error {
	if len(offsets) == 0 {
		return nil
	}
	denied, err := r.target.admin.CommitOffsets(ctx, group, offsets)
	if err != nil {
		return inWords(err)
	}
	for p, err := range denied {
		return fmt.Errorf("%s: %s", p, kafka.Explain(err))
	}
	read, failed, err := r.target.admin.GroupOffsets(ctx, []string{group})
	if err == nil {
		err = failed[group]
	}
	if err != nil {
		return fmt.Errorf("read its offsets back: %s", kafka.Explain(err))
	}
	for p, want := range offsets {
		if got := read[group][p]; got.Offset != want.Offset {
			return fmt.Errorf("%s: %d was committed, and %d is read back", p, want.Offset, got.Offset)
		}
	}
	return nil
}
