package kafka

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"tandem/internal/stream"
)

// actor is a process of a simulated group. It holds partitions, and lets those go that it has lost when the test says so.
type actor struct {
	id    string
	wants map[string]bool
	goal  partitionSet
	held  partitionSet
}

func (a *actor) candidate(topics map[string]int32, generation int32) candidate {
	c := candidate{id: a.id, generation: generation, counts: map[string]int32{}, keep: a.goal.sorted(), going: a.held.without(a.goal).sorted()}
	for t := range a.wants {
		c.counts[t] = topics[t]
	}
	return c
}

// group is a simulated group: rounds are the balancer's, everything else is as dumb as can be.
type group struct {
	t      *testing.T
	actors []*actor
	topics map[string]int32
	round  int32
	slow   func() bool // whether an actor takes its time to let go
}

// divide runs one round and checks what must hold in each.
func (g *group) divide() (pending bool) {
	g.t.Helper()
	g.round++
	var members []candidate
	for _, a := range g.actors {
		members = append(members, a.candidate(g.topics, g.round-1))
	}
	shares := balance(members)
	holders := map[stream.Partition]string{}
	for _, a := range g.actors {
		for p := range a.held {
			if other, ok := holders[p]; ok {
				g.t.Fatalf("round %d: %s is held by %s and %s", g.round, p, other, a.id)
			}
			holders[p] = a.id
		}
	}
	given := map[stream.Partition]string{}
	for i, a := range g.actors {
		for _, p := range shares[i].given {
			if other, ok := given[p]; ok {
				g.t.Fatalf("round %d: %s is given to %s and %s", g.round, p, other, a.id)
			}
			given[p] = a.id
			if h, ok := holders[p]; ok && h != a.id {
				g.t.Fatalf("round %d: %s is given to %s, %s still holds it", g.round, p, a.id, h)
			}
			if !a.wants[p.Topic] {
				g.t.Fatalf("round %d: %s does not want %s", g.round, a.id, p)
			}
		}
		a.goal = setOf(shares[i].given)
		pending = pending || shares[i].pending > 0
	}
	for _, a := range g.actors {
		lost := a.held.without(a.goal)
		for p := range lost {
			if !g.slow() {
				delete(a.held, p)
			}
		}
		maps.Copy(a.held, a.goal)
	}
	return pending
}

// settle runs rounds until nobody waits for anybody, and then checks that the division is right.
func (g *group) settle() {
	g.t.Helper()
	g.slow = func() bool { return false }
	for n := 0; g.divide(); n++ {
		if n > 3 {
			g.t.Fatal("the division does not come to rest")
		}
	}
	type part struct {
		a      *actor
		common bool
	}
	common := func(topic string) bool {
		return !slices.ContainsFunc(g.actors, func(a *actor) bool { return len(a.wants) > 0 && !a.wants[topic] })
	}
	owner, load := map[stream.Partition]*actor{}, map[part]int{}
	for _, a := range g.actors {
		for p := range a.goal {
			owner[p] = a
			if !isDuties(p.Topic) {
				load[part{a, common(p.Topic)}]++
			}
		}
	}
	for topic, n := range g.topics {
		if isDuties(topic) {
			n = 1
		}
		wanted := slices.ContainsFunc(g.actors, func(a *actor) bool { return a.wants[topic] })
		for i := range n {
			if _, ok := owner[stream.Partition{Topic: topic, Number: i}]; ok != wanted {
				g.t.Fatalf("%s/%d has an owner: %v, somebody wants it: %v", topic, i, ok, wanted)
			}
		}
	}
	for p, a := range owner {
		for _, b := range g.actors {
			has, other := load[part{a, common(p.Topic)}], load[part{b, common(p.Topic)}]
			if b.wants[p.Topic] && !isDuties(p.Topic) && has-other > 1 {
				g.t.Fatalf("%s has %d and %s has %d, and wants %s", a.id, has, b.id, other, p)
			}
		}
	}
	before := g.owners()
	g.divide()
	if !maps.Equal(before, g.owners()) {
		g.t.Fatal("a round without a reason moves partitions")
	}
}

func (g *group) owners() map[stream.Partition]string {
	owners := map[stream.Partition]string{}
	for _, a := range g.actors {
		for p := range a.goal {
			owners[p] = a.id
		}
	}
	return owners
}

// leastMoves is how many held partitions have to move, at least, when all members want all topics: those above what a member may
// have, where the members with most may have one more.
func (g *group) leastMoves() int {
	total, loads := 0, []int{}
	for topic, n := range g.topics {
		if !isDuties(topic) {
			total += int(n)
		}
	}
	for _, a := range g.actors {
		n := 0
		for p := range a.held {
			if !isDuties(p.Topic) {
				n++
			}
		}
		loads = append(loads, n)
	}
	slices.Sort(loads)
	slices.Reverse(loads)
	moves := 0
	for i, n := range loads {
		may := total / len(loads)
		if i < total%len(loads) {
			may++
		}
		moves += max(0, n-may)
	}
	return moves
}

func TestBalanceOnRandomHistories(t *testing.T) {
	for seed := range uint64(120) {
		r := rand.New(rand.NewPCG(seed, 1))
		g := &group{t: t, topics: map[string]int32{"mm2-tandem.A.internal": 1 + r.Int32N(3)}}
		alike := r.IntN(2) == 0 // all members want all topics
		for step := range 25 {
			before := g.owners()
			switch n := r.IntN(10); {
			case n < 3 || len(g.actors) == 0: // join
				a := &actor{id: fmt.Sprintf("m%d", r.IntN(1000)*100+step), wants: map[string]bool{}, goal: partitionSet{}, held: partitionSet{}}
				g.actors = append(g.actors, a)
			case n < 5 && len(g.actors) > 1: // leave, or be found dead
				i := r.IntN(len(g.actors))
				g.actors = slices.Delete(g.actors, i, i+1)
			case n < 8: // a topic is made, or grows
				g.topics[fmt.Sprintf("A.t%d", r.IntN(8))] += 1 + r.Int32N(6)
			default: // somebody else sees other topics
				if a := g.actors[r.IntN(len(g.actors))]; !alike {
					a.wants = map[string]bool{}
				}
			}
			for _, a := range g.actors {
				for topic := range g.topics {
					if alike || r.IntN(2) == 0 {
						a.wants[topic] = true
					}
				}
			}
			least := g.leastMoves()
			g.slow = func() bool { return r.IntN(3) == 0 }
			g.divide()
			if r.IntN(3) == 0 {
				g.divide() // a round while partitions are being let go
			}
			g.settle()
			if !alike {
				continue
			}
			alive, moved := map[string]bool{}, 0
			for _, a := range g.actors {
				alive[a.id] = true
			}
			for p, now := range g.owners() {
				if was, ok := before[p]; ok && alive[was] && was != now {
					moved++
					if isDuties(p.Topic) {
						t.Fatalf("seed %d: the duties moved from %s, who is there", seed, was)
					}
				}
			}
			if moved != least {
				t.Fatalf("seed %d, step %d: %d partitions moved, %d had to", seed, step, moved, least)
			}
		}
	}
}

func TestBalanceOfTwoThatClaimOnePartition(t *testing.T) {
	p := stream.Partition{Topic: "A.orders", Number: 0}
	counts := map[string]int32{"A.orders": 1}
	shares := balance([]candidate{
		{id: "a", generation: 4, counts: counts, keep: []stream.Partition{p}},
		{id: "b", generation: 7, counts: counts, keep: []stream.Partition{p}},
	})
	if len(shares[0].given) != 0 || len(shares[1].given) != 1 {
		t.Errorf("given %v and %v; the one with the later generation has it", shares[0].given, shares[1].given)
	}
}

// A new topic is wanted by one process first. What the others then take from it is of that topic.
func TestBalanceOfATopicThatIsNewToOneMemberFirst(t *testing.T) {
	g := &group{t: t, topics: map[string]int32{"A.old": 48}, slow: func() bool { return false }}
	for i := range 3 {
		g.actors = append(g.actors, &actor{id: fmt.Sprint(i), wants: map[string]bool{"A.old": true}, goal: partitionSet{}, held: partitionSet{}})
	}
	g.settle()
	before := g.owners()
	g.topics["A.very-new"] = 12
	for _, a := range g.actors {
		a.wants["A.very-new"] = true
		g.settle()
	}
	for p, id := range before {
		if now := g.owners()[p]; now != id {
			t.Errorf("%s moved from %s to %s for a new topic", p, id, now)
		}
	}
}

// A whole target of the size that one flow may have is divided in a moment.
func TestBalanceOfManyPartitions(t *testing.T) {
	g := &group{t: t, topics: map[string]int32{}, slow: func() bool { return false }}
	for i := range 1000 {
		g.topics[fmt.Sprintf("A.topic-%d", i)] = 10
	}
	for i := range 8 {
		a := &actor{id: fmt.Sprint(i), wants: map[string]bool{}, goal: partitionSet{}, held: partitionSet{}}
		for topic := range g.topics {
			a.wants[topic] = true
		}
		g.actors = append(g.actors, a)
		if i > 5 {
			g.settle()
		}
	}
}
