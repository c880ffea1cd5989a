package replicate

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"tandem/internal/stream"
)

// Exactly once in transactions: what is sent stands in transactions of the target, together with the places that it reaches to. A pipe
// is one epoch of the producer. Whatever makes it doubtful what a transaction holds ends the pipe; its transaction is aborted, and the
// next pipe goes on from the places of the last one that was committed.
//
//	idle --first batch--> open --interval, or an assignment waits--> closing --all answered--> committing --> idle
//
// Nothing new is sent while a transaction closes, only what has to be sent again. It is committed when each of its batches has been
// appended, or has been refused for good.
//
// What others write to a remote partition is not told from what a process in the same flow wrote before it was found to be dead, of which
// the transaction is aborted. So nobody is halted for it; the offset map is exact all the same.

// Transactions makes what was sent visible.
type Transactions interface {
	// Commit makes the places of acks durable in the transaction of the batches that they tell of, commits it, and tells of the
	// acks, which are in order for each remote partition. After an error nobody knows whether it was committed: the pipe has ended.
	Commit(ctx context.Context, acks []stream.Ack) error
}

// ErrTransaction is in the error with which a pipe ends that cannot go on in its epoch of the producer.
var ErrTransaction = errors.New("the transaction cannot go on")

const (
	// A transaction stays open for as long as a few commits take, so that they cost no more than a fifth of the time: readers wait so long
	// for what came in lately.
	transactionLeast = 20 * time.Millisecond
	transactionMost  = 200 * time.Millisecond
	transactionFor   = 4 // times the last commit
	// transactionPatience is how long one may be open before it is given up, so that there is time left to commit: the coordinator
	// aborts it after transaction.timeout.ms.
	transactionPatience = 6 * time.Second
)

// transaction is the state of the current transaction. The pipe's goroutine owns it. Nil is a pipe without transactions.
type transaction struct {
	out       Transactions
	sequences map[stream.Partition]int32 // of the next record of remote partitions, in this epoch

	every      time.Duration       // how long the current one stays open
	opened     time.Time           // when its first batch was sent; zero: none is open
	touched    map[*partition]bool // something was sent to them; with true, it was appended, and so they get a marker
	held       []stream.Ack        // to be told with the commit
	closing    bool
	committing time.Time // since when it is being committed; zero: it is not
	committed  chan error
	failed     error // why the pipe ends

	wanted atomic.Int32 // assignments wait for the end of the transaction
	knock  chan struct{}
}

func newTransaction(out Transactions) *transaction {
	if out == nil {
		return nil
	}
	return &transaction{out: out, every: transactionMost, sequences: make(map[stream.Partition]int32), touched: make(map[*partition]bool),
		committed: make(chan error, 1), knock: make(chan struct{}, 1)}
}

func (t *transaction) open() bool { return t != nil && !t.opened.IsZero() }

func (t *transaction) ending() bool { return !t.committing.IsZero() }

// rests says that nothing at all is to be sent now.
func (t *transaction) rests() bool {
	return t != nil && (t.ending() || t.failed != nil || t.wanted.Load() > 0 && !t.open())
}

// holdsBack says that a partition has to wait for the next transaction.
func (t *transaction) holdsBack(part *partition) bool {
	return t != nil && t.closing && part.unsent() == nil
}

// asks has the transaction end soon, for an assignment.
func (t *transaction) asks() {
	if t == nil {
		return
	}
	t.wanted.Add(1)
	select {
	case t.knock <- struct{}{}:
	default:
	}
}

// answered ends the waiting of an assignment.
func (t *transaction) answered() {
	if t != nil {
		t.wanted.Add(-1)
	}
}

func (t *transaction) knocks() <-chan struct{} {
	if t == nil {
		return nil
	}
	return t.knock
}

func (t *transaction) outcome() <-chan error {
	if t == nil {
		return nil
	}
	return t.committed
}

func (t *transaction) ended() error {
	if t == nil {
		return nil
	}
	return t.failed
}

// assignable is where assignments come from: between transactions only, so that nothing of a partition that leaves is uncommitted.
func (p *Pipe) assignable() <-chan []Assignment {
	if p.txn.open() {
		return nil
	}
	return p.assignments
}

// begins notes that a batch of a partition goes out.
func (p *Pipe) begins(part *partition, now time.Time) {
	t := p.txn
	if t == nil {
		return
	}
	if !t.open() {
		t.opened = now
		p.dueAt(now.Add(t.every))
	}
	if _, ok := t.touched[part]; !ok {
		t.touched[part] = false
	}
}

// reaches notes the sequence of the next record.
func (t *transaction) reaches(part *partition) {
	if t != nil {
		t.sequences[part.Remote] = part.flushed
		t.touched[part] = true
	}
}

// tells hands on an ack, or keeps it until its transaction is committed.
func (p *Pipe) tells(a stream.Ack) {
	if p.txn.open() {
		p.txn.held = append(p.txn.held, a)
		return
	}
	p.acked(a)
}

// giveUp ends the pipe.
func (p *Pipe) giveUp(err error) {
	if p.txn.failed == nil {
		p.txn.failed = fmt.Errorf("%w: %w", ErrTransaction, err)
	}
}

// doubtful says that after a failed produce nobody can tell any more what the transaction holds, or that it is over.
func (p *Pipe) doubtful(err error) bool {
	if p.txn == nil {
		return false
	}
	switch code, _ := stream.CodeOf(err); code {
	case 48, // INVALID_TXN_STATE
		49, // INVALID_PRODUCER_ID_MAPPING
		53, // TRANSACTIONAL_ID_AUTHORIZATION_FAILED
		90: // PRODUCER_FENCED
		return true
	}
	return onProduce(err) == resolve
}

// transact moves the transaction on, after each event.
func (p *Pipe) transact(now time.Time) {
	t := p.txn
	if !t.open() || t.ending() || t.failed != nil {
		return
	}
	if !t.closing && (t.wanted.Load() > 0 || now.Sub(t.opened) >= t.every) {
		t.closing = true
	}
	switch {
	case t.closing && p.allAnswered():
		p.commit(p.sending)
	case now.Sub(t.opened) >= transactionPatience:
		p.giveUp(errors.New("not all of its records were acknowledged in time"))
	case t.closing:
		p.dueAt(t.opened.Add(transactionPatience))
	default:
		p.dueAt(t.opened.Add(t.every))
	}
}

// allAnswered says that no batch is on its way, or waits to be sent again.
func (p *Pipe) allAnswered() bool {
	if p.openRequests() > 0 {
		return false
	}
	for part := range p.txn.touched {
		if len(part.inFlight) > 0 {
			return false
		}
	}
	return true
}

// commit ends the transaction, beside the loop.
func (p *Pipe) commit(ctx context.Context) {
	t := p.txn
	t.committing = time.Now()
	acks := p.withMarkers()
	p.background(func() { t.committed <- t.out.Commit(ctx, acks) })
}

// withMarkers takes the acks of the transaction. The commit writes one marker into each partition that it touched, so the next record
// stands one offset further.
func (p *Pipe) withMarkers() []stream.Ack {
	t := p.txn
	now := time.Now()
	for part, appended := range t.touched {
		if !appended { // who knows whether it gets one
			part.down = Base{}
			continue
		}
		if part.down = part.down.after(1); !part.down.known() || part.unsure || part.skip > 0 {
			continue
		}
		part.told = part.acked
		t.held = append(t.held, stream.Ack{Source: part.Source, Remote: part.Remote, Topic: part.Topic,
			Next: part.acked, NextSequence: part.flushed, LeaderEpoch: part.ackedEpoch.Number(), NextDown: part.down.Offset(), At: now})
	}
	acks := t.held
	t.held = nil
	clear(t.touched)
	return acks
}

// wasCommitted goes on after a commit.
func (p *Pipe) wasCommitted(err error) {
	t := p.txn
	if t.ending() {
		t.every = min(max(transactionFor*time.Since(t.committing), transactionLeast), transactionMost)
	}
	t.opened, t.closing, t.committing = time.Time{}, false, time.Time{}
	if err != nil {
		p.giveUp(err)
		return
	}
	for _, a := range t.held { // they tell of places, not of batches
		p.acked(a)
	}
	t.held = nil
	for _, part := range p.parts {
		p.enqueue(part)
	}
}

// startsEpoch gives a partition its sequence in this epoch, which places of before do not know.
func (p *Pipe) startsEpoch(part *partition) {
	if p.txn != nil {
		part.sequence = p.txn.sequences[part.Remote]
		part.flushed = part.sequence
	}
}

// lastCommit commits what was sent, if all of it has been answered when the pipe stops. What is not committed is sent again by the
// next one.
func (p *Pipe) lastCommit() {
	t := p.txn
	if !t.open() || t.failed != nil {
		return
	}
	ctx, cancel := context.WithTimeout(p.sending, stopWait)
	defer cancel()
	switch {
	case t.ending():
		select {
		case err := <-t.committed:
			p.wasCommitted(err)
		case <-ctx.Done():
			p.giveUp(ctx.Err())
		}
	case p.allAnswered():
		p.wasCommitted(t.out.Commit(ctx, p.withMarkers()))
	}
}
