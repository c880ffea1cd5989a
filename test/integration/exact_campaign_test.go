package integration

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tandem/internal/stream"
	"tandem/internal/testkit/realkafka"
)

const exactCampaignProperties = oneBroker + quiet + `
clusters = %[1]s, %[1]sB
%[1]s.bootstrap.servers = %[2]s
%[1]sB.bootstrap.servers = %[3]s
%[1]s->%[1]sB.enabled = true
%[1]s->%[1]sB.topics = %[1]s-.*
%[1]s->%[1]sB.groups = %[1]s-.*
%[1]s.consumer.isolation.level = %[4]s
emit.checkpoints.interval.seconds = 1
topic.recreated = follow
# Remote topics are not compacted while the test reads them, and take smaller batches than the source's.
config.properties.exclude = segment\\.ms, max\\.message\\.bytes
`

// exactCampaign kills mirror under a mixed load while groups commit anywhere, and compares every checkpoint that was ever
// written with what stands on the target.
type exactCampaign struct {
	t          *testing.T
	a, b       side
	alias      string
	properties string
	kills      int
	load       *load
	random     *rand.Rand
	committed  map[commitmentOf]int64 // the last offsets of the groups
	since      map[string]int64       // older checkpoints of a topic may skip: the remote topic was made anew, or they are MM2's
	fetch      []kgo.Opt              // what mirror sees of the source
	warned     map[string]bool
}

type commitmentOf struct {
	group     string
	partition stream.Partition
}

func newExactCampaign(t *testing.T, a, b side, alias, isolation string, kinds []kind) *exactCampaign {
	t.Helper()
	t.Logf("%d kills, -seed %d", *kills, *seed)
	c := &exactCampaign{t: t, a: a, b: b, alias: alias, kills: *kills, random: rand.New(rand.NewPCG(*seed, 7)),
		properties: fmt.Sprintf(exactCampaignProperties, alias, a.Bootstrap, b.Bootstrap, isolation),
		committed:  map[commitmentOf]int64{}, since: map[string]int64{}, warned: map[string]bool{}}
	if isolation == "read_committed" {
		c.fetch = append(c.fetch, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	c.load = newLoad(a, b, alias, kinds, *seed)
	return c
}

// few has a campaign that takes minutes do with less, unless there is time; it tells how many records are enough.
func (c *exactCampaign) few() (records int64) {
	if long() {
		return 30_000
	}
	c.kills = min(c.kills, 1)
	return 5000
}

const campaignGroups = 40

// commit moves some groups: to any place, back, to the end of the log, beyond it.
func (c *exactCampaign) commit(groups int) {
	c.t.Helper()
	ends := map[string][]int64{}
	for range groups {
		k := c.load.kinds[c.random.IntN(len(c.load.kinds))]
		p := stream.Partition{Topic: k.topic, Number: int32(c.random.IntN(int(k.partitions)))}
		if ends[k.topic] == nil {
			var err error
			if ends[k.topic], err = c.a.ends(k.topic); err != nil {
				c.t.Fatal(err)
			}
		}
		key := commitmentOf{fmt.Sprintf("%s-%d", c.alias, c.random.IntN(campaignGroups)), p}
		end := ends[k.topic][p.Number]
		at := c.random.Int64N(end + 1)
		switch c.random.IntN(5) {
		case 0:
			at = end
		case 1:
			at = end + c.random.Int64N(30)
		case 2:
			at = max(end-c.random.Int64N(100), 0)
		case 3: // reads on
			at = c.committed[key] + c.random.Int64N(50)
		}
		c.a.commit(key.group, map[stream.Partition]int64{p: at})
		c.committed[key] = at
	}
}

// run lets mirror live and die.
func (c *exactCampaign) run(misfortunes ...func(*mirrorProcess) *mirrorProcess) {
	c.t.Helper()
	c.load.begin()
	defer c.load.end()
	for range c.kills {
		m := startMirror(c.t, c.properties)
		for range 1 + c.random.IntN(6) {
			c.load.grows(c.random.Int64N(1500))
			c.commit(5)
		}
		if len(misfortunes) > 0 && c.random.IntN(2) == 0 {
			m = misfortunes[c.random.IntN(len(misfortunes))](m)
		}
		if c.random.IntN(5) == 0 {
			m.stop()
		}
		m.Kill()
		c.look(m)
		if c.random.IntN(4) == 0 {
			c.load.grows(c.random.Int64N(3000))
		}
	}
}

// look reads the log of a mirror that has ended.
func (c *exactCampaign) look(m *mirrorProcess) {
	c.t.Helper()
	if races := m.lines("DATA RACE"); len(races) > 0 {
		c.t.Errorf("mirror races: %s", m.LogTail(80))
	}
	for _, level := range []string{`"level":"warn"`, `"level":"error"`} {
		for _, l := range m.lines(level) {
			if !c.warned[l.Msg] {
				c.warned[l.Msg] = true
				c.t.Logf("mirror says: %s", l.Text)
			}
		}
	}
}

// toldOfRepeats says that mirror could not find the place behind what a killed MM2 had copied, which the source has compacted away.
func (c *exactCampaign) toldOfRepeats(p stream.Partition) bool {
	for msg := range c.warned {
		if strings.HasPrefix(msg, p.String()+" goes on at ") && strings.Contains(msg, "what MM2 has copied since it last noted its position may come again") {
			return true
		}
	}
	return false
}

// frozen is an old process that wakes up beside its successor.
func (c *exactCampaign) frozen(m *mirrorProcess) *mirrorProcess {
	if err := m.Signal(syscall.SIGSTOP); err != nil {
		c.t.Fatal(err)
	}
	next := startMirror(c.t, c.properties)
	c.load.grows(3000)
	if err := m.Signal(syscall.SIGCONT); err != nil {
		c.t.Fatal(err)
	}
	c.load.grows(2000)
	c.commit(5)
	m.Kill()
	c.look(m)
	return next
}

// forgotten takes the map away, and the producer id with it.
func (c *exactCampaign) forgotten(m *mirrorProcess) *mirrorProcess {
	m.waitFor("replicating")
	m.Kill()
	c.look(m)
	c.b.delete("mm2-tandem." + c.alias + ".internal")
	eventually(c.t, "the topic to go", func() error {
		if _, err := c.b.describe("mm2-tandem." + c.alias + ".internal"); err == nil {
			return fmt.Errorf("still there")
		}
		return nil
	})
	m = startMirror(c.t, c.properties)
	c.load.grows(2000)
	return m
}

// shortened deletes the oldest records of a source partition, none of which mirror still needs.
func (c *exactCampaign) shortened(m *mirrorProcess) *mirrorProcess {
	k := c.load.kinds[0]
	n := c.random.IntN(int(k.partitions))
	if ends, err := c.b.ends(c.alias + "." + k.topic); err == nil && ends[n] > 100 {
		c.a.deleteRecords(k.topic, int32(n), c.random.Int64N(ends[n])) // without holes, so this many are there
	}
	c.load.grows(500)
	return m
}

// mirrored waits until all that the source still holds is on the target.
func (c *exactCampaign) mirrored(m *mirrorProcess) map[stream.Partition]*rightPlaces {
	c.t.Helper()
	for _, k := range c.load.kinds {
		source := c.a.read(k.topic, c.fetch...)
		m.until("the last records of "+k.topic, func() error {
			if _, err := c.b.ends(c.alias + "." + k.topic); err != nil {
				return err
			}
			remote := c.b.read(c.alias + "." + k.topic)
			for n, list := range source {
				if len(list) == 0 {
					continue
				}
				want := string(list[len(list)-1].Value)
				if !slices.ContainsFunc(remote[n], func(r *kgo.Record) bool { return string(r.Value) == want }) {
					return fmt.Errorf("%d records of partition %d, not %.40q", len(remote[n]), n, want)
				}
			}
			return nil
		})
	}
	all := map[stream.Partition]*rightPlaces{}
	for _, k := range c.load.kinds {
		places := c.load.ledger.places(c.b, k.topic, c.alias+"."+k.topic)
		maps.Copy(all, places)
	}
	return all
}

// keep looks at what the source still has of its compacted topics.
func (c *exactCampaign) keep(right map[stream.Partition]*rightPlaces) {
	c.t.Helper()
	for _, k := range c.load.kinds {
		if k.configs["cleanup.policy"] != "compact" {
			continue
		}
		for n, list := range c.a.read(k.topic, c.fetch...) {
			var ups []int64
			for _, r := range list {
				ups = append(ups, r.Offset)
			}
			right[stream.Partition{Topic: k.topic, Number: int32(n)}].keep(ups)
		}
	}
}

// judge wants that no checkpoint ever skipped a record, and waits until the last of each group is right to the record.
func (c *exactCampaign) judge(m *mirrorProcess, right map[stream.Partition]*rightPlaces) {
	c.t.Helper()
	all, starts := 0, map[stream.Partition]int64{}
	for _, k := range c.load.kinds {
		for n, list := range c.a.read(k.topic) {
			if len(list) > 0 {
				starts[stream.Partition{Topic: k.topic, Number: int32(n)}] = list[0].Offset
			}
		}
	}
	m.until("exact checkpoints", func() error {
		latest := map[commitmentOf]stream.Checkpoint{}
		all = 0
		written := c.b.read(c.alias + ".checkpoints.internal")[0]
		c.keep(right) // afterwards: what the source has now it had when each of them was written, and the cleaner does not wait for us
		for _, r := range written {
			cp := checkpointOf(c.t, r)
			p := stream.Partition{Topic: strings.TrimPrefix(cp.Remote.Topic, c.alias+"."), Number: cp.Remote.Number}
			if right[p] == nil {
				c.t.Fatalf("checkpoint of an unknown partition: %+v", cp)
			}
			latest[commitmentOf{cp.Group, p}] = cp
			if r.Offset < c.since[p.Topic] {
				continue
			}
			if want := right[p].last(int64(cp.Up)); int64(cp.Down) > want {
				c.t.Fatalf("checkpoint %d %+v skips records: %d is the first that was not read", r.Offset, cp, want)
			}
			all++
		}
		wrong := 0
		var one error
		for key, up := range c.committed {
			cp, ok := latest[key]
			if up < starts[key.partition] { // what the source has deleted cannot be counted any more, if it has to be
				continue
			}
			if down := int64(cp.Down); !ok || down < right[key.partition].of(up) || down > right[key.partition].last(up) {
				wrong++
				one = fmt.Errorf("%s committed %s at %d: checkpoint %+v (%v), want %d", key.group, key.partition, up, cp, ok, right[key.partition].of(up))
			}
		}
		if wrong > 0 {
			return fmt.Errorf("%d of %d are wrong: %w", wrong, len(c.committed), one)
		}
		return nil
	})
	c.t.Logf("%d checkpoints, %d positions of groups", all, len(c.committed))
}

// end lets a last mirror copy the rest, and judges; then once more after a restart, with other commits.
func (c *exactCampaign) end() {
	c.t.Helper()
	m := startMirror(c.t, c.properties)
	right := c.mirrored(m)
	c.look(m)
	for p, r := range right {
		if r.again > 0 && !c.toldOfRepeats(p) {
			c.t.Errorf("%d records of %s came again", r.again, p)
		}
	}
	c.judge(m, right)
	c.commit(60)
	c.judge(m, right)
	m.stop()
	c.look(m)
	m = startMirror(c.t, c.properties)
	c.commit(60)
	c.judge(m, right)
	m.stop()
	c.look(m)
}

// Mirror dies again and again under a mixed load: no checkpoint ever skips a record, and when all is quiet each is exact.
func TestCampaignOfOffsets(t *testing.T) {
	for i, isolation := range []string{"read_committed", "read_uncommitted"} {
		if !long() && uint64(i) != *seed%2 {
			continue
		}
		t.Run(isolation, func(t *testing.T) {
			a, b := clusters(t)
			a, b = on(t, a.Cluster), on(t, b.Cluster)
			alias := "camp" + strings.TrimPrefix(isolation, "read_")
			c := newExactCampaign(t, a, b, alias, isolation, kindsOf(alias))
			c.run(c.frozen, c.forgotten, c.shortened)
			c.end()
		})
	}
}

// The target's only broker dies with mirror, or without it, and comes back.
func TestCampaignOfOffsetsAndABroker(t *testing.T) {
	a, _ := clusters(t)
	b := on(t, realkafka.Start(t, realkafka.Options{Config: brokerConfig}))
	const alias = "campbroker"
	c := newExactCampaign(t, a, b, alias, "read_committed", kindsOf(alias))
	c.few()
	c.run(func(m *mirrorProcess) *mirrorProcess {
		b.Kill(0)
		if c.random.IntN(2) == 0 {
			m.Kill()
			c.look(m)
			m = startMirror(t, c.properties)
		}
		c.load.grows(c.random.Int64N(2000))
		if err := b.Restart(0); err != nil {
			t.Fatal(err)
		}
		c.load.grows(3000)
		return m
	})
	c.end()
}

// burden has every kind of topic written for a while.
func (c *exactCampaign) burden(m *mirrorProcess, records int64) map[stream.Partition]*rightPlaces {
	c.t.Helper()
	c.load.begin()
	c.load.grows(records)
	c.load.end()
	return c.mirrored(m)
}

// forget has nothing wanted any more of the groups at a topic until they move.
func (c *exactCampaign) forget(topic string) {
	maps.DeleteFunc(c.committed, func(of commitmentOf, _ int64) bool { return of.partition.Topic == topic })
}

func (c *exactCampaign) checkpointsEnd() int64 {
	c.t.Helper()
	ends, err := c.b.ends(c.alias + ".checkpoints.internal")
	if err != nil {
		c.t.Fatal(err)
	}
	return ends[0]
}

// A remote topic is deleted, and later the source topic: what groups get afterwards rests on what is there.
func TestOffsetsWhenTopicsAreMadeAnew(t *testing.T) {
	for i, running := range []bool{true, false} {
		if !long() && uint64(i) != *seed%2 {
			continue
		}
		t.Run(fmt.Sprintf("mirror runs %v", running), func(t *testing.T) {
			a, b := clusters(t)
			a, b = on(t, a.Cluster), on(t, b.Cluster)
			alias := fmt.Sprintf("campanew%v", running)
			plain, ones := alias+"-plain", alias+"-ones"
			c := newExactCampaign(t, a, b, alias, "read_committed", slices.DeleteFunc(kindsOf(alias), func(k kind) bool { return k.topic != plain && k.topic != ones }))
			m := startMirror(t, c.properties)
			right := c.burden(m, 3000)
			c.commit(60)
			c.judge(m, right)

			stop := func() {
				if !running {
					m.stop()
				}
			}
			start := func() {
				if !running {
					m = startMirror(t, c.properties)
				}
			}
			stop()
			b.delete(alias + "." + ones)
			start()
			m.until("the new remote topic", b.holds(alias+"."+ones, 0))
			c.burden(m, 1500)
			m.until("its records", b.reaches(alias+"."+ones, 1))
			c.since[ones] = c.checkpointsEnd()
			c.forget(ones) // where an exact place was found a group is looked at again after ten minutes, or when it moves
			right = c.burden(m, 1500)
			c.commit(60)
			c.judge(m, right)
			m.Kill()
			m = startMirror(t, c.properties)
			c.commit(60)
			c.judge(m, right)

			stop()
			for _, k := range c.load.kinds {
				a.delete(k.topic)
				eventually(t, "the topic to go", func() error {
					if _, err := a.describe(k.topic); err == nil {
						return fmt.Errorf("still there")
					}
					return nil
				})
				a.create(k.topic, k.partitions, 1, k.configs)
				c.forget(k.topic) // the broker does too
			}
			start()
			right = c.burden(m, 3000)
			for p, r := range right {
				if r.again == 0 {
					t.Errorf("%s has nothing of a new topic", p)
				}
			}
			c.commit(60)
			c.judge(m, right)
			m.Kill()
			m = startMirror(t, c.properties)
			right = c.burden(m, 1000)
			c.commit(60)
			c.judge(m, right)
			m.stop()
			c.look(m)
		})
	}
}

// A person has mirror copy some of it again.
func TestOffsetsWhenCopiedAgain(t *testing.T) {
	a, b := clusters(t)
	const alias = "campagain"
	plain, ones := alias+"-plain", alias+"-ones"
	c := newExactCampaign(t, a, b, alias, "read_committed", slices.DeleteFunc(kindsOf(alias), func(k kind) bool { return k.topic != plain && k.topic != ones }))
	m := startMirror(t, c.properties)
	right := c.burden(m, 3000)
	c.commit(60)
	c.judge(m, right)
	for n := range 3 {
		if n == 1 {
			m.Kill()
		} else {
			m.stop()
		}
		for _, place := range []string{plain + "/0", plain + "/1", ones + "/0"} {
			result := runMirror(t, "position", propertiesFile(t, c.properties), alias+"->"+alias+"B", place, fmt.Sprint(c.random.IntN(300)))
			if result.status != 0 {
				t.Fatalf("position: %s", result.stderr)
			}
		}
		m = startMirror(t, c.properties)
		right = c.burden(m, 1000)
		c.commit(60)
		c.judge(m, right)
	}
	m.stop()
	c.look(m)
}

// MM2 has copied, and was killed; groups lag far behind where mirror took over.
func TestOffsetsOfMM2sTime(t *testing.T) {
	a, b := clusters(t)
	const alias = "campmm2"
	c := newExactCampaign(t, a, b, alias, "read_committed", kindsOf(alias))
	records := c.few()
	mm2 := startMM2(t, c.properties)
	c.load.begin()
	eventually(t, "MM2's records", b.reaches(alias+"."+alias+"-plain", 100))
	c.load.grows(records)
	if *seed%2 == 0 {
		mm2.Kill()
	} else {
		_ = mm2.Stop(time.Minute)
	}
	c.load.end()
	since := int64(0)
	if ends, err := b.ends(alias + ".checkpoints.internal"); err == nil {
		since = ends[0]
	}
	for _, k := range c.load.kinds {
		c.since[k.topic] = since // MM2's own are MM2's
	}
	c.run()
	c.end()
}
