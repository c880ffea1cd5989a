package replicate

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"testing"
	"time"

	"tandem/internal/stream"
)

// The source of the throttle's tests, which answers fetches as a broker does, to the byte.

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
