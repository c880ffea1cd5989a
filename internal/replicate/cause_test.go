package replicate

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/stream"
)

// TestCauses: the words of the errors that hold a partition, or have it wait.
func TestCauses(t *testing.T) {
	for _, c := range []struct {
		err   error
		holds Cause
		waits Cause
	}{
		{&truncation{}, Truncated, Outage},
		{halted(Recreated, "made anew"), Recreated, Outage},
		{halted(Expired, "too late"), Expired, Outage},
		{&foreignError{}, ForeignWriter, Outage},
		{&refusedRecord{error: code(stream.CodeInvalidTimestamp)}, RefusedRecord, Outage},
		{fmt.Errorf("produce: %w", code(stream.CodeMessageTooLarge)), RefusedRecord, Outage},
		{code(stream.CodeTopicAuthorization), MissingRight, MissingRight},
		{code(stream.CodeClusterAuthorization), MissingRight, MissingRight},
		{code(stream.CodeLeaderNotAvailable), OtherCause, Leaderless},
		{code(stream.CodeInvalidProducerEpoch), OtherCause, Outage},
		{errors.New("connection refused"), OtherCause, Outage},
	} {
		if got := causeOf(c.err); got != c.holds {
			t.Errorf("%v holds by %q, want %q", c.err, got, c.holds)
		}
		if got := outageOf(c.err); got != c.waits {
			t.Errorf("%v has wait by %q, want %q", c.err, got, c.waits)
		}
	}
	if len(Causes) != causes {
		t.Errorf("%d causes", len(Causes))
	}
}

// TestInSpiteOf: what makes others stand still is counted where a partition goes on, and the lag is right behind it.
func TestInSpiteOf(t *testing.T) {
	for _, c := range []struct {
		name   string
		cause  Cause
		times  int64
		config func(m *sim, a Assignment, config *Config)
		then   func(t *testing.T, m *sim, a Assignment, p *Pipe) // after half a second
		left   stream.Upstream                                   // where it stands in the end
	}{
		{"the source has lost what was not copied", Truncated, 1, nil, func(_ *testing.T, m *sim, a Assignment, _ *Pipe) {
			m.logs[a.Source].cut(4000, 1)
			m.logs[a.Source].plain("new", 2, 2000)
		}, 8000},
		{"and has nothing instead", Truncated, 1, nil, func(_ *testing.T, m *sim, a Assignment, _ *Pipe) { m.logs[a.Source].cut(4000, 1) }, 4000},
		{"a record is set aside", RefusedRecord, 2, func(m *sim, a Assignment, config *Config) {
			m.lag.Store(0)
			config.SetAside = func(context.Context, Refused) error { return nil }
			l, refused := m.logs[a.Source], make(map[string]error)
			for _, n := range []int{2500, 2600} {
				refused[l.want[n]] = code(stream.CodeInvalidTimestamp)
			}
			m.targets[a.Remote].refused = refused
		}, nil, 20000},
		{"retention was faster", Expired, 1, func(m *sim, a Assignment, config *Config) {
			l, memory := m.logs[a.Source], newSimMemory()
			memory.anchors[a.Remote] = Start{Next: 2000}
			l.start, l.batches = 6000, l.batches[3:]
			config.Resume.(*Resumption).Memory = memory
		}, nil, 20000},
		{"the topic was made anew", Recreated, 1, func(m *sim, a Assignment, config *Config) {
			memory := newSimMemory()
			memory.anchors[a.Remote], memory.topics[a.Remote] = Start{Next: 5000}, stream.TopicID{9}
			config.Resume.(*Resumption).Memory, config.Resume.(*Resumption).FollowNew = memory, true
		}, nil, 20000},
		{"the topic is gone", Deleted, 1, nil, func(t *testing.T, m *sim, a Assignment, p *Pipe) {
			m.reading = func(stream.Place) error { return code(stream.CodeUnknownTopicID) }
			m.mu.Unlock()
			defer m.mu.Lock()
			time.Sleep(700 * time.Millisecond)
			if err := p.Assign(t.Context(), nil); err != nil {
				t.Error(err)
			}
		}, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newSim(1)
				a := m.addPlain("orders", 0, 10)
				a.Topic, m.logs[a.Source].id = stream.TopicID{1}, stream.TopicID{1}
				m.lag.Store(int64(time.Second))
				config := m.config(newSimMemory(), NewBudget(8<<20))
				if c.config != nil {
					c.config(m, a, &config)
				}
				newLedger(m).run(t, config, []Assignment{a}, func(p *Pipe) {
					time.Sleep(500 * time.Millisecond)
					if c.then != nil {
						m.mu.Lock()
						c.then(t, m, a, p)
						m.mu.Unlock()
					}
					time.Sleep(2 * time.Minute)
					troubles := p.Totals().Troubles
					if troubles[c.cause] != c.times {
						t.Errorf("%v", troubles)
					}
					for _, s := range p.Standings(t.Context()) {
						if s.Lag() != 0 || s.Acked != c.left || s.Behind != 0 || time.Since(s.Sure) > 2*time.Second || s.State != Live {
							t.Errorf("lag of %d, %+v", s.Lag(), s)
						}
					}
				})
			})
		})
	}
}
