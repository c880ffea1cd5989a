package integration

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	"tandem/internal/archive/store"
	"tandem/internal/stream"
	"tandem/internal/testkit/s3"
)

// wantLife wants the records of one life of a topic of one partition, from an offset on.
func (k *kept) wantLife(t *testing.T, life string, from int64, want []*kgo.Record) {
	t.Helper()
	parts := k.of(life)
	if len(parts) != 1 {
		t.Errorf("%s: %d partitions", life, len(parts))
		return
	}
	if len(parts[0]) != len(want) {
		t.Errorf("%s: %d records, want %d", life, len(parts[0]), len(want))
		return
	}
	for i, r := range parts[0] {
		if r.Offset != from+int64(i) || string(r.Value) != string(want[i].Value) {
			t.Errorf("%s: %s at %d, want %s at %d", life, r.Value, r.Offset, want[i].Value, from+int64(i))
			return
		}
	}
}

// wantGap wants one gap of a topic of one partition: these offsets, and no others, are said to be lost.
func (k *kept) wantGap(t *testing.T, topic string, from, to int64) {
	t.Helper()
	var all []string
	right := 0
	for _, f := range k.footers {
		for _, e := range f.Events {
			if g, ok := e.Body.(bundle.Gap); ok {
				all = append(all, g.String())
				if g.Topic.Name == topic && g.From == stream.Upstream(from) && g.To == stream.Upstream(to) {
					right++
				}
			}
		}
	}
	if right != 1 || len(all) != 1 {
		t.Errorf("gaps: %q, want one of %s from %d to %d", all, topic, from, to)
	}
	if h := (hole{topic, 0, from, to}); len(k.holes) != 1 || k.holes[0] != h {
		t.Errorf("holes: %v, want %v", k.holes, h)
	}
}

// What becomes of topics while mirror runs and while it does not: made anew with fewer, as many and more records, widened, made later,
// compacted, and shortened by retention.
func TestArchiveOfAnUnsteadySource(t *testing.T) {
	a, b := clusters(t)
	sizes := map[string]int{"short": 50, "equal": 100, "long": 150}
	names := func(when string) (all []string) {
		for _, size := range []string{"short", "equal", "long"} {
			all = append(all, "unsteady-"+when+"-"+size)
		}
		return all
	}
	for _, topic := range slices.Concat(names("up"), names("down"), []string{"unsteady-wide", "unsteady-taken"}) {
		a.create(topic, 1, 1, nil)
		a.write(topic, named("first", 0, 100))
	}
	a.create("unsteady-holes", 1, 1, map[string]string{"cleanup.policy": "compact", "segment.ms": "1000", "min.cleanable.dirty.ratio": "0.01"})
	writeCompacted(a, "unsteady-holes")
	url := "file://" + t.TempDir()
	properties := fmt.Sprintf(archiveProperties, "B", a.Bootstrap, b.Bootstrap, "unsteady-.*", url) + "A->B.enabled = true\ntopic.recreated = follow\n"
	m := startMirror(t, properties)
	settled := func(topics ...string) {
		t.Helper()
		for _, topic := range topics {
			m.until(topic+" in the archive", reachesEnds(t, url, a, topic))
		}
	}
	settled(slices.Concat(names("up"), names("down"), []string{"unsteady-wide", "unsteady-taken", "unsteady-holes"})...)
	anew := func(topics []string) {
		for _, topic := range topics {
			a.recreate(topic)
			a.write(topic, named("second", 0, sizes[lastWord(topic)]))
		}
	}
	anew(names("up"))
	a.widen("unsteady-wide", 3)
	for p := range int32(3) {
		a.write("unsteady-wide", named("wide", p, 10), kgo.MetadataMinAge(100e6))
	}
	a.create("unsteady-later", 2, 1, nil)
	a.write("unsteady-later", append(named("later", 0, 10), named("later", 1, 10)...))
	ends := func(when string, want ...int64) {
		t.Helper()
		for i, topic := range names(when) {
			m.until("the second life of "+topic, func() error {
				if got := footersAt(t, url, "A").ends[topic+"#1"]; len(got) != 1 || got[0] != want[i] {
					return fmt.Errorf("%v of %d", got, want[i])
				}
				return nil
			})
		}
	}
	ends("up", 50, 100, 150)
	settled("unsteady-wide", "unsteady-later")
	m.stop()

	anew(names("down"))
	a.write("unsteady-taken", named("taken", 0, 200))
	a.deleteRecords("unsteady-taken", 0, 150)
	m = startMirror(t, properties)
	ends("down", 50, 100, 150)
	settled("unsteady-taken")
	m.stop()

	k := archived(t, url, "A")
	wantChain(t, k.footers)
	for _, err := range k.trouble {
		t.Error(err)
	}
	if k.twice > 0 {
		t.Errorf("%d records stand in the archive twice", k.twice)
	}
	for _, topic := range slices.Concat(names("up"), names("down")) {
		k.wantLife(t, topic, 0, named("first", 0, 100))
		k.wantLife(t, topic+"#1", 0, named("second", 0, sizes[lastWord(topic)]))
	}
	k.wantSource(t, a, "unsteady-wide")
	k.wantSource(t, a, "unsteady-later")
	k.wantGap(t, "unsteady-taken", 100, 150)
	wantHoley(t, k, a, "unsteady-holes")
	state := wantCatalog(t, url, "A", map[string][]int64{"unsteady-taken": {300}, "unsteady-up-short": {100}, "unsteady-up-short#1": {50}})
	for _, life := range state.Lives {
		if life.Topic.Name == "unsteady-taken" && (len(life.Parts[0].Holes) != 1 || life.Parts[0].Holes[0] != catalog.Hole{From: 100, To: 150, Why: catalog.Deleted}) {
			t.Errorf("%+v", life.Parts[0].Holes)
		}
	}
}

func lastWord(topic string) string {
	for i := len(topic) - 1; i >= 0; i-- {
		if topic[i] == '-' {
			return topic[i+1:]
		}
	}
	return topic
}

// wantHoley wants all that a compacted topic still has, as it is.
func wantHoley(t *testing.T, k *kept, source side, topic string) {
	t.Helper()
	for p, list := range source.read(topic) {
		for _, r := range list {
			has := k.records[topic][p][r.Offset]
			if has == nil || string(has.Key) != string(r.Key) || string(has.Value) != string(r.Value) || !has.Timestamp.Equal(r.Timestamp) {
				t.Fatalf("%s/%d: not at %d as it is", topic, p, r.Offset)
			}
		}
	}
}

// While the store is away the source deletes what the archive has not read: the archive says from where to where, to the offset, and goes on.
func TestArchiveOvertakenByRetention(t *testing.T) {
	a, b := clusters(t)
	const topic = "overtaken-numbers"
	a.create(topic, 1, 1, nil)
	server := s3.Start(t)
	server.Bucket(t, "kept", false)
	proxy, url := server.NewProxy(t), s3.URL(server.Endpoint(), "kept", "")
	properties := fmt.Sprintf(archiveProperties, "B", a.Bootstrap, b.Bootstrap, topic, s3.URL(proxy.URL, "kept", "")) + "A->B.enabled = true\n" + smallFlow
	m := startMirror(t, properties)
	a.write(topic, named("first", 0, 100))
	m.until("the first records in the archive", reachesEnds(t, url, a, topic))
	proxy.Script(func(*http.Request) s3.Fault { return s3.Fault{Drop: true} })
	key := make([]byte, 10_000) // 400 of them are more than the archive's memory
	var written []*kgo.Record
	for i, r := range named("second", 0, 400) {
		r.Key = key
		written = append(written, r)
		if i%20 == 19 {
			a.write(topic, written[i-19:])
		}
	}
	m.until("all records on the target", b.holds("A."+topic, 500))
	m.until("the partition to be behind", m.shows("tandem_archive_behind_partitions", "A->B", 1))
	a.deleteRecords(topic, 0, 450)
	proxy.Script(nil)
	m.until("the end of the topic in the archive", reachesEnds(t, url, a, topic))
	m.waitFor(`"level":"error"`, "the source no longer has what the archive was to read next", topic+"/0")
	m.stop()
	k := archived(t, url, "A")
	if len(k.holes) != 1 || k.holes[0].from < 100 || k.twice > 0 || len(k.trouble) > 0 {
		t.Fatalf("holes: %v, twice: %d, trouble: %v", k.holes, k.twice, k.trouble)
	}
	from := k.holes[0].from
	k.wantGap(t, topic, from, 450)
	all, got := append(named("first", 0, 100), written...), k.of(topic)[0]
	for i, r := range append(all[:from:from], all[450:]...) {
		if string(got[i].Value) != string(r.Value) {
			t.Fatalf("record %d is %s, want %s", i, got[i].Value, r.Value)
		}
	}
	t.Logf("%d of 350 were archived before they were deleted", from-100)
	wantCatalog(t, url, "A", map[string][]int64{topic: {500}})
}

// archiveIsCut is a condition: the archive tells that each partition lost the records behind an end, and has the log that came in their place,
// which is so much longer than the end.
func archiveIsCut(t *testing.T, url, from, topic string, ends []int, lost int, anew func(p int) int) func() error {
	t.Helper()
	return func() error {
		k := footersAt(t, url, from)
		want := make(map[string][]int64)
		for p, end := range ends {
			var all []string
			found := 0
			for _, f := range k.footers {
				for _, e := range f.Events {
					cut, ok := e.Body.(bundle.Truncated)
					if !ok || int(cut.Partition) != p {
						continue
					}
					all = append(all, cut.String())
					if cut.To == stream.Upstream(end) && cut.From == stream.Upstream(end+lost) {
						found++
					}
				}
			}
			if found != 1 {
				return fmt.Errorf("%d truncations of partition %d from %d to %d: %q", found, p, end+lost, end, all)
			}
			want[topic] = append(want[topic], int64(end+anew(p)))
		}
		s, err := store.Open(t.Context(), url, store.Options{})
		if err != nil {
			return err
		}
		defer s.Close()
		state, err := catalog.Load(t.Context(), s, catalog.Options{Source: from}, time.Time{}, nil)
		if err != nil {
			return err
		}
		for _, part := range state.Lives[0].Parts {
			if next := int64(part.Next()); next != want[topic][part.Number] {
				return fmt.Errorf("partition %d is to be had up to %d, want %d", part.Number, next, want[topic][part.Number])
			}
		}
		wantCatalog(t, url, from, want)
		return nil
	}
}
