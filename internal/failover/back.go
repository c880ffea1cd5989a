package failover

import (
	"slices"

	"tandem/internal/stream"
)

// Stretch is part of a partition: offsets From <= o < To.
type Stretch struct {
	stream.Partition
	From, To int64
}

// Diverged finds what the cluster that groups return to holds and the one that they leave never got: from where the mirroring
// of the last failover ended, or from where it is now if it went on since, to the end of the log. Partitions of which neither
// is known are in the second list.
func (s *Situation) Diverged() (beyond []Stretch, unknown []stream.Partition) {
	for _, leg := range s.Legs {
		if leg.Way == Mirrored || !s.To.has(leg.To) {
			continue
		}
		mirrored := boundary(s.Failovers, leg.To)
		if s.Home != nil {
			if up, _, ok := s.Home.Covered(leg.From); ok {
				mirrored = max(mirrored, int64(up))
			}
		}
		if mirrored < 0 {
			unknown = append(unknown, leg.To)
			continue
		}
		if from, end := max(mirrored, s.To.Starts[leg.To]), s.To.Ends[leg.To]; from < end {
			beyond = append(beyond, Stretch{leg.To, from, end})
		}
	}
	return beyond, unknown
}

// boundary is where a partition was mirrored to at the last failover; -1 if none tells.
func boundary(failovers []Record, p stream.Partition) int64 {
	for _, r := range slices.Backward(failovers) {
		if r.Kind != Over || r.State == Undone {
			continue
		}
		for _, b := range r.Boundaries {
			if b.Partition() == p {
				return b.Mirrored
			}
		}
	}
	return -1
}
