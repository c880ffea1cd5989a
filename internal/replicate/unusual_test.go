package replicate

import (
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/stream"
)

// TestPipeUnreadableBatchWhilePassingOver: a batch with holes has to be decoded to be counted, and cannot be. What was
// counted before it stays counted.
func TestPipeUnreadableBatchWhilePassingOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newSim(1)
		a := m.addPlain("orders", 0, 3)
		l := m.logs[a.Source]
		base := l.end
		good := simBatch(a.Source.String(), base, []int64{base, base + 2}, 0, -1)
		bad := simBatch("", base, []int64{base, base + 2}, 0, -1)
		bad = append(bad[:61], 0xff, 0xff, 0xff)
		bad = reseal(append(bad, make([]byte, 20)...))
		l.append(bad, base+2)
		l.see(a.Source.String(), []int64{base, base + 2})
		l.plain(a.Source.String(), 3, 2000)
		m.hold(a, 7000)
		memory := newSimMemory()
		memory.anchors[a.Remote] = Start{}
		go func() {
			time.Sleep(15 * time.Second)
			m.mu.Lock()
			l.batches[3].raw = good
			m.mu.Unlock()
		}()
		runUntil(t, m.pipe(memory, NewBudget(8<<20)), []Assignment{a}, time.Minute, m.complete)
		m.compare(t)
		if told := m.told("held"); len(told) != 1 {
			t.Errorf("told %q", told)
		}
	})
}

// TestPipeSmallBudget: three source brokers share a budget that is smaller than one answer, and some batches are larger.
func TestPipeSmallBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newSim(1)
		var list []Assignment
		for i := range int32(9) {
			a := m.addPlain("orders", i, 3)
			m.leads[a.Source] = 1 + i%3
			m.logs[a.Source].plain(a.Source.String(), 2, 20000)
			list = append(list, a)
		}
		budget := NewBudget(100 << 10)
		runUntil(t, m.pipe(newSimMemory(), budget), list, 5*time.Minute, m.complete)
		m.compare(t)
		if used := budget.InUse(); used != 0 {
			t.Errorf("%d bytes of the budget were not given back", used)
		}
	})
}

// TestPipeManyPartitions: three thousand of them, of which every tenth has records.
func TestPipeManyPartitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newSim(1)
		var list []Assignment
		for i := range int32(3000) {
			a := m.addPlain("orders", i, 0)
			m.leads[a.Source], m.leads[a.Remote] = 1+i%3, 1+i%2
			if i%10 == 0 {
				m.logs[a.Source].plain(a.Source.String(), 2, 100)
			}
			list = append(list, a)
		}
		runUntil(t, m.pipe(newSimMemory(), NewBudget(8<<20)), list, time.Minute, m.complete)
		m.compare(t)
	})
}

// TestPipeRemoteTopicMadeAnew: the remote topic is deleted with batches in flight, and is there again before they are sent
// again. Its first leader refuses once more; the batch after the refused one must not become the first of the new topic.
func TestPipeRemoteTopicMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newSim(1)
		a := m.addPlain("orders", 0, 20)
		calls := 0
		var before []string
		m.before = func(int32, stream.Appending) error {
			switch calls++; {
			case calls == 7: // deleted
				target := m.targets[a.Remote]
				before = target.values
				*target = simTarget{}
				return code(stream.CodeUnknownTopicOrPartition)
			case calls > 7 && calls < 14:
				return code(stream.CodeUnknownTopicOrPartition)
			}
			return nil
		}
		var all []string
		runUntil(t, m.pipe(newSimMemory(), NewBudget(8<<20)), []Assignment{a}, time.Minute, func() bool {
			m.mu.Lock()
			defer m.mu.Unlock()
			all = append(append([]string(nil), before...), m.targets[a.Remote].values...)
			return len(all) >= 40000
		})
		if !equalValues(all, m.logs[a.Source].want) {
			t.Errorf("%d records before and after, want %d", len(all), len(m.logs[a.Source].want))
		}
	})
}

// TestPipeLeaderMovesFromABrokerThatHangs: a partition that waits its turn behind requests that nobody answers goes to its new
// leader at once.
func TestPipeLeaderMovesFromABrokerThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newSim(1)
		var list []Assignment
		for i := range int32(8) { // more than requests that may be open
			a := m.addPlain("orders", i, 2)
			m.leads[a.Remote] = 2
			list = append(list, a)
		}
		m.hung.Store(2)
		pipe := m.pipe(newSimMemory(), NewBudget(600<<10)) // requests are small, one partition in each
		late := list[7]
		start := time.Now()
		runUntil(t, pipe, list[:7], 35*time.Second, func() bool {
			switch since := time.Since(start); {
			case since > 2*time.Second && since < 2010*time.Millisecond:
				_ = pipe.Assign(t.Context(), list)
			case since > 4*time.Second && since < 4010*time.Millisecond:
				m.mu.Lock()
				m.leads[late.Remote] = 1
				m.mu.Unlock()
				pipe.target.kick()
			}
			m.mu.Lock()
			defer m.mu.Unlock()
			return len(m.targets[late.Remote].values) == 4000
		})
	})
}

// TestPipeAnswersWhenItHasStopped: who asks a stopped pipe gets an answer.
func TestPipeAnswersWhenItHasStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newSim(1)
		a := m.addPlain("orders", 0, 1)
		pipe := m.pipe(newSimMemory(), NewBudget(8<<20))
		runUntil(t, pipe, []Assignment{a}, time.Minute, m.complete)
		if err := pipe.Assign(t.Context(), []Assignment{a}); err == nil {
			t.Error("a stopped pipe took an assignment")
		}
		if list := pipe.Standings(t.Context()); list != nil {
			t.Errorf("a stopped pipe stands at %v", list)
		}
	})
}
