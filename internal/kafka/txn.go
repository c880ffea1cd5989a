package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"tandem/internal/stream"
)

// Transactions go the way that all brokers from 2.5 to 4.x serve: partitions are added by a request of their own, the epoch changes
// with InitProducerId only. From the versions above these on, adding happens in Produce and each EndTxn changes the epoch
// (KIP-890, where the cluster has the feature transaction.version 2); a client has to take all of them or none.
const (
	txnProduceVersion      = 11
	txnEndVersion          = 4
	txnOffsetCommitVersion = 4
)

// Transaction is a transactional producer: one transaction at a time, of batches that Senders carry and of records that Append
// writes. Its methods may be called at the same time, but for Begin and Commit, which come when nothing is under way.
type Transaction struct {
	wire    *Wire
	id      string
	timeout time.Duration
	pause   time.Duration // before a question is asked again

	guard         sync.Mutex // guards what Guard sets
	group, marker string
	member        func() (id, instance string, generation int32)

	adding sync.Mutex // held while partitions are added
	mu     sync.Mutex // guards what follows
	added  map[stream.Partition]bool
	as     string // the member that we were when the first was added
	number int64  // producer id; -1 before Begin
	epoch  int16

	appending sync.Mutex // one Append at a time; guards what follows
	sequences map[stream.Partition]int32
	leaders   map[stream.Partition]stream.Leader
}

// NewTransaction prepares a producer; it connects when it is first used. The coordinator aborts a transaction that is open for longer
// than timeout.
func NewTransaction(c Client, id string, timeout time.Duration) (*Transaction, error) {
	wire, err := newWire(c, func(v *kversion.Versions) {
		v.SetMaxKeyVersion(kmsg.Produce.Int16(), txnProduceVersion)
		v.SetMaxKeyVersion(kmsg.EndTxn.Int16(), txnEndVersion)
		v.SetMaxKeyVersion(kmsg.TxnOffsetCommit.Int16(), txnOffsetCommitVersion)
	})
	if err != nil {
		return nil, err
	}
	return &Transaction{wire: wire, id: id, timeout: timeout, pause: 20 * time.Millisecond, number: -1, epoch: -1}, nil
}

// ID is the transactional id.
func (t *Transaction) ID() string { return t.id }

// Close ends all connections. A transaction that is open is aborted by the coordinator in the end.
func (t *Transaction) Close() { t.wire.Close() }

// Guard has each commit refused unless the member, at that moment, belongs to a group in this generation (KIP-447). For that, an
// offset of partition 0 of a topic is committed for the group with each transaction.
func (t *Transaction) Guard(group, topic string, member func() (id, instance string, generation int32)) {
	t.guard.Lock()
	defer t.guard.Unlock()
	t.group, t.marker, t.member = group, topic, member
}

// Begin takes the id over, in a new epoch: an open transaction is aborted, and whoever still uses the id, as we may have ourselves, can
// do nothing more with it. When it returns, that transaction has ended on all brokers.
//
// It is not asked whether somebody else has used the id since (KIP-360), as that cannot be told from a transaction that was aborted because
// it took too long.
func (t *Transaction) Begin(ctx context.Context) (id int64, epoch int16, err error) {
	id, epoch, err = t.wire.initTransactional(ctx, t.id, t.timeout, t.pause)
	if err != nil {
		return 0, 0, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.number, t.epoch, t.added = id, epoch, make(map[stream.Partition]bool)
	t.appending.Lock()
	defer t.appending.Unlock()
	t.sequences, t.leaders = make(map[stream.Partition]int32), make(map[stream.Partition]stream.Leader)
	return id, epoch, nil
}

// Codes of the transaction coordinator.
const (
	codeInvalidTxnState        stream.Code = 48
	codeConcurrentTransactions stream.Code = 51
	codeRebalanceInProgress    stream.Code = 27
	codeOperationNotAttempted  stream.Code = 55
	codeProducerFenced         stream.Code = 90
)

// initTransactional takes a transactional id over.
func (w *Wire) initTransactional(ctx context.Context, id string, timeout, pause time.Duration) (int64, int16, error) {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID = &id
	req.TransactionTimeoutMillis = int32(timeout.Milliseconds())
	req.ProducerID, req.ProducerEpoch = -1, -1
	var got *kmsg.InitProducerIDResponse
	err := concurrently(ctx, pause, func() (err error) {
		if got, err = req.RequestWith(ctx, w.client); err != nil {
			return shardError(err)
		}
		return brokerError(got.ErrorCode, nil)
	})
	if err != nil {
		return 0, 0, fmt.Errorf("init transactional id %s: %w", id, err)
	}
	return got.ProducerID, got.ProducerEpoch, nil
}

// concurrently repeats a request until the transaction before it has ended on all brokers.
func concurrently(ctx context.Context, pause time.Duration, request func() error) error {
	for {
		err := request()
		if code, _ := stream.CodeOf(err); err == nil || code != codeConcurrentTransactions {
			return err
		}
		if waited := wait(ctx, pause); waited != nil {
			return fmt.Errorf("%w: %w", err, waited)
		}
	}
}

// add makes partitions part of the transaction; those that cannot be are in the map, by reason.
func (t *Transaction) add(ctx context.Context, partitions []stream.Partition) (map[stream.Partition]error, error) {
	t.adding.Lock()
	defer t.adding.Unlock()
	t.mu.Lock()
	missing := slices.DeleteFunc(slices.Clone(partitions), func(p stream.Partition) bool { return t.added[p] })
	number, epoch := t.number, t.epoch
	t.mu.Unlock()
	if len(missing) == 0 {
		return nil, nil
	}
	as := t.memberID()
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = t.id, number, epoch
	topics := make(places)
	for _, p := range missing {
		i := topics.at(p.Topic, func() {
			topic := kmsg.NewAddPartitionsToTxnRequestTopic()
			topic.Topic = p.Topic
			req.Topics = append(req.Topics, topic)
		})
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, p.Number)
	}
	var failed map[stream.Partition]error
	err := concurrently(ctx, t.pause, func() error {
		resp, err := req.RequestWith(ctx, t.wire.client)
		if err != nil {
			return shardError(err)
		}
		failed = make(map[stream.Partition]error)
		for _, topic := range resp.Topics {
			for _, p := range topic.Partitions {
				err := brokerError(p.ErrorCode, nil)
				if code, _ := stream.CodeOf(err); code == codeConcurrentTransactions || code == codeProducerFenced {
					return err
				}
				if err != nil {
					failed[stream.Partition{Topic: topic.Topic, Number: p.Partition}] = err
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("add partitions to the transaction: %w", err)
	}
	if len(failed) > 0 {
		return failed, nil // then none was added
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.added) == 0 {
		t.as = as
	}
	for _, p := range missing {
		t.added[p] = true
	}
	return nil, nil
}

// Commit ends the transaction: all of it becomes visible, or, after an error, perhaps nothing. Only Begin tells which.
func (t *Transaction) Commit(ctx context.Context) error {
	t.mu.Lock()
	number, epoch, empty := t.number, t.epoch, len(t.added) == 0
	t.mu.Unlock()
	if empty {
		return nil
	}
	if err := t.vouch(ctx, number, epoch); err != nil {
		return err
	}
	req := kmsg.NewPtrEndTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = t.id, number, epoch, true
	err := concurrently(ctx, t.pause, func() error {
		resp, err := req.RequestWith(ctx, t.wire.client)
		if err != nil {
			return shardError(err)
		}
		return brokerError(resp.ErrorCode, nil)
	})
	if err != nil {
		return fmt.Errorf("commit the transaction: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.added)
	return nil
}

func (t *Transaction) memberID() string {
	t.guard.Lock()
	defer t.guard.Unlock()
	if t.member == nil {
		return ""
	}
	id, _, _ := t.member()
	return id
}

// vouch puts an offset of the group into the transaction, which the group's coordinator takes from its members only. A member that the
// group has thrown out comes back under another id: what it did as the one before is not committed.
func (t *Transaction) vouch(ctx context.Context, number int64, epoch int16) error {
	t.guard.Lock()
	group, marker, member := t.group, t.marker, t.member
	t.guard.Unlock()
	if member == nil {
		return nil
	}
	t.mu.Lock()
	as := t.as
	t.mu.Unlock()
	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = t.id, number, epoch, group
	err := concurrently(ctx, t.pause, func() error {
		resp, err := add.RequestWith(ctx, t.wire.client)
		if err != nil {
			return shardError(err)
		}
		return brokerError(resp.ErrorCode, nil)
	})
	for err == nil {
		id, instance, generation := member()
		if id == "" || id != as {
			err = errors.New("this process is not the member any more that it was")
			break
		}
		err = t.commitOffset(ctx, number, epoch, group, marker, id, instance, generation)
		code, _ := stream.CodeOf(err)
		if err == nil {
			return nil
		}
		if code == stream.CodeIllegalGeneration || code == codeRebalanceInProgress { // a round of the group is under way, of which we hear at once
			err = wait(ctx, t.pause)
		}
	}
	return fmt.Errorf("commit as a member of group %s: %w", group, err)
}

func (t *Transaction) commitOffset(ctx context.Context, number int64, epoch int16, group, marker, member, instance string, generation int32) error {
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.Group, req.ProducerID, req.ProducerEpoch = t.id, group, number, epoch
	req.MemberID, req.Generation = member, generation
	if instance != "" {
		req.InstanceID = &instance
	}
	topic := kmsg.NewTxnOffsetCommitRequestTopic()
	topic.Topic = marker
	topic.Partitions = append(topic.Partitions, kmsg.NewTxnOffsetCommitRequestTopicPartition())
	req.Topics = append(req.Topics, topic)
	return concurrently(ctx, t.pause, func() error {
		resp, err := req.RequestWith(ctx, t.wire.client)
		if err != nil {
			return shardError(err)
		}
		for _, topic := range resp.Topics {
			for _, p := range topic.Partitions {
				if p.ErrorCode != 0 {
					return brokerError(p.ErrorCode, nil)
				}
			}
		}
		return nil
	})
}

// OpenTransactions lists the transactional ids of the cluster that have a transaction open or ending. Brokers
// before 3.0 cannot be asked, and list none.
func (w *Wire) OpenTransactions(ctx context.Context) ([]string, error) {
	if supported, err := supports(ctx, w.client, kmsg.ListTransactions); err != nil || !supported {
		return nil, err
	}
	req := kmsg.NewPtrListTransactionsRequest()
	req.StateFilters = []string{"Ongoing", "PrepareCommit", "PrepareAbort"}
	var ids []string
	for _, shard := range w.client.RequestSharded(ctx, req) {
		if shard.Err != nil {
			return nil, fmt.Errorf("list transactions: %w", shardError(shard.Err))
		}
		resp := shard.Resp.(*kmsg.ListTransactionsResponse)
		if err := brokerError(resp.ErrorCode, nil); err != nil {
			return nil, fmt.Errorf("list transactions: %w", err)
		}
		for _, state := range resp.TransactionStates {
			ids = append(ids, state.TransactionalID)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// FenceTransaction aborts what is open of a transactional id, whoever uses it, and waits until it has ended.
func (w *Wire) FenceTransaction(ctx context.Context, id string) error {
	_, _, err := w.initTransactional(ctx, id, time.Minute, 20*time.Millisecond)
	return err
}
