package failover

import (
	"cmp"
	"slices"

	"tandem/internal/policy"
	"tandem/internal/stream"
)

// Way says how a partition of From is found on To.
type Way string

// The ways.
const (
	Mirrored Way = "mirrored" // the flow From->To copies it
	Home     Way = "home"     // it is a copy from To
	Both     Way = "both"     // one name on both sides, mirrored in both directions
)

// Rules say which topics of From are to be found on To, and under which name.
type Rules struct {
	From, To string // aliases

	// The flow From->To. Replicates is nil where there is none.
	Policy     policy.Policy
	Replicates func(topic string) bool

	// The flow To->From, which may have brought topics of To to From. HomeReplicates is nil where there is none.
	HomePolicy     policy.Policy
	HomeReplicates func(topic string) bool

	Chosen func(topic string) bool // of the topics on From; nil is all
}

// Leg is a partition of From and its place on To.
type Leg struct {
	From stream.Partition
	To   stream.Partition
	Way  Way
}

// find names the topic on To; false where a topic has no place there. A topic that was mirrored from To and has To's alias in
// its name is at home there.
func (r Rules) find(topic string) (to string, way Way, ok bool) {
	if r.HomeReplicates != nil && !r.HomePolicy.IsInternalTopic(topic) {
		if source, named := r.HomePolicy.TopicSource(topic); named && source == r.To {
			if up, copied := r.HomePolicy.UpstreamTopic(topic); copied && r.HomeReplicates(up) {
				to, way, ok = up, Home, true
			}
		}
	}
	if r.Replicates != nil && r.Replicates(topic) {
		remote := r.Policy.RemoteTopic(r.From, topic)
		switch {
		case !ok:
			return remote, Mirrored, true
		case remote == to:
			return to, Both, true
		}
	}
	return to, way, ok
}

// skipped says that a topic is none of the plan's business: internal, a heartbeat, or not chosen.
func (r Rules) skipped(topic string) bool {
	p := r.Policy
	if r.Replicates == nil {
		p = r.HomePolicy
	}
	return p.IsInternalTopic(topic) || p.IsHeartbeatsTopic(topic) || r.Chosen != nil && !r.Chosen(topic)
}

// Legs finds the chosen partitions of From on To, in the order of names. Those that have no place there are left out.
func (r Rules) Legs(partitions []stream.Partition) []Leg {
	var legs []Leg
	names := make(map[string]Leg) // by topic
	for _, p := range partitions {
		leg, seen := names[p.Topic]
		if !seen {
			if to, way, ok := r.find(p.Topic); ok && !r.skipped(p.Topic) {
				leg = Leg{To: stream.Partition{Topic: to}, Way: way}
			}
			names[p.Topic] = leg
		}
		if leg.Way == "" {
			continue
		}
		leg.From, leg.To.Number = p, p.Number
		legs = append(legs, leg)
	}
	slices.SortFunc(legs, func(a, b Leg) int { return compare(a.From, b.From) })
	return slices.Compact(legs)
}

func compare(a, b stream.Partition) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Number, b.Number))
}
