package replicate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/batch"
	"tandem/internal/stream"
)

// txnTarget is a target with transactions: what is appended in an epoch is seen when that epoch commits it.
type txnTarget struct {
	sim   *sim
	epoch int16
	logs  map[stream.Partition]*txnLog
	noted map[stream.Partition]stream.Ack // places, committed with the records
	ends  int                             // of pipes, by doubt
	wrong []string                        // places that acks told
}

type txnLog struct {
	next      int64 // offset
	sequence  int32
	recent    []simRange
	open      []string // in the transaction
	touched   bool
	committed []string
}

func (m *txnTarget) log(p stream.Partition) *txnLog {
	if m.logs[p] == nil {
		m.logs[p] = &txnLog{}
	}
	return m.logs[p]
}

// begin aborts what is open, in a new epoch.
func (m *txnTarget) begin() batch.Producer {
	m.sim.mu.Lock()
	defer m.sim.mu.Unlock()
	m.epoch++
	for _, l := range m.logs {
		l.end(false)
		l.sequence, l.recent = 0, nil
	}
	return batch.Producer{ID: 77, Epoch: m.epoch}
}

func (l *txnLog) end(commit bool) {
	if l.touched {
		l.next++ // the marker
	}
	if commit {
		l.committed = append(l.committed, l.open...)
	}
	l.open, l.touched = nil, false
}

func (m *txnTarget) take(item stream.Appending) (int64, error) {
	l := m.log(item.Remote)
	v, _, err := batch.Next(item.Batch)
	switch {
	case err != nil || v.Verify() != nil || !v.Transactional():
		return -1, code(stream.CodeInvalidRecord)
	case v.ProducerEpoch() != m.epoch:
		return -1, code(stream.CodeInvalidProducerEpoch)
	}
	l.touched = true
	first := v.BaseSequence()
	for _, r := range l.recent {
		if r.first == first && r.last == following(first, int64(v.Records())-1) {
			return r.base, nil
		}
	}
	if first != l.sequence {
		return -1, code(stream.CodeOutOfOrderSequence)
	}
	base := l.next
	l.sequence = following(first, int64(v.Records()))
	l.recent = append(l.recent, simRange{first, following(l.sequence, -1), base})
	l.open = append(l.open, simValues(item.Batch)...)
	l.next += int64(v.Records())
	return base, nil
}

func (m *txnTarget) sender(ctx context.Context, _ int32) Sender {
	s := &simSender{sim: m.sim, calls: make(chan func(), 16)}
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case call := <-s.calls:
				time.Sleep(time.Millisecond)
				call()
			}
		}
	}()
	return txnSender{m, s}
}

type txnSender struct {
	m *txnTarget
	*simSender
}

func (s txnSender) Send(_ context.Context, items []stream.Appending, done func([]stream.Appended, error)) {
	s.calls <- func() { done(s.produce(items)) }
}

func (s txnSender) produce(items []stream.Appending) (all []stream.Appended, err error) {
	m := s.m.sim
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fault() {
		return nil, errors.New("connection refused")
	}
	for _, item := range items {
		a := stream.Appended{Remote: item.Remote, Base: -1}
		if m.fault() {
			a.Err = code(refusals[m.rand.IntN(len(refusals))])
		} else {
			base, err := s.m.take(item)
			if a.Base, a.Err = stream.Downstream(base), err; err == nil && m.fault() {
				a.Err = code(stream.CodeRequestTimedOut) // and yet it is there
			}
		}
		all = append(all, a)
	}
	if m.fault() {
		return nil, errors.New("connection reset after the append")
	}
	return all, nil
}

// Commit implements Transactions.
func (m *txnTarget) Commit(_ context.Context, acks []stream.Ack) error {
	time.Sleep(5 * time.Millisecond)
	m.sim.mu.Lock()
	defer m.sim.mu.Unlock()
	if m.sim.fault() {
		return errors.New("the coordinator has moved")
	}
	for _, l := range m.logs {
		l.end(true)
	}
	last := make(map[stream.Partition]stream.Ack)
	for _, a := range acks {
		m.noted[a.Remote], last[a.Remote] = a, a
	}
	for remote, a := range last { // an earlier one may tell of the place before the marker, when the partition was quiet for a while
		if l := m.log(remote); a.Bytes == 0 && a.NextDown >= 0 && int64(a.NextDown) != l.next {
			m.wrong = append(m.wrong, fmt.Sprintf("%s is at %d, told %d", remote, l.next, a.NextDown))
		}
	}
	if m.sim.fault() {
		return errors.New("connection reset after the commit")
	}
	return nil
}

// Anchor and the rest implement Memory: places are those that were committed.
func (m *txnTarget) Anchor(remote stream.Partition) (Start, stream.TopicID, bool) {
	m.sim.mu.Lock()
	defer m.sim.mu.Unlock()
	a, ok := m.noted[remote]
	return Start{Next: a.Next, Epoch: EpochOf(a.LeaderEpoch)}, a.Topic, ok
}

func (m *txnTarget) Remember(context.Context, map[stream.Partition]Place) error { return nil }
func (m *txnTarget) Position(stream.Partition) (stream.Upstream, bool)          { return 0, false }

// Offsets answers for the remote partitions.
func (m *txnTarget) Offsets(_ context.Context, list []stream.Partition, at int64) (map[stream.Partition]int64, map[stream.Partition]error, error) {
	m.sim.mu.Lock()
	defer m.sim.mu.Unlock()
	ends := make(map[stream.Partition]int64)
	for _, p := range list {
		if ends[p] = 0; at == stream.Latest {
			ends[p] = m.log(p).next
		}
	}
	return ends, nil, nil
}

// nobody knows no producer id.
type nobody struct{}

func (nobody) ProducerStates(context.Context, int64, []stream.Partition) (map[stream.Partition]stream.ProducerState, map[stream.Partition]error, error) {
	return nil, nil, nil
}

func (nobody) Read(_ context.Context, p stream.Partition, _ int64, _ int32, _ bool) (stream.Fetched, error) {
	return stream.Fetched{Partition: p}, nil
}

func (m *txnTarget) complete() bool {
	m.sim.mu.Lock()
	defer m.sim.mu.Unlock()
	for p, l := range m.sim.logs {
		if len(m.log(stream.Partition{Topic: "A." + p.Topic, Number: p.Number}).committed) < len(l.want) {
			return false
		}
	}
	return true
}

// run is one pipe, until it ends by itself or over holds.
func (m *txnTarget) run(t *testing.T, list []Assignment, over func() bool) {
	t.Helper()
	c := m.sim.config(newSimMemory(), NewBudget(8<<20))
	c.Producer, c.Sender, c.Transactions = m.begin(), m.sender, m
	c.Resume = &InTransactions{Resumption: &Resumption{Flow: c.Flow, ProducerID: -1, Memory: m, Source: m.sim, Target: nobody{}, Remote: m,
		ReadSource: simReader{m.sim}, ReadRemote: nobody{}, Committed: true, Reset: ResetEarliest, Report: m.sim.report}}
	p := New(c)
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	wait.Go(func() {
		defer cancel()
		if err := p.Run(ctx); err != nil {
			if !errors.Is(err, ErrTransaction) {
				t.Error(err)
			}
			m.ends++
		}
	})
	_ = p.Assign(ctx, list)
	for ctx.Err() == nil && !over() {
		time.Sleep(50 * time.Millisecond) // of the test's clock
		m.sim.mu.Lock()
		move, stay := m.sim.rand.IntN(20) == 0, m.sim.rand.IntN(len(list))
		m.sim.mu.Unlock()
		if move { // partitions go and come back
			_ = p.Assign(ctx, list[:stay])
			_ = p.Assign(ctx, list)
		}
	}
	cancel()
	wait.Wait()
}

// Requests that fail and get lost, commits of which nobody knows, pipes that are stopped: what is committed is each record once, in order.
func TestTransactionsThroughEverything(t *testing.T) {
	for seed := range dice(*seeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSim(seed)
				m := &txnTarget{sim: s, logs: make(map[stream.Partition]*txnLog), noted: make(map[stream.Partition]stream.Ack)}
				var list []Assignment
				for i := range 2 + s.rand.Int32N(4) {
					list = append(list, s.add("orders", i, 20+s.rand.IntN(150)))
				}
				s.faults = 20 + s.rand.IntN(60)
				for range 2 {
					until := time.Now().Add(time.Duration(s.rand.Int64N(int64(3 * time.Second))))
					m.run(t, list, func() bool { return time.Now().After(until) })
				}
				for tries := 0; !m.complete(); tries++ {
					if tries > 200 {
						t.Fatal("it does not come to an end")
					}
					until := time.Now().Add(time.Hour)
					m.run(t, list, func() bool { return m.complete() || time.Now().After(until) })
				}
				for p, l := range s.logs {
					if got := m.log(stream.Partition{Topic: "A." + p.Topic, Number: p.Number}).committed; !slices.Equal(got, l.want) {
						t.Fatalf("%s: committed %d records, want %d; %d pipes ended", p, len(got), len(l.want), m.ends)
					}
				}
				if len(m.wrong) > 0 {
					t.Fatal(m.wrong[0])
				}
				t.Logf("%d pipes ended in doubt", m.ends)
			})
		})
	}
}
