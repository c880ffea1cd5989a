package kafka

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/IBM/sarama"
	"golang.org/x/sync/semaphore"

	"tandem/internal/stream"
)

// What is handed to the producer at a time, which bounds what it holds.
const (
	appendChunk = 1000 // records

	// appendBytes is also what may be under way to one topic: the producer makes one batch of all that waits for a partition,
	// and a topic takes no batch above its max.message.bytes, 1 MiB unless somebody has set it. A larger record goes alone.
	appendBytes = 512 << 10

	recordOverhead = 36 // bytes of a record around its key and value, at most
)

// Append writes records to the partitions they name, in order within each, and returns when all are acknowledged by all
// in-sync replicas. A zero timestamp is set to now, a nil value is a tombstone. Records are sent at most once each unless
// the principal may not use idempotent producers. When it returns nil, Offset of each record says where it stands; -1 where
// the broker recognised a repetition so old that it did not know its place any more.
//
// After an error, or when ctx ends first, any of the records may have been written, and no Offset is set; their keys and
// values must not be changed then, since they may still be on their way.
func (a *Admin) Append(ctx context.Context, topic string, records []stream.Record) error {
	messages := messagesOf(topic, records)
	_, err := await(ctx, func() (struct{}, error) {
		for rest := messages; len(rest) > 0; {
			n, size := chunk(rest)
			if err := a.appends.send(ctx, topic, rest[:n], size); err != nil {
				return struct{}{}, err
			}
			rest = rest[n:]
		}
		return struct{}{}, nil
	})
	if err != nil {
		return fmt.Errorf("append %d records to topic %s: %w", len(records), topic, err)
	}
	for i, m := range messages {
		records[i].Offset = m.Offset
	}
	return nil
}

// chunk is how many of the messages go together, at least one, and their size.
func chunk(messages []*sarama.ProducerMessage) (n int, size int64) {
	return together(len(messages), func(i int) (payload int) {
		for _, part := range []sarama.Encoder{messages[i].Key, messages[i].Value} {
			if part != nil {
				payload += part.Length()
			}
		}
		return payload
	})
}

// together is how many of so many records are appended at a time, at least one, and their size; payload is the bytes of a key and a value.
func together(records int, payload func(i int) int) (n int, size int64) {
	for n < min(records, appendChunk) {
		next := int64(recordOverhead + payload(n))
		if n > 0 && size+next > appendBytes {
			break
		}
		n, size = n+1, size+next
	}
	return n, size
}

func messagesOf(topic string, records []stream.Record) []*sarama.ProducerMessage {
	messages := make([]*sarama.ProducerMessage, len(records))
	for i, r := range records {
		m := &sarama.ProducerMessage{Topic: topic, Partition: r.Partition, Timestamp: r.Timestamp, Offset: -1}
		if r.Key != nil {
			m.Key = sarama.ByteEncoder(r.Key)
		}
		if r.Value != nil {
			m.Value = sarama.ByteEncoder(r.Value)
		}
		messages[i] = m
	}
	return messages
}

// appender owns the producer that all Appends of an Admin share. A producer that failed is replaced: after an error its
// sequence numbers may not be those of the broker any more, and a new producer id starts clean.
type appender struct {
	client   Client
	patience time.Duration // how long a chunk may take in all, retries included

	dial  sync.Mutex // held while a producer is made; guards plain
	plain bool       // the cluster refused idempotence, for which it wanted IdempotentWrite before Kafka 2.8

	mu     sync.Mutex // held only for moments; guards what follows
	closed bool
	now    *producer
	room   map[string]*semaphore.Weighted // by topic: bytes that may still be sent to it
}

// producer is a sarama producer and how many sends use it; it is closed when it is retired and the last has ended, since
// sarama's panics when it is closed under a send.
type producer struct {
	sarama.SyncProducer
	client  sarama.Client
	users   int
	retired bool
}

// roomFor is what all who append to a topic share.
func (p *appender) roomFor(topic string) *semaphore.Weighted {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.room == nil {
		p.room = make(map[string]*semaphore.Weighted)
	}
	if p.room[topic] == nil {
		p.room[topic] = semaphore.NewWeighted(appendBytes)
	}
	return p.room[topic]
}

// send writes a chunk with the shared producer, once there is room for it.
func (p *appender) send(ctx context.Context, topic string, messages []*sarama.ProducerMessage, size int64) error {
	room := p.roomFor(topic)
	size = min(size, appendBytes)
	if err := room.Acquire(ctx, size); err != nil {
		return err
	}
	defer room.Release(size)
	shared, err := p.acquire(ctx, topic)
	if err != nil {
		return err
	}
	sent := make(chan error, 1)
	go func() { sent <- shared.SendMessages(messages) }()
	timer := time.NewTimer(p.patience)
	defer timer.Stop()
	select {
	case err = <-sent:
		p.release(shared, err != nil)
	case <-timer.C:
		p.abandon(shared, sent)
		return fmt.Errorf("no acknowledgement within %v: %w", p.patience, os.ErrDeadlineExceeded)
	}
	var failed sarama.ProducerErrors
	if errors.As(err, &failed) && len(failed) > 0 {
		return fmt.Errorf("partition %d: %w", failed[0].Msg.Partition, inKafkasWords(failed[0].Err))
	}
	return err
}

// acquire lends the producer, making it, for a first topic, when there is none.
func (p *appender) acquire(ctx context.Context, topic string) (*producer, error) {
	p.dial.Lock()
	defer p.dial.Unlock()
	if shared, err := p.lend(nil); shared != nil || err != nil {
		return shared, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err // gave up while others tried
	}
	deadline := time.Now().Add(p.client.requestTimeout)
	for n := 1; ; n++ {
		made, err := p.make(topic, !p.plain)
		if !p.plain && errors.Is(err, sarama.ErrClusterAuthorizationFailed) {
			made, err = p.make(topic, false)
			p.plain = err == nil
		}
		if err == nil {
			return p.lend(made)
		}
		// Brokers that have just started give no producer ids yet.
		pause := p.client.backoff(n)
		if Classify(err) != Retriable || time.Now().Add(pause).After(deadline) || wait(ctx, pause) != nil {
			return nil, inKafkasWords(err)
		}
	}
}

// lend counts a user of the producer in use; made becomes that producer when it is given.
func (p *appender) lend(made *producer) (*producer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		if made != nil {
			_ = made.end() // nothing was sent with it
		}
		return nil, errClosed
	}
	if made != nil {
		p.now = made
	}
	if p.now != nil {
		p.now.users++
	}
	return p.now, nil
}

// release gives the producer back; retire takes it out of use.
func (p *appender) release(shared *producer, retire bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	shared.users--
	if retire {
		shared.retired = true
		if p.now == shared {
			p.now = nil
		}
	}
	if shared.retired && shared.users == 0 {
		go func() { _ = shared.end() }() // waits for acknowledgements that are under way; nobody needs to
	}
}

// abandon takes a producer out of use that does not end a send. sarama's gives up by itself long before; but one was seen
// to hang after its broker had been killed, and whoever appends next must not hang with it. Without connections it fails
// what it still holds.
func (p *appender) abandon(shared *producer, sent <-chan error) {
	p.mu.Lock()
	shared.retired = true
	if p.now == shared {
		p.now = nil
	}
	p.mu.Unlock()
	go func() {
		_ = shared.client.Close()
		<-sent //nolint:errcheck // whoever sent has been told already
		p.release(shared, true)
	}()
}

func (p *appender) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.now == nil {
		return nil
	}
	shared := p.now
	p.now = nil
	shared.retired = true
	if shared.users == 0 {
		return shared.end()
	}
	return nil // the last send ends it
}

func (p *producer) end() error {
	err := errors.Join(p.SyncProducer.Close(), p.client.Close())
	if errors.Is(err, sarama.ErrClosedClient) { // abandoned: closed before
		return nil
	}
	return err
}

// make sets up a producer. It has a client of its own: an idempotent producer of sarama's allows one request under way for
// each broker, which requests of the control plane should not have to wait for.
func (p *appender) make(topic string, idempotent bool) (*producer, error) {
	conf, err := p.client.saramaConfig()
	if err != nil {
		return nil, err
	}
	conf.Metadata.Full = false // only what is appended to
	// A topic that was just created is not known to every broker at once.
	conf.Metadata.Retry.Max = 5
	conf.Metadata.Retry.BackoffFunc = func(n, _ int) time.Duration { return p.client.backoff(n + 1) }
	conf.Producer.MaxMessageBytes = 100 << 20 // how large a record may be is the topic's to say
	conf.Producer.RequiredAcks = sarama.WaitForAll
	conf.Producer.Timeout = p.client.requestTimeout * 3 / 4
	conf.Producer.Partitioner = sarama.NewManualPartitioner
	conf.Producer.Return.Successes = true
	conf.Producer.Return.Errors = true
	// Enough for a new leader to be elected after a broker was killed (broker.session.timeout.ms, 9 s), so that the batch is
	// repeated by this producer, whose repetition the broker recognises, and not by the caller.
	conf.Producer.Retry.Max = 20
	conf.Producer.Retry.BackoffFunc = func(n, _ int) time.Duration { return p.client.backoff(n) }
	conf.Producer.Transaction.Retry.Max = 3 // also of the request for a producer id
	conf.Producer.Transaction.Retry.Backoff = p.client.retryBackoff
	if idempotent {
		conf.Producer.Idempotent = true
		conf.Net.MaxOpenRequests = 1
	}
	client, err := sarama.NewClient(p.client.bootstrap, conf)
	if err != nil {
		return nil, err
	}
	// With the brokers known, the request for a producer id does not depend on a single address of bootstrap.servers. That
	// the topic may lack a leader at this moment is for the producer's own retries.
	if err := client.RefreshMetadata(topic); err != nil && (len(client.Brokers()) == 0 || Classify(err) == UnknownTopic) {
		return nil, errors.Join(p.client.reason(err, conf), client.Close())
	}
	sender, err := sarama.NewSyncProducerFromClient(client)
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return &producer{SyncProducer: sender, client: client}, nil
}
