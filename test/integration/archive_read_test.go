package integration

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/store"
)

// kept is what an archive holds, read without any of the code that restores: bundles are opened one by one, and the records are
// decoded by the client library.
type kept struct {
	footers []bundle.Footer
	records map[string][]map[int64]*kgo.Record // by topic, partition and offset; without markers
	ends    map[string][]int64                 // where the chunks end, if they have no hole
	twice   int                                // records that stand in two chunks
	trouble []error
}

// archived reads the archive of cluster A at a URL.
func archived(t *testing.T, url string, from string) *kept {
	t.Helper()
	s, err := store.Open(t.Context(), url, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	k := &kept{records: make(map[string][]map[int64]*kgo.Record), ends: make(map[string][]int64)}
	for info, err := range s.List(t.Context(), bundle.Folder("", from), "") {
		if err != nil {
			t.Fatal(err)
		}
		at, size, err := store.ReaderAt(t.Context(), s, info.Name)
		if err != nil {
			t.Fatal(err)
		}
		r, err := bundle.Open(t.Context(), at, size, bundle.OpenOptions{Name: info.Name})
		if err != nil {
			t.Fatal(err)
		}
		k.footers = append(k.footers, r.Footer())
		for i, e := range r.Footer().Chunks {
			raw, err := r.Chunk(t.Context(), i, nil)
			if err != nil {
				t.Fatal(err)
			}
			k.add(e, raw)
		}
	}
	return k
}

func (k *kept) add(e bundle.Entry, raw []byte) {
	topic, p := e.Topic.Name, int(e.Partition)
	for len(k.records[topic]) <= p {
		k.records[topic] = append(k.records[topic], make(map[int64]*kgo.Record))
		k.ends[topic] = append(k.ends[topic], 0)
	}
	part := &kmsg.FetchResponseTopicPartition{Partition: e.Partition, HighWatermark: int64(e.Next), LastStableOffset: int64(e.Next), RecordBatches: raw}
	fetched, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Offset: int64(e.First), Topic: topic, Partition: e.Partition},
		part, kgo.DefaultDecompressor(), nil)
	if fetched.Err != nil {
		k.trouble = append(k.trouble, fmt.Errorf("%s/%d from %d: %w", topic, p, e.First, fetched.Err))
	}
	if int64(e.First) > k.ends[topic][p] {
		k.trouble = append(k.trouble, fmt.Errorf("%s/%d: nothing of %d to %d", topic, p, k.ends[topic][p], e.First))
	}
	k.ends[topic][p] = max(k.ends[topic][p], int64(e.Next))
	for _, r := range fetched.Records {
		if r.Offset >= int64(e.Next) {
			k.trouble = append(k.trouble, fmt.Errorf("%s/%d: a record at %d in a chunk up to %d", topic, p, r.Offset, e.Next))
		}
		if k.records[topic][p][r.Offset] != nil {
			k.twice++
		}
		k.records[topic][p][r.Offset] = r
	}
}

// of are the records of a topic by partition, in the order of their offsets.
func (k *kept) of(topic string) (all [][]*kgo.Record) {
	for _, part := range k.records[topic] {
		var list []*kgo.Record
		for _, offset := range slices.Sorted(maps.Keys(part)) {
			list = append(list, part[offset])
		}
		all = append(all, list)
	}
	return all
}

// events are the bodies of events, as text, by kind, in their order.
func (k *kept) events(kind bundle.Kind) (all []string) {
	for _, f := range k.footers {
		for _, e := range f.Events {
			if e.Kind() == kind {
				all = append(all, e.Body.String())
			}
		}
	}
	return all
}

// reachesEnds is a condition: the archive has all that the topic has.
func reachesEnds(t *testing.T, url string, source side, topic string) func() error {
	t.Helper()
	return func() error {
		ends, err := source.ends(topic)
		if err != nil {
			return err
		}
		if has := archived(t, url, "A").ends[topic]; !slices.Equal(has, ends) {
			return fmt.Errorf("archived up to %v of %v", has, ends)
		}
		return nil
	}
}

// wantArchived compares the archive with the source, record by record: aborted ones too, each once, at its offset.
func wantArchived(t *testing.T, url string, source side, topic string) *kept {
	t.Helper()
	k := archived(t, url, "A")
	for _, err := range k.trouble {
		t.Error(err)
	}
	if k.twice > 0 {
		t.Errorf("%d records stand in the archive twice", k.twice)
	}
	want, got := source.read(topic), k.of(topic)
	if len(want) != len(got) {
		t.Fatalf("%d partitions in the archive, want %d", len(got), len(want))
	}
	for p := range want {
		for i := range min(len(want[p]), len(got[p])) {
			if want[p][i].Offset != got[p][i].Offset {
				t.Fatalf("%s/%d: record %d stands at %d, want %d", topic, p, i, got[p][i].Offset, want[p][i].Offset)
			}
		}
	}
	wantSame(t, want, got)
	wantChain(t, k.footers)
	return k
}

// wantChain checks that no bundle of a writer is missing.
func wantChain(t *testing.T, footers []bundle.Footer) {
	t.Helper()
	last := make(map[string]bundle.Digest)
	for _, f := range footers {
		if f.Previous != last[f.Header.Writer] {
			t.Errorf("bundle %d of generation %d names another one before it", f.Header.Sequence, f.Header.Generation)
		}
		last[f.Header.Writer] = f.Digest
	}
}
