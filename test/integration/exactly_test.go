package integration

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const exactlyProperties = oneBroker + quiet + `
clusters = %[1]s, %[1]sB
%[1]s.bootstrap.servers = %[2]s
%[1]sB.bootstrap.servers = %[3]s
%[1]s->%[1]sB.enabled = true
%[1]s->%[1]sB.topics = %[1]s-.*
%[1]s.consumer.isolation.level = read_committed
`

// exactlyOnce is the line that makes mirror, and MM2, go in transactions.
func exactlyOnce(alias string) string {
	return fmt.Sprintf("%sB.exactly.once.source.support = enabled\n", alias)
}

// committed follows a topic as a reader with read_committed does.
type committed struct {
	side    side
	topic   string
	records atomic.Int64
}

func readCommitted(s side, topic string) *committed {
	s.t.Helper()
	c := &committed{side: s, topic: topic}
	client := s.newClient(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), asCommitted,
		kgo.MetadataMinAge(100*time.Millisecond), kgo.UnknownTopicRetries(-1))
	ctx, stop := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			fetches := client.PollFetches(ctx)
			c.records.Add(int64(fetches.NumRecords()))
		}
	}()
	s.t.Cleanup(func() {
		stop()
		<-done
		client.Close()
	})
	return c
}

// reaches is a condition: so many records are committed, or more.
func (c *committed) reaches(records int64) func() error {
	return func() error {
		if n := c.records.Load(); n < records {
			return fmt.Errorf("%d records of %s are committed, want %d", n, c.topic, records)
		}
		return nil
	}
}

// asCommitted is what a reader with read_committed sees.
var asCommitted = kgo.FetchIsolationLevel(kgo.ReadCommitted())

// In transactions, killed again and again under load, a reader with read_committed sees each record once.
func TestExactlyOnceKilled(t *testing.T) {
	if !long() {
		t.Skip("the other tests here kill as well; TANDEM_LONG=1 does it thirty times")
	}
	a, b := clusters(t)
	const topic, remote, partitions = "exkill-numbers", "exkill.exkill-numbers", 4
	a.create(topic, partitions, 1, nil)
	properties := fmt.Sprintf(exactlyProperties, "exkill", a.Bootstrap, b.Bootstrap) + exactlyOnce("exkill")
	w := startWriter(a, topic, partitions)
	m := startMirror(t, properties)
	m.waitFor("replicating")
	seen := readCommitted(b, remote)
	for range 30 {
		w.grows(5000)
		m.until("committed records", seen.reaches(w.total()))
		w.grows(1000)
		m.Kill()
		w.grows(1000)
		m = startMirror(t, properties)
	}
	written := w.end()
	m.until("the rest", seen.reaches(written))
	m.stop()
	w.wantEachOnce(b, remote, asCommitted)
	for p, records := range b.read(remote) {
		for _, r := range records {
			if !r.Attrs.IsTransactional() {
				t.Fatalf("record %d of partition %d is in no transaction", r.Offset, p)
			}
		}
	}
}

// Between the two ways of doing it one can change at any time: nothing is lost and nothing comes twice, whether mirror was stopped or
// killed before.
func TestExactlyOnceSwitched(t *testing.T) {
	a, b := clusters(t)
	const topic, remote, partitions = "exmode-numbers", "exmode.exmode-numbers", 3
	a.create(topic, partitions, 1, nil)
	plain := fmt.Sprintf(exactlyProperties, "exmode", a.Bootstrap, b.Bootstrap)
	w := startWriter(a, topic, partitions)
	var seen *committed
	type turn struct{ transactions, stop, early bool } // early: killed when it has hardly begun
	turns := []turn{{}, {transactions: true, early: true}, {transactions: true}}
	if long() {
		turns = append(turns, turn{early: true}, turn{transactions: true, stop: true}, turn{stop: true}, turn{transactions: true, early: true}, turn{early: true})
	}
	for n, turn := range turns {
		properties := plain
		if turn.transactions {
			properties += exactlyOnce("exmode")
		}
		m := startMirror(t, properties)
		if seen == nil {
			m.waitFor("replicating")
			seen = readCommitted(b, remote)
		}
		if turn.early {
			m.waitFor("replicating")
			from, _ := b.count(remote)
			m.until("something to be written", b.reaches(remote, from+1))
			m.Kill()
			continue
		}
		w.grows(3000)
		m.until(fmt.Sprintf("committed records, turn %d", n), seen.reaches(w.total()))
		w.grows(500)
		if turn.stop {
			m.stop()
		} else {
			m.Kill()
		}
		w.grows(500)
	}
	m := startMirror(t, plain)
	written := w.end()
	m.until("the rest", seen.reaches(written))
	m.stop()
	w.wantEachOnce(b, remote, asCommitted)
}

// MM2 in its exactly-once mode and mirror in transactions take over from each other, killed in the middle: a reader with read_committed
// sees each record once.
func TestExactlyOnceAndMM2(t *testing.T) {
	a, b := clusters(t)
	const topic, remote, partitions = "exmm-numbers", "exmm.exmm-numbers", 2
	a.create(topic, partitions, 1, nil)
	properties := fmt.Sprintf(exactlyProperties, "exmm", a.Bootstrap, b.Bootstrap) + exactlyOnce("exmm")
	w := startPaced(a, topic, partitions, 2000)
	mm2 := startMM2(t, properties)
	eventually(t, "MM2's records", b.reaches(remote, 5000))
	seen := readCommitted(b, remote)
	eventually(t, "MM2's commits", seen.reaches(5000))
	mm2.Kill()
	m := startMirror(t, properties)
	m.until("records to flow", seen.reaches(w.grows(3000)))
	m.Kill()
	m = startMirror(t, properties)
	m.until("records to flow again", seen.reaches(w.grows(3000)))
	m.stop()
	w.grows(1000)
	if long() {
		startMM2(t, properties)
	} else {
		startMirror(t, properties)
	}
	total := w.end()
	eventually(t, "the rest", seen.reaches(total))
	written := []int64{total / partitions, total / partitions}
	got := count(b.read(remote, asCommitted), written)
	t.Logf("written %d, committed %+v", total, got)
	if got != (tally{records: int(total)}) {
		t.Fatalf("%+v, want %d records", got, total)
	}
}

// A process that was stopped by a signal in the middle of its transactions, until others have its partitions, commits nothing of them
// when it wakes up. Aborted transactions of the source do not arrive.
func TestExactlyOnceFrozen(t *testing.T) {
	a, b := clusters(t)
	const topic, remote, partitions = "exfroz-numbers", "exfroz.exfroz-numbers", 4
	a.create(topic, partitions, 1, nil)
	properties := fmt.Sprintf(exactlyProperties, "exfroz", a.Bootstrap, b.Bootstrap) + exactlyOnce("exfroz")
	w := startWriter(a, topic, partitions)
	old := startMirror(t, properties)
	old.waitFor("replicating")
	seen := readCommitted(b, remote)
	next := startMirror(t, properties)
	rounds := 1
	if long() {
		rounds = 5
	}
	for range rounds {
		a.abort(topic, partitions)
		w.grows(3000)
		old.until("committed records", seen.reaches(w.total()))
		if err := old.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		w.grows(3000)
		next.until("committed records of the other", seen.reaches(w.total()))
		if err := old.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		w.grows(5000)
		next.until("committed records of both", seen.reaches(w.total()))
		old, next = next, old
	}
	written := w.end()
	next.until("the rest", seen.reaches(written))
	old.stop()
	next.stop()
	w.wantEachOnce(b, remote, asCommitted)
}

// abort writes a record into each partition in a transaction that is aborted.
func (s side) abort(topic string, partitions int32) {
	s.t.Helper()
	client := s.newClient(kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID(s.t.Name()))
	defer client.Close()
	if err := client.BeginTransaction(); err != nil {
		s.t.Fatal(err)
	}
	for p := range partitions {
		if err := client.ProduceSync(s.t.Context(), &kgo.Record{Partition: p, Value: []byte("aborted")}).FirstErr(); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := client.EndTransaction(s.t.Context(), kgo.TryAbort); err != nil {
		s.t.Fatal(err)
	}
}

// What transactions cost, beside the default, in the log: how long a topic takes that exists before, and how long a record takes that comes
// alone.
func TestExactlyOnceCosts(t *testing.T) {
	if !long() {
		t.Skip("it measures; TANDEM_LONG=1 runs it")
	}
	a, b := clusters(t)
	const records, singles = 600000, 100
	took, each := map[string]time.Duration{}, map[string][]time.Duration{}
	for alias, line := range map[string]string{"costplain": "", "costexact": exactlyOnce("costexact")} {
		topic := alias + "-numbers"
		a.create(topic, 4, 1, nil)
		for p := range int32(4) {
			list := numbered(records / 4)
			for _, r := range list {
				r.Value = append(r.Value, make([]byte, 500)...)
			}
			a.write(topic, toPartition(p, list))
		}
		m := startMirror(t, fmt.Sprintf(exactlyProperties, alias, a.Bootstrap, b.Bootstrap)+line)
		m.waitFor("replicating")
		began := time.Now()
		seen := readCommitted(b, alias+"."+topic)
		m.until("all records", seen.reaches(records))
		took[alias] = time.Since(began)
		for n := range int64(singles) {
			began := time.Now()
			a.write(topic, numbered(1))
			for seen.records.Load() < records+n+1 && time.Since(began) < patience {
				<-time.After(time.Millisecond) // it is time that is measured
			}
			each[alias] = append(each[alias], time.Since(began))
		}
		m.stop()
	}
	for alias, list := range each {
		slices.Sort(list)
		t.Logf("%s: %d records in %s; a single one in %s (median), %s (95 of 100)", alias, records, took[alias].Round(time.Millisecond),
			list[len(list)/2].Round(time.Millisecond), list[len(list)*95/100].Round(time.Millisecond))
	}
	t.Logf("in transactions all of it takes %.2f times as long", float64(took["costexact"])/float64(took["costplain"]))
}
