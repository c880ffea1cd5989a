package replicate

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/stream"
)

// meteredLog is a source partition of equal batches.
type meteredLog struct {
	batch   []byte
	records int64
	end     int64 // batches written
	read    int64 // offset up to which the loop has read
}

// meteredSource is a source as a throttle sees it: brokers answer fetches as Kafka does, cut to the bytes that were asked for
// within a batch, and notes what went out when.
type meteredSource struct {
	mu    sync.Mutex // guards went, and end and read of logs
	logs  map[stream.Partition]*meteredLog
	went  []meteredAnswer
	delay time.Duration // of a request
	link  int64         // bytes per second of each broker
}

type meteredAnswer struct {
	at    time.Time
	topic string
	bytes int64
	whole int64 // of the answer
}

func newMeteredSource() *meteredSource {
	return &meteredSource{logs: make(map[stream.Partition]*meteredLog), delay: 2 * time.Millisecond, link: 4 << 20}
}

func (m *meteredSource) add(topic string, number int32, records int, batches int64) stream.Partition {
	p := stream.Partition{Topic: topic, Number: number}
	offsets := make([]int64, records)
	for i := range offsets {
		offsets[i] = int64(i)
	}
	m.logs[p] = &meteredLog{batch: simBatch(topic, 0, offsets, 0, -1), records: int64(records), end: batches}
	return p
}

// write adds a batch.
func (m *meteredSource) write(p stream.Partition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.logs[p].end++
}

func (m *meteredSource) allRead(p stream.Partition) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.logs[p].read == m.logs[p].end*m.logs[p].records
}

// bytesAt are so many bytes at most from an offset on; a whole batch at least if first.
func (l *meteredLog) bytesAt(offset, most int64, first bool) []byte {
	var b []byte
	for n := offset / l.records; n < l.end && int64(len(b)) < most; n++ {
		b = append(b, l.batch...)
		binary.BigEndian.PutUint64(b[len(b)-len(l.batch):], uint64(n*l.records))
	}
	if first && int64(len(b)) > 0 {
		most = max(most, int64(len(l.batch)))
	}
	return b[:min(int64(len(b)), most)]
}

// meteredSession is Kafka's fetch session: those that brought something come last the next time.
type meteredSession struct {
	*meteredSource
	order []stream.Partition
	at    map[stream.Partition]stream.Place
	told  map[stream.Partition]int64
}

func (s *meteredSession) Set(p stream.Place) {
	if _, ok := s.at[p.Partition]; !ok {
		s.order = append(s.order, p.Partition)
		s.told[p.Partition] = -1
	}
	s.at[p.Partition] = p
}

func (s *meteredSession) Forget(p stream.Partition) {
	delete(s.at, p)
	s.order = slices.DeleteFunc(s.order, func(o stream.Partition) bool { return o == p })
}

func (s *meteredSession) Fetch(ctx context.Context, bounds stream.FetchBounds) ([]stream.Fetched, error) {
	time.Sleep(s.delay)
	for waited := time.Duration(0); ; waited += time.Millisecond {
		all, whole := s.fetch(int64(bounds.MaxBytes))
		time.Sleep(time.Duration(whole) * time.Second / time.Duration(s.link))
		if len(all) > 0 || waited >= time.Duration(bounds.MaxWaitMillis)*time.Millisecond {
			return all, ctx.Err()
		}
		time.Sleep(time.Millisecond)
	}
}

func (s *meteredSession) fetch(left int64) (all []stream.Fetched, whole int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := left
	for _, p := range slices.Clone(s.order) {
		place, log := s.at[p], s.logs[p]
		f := stream.Fetched{Partition: p, HighWatermark: stream.Upstream(log.end * log.records)}
		f.Records = log.bytesAt(int64(place.Offset), min(left, int64(place.MaxBytes)), left == asked)
		left = max(left-int64(len(f.Records)), 0)
		whole += int64(len(f.Records))
		if len(f.Records) > 0 || s.told[p] != int64(f.HighWatermark) {
			s.told[p] = int64(f.HighWatermark)
			all = append(all, f)
		}
		if len(f.Records) > 0 {
			s.order = append(slices.DeleteFunc(s.order, func(o stream.Partition) bool { return o == p }), p)
			s.went = append(s.went, meteredAnswer{at: time.Now(), topic: p.Topic, bytes: int64(len(f.Records))})
		}
	}
	if whole > 0 {
		s.went[len(s.went)-1].whole = whole
	}
	return all, whole
}

// read has a loop for each list of partitions, which it leads, until stop is called. What is read is taken at once.
func (m *meteredSource) read(t *testing.T, throttle *Throttle, led ...[]stream.Partition) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	budget := NewBudget(64 << 20)
	done := make(chan struct{})
	for broker, list := range led {
		out := make(chan fetchAnswer)
		session := &meteredSession{meteredSource: m, at: make(map[stream.Partition]stream.Place), told: make(map[stream.Partition]int64)}
		f := newFetcher(int32(broker), session, budget, FetchSizes{}, nil, nil, out, make(chan struct{}, 1))
		if throttle != nil {
			f.pacer = newPacer(throttle)
		}
		for _, p := range list {
			f.read(stream.Place{Partition: p, LastEpoch: -1}, 1, &gate{})
		}
		go func() { f.run(ctx); close(out) }()
		go func() {
			defer func() { done <- struct{}{} }()
			for a := range out {
				m.mu.Lock()
				for _, c := range a.chunks {
					if c.err != nil {
						t.Errorf("%s: %v", c.partition, c.err)
					}
					for _, v := range c.views {
						if v.BaseOffset() != m.logs[c.partition].read {
							t.Errorf("%s: read %d, want %d", c.partition, v.BaseOffset(), m.logs[c.partition].read)
						}
						m.logs[c.partition].read = v.LastOffset() + 1
					}
					c.gate.buffered.Add(-c.bytes)
				}
				m.mu.Unlock()
				a.letGo()
			}
		}()
	}
	return func() {
		cancel()
		for range led {
			<-done
		}
		if used := budget.InUse(); used != 0 {
			t.Errorf("%d bytes of the budget were not given back", used)
		}
	}
}

// within is the dumb model of a bound: between any two answers of the topics no more than the rate allows, a second more, and one
// batch for each broker that does not fit.
func (m *meteredSource) within(t *testing.T, what string, rate, batches int64, topics func(string) bool) (total int64) {
	t.Helper()
	var list []meteredAnswer
	for _, a := range m.went {
		if topics(a.topic) {
			list = append(list, a)
			total += a.bytes
		}
	}
	for i := range list {
		sum := int64(0)
		for _, a := range list[i:] {
			sum += a.bytes
			if most := a.at.Sub(list[i].at).Seconds()*float64(rate) + float64(rate+batches); float64(sum) > most {
				t.Fatalf("%s: %d bytes in %v, with %d in a second", what, sum, a.at.Sub(list[i].at), rate)
			}
		}
	}
	return total
}

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

func TestMeteredLog(t *testing.T) {
	l := meteredLog{batch: bytes.Repeat([]byte{9}, 100), records: 10, end: 3}
	for _, c := range []struct {
		offset, most int64
		first        bool
		want         int
	}{{0, 50, true, 100}, {0, 50, false, 50}, {0, 150, true, 150}, {20, 1000, true, 100}, {30, 1000, true, 0}, {15, 1000, false, 200}, {0, 0, true, 0}} {
		if got := len(l.bytesAt(c.offset, c.most, c.first)); got != c.want {
			t.Errorf("%+v: %d bytes", c, got)
		}
	}
}
