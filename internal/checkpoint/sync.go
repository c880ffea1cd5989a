package checkpoint

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"tandem/internal/stream"
)

// syncBatch is how many groups are looked at together just before they are committed. Few, so that little time passes.
const syncBatch = 20

// Error codes with which a coordinator refuses a commit because the group has members, or is about to.
const (
	codeIllegalGeneration  stream.Code = 22
	codeUnknownMemberID    stream.Code = 25
	codeRebalanceInProcess stream.Code = 27
	codeStaleMemberEpoch   stream.Code = 113
)

// want is the place wanted for a group at a partition of the target.
type want struct {
	down     stream.Downstream
	metadata string
}

// sync commits the translated offsets of groups without members on the target.
func (k *Keeper) sync(ctx context.Context) error {
	if err := k.lookAway(ctx); err != nil {
		return err
	}
	everything := time.Since(k.checked) >= recheck
	var ask []string
	for _, name := range slices.Sorted(maps.Keys(k.groups)) {
		if k.away[name] {
			continue
		}
		for p, w := range k.wants(name) {
			if everything || k.marks[name][p].settled != w.down {
				ask = append(ask, name)
				break
			}
		}
	}
	var failed error
	var moving []string
	for names := range slices.Chunk(ask, batchSize) {
		found, err := k.look(ctx, names)
		failed = first(failed, err)
		moving = append(moving, found...)
	}
	for names := range slices.Chunk(moving, syncBatch) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		failed = first(failed, k.syncGroups(ctx, names))
	}
	if everything && failed == nil {
		k.checked = time.Now()
	}
	return failed
}

// lookAway finds out which groups a failover has moved, and tells when some are, or none any more.
func (k *Keeper) lookAway(ctx context.Context) error {
	if k.Away == nil {
		return nil
	}
	away, err := k.Away(ctx)
	if err != nil {
		return fmt.Errorf("look for failovers to %s: %w", k.Flow.Target, err)
	}
	switch before := len(k.away); {
	case before == 0 && len(away) > 0:
		k.news.tell(stream.Info, "groups have failed over to the target: they are not synced until they are back, or the failover is undone",
			stream.F("groups", len(away)))
	case before > 0 && len(away) == 0:
		k.news.tell(stream.Info, "no group is failed over any more: all are synced again")
	}
	k.away = away
	return nil
}

// wants are where group sync would have a group, by partition of the target. What is not written is not committed.
func (k *Keeper) wants(name string) iter.Seq2[stream.Partition, want] {
	return func(yield func(stream.Partition, want) bool) {
		if k.groups[name].stale {
			return
		}
		for _, at := range k.groups[name].positions {
			last, known := k.marks[name][at.remote]
			if !known {
				continue
			}
			if down, ok := wanted(last, at.up, at.got); ok && !yield(at.remote, want{down, at.metadata}) {
				return
			}
		}
	}
}

// look finds, of some groups, those that have something to move, and settles the rest.
func (k *Keeper) look(ctx context.Context, names []string) (moving []string, err error) {
	offsets, refused, err := k.Target.GroupOffsets(ctx, names)
	if err != nil {
		return nil, fmt.Errorf("fetch offsets of groups of %s: %w", k.Flow.Target, err)
	}
	for _, name := range names {
		if err := refused[name]; err != nil {
			k.refused(ctx, name, err)
			continue
		}
		if len(k.plan(name, offsets[name])) > 0 {
			moving = append(moving, name)
		}
	}
	return moving, nil
}

// step is one offset to commit.
type step struct {
	move move
	want want
	old  stream.Committed
	has  bool
}

// plan decides for each partition, and settles those that stay.
func (k *Keeper) plan(name string, offsets map[stream.Partition]stream.Committed) map[stream.Partition]step {
	steps := map[stream.Partition]step{}
	for p, w := range k.wants(name) {
		old, has := offsets[p]
		has = has && old.Offset >= 0
		last := k.marks[name][p]
		m := decideMove(last, w.down, stream.Downstream(old.Offset), has)
		if m == stay {
			k.marks[name][p] = stayed(last, w.down, stream.Downstream(old.Offset))
		} else {
			steps[p] = step{m, w, old, has}
		}
	}
	return steps
}

// syncGroups asks for the states of some groups and then, as late as can be, for the offsets of those without members; it
// decides anew and commits at once.
func (k *Keeper) syncGroups(ctx context.Context, names []string) error {
	states, unseen := k.Target.GroupStates(ctx, names)
	if unseen != nil {
		unseen = fmt.Errorf("describe groups of %s: %w", k.Flow.Target, unseen)
	}
	var idle []string
	for _, name := range names {
		switch g, told := states[name]; {
		case !told:
		case g.Live():
			k.ran(name)
		case consumes(g):
			idle = append(idle, name)
		default:
			k.refused(ctx, name, fmt.Errorf("on %s it is a %s group", k.Flow.Target, g.Type))
		}
	}
	if len(idle) == 0 {
		return unseen
	}
	offsets, refused, err := k.Target.GroupOffsets(ctx, idle)
	if err != nil {
		return fmt.Errorf("fetch offsets of groups of %s: %w", k.Flow.Target, err)
	}
	for _, name := range idle {
		if err := refused[name]; err != nil {
			k.refused(ctx, name, err)
			continue
		}
		if steps := k.plan(name, offsets[name]); len(steps) > 0 {
			k.commit(ctx, name, steps)
		}
	}
	return unseen
}

func (k *Keeper) ran(name string) {
	for p, last := range k.marks[name] {
		k.marks[name][p] = ran(last)
	}
}

// commit moves a group. That it has members by now is no news: then its offsets are its own.
func (k *Keeper) commit(ctx context.Context, name string, steps map[stream.Partition]step) {
	offsets := make(map[stream.Partition]stream.Committed, len(steps))
	for p, s := range steps {
		offsets[p] = stream.Committed{Offset: int64(s.want.down), Metadata: s.want.metadata}
	}
	failed, err := k.Target.CommitOffsets(ctx, name, offsets)
	if hasMembers(err) {
		k.ran(name)
		return
	}
	k.refused(ctx, name, err)
	if err != nil {
		return // any of them may have been committed: the next pass sees
	}
	var done []stream.Partition
	for p, s := range steps {
		err := failed[p]
		if hasMembers(err) {
			k.ran(name)
			continue
		}
		k.refusedAt(ctx, name, p, err)
		if err != nil {
			continue
		}
		k.marks[name][p] = committed(k.marks[name][p], s.want.down)
		done = append(done, p)
	}
	k.tellMoved(name, steps, done)
}

// tellMoved notes the old offsets: one event for a group, and one for each partition that was set back.
func (k *Keeper) tellMoved(name string, steps map[stream.Partition]step, done []stream.Partition) {
	if len(done) == 0 {
		return
	}
	slices.SortFunc(done, comparePartitions)
	counts, records := map[move]int{}, int64(0)
	created := 0
	for _, p := range done {
		s := steps[p]
		counts[s.move]++
		switch {
		case s.move == back:
			k.news.tell(stream.Info, "set a group back on the target, as it was reset at the source", stream.F("group", name),
				stream.F("topic", p.Topic), stream.F("partition", p.Number), stream.F("old", s.old.Offset), stream.F("new", int64(s.want.down)))
		case s.has:
			records += int64(s.want.down) - s.old.Offset
		default:
			created++
		}
	}
	k.news.tell(stream.Info, "synced a group to the target", stream.F("group", name), stream.F("new", created),
		stream.F("forward", counts[forward]-created), stream.F("back", counts[back]), stream.F("records", records))
	k.mu.Lock()
	defer k.mu.Unlock()
	k.standing.Committed += int64(len(done))
}

func (k *Keeper) refused(ctx context.Context, name string, err error) {
	k.news.trouble(ctx, "sync "+name, stream.Warn, "offsets of a group could not be synced; the next pass tries again: "+name, err)
}

func (k *Keeper) refusedAt(ctx context.Context, name string, p stream.Partition, err error) {
	k.news.trouble(ctx, fmt.Sprintf("sync %s %s", name, p), stream.Warn,
		fmt.Sprintf("an offset could not be synced; the next pass tries again: %s at %s", name, p), err)
}

func hasMembers(err error) bool {
	code, ok := stream.CodeOf(err)
	return ok && slices.Contains([]stream.Code{codeIllegalGeneration, codeUnknownMemberID, codeRebalanceInProcess, codeStaleMemberEpoch}, code)
}
