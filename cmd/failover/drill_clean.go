package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tandem/internal/drill"
	"tandem/internal/failover"
	"tandem/internal/stream"
)

// ours says that a record of the flow's topic is of a drill of this flow: of its groups, or of its plans.
func (r *rehearsal) ours(key []byte) bool {
	if plan, ok := failover.PlanOf(key); ok {
		return strings.HasPrefix(plan, r.plans)
	}
	return len(key) > 4 && key[0] == stream.TandemVersion && key[1] == stream.KindGroup && strings.HasPrefix(string(key[4:]), r.prefix)
}

// takeBack writes tombstones, those of heads of failovers before those of their parts.
func (r *rehearsal) takeBack(ctx context.Context, l left) error {
	var list []stream.Record
	for _, key := range slices.Sorted(maps.Keys(l.keys)) { // the head has number 0
		list = append(list, stream.Record{Key: []byte(key)})
	}
	out := &notes{admin: r.toAdmin, flow: r.flow}
	if err := out.Write(ctx, list); err != nil {
		return r.look.away(r.to, err)
	}
	return nil
}

func stepOf(name string, began time.Time, detail string) []drill.Step {
	return []drill.Step{{Name: name, Seconds: time.Since(began).Seconds(), Passed: true, Detail: detail}}
}

// clean takes away all that the drill has made, and notes what it could not. The groups go first where they came from. With group sync it
// then waits until mirror has seen that, while the failover is still in force and keeps the sync from them: else it might bring them back
// on the target.
func (r *rehearsal) clean(ctx context.Context) {
	r.line.Show("clean up ...")
	began := time.Now()
	whole := ctx
	ctx, cancel := untilClean(ctx)
	defer cancel()
	var trouble error
	try := func(err error) {
		if trouble == nil {
			trouble = err
		}
	}
	try(r.deleteGroups(ctx, r.from, r.fromAdmin, nil))
	if r.flow.Checkpoints.Enabled && r.flow.GroupSync.Interval > 0 && whole.Err() == nil {
		r.unnoted(ctx)
	}
	try(r.undo(ctx))
	l, err := r.leftovers(ctx)
	try(err)
	try(r.sweep(ctx, l))
	l, err = r.leftovers(ctx)
	try(err)
	r.remains(l, err)
	s := drill.Step{Name: "clean up", Seconds: time.Since(began).Seconds(), Passed: len(r.report.Remaining) == 0, Detail: "nothing is left on either cluster"}
	if !s.Passed {
		s.Detail = "not everything could be taken away"
		if trouble != nil {
			s.Detail += ": " + trouble.Error()
		}
		r.fail("", "%s", s.Detail)
	}
	r.report.Steps = append(r.report.Steps, s)
}

// unnoted waits until mirror has taken back what it noted of the groups, as long as it may take it.
func (r *rehearsal) unnoted(ctx context.Context) {
	marks := r.marks
	if marks == nil {
		marks = r.newMarks()
	}
	for deadline := time.Now().Add(min(r.noticed(), cleanWait/2)); time.Now().Before(deadline) && ctx.Err() == nil; pause(ctx, 300*time.Millisecond) {
		if err := marks.read(ctx, r.toAdmin); err != nil {
			return // whatever it is, the next step says it
		}
		if !slices.ContainsFunc(r.names, func(name string) bool { _, noted := marks.known.Groups[name]; return noted }) {
			return
		}
	}
}

// undo puts back what apply did, as failover undo does.
func (r *rehearsal) undo(ctx context.Context) error {
	if r.desk == nil {
		return nil
	}
	if err := r.desk.prepare(ctx); err != nil {
		return err
	}
	if r.desk.done == nil || r.desk.done.State == failover.Undone {
		return nil
	}
	out, err := r.desk.mover.Undo(ctx, r.plan, *r.desk.done)
	for _, f := range out.Failed {
		r.fail("group "+f.Group, "undo: %s", f.Reason)
	}
	return err
}

// remains lists what is left, with what takes it away.
func (r *rehearsal) remains(l left, failed error) {
	again := fmt.Sprintf("failover drill %s --from %s --to %s", r.conf.Path, r.from, r.to)
	if failed != nil {
		r.report.Remaining = append(r.report.Remaining, fmt.Sprintf("perhaps groups %s* on %s and %s: %s", r.prefix, r.from, r.to, again))
		return
	}
	for _, side := range []struct {
		alias  string
		groups []string
	}{{r.from, l.from}, {r.to, l.to}} {
		for _, g := range side.groups {
			props, _ := r.properties(side.alias)
			r.report.Remaining = append(r.report.Remaining, fmt.Sprintf("kafka-consumer-groups.sh --bootstrap-server %s --delete --group %s", props["bootstrap.servers"], g))
		}
	}
	if len(l.keys) > 0 {
		r.report.Remaining = append(r.report.Remaining, fmt.Sprintf("%d records in %s on %s: %s", len(l.keys), stream.TandemTopic(r.from), r.to, again))
	}
}
