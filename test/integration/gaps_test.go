package integration

import (
	"context"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const gapsProperties = oneBroker + quiet + `
clusters = %[1]s, %[1]sB
%[1]s.bootstrap.servers = %[2]s
%[1]sB.bootstrap.servers = %[3]s
%[1]s->%[1]sB.enabled = true
%[1]s->%[1]sB.topics = %[1]s-.*
%[1]s.consumer.isolation.level = read_committed
# Remote topics are not compacted while the test reads them.
config.properties.exclude = segment\\.ms
`

// A killed mirror goes on by counting what the target has; aborted records and markers are not there to be counted.
func TestKillAmongTransactions(t *testing.T) {
	a, b := clusters(t)
	const topic, remote = "gaps-numbers", "gaps.gaps-numbers"
	a.create(topic, 2, 1, nil)
	properties := fmt.Sprintf(gapsProperties, "gaps", a.Bootstrap, b.Bootstrap)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	client := a.newClient(kgo.TransactionalID(topic), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	go func() { done <- transact(ctx, client) }()
	for n := range 5 {
		m := startMirror(t, properties)
		before, _ := b.count(remote) // at first there is no such topic
		m.until("committed records to flow", b.reaches(remote, before+int64(200*(n+1))))
		m.Kill()
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	source := a.read(topic, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	m := startMirror(t, properties)
	m.until("the rest", b.reaches(remote, int64(total(source))))
	m.stop()
	wantSame(t, source, b.read(remote))
}

// transact writes transactions, aborting three of ten, until ctx ends.
func transact(ctx context.Context, client *kgo.Client) error {
	whole := context.WithoutCancel(ctx)
	for n := 0; ctx.Err() == nil; n++ {
		commit, word := kgo.TryCommit, "committed"
		if n%10 < 3 {
			commit, word = kgo.TryAbort, "aborted"
		}
		if err := client.BeginTransaction(); err != nil {
			return err
		}
		var records []*kgo.Record
		for i := range 40 {
			records = append(records, &kgo.Record{Partition: int32(i % 2), Key: []byte(word), Value: fmt.Appendf(nil, "%d of %d", i, n)})
		}
		if err := client.ProduceSync(whole, records...).FirstErr(); err != nil {
			return err
		}
		if err := client.EndTransaction(whole, commit); err != nil {
			return err
		}
	}
	return nil
}

// Records that retention took while mirror was away are named, and passed over.
func TestRetentionWhileAway(t *testing.T) {
	a, b := clusters(t)
	const topic, remote = "taken-numbers", "taken.taken-numbers"
	a.create(topic, 1, 1, nil)
	properties := fmt.Sprintf(gapsProperties, "taken", a.Bootstrap, b.Bootstrap)
	a.write(topic, numbered(100))
	m := startMirror(t, properties)
	m.until("the records", b.holds(remote, 100))
	m.stop()
	a.write(topic, numberedFrom(100, 200))
	a.deleteRecords(topic, 0, 150)
	m = startMirror(t, properties)
	m.until("what is left", b.holds(remote, 250))
	m.waitFor(`"level":"error"`, "records 100 to 149 of taken-numbers/0 were deleted")
	m.stop()
	wantLines(t, m, 1, `"level":"error"`)
	records := b.read(remote)[0]
	if first, last := string(records[100].Value), string(records[249].Value); first != "150" || last != "299" {
		t.Fatalf("after 99 comes %s, and %s is the last", first, last)
	}
}

func (s side) deleteRecords(topic string, partition int32, before int64) {
	s.t.Helper()
	p := kmsg.NewDeleteRecordsRequestTopicPartition()
	p.Partition, p.Offset = partition, before
	of := kmsg.NewDeleteRecordsRequestTopic()
	of.Topic, of.Partitions = topic, append(of.Partitions, p)
	request := kmsg.NewPtrDeleteRecordsRequest()
	request.Topics = append(request.Topics, of)
	for _, shard := range s.client.RequestSharded(s.t.Context(), request) {
		err := shard.Err
		if err == nil {
			err = kerr.ErrorForCode(shard.Resp.(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0].ErrorCode)
		}
		if err != nil {
			s.t.Fatalf("delete records of %s: %v", topic, err)
		}
	}
}
