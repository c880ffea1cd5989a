package main

import (
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tandem/internal/archive/bundle"
)

func TestLs(t *testing.T) {
	s := newShelf(t)
	must(t, 0, "0 topics, 0 bundles", "ls", s.file)
	s.days(3)
	r := must(t, 0, "1 topic, 3 bundles", "ls", s.file, "--partitions", "--groups")
	for _, want := range []string{"orders  2           60", "from 0", "to 30", "billing  orders/0   7", "always"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("without %q:\n%s", want, r.out)
		}
	}
	var l listing
	if err := json.Unmarshal([]byte(must(t, 0, "", "ls", s.file, "--json", "--at", time.Now().Add(-30*time.Hour).Format(time.RFC3339)).out), &l); err != nil {
		t.Fatal(err)
	}
	if len(l.Topics) != 1 || l.Topics[0].Records != 60 || !l.Topics[0].Exact || l.At == nil || len(l.Points) != 0 || l.Damaged == nil {
		t.Errorf("%+v", l)
	}

	s.damage(s.names[1])
	must(t, 1, "3 things missing or damaged", "ls", s.file)
}

func TestLsSaysWhatIsWrong(t *testing.T) {
	s := newShelf(t)
	s.days(3)
	if err := os.Remove(filepath.Join(s.dir, filepath.FromSlash(s.names[1]))); err != nil {
		t.Fatal(err)
	}
	r := must(t, 1, "hole: orders/0 from 10 to 20: missing", "ls", s.file)
	if !strings.Contains(r.out, "missing: bundle of writer mirror-B, generation 1, sequence 1") {
		t.Error(r.out)
	}
}

func TestShow(t *testing.T) {
	s := newShelf(t)
	s.days(2)
	full, last := s.names[0], path.Base(s.names[0])
	for _, name := range []string{full, last} {
		must(t, 0, "event: ", "show", s.file, name)
	}
	var f struct {
		Flow   string
		Chunks []struct {
			Topic     string
			Partition int32
			Next      int64
		}
		Events    []struct{ Kind string }
		Positions []any
	}
	if err := json.Unmarshal([]byte(must(t, 0, "", "show", s.file, last, "--json").out), &f); err != nil {
		t.Fatal(err)
	}
	if f.Flow != "A->B" || len(f.Chunks) != 2 || f.Chunks[1].Topic != "orders" || f.Chunks[1].Partition != 1 || f.Chunks[1].Next != 10 || f.Events[0].Kind != "topic-created" || len(f.Positions) != 2 {
		t.Errorf("%+v", f)
	}
	local := filepath.Join(t.TempDir(), "copy")
	text, err := os.ReadFile(filepath.Join(s.dir, filepath.FromSlash(full)))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(local, text, 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, 0, "chunk 0", "show", "--file", local)
	must(t, 2, "is not the name of a bundle of A", "show", s.file, "bundle-1")
	must(t, 1, "no such object", "show", s.file, strings.Replace(last, "0000000000.tdm", "0000000009.tdm", 1))
	must(t, 2, "Usage", "show", s.file)
	s.damage(full)
	must(t, 1, "damaged", "show", s.file, last)
}

func TestRebuild(t *testing.T) {
	s := newShelf(t)
	for day := range 3 { // hours that are over, whatever the minute is
		s.bundle(time.Now().Add(-time.Duration(2-day)*24*time.Hour-2*time.Hour), []int32{0, 1})
	}
	must(t, 0, "3 index objects written for 3 bundles", "rebuild", s.file)
	must(t, 0, "0 index objects written", "rebuild", s.file)
	before := s.objects("v1/A/index/")
	must(t, 1, "nothing was done", "rebuild", s.file, "--all")
	must(t, 0, "3 index objects written", "rebuild", s.file, "--all", "--yes")
	if after := s.objects("v1/A/index/"); len(after) != 3 || strings.Join(before, " ") != strings.Join(after, " ") {
		t.Errorf("%q, then %q", before, after)
	}
	if state := s.state(time.Time{}); state.Objects != 3 || len(state.Damaged) > 0 {
		t.Errorf("%+v", state)
	}
}

func TestCommon(t *testing.T) {
	s := newShelf(t)
	must(t, 2, "which command?")
	must(t, 2, "no such file", "ls", filepath.Join(t.TempDir(), "none"))
	must(t, 2, "archives nothing of what --source and --flow name; it archives A->B", "ls", s.file, "--source", "C")
	must(t, 0, "", "ls", s.file, "--flow", "A->B", "--source", "A")
	must(t, 2, "--at noon: a time with its zone is wanted", "ls", s.file, "--at", "noon")
	s.configure("B->A.archive.enabled = true", "B->A.archive.url = file://"+s.dir)
	must(t, 2, "has several archives (A->B, B->A): say which with --source, or --flow", "ls", s.file)
	must(t, 0, "archive of B", "ls", s.file, "--source", "B")
	s.configure("A->B.archive.enabled = false")
	must(t, 2, "archives nothing; set archive.enabled", "ls", s.file)
	s.configure("A->B.archive.encryption.key.url = file:///nowhere")
	must(t, 2, "archive.encryption.key.url: key 1 of 1: open /nowhere", "ls", s.file)
	s.dir = filepath.Join(s.dir, "gone")
	s.configure()
	must(t, 2, "no such folder", "ls", s.file)

	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 12345678: "12.3 MB", 1 << 62: "4.6 EB"} {
		if got := byteCount(n); got != want {
			t.Errorf("%d is %s, not %s", n, got, want)
		}
	}
	var e bundle.Event
	if got := stamp(e.At); got != "-" {
		t.Error(got)
	}
}
