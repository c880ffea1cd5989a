package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"tandem/internal/testkit/proc"
	"tandem/internal/testkit/realkafka"
)

// contender copies one topic of cluster A to a remote topic of cluster B.
type contender struct {
	name   string
	source string // Go package to build; none for what comes with Kafka
	binary string
	start  func(c contender, t task) (*proc.Process, error)
}

// task is what a contender is to do in one run.
type task struct {
	dir    string // for its files
	a, b   string // bootstrap servers
	alias  string // of the source cluster in this run
	topic  string
	codec  string
	tuned  bool // MirrorMaker 2: settings for throughput rather than its defaults
	logTo  string
	config string // path of the properties file
}

func (t task) remoteTopic() string { return t.alias + "." + t.topic }

var contenders = []contender{
	{name: "tandem", source: "./cmd/mirror", start: func(c contender, t task) (*proc.Process, error) {
		if err := t.writeConfig(""); err != nil {
			return nil, err
		}
		return proc.Start(t.logTo, c.binary, t.config)
	}},
	{name: "mm2", start: func(_ contender, t task) (*proc.Process, error) {
		extra := ""
		if t.tuned {
			extra = t.mm2Tuning()
		}
		if err := t.writeConfig(extra); err != nil {
			return nil, err
		}
		return realkafka.StartMM2(t.config, t.logTo)
	}},
	{name: "sarama", source: "./test/bench/saramacopier", start: func(c contender, t task) (*proc.Process, error) {
		return proc.Start(t.logTo, c.binary, "--source", t.a, "--target", t.b, "--topic", t.topic,
			"--remote", t.remoteTopic(), "--codec", t.codec)
	}},
}

func contenderNames() []string {
	var names []string
	for _, c := range contenders {
		names = append(names, c.name)
	}
	return append(names, teeName, peerName)
}

// newTask makes aliases that no earlier run has used: positions and internal topics are named by them.
func (b *bench) newTask(c contender, topic, codec string, tuned bool) (task, error) {
	b.runs++
	t := task{
		dir: filepath.Join(b.dir, fmt.Sprintf("run-%d-%s", b.runs, c.name)),
		a:   b.a.kafka.Bootstrap, b: b.b.kafka.Bootstrap,
		alias: fmt.Sprintf("%s%d", c.name, b.runs), topic: topic, codec: codec, tuned: tuned,
	}
	t.logTo, t.config = filepath.Join(t.dir, "log"), filepath.Join(t.dir, "mm2.properties")
	return t, os.MkdirAll(t.dir, 0o755)
}

func (t task) writeConfig(extra string) error {
	text := strings.NewReplacer("{from}", t.alias, "{to}", t.targetAlias(), "{a}", t.a, "{b}", t.b, "{topic}", t.topic).Replace(
		`clusters = {from}, {to}
{from}.bootstrap.servers = {a}
{to}.bootstrap.servers = {b}
{from}->{to}.enabled = true
{from}->{to}.topics = {topic}
emit.heartbeats.enabled = false
replication.factor = 1
offset-syncs.topic.replication.factor = 1
checkpoints.topic.replication.factor = 1
offset.storage.replication.factor = 1
status.storage.replication.factor = 1
config.storage.replication.factor = 1
status.address =
`)
	return os.WriteFile(t.config, []byte(text+extra), 0o644)
}

func (t task) targetAlias() string { return t.alias + "to" }

// mm2Tuning is what made MirrorMaker 2 fastest on these jobs. Bare producer and consumer keys would be ignored.
func (t task) mm2Tuning() string {
	return strings.NewReplacer("{from}", t.alias, "{to}", t.targetAlias(), "{codec}", t.codec).Replace(`tasks.max = 4
{to}.producer.batch.size = 524288
{to}.producer.linger.ms = 20
{to}.producer.compression.type = {codec}
{from}.consumer.max.poll.records = 5000
{from}.consumer.max.partition.fetch.bytes = 4194304
`)
}
