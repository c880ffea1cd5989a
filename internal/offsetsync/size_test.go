package offsetsync

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"testing"

	"tandem/internal/stream"
)

// heap is what is alive.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

// counted is a topic that only counts; nothing is read from it again.
type counted struct {
	next, bytes int64
}

func (c *counted) Segment(context.Context, int64) (stream.Record, error) {
	return stream.Record{}, errors.New("not kept")
}

func (c *counted) flush(m *Map) {
	records := m.Changed()
	for i := range records {
		records[i].Offset = c.next
		c.next++
		c.bytes += int64(len(records[i].Key) + len(records[i].Value))
	}
	m.Stored(records)
}

// load fills a map: a number of partitions with as many runs each.
func load(m *Map, c *counted, partitions, runs int, next func() (hole, count int64)) {
	for n := range partitions {
		p, up, down := stream.Partition{Topic: "A.orders", Number: int32(n)}, int64(0), int64(0)
		source := stream.Partition{Topic: "orders", Number: int32(n)}
		for i := range runs {
			hole, count := next()
			up += hole
			m.Ack(stream.Ack{Source: source, Remote: p, Topic: first, Bytes: 1,
				Runs: []stream.Run{run(up, down, count)}, Next: stream.Upstream(up + count)})
			up, down = up+count, down+count
			if i%100_000 == 0 {
				c.flush(m)
			}
		}
	}
	c.flush(m)
}

func TestSizes(t *testing.T) {
	const million = 1_000_000
	transactions := func() (int64, int64) { return 1, 1 }
	rnd := rand.New(rand.NewPCG(3, 4))
	random := func() (int64, int64) { return 1 + rnd.Int64N(3), 1 + rnd.Int64N(8) }
	plain := func() (int64, int64) { return 0, 100 }
	for _, c := range []struct {
		story            string
		partitions, runs int
		limit            int64
		next             func() (int64, int64)
		memory, stored   int64 // of all partitions; stored is the last state of each segment
	}{
		{"a million transactions of one record", 1, million, 16 << 20, transactions, 100_000, 200},
		{"a million transactions over fifty partitions", 50, million / 50, 16 << 20, transactions, 50 * 1000, 50 * 100},
		{"a million runs of any length", 1, million, 16 << 20, random, 8_000_000, 3_000_000},
		{"the same, little of it in memory", 1, million, 100_000, random, 300_000, 3_000_000},
		{"a thousand plain partitions", 1000, 100, 16 << 20, plain, 1000 * 1000, 1000 * 100},
	} {
		t.Run(c.story, func(t *testing.T) {
			topic := &counted{}
			before := heap()
			m := NewMap(c.limit, topic)
			load(m, topic, c.partitions, c.runs, c.next)
			used, size := heap()-before, m.Size()
			var stored int64
			for _, p := range m.partitions {
				for _, s := range p.segs {
					stored += int64(len(segmentKey(p.remote, s.down))) + 32
					if ops, ok := p.steps(s); ok {
						stored += int64(len(ops))
					} else {
						stored += int64(s.size)
					}
				}
			}
			t.Logf("%d segments, %d runs, %d bytes in memory (%d by our own count), %d stored, %d appended",
				size.Segments, size.Runs, used, size.Bytes, stored, topic.bytes)
			if used > c.memory || stored > c.stored {
				t.Errorf("%d bytes in memory, want at most %d; %d stored, want at most %d", used, c.memory, stored, c.stored)
			}
			if size.Bytes < used/2-10_000 || size.Bytes > 2*used+10_000 {
				t.Errorf("our own count of %d bytes is far from %d", size.Bytes, used)
			}
			runtime.KeepAlive(m)
		})
	}
}

func BenchmarkAck(b *testing.B) {
	rnd := rand.New(rand.NewPCG(3, 4))
	m, up, down := NewMap(16<<20, &counted{}), int64(0), int64(0)
	runs := make([]stream.Run, 100)
	b.ReportAllocs()
	for b.Loop() {
		for i := range runs {
			up += 1 + rnd.Int64N(3)
			runs[i] = run(up, down, 1+rnd.Int64N(8))
			up, down = up+runs[i].Count, down+runs[i].Count
		}
		m.Ack(stream.Ack{Source: orders, Remote: remote, Topic: first, Runs: runs, Next: stream.Upstream(up), Bytes: 1})
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(runs)), "ns/run")
}

func BenchmarkTranslate(b *testing.B) {
	for _, c := range []struct {
		name  string
		limit int64
	}{{"warm", 16 << 20}} {
		b.Run(c.name, func(b *testing.B) {
			rnd := rand.New(rand.NewPCG(3, 4))
			topic := &counted{}
			m := NewMap(c.limit, topic)
			load(m, topic, 1, 1_000_000, func() (int64, int64) { return 1 + rnd.Int64N(3), 1 + rnd.Int64N(8) })
			end, _, _ := m.Covered(stream.Partition{Topic: "A.orders"})
			b.ReportAllocs()
			for b.Loop() {
				if t, err := m.Translate(b.Context(), stream.Partition{Topic: "A.orders"}, stream.Upstream(rnd.Int64N(int64(end)))); err != nil || t.Class != stream.Exact {
					b.Fatal(t, err)
				}
			}
		})
	}
}
