package integration

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// IdentityReplicationPolicy: topics keep their names, so that in two-way pairs only producer ids tell whose records are whose.

const identityProperties = oneBroker + quiet + `
clusters = %[1]s, %[1]sB
%[1]s.bootstrap.servers = %[2]s
%[1]sB.bootstrap.servers = %[3]s
replication.policy.class = org.apache.kafka.connect.mirror.IdentityReplicationPolicy
topics = %[1]s-.*
groups = %[1]s-.*
%[1]s.consumer.isolation.level = read_committed
%[1]sB.consumer.isolation.level = read_committed
emit.checkpoints.interval.seconds = 1
config.properties.exclude = segment\\.ms
%[1]s->%[1]sB.enabled = true
`

// oneWay is a file of one direction.
func oneWay(alias string, a, b side) string {
	return fmt.Sprintf(identityProperties, alias, a.Bootstrap, b.Bootstrap)
}

// twoWay is a file of both directions.
func twoWay(alias string, a, b side) string {
	return oneWay(alias, a, b) + fmt.Sprintf("%[1]sB->%[1]s.enabled = true\n", alias)
}

// One way: groups stand at exactly the record where they were, and a planned switch loses and repeats nothing.
func TestIdentityOneWay(t *testing.T) {
	a, b := clusters(t)
	size := 8_000
	if long() {
		size = 100_000
	}
	const alias = "same"
	a.create("same-plain", 2, 1, nil)
	a.create("same-tx", 1, 1, nil)
	properties := oneWay(alias, a, b)
	m := startMirror(t, properties)
	writeInTransactions(a, "same-tx", size/20, func(n int) int { return 1 + n%40 })
	m.until("something of it", b.reaches("same-tx", 50))
	m.Kill()
	m = startMirror(t, properties)
	a.write("same-plain", append(toPartition(0, numbered(size)), toPartition(1, numbered(size/2))...), kgo.ProducerBatchMaxBytes(16<<10))

	e := &exactness{a: a, b: b, source: alias, bare: true, random: rand.New(rand.NewPCG(*seed, 7)), groups: 200}
	t.Logf("-seed %d", *seed)
	e.learn(m, []string{"same-plain", "same-tx"})
	t.Run("checkpoints", func(t *testing.T) { e.check(t, m) })
	t.Run("a planned switch", func(t *testing.T) {
		const topic, group = "same-plain", "same-app"
		book, home := newLedger(), bare()
		c := consume(a, group, book, home, topic)
		book.handles(t, size/3)
		c.end(t)
		file, plan := propertiesFile(t, properties), filepath.Join(t.TempDir(), "plan.json")
		out := runFailover(t, "plan", file, "--from", alias, "--to", alias+"B", "--groups", group, "--mode", "controlled", "--json", "--out", plan).must(t)
		for _, g := range planOf(t, out.stdout).Groups {
			for _, x := range g.Positions {
				if x.Class != "exact" || x.Again != 0 {
					t.Errorf("%+v", x)
				}
			}
		}
		runFailover(t, "apply", plan).must(t)
		c = consume(b, group, book, home, topic)
		book.handles(t, size+size/2)
		c.end(t)
		var names []string
		for p, n := range []int{size, size / 2} {
			for i := range n {
				names = append(names, fmt.Sprintf("%s/%d: %d", topic, p, i))
			}
		}
		if lost, repeated := book.judge(names); len(lost) > 0 || len(repeated) > 0 {
			t.Errorf("%d lost, %d repeated of %d", len(lost), len(repeated), len(names))
		}
	})
	m.stop()
}

// local are producers of all kinds on one side; each writes numbered records, under a key of its own.
type local struct {
	side    side
	topic   string
	writers []*writer // ended or not
	made    int
	tx      *transactions
}

const pairPartitions = 2

func startLocal(s side, name, topic string) *local {
	l := &local{side: s, topic: topic}
	l.writers = append(l.writers, startWriterWith(s, topic, pairPartitions, []byte(name+" without an id"),
		kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck()), kgo.ProducerLinger(5*time.Millisecond)))
	l.again(name)
	l.tx = startTransactions(s, topic, name+" in transactions")
	return l
}

// again ends the idempotent producer and starts another, which has another id.
func (l *local) again(name string) {
	if l.made > 0 {
		l.writers[len(l.writers)-1].end()
	}
	l.made++
	l.writers = append(l.writers, startWriterWith(l.side, l.topic, pairPartitions, fmt.Appendf(nil, "%s idempotent, %d", name, l.made),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()), kgo.ProducerLinger(5*time.Millisecond)))
}

func (l *local) end() (records int64) {
	for _, w := range l.writers {
		records += w.end()
	}
	return records + l.tx.end()
}

// wantIn wants every record of the producers in a side's log, once and in the order of each producer.
func (l *local) wantIn(name string, records [][]*kgo.Record) {
	l.side.t.Helper()
	own := func(key []byte, acked []int64) {
		of := make([][]*kgo.Record, len(records))
		var all int64
		for p, list := range records {
			for _, r := range list {
				if bytes.Equal(r.Key, key) {
					of[p] = append(of[p], r)
				}
			}
			all += acked[p]
		}
		got := count(of, acked)
		if got != (tally{records: int(all)}) {
			l.side.t.Errorf("%s: %s: written %d, read %d, lost %d, repeated %d, out of order %d", name, key, all, got.records, got.lost, got.repeated, got.disordered)
		}
	}
	for _, w := range l.writers {
		own(w.key, w.acked)
	}
	own([]byte(l.tx.key), l.tx.acked)
}

// transactions writes numbered records in small transactions, of which some are aborted.
type transactions struct {
	side  side
	key   string
	stop  context.CancelFunc
	done  chan struct{}
	acked []int64 // committed, by partition; read when done is closed
	err   error
}

func startTransactions(s side, topic, key string) *transactions {
	s.t.Helper()
	client := s.newClient(kgo.TransactionalID(topic+key), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	ctx, stop := context.WithCancel(s.t.Context())
	x := &transactions{side: s, key: key, stop: stop, done: make(chan struct{}), acked: make([]int64, pairPartitions)}
	go func() {
		defer close(x.done)
		defer client.Close()
		for n := 0; ctx.Err() == nil && x.err == nil; n++ {
			x.err = x.one(context.WithoutCancel(ctx), client, n)
		}
	}()
	s.t.Cleanup(func() {
		stop()
		<-x.done
	})
	return x
}

func (x *transactions) one(ctx context.Context, client *kgo.Client, n int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var list []*kgo.Record
	next := append([]int64(nil), x.acked...)
	for i := range 1 + n%20 {
		p := (n + i) % pairPartitions
		list = append(list, &kgo.Record{Partition: int32(p), Key: []byte(x.key), Value: fmt.Appendf(nil, "%d", next[p])})
		next[p]++
	}
	commit := kgo.TransactionEndTry(n%5 != 4)
	err := client.BeginTransaction()
	if err == nil {
		err = client.ProduceSync(ctx, list...).FirstErr()
	}
	if err == nil {
		err = client.EndTransaction(ctx, commit)
	}
	if err == nil && commit == kgo.TryCommit {
		x.acked = next
	}
	return err
}

func (x *transactions) end() (records int64) {
	x.side.t.Helper()
	x.stop()
	<-x.done
	if x.err != nil {
		x.side.t.Fatalf("write in transactions: %v", x.err)
	}
	for _, n := range x.acked {
		records += n
	}
	return records
}

// Two ways: producers of all kinds write to both sides while mirror is killed again and again. Each side has each record once.
func TestIdentityTwoWay(t *testing.T) {
	a, b := clusters(t)
	rounds, records := 3, int64(4_000)
	if long() {
		rounds, records = 12, 25_000
	}
	for _, c := range []struct {
		name, alias string
		processes   [][]string
	}{
		{"one process", "pair", [][]string{nil}},
		{"a process for each direction", "duo", [][]string{{"--clusters", "duo"}, {"--clusters", "duoB"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := on(t, a.Cluster), on(t, b.Cluster)
			random := rand.New(rand.NewPCG(*seed, 9))
			t.Logf("-seed %d", *seed)
			topic, properties := c.alias+"-orders", twoWay(c.alias, a, b)
			a.create(topic, pairPartitions, 1, nil)
			b.create(topic, pairPartitions, 1, nil)
			mirrors := make([]*mirrorProcess, len(c.processes))
			for i, args := range c.processes {
				mirrors[i] = startMirror(t, properties, args...)
			}
			locals := map[string]*local{"A": startLocal(a, "A", topic), "B": startLocal(b, "B", topic)}
			for range rounds {
				i := random.IntN(len(mirrors))
				locals["A"].writers[0].grows(1 + random.Int64N(records))
				mirrors[i].Kill()
				for name, l := range locals {
					l.again(name)
				}
				locals["B"].writers[0].grows(1 + random.Int64N(records/4))
				mirrors[i] = startMirror(t, properties, c.processes[i]...)
				mirrors[i].waitFor("replicating 2 partitions")
			}
			written := locals["A"].end() + locals["B"].end()
			logs := settledPair(t, a, b, topic, mirrors, written)
			for name, log := range logs {
				if n := total(log); n != int(written) {
					t.Errorf("%s holds %d records, want %d", name, n, written)
				}
				for _, l := range locals {
					l.wantIn(name, log)
				}
			}
			for _, m := range mirrors {
				m.stop()
				if lines := m.lines("is held"); len(lines) > 0 {
					t.Errorf("%s", lines[0].Text)
				}
			}
		})
	}
}

// settledPair waits until both sides have all records and nothing is on its way, and reads both. What went back where it came
// from would stand before a record that is written and copied afterwards.
func settledPair(t *testing.T, a, b side, topic string, mirrors []*mirrorProcess, written int64) map[string][][]*kgo.Record {
	t.Helper()
	committed := kgo.FetchIsolationLevel(kgo.ReadCommitted())
	all := func(s side) func() error {
		return func() error {
			if n := total(s.read(topic, committed)); int64(n) < written {
				return fmt.Errorf("%d of %d", n, written)
			}
			return nil
		}
	}
	mirrors[0].until("all at A", all(a))
	mirrors[0].until("all at B", all(b))
	for round := range 2 {
		flag := func(s side, name string) (values map[string]bool) {
			var list []*kgo.Record
			values = map[string]bool{}
			for p := range pairPartitions {
				value := fmt.Sprintf("%s %d/%d", name, round, p)
				values[value] = true
				list = append(list, &kgo.Record{Partition: int32(p), Key: []byte("flag"), Value: []byte(value)})
			}
			s.write(topic, list)
			return values
		}
		seen := func(s side, values map[string]bool) func() error {
			return func() error {
				n := 0
				for _, list := range s.read(topic, committed) {
					for _, r := range list {
						if string(r.Key) == "flag" && values[string(r.Value)] {
							n++
						}
					}
				}
				if n < len(values) {
					return fmt.Errorf("%d of %d", n, len(values))
				}
				return nil
			}
		}
		ofA, ofB := flag(a, "A"), flag(b, "B")
		mirrors[0].until("flags at B", seen(b, ofA))
		mirrors[0].until("flags at A", seen(a, ofB))
	}
	logs := map[string][][]*kgo.Record{}
	for name, s := range map[string]side{"A": a, "B": b} {
		for _, list := range s.read(topic, committed) {
			own := []*kgo.Record{}
			for _, r := range list {
				if string(r.Key) != "flag" {
					own = append(own, r)
				}
			}
			logs[name] = append(logs[name], own)
		}
	}
	return logs
}
