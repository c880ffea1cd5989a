package failover

import (
	"context"
	"fmt"
	"time"

	"tandem/internal/stream"
)

// align moves all positions back to one time: no record from then on is left out by one group or in one partition that
// another has. Positions only ever move back.
func (m *maker) align(ctx context.Context) error {
	at := m.s.AlignAt
	if at.IsZero() {
		lowest, err := m.lowestTime(ctx)
		if err != nil {
			return err
		}
		if at = lowest; at.IsZero() {
			m.warn("nothing to align: every group is at the end of every partition")
			return nil
		}
	}
	at = at.UTC().Truncate(time.Millisecond) // as Kafka keeps them
	m.plan.Align = &at
	first, err := m.s.Times.After(ctx, m.remotes(), at)
	if err != nil {
		return fmt.Errorf("find the records of %s on %s: %w", at.Format(time.RFC3339Nano), m.s.Rules.To, err)
	}
	for g := range m.plan.Groups {
		for i := range m.plan.Groups[g].Positions {
			p := &m.plan.Groups[g].Positions[i]
			if offset, ok := first[p.RemotePartition()]; ok && offset >= 0 && offset < p.New {
				p.Again += p.New - offset
				p.New = offset
				p.Reason = join(p.Reason, "moved back to "+at.Format(time.RFC3339Nano))
			}
		}
	}
	return nil
}

// lowestTime is the time of the earliest record that some group has not read; zero where all have read all.
func (m *maker) lowestTime(ctx context.Context) (time.Time, error) {
	var lowest time.Time
	seen := make(map[Place]bool)
	var places []Place
	for _, g := range m.plan.Groups {
		for _, p := range g.Positions {
			at := Place{p.RemotePartition(), p.New}
			if !seen[at] && p.New < m.s.To.Ends[at.Partition] {
				seen[at] = true
				places = append(places, at)
			}
		}
	}
	times, err := m.s.Times.Timestamps(ctx, places)
	if err != nil {
		return lowest, fmt.Errorf("read the times of records on %s: %w", m.s.Rules.To, err)
	}
	for _, t := range times {
		if !t.IsZero() && (lowest.IsZero() || t.Before(lowest)) {
			lowest = t
		}
	}
	return lowest, nil
}

func (m *maker) remotes() []stream.Partition {
	seen := make(map[stream.Partition]bool)
	var all []stream.Partition
	for _, g := range m.plan.Groups {
		for _, p := range g.Positions {
			if r := p.RemotePartition(); !seen[r] {
				seen[r] = true
				all = append(all, r)
			}
		}
	}
	return all
}

func join(reason, more string) string {
	if reason == "" {
		return more
	}
	return reason + ", " + more
}
