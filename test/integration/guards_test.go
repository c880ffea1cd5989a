package integration

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/testkit/realkafka"
)

// named are records whose values say which log they are of.
func named(log string, partition int32, n int) (records []*kgo.Record) {
	for i := range n {
		records = append(records, &kgo.Record{Partition: partition, Value: fmt.Appendf(nil, "%s %d", log, i)})
	}
	return records
}

// wantValues wants these values in a partition of a topic, and no others.
func (s side) wantValues(topic string, partition int, want []*kgo.Record) {
	s.t.Helper()
	values := func(records []*kgo.Record) (list []string) {
		for _, r := range records {
			list = append(list, string(r.Value))
		}
		return list
	}
	if got := values(s.read(topic)[partition]); !slices.Equal(got, values(want)) {
		s.t.Errorf("%s/%d holds %d records, want %d: %.200q", topic, partition, len(got), len(want), got)
	}
}

// recreate deletes a topic and makes it anew.
func (s side) recreate(topic string) {
	s.t.Helper()
	s.delete(topic)
	eventually(s.t, "the topic to go", func() error {
		if _, err := s.describe(topic); err == nil {
			return fmt.Errorf("still there")
		}
		return nil
	})
	s.create(topic, 1, 1, nil)
}

// Source topics are deleted and made anew, with fewer, as many, and more records than were copied: while mirror runs, and
// again while it does not. They are halted until topic.recreated says otherwise, and nothing of the new ones is copied.
func TestSourceTopicsMadeAnewHalt(t *testing.T) {
	a, b := clusters(t)
	sizes := map[string]int{"remade-short": 50, "remade-equal": 100, "remade-long": 150}
	properties := fmt.Sprintf(gapsProperties, "remade", a.Bootstrap, b.Bootstrap)
	rarely := strings.Replace(properties, "refresh.topics.interval.seconds = 1", "refresh.topics.interval.seconds = 3600", 1)
	for topic := range sizes {
		a.create(topic, 1, 1, nil)
		a.write(topic, named("first", 0, 100))
	}
	m := startMirror(t, rarely)
	all := func(want func(topic string) error) func() error {
		return func() error {
			for topic := range sizes {
				if err := want(topic); err != nil {
					return err
				}
			}
			return nil
		}
	}
	m.until("the records", all(func(topic string) error { return b.holds("remade."+topic, 100)() }))
	for topic, n := range sizes {
		a.recreate(topic)
		a.write(topic, named("second", 0, n))
		m.waitFor(`"level":"error"`, topic+"/0", "halted", "was deleted and made anew", "everything below offset 100 was copied", "topic.recreated=follow")
	}
	m.stop()
	m = startMirror(t, properties)
	for topic, n := range sizes {
		m.waitFor(`"level":"error"`, topic+"/0", "was deleted and made anew", fmt.Sprintf("the new one ends at %d", n))
	}
	m.stop()
	for topic, n := range sizes {
		b.wantValues("remade."+topic, 0, named("first", 0, 100))
		a.recreate(topic)
		a.write(topic, named("third", 0, n))
	}

	follow := properties + "topic.recreated = follow\n"
	m = startMirror(t, follow)
	m.until("the new topics", all(func(topic string) error { return b.holds("remade."+topic, int64(100+sizes[topic]))() }))
	for topic := range sizes {
		m.waitFor(`"level":"warn"`, topic, "made anew", "its records begin at offset 100 of remade."+topic)
	}
	for topic, n := range sizes { // and while it runs
		a.recreate(topic)
		a.write(topic, named("fourth", 0, n))
	}
	m.until("the newer topics", all(func(topic string) error { return b.holds("remade."+topic, int64(100+2*sizes[topic]))() }))
	m.stop()
	wantLines(t, m, 0, `"level":"error"`)
	for topic, n := range sizes {
		b.wantValues("remade."+topic, 0, slices.Concat(named("first", 0, 100), named("third", 0, n), named("fourth", 0, n)))
	}
}

// A source topic that is deleted and does not come back is told once, and its remote topic stays.
func TestSourceTopicDeleted(t *testing.T) {
	a, b := clusters(t)
	const topic, remote = "left-numbers", "left.left-numbers"
	a.create(topic, 2, 1, nil)
	a.create("left-other", 1, 1, nil)
	a.write(topic, numbered(100))
	m := startMirror(t, fmt.Sprintf(gapsProperties, "left", a.Bootstrap, b.Bootstrap))
	m.until("the records", b.holds(remote, 100))
	a.delete(topic)
	m.waitFor("source topic deleted; its remote topic stays", topic)
	a.write("left-other", numbered(10))
	m.until("another topic", b.holds("left.left-other", 10))
	m.stop()
	if n, err := b.count(remote); err != nil || n != 100 {
		t.Errorf("%d records, %v", n, err)
	}
	wantLines(t, m, 1, "source topic deleted")
	wantLines(t, m, 0, `"level":"error"`)
}

// movePosition runs `mirror position`.
func movePosition(t *testing.T, properties, flow, partition string, offset int) string {
	t.Helper()
	out, err := exec.Command(mirrorBinary, "position", propertiesFile(t, properties), flow, partition, fmt.Sprint(offset)).CombinedOutput()
	if err != nil {
		t.Fatalf("mirror position: %v: %s", err, out)
	}
	return string(out)
}

// Records that retention took while mirror was away halt the partition if retention.gap says so; a person decides.
func TestRetentionWhileAwayHalts(t *testing.T) {
	a, b := clusters(t)
	const topic, remote = "gone-numbers", "gone.gone-numbers"
	a.create(topic, 1, 1, nil)
	properties := fmt.Sprintf(gapsProperties, "gone", a.Bootstrap, b.Bootstrap) + "retention.gap = halt\n"
	a.write(topic, numbered(100))
	m := startMirror(t, properties)
	m.until("the records", b.holds(remote, 100))
	m.stop()
	a.write(topic, numberedFrom(100, 200))
	a.deleteRecords(topic, 0, 150)
	m = startMirror(t, properties)
	m.waitFor(`"level":"error"`, "halted", "records 100 to 149 of gone-numbers/0 were deleted", "retention.gap=halt", "gone-numbers/0 150")
	m.stop()
	wantLines(t, m, 1, `"level":"error"`)
	b.wantValues(remote, 0, numbered(100))

	if out := movePosition(t, properties, "gone->goneB", topic+"/0", 150); !strings.Contains(out, "offset 150") || !strings.Contains(out, "offset 100 was noted") {
		t.Errorf("mirror position says %q", out)
	}
	m = startMirror(t, properties)
	m.until("what is left", b.holds(remote, 250))
	m.stop()
	wantLines(t, m, 0, `"level":"error"`)
	b.wantValues(remote, 0, append(numbered(100), numberedFrom(150, 150)...))
}

const uncleanProperties = oneBroker + quiet + `
clusters = unclean, uncleanB
unclean.bootstrap.servers = %s
uncleanB.bootstrap.servers = %s
unclean->uncleanB.enabled = true
unclean->uncleanB.topics = unclean-.*
offset-syncs.topic.location = target
`

// A source broker that lags behind becomes the leader when the other one dies: what only that one had is gone, and other
// records take its offsets, fewer of them, as many, and more. Once while mirror runs and once while it does not. The archive, which does
// not halt, tells what was cut off and goes on with the new log.
func TestSourceTruncated(t *testing.T) {
	_, b := clusters(t)
	a := on(t, realkafka.Start(t, realkafka.Options{Brokers: 3, Config: brokerConfig}))
	const topic, remote = "unclean-numbers", "unclean.unclean-numbers"
	a.createOn(topic, [][]int32{{1, 2}, {1, 2}, {1, 2}}, map[string]string{"unclean.leader.election.enable": "true", "min.insync.replicas": "1"})
	sizes := []int{50, 100, 150}
	url := "file://" + t.TempDir()
	properties := fmt.Sprintf(uncleanProperties, a.Bootstrap, b.Bootstrap) +
		"unclean->uncleanB.archive.enabled = true\narchive.flush.interval.ms = 200\narchive.url = " + url + "\n"
	var want [3][]*kgo.Record
	write := func(log string, size func(p int) int) {
		var all []*kgo.Record
		for p := range 3 {
			all = append(all, named(log, int32(p), size(p))...)
		}
		a.write(topic, all, kgo.MetadataMinAge(100e6))
	}
	copied := func(log string, size func(p int) int) {
		for p := range want {
			want[p] = append(want[p], named(log, int32(p), size(p))...)
		}
	}
	hundred := func(int) int { return 100 }
	bySize := func(p int) int { return sizes[p] }
	whole := func() (n int64) {
		for _, list := range want {
			n += int64(len(list))
		}
		return n
	}
	ends := []int{100, 100, 100} // of what both brokers have
	write("first", hundred)
	copied("first", hundred)
	m := startMirror(t, properties)
	for round, stays := range []int{0, 1} { // the broker that has everything, and dies
		m.until("both replicas", inSync(a, topic, 2))
		a.Kill(1 - stays)
		m.until("one replica", inSync(a, topic, 1))
		lost := fmt.Sprintf("lost %d", round)
		write(lost, hundred)
		copied(lost, hundred)
		m.until("what will be lost", b.holds(remote, whole()))
		m.until("what will be lost in the archive", archiveReaches(t, url, "unclean", a, topic))
		if round == 1 {
			m.stop()
		}
		a.Kill(stays)
		if err := a.Restart(1 - stays); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the other leader", leads(a, topic, int32(2-stays)))
		anew := fmt.Sprintf("anew %d", round)
		write(anew, bySize)
		if round == 1 {
			m = startMirror(t, properties)
		}
		for p := range 3 {
			m.waitFor(`"level":"error"`, "halted", fmt.Sprintf("%s/%d of unclean", topic, p), "truncated",
				fmt.Sprintf("below offset %d was copied", ends[p]+100), fmt.Sprintf("from offset %d on exists only in", ends[p]))
		}
		m.until("the new log in the archive", archiveIsCut(t, url, "unclean", topic, ends, 100, bySize))
		m.stop()
		wantLines(t, m, 3, "halted", "truncated", `"level":"error"`)
		for p := range 3 {
			b.wantValues(remote, p, want[p])
			movePosition(t, properties, "unclean->uncleanB", fmt.Sprintf("%s/%d", topic, p), ends[p])
			ends[p] += sizes[p]
		}
		copied(anew, bySize)
		m = startMirror(t, properties)
		m.until("what is there now", b.holds(remote, whole()))
		if err := a.Restart(stays); err != nil {
			t.Fatal(err)
		}
	}
	m.stop()
	for p := range 3 {
		b.wantValues(remote, p, want[p])
	}
}

// createOn makes a topic whose replicas are on these brokers, by node id.
func (s side) createOn(name string, replicas [][]int32, configs map[string]string) {
	s.t.Helper()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, -1, -1
	for p, brokers := range replicas {
		r := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		r.Partition, r.Replicas = int32(p), brokers
		topic.ReplicaAssignment = append(topic.ReplicaAssignment, r)
	}
	for key, value := range configs {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = key, &value
		topic.Configs = append(topic.Configs, c)
	}
	request := kmsg.NewPtrCreateTopicsRequest()
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(s.t.Context(), s.client)
	if err == nil {
		err = kerr.ErrorForCode(response.Topics[0].ErrorCode)
	}
	if err != nil {
		s.t.Fatalf("create topic %s: %v", name, err)
	}
	eventually(s.t, "the leaders of "+name, leads(s, name, replicas[0][0]))
}

// leads is a condition: a broker leads all partitions of a topic.
func leads(s side, topic string, broker int32) func() error {
	return func() error {
		described, err := s.describe(topic)
		if err != nil {
			return err
		}
		for _, p := range described.Topics[0].Partitions {
			if p.Leader != broker {
				return fmt.Errorf("broker %d leads partition %d", p.Leader, p.Partition)
			}
		}
		return nil
	}
}
