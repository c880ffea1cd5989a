package integration

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	"tandem/internal/archive/store"
	"tandem/internal/stream"
)

// kept is what an archive holds, read without any of the code that restores: bundles are opened one by one, and the records are
// decoded by the client library.
type kept struct {
	footers []bundle.Footer
	records map[string][]map[int64]*kgo.Record // by topic and life, partition and offset; without markers
	ends    map[string][]int64                 // where the chunks end
	batches map[batchAt][sha256.Size]byte
	holes   []hole
	twice   int // records that stand in two chunks
	trouble []error
}

type batchAt struct {
	life string
	p    int
	base int64
}

// hole is what no chunk has, between two that are there.
type hole struct {
	life     string
	p        int
	from, to int64
}

// lifeOf is the name of a topic; that of a later life has its number.
func lifeOf(t bundle.Topic) string {
	if t.Incarnation == 0 {
		return t.Name
	}
	return fmt.Sprintf("%s#%d", t.Name, t.Incarnation)
}

// archived reads the archive of a cluster at a URL.
func archived(t *testing.T, url string, from string) *kept {
	t.Helper()
	k := &kept{
		records: make(map[string][]map[int64]*kgo.Record), ends: make(map[string][]int64), batches: make(map[batchAt][sha256.Size]byte),
	}
	eachBundle(t, url, from, func(r *bundle.Reader) {
		k.footers = append(k.footers, r.Footer())
		for i, e := range r.Footer().Chunks {
			raw, err := r.Chunk(t.Context(), i, nil)
			if err != nil {
				t.Fatal(err)
			}
			k.add(e, raw)
		}
	})
	return k
}

// footersAt are the footers alone.
func footersAt(t *testing.T, url string, from string) *kept {
	t.Helper()
	k := &kept{ends: make(map[string][]int64)}
	eachBundle(t, url, from, func(r *bundle.Reader) {
		k.footers = append(k.footers, r.Footer())
		for _, e := range r.Footer().Chunks {
			k.reaches(e)
		}
	})
	return k
}

func eachBundle(t *testing.T, url string, from string, each func(*bundle.Reader)) {
	t.Helper()
	s, err := store.Open(t.Context(), url, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
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
		each(r)
	}
}

// reaches notes where a chunk ends.
func (k *kept) reaches(e bundle.Entry) (topic string, p int) {
	topic, p = lifeOf(e.Topic), int(e.Partition)
	for len(k.ends[topic]) <= p {
		k.ends[topic] = append(k.ends[topic], 0)
	}
	if int64(e.First) > k.ends[topic][p] {
		k.holes = append(k.holes, hole{topic, p, k.ends[topic][p], int64(e.First)})
	}
	k.ends[topic][p] = max(k.ends[topic][p], int64(e.Next))
	return topic, p
}

func (k *kept) add(e bundle.Entry, raw []byte) {
	topic, p := k.reaches(e)
	for len(k.records[topic]) <= p {
		k.records[topic] = append(k.records[topic], make(map[int64]*kgo.Record))
	}
	part := &kmsg.FetchResponseTopicPartition{Partition: e.Partition, HighWatermark: int64(e.Next), LastStableOffset: int64(e.Next), RecordBatches: raw}
	fetched, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Offset: int64(e.First), Topic: topic, Partition: e.Partition},
		part, kgo.DefaultDecompressor(), nil)
	if fetched.Err != nil {
		k.trouble = append(k.trouble, fmt.Errorf("%s/%d from %d: %w", topic, p, e.First, fetched.Err))
	}
	for rest := raw; len(rest) > 12; {
		at, size := batchAt{topic, p, int64(binary.BigEndian.Uint64(rest))}, 12+int(binary.BigEndian.Uint32(rest[8:]))
		sum := sha256.Sum256(rest[:size])
		if before, ok := k.batches[at]; ok && before != sum {
			k.trouble = append(k.trouble, fmt.Errorf("%s/%d: two batches at %d", topic, p, at.base))
		}
		k.batches[at] = sum
		rest = rest[size:]
	}
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

// reachesEnds is a condition: the archive of cluster A has all that the topic has.
func reachesEnds(t *testing.T, url string, source side, topic string) func() error {
	t.Helper()
	return archiveReaches(t, url, "A", source, topic)
}

// archiveReaches is reachesEnds for a cluster of any alias.
func archiveReaches(t *testing.T, url, from string, source side, topic string) func() error {
	t.Helper()
	return func() error {
		ends, err := source.ends(topic)
		if err != nil {
			return err
		}
		if has := footersAt(t, url, from).ends[topic]; !slices.Equal(has, ends) {
			return fmt.Errorf("archived up to %v of %v", has, ends)
		}
		return nil
	}
}

// wantArchived compares the archive with the source, record by record: aborted ones too, each once, at its offset.
func wantArchived(t *testing.T, url string, source side, topic string) *kept {
	t.Helper()
	k := archived(t, url, "A")
	if k.twice > 0 {
		t.Errorf("%d records stand in the archive twice", k.twice)
	}
	k.wantSource(t, source, topic)
	wantChain(t, k.footers)
	return k
}

// wantSource compares a topic with the source, record by record.
func (k *kept) wantSource(t *testing.T, source side, topic string) {
	t.Helper()
	for _, err := range k.trouble {
		t.Error(err)
	}
	for _, h := range k.holes {
		if h.life == topic {
			t.Errorf("%s/%d: nothing of %d to %d", topic, h.p, h.from, h.to)
		}
	}
	wantSameAt(t, topic, source.read(topic), k.of(topic))
}

// wantSameAt compares records, and their offsets.
func wantSameAt(t *testing.T, topic string, want, got [][]*kgo.Record) {
	t.Helper()
	if len(want) != len(got) {
		t.Fatalf("%d partitions of %s in the archive, want %d", len(got), topic, len(want))
	}
	for p := range want {
		for i := range min(len(want[p]), len(got[p])) {
			if want[p][i].Offset != got[p][i].Offset {
				t.Fatalf("%s/%d: record %d stands at %d, want %d", topic, p, i, got[p][i].Offset, want[p][i].Offset)
			}
		}
	}
	wantSame(t, want, got)
}

// wantChain checks that no bundle of a writer is missing, and that each start of a writer has a generation of its own.
func wantChain(t *testing.T, footers []bundle.Footer) {
	t.Helper()
	last := make(map[string]bundle.Footer)
	for _, f := range footers {
		before, h := last[f.Header.Writer], f.Header
		last[h.Writer] = f
		if f.Previous != before.Digest {
			t.Errorf("bundle %d of generation %d names another one before it", h.Sequence, h.Generation)
		}
		next := h.Generation == before.Header.Generation && h.Sequence == before.Header.Sequence+1
		if first := h.Sequence == 0 && (before.Size == 0 || h.Generation > before.Header.Generation); !next && !first {
			t.Errorf("bundle %d of generation %d follows on %d of %d", h.Sequence, h.Generation, before.Header.Sequence, before.Header.Generation)
		}
	}
}

// wantCatalog checks that what a restore goes by says the same: each offset of each partition once, from the beginning to these ends,
// but for what the source had deleted.
func wantCatalog(t *testing.T, url, from string, ends map[string][]int64) *catalog.State {
	t.Helper()
	s, err := store.Open(t.Context(), url, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	state, err := catalog.Load(t.Context(), s, catalog.Options{Source: from}, time.Time{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(state.Damaged)+len(state.Missing) > 0 {
		t.Errorf("damaged: %v, missing: %v", state.Damaged, state.Missing)
	}
	found := make(map[string][]int64)
	for _, life := range append(slices.Clone(state.Past), state.Lives...) {
		for _, p := range life.Parts {
			name := lifeOf(life.Topic)
			found[name] = append(found[name], endOf(t, name, p))
		}
	}
	for topic, want := range ends {
		if !slices.Equal(found[topic], want) {
			t.Errorf("%s is to be had up to %v, want %v", topic, found[topic], want)
		}
	}
	return state
}

// endOf follows the stretches of a partition from its beginning.
func endOf(t *testing.T, name string, p catalog.Part) int64 {
	t.Helper()
	at, holes := stream.Upstream(0), p.Holes
	for _, s := range p.Stretches {
		if len(holes) > 0 && holes[0].From == at && holes[0].To == s.From && holes[0].Why == catalog.Deleted {
			at, holes = s.From, holes[1:]
		}
		if s.From != at {
			t.Errorf("%s/%d: behind %d comes %d", name, p.Number, at, s.From)
		}
		at = s.To
	}
	if len(holes) > 0 {
		t.Errorf("%s/%d: %+v", name, p.Number, holes)
	}
	return int64(at)
}
