package integration

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/testkit/realkafka"
)

const manyProperties = oneBroker + quiet + `
clusters = many, manyB
many.bootstrap.servers = %s
manyB.bootstrap.servers = %s
many->manyB.enabled = true
many->manyB.topics = many-.*
`

const (
	manyTopics     = 40
	manyPartitions = 50 // of each
)

// Two thousand partitions get a record now and then; mirror is killed between them and finds the places of all again.
func TestManyPartitions(t *testing.T) {
	a := on(t, realkafka.Start(t, realkafka.Options{Config: brokerConfig}))
	b := on(t, realkafka.Start(t, realkafka.Options{Config: brokerConfig}))
	topics := make([]string, manyTopics)
	for n := range topics {
		topics[n] = fmt.Sprintf("many-%02d", n)
	}
	a.createAll(topics, manyPartitions)
	client := a.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	properties := fmt.Sprintf(manyProperties, a.Bootstrap, b.Bootstrap)
	const rounds = 4
	m := startMirror(t, properties)
	for round := range rounds {
		var records []*kgo.Record
		for _, topic := range topics {
			for p := range int32(manyPartitions) {
				records = append(records, &kgo.Record{Topic: topic, Partition: p, Value: fmt.Appendf(nil, "%d", round)})
			}
		}
		if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		switch round {
		case 0: // while there is nothing of it on the target yet
			m.waitFor("replicating 2000 partitions of 40 topics")
		case 1: // all that follows waits for the next start
			m.until("the records of two rounds", b.all(topics, (round+1)*manyPartitions))
			m.Kill()
		case 2:
			m = startMirror(t, properties)
		}
	}
	m.until("all records", b.all(topics, rounds*manyPartitions))
	m.stop()
	written := make([]int64, manyPartitions)
	for p := range written {
		written[p] = rounds
	}
	for _, topic := range topics {
		if got := count(b.read("many."+topic), written); got != (tally{records: rounds * manyPartitions}) {
			t.Errorf("%s: %+v", topic, got)
		}
	}
}

// all is a condition: each of the remote topics holds so many records.
func (s side) all(topics []string, records int) func() error {
	next := 0 // those before it do
	return func() error {
		for ; next < len(topics); next++ {
			if err := s.holds("many."+topics[next], int64(records))(); err != nil {
				return err
			}
		}
		return nil
	}
}

// createAll makes topics in one request, and waits until their partitions have leaders.
func (s side) createAll(names []string, partitions int32) {
	s.t.Helper()
	request := kmsg.NewPtrCreateTopicsRequest()
	request.TimeoutMillis = int32(patience.Milliseconds())
	for _, name := range names {
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, 1
		request.Topics = append(request.Topics, topic)
	}
	response, err := request.RequestWith(s.t.Context(), s.client)
	if err != nil {
		s.t.Fatalf("create %d topics: %v", len(names), err)
	}
	for _, topic := range response.Topics {
		if err := kerr.ErrorForCode(topic.ErrorCode); err != nil {
			s.t.Fatalf("create topic %s: %v", topic.Topic, err)
		}
	}
	for _, name := range names {
		eventually(s.t, "the leaders of "+name, func() error {
			_, err := s.ends(name)
			return err
		})
	}
}
