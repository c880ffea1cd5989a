package checkpoint

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"tandem/internal/stream"
)

// mostListed bounds how many groups are listed one by one.
const mostListed = 200

// GroupStanding is where one group stood in the last round.
type GroupStanding struct {
	Group                          string
	Exact, Clamped, Ahead, Unknown int    // its partitions, by the class of their translation
	Note                           string // about the worst of them
}

// worst orders groups: unknown places first, those ahead, and those that are not exact.
func (g GroupStanding) worst(other GroupStanding) int {
	return cmp.Or(cmp.Compare(other.Unknown, g.Unknown), cmp.Compare(other.Ahead, g.Ahead), cmp.Compare(other.Clamped, g.Clamped),
		cmp.Compare(g.Group, other.Group))
}

// Listed are the groups as of the last round, the worst first; at most 200.
func (k *Keeper) Listed() []GroupStanding {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.listing
}

// standingOf counts the positions of a group, and says why the worst of them is as it is.
func standingOf(name string, g *group) (s GroupStanding, reason string) {
	s.Group = name
	var worst stream.Class
	for p, at := range g.positions {
		if at.got.Class > worst {
			worst, reason, s.Note = at.got.Class, at.got.Reason, p.String()
			if reason != "" {
				s.Note += ": " + reason
			}
		}
		switch at.got.Class {
		case stream.Exact:
			s.Exact++
		case stream.Clamped:
			s.Clamped++
		case stream.Ahead:
			s.Ahead++
		default:
			s.Unknown++
		}
	}
	return s, reason
}

// Latency is how long it took from the look at a group to its checkpoint, as MM2 measures it: the last one, and what there was within
// the last minute, at least half of it.
type Latency struct {
	Group               string
	Remote              stream.Partition
	Last, Min, Max, Avg time.Duration
}

// latency gathers for a Latency: two samples of half a minute each, as Kafka's statistics have them.
type latency struct {
	last      time.Duration
	began     time.Time // of now
	now, then sample
}

type sample struct {
	n             int
	sum, min, max time.Duration
}

const sampleFor = 30 * time.Second

func (l *latency) add(at time.Time, d time.Duration) {
	l.turn(at)
	l.last = d
	s := &l.now
	if s.n == 0 {
		s.min, s.max = d, d
	}
	s.n, s.sum, s.min, s.max = s.n+1, s.sum+d, min(s.min, d), max(s.max, d)
}

// turn begins a new sample where the last one is old.
func (l *latency) turn(at time.Time) {
	switch age := at.Sub(l.began); {
	case age >= 2*sampleFor:
		l.then, l.now, l.began = sample{}, sample{}, at
	case age >= sampleFor:
		l.then, l.now, l.began = l.now, sample{}, at
	}
}

// Latencies are those of checkpoints that were written in the last minute, by group, topic and partition; at most so many.
func (k *Keeper) Latencies(most int) (all []Latency) {
	k.mu.Lock()
	defer k.mu.Unlock()
	at := time.Now()
	for _, group := range slices.Sorted(maps.Keys(k.latencies)) {
		of := k.latencies[group]
		for _, remote := range slices.SortedFunc(maps.Keys(of), comparePartitions) {
			l := of[remote]
			l.turn(at)
			n := l.now.n + l.then.n
			if n == 0 {
				delete(of, remote)
				continue
			}
			if len(all) == most {
				return all
			}
			least, greatest := l.now.min, max(l.now.max, l.then.max)
			if l.now.n == 0 || l.then.n > 0 && l.then.min < least {
				least = l.then.min
			}
			all = append(all, Latency{
				Group: group, Remote: remote, Last: l.last, Min: least, Max: greatest, Avg: (l.now.sum + l.then.sum) / time.Duration(n),
			})
		}
		if len(of) == 0 {
			delete(k.latencies, group)
		}
	}
	return all
}

// took notes that checkpoints were written. The lock is held.
func (k *Keeper) took(checkpoints []stream.Checkpoint) {
	at := time.Now()
	for _, c := range checkpoints {
		of := k.latencies[c.Group]
		if of == nil {
			of = map[stream.Partition]*latency{}
			k.latencies[c.Group] = of
		}
		l := of[c.Remote]
		if l == nil {
			l = &latency{began: at}
			of[c.Remote] = l
		}
		l.add(at, at.Sub(c.At))
	}
}
