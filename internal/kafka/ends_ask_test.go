package kafka

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/stream"
)

// askedBroker answers by a script, and remembers what it was asked.
type askedBroker struct {
	seen    []*kmsg.ListOffsetsRequest
	answers []func(*kmsg.ListOffsetsRequest) (kmsg.Response, error)
}

func (b *askedBroker) Request(_ context.Context, req kmsg.Request) (kmsg.Response, error) {
	b.seen = append(b.seen, req.(*kmsg.ListOffsetsRequest))
	answer := b.answers[0]
	b.answers = b.answers[1:]
	return answer(b.seen[len(b.seen)-1])
}

func TestEndsForAsksOneBroker(t *testing.T) {
	fine := func(req *kmsg.ListOffsetsRequest) (kmsg.Response, error) {
		resp := kmsg.NewPtrListOffsetsResponse()
		for _, t := range req.Topics {
			topic := kmsg.NewListOffsetsResponseTopic()
			topic.Topic = t.Topic
			for _, p := range t.Partitions {
				part := kmsg.NewListOffsetsResponseTopicPartition()
				part.Partition, part.Offset = p.Partition, 100+int64(p.Partition)
				if p.Partition == 7 {
					part.ErrorCode = int16(stream.CodeNotLeaderOrFollower)
				}
				topic.Partitions = append(topic.Partitions, part)
			}
			resp.Topics = append(resp.Topics, topic)
		}
		return resp, nil
	}
	fails := func(err error) func(*kmsg.ListOffsetsRequest) (kmsg.Response, error) {
		return func(*kmsg.ListOffsetsRequest) (kmsg.Response, error) { return nil, err }
	}
	type script = []func(*kmsg.ListOffsetsRequest) (kmsg.Response, error)
	for name, c := range map[string]struct {
		script    script
		committed bool
		requests  int
		fails     bool
	}{
		"answers":                 {script{fine}, false, 1, false},
		"for read_committed":      {script{fine}, true, 1, false},
		"an idle connection":      {script{fails(io.EOF), fine}, false, 2, false},
		"away":                    {script{fails(io.EOF), fails(io.EOF)}, false, 2, true},
		"does not take a request": {script{fails(errors.New("connection refused"))}, false, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := &askedBroker{answers: c.script}
			e := &EndsFor{client: func(int32) broker { return b }, committed: c.committed}
			ends, failed, err := e.Ends(t.Context(), 3, []stream.Partition{{Topic: "a", Number: 1}, {Topic: "b"}, {Topic: "a", Number: 7}})
			if (err != nil) != c.fails || len(b.seen) != c.requests {
				t.Fatalf("%v after %d requests", err, len(b.seen))
			}
			if got := b.seen[0].IsolationLevel == 1; got != c.committed {
				t.Errorf("asked with isolation level %d", b.seen[0].IsolationLevel)
			}
			if c.fails {
				return
			}
			code, _ := stream.CodeOf(failed[stream.Partition{Topic: "a", Number: 7}])
			if len(ends) != 2 || ends[stream.Partition{Topic: "a", Number: 1}] != 101 || ends[stream.Partition{Topic: "b"}] != 100 || code != stream.CodeNotLeaderOrFollower {
				t.Errorf("%v, %v", ends, failed)
			}
		})
	}
}

// TestEndsForManyPartitions are asked for in pieces, over the wire.
func TestEndsForManyPartitions(t *testing.T) {
	fake, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(partitionsPerRequest+10, "t"))
	w, err := NewWire(clientOf(t, fake.ListenAddrs()[0], nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	var list []stream.Partition
	for n := range int32(partitionsPerRequest + 10) {
		list = append(list, stream.Partition{Topic: "t", Number: n})
	}
	leaders, err := w.Leaders(t.Context(), []string{"t"})
	if err != nil {
		t.Fatal(err)
	}
	ends, failed, err := w.EndsFor(true).Ends(t.Context(), leaders[list[0]].Broker, list)
	if err != nil || len(failed) > 0 || len(ends) != len(list) {
		t.Errorf("%d ends of %d, %d failed, %v", len(ends), len(list), len(failed), err)
	}
}
