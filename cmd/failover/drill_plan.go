package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"tandem/internal/cli"
	"tandem/internal/failover"
	"tandem/internal/policy"
	"tandem/internal/stream"
)

// draft plans the switch of the throw-away groups, as failover plan does. Producers go on at the source, so it is planned as of the moment at
// which partitions were drawn: what came later is not counted as missing.
func (r *rehearsal) draft(ctx context.Context) (string, error) {
	c, err := r.planChoice()
	if err != nil {
		return "", err
	}
	for deadline := time.Now().Add(r.noticed()); ; {
		began := time.Now()
		s, err := gather(ctx, r.pair, c)
		if err != nil {
			return "", err
		}
		for p, then := range r.look.From.Ends {
			if end, ok := s.From.Ends[p]; ok {
				end.End = min(end.End, then.End)
				s.From.Ends[p] = end
			}
		}
		s.ID = r.plans + planID(s.Now)
		if r.plan, err = failover.Make(ctx, s.Situation); err != nil {
			return "", err
		}
		r.scene, r.planned = s, time.Since(began).Seconds()
		if r.marks != nil {
			if err := r.marks.read(ctx, r.toAdmin); err != nil {
				return "", r.look.away(r.to, err)
			}
		}
		wrong, _, _ := r.wrongMarks()
		if ready := !r.plan.Passing() && wrong == 0; ready || time.Now().After(deadline) {
			break
		}
		r.line.Show("wait for the mirror: %d partitions or positions are not there yet ...", len(r.plan.Blockers)+wrong)
		if pause(ctx, time.Second); ctx.Err() != nil {
			detail, _ := r.judge() // what it waited for
			return detail, ctx.Err()
		}
	}
	r.measured("time to plan", r.planned, "seconds", "asking both clusters, reading what is noted, and planning")
	return r.judge()
}

// planChoice chooses the groups of this drill, and the topics of its partitions.
func (r *rehearsal) planChoice() (choice, error) {
	var topics []string
	for _, s := range r.spots {
		topics = append(topics, regexp.QuoteMeta(s.From.Topic))
	}
	c := choice{kind: failover.Over, mode: failover.Controlled, drill: true, countWait: r.o.countWait, line: r.line}
	var err error
	if c.topics, err = policy.NewFilter(slices.Compact(topics), nil); err != nil {
		return c, err
	}
	c.groups, err = policy.NewFilter([]string{regexp.QuoteMeta(r.prefix) + "[0-9]+"}, nil)
	return c, err
}

// judge makes sure that the plan moves every position, exactly.
func (r *rehearsal) judge() (string, error) {
	for i, b := range r.plan.Blockers {
		if i == mostOfOne {
			r.fail("", "and %d more", len(r.plan.Blockers)-i)
			break
		}
		r.fail("", "the plan is blocked: %s", b.What)
	}
	if n, where, what := r.wrongMarks(); n > 0 && !r.plan.Blocked() {
		r.fail(where, "%s (%d such checkpoints)", what, n)
	}
	planned := make(map[string]map[stream.Partition]failover.Position)
	for _, g := range r.plan.Groups {
		planned[g.Group] = make(map[stream.Partition]failover.Position)
		for _, p := range g.Positions {
			planned[g.Group][p.SourcePartition()] = p
		}
	}
	exact, gone := 0, 0
	for i, name := range r.names {
		for _, s := range r.spots {
			p, ok := planned[name][s.From]
			where := fmt.Sprintf("group %s, %s", name, s.From)
			switch {
			case !ok && !r.plan.Blocked():
				r.fail(where, "offset %d is not in the plan", s.at[i])
			case !ok:
			case p.Class == stream.Exact.String():
				exact++
			case r.expired(p):
				gone++
			case !r.plan.Blocked():
				r.fail(where, "offset %d is %s in %s: %s", p.Source, p.Class, p.RemotePartition(), p.Reason)
			}
		}
	}
	r.ended = r.plan.Blocked()
	r.measured("positions that go on at the exact record", float64(exact), "positions", fmt.Sprintf("of %d", len(r.names)*len(r.spots)))
	detail := fmt.Sprintf("%s: %d exact", cli.Counted(exact+gone, "position"), exact)
	if gone > 0 {
		detail += fmt.Sprintf(", %d where %s begins, which has deleted the place", gone, r.to)
	}
	return detail, nil
}

// expired says that a position is where the target's log begins, because the exact place is not there any more.
func (r *rehearsal) expired(p failover.Position) bool {
	start, ok := r.scene.To.Starts[p.RemotePartition()]
	return ok && p.New == start && p.Again == 0
}

// move applies the plan. In this mode the failover holds nothing at mirror; it only keeps group sync from the groups that it names.
func (r *rehearsal) move(ctx context.Context) (string, error) {
	d := &desk{plan: r.plan, pair: r.pair, line: r.line}
	if err := d.prepare(ctx); err != nil {
		return "", err
	}
	began := time.Now()
	problems, err := d.mover.Check(ctx, d.plan, nil, r.o.timeout)
	for _, p := range problems {
		r.fail("", "apply would refuse: %s", p)
	}
	if r.ended = len(problems) > 0; err != nil || r.ended {
		return "", err
	}
	r.desk = d // from now on there may be something to undo
	out, err := d.mover.Apply(ctx, d.plan, nil)
	if err != nil {
		return "", err
	}
	for _, f := range out.Failed {
		r.fail("group "+f.Group, "%s", f.Reason)
	}
	r.ended = len(out.Failed) > 0
	r.perGroup = time.Since(began).Seconds() / float64(max(1, len(d.plan.Groups)))
	r.measured("time to apply", r.perGroup, "seconds", fmt.Sprintf("a group, with looking and reading back; %s of %s each", cli.Counted(len(d.plan.Groups), "group"), cli.Counted(len(r.spots), "position")))
	r.estimate()
	return fmt.Sprintf("%s moved to %s and read back", cli.Counted(out.Changed+out.Already, "group"), r.to), nil
}

// estimate says how long the switch of all groups would take, by what was measured.
func (r *rehearsal) estimate() {
	groups := 0
	for id := range r.look.listed {
		if r.flow.Groups.Accepts(id) && !strings.HasPrefix(id, throwAway) {
			groups++
		}
	}
	r.measured("groups that a switch would move", float64(groups), "groups", "those of "+r.from+" that the flow looks after")
	r.measured("time to plan and apply for them (RTO, about)", r.planned+float64(groups)*r.perGroup, "seconds",
		fmt.Sprintf("time to plan, and %d times the time to apply for a group: an upper bound, since groups are moved several at a time; stopping and starting programs comes on top", groups))
}
