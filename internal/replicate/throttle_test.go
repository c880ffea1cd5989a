package replicate

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/stream"
)

func named(prefix string) ThrottleRule {
	return ThrottleRule{Key: prefix, Matches: func(topic string) bool { return strings.HasPrefix(topic, prefix) }}
}

func (r ThrottleRule) at(rate int64) ThrottleRule { r.BytesPerSecond = rate; return r }

func every(string) bool { return true }

// Random flows: brokers, topics, partitions, batches of all sizes, and bounds that are below, near, or above what there is.
func TestThrottleAgainstAModel(t *testing.T) {
	for seed := range dice(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 1))
				m := newMeteredSource()
				led := make([][]stream.Partition, 1+random.IntN(3))
				largest := int64(0)
				rate := func() int64 { return 1 << (9 + random.IntN(11)) }
				flow, logs, orders := rate(), rate(), rate()
				if random.IntN(3) == 0 {
					flow = 0
				}
				for _, topic := range []string{"logs-a", "logs-b", "orders", "audit"} {
					if topic == "audit" && flow == 0 {
						continue // nothing would stand against it but the wire
					}
					records := 1 + random.IntN(1500)
					for n := range 1 + random.Int32N(12) {
						p := m.add(topic, n, records, 1<<40)
						broker := random.IntN(len(led))
						led[broker] = append(led[broker], p)
						largest = max(largest, int64(len(m.logs[p].batch)))
					}
				}
				throttle := NewThrottle()
				// The rule for orders comes first; a second one for the same topics counts for nothing. Audit has no bound of its own.
				throttle.Set(flow, []ThrottleRule{named("orders").at(orders), named("o").at(1), named("audit").at(0), named("logs").at(logs), named("").at(3)})
				began := time.Now()
				stop := m.read(t, throttle, led...)
				time.Sleep(40 * time.Second)
				took := time.Since(began).Seconds()
				stop()
				batches := largest * int64(len(led))
				if flow > 0 {
					got := m.within(t, "flow", flow, batches, every)
					if want := 0.95 * took * float64(flow); float64(got) < want {
						t.Errorf("the flow read %d bytes in %.0f s, of %d in a second", got, took, flow)
					}
				}
				for prefix, rate := range map[string]int64{"logs": logs, "orders": orders} {
					got := m.within(t, prefix, rate, batches, named(prefix).Matches)
					if want := 0.95 * took * float64(rate); float64(got) < want && flow == 0 {
						t.Errorf("%s read %d bytes in %.0f s, of %d in a second", prefix, got, took, rate)
					}
				}
			})
		})
	}
}

// One topic is at its bound, others are quiet or busy: they do not wait for it, on the same broker.
func TestThrottledTopicsDoNotHoldOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeteredSource()
		var led []stream.Partition
		for n := range int32(40) {
			led = append(led, m.add("logs", n, 2000, 1<<40))
		}
		quiet := m.add("orders", 0, 1, 0)
		throttle := NewThrottle()
		throttle.Set(0, []ThrottleRule{named("logs").at(10_000)})
		stop := m.read(t, throttle, append(led, quiet))
		for range 200 {
			time.Sleep(137 * time.Millisecond)
			m.write(quiet)
			written := time.Now()
			for !m.allRead(quiet) {
				time.Sleep(time.Millisecond)
			}
			if took := time.Since(written); took > 20*time.Millisecond {
				t.Fatalf("a record of a topic without a bound waited for %v", took)
			}
		}
		stop()
		m.within(t, "logs", 10_000, int64(len(m.logs[led[0]].batch)), named("logs").Matches)
	})
}

// Many partitions of one bound, which get less than it allows: all are read as fast as without it.
func TestThrottleThatIsNotReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeteredSource()
		m.delay = 100 * time.Millisecond
		var led []stream.Partition
		for n := range int32(300) {
			led = append(led, m.add("logs", n, 20, 0))
		}
		throttle := NewThrottle()
		throttle.Set(0, []ThrottleRule{named("logs").at(4 << 20)})
		stop := m.read(t, throttle, led)
		for range 100 { // about 1 MB in a second
			time.Sleep(100 * time.Millisecond)
			for _, p := range led {
				m.write(p)
			}
		}
		time.Sleep(time.Second)
		for _, p := range led {
			if !m.allRead(p) {
				t.Errorf("%s was read up to %d only", p, m.logs[p].read)
			}
		}
		stop()
	})
}

// Partitions of one bound take turns, whether or not there is room for several in a fetch.
func TestThrottleIsFair(t *testing.T) {
	for _, rate := range []int64{5000, 100_000} {
		synctest.Test(t, func(t *testing.T) {
			m := newMeteredSource()
			var led []stream.Partition
			for n := range int32(20) {
				led = append(led, m.add("logs", n, 100, 1<<40))
			}
			throttle := NewThrottle()
			throttle.Set(0, []ThrottleRule{named("logs").at(rate)})
			stop := m.read(t, throttle, led)
			time.Sleep(2 * time.Minute)
			stop()
			least, most := int64(1<<62), int64(0)
			for _, p := range led {
				least, most = min(least, m.logs[p].read), max(most, m.logs[p].read)
			}
			if least*2 < most {
				t.Errorf("%d bytes in a second: one partition was read up to %d, another up to %d", rate, least, most)
			}
		})
	}
}

// What is asked for grows where it has brought less than a batch.
func TestReadingNeeds(t *testing.T) {
	r := &reading{high: 10_000}
	if got := r.needs(500_000); got != 500_000 {
		t.Errorf("it asks for %d before anything is known", got)
	}
	r.weigh(1000, 1000)
	r.place.Offset = 1000
	if got := r.needs(500_000); got < 9000 || got > 15_000 {
		t.Errorf("9,000 offsets of a byte each: it asks for %d", got)
	}
	for range 10 {
		r.weigh(12_000, 1000)
	}
	if got := r.needs(500_000); got != 500_000 {
		t.Errorf("after ten fetches without a whole batch it asks for %d", got)
	}
}

// Bounds set while a flow runs: each is heeded within a second, although the one before left a large debt.
func TestThrottleSetAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeteredSource()
		led := []stream.Partition{m.add("logs", 0, 3000, 1<<40), m.add("orders", 0, 3000, 1<<40)}
		size := int64(len(m.logs[led[0]].batch))
		throttle := NewThrottle()
		throttle.Set(100, nil) // a batch takes minutes
		stop := m.read(t, throttle, led[:1], led[1:])
		read := func(d time.Duration) int64 {
			m.mu.Lock()
			m.went = nil
			m.mu.Unlock()
			time.Sleep(d)
			m.mu.Lock()
			defer m.mu.Unlock()
			sum := int64(0)
			for _, a := range m.went {
				sum += a.bytes
			}
			return sum
		}
		read(5 * time.Second)
		if got := read(5 * time.Second); got != 0 {
			t.Errorf("%d bytes were read before the debt was paid", got)
		}
		for _, c := range []struct {
			flow  int64
			rules []ThrottleRule
			rate  int64 // of both topics; 0: as fast as it goes
		}{
			{flow: 1 << 20, rate: 1 << 20},
			{flow: 0, rate: 0},
			{flow: 300_000, rules: []ThrottleRule{named("logs").at(1)}, rate: 300_000},
			{flow: 0, rules: []ThrottleRule{named("logs").at(1 << 18), named("orders").at(1 << 19)}, rate: 3 << 18},
			{flow: 0, rules: []ThrottleRule{named("logs").at(1 << 19), named("orders").at(1 << 18)}, rate: 3 << 18},
			{flow: 0, rules: []ThrottleRule{named("").at(1 << 18)}, rate: 1 << 18},
			{flow: 0, rate: 0},
		} {
			throttle.Set(c.flow, c.rules)
			read(3 * time.Second) // an answer of 8 MiB is on its way for two
			got := read(10 * time.Second)
			switch {
			case c.rate == 0 && got < 20<<20:
				t.Errorf("without a bound %d bytes were read in 10 s", got)
			case c.rate > 0 && (got > 11*c.rate+2*size || float64(got) < 0.95*10*float64(c.rate)-float64(2*size)):
				t.Errorf("%d bytes were read in 10 s, of %d in a second", got, c.rate)
			}
		}
		throttle.Set(1<<20, nil)
		read(time.Second)
		for range 100 { // the same again, as a file does that is read anew
			throttle.Set(1<<20, nil)
			time.Sleep(100 * time.Millisecond)
		}
		stop()
		m.within(t, "flow", 1<<20, 2*size, every)
	})
}

// No answer is larger than a second of the bound, if a batch fits at all; and a loop that waits has no memory.
func TestThrottledLoopsHoldNoMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeteredSource()
		var led []stream.Partition
		for n := range int32(20) {
			led = append(led, m.add("logs", n, 10, 1<<40))
		}
		throttle := NewThrottle()
		throttle.Set(20_000, []ThrottleRule{named("logs").at(10_000)})
		stop := m.read(t, throttle, led)
		time.Sleep(time.Minute)
		stop()
		for _, a := range m.went {
			if a.whole > 5000 {
				t.Fatalf("an answer of %d bytes", a.whole)
			}
		}
	})
}

// Through the whole pipe: all arrives, not faster than it may, and is shown as throttled, not as standing still.
func TestPipeWithAThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newSim(1)
		slow, fast := m.add("slow", 0, 60), m.add("fast", 0, 60)
		m.leads[slow.Source], m.leads[fast.Source] = 1, 1
		size := 0
		for _, e := range m.logs[slow.Source].batches {
			size += len(e.raw)
		}
		throttle := NewThrottle()
		throttle.Set(0, []ThrottleRule{named("slow").at(int64(size / 60))})
		budget := NewBudget(8 << 20)
		c := m.config(newSimMemory(), budget)
		c.Throttle = throttle
		pipe := New(c)
		began, states := time.Now(), map[State]time.Duration{}
		var fastAt, slowAt time.Duration
		runUntil(t, pipe, []Assignment{slow, fast}, 10*time.Minute, func() bool {
			for _, s := range pipe.Standings(t.Context()) {
				if s.Source == slow.Source {
					states[s.State] = time.Since(began)
					if !s.Moves && time.Since(began) > time.Second {
						t.Errorf("%s stands still after %v: %v", s.Source, time.Since(began), s.State)
					}
				}
			}
			m.mu.Lock()
			arrived := len(m.targets[fast.Remote].values) == len(m.logs[fast.Source].want)
			m.mu.Unlock()
			if arrived && fastAt == 0 {
				fastAt = time.Since(began)
			}
			slowAt = time.Since(began)
			return m.complete()
		})
		m.compare(t)
		if fastAt > 5*time.Second || slowAt < 30*time.Second || slowAt > 90*time.Second {
			t.Errorf("the fast topic took %v, the slow one %v, which should be about a minute", fastAt, slowAt)
		}
		if states[Throttled] < 30*time.Second {
			t.Errorf("states: %v", states)
		}
		if budget.InUse() != 0 {
			t.Error("memory was not given back")
		}
	})
}
