package integration

import (
	"context"
	"fmt"
	"sync/atomic"
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
	client := s.newClient(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
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

// wantEachOnceCommitted is wantEachOnce for a reader with read_committed.
func (w *writer) wantEachOnceCommitted(target side, remote string) {
	w.side.t.Helper()
	got := count(target.read(remote, kgo.FetchIsolationLevel(kgo.ReadCommitted())), w.acked)
	w.side.t.Logf("%s: written %d, committed %d, lost %d, repeated %d, out of order %d",
		remote, w.total(), got.records, got.lost, got.repeated, got.disordered)
	if got != (tally{records: int(w.total())}) {
		w.side.t.Fatalf("%s is not %s", remote, w.topic)
	}
}

// In transactions, killed again and again under load, a reader with read_committed sees each record once.
func TestExactlyOnceKilled(t *testing.T) {
	a, b := clusters(t)
	const topic, remote, partitions = "exkill-numbers", "exkill.exkill-numbers", 4
	a.create(topic, partitions, 1, nil)
	properties := fmt.Sprintf(exactlyProperties, "exkill", a.Bootstrap, b.Bootstrap) + exactlyOnce("exkill")
	w := startWriter(a, topic, partitions)
	m := startMirror(t, properties)
	m.waitFor("replicating")
	seen := readCommitted(b, remote)
	kills := 3
	if long() {
		kills = 30
	}
	for range kills {
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
	w.wantEachOnceCommitted(b, remote)
}
