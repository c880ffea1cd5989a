package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"tandem/internal/archive/restore"
	"tandem/internal/kafka"
	"tandem/internal/stream"
)

// groupsDone is what came of the groups, over all runs.
type groupsDone struct {
	restored int
	kept     map[string]string // by name, and why: they keep what they have
	waiting  map[string]string // by name, and why: the next run tries again
}

// left are all groups that were left alone, and why.
func (g *groupsDone) left() map[string]string {
	all := maps.Clone(g.kept)
	maps.Copy(all, g.waiting)
	return all
}

// restoreGroups commits the positions that groups had, on the same records. One that has members is left alone, and its turn comes when
// the restore is run again. What an earlier run has dealt with is not touched: its members may have moved on.
func (r *restoring) restoreGroups(ctx context.Context) (*groupsDone, error) {
	g := &groupsDone{kept: make(map[string]string), waiting: make(map[string]string)}
	dealt := make(map[string]bool)
	for _, c := range r.ledger.Committed {
		g.restored += len(c.Groups)
		maps.Copy(g.kept, c.Kept)
		for _, name := range c.Groups {
			dealt[name] = true
		}
	}
	var todo []restore.Positions
	var names []string
	for _, group := range r.ledger.Written.Groups {
		if _, kept := g.kept[group.Name]; !kept && !dealt[group.Name] {
			todo, names = append(todo, group), append(names, group.Name)
		}
	}
	if len(todo) == 0 {
		return g, nil
	}
	states, err := r.target.admin.GroupStates(ctx, names)
	if err != nil {
		r.say("some groups cannot be asked: %s", kafka.Explain(err))
	}
	had, _, err := r.target.admin.GroupOffsets(ctx, names)
	if err != nil {
		return nil, reason("read offsets of groups", err)
	}
	now := restore.Committed{Kept: make(map[string]string)}
	for i, group := range todo {
		r.show.Show("groups: %d of %d", i, len(todo))
		if state := states[group.Name]; state.Live() {
			g.waiting[group.Name] = "whether it has members cannot be found out"
			if state.State != "" {
				g.waiting[group.Name] = fmt.Sprintf("it has members (%s)", state.State)
			}
			continue
		}
		offsets, own := r.toCommit(group, had[group.Name])
		if err := r.commit(ctx, group.Name, offsets); err != nil {
			if ctx.Err() != nil {
				break
			}
			g.waiting[group.Name] = err.Error()
			continue
		}
		if own != "" {
			now.Kept[group.Name] = own
			continue
		}
		now.Groups = append(now.Groups, group.Name)
	}
	r.show.Clear()
	if len(now.Groups)+len(now.Kept) > 0 { // what was committed is noted although we are asked to stop
		if err := r.ledger.AddCommitted(context.WithoutCancel(ctx), now); err != nil {
			return nil, err
		}
	}
	g.restored += len(now.Groups)
	maps.Copy(g.kept, now.Kept)
	return g, ctx.Err()
}

// toCommit are the positions that a group gets. Among records that were there before it may have some of its own, which stay: own says
// where.
func (r *restoring) toCommit(group restore.Positions, had map[stream.Partition]stream.Committed) (offsets map[stream.Partition]stream.Committed, own string) {
	offsets = make(map[stream.Partition]stream.Committed)
	for _, o := range group.Offsets {
		p := stream.Partition{Topic: o.Topic, Number: o.Partition}
		if at, ok := had[p]; ok && at.Offset != int64(o.Offset) && (r.plan.Append || r.plan.Missing) {
			own = fmt.Sprintf("it has a position of its own in %s", p)
			continue
		}
		offsets[p] = stream.Committed{Offset: int64(o.Offset), Metadata: o.Metadata}
	}
	return offsets, own
}

const countedAtOnce = 16 // groups whose places are looked for at a time: each may read a chunk

// positions are those of the groups on the target.
func (r *restoring) positions(ctx context.Context, logs map[stream.Partition]*restore.Log, ends map[stream.Partition]int64, w *restore.Written) error {
	w.Groups = make([]restore.Positions, len(r.plan.Groups))
	clamped := make([][]string, len(r.plan.Groups))
	var mu sync.Mutex
	done := 0
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(countedAtOnce)
	for i, g := range r.plan.Groups {
		group.Go(func() (err error) {
			w.Groups[i], clamped[i], err = r.positionsOf(ctx, logs, ends, g)
			mu.Lock()
			defer mu.Unlock()
			done++
			r.show.Show("groups: places of %d of %d", done, len(w.Groups))
			return err
		})
	}
	err := group.Wait()
	r.show.Clear()
	w.Clamped = slices.Concat(clamped...)
	return err
}

// positionsOf are those of one group; clamped says in words which are not on the record that the group stood on.
func (r *restoring) positionsOf(ctx context.Context, logs map[stream.Partition]*restore.Log, ends map[stream.Partition]int64,
	group restore.Group) (g restore.Positions, clamped []string, err error) {
	to := make(map[string]string)
	for _, t := range r.plan.Topics {
		to[t.Name] = t.To
	}
	bases := make(map[stream.Partition]stream.Downstream)
	for _, b := range r.ledger.Begun.Bases {
		bases[stream.Partition{Topic: b.Topic, Number: b.Partition}] = b.Offset
	}
	g.Name = group.Name
	for _, o := range group.Offsets {
		at := stream.Partition{Topic: o.Topic, Number: o.Partition}
		log := logs[at]
		n := ends[at]
		switch {
		case r.plan.Missing && o.Offset < log.First():
			clamped = append(clamped, fmt.Sprintf("%s in %s is left as it is: it was at %d, which the target had", group.Name, at, o.Offset))
			continue
		case o.Offset > log.End():
			clamped = append(clamped, fmt.Sprintf("%s in %s is set to the end: it was at %d, what is restored ends at %d", group.Name, at, o.Offset, log.End()))
		default:
			below, err := log.Below(ctx, o.Offset)
			if err != nil {
				return g, nil, refused{fmt.Errorf("find where group %s stands in %s: %w", group.Name, at, err)}
			}
			n = min(below, n)
		}
		remote := restore.Base{Topic: to[o.Topic], Partition: o.Partition}
		remote.Offset = bases[stream.Partition{Topic: remote.Topic, Number: remote.Partition}] + stream.Downstream(n)
		g.Offsets = append(g.Offsets, restore.Position{Base: remote, Metadata: o.Metadata})
	}
	return g, clamped, nil
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
