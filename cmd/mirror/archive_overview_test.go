package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tandem/internal/archive"
	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	"tandem/internal/archive/reports"
	"tandem/internal/archive/store"
	"tandem/internal/config"
	"tandem/internal/drill"
	"tandem/internal/status"
	"tandem/internal/stream"
)

// watched is the archive of a flow in a folder, and who looks at it.
type watched struct {
	*lookout
	t      *testing.T
	dir    string
	events []stream.Event
	next   int64
}

func watchedArchive(t *testing.T) *watched {
	t.Helper()
	w := &watched{t: t, dir: t.TempDir()}
	file := filepath.Join(t.TempDir(), "mm2.properties")
	lines := []string{
		"clusters = A, B", "A.bootstrap.servers = 127.0.0.1:1", "B.bootstrap.servers = 127.0.0.1:1", "A->B.enabled = true",
		"A->B.topics = orders, audit", "A->B.archive.enabled = true", "A->B.archive.url = file://" + w.dir,
	}
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	conf, err := config.Load(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := &flow{rehearsal: newRehearsing(file), report: func(e stream.Event) { w.events = append(w.events, e) }}
	f.settings.Store(&conf.Flows[0])
	a := &archiving{flow: f, last: archive.Standing{Oldest: time.Now()}}
	if w.lookout, err = newLookout(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.lookout.close)
	return w
}

// bundle stores one that tells of topics.
func (w *watched) bundle(at time.Time, topics ...string) string {
	w.t.Helper()
	b, err := bundle.NewWriter(w.t.Context(), bundle.Header{Flow: w.conf().Flow, Writer: "w", Generation: 1, Sequence: w.next, CreatedAt: at}, bundle.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	var places []bundle.Position
	for _, name := range topics {
		topic := bundle.Topic{Name: name, ID: stream.TopicID{name[0]}}
		if w.next == 0 {
			if err := b.Event(at, bundle.TopicCreated{Topic: topic, Partitions: 1, Factor: 1, Found: true}); err != nil {
				w.t.Fatal(err)
			}
		}
		places = append(places, bundle.Position{Topic: topic, LeaderEpoch: -1})
	}
	w.next++
	o, _, err := b.Finish(bundle.Digest{}, places)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.lookout.store.Put(w.t.Context(), o.Name(), o); err != nil {
		w.t.Fatal(err)
	}
	return o.Name()
}

func (w *watched) looks() *status.Restorable {
	w.t.Helper()
	if _, err := w.look(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	if err := w.hear(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return w.restorable()
}

func TestLookout(t *testing.T) {
	w := watchedArchive(t)
	if r := w.restorable(); r != nil {
		t.Errorf("nobody has looked: %+v", r)
	}
	w.failed(&store.Error{Op: "list", Name: "v1/A/", Kind: store.Transient, Err: os.ErrDeadlineExceeded})
	if r := w.restorable(); r == nil || !r.AsOf.IsZero() || !strings.HasPrefix(r.Error, "list v1/A/") {
		t.Errorf("%+v", r)
	}
	w.failed(nil)
	if r := w.looks(); r == nil || r.AsOf.IsZero() || r.Objects != 0 || !r.Oldest.IsZero() || r.Verified != nil || r.Error != "" {
		t.Errorf("%+v", r)
	}
	hour := func(n int) time.Time {
		return time.Now().Add(time.Duration(n) * time.Hour).UTC().Truncate(time.Millisecond)
	}
	from, to := hour(-5), hour(-2)
	w.bundle(from, "orders", "audit", "gone")
	w.bundle(to, "orders")
	r := w.looks()
	if r.Objects != 2 || r.Bytes <= 0 || !r.Oldest.Equal(from) || !r.Newest.Equal(to) || len(r.Topics) != 3 || r.Holes != 0 {
		t.Fatalf("%+v", r)
	}
	if s := r.Topics[0]; s.Topic != "audit" || !s.From.Equal(from) || !s.To.Equal(from) {
		t.Errorf("%+v", s)
	}
	// what this process has is durable up to now, of what others have bundles tell
	now := hour(0)
	r = w.restorableUntil(now)
	if !r.Topics[0].To.Equal(now) || !r.Topics[1].To.Equal(from) || !r.Topics[2].To.Equal(now) || !r.Newest.Equal(to) {
		t.Errorf("%+v", r)
	}
	w.own["gone"] = true
	if r := w.restorableUntil(now); !r.Topics[1].To.Equal(now) || !r.Newest.Equal(now) {
		t.Errorf("%+v", r)
	}
	if r := w.restorableUntil(hour(-9)); !r.Topics[1].To.Equal(from) || !r.Newest.Equal(to) {
		t.Errorf("%+v", r)
	}
	if s, began := w.standing(); began || !durable(s, began).IsZero() {
		t.Error("it has not begun, and nothing is known")
	}
	if got := durable(archive.Standing{}, true); time.Since(got) > time.Minute {
		t.Error(got)
	}
	if got := durable(archive.Standing{Oldest: hour(-1)}, true); time.Since(got) < 59*time.Minute {
		t.Error(got)
	}
	// an error leaves what was seen
	name := w.bundle(hour(-1), "orders")
	w.failed(os.ErrDeadlineExceeded)
	if r := w.restorable(); r.Objects != 2 || r.Error == "" {
		t.Errorf("%+v", r)
	}
	w.failed(nil)
	path := filepath.Join(w.dir, filepath.FromSlash(name))
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)-20] ^= 1
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := w.looks(); r.Objects != 3 || !strings.Contains(r.Error, "1 bundles cannot be read") {
		t.Errorf("%+v", r)
	}
}

// It looks at once, and ends with its context.
func TestLookoutRuns(t *testing.T) {
	w := watchedArchive(t)
	w.bundle(time.Now().Add(-time.Hour), "orders")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- w.run(ctx) }()
	for r := w.restorable(); r == nil || r.Objects == 0; r = w.restorable() {
		select {
		case err := <-ended:
			t.Fatal(err)
		case <-time.After(time.Millisecond):
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Outcomes come from the store, whoever kept them there.
func TestLookoutHears(t *testing.T) {
	w := watchedArchive(t)
	at := time.Now().UTC().Truncate(time.Millisecond)
	keep := func(r reports.Report) {
		t.Helper()
		r.Source = "A"
		if _, err := reports.Put(t.Context(), w.lookout.store, r); err != nil {
			t.Fatal(err)
		}
	}
	keep(reports.Report{Kind: reports.Verify, Level: "chunk", At: at.Add(-time.Hour), Passed: true})
	keep(reports.Report{Kind: reports.Verify, Level: "record", Partial: true, At: at, Passed: true})
	keep(reports.Report{Kind: reports.Drill, Flow: "A->B", At: at, Seconds: 7, Passed: true, Summary: "all came back"})
	keep(reports.Report{Kind: reports.Drill, Flow: "A->C", At: at, Summary: "another flow's"})
	odd := "v1/A/reports/drill/B/0"
	if err := w.lookout.store.Put(t.Context(), odd, bytes.NewReader([]byte("?"))); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.hear(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if all := w.verified(); len(all) != 1 || all[0].Level != "chunk" || !all[0].Passed || !all[0].At.Equal(at.Add(-time.Hour)) {
		t.Errorf("%+v", all)
	}
	all := w.rehearsal.drills(w.conf())
	if len(all) != 1 || all[0].Kind != drill.Archive || all[0].Summary != "all came back" || all[0].Seconds != 7 || !all[0].Passed {
		t.Errorf("%+v", all)
	}
	if len(w.events) != 1 || w.events[0].Severity != stream.Warn {
		t.Errorf("told %v", w.events)
	}
}

func TestLastVerified(t *testing.T) {
	hour := func(n int) time.Time { return time.Date(2026, 11, 20, n, 0, 0, 0, time.UTC) }
	report := func(level string, at int, passed, part bool) reports.Report {
		return reports.Report{Level: level, At: hour(at), Passed: passed, Partial: part}
	}
	for name, c := range map[string]struct {
		all  []reports.Report
		want string
	}{
		"never":                   {nil, ""},
		"a part is not the whole": {[]reports.Report{report("record", 9, true, true)}, ""},
		"the last":                {[]reports.Report{report("footer", 9, true, false), report("chunk", 3, true, false)}, "footer 9 true"},
		"what was found stays": {
			[]reports.Report{report("footer", 9, true, false), report("chunk", 3, false, false), report("list", 2, false, false)}, "chunk 3 false"},
		"until it is mended": {
			[]reports.Report{report("record", 9, true, false), report("chunk", 3, false, false)}, "record 9 true"},
		"found in a part": {[]reports.Report{report("record", 9, false, true), report("chunk", 3, true, false)}, "record 9 false"},
		"a part mends nothing": {
			[]reports.Report{report("record", 9, true, true), report("record", 3, false, false)}, "record 3 false"},
		"the last that found something": {
			[]reports.Report{report("chunk", 3, false, false), report("footer", 9, false, false)}, "footer 9 false"},
	} {
		got := ""
		if v := lastVerified(c.all); v != nil {
			got = v.Level + " " + v.At.Format("3") + " " + map[bool]string{true: "true", false: "false"}[v.Passed]
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// Topics that are there come first, and of very many some are shown.
func TestRestorableIsBounded(t *testing.T) {
	var o catalog.Overview
	at := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	for i := range 3 * topicsShown {
		o.Topics = append(o.Topics, catalog.Span{Topic: bundle.Topic{Name: "t", Incarnation: int32(i)}, To: at.Add(time.Duration(i) * time.Second), Deleted: i%3 > 0})
	}
	r := restorableOf(o)
	if len(r.Topics) != topicsShown || r.Topics[0].Deleted || r.Topics[0].Topic != "t" {
		t.Errorf("%d topics, %+v", len(r.Topics), r.Topics[0])
	}
	o.Topics = o.Topics[:30]
	if r := restorableOf(o); len(r.Topics) != 30 || !r.Topics[10].Deleted || r.Topics[10].Topic != "t#29" {
		t.Errorf("%+v", r.Topics)
	}
}
