package integration

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
)

// TestIdentityGroupsMirrorKilledTwice: the mirror of a two-way pair is killed while both sides are written to, and again when it
// has just caught up: it has noted where it began, and no more. A plan made then counts the rest, and skips nothing.
func TestIdentityGroupsMirrorKilledTwice(t *testing.T) {
	a, b := clusters(t)
	rounds := 4
	if long() {
		rounds = 20
	}
	const alias, topic, group = "twice", "twice-orders", "twice-app"
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

		m.Kill()
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
		m = startMirror(t, properties)
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
