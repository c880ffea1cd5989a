package failover

import (
	"context"
	"maps"
	"slices"
	"time"

	"tandem/internal/stream"
)

// Status is how a flow stands: what would be lost and where groups would go on, were it to fail over now.
type Status struct {
	Flow       string        `json:"flow"`
	At         time.Time     `json:"at"`
	From       Side          `json:"from"`
	To         Side          `json:"to"`
	Lag        int64         `json:"lag"`         // records, over all partitions whose end is known
	LagSeconds float64       `json:"lag_seconds"` // the largest; -1 where it is not known of some partition
	Warnings   []string      `json:"warnings"`
	InForce    []Force       `json:"in_force"`
	Over       []Force       `json:"over"` // failovers and ways back that are not in force, oldest first
	Partitions []Partition   `json:"partitions"`
	Groups     []GroupStatus `json:"groups"`
}

// Force is a failover or a way back that the flow's topic tells of.
type Force struct {
	Plan   string    `json:"plan"`
	Kind   Kind      `json:"kind"`
	From   string    `json:"from"`
	To     string    `json:"to"`
	Mode   Mode      `json:"mode"`
	State  State     `json:"state"`
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	Groups int       `json:"groups"`
}

// GroupStatus counts the positions of a group by class.
type GroupStatus struct {
	Group   string    `json:"group"`
	Seen    time.Time `json:"seen"`
	Exact   int       `json:"exact"`
	Clamped int       `json:"clamped"`
	Ahead   int       `json:"ahead"`
	Unknown int       `json:"unknown"`
	Again   int64     `json:"again"` // records that would be read again, at most
	Inexact []Inexact `json:"inexact"`
}

// Inexact is a position that is not exact.
type Inexact struct {
	Topic  string `json:"topic"`
	Number int32  `json:"partition"`
	Source int64  `json:"source"`
	Class  string `json:"class"`
	Again  int64  `json:"again"`
	Reason string `json:"reason"`
}

// Look tells how a flow stands.
func Look(ctx context.Context, s Situation) (Status, error) {
	m := maker{s: &s, legs: make(map[stream.Partition]Leg), used: make(map[stream.Partition]bool)}
	for _, l := range s.Legs {
		m.legs[l.From] = l
	}
	out := Status{Flow: s.Rules.From + "->" + s.Rules.To, At: s.Now.UTC(), InForce: []Force{}, Over: []Force{}, Groups: []GroupStatus{},
		From: Side{Alias: s.Rules.From, ClusterID: s.From.ClusterID, Live: s.From.Live, Away: s.From.Away},
		To:   Side{Alias: s.Rules.To, ClusterID: s.To.ClusterID, Live: true}}
	for _, r := range s.Failovers {
		f := Force{r.Plan, r.Kind, r.From, r.To, r.Mode, r.State, r.At, r.By, len(r.Groups)}
		if r.inForce() {
			out.InForce = append(out.InForce, f)
		} else {
			out.Over = append(out.Over, f)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(s.From.Groups)) {
		g, err := m.standing(ctx, s.From.Groups[id])
		if err != nil {
			return out, err
		}
		if g.Exact+g.Clamped+g.Ahead+g.Unknown > 0 {
			out.Groups = append(out.Groups, g)
		}
	}
	m.partitions()
	out.Partitions = m.plan.Partitions
	for _, p := range out.Partitions {
		if out.Lag += p.Lost; p.LostSeconds < 0 || out.LagSeconds < 0 {
			out.LagSeconds = -1
		} else {
			out.LagSeconds = max(out.LagSeconds, p.LostSeconds)
		}
	}
	out.Warnings = append(append([]string{}, s.Notes...), m.plan.Warnings...)
	return out, nil
}

func (m *maker) standing(ctx context.Context, known stream.GroupOffsets) (GroupStatus, error) {
	g := GroupStatus{Group: known.Group, Seen: known.At.UTC(), Inexact: []Inexact{}}
	for _, p := range sorted(known.Offsets) {
		leg, ok := m.legs[p]
		if !ok {
			continue
		}
		m.used[p] = true
		found := unknown(m.s.Rules.To + " does not have " + leg.To.String())
		if m.s.To.has(leg.To) {
			var err error
			if found, err = m.s.locate(ctx, known.Group, leg, known.Offsets[p].Offset); err != nil {
				return g, err
			}
		}
		switch found.class {
		case stream.Exact:
			g.Exact++
		case stream.Clamped:
			g.Clamped++
		case stream.Ahead:
			g.Ahead++
		default:
			g.Unknown++
		}
		g.Again += found.again
		if found.class != stream.Exact {
			g.Inexact = append(g.Inexact, Inexact{p.Topic, p.Number, known.Offsets[p].Offset, found.class.String(), found.again, found.reason})
		}
	}
	return g, nil
}
