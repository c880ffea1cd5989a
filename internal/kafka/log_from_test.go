package kafka

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/stream"
)

// Whoever appends knows where the records stand, in whatever order they came and whoever else wrote.
func TestAppendTellsOffsets(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(2), kfake.SeedTopics(3, "log"))
	a, other := adminOf(t, cluster.ListenAddrs()[0], nil), adminOf(t, cluster.ListenAddrs()[0], nil)
	ctx := within(t, 20*time.Second)
	random := rand.New(rand.NewPCG(1, 2))
	var next [3]int64
	for range 5 {
		records := make([]stream.Record, 1+random.IntN(2*appendChunk))
		for i := range records {
			records[i] = stream.Record{Partition: random.Int32N(3), Offset: 77, Key: fmt.Appendf(nil, "%d", i)}
		}
		if err := a.Append(ctx, "log", records); err != nil {
			t.Fatal(err)
		}
		for i, r := range records {
			if r.Offset != next[r.Partition] {
				t.Fatalf("record %d of partition %d at %d, want %d", i, r.Partition, r.Offset, next[r.Partition])
			}
			next[r.Partition]++
			if i%100 == 0 {
				if got, err := other.ReadAt(ctx, "log", r.Partition, r.Offset); err != nil || string(got.Key) != string(r.Key) || got.Offset != r.Offset {
					t.Fatalf("at %d of partition %d: %+v, %v", r.Offset, r.Partition, got, err)
				}
			}
		}
		if err := other.Append(ctx, "log", []stream.Record{{Partition: 1}}); err != nil {
			t.Fatal(err)
		}
		next[1]++
	}
	failed := []stream.Record{{Partition: 9, Offset: 77}}
	if err := a.Append(ctx, "log", failed); err == nil || failed[0].Offset != 77 {
		t.Errorf("offset %d, %v", failed[0].Offset, err)
	}
}

// A repetition that the broker knows no place for has none.
func TestAnOldRepetitionHasNoOffset(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "log"))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	cluster.ControlKey(kmsg.Produce.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		resp := kreq.ResponseKind().(*kmsg.ProduceResponse)
		partition := kmsg.NewProduceResponseTopicPartition()
		partition.BaseOffset, partition.ErrorCode = -1, kerr.DuplicateSequenceNumber.Code
		resp.Topics = []kmsg.ProduceResponseTopic{{Topic: "log", Partitions: []kmsg.ProduceResponseTopicPartition{partition}}}
		return resp, nil, true
	})
	records := []stream.Record{{}, {}}
	if err := a.Append(within(t, 10*time.Second), "log", records); err != nil || records[0].Offset != -1 || records[1].Offset != -1 {
		t.Errorf("at %d and %d, %v", records[0].Offset, records[1].Offset, err)
	}
}

// A topic is filled at random, with transactions, and in half of the runs compacted in between; whoever reads on from where the
// last reading ended gets each record once, and misses none that is still there.
func TestReadingOnGivesEachRecordOnce(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 5))
			committed, compacting := seed%2 == 0, seed >= 4
			cluster, _ := fakeCluster(t, kfake.NumBrokers(2))
			if err := cluster.CreateTopic("log", 2, map[string]string{"cleanup.policy": "compact"}); err != nil {
				t.Fatal(err)
			}
			a := adminOf(t, cluster.ListenAddrs()[0], nil)
			writers := []*kgo.Client{newWriter(t, cluster, 0), newWriter(t, cluster, 1)}
			ctx := within(t, 30*time.Second)
			list, read, next := &plainList{}, []stream.Record(nil), [2]int64{}
			for range 10 {
				for range random.IntN(6) {
					list.step(ctx, t, random, writers[random.IntN(2)])
				}
				if compacting {
					cluster.Compact()
				}
				for p := range next {
					on, err := a.ReadFrom(ctx, "log", int32(p), next[p], committed, func(r stream.Record) error {
						read = append(read, r)
						return nil
					})
					if err != nil || on < next[p] {
						t.Fatalf("from %d to %d: %v", next[p], on, err)
					}
					next[p] = on
				}
				checkReadAt(t, a, readAll(t, a, "log", committed), next)
			}
			got, visible := lines(read), lines(list.visible(committed))
			if !compacting && !slices.Equal(got, visible) {
				t.Errorf("read\n%s\nwant\n%s", got, visible)
			}
			if len(slices.Compact(slices.Clone(got))) != len(got) {
				t.Errorf("a record was read twice:\n%s", got)
			}
			for _, r := range got {
				if !slices.Contains(visible, r) {
					t.Errorf("nobody wrote %s", r)
				}
			}
			for _, r := range lines(readAll(t, a, "log", committed)) {
				if !slices.Contains(got, r) {
					t.Errorf("missed %s", r)
				}
			}
		})
	}
}

// lines is the transcript in the order of partitions and offsets.
func lines(records []stream.Record) []string {
	return strings.Split(strings.TrimSpace(transcript(sorted(records))), "\n")
}

// checkReadAt reads at every offset: what is there, and nothing where nothing is.
func checkReadAt(t *testing.T, a *Admin, all []stream.Record, ends [2]int64) {
	t.Helper()
	ctx := within(t, 30*time.Second)
	there := make(map[string]string)
	for _, r := range all {
		there[fmt.Sprint(r.Partition, r.Offset)] = transcript([]stream.Record{r})
	}
	for p := range int32(2) {
		for offset := int64(-1); offset <= ends[p]+1; offset += 3 {
			want, ok := there[fmt.Sprint(p, offset)]
			switch r, err := a.ReadAt(ctx, "log", p, offset); {
			case ok && (err != nil || transcript([]stream.Record{r}) != want):
				t.Errorf("at %d of partition %d: %v, %v, want %s", offset, p, r, err, want)
			case !ok && err == nil: // aborted ones are there for ReadAt
			case !ok && !errors.Is(err, ErrNoRecord):
				t.Errorf("at %d of partition %d: %v", offset, p, err)
			}
		}
	}
}

func TestReadFromItsBorders(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(2, "log"))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	ctx := within(t, 20*time.Second)
	if err := a.Append(ctx, "log", make([]stream.Record, 10)); err != nil {
		t.Fatal(err)
	}
	if err := cluster.DeleteRecords("log", 0, 4); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name              string
		partition         int32
		from, first, next int64
		records           int
	}{
		{"from before the beginning", 0, 1, 4, 10, 6},
		{"from within", 0, 7, 7, 10, 3},
		{"from the end", 0, 10, 0, 10, 0},
		{"from beyond the end", 0, 12, 0, 10, 0},
		{"an empty partition", 1, 0, 0, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []stream.Record
			next, err := a.ReadFrom(ctx, "log", test.partition, test.from, false, func(r stream.Record) error {
				got = append(got, r)
				return nil
			})
			if err != nil || next != test.next || len(got) != test.records || len(got) > 0 && got[0].Offset != test.first {
				t.Errorf("%d records, next %d, %v", len(got), next, err)
			}
		})
	}

	own := errors.New("enough")
	next, err := a.ReadFrom(ctx, "log", 0, 4, false, func(r stream.Record) error {
		if r.Offset == 6 {
			return own
		}
		return nil
	})
	if !errors.Is(err, own) || next != 6 {
		t.Errorf("ended by the caller: next %d, %v", next, err)
	}
	none := func(stream.Record) error { return nil }
	if next, err := a.ReadFrom(ctx, "log", 2, 5, false, none); Classify(err) != UnknownTopic || next != 5 {
		t.Errorf("no such partition: %d, %v", next, err)
	}
	if _, err := a.ReadFrom(ctx, "missing", 0, 0, false, none); !errors.Is(err, ErrUnknownTopic) {
		t.Errorf("no such topic: %v", err)
	}
	if _, err := a.ReadAt(ctx, "missing", 0, 0); !errors.Is(err, ErrUnknownTopic) {
		t.Errorf("no such topic: %v", err)
	}
	for _, offset := range []int64{-1, 0, 3, 10, 11} {
		if _, err := a.ReadAt(ctx, "log", 0, offset); !errors.Is(err, ErrNoRecord) {
			t.Errorf("at %d: %v", offset, err)
		}
	}
}
