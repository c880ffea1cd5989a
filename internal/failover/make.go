package failover

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tandem/internal/stream"
)

// Make plans. An error means that the maps or the clock of the target's log could not be read; whatever else stands in the
// way is among the plan's blockers.
func Make(ctx context.Context, s Situation) (Plan, error) {
	m := maker{s: &s, plan: Plan{
		Version: PlanVersion, ID: s.ID, Kind: s.Kind, Mode: s.Mode, Created: s.Now.UTC(), Config: s.Config,
		From:         Side{Alias: s.Rules.From, ClusterID: s.From.ClusterID, Live: s.From.Live, Away: s.From.Away},
		To:           Side{Alias: s.Rules.To, ClusterID: s.To.ClusterID, Live: true},
		AllowUnknown: s.AllowUnknown, Blockers: []Blocker{}, Warnings: append([]string{}, s.Notes...), Divergence: s.Divergence,
	}, legs: make(map[stream.Partition]Leg), used: make(map[stream.Partition]bool)}
	for _, l := range s.Legs {
		m.legs[l.From] = l
	}
	for _, what := range s.Obstacles {
		m.block("%s", what)
	}
	m.mode()
	if err := m.groups(ctx); err != nil {
		return Plan{}, err
	}
	if s.Align {
		if err := m.align(ctx); err != nil {
			return Plan{}, err
		}
	}
	m.partitions()
	m.inexact()
	if s.Kind == Back {
		m.completes()
	}
	if len(m.plan.Groups) == 0 && len(m.plan.Blockers) == 0 {
		m.block("no group was chosen that has committed offsets in the chosen topics of %s; look at --groups, --topics, and groups in %s", s.Rules.From, s.Config)
	}
	m.plan.seal()
	return m.plan, nil
}

// maker is a plan in the making.
type maker struct {
	s    *Situation
	plan Plan
	legs map[stream.Partition]Leg  // by partition of From
	used map[stream.Partition]bool // partitions of From in which a group has a position
}

func (m *maker) block(format string, args ...any) {
	m.plan.Blockers = append(m.plan.Blockers, Blocker{What: fmt.Sprintf(format, args...)})
}

func (m *maker) hold(format string, args ...any) {
	m.plan.Blockers = append(m.plan.Blockers, Blocker{What: fmt.Sprintf(format, args...), Passing: true})
}

func (m *maker) warn(format string, args ...any) {
	m.plan.Warnings = append(m.plan.Warnings, fmt.Sprintf(format, args...))
}

// mode settles on one. That a cluster is lost is for a person to say: it is not taken from a cluster that does not answer.
func (m *maker) mode() {
	s := m.s
	from := s.Rules.From
	if m.plan.Mode == "" {
		if m.plan.Mode = Controlled; !s.From.Live {
			m.plan.Mode = Disaster
			m.block("%s does not answer (%s): if it is lost, plan again with --mode disaster", from, s.From.Away)
		}
		return
	}
	if m.plan.Mode == Controlled && !s.From.Live {
		m.block("%s does not answer (%s): a controlled move needs both clusters; if it is lost, plan again with --mode disaster", from, s.From.Away)
	}
}

// groups finds the position of every group.
func (m *maker) groups(ctx context.Context) error {
	s := m.s
	for _, id := range slices.Sorted(maps.Keys(s.From.Groups)) {
		known := s.From.Groups[id]
		g := Group{Group: id, Seen: known.At.UTC()}
		left := make(map[string]bool) // topics without a place on To
		for _, p := range slices.SortedFunc(maps.Keys(known.Offsets), compare) {
			leg, ok := m.legs[p]
			if !ok {
				if !s.Rules.skipped(p.Topic) && !left[p.Topic] {
					left[p.Topic] = true
					m.stays(id, p.Topic)
				}
				continue
			}
			m.used[p] = true
			position, ok, err := m.position(ctx, id, leg, known.Offsets[p])
			if err != nil {
				return err
			}
			if ok {
				g.Positions = append(g.Positions, position)
			}
		}
		if len(g.Positions) == 0 {
			continue
		}
		m.plan.Groups = append(m.plan.Groups, g)
		m.live(id)
		m.moved(id)
	}
	return nil
}

// stays is for a topic of From that has no place on To.
func (m *maker) stays(group, topic string) {
	from, to := m.s.Rules.From, m.s.Rules.To
	if m.s.Kind == Back {
		what := fmt.Sprintf("group %s has positions in %s of %s, which no flow %s->%s replicates: what was written to it on %s is not on %s; enable the flow, or leave the topic out with --topics",
			group, topic, from, from, to, from, to)
		if n := len(m.plan.Blockers); n == 0 || m.plan.Blockers[n-1].What != what { // once for all partitions
			m.block("%s", what)
		}
		return
	}
	m.warn("group %s has positions in %s of %s, which no flow %s->%s replicates: they stay there", group, topic, from, from, to)
}

// position is the group's in one partition; false where it is left out.
func (m *maker) position(ctx context.Context, group string, leg Leg, at stream.Committed) (Position, bool, error) {
	s := m.s
	if !s.To.has(leg.To) {
		m.leaveOut("%s does not have partition %s, where group %s is to go on after offset %d of %s", s.Rules.To, leg.To, group, at.Offset, leg.From)
		return Position{}, false, nil
	}
	found, err := s.locate(ctx, group, leg, at.Offset)
	if err != nil {
		return Position{}, false, err
	}
	if found.class == stream.Unknown {
		m.leaveOut("group %s: offset %d of %s has no known place in %s of %s (%s)", group, at.Offset, leg.From, leg.To, s.Rules.To, found.reason)
		return Position{}, false, nil
	}
	p := Position{Topic: leg.From.Topic, Number: leg.From.Number, Remote: leg.To.Topic, Source: at.Offset,
		New: found.at, Note: at.Metadata, Class: found.class.String(), Again: found.again, Reason: found.reason}
	if old, ok := s.To.Offsets[group][leg.To]; ok {
		p.Old, p.OldNote = &old.Offset, old.Metadata
	}
	if s.Kind == Back && leg.Way == Home && leg.From.Topic == leg.To.Topic && found.class == stream.Ahead {
		// One name on both sides: behind what was mirrored stands what was written on From.
		m.stays(group, leg.From.Topic)
		return p, true, nil
	}
	if found.class != stream.Exact && !found.gone {
		p.blocksWhy = cmp.Or(found.reason, found.class.String())
	}
	return p, true, nil
}

func (m *maker) leaveOut(format string, args ...any) {
	if m.s.AllowUnknown {
		m.warn(format+": left out (--allow-unknown)", args...)
		return
	}
	format += "; wait for the mirror, leave the topic out with --topics, or such partitions with --allow-unknown"
	if m.plan.Mode == Controlled && m.s.From.Live { // a mirror that runs may know it in a moment
		m.hold(format, args...)
		return
	}
	m.block(format, args...)
}

// live blocks a plan that would move the offsets of running consumers.
func (m *maker) live(group string) {
	s := m.s
	if g, ok := s.To.States[group]; ok && g.Live() {
		m.block("group %s has members on %s (state %s): stop its consumers there", group, s.Rules.To, stateOf(g))
	}
	g, ok := s.From.States[group]
	if !s.From.Live || ok && !g.Live() {
		return
	}
	if m.plan.Mode == Controlled {
		m.block("group %s has members on %s (state %s): stop its consumers, then plan again", group, s.Rules.From, stateOf(g))
		return
	}
	m.warn("group %s has members on %s (state %s): what they handle from now on is read again on %s", group, s.Rules.From, stateOf(g), s.Rules.To)
}

func stateOf(g stream.Group) string { return cmp.Or(g.State, "unknown") }

// moved blocks a second failover of a group: its offsets on From are those from before the first.
func (m *maker) moved(group string) {
	if m.s.Kind == Back {
		return
	}
	for _, r := range InForce(m.s.Failovers) {
		if !r.has(group) {
			continue
		}
		if r.State == Applying {
			m.block("group %s is being moved by plan %s (%s, %s), which is not finished: run failover apply with that plan again, or failover undo", group, r.Plan, r.At.UTC().Format(time.RFC3339), r.By)
		} else {
			m.block("group %s was moved to %s by plan %s (%s, %s): run failover back, or failover undo", group, r.To, r.Plan, r.At.UTC().Format(time.RFC3339), r.By)
		}
	}
}

// partitions tells what is mirrored of each partition and what would be lost.
func (m *maker) partitions() {
	s := m.s
	for _, leg := range s.Legs {
		if leg.Way == Home && !m.used[leg.From] {
			continue
		}
		p := Partition{Topic: leg.From.Topic, Number: leg.From.Number, Remote: leg.To.Topic, Way: leg.Way,
			SourceEnd: -1, Mirrored: -1, RemoteEnd: -1}
		if id := s.To.Topics[leg.To.Topic].ID; id != (stream.TopicID{}) {
			p.RemoteID = hex.EncodeToString(id[:])
		}
		if s.To.has(leg.To) {
			p.RemoteEnd = s.To.Ends[leg.To]
		} else if !m.used[leg.From] {
			m.warn("%s does not have partition %s: nothing of %s is there", s.Rules.To, leg.To, leg.From)
		}
		if leg.Way != Home {
			m.loss(leg, &p)
		}
		m.plan.Partitions = append(m.plan.Partitions, p)
	}
}

func (m *maker) loss(leg Leg, p *Partition) {
	s := m.s
	if s.Map != nil {
		if up, _, ok := s.Map.Covered(leg.To); ok {
			_, _, records := s.tail(leg)
			p.Mirrored = int64(up) + records // at least: each record has an offset of its own
		}
	}
	end, known := s.From.Ends[leg.From]
	if !known {
		if m.used[leg.From] {
			m.warn("where %s of %s ended was never seen: what is lost of it cannot be told", leg.From, s.Rules.From)
		}
		return
	}
	p.Mirrored = max(p.Mirrored, int64(end.Acked))
	p.SourceEnd = int64(end.End)
	switch {
	case !s.From.Live: // it was seen before the last records were mirrored
		p.SourceEnd = max(p.SourceEnd, p.Mirrored)
	case p.SourceEnd < p.Mirrored:
		m.warn("%s of %s ends at %d, and is mirrored up to %d: its log was cut, or the topic made anew; see what mirror says of it", leg.From, s.Rules.From, p.SourceEnd, p.Mirrored)
	}
	at := end.At.UTC()
	p.Seen = &at
	p.Lost = max(0, p.SourceEnd-max(p.Mirrored, s.From.Starts[leg.From]))
	if p.Lost == 0 {
		return
	}
	if p.LostSeconds = -1; !end.Newest.IsZero() {
		p.LostSeconds = max(0, end.At.Sub(end.Newest).Round(time.Millisecond).Seconds())
	}
	if m.plan.Mode == Controlled {
		m.hold("%s of %s has %d records that are not on %s yet: wait until the mirror has caught up, then plan again", leg.From, s.Rules.From, p.Lost, s.Rules.To)
	}
}

// inexact blocks a controlled plan that would not go on at the exact record.
func (m *maker) inexact() {
	if m.plan.Mode != Controlled {
		return
	}
	for _, g := range m.plan.Groups {
		for _, p := range g.Positions {
			if p.blocksWhy != "" {
				m.hold("group %s: offset %d of %s/%d is %s on %s (%s): wait until the mirror knows the exact place, or plan with --mode disaster",
					g.Group, p.Source, p.Topic, p.Number, p.Class, m.s.Rules.To, p.blocksWhy)
			}
		}
	}
}

// completes finds the failovers whose last groups return with this plan. A group that has no offsets left on From has nothing
// to return.
func (m *maker) completes() {
	returned := make(map[string]bool)
	for _, g := range m.plan.Groups {
		returned[g.Group] = true
	}
	for _, r := range m.s.Returning {
		m.plan.Returns = append(m.plan.Returns, r.Plan)
		var missing []string
		for _, g := range r.Groups {
			if !returned[g.Group] && m.s.Standing[g.Group] && !m.cameBack(r, g.Group) {
				missing = append(missing, g.Group)
			}
		}
		if len(missing) == 0 {
			m.plan.Completes = append(m.plan.Completes, r.Plan)
			continue
		}
		m.warn("failover %s stays in force: %d of its groups are not in this plan (%s)", r.Plan, len(missing), shorten(missing))
	}
}

// cameBack says whether an earlier way back brought the group home from the failover.
func (m *maker) cameBack(r Record, group string) bool {
	return slices.ContainsFunc(m.s.Failovers, func(b Record) bool {
		return b.Kind == Back && b.State == Applied && slices.Contains(b.Returns, r.Plan) && b.has(group)
	})
}

// shorten lists names, some of them when they are many.
func shorten(names []string) string {
	const some = 5
	if len(names) > some {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:some], ", "), len(names)-some)
	}
	return strings.Join(names, ", ")
}
