package integration

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tandem/internal/archive/bundle"
	"tandem/internal/stream"
)

// moment is a time at which a test has stopped for a moment, and what it knows of them.
type moment struct {
	name   string
	at     time.Time
	ends   map[string][]int64                    // of topics, where all is archived; nil: it did not look
	groups map[string]map[stream.Partition]int64 // as committed last; nil as well
}

// wrote is what a cluster holds, markers among it, as an independent reader sees it.
type wrote [][]*kgo.Record

// asOf decides record by record what of a log had been written, and decided, by a moment.
func (w wrote) asOf(in func(partition int, r *kgo.Record) bool) [][]*kgo.Record {
	all := make([][]*kgo.Record, len(w))
	for p, records := range w {
		for i, r := range records {
			if r.Attrs.IsControl() || !in(p, r) {
				continue
			}
			if r.Attrs.IsTransactional() {
				end := slices.IndexFunc(records[i:], func(o *kgo.Record) bool { return o.Attrs.IsControl() && o.ProducerID == r.ProducerID })
				if end < 0 || records[i+end].Key[3] != 1 || !in(p, records[i+end]) { // open, aborted, or ended behind the moment
					continue
				}
			}
			all[p] = append(all[p], r)
		}
	}
	return all
}

func until(at time.Time) func(int, *kgo.Record) bool {
	return func(_ int, r *kgo.Record) bool { return r.Timestamp.UnixMilli() <= at.UnixMilli() }
}

func below(ends []int64) func(int, *kgo.Record) bool {
	return func(p int, r *kgo.Record) bool { return p < len(ends) && r.Offset < ends[p] }
}

func both(a, b func(int, *kgo.Record) bool) func(int, *kgo.Record) bool {
	return func(p int, r *kgo.Record) bool { return a(p, r) && b(p, r) }
}

// log reads a topic with its markers.
func (s side) log(topic string) wrote {
	s.t.Helper()
	ends, err := s.ends(topic)
	if err != nil {
		s.t.Fatal(err)
	}
	client := s.newClient(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.KeepControlRecords())
	defer client.Close()
	w, next := make(wrote, len(ends)), make([]int64, len(ends))
	for ctx := patient(s.t); slices.ContainsFunc(indexes(ends), func(p int) bool { return next[p] < ends[p] }); {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			s.t.Fatalf("read %s: %v", topic, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			w[r.Partition], next[r.Partition] = append(w[r.Partition], r), r.Offset+1
		})
	}
	return w
}

// past is what TestRestoreOfMoments lets happen.
type past struct {
	t      *testing.T
	a      side
	url    string
	m      *mirrorProcess
	random *rand.Rand
	plain  *kgo.Client
	txns   []*kgo.Client
	open   []bool
	count  int
}

const busy = "moment-busy" // its topic of three partitions

func (p *past) records() (list []*kgo.Record) {
	for range 1 + p.random.IntN(12) {
		p.count++
		at := time.Now().Add(time.Duration(p.random.IntN(6000)-3000) * time.Millisecond)
		list = append(list, &kgo.Record{Partition: int32(p.random.IntN(3)), Value: fmt.Appendf(nil, "%d", p.count), Timestamp: at})
	}
	return list
}

// happens writes plain records and steps of transactions.
func (p *past) happens(steps int) {
	p.t.Helper()
	ctx := patient(p.t)
	for range steps {
		i := p.random.IntN(len(p.txns) + 1)
		if i == len(p.txns) {
			if err := p.plain.ProduceSync(ctx, p.records()...).FirstErr(); err != nil {
				p.t.Fatal(err)
			}
			continue
		}
		var err error
		if !p.open[i] {
			err = p.txns[i].BeginTransaction()
		}
		if err == nil {
			err = p.txns[i].ProduceSync(ctx, p.records()...).FirstErr()
		}
		p.open[i] = p.random.IntN(3) > 0
		if err == nil && !p.open[i] {
			err = p.txns[i].EndTransaction(ctx, kgo.TransactionEndTry(p.random.IntN(3) > 0))
		}
		if err != nil {
			p.t.Fatal(err)
		}
	}
}

// settle ends all transactions.
func (p *past) settle() {
	p.t.Helper()
	for i, client := range p.txns {
		if p.open[i] {
			if err := client.EndTransaction(patient(p.t), kgo.TryCommit); err != nil {
				p.t.Fatal(err)
			}
			p.open[i] = false
		}
	}
}

// archivedNow waits until all is in the archive, and the events that the words are in.
func (p *past) archivedNow(events map[bundle.Kind]string, topics ...string) map[string][]int64 {
	p.t.Helper()
	ends := make(map[string][]int64)
	p.m.until("all in the archive", func() (err error) {
		k := archived(p.t, p.url, "A")
		for _, topic := range topics {
			if ends[topic], err = p.a.ends(topic); err != nil {
				return err
			}
			// A chunk of an earlier life may be longer: only the busy topic has just one.
			if topic == busy && !slices.Equal(ends[topic], k.ends[topic]) {
				return fmt.Errorf("%s: %v of %v", topic, k.ends[topic], ends[topic])
			}
		}
		for kind, words := range events {
			if !slices.ContainsFunc(k.events(kind), func(e string) bool { return strings.Contains(e, words) }) {
				return fmt.Errorf("no event with %q in %q", words, k.events(kind))
			}
		}
		return nil
	})
	return ends
}

// commits commits positions of the group, anywhere below the ends, and waits until the archive has them.
func (p *past) commits(group string) map[stream.Partition]int64 {
	p.t.Helper()
	ends, err := p.a.ends(busy)
	if err != nil {
		p.t.Fatal(err)
	}
	positions := make(map[stream.Partition]int64)
	for i, end := range ends {
		positions[stream.Partition{Topic: busy, Number: int32(i)}] = p.random.Int64N(end + 1)
	}
	p.a.commit(group, positions)
	p.m.until("positions of "+group, func() error {
		last := archived(p.t, p.url, "A").groups(group)
		for at, want := range positions {
			if last[at] != want {
				return fmt.Errorf("%s is archived at %d, want %d", at, last[at], want)
			}
		}
		return nil
	})
	return positions
}

// groups are the last positions of a group that the archive has.
func (k *kept) groups(group string) map[stream.Partition]int64 {
	last := make(map[stream.Partition]int64)
	for _, f := range k.footers {
		for _, e := range f.Events {
			if g, ok := e.Body.(bundle.GroupOffsets); ok && g.Group == group {
				for _, o := range g.Offsets {
					last[stream.Partition{Topic: o.Topic, Number: o.Partition}] = int64(o.Offset)
				}
			}
		}
	}
	return last
}

// pause waits until the milliseconds that everything so far happened in are over.
func pause() time.Time {
	at := time.Now()
	<-time.After(time.Until(at.Truncate(time.Millisecond).Add(3 * time.Millisecond)))
	return at
}

// Timestamps in disorder, transactions open, committed and aborted around the cut, topics made, deleted and made anew before and after
// it, a group that has moved on since: what comes back of each moment is what a decision record by record says.
func TestRestoreOfMoments(t *testing.T) {
	a, b := clusters(t)
	p := &past{t: t, a: a, url: "file://" + t.TempDir(), random: rand.New(rand.NewPCG(*seed, 14))}
	t.Logf("-seed %d", *seed)
	a.create(busy, 3, 1, nil)
	a.create("moment-remade", 2, 1, map[string]string{"retention.ms": "86400000"})
	a.create("moment-gone", 1, 1, nil)
	produce := []kgo.Opt{kgo.DefaultProduceTopic(busy), kgo.RecordPartitioner(kgo.ManualPartitioner())}
	p.plain = a.newClient(produce...)
	for i := range 3 {
		p.txns = append(p.txns, a.newClient(append(produce, kgo.TransactionalID(fmt.Sprint("moment-", i)))...))
	}
	p.open = make([]bool, len(p.txns))
	properties := fmt.Sprintf(archiveProperties, "B", a.Bootstrap, b.Bootstrap, "moment-.*", p.url) +
		"A->B.enabled = false\nemit.checkpoints.interval.seconds = 1\ngroups = moment-.*\n"
	p.m = startMirror(t, properties)
	p.m.waitFor("archiving")
	file := propertiesFile(t, properties)

	var moments []moment
	stop := func(name string, positions map[stream.Partition]int64, ends map[string][]int64) {
		pause() // what was seen at this millisecond belongs to it
		moments = append(moments, moment{name, pause(), ends, map[string]map[stream.Partition]int64{"moment-group": positions}})
	}
	p.happens(15)
	a.write("moment-remade", toPartition(1, numbered(50)))
	a.write("moment-gone", numbered(20))
	before := a.log("moment-remade")
	gone := a.log("moment-gone")
	p.happens(5)
	p.m.until("the first lives in the archive", func() error {
		k := archived(t, p.url, "A")
		if e := k.ends["moment-remade"]; len(e) != 2 || e[1] != 50 || len(k.ends["moment-gone"]) != 1 {
			return fmt.Errorf("%v, %v", e, k.ends["moment-gone"])
		}
		return nil
	})
	positions := p.commits("moment-group")
	stop("one", positions, p.archivedNow(map[bundle.Kind]string{bundle.KindTopicConfigs: "moment-remade: retention.ms=86400000"}, busy))

	// What is made after a look at the source is told as of that look: this one is seen by a later one.
	a.create("moment-tick", 1, 1, nil)
	p.archivedNow(map[bundle.Kind]string{bundle.KindTopicCreated: "moment-tick"})
	p.happens(10)
	a.recreate("moment-remade")
	a.delete("moment-gone")
	a.create("moment-late", 1, 1, nil)
	a.write("moment-remade", numberedFrom(1000, 30))
	a.write("moment-late", numbered(10))
	p.happens(10)
	p.archivedNow(map[bundle.Kind]string{bundle.KindTopicRecreated: "moment-remade", bundle.KindTopicDeleted: "moment-gone", bundle.KindTopicCreated: "moment-late"})
	positions = p.commits("moment-group")
	stop("two", positions, p.archivedNow(nil, busy))

	p.happens(10)
	p.settle()
	marked := runArchive(t, "mark", file, "moment-point").must(t)
	t.Log(marked.stdout)
	point := p.archivedNow(nil, busy)
	atPoint := positions
	p.happens(20)
	positions = p.commits("moment-group")
	stop("three", positions, p.archivedNow(nil, busy))
	p.happens(15)
	for slices.Index(p.open, true) < 0 { // one is open at the end of the archive
		p.happens(1)
	}
	last := p.archivedNow(nil, busy)
	p.m.stop()
	for i, client := range p.txns { // committed when nobody archives
		if p.open[i] {
			if err := client.EndTransaction(patient(t), kgo.TryCommit); err != nil {
				t.Fatal(err)
			}
		}
	}
	log, after, late := a.log(busy), a.log("moment-remade"), a.log("moment-late")

	restore := func(t *testing.T, prefix string, args ...string) side {
		t.Helper()
		r := runArchive(t, append([]string{"restore", file, "--to", "B", "--yes", "--rename-prefix", prefix}, args...)...)
		if r.status != 0 {
			t.Fatalf("%v: status %d\n%s%s", args, r.status, r.stdout, r.stderr)
		}
		return on(t, b.Cluster)
	}
	stamp := func(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z") }
	stands := func(t *testing.T, b side, prefix string, want [][]*kgo.Record, positions map[stream.Partition]int64) {
		t.Helper()
		got := b.committed("moment-group")
		for at, offset := range positions {
			n := int64(0)
			for _, r := range want[at.Number] {
				if r.Offset < offset {
					n++
				}
			}
			at.Topic = prefix + at.Topic
			if got[at] != n {
				t.Errorf("the group stands at %d of %s, want %d", got[at], at, n)
			}
		}
	}
	for i, m := range moments {
		t.Run(m.name, func(t *testing.T) {
			prefix := m.name + "-"
			b := restore(t, prefix, "--until", stamp(m.at))
			want := log.asOf(both(until(m.at), below(last[busy])))
			t.Logf("%d of %d records", total(want), total(log))
			wantSame(t, want, b.read(prefix+busy))
			stands(t, b, prefix, want, m.groups["moment-group"])
			topics := slices.DeleteFunc(b.topicsWith(prefix+"moment-"), func(topic string) bool { return strings.HasSuffix(topic, "tick") })
			if i == 0 {
				if !slices.Equal(topics, []string{prefix + busy, prefix + "moment-gone", prefix + "moment-remade"}) {
					t.Errorf("topics %q", topics)
				}
				wantSame(t, before.asOf(until(m.at)), b.read(prefix+"moment-remade"))
				wantSame(t, gone.asOf(until(m.at)), b.read(prefix+"moment-gone"))
				eventually(t, "its configs", hasConfigs(b, prefix+"moment-remade", map[string]string{"retention.ms": "86400000"}))
				return
			}
			if !slices.Equal(topics, []string{prefix + busy, prefix + "moment-late", prefix + "moment-remade"}) {
				t.Errorf("topics %q", topics)
			}
			wantSame(t, after.asOf(until(m.at)), b.read(prefix+"moment-remade"))
			wantSame(t, late.asOf(until(m.at)), b.read(prefix+"moment-late"))
			eventually(t, "its configs", hasConfigs(b, prefix+"moment-remade", map[string]string{}))
		})
		t.Run(m.name+" by the archive's clock", func(t *testing.T) {
			prefix := "a" + m.name + "-"
			b := restore(t, prefix, "--until", stamp(m.at), "--clock", "archive")
			want := log.asOf(below(m.ends[busy]))
			wantSame(t, want, b.read(prefix+busy))
			stands(t, b, prefix, want, m.groups["moment-group"])
		})
	}
	t.Run("point", func(t *testing.T) {
		b := restore(t, "p-", "--point", "moment-point")
		want := log.asOf(below(point[busy]))
		wantSame(t, want, b.read("p-"+busy))
		stands(t, b, "p-", want, atPoint)
		wantSame(t, after.asOf(func(int, *kgo.Record) bool { return true }), b.read("p-moment-remade"))
	})
	t.Run("all", func(t *testing.T) {
		wantSame(t, log.asOf(below(last[busy])), restore(t, "all-", "--topics", busy, "--no-groups").read("all-"+busy))
	})
	t.Run("any", func(t *testing.T) {
		first, length := moments[0].at.Add(-3*time.Second), time.Since(moments[0].at)+3*time.Second
		for i := range 4 {
			at, from := first.Add(time.Duration(p.random.Int64N(int64(length)))), first.Add(time.Duration(p.random.Int64N(int64(length))))
			if at.Before(from) {
				at, from = from, at
			}
			prefix := fmt.Sprintf("any%d-", i)
			want := log.asOf(both(until(at), below(last[busy])))
			for n := range want {
				want[n] = slices.DeleteFunc(want[n], func(r *kgo.Record) bool { return r.Timestamp.UnixMilli() < from.UnixMilli() })
			}
			b := restore(t, prefix, "--topics", busy, "--no-groups", "--until", stamp(at), "--from", stamp(from))
			wantSame(t, want, b.read(prefix+busy))
			t.Logf("from %s until %s: %d records", stamp(from), stamp(at), total(want))
		}
	})
}
