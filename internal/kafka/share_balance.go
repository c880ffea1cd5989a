package kafka

import (
	"cmp"
	"slices"
	"strings"

	"tandem/internal/stream"
)

// candidate is a member as the leader of the group sees it when it divides the partitions.
type candidate struct {
	id         string
	instance   string
	generation int32            // the last one in which the member was given partitions, -1: none
	counts     map[string]int32 // wanted topics, and how many partitions the member has seen there
	keep       []stream.Partition
	going      []stream.Partition // still held, but about to be let go
}

// share is a member's part.
type share struct {
	given   []stream.Partition // sorted
	pending int                // partitions that it still holds and that wait for it, to be another's
}

// isDuties says that partition 0 of a topic stands for what is done once for a flow: Tandem's own topic, which is not
// copied to. It counts for nothing beside partitions that are copied.
func isDuties(topic string) bool {
	return strings.HasPrefix(topic, "mm2-tandem.") && strings.HasSuffix(topic, ".internal")
}

// balance divides the partitions of all wanted topics among the members that want them. Partitions stay where they are as
// far as counts allow: no partition can be moved from a member to another who wants it and has fewer by two or more.
// Topics that all members want, and those that only some do, are divided each for themselves: a new topic is seen by one
// process first, and what it then has more than others must not drive partitions away from it that run.
// A partition that moves is given to nobody while the one who had it holds it.
func balance(members []candidate) []share {
	d := newDivision(members)
	var duties []stream.Partition
	for _, p := range d.free() {
		if isDuties(p.Topic) {
			duties = append(duties, p)
		} else {
			d.give(p, d.poorest(p.Topic))
		}
	}
	for c := range topicClasses {
		for d.move(c) {
		}
	}
	for _, p := range duties {
		d.give(p, d.poorest(p.Topic))
	}
	return d.shares()
}

// division is a balance in the making.
type division struct {
	members []candidate
	ranked  []int // members by instance and id, so that ties are broken in the same way each time
	counts  map[string]int32
	topics  []string // sorted
	owner   map[stream.Partition]int
	holders map[stream.Partition][]int
	common  map[string]bool                 // topics that all want who want any
	load    [topicClasses][]int             // by class and member; duties do not count
	owned   []map[string][]stream.Partition // by member and topic; without duties
}

// Topics are divided in two classes: those that some members want, and those that all want.
const topicClasses = 2

func (d *division) class(topic string) int {
	if d.common[topic] {
		return 1
	}
	return 0
}

func newDivision(members []candidate) *division {
	d := &division{
		members: members, counts: map[string]int32{}, common: map[string]bool{},
		owner: map[stream.Partition]int{}, holders: map[stream.Partition][]int{},
		owned: make([]map[string][]stream.Partition, len(members)), ranked: make([]int, len(members)),
	}
	for c := range d.load {
		d.load[c] = make([]int, len(members))
	}
	wanting, wantedBy := 0, map[string]int{}
	for i := range members {
		d.ranked[i], d.owned[i] = i, map[string][]stream.Partition{}
		if len(members[i].counts) > 0 {
			wanting++
		}
		for topic, n := range members[i].counts {
			d.counts[topic] = max(d.counts[topic], n)
			wantedBy[topic]++
		}
	}
	for topic, n := range wantedBy {
		d.common[topic] = n == wanting
	}
	slices.SortFunc(d.ranked, func(a, b int) int {
		return cmp.Or(strings.Compare(members[a].instance, members[b].instance), strings.Compare(members[a].id, members[b].id))
	})
	d.hold()
	for topic, n := range d.counts {
		if isDuties(topic) {
			d.counts[topic] = min(n, 1)
		}
		d.topics = append(d.topics, topic)
	}
	slices.Sort(d.topics)
	d.keep()
	return d
}

// hold notes who holds what. What somebody holds exists, whatever metadata says at this moment.
func (d *division) hold() {
	for _, i := range d.ranked {
		for _, held := range [][]stream.Partition{d.members[i].keep, d.members[i].going} {
			for _, p := range held {
				d.holders[p] = append(d.holders[p], i)
				if n, ok := d.counts[p.Topic]; ok {
					d.counts[p.Topic] = max(n, p.Number+1)
				}
			}
		}
	}
}

// keep leaves partitions where they are. Of two members that claim one, which cannot be unless one slept through a round, the one
// with the later generation has it.
func (d *division) keep() {
	for _, i := range d.ranked {
		for _, p := range d.members[i].keep {
			if _, wanted := d.members[i].counts[p.Topic]; !wanted || p.Number >= d.counts[p.Topic] {
				continue
			}
			other, taken := d.owner[p]
			if taken && d.members[other].generation >= d.members[i].generation {
				continue
			}
			d.owner[p] = i
		}
	}
	for p, i := range d.owner {
		d.count(p, i)
	}
	for i := range d.owned { // the order of a map must not decide
		for _, held := range d.owned[i] {
			slices.SortFunc(held, comparePartitions)
		}
	}
}

func (d *division) count(p stream.Partition, i int) {
	if !isDuties(p.Topic) {
		d.load[d.class(p.Topic)][i]++
		d.owned[i][p.Topic] = append(d.owned[i][p.Topic], p)
	}
}

func (d *division) give(p stream.Partition, i int) {
	d.owner[p] = i
	d.count(p, i)
}

// free lists the partitions that nobody keeps, in order.
func (d *division) free() []stream.Partition {
	var free []stream.Partition
	for _, topic := range d.topics {
		for n := range d.counts[topic] {
			p := stream.Partition{Topic: topic, Number: n}
			if _, ok := d.owner[p]; !ok {
				free = append(free, p)
			}
		}
	}
	return free
}

// poorest is the member with the least load that wants a topic; of several, the one with the fewest partitions of it.
func (d *division) poorest(topic string) int {
	best := -1
	for _, i := range d.ranked {
		if _, wanted := d.members[i].counts[topic]; !wanted {
			continue
		}
		if best < 0 || d.fewer(i, best, topic) {
			best = i
		}
	}
	return best // a topic is only here because somebody wants it
}

// fewer compares what members have of a topic's class, of both, and of the topic.
func (d *division) fewer(a, b int, topic string) bool {
	load, other := d.load[d.class(topic)], d.load[1-d.class(topic)]
	return cmp.Or(load[a]-load[b], load[a]+other[a]-load[b]-other[b], len(d.owned[a][topic])-len(d.owned[b][topic])) < 0
}

// move takes one partition from a member to one that has fewer by two or more. It is of the topic that is divided most unevenly
// between the two: a new topic that one member was the first to want is spread, and older ones stay.
func (d *division) move(class int) bool {
	load := d.load[class]
	byLoad := slices.Clone(d.ranked)
	slices.SortStableFunc(byLoad, func(a, b int) int { return load[a] - load[b] })
	for _, from := range slices.Backward(byLoad) {
		for _, to := range byLoad {
			if load[from]-load[to] < 2 {
				break
			}
			if topic, ok := d.uneven(from, to, class); ok {
				p := d.take(from, topic)
				d.give(p, to)
				return true
			}
		}
	}
	return false
}

func (d *division) uneven(from, to, class int) (topic string, ok bool) {
	most := 0
	for t, owned := range d.owned[from] {
		if _, wanted := d.members[to].counts[t]; !wanted || len(owned) == 0 || d.class(t) != class {
			continue
		}
		more := len(owned) - len(d.owned[to][t])
		if !ok || more > most || more == most && t < topic {
			topic, most, ok = t, more, true
		}
	}
	return topic, ok
}

// take takes a partition of a topic from a member: one that it does not hold yet if there is one, else the last.
func (d *division) take(from int, topic string) stream.Partition {
	owned := d.owned[from][topic]
	at := slices.IndexFunc(owned, func(p stream.Partition) bool { return !slices.Contains(d.holders[p], from) })
	if at < 0 {
		at = len(owned) - 1
	}
	p := owned[at]
	d.owned[from][topic] = slices.Delete(owned, at, at+1)
	d.load[d.class(topic)][from]--
	return p
}

// shares withholds what another member has not let go yet.
func (d *division) shares() []share {
	shares := make([]share, len(d.members))
	for p, i := range d.owner {
		if holders := d.holders[p]; len(holders) > 0 && !slices.Contains(holders, i) {
			for _, h := range holders {
				shares[h].pending++
			}
			continue
		}
		shares[i].given = append(shares[i].given, p)
	}
	for i := range shares {
		slices.SortFunc(shares[i].given, comparePartitions)
	}
	return shares
}
