package integration

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tandem/internal/stream"
)

// sourceLedger knows the source offset of every record that was written, by its value, which is unique in its partition.
type sourceLedger struct {
	mu sync.Mutex
	at map[stream.Partition]map[string]int64
}

func newSourceLedger() *sourceLedger {
	return &sourceLedger{at: map[stream.Partition]map[string]int64{}}
}

func (l *sourceLedger) note(records []*kgo.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range records {
		p := stream.Partition{Topic: r.Topic, Number: r.Partition}
		if l.at[p] == nil {
			l.at[p] = map[string]int64{}
		}
		l.at[p][string(r.Value)] = r.Offset
	}
}

// rightPlaces are the records of a remote partition and where they come from, both ascending.
type rightPlaces struct {
	ups, downs []int64
	end        int64 // of the remote log
	again      int   // records that came more than once, or of a topic that was made anew

	// Of a compacted topic: the records that the source still has. A group may go on at the first of them as well, for what stands
	// before is of no use to it any more, and a map that had to be counted anew knows nothing of it.
	kept *rightPlaces
}

// keep notes which offsets the source still has.
func (r *rightPlaces) keep(ups []int64) {
	r.kept = &rightPlaces{end: r.end}
	for _, up := range ups {
		if i, there := slices.BinarySearch(r.ups, up); there {
			r.kept.ups, r.kept.downs = append(r.kept.ups, up), append(r.kept.downs, r.downs[i])
		}
	}
}

// last is where a group goes on at the latest.
func (r *rightPlaces) last(up int64) int64 {
	if r.kept != nil {
		return r.kept.of(up)
	}
	return r.of(up)
}

// of is where a group goes on that stands at an offset of the source.
func (r *rightPlaces) of(up int64) int64 {
	i := sort.Search(len(r.ups), func(i int) bool { return r.ups[i] >= up })
	if i == len(r.ups) {
		return r.end
	}
	return r.downs[i]
}

// places reads a remote topic. Where source offsets go back the later record counts: the source was made anew, or the flow was
// told to copy again.
func (l *sourceLedger) places(b side, source, remote string) map[stream.Partition]*rightPlaces {
	b.t.Helper()
	found := map[stream.Partition]*rightPlaces{}
	ends, err := b.ends(remote)
	if err != nil {
		b.t.Fatal(err)
	}
	for n, list := range b.read(remote) {
		p := stream.Partition{Topic: source, Number: int32(n)}
		right := &rightPlaces{end: ends[n]}
		found[p] = right
		l.mu.Lock()
		for _, r := range list {
			up, written := l.at[p][string(r.Value)]
			if !written {
				b.t.Fatalf("nobody wrote record %d of %s/%d: %.60q", r.Offset, remote, n, r.Value)
			}
			for k := len(right.ups); k > 0 && right.ups[k-1] >= up; k-- {
				right.ups, right.downs = right.ups[:k-1], right.downs[:k-1]
				right.again++
			}
			right.ups, right.downs = append(right.ups, up), append(right.downs, r.Offset)
		}
		l.mu.Unlock()
	}
	return found
}

// load writes to topics of several kinds at once, from begin to end, and notes all in a ledger.
type load struct {
	side   side
	kinds  []kind
	ledger *sourceLedger
	random []*rand.Rand // of each kind
	bursts []int        // of each kind, so far
	stop   chan struct{}
	done   sync.WaitGroup

	mu   sync.Mutex
	err  error
	sums map[string]int64 // records by topic
}

// kind is one topic of a load. A burst is what it writes at a time.
type kind struct {
	topic      string
	partitions int32
	configs    map[string]string
	remote     map[string]string // configs of the remote topic, which then is made before; empty: mirror makes it
	opts       []kgo.Opt
	pace       time.Duration
	burst      func(n int, random *rand.Rand) []*kgo.Record
	abort      func(n int) bool // not nil: in transactions
}

// kindsOf are topics that need all ways of a batch through mirror, and of an offset through the map.
func kindsOf(alias string) []kind {
	values := func(partition int32, n, records, size int) (list []*kgo.Record) {
		for i := range records {
			list = append(list, &kgo.Record{Partition: partition, Value: fmt.Appendf(nil, "%d.%d %s", n, i, strings.Repeat("x", size))})
		}
		return list
	}
	uncompressed := kgo.ProducerBatchCompression(kgo.NoCompression())
	return []kind{
		{topic: alias + "-plain", partitions: 2, pace: 40 * time.Millisecond,
			opts: []kgo.Opt{kgo.ProducerBatchCompression(kgo.Lz4Compression())},
			burst: func(n int, random *rand.Rand) []*kgo.Record {
				return values(int32(random.IntN(2)), n, 1+random.IntN(60), 20)
			}},
		{topic: alias + "-tiny", partitions: 1, pace: 40 * time.Millisecond, opts: []kgo.Opt{uncompressed, kgo.ProducerBatchMaxBytes(1024), kgo.ProducerLinger(0)},
			burst: func(n int, random *rand.Rand) []*kgo.Record { return values(0, n, 1+random.IntN(20), random.IntN(500)) }},
		{topic: alias + "-split", partitions: 1, pace: 100 * time.Millisecond, opts: []kgo.Opt{uncompressed, kgo.ProducerLinger(20 * time.Millisecond)},
			remote: map[string]string{"max.message.bytes": "6000"},
			burst:  func(n int, random *rand.Rand) []*kgo.Record { return values(0, n, 1+random.IntN(60), random.IntN(900)) }},
		{topic: alias + "-tx", partitions: 2, pace: 20 * time.Millisecond,
			burst: func(n int, random *rand.Rand) []*kgo.Record {
				list := values(int32(n%2), n, random.IntN(30), 10)
				return append(list, values(int32((n+1)%2), -n, random.IntN(5), 10)...)
			}, abort: func(n int) bool { return n%10 < 3 }},
		{topic: alias + "-ones", partitions: 1, pace: 5 * time.Millisecond,
			burst: func(n int, _ *rand.Rand) []*kgo.Record { return values(0, n, 1, 5) },
			abort: func(n int) bool { return n%7 == 0 }},
		{topic: alias + "-state", partitions: 1, pace: 20 * time.Millisecond, opts: []kgo.Opt{kgo.ProducerBatchMaxBytes(4 << 10)},
			configs: map[string]string{"cleanup.policy": "compact", "segment.ms": "1000", "min.cleanable.dirty.ratio": "0.01"},
			burst: func(n int, random *rand.Rand) []*kgo.Record {
				list := values(0, n, 1+random.IntN(30), 5)
				for i, r := range list {
					r.Key = fmt.Appendf(nil, "key %d", (i*i+random.IntN(3))%40)
				}
				return list
			}},
	}
}

// newLoad makes the topics.
func newLoad(a, b side, alias string, kinds []kind, seed uint64) *load {
	a.t.Helper()
	l := &load{side: a, kinds: kinds, ledger: newSourceLedger(), bursts: make([]int, len(kinds)), sums: map[string]int64{}}
	for i, k := range kinds {
		a.create(k.topic, k.partitions, 1, k.configs)
		if k.remote != nil {
			b.create(alias+"."+k.topic, k.partitions, 1, k.remote)
		}
		l.random = append(l.random, rand.New(rand.NewPCG(seed, uint64(i))))
	}
	return l
}

func (l *load) begin() {
	l.side.t.Helper()
	l.stop = make(chan struct{})
	for i, k := range l.kinds {
		opts := append([]kgo.Opt{kgo.DefaultProduceTopic(k.topic), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(100 * time.Millisecond)}, k.opts...)
		if k.abort != nil {
			opts = append(opts, kgo.TransactionalID(k.topic))
		}
		client := l.side.newClient(opts...)
		l.done.Go(func() {
			tick := time.NewTicker(k.pace)
			defer tick.Stop()
			for l.burst(client, k, i) {
				select {
				case <-l.stop:
					return
				case <-tick.C:
				}
			}
		})
	}
}

// burst writes a burst, or the transaction that is one.
func (l *load) burst(client *kgo.Client, k kind, i int) bool {
	ctx := l.side.t.Context()
	l.bursts[i]++
	n := l.bursts[i]
	var err error
	if k.abort != nil {
		err = client.BeginTransaction()
	}
	list := k.burst(n, l.random[i])
	if err == nil {
		err = client.ProduceSync(ctx, list...).FirstErr()
	}
	if err == nil && k.abort != nil {
		commit := kgo.TryCommit
		if k.abort(n) {
			commit = kgo.TryAbort
		}
		err = client.EndTransaction(ctx, commit)
	}
	if err == nil {
		l.ledger.note(list)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sums[k.topic] += int64(len(list))
	if err != nil {
		l.err = err
	}
	return err == nil
}

func (l *load) total() (n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		l.side.t.Fatalf("write: %v", l.err)
	}
	for _, sum := range l.sums {
		n += sum
	}
	return n
}

// grows waits until so many records more were written.
func (l *load) grows(more int64) {
	l.side.t.Helper()
	from := l.total()
	eventually(l.side.t, "more records", func() error {
		if n := l.total() - from; n < more {
			return fmt.Errorf("%d of %d", n, more)
		}
		return nil
	})
}

func (l *load) end() {
	l.side.t.Helper()
	close(l.stop)
	l.done.Wait()
	l.total()
}

func TestRightPlaces(t *testing.T) {
	r := rightPlaces{ups: []int64{3, 4, 8}, downs: []int64{0, 1, 5}, end: 6}
	for up, want := range map[int64]int64{0: 0, 3: 0, 4: 1, 5: 5, 8: 5, 9: 6, 100: 6} {
		if got := r.of(up); got != want {
			t.Errorf("%d is at %d, want %d", up, got, want)
		}
		if got := r.last(up); got != want {
			t.Errorf("%d is at %d at the latest, want %d", up, got, want)
		}
	}
	r.keep([]int64{4, 7, 8}) // 3 is compacted away, 7 was not copied
	for up, want := range map[int64]int64{0: 1, 3: 1, 4: 1, 5: 5, 8: 5, 9: 6} {
		if got := r.last(up); got != want {
			t.Errorf("the source has lost 3: %d is at %d at the latest, want %d", up, got, want)
		}
	}
	r.keep([]int64{8})
	if at, last := r.of(4), r.last(4); at != 1 || last != 5 {
		t.Errorf("the source has lost 4 too: it is from %d to %d, want from 1 to 5", at, last)
	}
}
