package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"tandem/internal/batch"
	"tandem/internal/kafka"
	"tandem/internal/replicate"
	"tandem/internal/replicate/position"
	"tandem/internal/stream"
)

// Exactly once in transactions (exactly.once.source.support=enabled): records, MM2's positions and Tandem's anchors stand in the same
// transactions of the target. See docs/adr/0012-transactions.md.

const (
	// transactionTimeout is how long the coordinator waits before it aborts the transaction of a process that is gone.
	transactionTimeout = 10 * time.Second
	commitWait         = 3 * time.Second // of one commit
	settleEvery        = 50 * time.Millisecond
	tasksEvery         = 20                     // times settleEvery
	epochPause         = 500 * time.Millisecond // before a new epoch, when one has failed
)

// exactly is what a flow in transactions keeps beside the flow itself.
type exactly struct {
	txn    *kafka.Transaction
	log    transactionLog
	writer batch.Producer // of this epoch
	resume *replicate.InTransactions
}

// transactionalIDs is how the ids of MM2's tasks begin, and ours: the rights that MM2 was given by prefix are enough. A number behind it
// is always a task.
func (f *flow) transactionalIDs() string { return f.conf().Sharing.Group + "-MirrorSourceConnector-" }

var digits = regexp.MustCompile("^[0-9]+$")

// transactionalID is that of this process. One without a name that lasts does not fence what it was before: that is aborted when its time
// is over.
func (f *flow) transactionalID() string {
	name := f.process
	switch {
	case name == "":
		name = fmt.Sprintf("%s-%d", hostName(), os.Getpid())
	case digits.MatchString(name):
		name = "mirror-" + name
	}
	return f.transactionalIDs() + name
}

// epochs runs the replication, again and again where the flow goes in transactions: in a new epoch, from what was committed.
func (f *flow) epochs(ctx context.Context, run func(context.Context) error) error {
	if !f.conf().ExactlyOnce {
		return run(ctx)
	}
	txn, err := kafka.NewTransaction(f.clients.writer, f.transactionalID(), transactionTimeout)
	if err != nil {
		return cannotRun{fmt.Errorf("flow %s: %w", f.conf().Flow, err)}
	}
	defer txn.Close()
	for {
		f.exactly = &exactly{txn: txn, log: transactionLog{f.clients.target, txn}}
		if err := f.persist(ctx, "begin transactions on "+f.conf().Target, f.beginEpoch); err != nil {
			return err
		}
		err := run(ctx)
		switch {
		case ctx.Err() != nil && errors.Is(err, replicate.ErrTransaction):
			return nil
		case !errors.Is(err, replicate.ErrTransaction):
			return err
		}
		f.tell(stream.Warn, "a transaction was given up; what it had is sent again", stream.F("error", err))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(epochPause):
		}
	}
}

// beginEpoch takes the transactional id over.
func (f *flow) beginEpoch(ctx context.Context) error {
	id, epoch, err := f.exactly.txn.Begin(ctx)
	if err != nil {
		return err
	}
	f.exactly.writer = batch.Producer{ID: id, Epoch: epoch}
	return nil
}

// idle says that nobody is a member of the group, MM2 neither.
func (f *flow) idle(ctx context.Context) bool {
	members, err := f.clients.target.GroupMembers(ctx, f.conf().Sharing.Group)
	return err == nil && len(members) == 0
}

// endTasks aborts what tasks of a killed MM2 have left open, which would be over only after its transaction.timeout.ms. MM2 must not run.
func (f *flow) endTasks(ctx context.Context) error {
	open, err := f.clients.targetWire.OpenTransactions(ctx)
	if err != nil {
		return err
	}
	for _, id := range open {
		if task, ours := strings.CutPrefix(id, f.transactionalIDs()); !ours || !digits.MatchString(task) {
			continue
		}
		if err := f.clients.targetWire.FenceTransaction(ctx, id); err != nil {
			return fmt.Errorf("end what MirrorMaker 2 left open: %w", err)
		}
	}
	return nil
}

// settled waits until what is in an internal topic now is committed or aborted: what it says then is final. Others may go on writing
// behind it.
func (f *flow) settled(ctx context.Context, topic string, partitions int32) error {
	all := make([]stream.Partition, partitions)
	for n := range partitions {
		all[n] = stream.Partition{Topic: topic, Number: n}
	}
	goal, failed, err := f.clients.targetWire.Offsets(ctx, all, stream.Latest)
	for n, waiting := 0, true; waiting; n++ {
		for _, reason := range failed {
			err = errors.Join(err, reason)
		}
		if err != nil {
			return fmt.Errorf("find the ends of %s: %w", topic, err)
		}
		var stable map[stream.Partition]int64
		stable, failed = f.clients.targetWire.StableOffsets(ctx, all)
		waiting = len(failed) > 0
		for p, end := range goal {
			waiting = waiting || stable[p] < end
		}
		if !waiting || len(failed) > 0 {
			continue
		}
		if n%tasksEvery == 0 && f.idle(ctx) {
			if err := f.endTasks(ctx); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for transactions of others in %s: %w", topic, ctx.Err())
		case <-time.After(settleEvery):
		}
	}
	return nil
}

// notes is where anchors and positions are kept.
func (f *flow) notes() position.Log {
	if f.exactly == nil {
		return f.clients.target
	}
	return f.exactly.log
}

// transactionLog writes only as part of a commit: a process that others have taken for dead must not note anything else.
type transactionLog struct {
	*kafka.Admin
	txn *kafka.Transaction
}

type committing struct{}

var errNotNow = errors.New("positions are written with the records, when their transaction is committed")

// Append implements position.Log.
func (l transactionLog) Append(ctx context.Context, topic string, records []stream.Record) error {
	if ctx.Value(committing{}) == nil {
		return errNotNow
	}
	return l.txn.Append(ctx, topic, records)
}

// flushAnchors stores anchors, unless they go with the records.
func (r *replication) flushAnchors(ctx context.Context) error {
	if r.exactly != nil {
		return nil
	}
	return r.anchors.Flush(ctx)
}

// flushPositions stores MM2's positions, unless they go with the records.
func (r *replication) flushPositions(ctx context.Context) error {
	if r.exactly != nil {
		return nil
	}
	began := time.Now()
	err := r.positions.Flush(ctx)
	if err == nil {
		r.measured(time.Since(began))
	}
	return err
}

// measured notes how long it took to write positions.
func (r *replication) measured(took time.Duration) {
	r.board.histograms.ForFlow(r.conf().Flow.String()).Committed(took)
}

// knownWriter notes the transactional producer id among those of the flow, before its first use.
func (r *replication) knownWriter(ctx context.Context) error {
	if r.exactly == nil {
		return nil
	}
	own := r.anchorStore(r.clients.target)
	own.AddOrigin(r.exactly.writer.ID)
	return own.Flush(ctx)
}

// noteProducer notes the id of the flow's idempotent producer.
func (r *replication) noteProducer(ctx context.Context, p position.Producer) error {
	r.anchors.SetProducer(p)
	if r.exactly == nil {
		return r.anchors.Flush(ctx)
	}
	own := r.anchorStore(r.clients.target)
	own.SetProducer(p)
	return own.Flush(ctx)
}

// vouches has the group refuse the commits of a process whose partitions it has given to others.
func (r *replication) vouches(m *kafka.Share) {
	if r.exactly != nil {
		r.exactly.txn.Guard(r.conf().Sharing.Group, r.tandemTopic(), m.Member)
	}
}

// catchUp reads what other processes have noted, when what they have begun to note is over. We are a member of the group, so MM2 is not.
func (r *replication) catchUp(ctx context.Context) error {
	if r.exactly != nil {
		if err := r.endTasks(ctx); err != nil {
			return err
		}
	}
	if err := r.settled(ctx, r.tandemTopic(), 1); err != nil {
		return err
	}
	return r.journal.catchUp(ctx)
}

// convert notes places at once, for the change from the one way to the other.
func (r *replication) convert(ctx context.Context, places map[stream.Partition]replicate.Place) error {
	if err := r.memory.Remember(ctx, places); err != nil {
		return err
	}
	own := r.anchorStore(r.clients.target)
	for remote, p := range places {
		own.Set(remote, anchorOf(p))
	}
	return own.Flush(ctx)
}

// inTransactions makes the configuration of a pipe that of one with transactions, where the flow has them.
func (r *replication) inTransactions(c replicate.Config) replicate.Config {
	e := r.exactly
	if e == nil {
		return c
	}
	c.Producer = e.writer
	e.resume = &replicate.InTransactions{Resumption: c.Resume.(*replicate.Resumption), Convert: r.convert}
	c.Resume = e.resume
	c.Sender = func(ctx context.Context, broker int32) replicate.Sender { return e.txn.Sender(ctx, broker) }
	c.Transactions = commits{r, &sync.Mutex{}}
	c.Acked = func(a stream.Ack) { r.ackedExactly(a) }
	return c
}

// commits is the replicate.Transactions of a replication.
type commits struct {
	*replication
	one *sync.Mutex
}

// Commit implements replicate.Transactions.
func (c commits) Commit(ctx context.Context, acks []stream.Ack) error {
	c.one.Lock()
	defer c.one.Unlock()
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, committing{}, true), commitWait)
	defer cancel()
	for _, a := range acks {
		c.note(a)
	}
	began := time.Now()
	if err := c.positions.Flush(ctx); err != nil {
		return err
	}
	if err := c.anchors.Flush(ctx); err != nil {
		return err
	}
	if err := c.exactly.txn.Commit(ctx); err != nil {
		return err
	}
	c.measured(time.Since(began))
	for _, a := range acks {
		c.tellOf(a)
	}
	return nil
}

// ackedExactly takes an ack that belongs to no transaction: it tells of a place, which is noted with the next one.
func (r *replication) ackedExactly(a stream.Ack) {
	r.note(a)
	r.tellOf(a)
}

// note is what a commit has to make durable. The anchor keeps the sequence of the flow's idempotent producer, and no target offset: the
// marker comes between.
func (r *replication) note(a stream.Ack) {
	r.memory.set(a.Remote, position.Anchor{
		Source: a.Topic, NextUp: a.Next, NextSequence: r.exactly.resume.Sequence(a.Remote), NextDown: -1, LeaderEpoch: a.LeaderEpoch,
	})
	if a.Bytes > 0 {
		r.positions.Set(a.Source, lastOf(a))
	}
}
