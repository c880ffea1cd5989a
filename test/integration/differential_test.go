package integration

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tandem/internal/stream"
	"tandem/internal/testkit/realkafka"
)

// The file of the differential suite: what the letters of the system are put into. Each flow is there for some rows of MM2's own
// integration tests, and for some rules of how a file is read.
const differential = withoutSyncs + `
clusters = %[1]seast, %[1]swest, %[1]szero, %[1]sonce, %[1]slate, %[1]still, %[1]ssrcd, %[1]stgtd, %[1]ssame, %[1]scopy, %[1]scomm, %[1]scpto, %[1]shost, %[4]s
%[1]seast.bootstrap.servers = %[2]s
%[1]swest.bootstrap.servers = %[3]s
%[1]szero.bootstrap.servers = %[2]s
%[1]sonce.bootstrap.servers = %[3]s
%[1]slate.bootstrap.servers = %[2]s
%[1]still.bootstrap.servers = %[3]s
%[1]ssrcd.bootstrap.servers = %[2]s
%[1]stgtd.bootstrap.servers = %[3]s
%[1]ssame.bootstrap.servers = %[2]s
%[1]scopy.bootstrap.servers = %[3]s
%[1]scomm.bootstrap.servers = %[2]s
%[1]scpto.bootstrap.servers = %[3]s
%[1]shost.bootstrap.servers = %[2]s
%[4]s.bootstrap.servers = %[3]s
emit.heartbeats.enabled = false
heartbeats.replication.enabled = false
sync.topic.acls.enabled = false
sync.topic.configs.interval.seconds = 1
refresh.groups.interval.seconds = 1
emit.checkpoints.interval.seconds = 1
sync.group.offsets.interval.seconds = 1
groups = diff-.*
# A key of clients that is written bare has no effect.
producer.compression.type = gzip

# Both directions, heartbeats, lag 10, groups on both sides.
%[1]seast->%[1]swest.enabled = true
%[1]seast->%[1]swest.offset-syncs.topic.replication.factor = 1
%[1]seast->%[1]swest.emit.heartbeats.enabled = true
%[1]seast->%[1]swest.topics = diff-main-.*, heartbeats
%[1]seast->%[1]swest.sync.group.offsets.enabled = true
%[1]seast->%[1]swest.offset.lag.max = 10
# Nor has one that is written for the flow, or a topic list for a cluster.
%[1]seast->%[1]swest.producer.compression.type = gzip
%[1]seast.topics = nothing
%[1]swest.offset.flush.interval.ms = 1000
%[1]swest.plugin.discovery = service_load
%[1]swest.offset.storage.partitions = 7
%[1]swest->%[1]seast.enabled = true
%[1]swest->%[1]seast.offset-syncs.topic.replication.factor = 1
%[1]swest->%[1]seast.emit.heartbeats.enabled = true
%[1]swest->%[1]seast.topics = diff-back-.*, heartbeats
%[1]seast.offset.flush.interval.ms = 1000
%[1]seast.plugin.discovery = service_load

# Lag 0; the names of the worker's topic and group.
%[1]szero->%[1]sonce.enabled = true
%[1]szero->%[1]sonce.offset-syncs.topic.replication.factor = 1
%[1]szero->%[1]sonce.topics = diff-lag-.*
%[1]szero->%[1]sonce.offset.lag.max = 0
%[1]szero->%[1]sonce.sync.group.offsets.enabled = true
%[1]sonce.offset.flush.interval.ms = 1000
%[1]sonce.plugin.discovery = service_load
%[1]sonce.offset.storage.topic = mm2-offsets.%[1]szero.elsewhere
%[1]sonce.group.id = %[1]szero-of-its-own

# From the latest record on, without offset syncs.
%[1]slate->%[1]still.enabled = true
%[1]slate->%[1]still.topics = diff-late-.*
%[1]slate.consumer.auto.offset.reset = latest
%[1]slate->%[1]still.emit.offset-syncs.enabled = false
%[1]still.offset.flush.interval.ms = 1000
%[1]still.plugin.discovery = service_load

# Another separator, which internal topics do not take; defaults are those of the source.
%[1]ssrcd->%[1]stgtd.enabled = true
%[1]ssrcd->%[1]stgtd.offset-syncs.topic.replication.factor = 1
%[1]ssrcd->%[1]stgtd.topics = diff-defs-.*
%[1]ssrcd->%[1]stgtd.replication.policy.separator = _
%[1]ssrcd->%[1]stgtd.replication.policy.internal.topic.separator.enabled = false
%[1]ssrcd->%[1]stgtd.use.defaults.from = source
%[1]ssrcd->%[1]stgtd.producer.override.compression.type = zstd
%[1]ssrcd->%[1]stgtd.config.properties.exclude = segment\\.ms, max\\.compaction.*
%[1]stgtd.offset.flush.interval.ms = 1000
%[1]stgtd.plugin.discovery = service_load

# Names stay, one way.
%[1]ssame->%[1]scopy.enabled = true
%[1]ssame->%[1]scopy.offset-syncs.topic.replication.factor = 1
%[1]ssame->%[1]scopy.topics = %[1]s-diff-.*
%[1]ssame->%[1]scopy.replication.policy.class = org.apache.kafka.connect.mirror.IdentityReplicationPolicy
%[1]scopy.offset.flush.interval.ms = 1000
%[1]scopy.plugin.discovery = service_load

# Committed records alone; offset syncs on the target. The bare setting would be none of the consumer's.
consumer.isolation.level = read_uncommitted
%[1]scomm->%[1]scpto.enabled = true
%[1]scomm->%[1]scpto.offset-syncs.topic.replication.factor = 1
%[1]scomm->%[1]scpto.topics = diff-comm-.*
%[1]scomm->%[1]scpto.offset-syncs.topic.location = target
%[1]scomm->%[1]scpto.source.consumer.isolation.level = read_committed
%[1]scomm->%[1]scpto.consumer.isolation.level = read_uncommitted
%[1]scpto.offset.flush.interval.ms = 1000
%[1]scpto.plugin.discovery = service_load

# An alias that is good for nothing else. Where it is not part of a topic's name, it works.
%[1]shost->%[4]s.enabled = true
%[1]shost->%[4]s.offset-syncs.topic.replication.factor = 1
%[1]shost->%[4]s.topics = diff-host-.*
%[1]shost->%[4]s.offset-syncs.topic.location = target
%[4]s.offset.flush.interval.ms = 1000
%[4]s.plugin.discovery = service_load
`

// withoutSyncs is oneBroker for a file with a flow without offset syncs: MM2 does not start that one where anything is said of their topic.
const withoutSyncs = `
replication.factor = 1
heartbeats.topic.replication.factor = 1
checkpoints.topic.replication.factor = 1
offset.storage.replication.factor = 1
config.storage.replication.factor = 1
status.storage.replication.factor = 1
refresh.topics.interval.seconds = 1
`

// hostile is an alias as nobody should choose it, with a backslash before what a file of properties would take for something else:
// MM2's own tests have it.
const hostile = `B-\ ._~\:/?\#[]@\!$&'()*+;\="<>%{}|\\^` + "`618"

// runningMM2s are several MM2s in one JVM, which ends with the test.
func runningMM2s(t *testing.T) *realkafka.MM2s {
	t.Helper()
	dir := t.TempDir()
	m, err := realkafka.StartMM2s(dir, filepath.Join(dir, "mm2.log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		m.Kill()
		if t.Failed() {
			t.Logf("log of MM2:\n%s", m.LogTail(60))
		}
	})
	return m
}

// The same file, the same brokers, the same records: MM2 and Tandem make the same of them, but for what docs/migrating-from-mm2.md
// names.
func TestSameAnswersAsMM2(t *testing.T) {
	a, b := clusters(t)
	d := &differing{t: t, a: a, b: b, began: time.Now(), seen: map[string]bool{}}
	for _, letters := range []string{"mm", "td"} {
		d.systems = append(d.systems, system{letters: letters, sides: map[string]side{"A": a, "B": b}})
	}
	d.seed()
	d.start()
	d.until("all records, positions and groups", d.settled())
	d.stage("the first run")
	d.exact()
	d.change()
	d.until("what has changed", d.settled(), func(s system) error { // one of the target's own goes, an excluded one stays
		return hasConfigs(d.b, s.letters+"east.diff-main-orders", map[string]string{"segment.ms": "1234567", "min.insync.replicas": "1"})()
	})
	d.stage("after changes")
	d.exact()
	d.restart()
	d.until("what came after the restart", d.settled())
	d.stage("after a restart")
	d.exact()
	wantSeen(t, "", d.seen)
}

type differing struct {
	t       *testing.T
	a, b    side
	systems []system
	mm2s    *realkafka.MM2s
	mirror  *mirrorProcess
	began   time.Time
	seen    map[string]bool // ids of differences
	history int             // records of diff-late-news that nobody should copy
	late    int             // and those behind them
	orders  int             // records of each of two partitions
}

func (d *differing) properties(letters string) string {
	return fmt.Sprintf(differential, letters, d.a.Bootstrap, d.b.Bootstrap, hostile)
}

// seed writes what is there before the systems start.
func (d *differing) seed() {
	a, b := d.a, d.b
	a.create("diff-main-orders", 3, 1, map[string]string{"max.message.bytes": "900000", "segment.ms": "7654321", "min.insync.replicas": "1",
		"message.timestamp.type": "CreateTime", "unclean.leader.election.enable": "true"})
	a.create("diff-main-empty", 2, 1, nil)
	a.create("diff-main-transactions", 1, 1, nil)
	a.create("diff-lag-numbers", 1, 1, nil)
	a.create("diff-late-news", 1, 1, nil)
	a.create("diff-defs-state", 1, 1, map[string]string{"cleanup.policy": "compact", "segment.ms": "7654321", "max.compaction.lag.ms": "12345678"})
	a.create("diff-comm-transactions", 1, 1, nil)
	a.create("diff-host-names", 1, 1, nil)
	a.write("diff-host-names", d.shaped(0, 0, 10))
	b.create("diff-back-orders", 1, 1, nil)
	for _, s := range d.systems {
		a.create(s.letters+"-diff-names", 2, 1, map[string]string{"max.message.bytes": "800000"})
		a.write(s.letters+"-diff-names", append(d.shaped(0, 0, 60), d.shaped(1, 0, 30)...))
	}
	d.orders = 150
	a.write("diff-main-orders", append(d.shaped(0, 0, 150), d.shaped(1, 0, 150)...))
	a.write("diff-lag-numbers", d.shaped(0, 0, 200), kgo.ProducerBatchMaxBytes(2000), kgo.ProducerBatchCompression(kgo.Lz4Compression()))
	a.write("diff-late-news", d.shaped(0, 0, 40))
	d.history = 40
	a.write("diff-defs-state", d.shaped(0, 0, 20))
	b.write("diff-back-orders", d.shaped(0, 0, 25))
	writeInTransactions(a, "diff-main-transactions", 60, func(n int) int { return 1 + n%7 })
	writeInTransactions(a, "diff-comm-transactions", 60, func(n int) int { return 1 + n%7 })
	orders := func(p int32) stream.Partition { return stream.Partition{Topic: "diff-main-orders", Number: p} }
	a.commit("diff-end", map[stream.Partition]int64{orders(0): 150, orders(1): 150, {Topic: "diff-lag-numbers"}: 200})
	a.commit("diff-behind", map[stream.Partition]int64{orders(0): 37})
	a.commit("diff-empty", map[stream.Partition]int64{{Topic: "diff-main-empty"}: 0, orders(2): 0})
	a.commit("diff-among", map[stream.Partition]int64{{Topic: "diff-main-transactions"}: 40})
	a.commit("other-diff", map[stream.Partition]int64{orders(0): 150})
}

// shaped are records with keys, some with headers, some without a value, at times of their own.
func (d *differing) shaped(partition int32, from, n int) (records []*kgo.Record) {
	for i := from; i < from+n; i++ {
		r := &kgo.Record{Partition: partition, Key: fmt.Appendf(nil, "key-%d", i), Value: fmt.Appendf(nil, "value %d", i),
			Timestamp: time.UnixMilli(1_700_000_000_000 + int64(i)*1000)}
		if i%5 == 0 {
			r.Headers = []kgo.RecordHeader{{Key: "h", Value: []byte("1")}, {Key: "h", Value: nil}, {Key: "", Value: []byte{}}}
		}
		if i%7 == 3 {
			r.Value = nil
		}
		records = append(records, r)
	}
	return records
}

// start runs both, and writes into diff-late-news until both have found its end.
func (d *differing) start() {
	d.t.Helper()
	d.mm2s = runningMM2s(d.t)
	d.mirror = startMirror(d.t, d.properties("td"))
	d.runMM2()
	eventually(d.t, "both to read from the end", func() error {
		d.a.write("diff-late-news", d.shaped(0, d.history+d.late, 1))
		d.late++
		for _, s := range d.systems {
			if n, err := d.b.count(s.letters + "late.diff-late-news"); err != nil || n == 0 {
				return fmt.Errorf("%s: %d, %w", s.letters, n, err)
			}
		}
		return nil
	})
	d.a.write("diff-late-news", d.shaped(0, d.history+d.late, newsForAll))
	d.t.Logf("both copy after %s", time.Since(d.began).Round(time.Second))
}

func (d *differing) runMM2() {
	d.t.Helper()
	if err := d.mm2s.Run("differential", d.properties("mm"), 2*patience); err != nil {
		d.t.Fatal(err)
	}
}

// until waits for conditions on each system.
func (d *differing) until(what string, holds ...func(s system) error) {
	d.t.Helper()
	for _, s := range d.systems {
		for _, h := range holds {
			d.mirror.until(what+" of "+s.letters, func() error { return h(s) })
		}
	}
	d.t.Logf("%s after %s", what, time.Since(d.began).Round(time.Second))
}

// settled: nothing is on its way any more.
func (d *differing) settled() func(s system) error {
	count := func(side side, topic string) int64 {
		n, err := side.count(topic)
		if err != nil {
			d.t.Fatal(err)
		}
		return n
	}
	committed := func(topic string) int64 {
		return int64(total(d.a.read(topic, kgo.FetchIsolationLevel(kgo.ReadCommitted()))))
	}
	want := map[string]int64{
		"%seast.diff-main-orders": count(d.a, "diff-main-orders"), "%seast.diff-main-empty": 0,
		"%seast.diff-main-transactions": int64(total(d.a.read("diff-main-transactions"))),
		"%szero.diff-lag-numbers":       count(d.a, "diff-lag-numbers"), "%ssrcd_diff-defs-state": count(d.a, "diff-defs-state"),
		"%scomm.diff-comm-transactions": committed("diff-comm-transactions"), "%s-diff-names": 90, "%shost.diff-host-names": 10,
	}
	ends, err := d.a.ends("diff-main-orders")
	if err != nil {
		d.t.Fatal(err)
	}
	last := d.a.read("diff-late-news")[0]
	return func(s system) error {
		for topic, n := range want {
			if err := d.b.holds(fmt.Sprintf(topic, s.letters), n)(); err != nil {
				return err
			}
		}
		if err := d.a.holds(s.letters+"west.diff-back-orders", count(d.b, "diff-back-orders"))(); err != nil {
			return err
		}
		if copied := d.b.read(s.letters + "late.diff-late-news")[0]; len(copied) == 0 || string(copied[len(copied)-1].Key) != string(last[len(last)-1].Key) {
			return fmt.Errorf("the news are not all there")
		}
		placed := d.b.committed("diff-end")
		for p := range int32(2) {
			if at := placed[stream.Partition{Topic: s.letters + "east.diff-main-orders", Number: p}]; at != ends[p] {
				return fmt.Errorf("diff-end is at %d of partition %d, want %d", at, p, ends[p])
			}
		}
		return d.flushed(s)
	}
}

// flushed: the positions and offset syncs of the last records are written.
func (d *differing) flushed(s system) error {
	w := s.look(d.t)
	for _, name := range []string{
		`topic B mm2-offsets.@@east.internal: position ["MirrorSourceConnector",{"cluster":"@@east","partition":%d,"topic":"diff-main-orders"}]`,
	} {
		ends, err := d.a.ends("diff-main-orders")
		if err != nil {
			return err
		}
		for p := range 2 {
			if got, want := w[fmt.Sprintf(name, p)], fmt.Sprintf(`{"offset":%d}`, ends[p]-1); got != want {
				return fmt.Errorf("the position of partition %d is %s, want %s", p, got, want)
			}
		}
	}
	return nil
}

// stage compares the two worlds, until all that was under way is done.
func (d *differing) stage(name string) {
	d.t.Helper()
	var list []string
	tick, deadline := time.NewTicker(200*time.Millisecond), time.After(patience)
	defer tick.Stop()
	for waiting := true; waiting; {
		if list = differences(d.systems[0].look(d.t), d.systems[1].look(d.t)); len(unintended(list, d.seen)) == 0 {
			break
		}
		select {
		case <-tick.C:
		case <-deadline:
			waiting = false
		}
	}
	for _, text := range unintended(list, d.seen) {
		d.t.Errorf("%s: %s", name, text)
	}
	d.t.Logf("%s: compared after %s", name, time.Since(d.began).Round(time.Second))
}

// exact wants the groups of the source at the same records on the target: where the offsets of both are the same, at the same offsets.
func (d *differing) exact() {
	d.t.Helper()
	for _, group := range []string{"diff-end", "diff-behind", "diff-near", "diff-empty"} {
		on := d.b.committed(group)
		for p, want := range d.a.committed(group) {
			p.Topic = map[string]string{"diff-lag-numbers": "tdzero."}[p.Topic] + p.Topic
			if !strings.HasPrefix(p.Topic, "tdzero.") {
				p.Topic = "tdeast." + p.Topic
			}
			if on[p] != want {
				d.t.Errorf("%s is at %d of %s, want %d", group, on[p], p, want)
			}
		}
	}
}

func (d *differing) change() {
	d.t.Helper()
	for _, s := range d.systems {
		d.b.configure(s.letters+"east.diff-main-orders", map[string]string{"min.insync.replicas": "1", "max.compaction.lag.ms": "99999999"})
	}
	d.a.configure("diff-main-orders", map[string]string{"max.message.bytes": "", "segment.ms": "1234567"})
	d.a.create("diff-main-later", 2, 1, nil)
	d.a.widen("diff-main-orders", 4)
	d.a.write("diff-main-orders", append(d.shaped(0, 150, 50), d.shaped(3, 0, 10)...))
	d.a.write("diff-main-later", d.shaped(1, 0, 10))
	d.a.commit("diff-end", map[stream.Partition]int64{{Topic: "diff-main-orders"}: 200})
	d.a.commit("diff-behind", map[stream.Partition]int64{{Topic: "diff-main-orders"}: 20})
	d.a.commit("diff-near", map[stream.Partition]int64{{Topic: "diff-main-orders"}: 190}) // MM2 knows of 183 and of 194
}

func (d *differing) restart() {
	d.t.Helper()
	d.mirror.stop()
	if err := d.mm2s.End("differential", 2*patience); err != nil {
		d.t.Fatal(err)
	}
	d.a.write("diff-main-orders", append(d.shaped(0, 200, 50), d.shaped(1, 150, 50)...))
	d.a.commit("diff-end", map[stream.Partition]int64{{Topic: "diff-main-orders"}: 250, {Topic: "diff-main-orders", Number: 1}: 200})
	d.mirror = startMirror(d.t, d.properties("td"))
	d.runMM2()
}
