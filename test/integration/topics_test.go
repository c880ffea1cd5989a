package integration

import (
	"fmt"
	"testing"
)

const topicsProperties = oneBroker + `
clusters = topics, topicsB
topics.bootstrap.servers = %s
topicsB.bootstrap.servers = %s
topics->topicsB.enabled = true
topics->topicsB.topics = topics-.*
sync.topic.configs.interval.seconds = 1
emit.heartbeats.interval.seconds = 1
`

// Remote topics follow their source topics: partitions, configs, new topics; only what differs is written, and each
// change is told once.
func TestTopics(t *testing.T) {
	a, b := clusters(t)
	a.create("topics-orders", 5, 1, map[string]string{
		"max.compaction.lag.ms": "123456789", "compression.type": "zstd", // carried over
		"min.insync.replicas": "1", "unclean.leader.election.enable": "true", // excluded by default
		"message.timestamp.type": "LogAppendTime",
	})
	a.create("topics-plain", 2, 1, nil)
	properties := fmt.Sprintf(topicsProperties, a.Bootstrap, b.Bootstrap)
	m := startMirror(t, properties)

	m.until("topics.topics-orders", hasPartitions(b, "topics.topics-orders", 5))
	m.until("topics.topics-plain", hasPartitions(b, "topics.topics-plain", 2))
	m.until("its configs", hasConfigs(b, "topics.topics-orders", map[string]string{
		"max.compaction.lag.ms": "123456789", "compression.type": "zstd"}))
	m.until("no configs", hasConfigs(b, "topics.topics-plain", map[string]string{}))

	a.widen("topics-orders", 8)
	a.create("topics-later", 3, 1, nil)
	m.until("three more partitions", hasPartitions(b, "topics.topics-orders", 8))
	m.until("a later topic", hasPartitions(b, "topics.topics-later", 3))
	a.write("topics-orders", toPartition(7, numbered(50)))
	a.write("topics-later", toPartition(2, numbered(50)))
	m.until("records of a new partition", b.holds("topics.topics-orders", 50))
	m.until("records of a new topic", b.holds("topics.topics-later", 50))

	// A setting of the target that the source does not have goes, as with MM2; an excluded one stays.
	b.configure("topics.topics-plain", map[string]string{"max.message.bytes": "77777", "min.insync.replicas": "1"})
	a.configure("topics-orders", map[string]string{"max.compaction.lag.ms": "", "segment.ms": "7654321"})
	m.until("changed configs", hasConfigs(b, "topics.topics-orders", map[string]string{
		"compression.type": "zstd", "segment.ms": "7654321"}))
	m.until("a reset config", hasConfigs(b, "topics.topics-plain", map[string]string{"min.insync.replicas": "1"}))

	m.until("heartbeats", func() error {
		n, err := b.count("topics.heartbeats")
		if err == nil && n == 0 {
			err = fmt.Errorf("none yet")
		}
		return err
	})
	wantLines(t, m, 1, "changed configs", "topics.topics-orders")
	wantLines(t, m, 1, "changed configs", "topics.topics-plain")
	wantLines(t, m, 1, "widened remote topic", "topics.topics-orders")
	wantLines(t, m, 1, "created remote topic", "topics.topics-later")
	m.stop()

	// A second run finds nothing to change. The marker is a change that it does make: all it did before is then in its log.
	again := startMirror(t, properties)
	a.configure("topics-later", map[string]string{"segment.ms": "1234567"})
	again.until("the marker", hasConfigs(b, "topics.topics-later", map[string]string{"segment.ms": "1234567"}))
	a.configure("topics-later", map[string]string{"segment.ms": "2345678"})
	again.until("the next round", hasConfigs(b, "topics.topics-later", map[string]string{"segment.ms": "2345678"}))
	again.until("its log", func() error { // the brokers have it a moment before mirror can say so
		if n := len(again.lines("changed configs")); n < 2 {
			return fmt.Errorf("%d lines of changed configs", n)
		}
		return nil
	})
	again.stop()
	wantLines(t, again, 2, "changed configs")
	wantLines(t, again, 0, "created remote topic")
	wantLines(t, again, 0, `"level":"warn"`)
}

// A replication factor that the target cannot give is told once; whoever makes the topic by hand ends the trouble.
func TestReplicationFactorTheTargetCannotGive(t *testing.T) {
	a, b := clusters(t)
	a.create("factor-orders", 1, 1, nil)
	properties := fmt.Sprintf(oneBroker+quiet+`
clusters = factor, factorB
factor.bootstrap.servers = %s
factorB.bootstrap.servers = %s
factor->factorB.enabled = true
factor->factorB.topics = factor-.*
factor->factorB.replication.factor = 3
`, a.Bootstrap, b.Bootstrap)
	m := startMirror(t, properties)
	m.waitFor(`"level":"error"`, "remote topic not created")
	b.create("factor.factor-orders", 1, 1, nil)
	a.write("factor-orders", numbered(10))
	m.until("the records", b.holds("factor.factor-orders", 10))
	m.stop()
	wantLines(t, m, 1, `"level":"error"`)
}

func wantLines(t *testing.T, m *mirrorProcess, want int, words ...string) {
	t.Helper()
	if found := m.lines(words...); len(found) != want {
		t.Errorf("%d log lines with %q, want %d: %v", len(found), words, want, found)
	}
}

func hasPartitions(s side, topic string, want int) func() error {
	return func() error {
		described, err := s.describe(topic)
		if err != nil {
			return err
		}
		for _, p := range described.Topics[0].Partitions {
			if len(p.Replicas) != 1 {
				return fmt.Errorf("partition %d has %d replicas", p.Partition, len(p.Replicas))
			}
		}
		if n := len(described.Topics[0].Partitions); n != want {
			return fmt.Errorf("%s has %d partitions, want %d", topic, n, want)
		}
		return nil
	}
}

func hasConfigs(s side, topic string, want map[string]string) func() error {
	return func() error {
		got, err := s.configs(topic)
		if err == nil && fmt.Sprint(got) != fmt.Sprint(want) {
			err = fmt.Errorf("%s has configs %v, want %v", topic, got, want)
		}
		return err
	}
}
