package integration

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Without the producer ids that a direction has written with, its records would be sent back: neither direction runs.
func TestIdentityOriginsLost(t *testing.T) {
	a, b := clusters(t)
	const alias, topic = "lost", "lost-orders"
	a.create(topic, pairPartitions, 1, nil)
	b.create(topic, pairPartitions, 1, nil)
	properties := twoWay(alias, a, b)
	m := startMirror(t, properties)
	names := crossing(a, b, topic, "first", 5)
	both := func() {
		t.Helper()
		for _, s := range []side{a, b} {
			m.until("both sides to have all", s.holds(topic, int64(len(names))))
		}
	}
	both()
	m.stop()
	m = startMirror(t, properties) // ids are kept over restarts
	names = append(names, crossing(a, b, topic, "second", 5)...)
	both()

	b.delete("mm2-tandem.lost.internal") // while it runs: what it knows already it keeps in mind
	names = append(names, crossing(a, b, topic, "third", 5)...)
	m.waitFor("look up producer id", "what tells this flow's records on lostB from others is gone")
	m.Kill()
	had := []int64{mustCount(a, topic), mustCount(b, topic)}

	file := propertiesFile(t, properties)
	for name, args := range map[string][]string{"both": nil, "lost->lostB": {"--clusters", "lostB"}, "lostB->lost": {"--clusters", "lost"}} {
		t.Run(name, func(t *testing.T) {
			runMirror(t, append([]string{file}, args...)...).wantRefusal(t, "flow lost->lostB", "mm2-tandem.lost.internal", "would send them back", "Disable one direction")
		})
	}
	if now := []int64{mustCount(a, topic), mustCount(b, topic)}; now[0] != had[0] || now[1] != had[1] {
		t.Errorf("the sides had %d records, and have %d now", had, now)
	}
}

// With one direction in the file the target has one writer, which is mirror: local producers halt the partition.
func TestIdentityOneWayForeign(t *testing.T) {
	a, b := clusters(t)
	const alias, topic = "single", "single-orders"
	a.create(topic, pairPartitions, 1, nil)
	m := startMirror(t, oneWay(alias, a, b))
	a.write(topic, append(toPartition(0, numbered(100)), toPartition(1, numbered(100))...))
	m.until("the records", b.holds(topic, 200))
	b.write(topic, toPartition(0, []*kgo.Record{{Value: []byte("local")}}))
	a.write(topic, append(toPartition(0, numberedFrom(100, 100)), toPartition(1, numberedFrom(100, 100))...))
	m.waitFor(`"level":"error"`, "single-orders/0 is held", "halted", "somebody else writes to single-orders/0: offsets 100 to 100 are by producer id")
	m.until("the other partition", b.reaches(topic, 301))
	m.stop()
	if n := mustCount(a, topic); n != 400 {
		t.Errorf("the source has %d records, want its own 400", n)
	}
}

// Both sides write the same keys to a compacted topic. What the cleaner has been at is not taken for somebody else's.
func TestIdentityCompacted(t *testing.T) {
	a, b := clusters(t)
	const alias, topic = "keep", "keep-state"
	configs := map[string]string{"cleanup.policy": "compact", "segment.ms": "1000", "min.cleanable.dirty.ratio": "0.01"}
	a.create(topic, 1, 1, configs)
	b.create(topic, 1, 1, configs)
	properties := twoWay(alias, a, b)
	m := startMirror(t, properties)
	written := 0
	round := func(n int) {
		for i, s := range []side{a, b} {
			var list []*kgo.Record
			for k := range 300 {
				list = append(list, &kgo.Record{Key: fmt.Appendf(nil, "key-%d", k%20), Value: fmt.Appendf(nil, "%d at %s", n*300+k, "AB"[i:i+1])})
			}
			s.write(topic, list, kgo.ProducerBatchMaxBytes(2<<10))
			written += len(list)
		}
	}
	cleaned := func() {
		for _, s := range []side{a, b} {
			eventually(t, "the cleaner", func() error { // the active segment is not cleaned
				s.write(topic, []*kgo.Record{{Key: []byte("last"), Value: fmt.Appendf(nil, "at %d", time.Now().UnixNano())}})
				written++
				if kept := len(s.read(topic)[0]); kept > 200 {
					return fmt.Errorf("%d records are left", kept)
				}
				return nil
			})
		}
	}
	same := func() {
		t.Helper()
		for _, s := range []side{a, b} {
			m.until("both sides to have all", s.holds(topic, int64(written)))
		}
	}
	round(0)
	same()
	cleaned()
	same()
	m.Kill()
	round(1)
	cleaned()
	onA, onB := mustCount(a, topic), mustCount(b, topic)
	m = startMirror(t, properties)
	m.waitFor("replicating 1 partitions", "keep->keepB")
	// What was compacted away meanwhile cannot arrive, and nothing comes back: the newest local record of each side does.
	newest := func(s side, origin string) string {
		value := "flag of " + origin
		s.write(topic, []*kgo.Record{{Key: []byte(value), Value: []byte(value)}})
		return value
	}
	has := func(s side, value string) func() error {
		return func() error {
			for _, r := range s.read(topic)[0] {
				if string(r.Value) == value {
					return nil
				}
			}
			return fmt.Errorf("it is not there")
		}
	}
	for range 2 {
		ofA, ofB := newest(a, "A"), newest(b, "B")
		m.until("the flag of A", has(b, ofA))
		m.until("the flag of B", has(a, ofB))
	}
	m.stop()
	if lines := m.lines("is held"); len(lines) > 0 {
		t.Error(lines[0].Text)
	}
	// Each side has got no more than the other one's local records since.
	moreA, moreB := mustCount(a, topic)-onA, mustCount(b, topic)-onB
	t.Logf("A got %d records more, B %d", moreA, moreB)
	if most := int64(200); moreA > most || moreB > most {
		t.Errorf("A got %d records more, B %d: at most %d were to come", moreA, moreB, most)
	}
}
