package replicate

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/stream"
)

// runUntil runs a pipe until the condition holds, in the test's own time, and stops it.
func runUntil(t *testing.T, p *Pipe, list []Assignment, limit time.Duration, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- p.Run(ctx) }()
	if err := p.Assign(ctx, list); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	for !condition() {
		time.Sleep(5 * time.Millisecond)
		if time.Since(start) > limit {
			t.Errorf("not there after %v of simulated time: %+v", limit, p.Standings(ctx))
			break
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	synctest.Wait() // senders end a moment later
}

// compare holds each target against what a reader of the source sees, and each ack's runs against the truth.
func (m *sim) compare(t *testing.T) {
	t.Helper()
	for source, l := range m.logs {
		remote := stream.Partition{Topic: "A." + source.Topic, Number: source.Number}
		got := m.targets[remote].values
		if !slices.Equal(got, l.want) {
			i := 0
			for i < len(got) && i < len(l.want) && got[i] == l.want[i] {
				i++
			}
			t.Errorf("%s: %d records, want %d; first difference at %d", remote, len(got), len(l.want), i)
			continue
		}
		var next stream.Upstream
		for _, a := range m.acks[remote] {
			for _, r := range a.Runs {
				for i := range r.Count {
					if l.wantAt[int64(r.Down)+i] != int64(r.Up)+i {
						t.Fatalf("%s: ack says source %d is at %d, there is %d", remote, int64(r.Up)+i, int64(r.Down)+i, l.wantAt[int64(r.Down)+i])
					}
				}
			}
			if a.Next < next || a.Next == next && a.Bytes > 0 {
				t.Fatalf("%s: ack goes back from %d to %d", remote, next, a.Next)
			}
			next = a.Next
		}
	}
}

func TestPipeCopiesEverythingOnce(t *testing.T) {
	for _, faults := range []int{0, 60, 15} {
		for seed := range dice(12) {
			t.Run(fmt.Sprintf("one fault in %d, seed %d", faults, seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m := newSim(seed)
					var list []Assignment
					for i := range int32(6) {
						list = append(list, m.add("orders", i, 150))
					}
					m.faults = faults
					budget := NewBudget(8 << 20)
					runUntil(t, m.pipe(newSimMemory(), budget), list, 10*time.Minute, m.complete)
					m.compare(t)
					if used := budget.InUse(); used != 0 {
						t.Errorf("%d bytes of the budget were not given back", used)
					}
				})
			})
		}
	}
}

func TestPipeGoesOnWhereAKilledOneStopped(t *testing.T) {
	for seed := range dice(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newSim(seed)
				var list []Assignment
				for i := range int32(4) {
					list = append(list, m.add("orders", i, 200))
				}
				m.faults = 40
				total := 0
				for _, l := range m.logs {
					total += len(l.want)
				}
				memory := newSimMemory()
				for part := range 4 {
					held := func() int {
						m.mu.Lock()
						defer m.mu.Unlock()
						n := 0
						for _, target := range m.targets {
							n += len(target.values)
						}
						return n
					}
					// What a killed process leaves behind: anchors of some earlier moment, chosen at random.
					for remote, acks := range m.acks {
						a := acks[m.rand.IntN(len(acks))]
						memory.anchors[remote] = Start{Next: a.Next, Sequence: a.NextSequence, Down: BaseOf(a.NextDown)}
					}
					m.acks = make(map[stream.Partition][]stream.Ack)
					runUntil(t, m.pipe(memory, NewBudget(8<<20)), list, 10*time.Minute, func() bool { return held() >= total*(part+1)/4 })
				}
				m.compare(t)
			})
		})
	}
}

func TestPipeARefusedPartitionDoesNotStopOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newSim(3)
		good, bad := m.add("good", 0, 400), m.add("bad", 0, 400)
		m.targets[bad.Remote].refuse = &stream.BrokerError{Code: stream.CodeMessageTooLarge, Name: "MESSAGE_TOO_LARGE"}
		pipe := m.pipe(newSimMemory(), NewBudget(8<<20))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- pipe.Run(ctx) }()
		if err := pipe.Assign(ctx, []Assignment{good, bad}); err != nil {
			t.Fatal(err)
		}
		wait := func(what string, condition func() bool) {
			t.Helper()
			for range 100000 {
				if condition() {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
			t.Fatalf("never: %s", what)
		}
		count := func(p stream.Partition) int { m.mu.Lock(); defer m.mu.Unlock(); return len(m.targets[p].values) }
		wait("the good partition arrives", func() bool { return count(good.Remote) == len(m.logs[good.Source].want) })
		wait("the bad one is held", func() bool {
			for _, s := range pipe.Standings(ctx) {
				if s.Source == bad.Source {
					return s.State == Quarantined
				}
			}
			return false
		})
		if n := count(bad.Remote); n != 0 {
			t.Errorf("%d records in the refused partition", n)
		}
		m.mu.Lock()
		m.targets[bad.Remote].refuse = nil
		m.mu.Unlock()
		wait("the bad one goes on by itself", func() bool { return count(bad.Remote) == len(m.logs[bad.Source].want) })
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		m.compare(t)
	})
}
