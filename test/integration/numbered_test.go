package integration

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// writer writes numbered records, the numbers of each partition counting from 0, until it is told to end.
type writer struct {
	side       side
	topic      string
	partitions int
	key        []byte // of every record
	stop       context.CancelFunc
	done       chan struct{}

	mu    sync.Mutex // guards what is below
	acked []int64    // records by partition
	err   error
}

const (
	ratePerSecond = 5000
	burst         = 20 * time.Millisecond // records are written in bursts, one each time
)

// startWriter writes 5,000 records a second. Its client is idempotent and waits out a broker's absence: what it has written
// stands in the source once and in order.
func startWriter(s side, topic string, partitions int) *writer {
	s.t.Helper()
	return startWriterWith(s, topic, partitions, nil, kgo.ProducerBatchCompression(kgo.Lz4Compression()), kgo.ProducerLinger(5*time.Millisecond))
}

// startWriterWith also says what every record has for a key, and how batches are made.
func startWriterWith(s side, topic string, partitions int, key []byte, opts ...kgo.Opt) *writer {
	s.t.Helper()
	client := s.newClient(append([]kgo.Opt{
		kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(100 * time.Millisecond),
	}, opts...)...)
	ctx, stop := context.WithCancel(s.t.Context())
	w := &writer{side: s, topic: topic, partitions: partitions, key: key, stop: stop, done: make(chan struct{}), acked: make([]int64, partitions)}
	go func() {
		defer close(w.done)
		defer client.Close()
		w.run(ctx, client)
	}()
	s.t.Cleanup(func() {
		stop()
		<-w.done
	})
	return w
}

func (w *writer) run(ctx context.Context, client *kgo.Client) {
	tick := time.NewTicker(burst)
	defer tick.Stop()
	for n := int64(0); ctx.Err() == nil; {
		for range ratePerSecond * int64(burst) / int64(time.Second) {
			r := &kgo.Record{Partition: int32(n % int64(w.partitions)), Key: w.key, Value: fmt.Appendf(nil, "%d", n/int64(w.partitions))}
			client.Produce(context.WithoutCancel(ctx), r, w.answered)
			n++
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	flushed, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if err := client.Flush(flushed); err != nil {
		w.answered(&kgo.Record{}, err)
	}
}

func (w *writer) answered(r *kgo.Record, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.err = err
		return
	}
	w.acked[r.Partition]++
}

// total is how many records the source has acknowledged so far.
func (w *writer) total() (n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, acked := range w.acked {
		n += acked
	}
	return n
}

// end stops writing and returns how many records there are.
func (w *writer) end() int64 {
	w.side.t.Helper()
	w.stop()
	<-w.done
	if w.err != nil {
		w.side.t.Fatalf("write %s: %v", w.topic, w.err)
	}
	return w.total()
}

// grows waits until so many records more were written.
func (w *writer) grows(records int64) {
	w.side.t.Helper()
	from := w.total()
	eventually(w.side.t, "more records in "+w.topic, func() error {
		if n := w.total(); n < from+records {
			return fmt.Errorf("%d of %d", n-from, records)
		}
		return nil
	})
}

// tally is what is wrong with a topic of numbered records.
type tally struct{ records, lost, repeated, disordered int }

// count counts: a number that never comes is lost, one that comes again is repeated, and the first coming of a
// number after that of a higher one is out of order.
func count(records [][]*kgo.Record, written []int64) (t tally) {
	for p, list := range records {
		seen, highest := make([]bool, written[p]), -1
		for _, r := range list {
			t.records++
			n, err := strconv.Atoi(string(r.Value))
			switch {
			case err != nil || n >= len(seen) || seen[n]:
				t.repeated++ // a number that was never written is one too many as well
				continue
			case n < highest:
				t.disordered++
			}
			seen[n] = true
			highest = max(highest, n)
		}
		for _, s := range seen {
			if !s {
				t.lost++
			}
		}
	}
	return t
}

// wantEachOnce wants every record that the writer wrote, once and in order, for a reader with such options.
func (w *writer) wantEachOnce(target side, remote string, as ...kgo.Opt) {
	w.side.t.Helper()
	got := count(target.read(remote, as...), w.acked)
	w.side.t.Logf("%s: written %d, read %d, lost %d, repeated %d, out of order %d",
		remote, w.total(), got.records, got.lost, got.repeated, got.disordered)
	if got != (tally{records: int(w.total())}) {
		w.side.t.Fatalf("%s is not %s", remote, w.topic)
	}
}

func TestTheTallyCounts(t *testing.T) {
	tests := []struct {
		name    string
		numbers []string
		want    tally
	}{
		{"all", []string{"0", "1", "2", "3"}, tally{records: 4}},
		{"one lost", []string{"0", "1", "3"}, tally{records: 3, lost: 1}},
		{"the end lost", []string{"0", "1"}, tally{records: 2, lost: 2}},
		{"some again", []string{"0", "1", "2", "1", "2", "3"}, tally{records: 6, repeated: 2}},
		{"two exchanged", []string{"0", "2", "1", "3"}, tally{records: 4, disordered: 1}},
		{"one nobody wrote", []string{"0", "1", "2", "3", "4"}, tally{records: 5, repeated: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var records []*kgo.Record
			for _, n := range tt.numbers {
				records = append(records, kgo.StringRecord(n))
			}
			if got := count([][]*kgo.Record{records}, []int64{4}); got != tt.want {
				t.Fatalf("%+v, want %+v", got, tt.want)
			}
		})
	}
}
