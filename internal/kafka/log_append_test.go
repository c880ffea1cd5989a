package kafka

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/stream"
)

// Whatever is appended, by however many at a time: no batch is larger than a topic takes, and each writer's records stay in
// order and are written once.
func TestBatchesAreBounded(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(2, "log"))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	var mu sync.Mutex
	largest := 0
	cluster.ControlKey(kmsg.Produce.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		for _, topic := range req.(*kmsg.ProduceRequest).Topics {
			for _, p := range topic.Partitions {
				largest = max(largest, len(p.Records))
			}
		}
		return nil, nil, false
	})
	random := rand.New(rand.NewPCG(1, 2))
	const writers, each = 4, 300
	var appending sync.WaitGroup
	for w := range writers {
		records := make([]stream.Record, each)
		for i := range records {
			size := random.IntN(20_000)
			if i%50 == 0 {
				size = 900_000 // one alone fits, two do not
			}
			records[i] = stream.Record{Partition: int32(i % 2), Key: fmt.Appendf(nil, "%d", w), Value: fmt.Appendf(make([]byte, size), "%d", i)}
		}
		appending.Go(func() {
			for some := range slices.Chunk(records, 100) {
				if err := a.Append(within(t, 60*time.Second), "log", some); err != nil {
					t.Error(err)
				}
			}
		})
	}
	appending.Wait()
	if limit := 1 << 20; largest > limit {
		t.Errorf("a batch of %d bytes, more than %d", largest, limit)
	}
	next, count := map[string]int{}, 0
	for _, r := range readAll(t, a, "log", false) {
		place := fmt.Sprintf("%s/%d", r.Key, r.Partition)
		want := fmt.Sprint(2*next[place] + int(r.Partition))
		if got := string(r.Value[max(0, len(r.Value)-len(want)):]); got != want {
			t.Fatalf("%s has %s after %d records", place, got, next[place])
		}
		next[place]++
		count++
	}
	if count != writers*each {
		t.Errorf("%d records, want %d", count, writers*each)
	}
}

func TestChunks(t *testing.T) {
	of := func(sizes ...int) []stream.Record {
		records := make([]stream.Record, len(sizes))
		for i, size := range sizes {
			records[i] = stream.Record{Key: []byte("key"), Value: make([]byte, size)}
		}
		return records
	}
	half := appendBytes/2 - recordOverhead - len("key")
	for story, c := range map[string]struct {
		records []stream.Record
		want    []int
	}{
		"small ones go together":              {of(1, 2, 3), []int{3}},
		"so many":                             {of(make([]int, 2*appendChunk+1)...), []int{appendChunk, appendChunk, 1}},
		"as many as fill it":                  {of(half, half, 0), []int{2, 1}},
		"one more byte":                       {of(half, half+1), []int{1, 1}},
		"a large one goes alone":              {of(1, 2*appendBytes, 2*appendBytes, 1, 1), []int{1, 1, 1, 2}},
		"tombstones, and records without key": {[]stream.Record{{Key: []byte("key")}, {Value: []byte("v")}, {}}, []int{3}},
	} {
		t.Run(story, func(t *testing.T) {
			var got []int
			for rest := c.records; len(rest) > 0; {
				messages := messagesOf("log", rest)
				n, size := chunk(messages)
				if n > 1 && size > appendBytes {
					t.Errorf("%d messages of %d bytes", n, size)
				}
				got = append(got, n)
				rest = rest[n:]
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("chunks of %v, want %v", got, c.want)
			}
		})
	}
}
