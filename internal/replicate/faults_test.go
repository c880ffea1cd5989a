package replicate

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/stream"
)

// Histories of single faults, each of which once lost or repeated records, or stopped the pipe.

// plain writes batches of so many records each, without holes.
func (l *simLog) plain(topic string, batches, records int) {
	for range batches {
		offsets := make([]int64, records)
		for i := range offsets {
			offsets[i] = l.end + int64(i)
		}
		l.append(simBatch(topic, l.end, offsets, 0, -1), offsets[len(offsets)-1])
		l.see(topic, offsets)
	}
}

// addPlain adds a partition whose source has so many batches of 2000 records: large enough not to be merged.
func (m *sim) addPlain(topic string, number int32, batches int) Assignment {
	a := m.assignment(topic, number)
	l := &simLog{}
	l.plain(a.Source.String(), batches, 2000)
	m.logs[a.Source], m.targets[a.Remote] = l, &simTarget{}
	m.leads[a.Source], m.leads[a.Remote] = 1, 1
	return a
}

// hold takes what a killed process had sent of a source: the first so many records.
func (m *sim) hold(a Assignment, records int) {
	t := m.targets[a.Remote]
	t.values = append(t.values, m.logs[a.Source].want[:records]...)
	t.known, t.last = true, int32(records-1)
}

// told are the messages of events that contain a text.
func (m *sim) told(text string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []string
	for _, e := range m.events {
		if strings.Contains(e.Message, text) {
			list = append(list, e.Message)
		}
	}
	return list
}

// nth calls a script for one of the calls, counted from 1.
func nth(n int, err error) func(int32, stream.Appending) error {
	calls := 0
	return func(int32, stream.Appending) error {
		if calls++; calls == n {
			return err
		}
		return nil
	}
}

// TestPipeRefusedAfterResend: a batch is sent again while a queue was let go; then the next one is refused for a while. What was let go was
// never sent, so it must not count as done.
func TestPipeRefusedAfterResend(t *testing.T) {
	for name, c := range map[string]stream.Code{"refused": stream.CodeMessageTooLarge, "out of order": stream.CodeOutOfOrderSequence} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newSim(1)
				a := m.addPlain("orders", 0, 40)
				calls := 0
				m.before = func(int32, stream.Appending) error {
					switch calls++; calls {
					case 1:
						return code(stream.CodeNotLeaderOrFollower)
					case 3:
						return code(c)
					}
					return nil
				}
				runUntil(t, m.pipe(newSimMemory(), NewBudget(8<<20)), []Assignment{a}, time.Minute, m.complete)
				m.compare(t)
			})
		})
	}
}

// TestPipeFailsAtTheFirstBatchAfterAKill: what was passed over ends at the end of a batch, more batches came with the same
// fetch, and the first produce fails.
func TestPipeFailsAtTheFirstBatchAfterAKill(t *testing.T) {
	for _, held := range []int{1, 1999, 2000, 2001, 4000, 9999} {
		t.Run(fmt.Sprint(held), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newSim(1)
				a := m.addPlain("orders", 0, 40)
				m.hold(a, held)
				memory := newSimMemory()
				memory.anchors[a.Remote] = Start{}
				m.before = nth(1, code(stream.CodeMessageTooLarge))
				runUntil(t, m.pipe(memory, NewBudget(8<<20)), []Assignment{a}, time.Minute, m.complete)
				m.compare(t)
			})
		})
	}
}

// TestPipeIsInterruptedWhileItPassesOver: the source refuses the partition after a part of what is to be passed over was read.
func TestPipeIsInterruptedWhileItPassesOver(t *testing.T) {
	for name, c := range map[string]stream.Code{
		"denied": stream.CodeTopicAuthorization, "moved": stream.CodeNotLeaderOrFollower, "out of range for a moment": stream.CodeOffsetOutOfRange,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newSim(1)
				a := m.addPlain("orders", 0, 40)
				m.hold(a, 50000)
				memory := newSimMemory()
				memory.anchors[a.Remote] = Start{}
				pipe := m.pipe(memory, NewBudget(8<<20))
				pipe.sizes.MaxPartitionBytes = 100 << 10
				calls := 0
				m.reading = func(stream.Place) error {
					if calls++; calls == 3 {
						return code(c)
					}
					return nil
				}
				runUntil(t, pipe, []Assignment{a}, time.Minute, m.complete)
				m.compare(t)
			})
		})
	}
}

// TestPipeOutOfRangeWithAQueue: the target's leader is away, so records wait in the queue, and the source refuses the next
// offset for a moment.
func TestPipeOutOfRangeWithAQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newSim(1)
		a := m.addPlain("orders", 0, 40)
		pipe := m.pipe(newSimMemory(), NewBudget(8<<20))
		pipe.sizes.MaxPartitionBytes = 100 << 10
		hung := true
		m.before = func(int32, stream.Appending) error {
			if hung {
				return code(stream.CodeLeaderNotAvailable)
			}
			return nil
		}
		calls := 0
		m.reading = func(stream.Place) error {
			if calls++; calls == 3 {
				return code(stream.CodeOffsetOutOfRange)
			}
			return nil
		}
		go func() { time.Sleep(5 * time.Second); m.mu.Lock(); hung = false; m.mu.Unlock() }()
		runUntil(t, pipe, []Assignment{a}, time.Minute, m.complete)
		m.compare(t)
	})
}

// TestPipeThatIsFencedWaits: the target refuses our producer epoch for good. That is told once, and asked again now and then.
func TestPipeThatIsFencedWaits(t *testing.T) {
	for name, c := range map[string]stream.Code{"epoch": stream.CodeInvalidProducerEpoch, "sequence": stream.CodeOutOfOrderSequence} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newSim(1)
				a := m.addPlain("orders", 0, 4)
				m.before = func(int32, stream.Appending) error { return code(c) }
				start := time.Now()
				runUntil(t, m.pipe(newSimMemory(), NewBudget(8<<20)), []Assignment{a}, 2*time.Minute, func() bool { return time.Since(start) > time.Minute })
				if m.asked > 30 {
					t.Errorf("asked for producer states %d times in a minute", m.asked)
				}
				if told := m.told("held"); len(told) != 1 {
					t.Errorf("told %q", told)
				}
			})
		})
	}
}

// TestPipeTellsOnceOfARefusedPartition whatever number of times it is tried.
func TestPipeTellsOnceOfARefusedPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newSim(1)
		a := m.addPlain("orders", 0, 4)
		m.targets[a.Remote].refuse = code(stream.CodeMessageTooLarge)
		start := time.Now()
		runUntil(t, m.pipe(newSimMemory(), NewBudget(8<<20)), []Assignment{a}, 10*time.Minute, func() bool { return time.Since(start) > 5*time.Minute })
		if told := m.told("held"); len(told) != 1 {
			t.Errorf("told %d times: %q", len(told), told)
		}
	})
}

// TestPipeCorruptSource: a batch that fails its CRC holds the partition, after what stands before it was copied; it goes on
// when a healthy replica leads.
func TestPipeCorruptSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newSim(1)
		a := m.addPlain("orders", 0, 40)
		l := m.logs[a.Source]
		l.batches[20].raw[100] ^= 1
		start := time.Now()
		pipe := m.pipe(newSimMemory(), NewBudget(8<<20))
		go func() { time.Sleep(time.Minute); m.mu.Lock(); l.batches[20].raw[100] ^= 1; m.mu.Unlock() }()
		runUntil(t, pipe, []Assignment{a}, 5*time.Minute, func() bool {
			m.mu.Lock()
			n := len(m.targets[a.Remote].values)
			m.mu.Unlock()
			if since := time.Since(start); since > 55*time.Second && since < 59*time.Second && n != 40000 {
				t.Errorf("%d records before the corrupt batch", n)
				return true
			}
			return m.complete()
		})
		m.compare(t)
		if told := m.told("held"); len(told) != 1 || !strings.Contains(told[0], "40000") {
			t.Errorf("told %q", told)
		}
	})
}

// TestPipeTooLargeBehindOthers: the reason names the record and the setting even when batches were in flight.
func TestPipeTooLargeBehindOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newSim(1)
		a := m.addPlain("orders", 0, 10)
		l := m.logs[a.Source]
		big := make([]byte, 100<<10)
		for i := range big {
			big[i] = byte(m.rand.Uint32()) // does not compress
		}
		l.append(simBatch(string(big), l.end, []int64{l.end}, 0, -1), l.end)
		a.MaxBatch = 90 << 10
		m.targets[a.Remote].largest = 90 << 10
		runUntil(t, m.pipe(newSimMemory(), NewBudget(8<<20)), []Assignment{a}, time.Minute, func() bool { return len(m.told("held")) > 0 })
		if told := m.told("held"); !strings.Contains(told[0], "max.message.bytes") || !strings.Contains(told[0], "20000") {
			t.Errorf("told %q", told)
		}
	})
}
