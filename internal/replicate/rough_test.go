package replicate

import (
	"context"
	"flag"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/stream"
)

var seeds = flag.Uint64("seeds", 25, "how many histories TestPipeThroughEverything makes up")

// dice is how many histories a test makes up, of n: a third with -short, as where the race detector makes each of them slow.
func dice(n uint64) uint64 {
	if testing.Short() {
		return (n + 2) / 3
	}
	return n
}

// TestPipeThroughEverything: kills, partitions taken away and given back, requests that fail, get lost, or arrive long
// after they were given up, partitions that are refused for a moment, leaders that move and go missing. In the end every
// record is there once and in order.
func TestPipeThroughEverything(t *testing.T) { throughEverything(t, false) }

// TestPipeThroughEverythingByContent: the same where the target's brokers cannot be asked what they know of a producer id.
func TestPipeThroughEverythingByContent(t *testing.T) { throughEverything(t, true) }

func throughEverything(t *testing.T, mute bool) {
	for seed := range dice(*seeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newSim(seed)
				m.mute = mute
				var list []Assignment
				for i := range 2 + m.rand.Int32N(5) {
					a := m.add("orders", i, 20+m.rand.IntN(150))
					if m.rand.IntN(3) == 0 {
						a.MaxBatch = 300 + m.rand.Int32N(5000) // batches have to be split
					}
					list = append(list, a)
				}
				m.faults, m.rough = 10+m.rand.IntN(60), true
				memory := &liveMemory{simMemory: newSimMemory(), sim: m}
				for _, target := range m.targets {
					if m.rand.IntN(4) == 0 && !mute { // the sequence is about to begin anew
						target.known, target.last = true, 1<<31-1-m.rand.Int32N(3000)
						target.replicated()
					}
				}
				for range m.rand.IntN(4) {
					until := time.Now().Add(time.Duration(m.rand.Int64N(int64(5 * time.Second))))
					m.churn(t, memory, list, func() bool { return time.Now().After(until) })
					memory.forgetSome()
				}
				m.churn(t, memory, list, m.complete)
				m.late.Wait()
				m.compare(t)
			})
		})
	}
}

// churn runs a pipe until the condition holds, and takes partitions away and gives them back meanwhile.
func (m *sim) churn(t *testing.T, memory Memory, list []Assignment, condition func() bool) {
	t.Helper()
	budget := NewBudget(8 << 20)
	pipe := m.pipe(memory, budget)
	ctx, cancel := context.WithCancel(t.Context())
	assigned := make(chan struct{})
	go func() {
		defer close(assigned)
		for ctx.Err() == nil {
			_ = pipe.Assign(ctx, list)
			time.Sleep(700 * time.Millisecond)
			var some []Assignment
			m.mu.Lock()
			for _, a := range list {
				if m.rand.IntN(3) > 0 {
					some = append(some, a)
				}
			}
			m.mu.Unlock()
			_ = pipe.Assign(ctx, some)
			time.Sleep(50 * time.Millisecond)
		}
	}()
	runUntil(t, pipe, list, 60*time.Minute, condition)
	cancel()
	<-assigned
	if used := budget.InUse(); used != 0 {
		t.Errorf("%d bytes of the budget were not given back", used)
	}
}

// liveMemory notes every acknowledgement, as the stores do, and forgets as much as a kill may.
type liveMemory struct {
	simMemory
	sim *sim
}

// Anchor tells the last acknowledged place.
func (l *liveMemory) Anchor(remote stream.Partition) (Start, stream.TopicID, bool) {
	l.sim.mu.Lock()
	defer l.sim.mu.Unlock()
	if acks := l.sim.acks[remote]; len(acks) > 0 {
		a := acks[len(acks)-1]
		l.anchors[remote] = Start{Next: a.Next, Sequence: a.NextSequence, Epoch: EpochOf(a.LeaderEpoch), Down: BaseOf(a.NextDown)}
	}
	return l.simMemory.Anchor(remote)
}

func (l *liveMemory) Remember(ctx context.Context, places map[stream.Partition]Place) error {
	l.sim.mu.Lock()
	defer l.sim.mu.Unlock()
	if l.sim.fault() {
		return fmt.Errorf("timed out")
	}
	return l.simMemory.Remember(ctx, places)
}

// forgetSome leaves an anchor and a position of some earlier moments for each partition.
func (l *liveMemory) forgetSome() {
	l.sim.mu.Lock()
	defer l.sim.mu.Unlock()
	for remote, acks := range l.sim.acks {
		a := acks[l.sim.rand.IntN(len(acks))]
		l.anchors[remote] = Start{Next: a.Next, Sequence: a.NextSequence, Epoch: EpochOf(a.LeaderEpoch), Down: BaseOf(a.NextDown)}
		noted := acks[l.sim.rand.IntN(len(acks))]
		l.positions[noted.Source] = noted.Next - 1
	}
	clear(l.sim.acks)
}
