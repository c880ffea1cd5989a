package kafka

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/stream"
)

// TransactionSender is a Sender whose batches belong to the transaction.
type TransactionSender struct {
	t     *Transaction
	out   *Sender
	calls chan produceCall
}

// transactional names the transactional id in produce requests.
type transactional struct {
	broker
	id string
}

func (b transactional) Request(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	if p, ok := req.(timedProduce); ok {
		p.TransactionID = &b.id
	}
	return b.broker.Request(ctx, req)
}

// Sender returns the sender of a broker. Its goroutines live as long as ctx. Batches have to be stamped as transactional, with the
// producer id and epoch that Begin gave.
func (t *Transaction) Sender(ctx context.Context, id int32) *TransactionSender {
	out := t.wire.sender(ctx, id, func(b broker) broker { return transactional{b, t.id} })
	s := &TransactionSender{t: t, out: out, calls: make(chan produceCall, 16)}
	go s.run(ctx)
	return s
}

// Send is that of a Sender; partitions that the transaction does not have yet are added to it first. Where that fails, the answer may
// overtake those of earlier calls.
func (s *TransactionSender) Send(ctx context.Context, items []stream.Appending, done func([]stream.Appended, error)) {
	s.calls <- produceCall{ctx, items, done}
}

func (s *TransactionSender) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case call := <-s.calls:
			remotes := make([]stream.Partition, len(call.items))
			for i, item := range call.items {
				remotes[i] = item.Remote
			}
			failed, err := s.t.add(call.ctx, remotes)
			switch {
			case err != nil:
				call.done(nil, err)
			case len(failed) > 0:
				call.done(notAdded(call.items, failed), nil)
			default:
				s.out.Send(call.ctx, call.items, call.done)
			}
		}
	}
}

// notAdded answers for batches that were not sent: for those without a reason of their own, that another is why.
func notAdded(items []stream.Appending, failed map[stream.Partition]error) []stream.Appended {
	all := make([]stream.Appended, len(items))
	for i, item := range items {
		all[i] = stream.Appended{Remote: item.Remote, Base: -1, Err: failed[item.Remote]}
		if all[i].Err == nil {
			all[i].Err = brokerError(int16(codeOperationNotAttempted), nil)
		}
	}
	return all
}

// Append writes records to the partitions that they name, in order within each, as part of the transaction. A zero timestamp is set to
// now, a nil value is a tombstone. When it returns nil, Offset of each record says where it stands. After an error the transaction
// must not be committed.
func (t *Transaction) Append(ctx context.Context, topic string, records []stream.Record) error {
	t.appending.Lock()
	defer t.appending.Unlock()
	by := make(map[stream.Partition][]*stream.Record)
	var order []stream.Partition
	for i := range records {
		p := stream.Partition{Topic: topic, Number: records[i].Partition}
		if by[p] == nil {
			order = append(order, p)
		}
		by[p] = append(by[p], &records[i])
	}
	failed, err := t.add(ctx, order)
	for _, reason := range failed {
		if code, _ := stream.CodeOf(reason); err == nil || code != codeOperationNotAttempted {
			err = reason
		}
	}
	for _, p := range order {
		if err != nil {
			break
		}
		err = t.appendTo(ctx, p, by[p])
	}
	if err != nil {
		return fmt.Errorf("append %d records to topic %s in a transaction: %w", len(records), topic, err)
	}
	return nil
}

func (t *Transaction) appendTo(ctx context.Context, p stream.Partition, records []*stream.Record) error {
	for len(records) > 0 {
		n, _ := together(len(records), func(i int) int { return len(records[i].Key) + len(records[i].Value) })
		base, err := t.produce(ctx, p, t.encode(p, records[:n], time.Now()))
		if err != nil {
			return err
		}
		for i, r := range records[:n] {
			r.Offset = base + int64(i)
		}
		t.sequences[p] += int32(n)
		records = records[n:]
	}
	return nil
}

// produce sends a batch until the broker has it: it recognises one that it had already.
func (t *Transaction) produce(ctx context.Context, p stream.Partition, raw []byte) (int64, error) {
	for n := 1; ; n++ {
		base, err := t.produceOnce(ctx, p, raw)
		if err == nil {
			return base, nil
		}
		delete(t.leaders, p)
		if kind := Classify(err); kind != Retriable && kind != Unreachable && kind != UnknownTopic {
			return 0, err
		}
		if waited := wait(ctx, min(t.pause<<min(n, 5), time.Second)); waited != nil {
			return 0, fmt.Errorf("%w: %w", err, waited)
		}
	}
}

func (t *Transaction) produceOnce(ctx context.Context, p stream.Partition, raw []byte) (int64, error) {
	leader, known := t.leaders[p]
	if !known {
		leaders, err := t.wire.Leaders(ctx, []string{p.Topic})
		if err != nil {
			return 0, err
		}
		if leader, known = leaders[p]; !known {
			return 0, &stream.BrokerError{Code: stream.CodeLeaderNotAvailable, Name: "LEADER_NOT_AVAILABLE"}
		}
		t.leaders[p] = leader
	}
	items := []stream.Appending{{Remote: p, Batch: raw}}
	s := &Sender{grace: t.wire.grace}
	resp, err := transactional{t.wire.client.Broker(int(leader.Broker)), t.id}.Request(ctx, timedProduce{s.request(items)})
	all, err := appended(items, resp, err)
	if err != nil {
		return 0, err
	}
	return int64(all[0].Base), all[0].Err
}

// encode makes an uncompressed, transactional batch.
func (t *Transaction) encode(p stream.Partition, records []*stream.Record, now time.Time) []byte {
	t.mu.Lock()
	number, epoch := t.number, t.epoch
	t.mu.Unlock()
	first := now.UnixMilli()
	var body []byte
	for i, r := range records {
		record := kmsg.NewRecord()
		record.OffsetDelta, record.Key, record.Value = int32(i), r.Key, r.Value
		record.Length = int32(len(record.AppendTo(nil)) - 1) // of which one byte is the length 0
		body = record.AppendTo(body)
	}
	b := kmsg.NewRecordBatch()
	b.PartitionLeaderEpoch, b.Magic = -1, 2
	b.Attributes = 1 << 4 // transactional
	b.LastOffsetDelta = int32(len(records) - 1)
	b.FirstTimestamp, b.MaxTimestamp = first, first
	b.ProducerID, b.ProducerEpoch, b.FirstSequence = number, epoch, t.sequences[p]
	b.NumRecords, b.Records = int32(len(records)), body
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-12))
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	return raw
}
