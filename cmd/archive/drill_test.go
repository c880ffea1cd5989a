package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/archive/bundle"
	archivedrill "tandem/internal/archive/drill"
	"tandem/internal/archive/reports"
	"tandem/internal/archive/restore"
	"tandem/internal/archive/store"
	"tandem/internal/drill"
	"tandem/internal/policy"
	"tandem/internal/stream"
)

// drilled is a shelf whose source, and whose target, is a cluster that has what is archived, but for what spoil makes of its records.
func drilled(t *testing.T, spoil func(i int, r *kgo.Record)) (*shelf, *site) {
	t.Helper()
	s := newShelf(t, "A->B.topics = orders", "offset.storage.replication.factor = 1")
	b := s.onto()
	text, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.ReplaceAll(string(text), "A.bootstrap.servers = 127.0.0.1:1", "A.bootstrap.servers = "+b.cluster.Bootstrap())
	if err := os.WriteFile(s.file, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	create := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "orders", 2, 1
	create.Topics = append(create.Topics, topic)
	made, err := create.RequestWith(t.Context(), b.client)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Truncate(time.Millisecond).Add(-time.Hour)
	s.topic = bundle.Topic{Name: "orders", ID: stream.TopicID(made.Topics[0].TopicID)}
	s.bundle(at, []int32{0, 1}, bundle.TopicCreated{Topic: s.topic, Partitions: 2, Factor: 3, Found: true})
	s.bundle(at, []int32{0, 1})
	for i := range 40 {
		r := &kgo.Record{Topic: "orders", Partition: int32(i / 20), Value: []byte("x"), Timestamp: at}
		spoil(i, r)
		if err := b.client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	return s, b
}

// scratch are the scratch topics that are left.
func (s *site) scratch() (names []string) {
	s.t.Helper()
	all, err := kmsg.NewPtrMetadataRequest().RequestWith(s.t.Context(), s.client)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, topic := range all.Topics {
		if strings.HasPrefix(*topic.Topic, archivedrill.Prefix) {
			names = append(names, *topic.Topic)
		}
	}
	return names
}

// Without a map of offsets the source is compared; no file, topic or ledger is left.
func TestDrill(t *testing.T) {
	s, b := drilled(t, func(int, *kgo.Record) {})
	folder := filepath.Join(t.TempDir(), "made", "on", "the", "way")
	must(t, statusDone, "Drill of A->B passed: 40 records of 2 partitions restored, 40 compared and equal", "drill", s.file, "--report", folder)
	if files, _ := filepath.Glob(filepath.Join(folder, "*")); len(files) != 2 {
		t.Errorf("the report is in %q", files)
	}
	if left := b.scratch(); left != nil {
		t.Errorf("left %q", left)
	}
	kept, odd, err := reports.Last(t.Context(), s.store, "A", reports.Drill)
	if err != nil || len(odd) > 0 || len(kept) != 1 || !kept[0].Passed || kept[0].Counts["compared"] != 40 || kept[0].Flow != "A->B" {
		t.Errorf("kept %+v, %v, %v", kept, odd, err)
	}
	if left := s.objects(restore.Folder("A")); left != nil {
		t.Errorf("left %q", left)
	}
	same := must(t, statusDone, "", "drill", s.file, "--json", "--partitions", "1", "--records", "5", "--seed", "77")
	report, err := drill.Decode([]byte(same.out))
	if err != nil || !report.Passed || !strings.Contains(report.Summary, "5 records of 1 partition restored") {
		t.Errorf("%+v, %v", report, err)
	}
	again := must(t, statusDone, "", "drill", s.file, "--json", "--partitions", "1", "--records", "5", "--seed", "77")
	other, _ := drill.Decode([]byte(again.out))
	if len(other.Findings) == 0 || other.Findings[0] != report.Findings[0] {
		t.Errorf("the same seed: %+v, then %+v", report.Findings, other.Findings)
	}
}

func TestDrillFails(t *testing.T) {
	s, b := drilled(t, func(i int, r *kgo.Record) {
		if i == 25 {
			r.Value = []byte("y")
		}
	})
	r := must(t, statusRefused, "! orders/1, compared with orders/1 of A: source offset 5, offset 5 there: value differs", "drill", s.file)
	if !strings.HasSuffix(r.err, "archive: drill of A->B FAILED: orders/1, compared with orders/1 of A: source offset 5, offset 5 there: value differs\n") {
		t.Errorf("%q", r.err)
	}
	s.damage(s.names[1])
	must(t, statusRefused, "the bundle cannot be used", "drill", s.file, "--json")
	if left := b.scratch(); left != nil {
		t.Errorf("left %q", left)
	}
}

// A store that keeps nothing more is a warning; one that says nothing is a line.
func TestDrillWithoutTheRightToWrite(t *testing.T) {
	s, _ := drilled(t, func(int, *kgo.Record) {})
	if err := os.WriteFile(filepath.Join(s.dir, "v1", "A", "reports"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := must(t, statusDone, "passed", "drill", s.file); strings.Count(r.err, "warning: ") != 1 {
		t.Errorf("%q", r.err)
	}
}

func TestDrillCannot(t *testing.T) {
	s := newShelf(t)
	for words, args := range map[string][]string{
		"at least 1 is wanted":              {"--partitions", "0"},
		"--records -3: at least 1":          {"--records", "-3"},
		"--bytes many: a size is wanted":    {"--bytes", "many"},
		"a time such as 5m is wanted":       {"--timeout", "0s"},
		"--topics: ":                        {"--topics", "a("},
		"--to nowhere: no such cluster":     {"--to", "nowhere"},
		"cluster B: ":                       {"--timeout", "20s"}, // nobody is there
		"archives nothing of what --source": {"--flow", "B->A"},
	} {
		must(t, statusCannot, words, append([]string{"drill", s.file}, args...)...)
	}
	b := s.onto()
	must(t, statusCannot, "nothing of A is archived yet", "drill", s.file)
	s.days(1)
	must(t, statusCannot, "nothing of that is archived", "drill", s.file, "--topics", "other")
	if left := b.scratch(); left != nil {
		t.Errorf("left %q", left)
	}
}

// Neither Tandem nor MM2, in any version and with any filter, copies scratch topics, or archives them.
func TestScratchTopicsAreNobodysTopics(t *testing.T) {
	name := archivedrill.Run{Deadline: time.Now(), Host: "h", PID: 1}.Name(0, "orders")
	all, err := policy.NewFilter([]string{".*"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, class := range []string{policy.DefaultClass, policy.IdentityClass} {
		p, err := policy.New(class, "", false, "A")
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []policy.Policy{p, p.Before40()} {
			if (policy.Selector{Policy: p, Target: "B", Topics: all, Heartbeats: true}).Replicates(name) {
				t.Errorf("%s copies %s", class, name)
			}
		}
	}
}

func TestMemoryStore(t *testing.T) {
	m := memoryStore{}
	if _, err := m.Get(t.Context(), "a/b", 0, -1); store.Classify(err) != store.NotFound {
		t.Error(err)
	}
	if err := m.Put(t.Context(), "a/b", bytes.NewReader([]byte("text"))); err != nil {
		t.Fatal(err)
	}
	n := 0
	for info, err := range m.List(t.Context(), "a/", "") {
		if n++; err != nil || info.Name != "a/b" || info.Size != 4 {
			t.Error(info, err)
		}
	}
	if n != 1 {
		t.Errorf("%d objects", n)
	}
}

// A stretch whose chunks had more than they promised is cut, at the end that does not matter.
func TestCut(t *testing.T) {
	all := []archivedrill.Record{{Offset: 3}, {Offset: 4}, {Offset: 8}, {Offset: 9}}
	for _, c := range []struct {
		place     archivedrill.Place
		records   int
		bytes     int64
		from, end stream.Upstream
	}{
		{archivedrill.Oldest, 9, 999, 0, 20}, {archivedrill.Oldest, 2, 999, 0, 5}, {archivedrill.Newest, 2, 999, 8, 20},
		{archivedrill.Inside, 9, 30, 0, 9}, {archivedrill.Newest, 9, 19, 9, 20}, {archivedrill.Oldest, 9, 1, 0, 4},
	} {
		x := &trial{Stretch: archivedrill.Stretch{From: 0, End: 20, Place: c.place}}
		left := x.cut(all, []int64{10, 10, 10, 10}, c.records, c.bytes)
		if x.From != c.from || x.End != c.end || len(left) == 0 || stream.Upstream(left[0].Offset) < c.from || stream.Upstream(left[len(left)-1].Offset) >= c.end {
			t.Errorf("%+v: %d to %d, %v", c, x.From, x.End, left)
		}
	}
}

// A drill that was stopped takes away what it has made, and says nothing of the archive.
func TestDrillIsStopped(t *testing.T) {
	s, b := drilled(t, func(int, *kgo.Record) {})
	ctx, stop := context.WithCancel(t.Context())
	b.cluster.Close()
	stop()
	var out, complaint bytes.Buffer
	if status := run(ctx, []string{"drill", s.file}, strings.NewReader(""), &out, &complaint); status != statusCannot || out.Len() > 0 {
		t.Errorf("status %d, %s%s", status, &out, &complaint)
	}
}
