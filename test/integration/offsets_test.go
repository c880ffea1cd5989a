package integration

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tandem/internal/stream"
)

const exactProperties = oneBroker + quiet + `
clusters = exact, exactB
exact.bootstrap.servers = %s
exactB.bootstrap.servers = %s
exact->exactB.enabled = true
exact->exactB.topics = exact-.*
exact->exactB.groups = exact-.*
exact.consumer.isolation.level = read_committed
emit.checkpoints.interval.seconds = 1
config.properties.exclude = segment\\.ms
`

// Groups that lag by any number of records go on at exactly the record where they were: over holes of every kind, after a
// kill, and after the map was deleted.
func TestOffsetsAreExact(t *testing.T) {
	a, b := clusters(t)
	size := 60_000
	if long() {
		size = 1_000_000
	}
	topics := []string{"exact-plain", "exact-tx", "exact-singles", "exact-state"}
	a.create("exact-plain", 1, 1, nil)
	a.create("exact-tx", 2, 1, nil)
	a.create("exact-singles", 1, 1, nil)
	a.create("exact-state", 1, 1, map[string]string{"cleanup.policy": "compact", "segment.ms": "1000", "min.cleanable.dirty.ratio": "0.01"})
	writeState(a, "exact-state", size/5)

	properties := fmt.Sprintf(exactProperties, a.Bootstrap, b.Bootstrap)
	m := startMirror(t, properties)
	writeInTransactions(a, "exact-singles", size/50, func(int) int { return 1 })
	writeInTransactions(a, "exact-tx", size/5, func(n int) int { return 1 + n%40 })
	m.until("something of it", b.reaches("exact.exact-tx", 1000))
	m.Kill() // what it had not noted has to be counted
	m = startMirror(t, properties)
	records := numbered(size - size/5 - size/5 - size/50)
	a.write("exact-plain", records, kgo.ProducerBatchMaxBytes(16<<10))

	e := &exactness{a: a, b: b, source: "exact", random: rand.New(rand.NewPCG(*seed, 5)), groups: 1000}
	t.Logf("-seed %d", *seed)
	e.learn(m, topics)
	t.Run("while it runs", func(t *testing.T) { e.check(t, m) })
	m.stop()
	m = startMirror(t, properties)
	t.Run("after a restart", func(t *testing.T) { e.check(t, m) })
	m.Kill()
	b.delete("mm2-tandem.exact.internal")
	m = startMirror(t, properties)
	t.Run("after the map was lost", func(t *testing.T) { e.check(t, m) })
	t.Run("MM2's client", func(t *testing.T) { e.checkMM2Client(t) })
	t.Run("the way back", func(t *testing.T) { e.checkReturn(t, propertiesFile(t, properties)) })
	m.stop()
}

// exactness knows every surviving record of the source and every record of the target.
type exactness struct {
	a, b   side
	source string // alias
	bare   bool   // topics keep their names
	random *rand.Rand
	groups int

	partitions []stream.Partition            // of the source
	survivors  map[stream.Partition][]placed // of the source
	at         map[stream.Partition]map[string]int64
	ends       map[stream.Partition][2]int64 // of source and target
	committed  map[string]commitment
}

// placed is a record's identity and where it stands.
type placed struct {
	offset int64
	value  string
}

type commitment struct {
	partition stream.Partition
	offset    int64
}

// remote is the name of a topic on the target.
func (e *exactness) remote(topic string) string {
	if e.bare {
		return topic
	}
	return e.source + "." + topic
}

// learn reads both sides once the mirror has copied everything.
func (e *exactness) learn(m *mirrorProcess, topics []string) {
	e.survivors, e.at = map[stream.Partition][]placed{}, map[stream.Partition]map[string]int64{}
	e.ends, e.committed = map[stream.Partition][2]int64{}, map[string]commitment{}
	for _, topic := range topics {
		source := e.a.read(topic, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
		m.until("all of "+topic, e.b.reaches(e.remote(topic), int64(total(source))))
		target := e.b.read(e.remote(topic))
		sourceEnds, err := e.a.ends(topic)
		if err != nil {
			e.a.t.Fatal(err)
		}
		wantSame(e.a.t, source, target)
		for n := range source {
			p := stream.Partition{Topic: topic, Number: int32(n)}
			e.partitions = append(e.partitions, p)
			e.at[p] = map[string]int64{}
			for _, r := range source[n] {
				e.survivors[p] = append(e.survivors[p], placed{r.Offset, identity(r)})
			}
			end := int64(0)
			for _, r := range target[n] {
				e.at[p][identity(r)] = r.Offset
				end = r.Offset + 1
			}
			e.ends[p] = [2]int64{sourceEnds[n], end}
		}
	}
}

// identity is unique among the records of a partition.
func identity(r *kgo.Record) string { return string(r.Key) + "\x00" + string(r.Value) }

// want is where a group goes on that stands at an offset of the source.
func (e *exactness) want(p stream.Partition, offset int64) int64 {
	list := e.survivors[p]
	i := sort.Search(len(list), func(i int) bool { return list[i].offset >= offset })
	if i == len(list) {
		return e.ends[p][1]
	}
	return e.at[p][list[i].value]
}

// check moves every group to a random offset and waits for checkpoints that are right to the record. No checkpoint on the
// way may skip a record.
func (e *exactness) check(t *testing.T, m *mirrorProcess) {
	for g := range e.groups {
		p := e.partitions[e.random.IntN(len(e.partitions))]
		c := commitment{p, e.random.Int64N(e.ends[p][0] + 1)}
		if g%50 == 0 {
			c.offset = e.ends[p][0]
		}
		group := fmt.Sprintf("%s-%d", e.source, g)
		e.committed[group] = c
		e.a.commit(group, map[stream.Partition]int64{p: c.offset})
	}
	m.until("exact checkpoints", func() error {
		latest := map[string]stream.Checkpoint{}
		for _, c := range e.checkpoints(t) {
			latest[c.Group+" "+c.Remote.String()] = c
		}
		wrong := 0
		var one error
		for group, c := range e.committed {
			remote := stream.Partition{Topic: e.remote(c.partition.Topic), Number: c.partition.Number}
			found, ok := latest[group+" "+remote.String()]
			if want := e.want(c.partition, c.offset); !ok || int64(found.Down) != want {
				wrong++
				one = fmt.Errorf("%s committed %s at %d: checkpoint %+v, want %d", group, c.partition, c.offset, found, want)
			}
		}
		if wrong > 0 {
			return fmt.Errorf("%d of %d are wrong: %w", wrong, len(e.committed), one)
		}
		return nil
	})
}

// checkpoints reads all checkpoints, and wants of each that it skips nothing.
func (e *exactness) checkpoints(t *testing.T) (list []stream.Checkpoint) {
	t.Helper()
	topic := e.source + ".checkpoints.internal"
	if _, err := e.b.ends(topic); err != nil {
		return nil
	}
	for _, r := range e.b.read(topic)[0] {
		c := checkpointOf(t, r)
		source := stream.Partition{Topic: strings.TrimPrefix(c.Remote.Topic, e.source+"."), Number: c.Remote.Number}
		if _, known := e.ends[source]; known && int64(c.Down) > e.want(source, int64(c.Up)) {
			t.Fatalf("checkpoint %+v skips records: %d is the first that was not read", c, e.want(source, int64(c.Up)))
		}
		list = append(list, c)
	}
	return list
}

// checkpointOf decodes by hand what MM2 writes.
func checkpointOf(t *testing.T, r *kgo.Record) (c stream.Checkpoint) {
	t.Helper()
	text := func(b []byte) (string, []byte) {
		n := binary.BigEndian.Uint16(b)
		return string(b[2 : 2+n]), b[2+n:]
	}
	rest := r.Key
	c.Group, rest = text(rest)
	c.Remote.Topic, rest = text(rest)
	c.Remote.Number = int32(binary.BigEndian.Uint32(rest))
	c.Up = stream.Upstream(binary.BigEndian.Uint64(r.Value[2:]))
	c.Down = stream.Downstream(binary.BigEndian.Uint64(r.Value[10:]))
	c.Metadata, _ = text(r.Value[18:])
	return c
}

// checkMM2Client asks the real RemoteClusterUtils for the positions of some groups.
func (e *exactness) checkMM2Client(t *testing.T) {
	groups := slices.Sorted(func(yield func(string) bool) {
		for g := range e.committed {
			if !yield(g) {
				return
			}
		}
	})[:20]
	out := java(t, "testdata/Translated.java", append([]string{e.b.Direct, e.source}, groups...)...)
	answers := map[string]string{}
	for l := range strings.Lines(out) {
		group, rest, _ := strings.Cut(strings.TrimSpace(l), " ")
		answers[group] += rest + ";"
	}
	if want := e.source + ".checkpoints.internal"; !strings.Contains(answers["checkpointTopics"], want) {
		t.Errorf("checkpointTopics are %q, want %s among them", answers["checkpointTopics"], want)
	}
	for _, group := range groups {
		c := e.committed[group]
		want := fmt.Sprintf("%s.%s-%d %d;", e.source, c.partition.Topic, c.partition.Number, e.want(c.partition, c.offset))
		if !strings.Contains(answers[group], want) {
			t.Errorf("translateOffsets of %s answers %q, want %q in it", group, answers[group], want)
		}
	}
}

// checkReturn puts groups at random offsets of the target and wants a plan to send each to the record that it stands at.
func (e *exactness) checkReturn(t *testing.T, file string) {
	at := map[string]commitment{}
	for g := range e.groups {
		p := e.partitions[e.random.IntN(len(e.partitions))]
		c := commitment{p, e.random.Int64N(e.ends[p][1] + 1)}
		if g%50 == 0 {
			c.offset = e.ends[p][1]
		}
		group := fmt.Sprintf("exact-back-%d", g)
		at[group] = c
		e.b.commit(group, map[stream.Partition]int64{{Topic: e.source + "." + p.Topic, Number: p.Number}: c.offset})
	}
	out := runFailover(t, "back", "plan", file, "--from", e.source+"B", "--to", e.source, "--groups", "exact-back-.*", "--json").must(t)
	plan := planOf(t, out.stdout)
	if len(plan.Groups) != len(at) {
		t.Fatalf("%d groups are planned, want %d", len(plan.Groups), len(at))
	}
	for _, g := range plan.Groups {
		c := at[g.Group]
		if len(g.Positions) != 1 {
			t.Fatalf("%s has positions %+v", g.Group, g.Positions)
		}
		got, list := g.Positions[0], e.survivors[c.partition]
		i := sort.Search(len(list), func(i int) bool { return list[i].offset >= got.New })
		next := e.ends[c.partition][1]
		if i < len(list) {
			next = e.at[c.partition][list[i].value]
		}
		if next != c.offset || got.Class != "exact" || got.New > e.ends[c.partition][0] {
			t.Fatalf("%s at %d of %s: the plan says %+v, where record %d of the target is the next", g.Group, c.offset, c.partition, got, next)
		}
	}
}

// writeInTransactions writes so many records over all partitions, in transactions of the size that a function gives; three
// of ten are aborted.
func writeInTransactions(s side, topic string, records int, size func(n int) int) {
	s.t.Helper()
	ends, err := s.ends(topic)
	if err != nil {
		s.t.Fatal(err)
	}
	client := s.newClient(kgo.TransactionalID(topic), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	defer client.Close()
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*patience)
	defer cancel()
	for n, written := 0, 0; written < records; n++ {
		commit := kgo.TryCommit
		if n%10 < 3 {
			commit = kgo.TryAbort
		}
		var list []*kgo.Record
		for range size(n) {
			list = append(list, &kgo.Record{Partition: int32(written % len(ends)), Value: fmt.Appendf(nil, "%d", written)})
			written++
		}
		err := client.BeginTransaction()
		if err == nil {
			err = client.ProduceSync(ctx, list...).FirstErr()
		}
		if err == nil {
			err = client.EndTransaction(ctx, commit)
		}
		if err != nil {
			s.t.Fatalf("write %s in transactions: %v", topic, err)
		}
	}
}

// writeState writes a compacted topic and waits until the cleaner has left holes in it, and rests.
func writeState(s side, topic string, records int) {
	s.t.Helper()
	var list []*kgo.Record
	for i := range records {
		list = append(list, &kgo.Record{Key: fmt.Appendf(nil, "key-%d", i*i%(records/3)), Value: fmt.Appendf(nil, "%d", i)})
	}
	s.write(topic, list, kgo.ProducerBatchMaxBytes(8<<10))
	eventually(s.t, "the segment to roll", func() error { // the active segment is not cleaned
		s.write(topic, []*kgo.Record{{Key: []byte("last"), Value: fmt.Appendf(nil, "at %d", time.Now().UnixNano())}})
		if kept := len(s.read(topic)[0]); kept > records*2/3 {
			return fmt.Errorf("%d of %d records are left", kept, records)
		}
		return nil
	})
	s.configure(topic, map[string]string{"min.compaction.lag.ms": "86400000"}) // and no more
	before := -1
	eventually(s.t, "the cleaner to rest", func() error {
		kept := len(s.read(topic)[0])
		defer func() { before = kept }()
		if kept != before {
			return fmt.Errorf("%d records, before %d", kept, before)
		}
		return nil
	})
}
