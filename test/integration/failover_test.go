package integration

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"tandem/internal/checkpoint"
	"tandem/internal/failover"
	"tandem/internal/stream"
	"tandem/internal/testkit/realkafka"
)

const failoverProperties = oneBroker + quiet + `
clusters = %[1]s, %[1]sB
%[1]s.bootstrap.servers = %[2]s
%[1]sB.bootstrap.servers = %[3]s
%[1]s->%[1]sB.enabled = true
%[1]s->%[1]sB.topics = %[1]s-.*
%[1]s->%[1]sB.groups = %[1]s-.*
emit.checkpoints.interval.seconds = 1
`

// writtenNames are the ledger's names of all records of a numbered topic.
func writtenNames(w *writer) (names []string) {
	for p, n := range w.acked {
		for i := range n {
			names = append(names, fmt.Sprintf("%s/%d: %d", w.topic, p, i))
		}
	}
	return names
}

// planOf reads the plan that was printed with --json.
func planOf(t *testing.T, out string) (p failover.Plan) {
	t.Helper()
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		t.Fatalf("read plan: %v\n%s", err, out)
	}
	return p
}

// A planned switch: consumers stop at A, and go on at B with the very next record.
func TestPlannedSwitch(t *testing.T) {
	a, b := clusters(t)
	a.create("switch-orders", 4, 1, nil)
	properties := fmt.Sprintf(failoverProperties, "switch", a.Bootstrap, b.Bootstrap)
	m := startMirror(t, properties)
	w := startWriter(a, "switch-orders", 4)
	books, home := map[string]*ledger{"switch-fast": newLedger(), "switch-slow": newLedger()}, bare("switch")
	var consumers []*consumer
	for group, book := range books {
		consumers = append(consumers, consume(a, group, book, home, "switch-orders"))
	}
	books["switch-slow"].handles(t, 5_000)
	for _, c := range consumers {
		c.end(t)
	}
	w.grows(10_000) // the groups lag
	written := w.end()
	m.until("the rest", b.reaches("switch.switch-orders", written))

	file, plan := propertiesFile(t, properties), filepath.Join(t.TempDir(), "plan.json")
	out := runFailover(t, "plan", file, "--from", "switch", "--to", "switchB", "--mode", "controlled", "--out", plan).must(t)
	for _, want := range []string{"switch-fast", "switch-slow", "exact"} {
		if !strings.Contains(out.stdout, want) {
			t.Errorf("the plan does not speak of %q:\n%s", want, out.stdout)
		}
	}
	runFailover(t, "apply", plan).must(t)
	for group, book := range books {
		c := consume(b, group, book, home, "switch.switch-orders")
		eventually(t, "the rest to be handled by "+group, func() error {
			if n := book.total(); n < int(written) {
				return fmt.Errorf("%d of %d", n, written)
			}
			return nil
		})
		c.end(t)
		if lost, repeated := book.judge(writtenNames(w)); len(lost) > 0 || len(repeated) > 0 {
			t.Errorf("%s: %d lost, %d repeated of %d", group, len(lost), len(repeated), written)
		}
	}
	t.Run("a second apply writes nothing", func(t *testing.T) {
		if again := runFailover(t, "apply", plan); again.status == 2 {
			t.Errorf("exit status %d\n%s%s", again.status, again.stdout, again.stderr)
		}
	})
	m.stop()
}

// The primary dies under load, and all that is left is B.
func TestDeadPrimary(t *testing.T) {
	_, b := clusters(t)
	primary := realkafka.Start(t, realkafka.Options{Config: brokerConfig})
	a := on(t, primary)
	for _, c := range []struct {
		name       string
		mirrorDies bool
	}{{"the mirror lives", false}, {"the mirror dies too", true}} {
		t.Run(c.name, func(t *testing.T) {
			alias := map[bool]string{false: "dead", true: "deader"}[c.mirrorDies]
			a, b := on(t, a.Cluster), on(t, b.Cluster)
			topic, remote := alias+"-orders", alias+"."+alias+"-orders"
			a.create(topic, 2, 1, nil)
			properties := fmt.Sprintf(failoverProperties, alias, a.Bootstrap, b.Bootstrap)
			m := startMirror(t, properties)
			w := startWriter(a, topic, 2)
			book, home := newLedger(), bare(alias)
			group := alias + "-app"
			reader := consume(a, group, book, home, topic)
			book.handles(t, 20_000)
			eventually(t, "a checkpoint", func() error {
				if len(lastCheckpoints(t, b, alias, group)) < 2 {
					return fmt.Errorf("not of both partitions")
				}
				return nil
			})
			primary.Kill(0)
			if c.mirrorDies {
				m.Kill()
			}
			w.stop()
			reader.stop()
			<-reader.done // its last commits have failed
			handledBefore := book.total()
			checkpoints := lastCheckpoints(t, b, alias, group)

			file, plan := propertiesFile(t, properties), filepath.Join(t.TempDir(), "plan.json")
			out := runFailover(t, "plan", file, "--from", alias, "--to", alias+"B", "--mode", "disaster", "--json", "--out", plan).must(t)
			runFailover(t, "apply", plan).must(t)
			p := planOf(t, out.stdout)

			mirrored, err := b.ends(remote)
			if err != nil {
				t.Fatal(err)
			}
			moved := consume(b, group, book, home, remote)
			allOfB := 0
			for _, n := range mirrored {
				allOfB += int(n)
			}
			eventually(t, "all that B has to be handled", func() error {
				book.mu.Lock()
				defer book.mu.Unlock()
				for n, end := range mirrored {
					for i := range end {
						if book.handled[fmt.Sprintf("%s/%d: %d", topic, n, i)] == 0 {
							return fmt.Errorf("%s/%d: %d is not", topic, n, i)
						}
					}
				}
				return nil
			})
			moved.end(t)
			book.mu.Lock()
			repeated := 0
			for _, n := range book.handled {
				repeated += n - 1
			}
			book.mu.Unlock()
			since := handledBefore
			for _, cp := range checkpoints {
				since -= int(cp.Up)
			}
			if repeated > since {
				t.Errorf("%d records were read again, and %d had been handled since the last checkpoint", repeated, since)
			}
			t.Logf("%d of %d records read again, %d since the last checkpoint", repeated, allOfB, since)

			// What is lost: the ledger counts what A had acknowledged. What A took in after it was last heard of nobody can know.
			if err := primary.Restart(0); err != nil {
				t.Fatal(err)
			}
			var truth []int64
			eventually(t, "A to answer", func() (err error) { truth, err = a.ends(topic); return err })
			for _, part := range p.Partitions {
				lost := truth[part.Number] - mirrored[part.Number]
				unknown := truth[part.Number] - part.SourceEnd
				if part.Lost+unknown != lost || part.Lost < 0 || part.Lost > lost {
					t.Errorf("%s/%d: the plan says %d lost up to %d, and %d are: A ends at %d, B has %d", part.Topic, part.Number, part.Lost, part.SourceEnd, lost, truth[part.Number], mirrored[part.Number])
				}
				if limit := int64(ratePerSecond * 3); unknown > limit {
					t.Errorf("%s/%d: %d records were written after A was last seen", part.Topic, part.Number, unknown)
				}
			}
		})
	}
}

// The loss that a plan prints is the loss of the ledger, to the record: a partition that was held is known to be behind.
func TestLossIsTold(t *testing.T) {
	_, b := clusters(t)
	primary := realkafka.Start(t, realkafka.Options{Config: brokerConfig})
	a := on(t, primary)
	const topic, remote = "loss-orders", "loss.loss-orders"
	a.create(topic, 2, 1, map[string]string{"max.message.bytes": "4000000"})
	properties := fmt.Sprintf(failoverProperties, "loss", a.Bootstrap, b.Bootstrap) + "sync.topic.configs.enabled = false\n"
	m := startMirror(t, properties)
	a.write(topic, toPartition(0, numbered(500)))
	a.write(topic, toPartition(1, numbered(700)))
	m.until("the first records", b.holds(remote, 1200))
	b.configure(remote, map[string]string{"max.message.bytes": "20000"})
	a.write(topic, []*kgo.Record{{Partition: 1, Value: make([]byte, 30_000)}}, kgo.ProducerBatchMaxBytes(1<<20))
	m.waitFor("is held at offset 700")
	a.write(topic, toPartition(1, numbered(41)))
	a.commit("loss-app", map[stream.Partition]int64{{Topic: topic, Number: 0}: 123, {Topic: topic, Number: 1}: 742})
	file := propertiesFile(t, properties)
	m.until("the end of A to be noted on B", func() error { // a held partition is not read, and its end is asked for every five seconds
		known := checkpoint.NewKnown()
		for _, r := range b.read("mm2-tandem.loss.internal")[0] {
			if err := known.TakeTandem(stream.Record{Key: r.Key, Value: r.Value, Timestamp: r.Timestamp}); err != nil {
				return err
			}
		}
		if end := known.Ends()[stream.Partition{Topic: topic, Number: 1}].End; end != 742 {
			return fmt.Errorf("it is %d", end)
		}
		return nil
	})
	eventually(t, "a checkpoint", func() error {
		if c := lastCheckpoints(t, b, "loss", "loss-app"); len(c) < 2 {
			return fmt.Errorf("%v", c)
		}
		return nil
	})
	primary.Kill(0)
	m.Kill()
	out := runFailover(t, "plan", file, "--from", "loss", "--to", "lossB", "--mode", "disaster", "--json")
	lost := map[int32]int64{}
	for _, part := range planOf(t, out.must(t).stdout).Partitions {
		lost[part.Number] = part.Lost
	}
	if lost[0] != 0 || lost[1] != 42 {
		t.Errorf("lost %v, want 42 of partition 1\n%s", lost, out.stdout)
	}
	for _, g := range planOf(t, out.stdout).Groups {
		for _, x := range g.Positions {
			if want := map[int32]int64{0: 123, 1: 700}[x.Number]; x.New != want {
				t.Errorf("%s goes on at %d of partition %d, want %d", g.Group, x.New, x.Number, want)
			}
		}
	}
}

// lastCheckpoints are the newest checkpoints of a group.
func lastCheckpoints(t *testing.T, b side, alias, group string) map[stream.Partition]stream.Checkpoint {
	t.Helper()
	topic, last := alias+".checkpoints.internal", map[stream.Partition]stream.Checkpoint{}
	if _, err := b.ends(topic); err != nil {
		return last
	}
	for _, r := range b.read(topic)[0] {
		if c := checkpointOf(t, r); c.Group == group {
			last[c.Remote] = c
		}
	}
	return last
}

const backProperties = oneBroker + quiet + `
clusters = back, backB
back.bootstrap.servers = %s
backB.bootstrap.servers = %s
back->backB.enabled = true
backB->back.enabled = true
topics = back-orders
groups = back-.*
emit.checkpoints.interval.seconds = 1
`

// Ten times over and back: A is given up with records that B does not have, B is written to, and the group comes home.
// Every record is handled once.
func TestBackAgain(t *testing.T) {
	a, b := clusters(t)
	const rounds = 10
	properties := fmt.Sprintf(backProperties, a.Bootstrap, b.Bootstrap)
	file := propertiesFile(t, properties)
	const topic, group = "back-orders", "back-app"
	a.create(topic, 2, 1, nil)
	b.create(topic, 2, 1, nil)
	book := newLedger()
	var names []string
	put := func(s side, label string, partition int32, records int) {
		var list []*kgo.Record
		for i := range records {
			value := fmt.Sprintf("%s %d", label, i)
			list = append(list, &kgo.Record{Partition: partition, Value: []byte(value)})
			names = append(names, fmt.Sprintf("%s/%d: %s", topic, partition, value))
		}
		s.write(topic, list)
	}
	home := bare("back", "backB")
	m := startMirror(t, properties)
	// handle lets the group handle so many records in all at one side, and stops it.
	handle := func(s side, alias string, all int) {
		t.Helper()
		c := consume(s, group, book, home, topic, alias+"."+topic)
		book.handles(t, all)
		c.end(t)
	}
	synced := func() {
		t.Helper()
		for _, way := range []struct {
			from, to side
			remote   string
		}{{a, b, "back." + topic}, {b, a, "backB." + topic}} {
			n, err := way.from.count(topic)
			if err != nil {
				t.Fatal(err)
			}
			m.until(way.remote, way.to.reaches(way.remote, n))
		}
	}
	for round := range rounds {
		label := func(what string) string { return fmt.Sprintf("round %d %s", round, what) }
		put(a, label("at A"), int32(round%2), 300)
		synced()
		handle(a, "backB", len(names)-100)

		m.Kill()
		tail := 10 + round
		before, err := a.ends(topic)
		if err != nil {
			t.Fatal(err)
		}
		put(a, label("that B never got"), 1, tail)
		plan := filepath.Join(t.TempDir(), "over.json")
		runFailover(t, "plan", file, "--from", "back", "--to", "backB", "--mode", "disaster", "--out", plan).must(t)
		runFailover(t, "apply", plan).must(t)

		m = startMirror(t, properties)
		m.waitFor("groups have failed over")
		put(b, label("at B"), 0, 200)
		handle(b, "back", len(names)-tail-50)

		returning := filepath.Join(t.TempDir(), "back.json")
		m.until("the reverse flow", a.reaches("backB."+topic, mustCount(b, topic)))
		out := runFailover(t, "back", "plan", file, "--from", "backB", "--to", "back", "--json", "--out", returning).must(t)
		p := planOf(t, out.stdout)
		want := []failover.Divergence{{Topic: topic, Number: 1, From: before[1], To: before[1] + int64(tail), Records: int64(tail)}}
		got := slices.Clone(p.Divergence)
		for i := range got {
			if got[i].First.IsZero() || got[i].Last.Before(got[i].First) {
				t.Errorf("round %d: divergence without times: %+v", round, got[i])
			}
			got[i].First, got[i].Last = want[0].First, want[0].Last
		}
		if !slices.Equal(got, want) {
			t.Fatalf("round %d: divergence %+v, want %+v", round, got, want)
		}
		runFailover(t, "back", "apply", returning).must(t)
	}
	synced() // what B never got is copied now
	c := consume(a, group, book, home, topic, "backB."+topic)
	eventually(t, "all to be handled", func() error {
		if lost, _ := book.judge(names); len(lost) > 0 {
			return fmt.Errorf("%d are not: %s", len(lost), some(lost))
		}
		return nil
	})
	c.end(t)
	m.stop()
	if lost, repeated := book.judge(names); len(lost) > 0 || len(repeated) > 0 {
		t.Errorf("%d lost, %d repeated of %d:\n%s\n%s", len(lost), len(repeated), len(names), some(lost), some(repeated))
	}
}

// some of a list are enough to know which.
func some(names []string) string {
	if len(names) > 40 {
		return strings.Join(names[:20], ", ") + " ... " + strings.Join(names[len(names)-20:], ", ")
	}
	return strings.Join(names, ", ")
}

func mustCount(s side, topic string) int64 {
	s.t.Helper()
	n, err := s.count(topic)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}
