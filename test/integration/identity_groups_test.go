package integration

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"tandem/internal/failover"
	"tandem/internal/stream"
)

// crossing writes to both sides in turn while mirror copies, so that the records stand in another order on each.
func crossing(a, b side, topic, label string, chunks int) (names []string) {
	for n := range chunks {
		for i, s := range []side{a, b} {
			origin := "AB"[i : i+1]
			var list []*kgo.Record
			for p := range pairPartitions {
				for i := range 1 + (n+p)%9 {
					value := fmt.Sprintf("%s %s %d %d", label, origin, n, i)
					list = append(list, &kgo.Record{Partition: int32(p), Value: []byte(value)})
					names = append(names, fmt.Sprintf("%s/%d: %s", topic, p, value))
				}
			}
			s.write(topic, list)
		}
	}
	return names
}

// order is what stands where in a topic.
type order map[stream.Partition][]placed

func orderOf(s side, topic string) order {
	o := order{}
	for p, list := range s.read(topic) {
		at := stream.Partition{Topic: topic, Number: int32(p)}
		for _, r := range list {
			o[at] = append(o[at], placed{r.Offset, string(r.Value)})
		}
	}
	return o
}

// unread is the offset at To of the first record that a group has not read, which stands at an offset of From; the end of the
// log where it has read all. again is how many records behind that it has read.
func unread(from, to order, p stream.Partition, offset, end int64) (first, again int64) {
	read := map[string]bool{}
	for _, r := range from[p] {
		if r.offset < offset {
			read[r.value] = true
		}
	}
	first = end
	for _, r := range to[p] {
		if !read[r.value] && first == end {
			first = r.offset
		}
		if read[r.value] && first < r.offset {
			again++
		}
	}
	return first, again
}

// Groups of a two-way pair go over and back: nothing is skipped, and what is read again is what has crossed.
func TestIdentityGroupsThereAndBack(t *testing.T) { thereAndBack(t, "swap", 2, false) }

// The mirror of a two-way pair is killed while both sides are written to, and again when it has just caught up: it has noted
// where it began, and no more. A plan made then counts the rest, and skips nothing.
func TestIdentityGroupsMirrorKilledTwice(t *testing.T) { thereAndBack(t, "twice", 4, true) }

// thereAndBack moves a group between the sides so many times; with dead, there is no mirror when a plan is made and applied.
func thereAndBack(t *testing.T, alias string, rounds int, dead bool) {
	a, b := clusters(t)
	if long() {
		rounds = 20
	}
	topic, group := alias+"-orders", alias+"-app"
	a.create(topic, pairPartitions, 1, nil)
	b.create(topic, pairPartitions, 1, nil)
	properties := twoWay(alias, a, b)
	file := propertiesFile(t, properties)
	m := startMirror(t, properties)
	m.waitFor("replicating 2 partitions", alias+"->"+alias+"B")
	m.waitFor("replicating 2 partitions", alias+"B->"+alias)
	random := rand.New(rand.NewPCG(*seed, 11))
	t.Logf("-seed %d", *seed)
	book, home := newLedger(), bare()
	var names []string
	mayRepeat := 0
	sides := []side{a, b}
	here, there := sides[0], sides[1]
	aliases := []string{alias, alias + "B"}
	for round := range rounds {
		names = append(names, crossing(a, b, topic, fmt.Sprint(round), 12)...)
		if round%2 == 1 {
			m.Kill()
			names = append(names, crossing(a, b, topic, fmt.Sprintf("%d, killed", round), 4)...)
			m = startMirror(t, properties)
		}
		for _, s := range sides {
			m.until("both sides to have all", s.holds(topic, int64(len(names))))
		}
		handleSome(here, group, topic, book, random)

		if dead {
			m.Kill()
		}
		plan := filepath.Join(t.TempDir(), "plan.json")
		args := []string{"plan", file, "--from", aliases[round%2], "--to", aliases[1-round%2], "--json", "--out", plan}
		apply := []string{"apply", plan}
		if round%2 == 0 {
			args = append(args, "--mode", "controlled")
		} else {
			args, apply = append([]string{"back"}, args...), append([]string{"back"}, apply...)
		}
		out := runFailover(t, args...).must(t)
		mayRepeat += checkPlan(t, planOf(t, out.stdout), here, there, topic)
		runFailover(t, apply...).must(t)
		here, there = there, here
		if dead {
			m = startMirror(t, properties)
		}
	}
	c := consume(here, group, book, home, topic)
	eventually(t, "all to be handled", func() error {
		if lost, _ := book.judge(names); len(lost) > 0 {
			return fmt.Errorf("%d are not: %s", len(lost), some(lost))
		}
		return nil
	})
	c.end(t)
	m.stop()
	again := book.total() - len(names)
	t.Logf("%d records, %d read again of %d that the plans allowed", len(names), again, mayRepeat)
	if again > mayRepeat {
		t.Errorf("%d read again of %d, and the plans allowed %d", again, len(names), mayRepeat)
	}
}

// handleSome handles some records of each partition from where the group stands, and commits.
func handleSome(s side, group, topic string, book *ledger, random *rand.Rand) {
	at := s.committed(group)
	offsets := map[stream.Partition]int64{}
	for p, list := range orderOf(s, topic) {
		end := list[len(list)-1].offset + 1
		to := at[p] + random.Int64N(end-at[p]+1)
		if random.IntN(4) == 0 {
			to = end
		}
		for _, r := range list {
			if r.offset >= at[p] && r.offset < to {
				book.note(fmt.Sprintf("%s: %s", p, r.value))
			}
		}
		offsets[p] = to
	}
	s.commit(group, offsets)
}

// checkPlan wants each position at the first record that was not read.
func checkPlan(t *testing.T, p failover.Plan, from, to side, topic string) (again int) {
	t.Helper()
	was, is := orderOf(from, topic), orderOf(to, topic)
	ends, err := to.ends(topic)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range p.Groups {
		for _, x := range g.Positions {
			at := stream.Partition{Topic: x.Topic, Number: x.Number}
			first, twice := unread(was, is, at, x.Source, ends[x.Number])
			t.Logf("%s %s: %d -> %d (%s %q), again %d; the first unread is %d, %d again", p.Kind, at, x.Source, x.New, x.Class, x.Reason, x.Again, first, twice)
			if x.New > first {
				t.Errorf("%s: %d skips, the first that was not read is %d", at, x.New, first)
			}
			if x.Again < twice {
				t.Errorf("%s: the plan allows %d to be read again, and %d are", at, x.Again, twice)
			}
			again += int(x.Again)
		}
	}
	return again
}

// Offsets that are synced skip nothing on either side of a two-way pair.
func TestIdentityGroupSync(t *testing.T) {
	a, b := clusters(t)
	for _, c := range []struct {
		name, alias string
		processes   [][]string
	}{
		{"one process", "follow", [][]string{nil}},
		{"a process for each direction", "follows", [][]string{{"--clusters", "follows"}, {"--clusters", "followsB"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := on(t, a.Cluster), on(t, b.Cluster)
			topic := c.alias + "-orders"
			a.create(topic, pairPartitions, 1, nil)
			b.create(topic, pairPartitions, 1, nil)
			properties := twoWay(c.alias, a, b) + "sync.group.offsets.enabled = true\nsync.group.offsets.interval.seconds = 1\n"
			mirrors := make([]*mirrorProcess, len(c.processes))
			for i, args := range c.processes {
				mirrors[i] = startMirror(t, properties, args...)
				mirrors[i].waitFor("replicating 2 partitions")
			}
			m := mirrors[0]
			names := crossing(a, b, topic, "first", 20)
			for _, s := range []side{a, b} {
				m.until("both sides to have all", s.holds(topic, int64(len(names))))
			}
			atA, atB := orderOf(a, topic), orderOf(b, topic)
			endsA, _ := a.ends(topic)
			endsB, _ := b.ends(topic)
			random := rand.New(rand.NewPCG(*seed, 12))
			t.Logf("-seed %d", *seed)
			const groups = 20
			want := map[string]map[stream.Partition]int64{}
			for g := range groups {
				group, offsets := fmt.Sprintf("%s-%d", c.alias, g), map[stream.Partition]int64{}
				want[group] = map[stream.Partition]int64{}
				from, was, is, fromEnds, toEnds := a, atA, atB, endsA, endsB
				if g%2 == 1 {
					from, was, is, fromEnds, toEnds = b, atB, atA, endsB, endsA
				}
				for p := range pairPartitions {
					at := stream.Partition{Topic: topic, Number: int32(p)}
					offsets[at] = 1 + random.Int64N(fromEnds[p])
					if g < 4 {
						offsets[at] = fromEnds[p]
					}
					want[group][at], _ = unread(was, is, at, offsets[at], toEnds[p])
				}
				from.commit(group, offsets)
			}
			m.until("all groups to be synced", func() (missing error) {
				for g := range groups {
					group, to, name := fmt.Sprintf("%s-%d", c.alias, g), b, "B"
					if g%2 == 1 {
						to, name = a, "A"
					}
					got := to.committed(group)
					for at, offset := range want[group] {
						if got[at] > offset {
							t.Fatalf("%s at %s of %s stands at %d, and the first that it has not read is %d", group, at, name, got[at], offset)
						}
						if _, ok := got[at]; !ok || got[at] != offset {
							missing = fmt.Errorf("%s at %s of %s stands at %d, want %d", group, at, name, got[at], offset)
						}
					}
				}
				return missing
			})
			for _, m := range mirrors {
				m.stop()
			}
		})
	}
}
