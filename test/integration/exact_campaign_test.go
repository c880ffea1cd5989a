package integration

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"tandem/internal/stream"
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
	kinds      []kind
	load       *load
	random     *rand.Rand
	committed  map[commitmentOf]int64 // the last offsets of the groups
	since      map[string]int64       // checkpoints of a remote topic count from this offset on: it was made anew
	fetch      []kgo.Opt              // what mirror sees of the source
	lostMap    bool                   // the map was counted anew, as far as the source still had the records
	warned     map[string]bool
}

type commitmentOf struct {
	group     string
	partition stream.Partition
}

func newExactCampaign(t *testing.T, a, b side, alias, isolation string, kinds []kind) *exactCampaign {
	t.Helper()
	t.Logf("%d kills, -seed %d", *kills, *seed)
	c := &exactCampaign{t: t, a: a, b: b, alias: alias, kinds: kinds, random: rand.New(rand.NewPCG(*seed, 7)),
		properties: fmt.Sprintf(exactCampaignProperties, alias, a.Bootstrap, b.Bootstrap, isolation),
		committed:  map[commitmentOf]int64{}, since: map[string]int64{}, warned: map[string]bool{}}
	if isolation == "read_committed" {
		c.fetch = append(c.fetch, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	c.load = startLoad(a, b, alias, kinds, *seed)
	return c
}

const campaignGroups = 40

// commit moves some groups: to any place, back, to the end of the log, beyond it.
func (c *exactCampaign) commit(groups int) {
	c.t.Helper()
	ends := map[string][]int64{}
	for range groups {
		k := c.kinds[c.random.IntN(len(c.kinds))]
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
	for range *kills {
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
	c.lostMap = true
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
	k := c.kinds[0]
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
	for _, k := range c.kinds {
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
	for _, k := range c.kinds {
		places := c.load.ledger.places(c.b, k.topic, c.alias+"."+k.topic)
		maps.Copy(all, places)
		if k.configs["cleanup.policy"] != "compact" {
			continue
		}
		for n, list := range c.a.read(k.topic, c.fetch...) {
			right := places[stream.Partition{Topic: k.topic, Number: int32(n)}]
			right.kept = &rightPlaces{end: right.end}
			for _, r := range list {
				if i, there := slices.BinarySearch(right.ups, r.Offset); there {
					right.kept.ups, right.kept.downs = append(right.kept.ups, r.Offset), append(right.kept.downs, right.downs[i])
				}
			}
		}
	}
	return all
}

// judge wants that no checkpoint ever skipped a record, and waits until the last of each group is right to the record.
func (c *exactCampaign) judge(m *mirrorProcess, right map[stream.Partition]*rightPlaces) {
	c.t.Helper()
	all, starts := 0, map[stream.Partition]int64{}
	for _, k := range c.kinds {
		for n, list := range c.a.read(k.topic) {
			if len(list) > 0 {
				starts[stream.Partition{Topic: k.topic, Number: int32(n)}] = list[0].Offset
			}
		}
	}
	m.until("exact checkpoints", func() error {
		latest := map[commitmentOf]stream.Checkpoint{}
		all = 0
		for _, r := range c.b.read(c.alias + ".checkpoints.internal")[0] {
			cp := checkpointOf(c.t, r)
			p := stream.Partition{Topic: strings.TrimPrefix(cp.Remote.Topic, c.alias+"."), Number: cp.Remote.Number}
			if r.Offset < c.since[p.Topic] {
				continue
			}
			if right[p] == nil {
				c.t.Fatalf("checkpoint of an unknown partition: %+v", cp)
			}
			if want := right[p].last(int64(cp.Up)); int64(cp.Down) > want {
				c.t.Fatalf("checkpoint %d %+v skips records: %d is the first that was not read", r.Offset, cp, want)
			}
			latest[commitmentOf{cp.Group, p}] = cp
			all++
		}
		wrong := 0
		var one error
		for key, up := range c.committed {
			cp, ok := latest[key]
			if c.lostMap && up < starts[key.partition] {
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
	c.load.end()
	m := startMirror(c.t, c.properties)
	right := c.mirrored(m)
	for p, r := range right {
		if r.again > 0 {
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
	for _, isolation := range []string{"read_committed", "read_uncommitted"} {
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
