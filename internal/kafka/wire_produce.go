package kafka

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/stream"
)

// timedProduce is a Produce request whose answer is waited for as long as the producer's request.timeout.ms says. Of
// other requests the library adds the time that the broker is granted to its own patience, and then a broker that
// hangs would hold its partitions for nearly twice as long.
type timedProduce struct{ *kmsg.ProduceRequest }

// Timeout is what the library adds to its patience.
func (timedProduce) Timeout() int32 { return 0 }

// Sender writes Produce requests to one broker, on one connection, in the order in which they are given, without waiting
// for answers in between. How many may be open at once is the caller's to bound; a broker remembers the last five
// batches of a producer in each partition.
type Sender struct {
	broker  broker
	grace   time.Duration // how long the broker may wait for its replicas before it answers REQUEST_TIMED_OUT
	calls   chan produceCall
	written chan struct{}
}

type produceCall struct {
	ctx   context.Context //nolint:containedctx // of this one request, handed over with it
	items []stream.Appending
	done  func([]stream.Appended, error)
}

// Sender returns the sender of a broker. Its goroutine lives as long as ctx.
func (w *Wire) Sender(ctx context.Context, id int32) *Sender {
	return w.sender(ctx, id, func(b broker) broker { return b })
}

func (w *Wire) sender(ctx context.Context, id int32, through func(broker) broker) *Sender {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &Sender{
		broker:  through(w.client.Broker(int(id))),
		grace:   w.grace,
		calls:   make(chan produceCall, 16),
		written: make(chan struct{}, 1),
	}
	w.senders[id] = s
	go s.run(ctx)
	return s
}

// Send queues a request with acks=all. done is called once, in the order of the sends, from another goroutine: with one
// answer for each item, or with the error that befell the request as a whole (then nobody knows whether the broker
// appended it).
func (s *Sender) Send(ctx context.Context, items []stream.Appending, done func([]stream.Appended, error)) {
	s.calls <- produceCall{ctx, items, done}
}

// run hands requests to the client one by one. A request counts as handed over when its bytes have been written; handing over the
// next one earlier could let it overtake, since the client starts each request in a goroutine of its own.
func (s *Sender) run(ctx context.Context) {
	answered := make(chan struct{})
	close(answered)
	for {
		var call produceCall
		select {
		case <-ctx.Done():
			return
		case call = <-s.calls:
		}
		select {
		case <-s.written: // left by a request that was answered before its write was noticed
		default:
		}
		previous, next := answered, make(chan struct{})
		answered = next
		failed := make(chan struct{})
		go func() {
			resp, err := s.broker.Request(call.ctx, timedProduce{s.request(call.items)})
			close(failed)
			<-previous
			call.done(appended(call.items, resp, err))
			close(next)
		}()
		select {
		case <-s.written:
		case <-failed:
		}
	}
}

func (s *Sender) request(items []stream.Appending) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Acks = -1
	req.TimeoutMillis = int32(s.grace.Milliseconds())
	topics := make(map[string]int, len(items))
	for _, item := range items {
		i, ok := topics[item.Remote.Topic]
		if !ok {
			i = len(req.Topics)
			topics[item.Remote.Topic] = i
			t := kmsg.NewProduceRequestTopic()
			t.Topic = item.Remote.Topic
			req.Topics = append(req.Topics, t)
		}
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition, p.Records = item.Remote.Number, item.Batch
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, p)
	}
	return req
}

func appended(items []stream.Appending, resp kmsg.Response, err error) ([]stream.Appended, error) {
	if err != nil {
		return nil, fmt.Errorf("produce: %w", err)
	}
	byPartition := make(map[stream.Partition]kmsg.ProduceResponseTopicPartition, len(items))
	for _, t := range resp.(*kmsg.ProduceResponse).Topics {
		for _, p := range t.Partitions {
			byPartition[stream.Partition{Topic: t.Topic, Number: p.Partition}] = p
		}
	}
	all := make([]stream.Appended, 0, len(items))
	for _, item := range items {
		p, ok := byPartition[item.Remote]
		if !ok {
			return nil, fmt.Errorf("produce: answer lacks %s", item.Remote)
		}
		all = append(all, stream.Appended{
			Remote: item.Remote,
			Base:   stream.Downstream(p.BaseOffset),
			Err:    brokerError(p.ErrorCode, p.ErrorMessage),
		})
	}
	return all, nil
}
