package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	"tandem/internal/archive/store"
	"tandem/internal/archive/store/faulty"
	"tandem/internal/cli"
	"tandem/internal/config"
)

func created() bundle.Body {
	return bundle.TopicCreated{Topic: ordersTopic, Partitions: 2, Factor: 1, Found: true}
}

func point(name string) bundle.Body {
	m := bundle.Mark{Name: name}
	for p := range int32(2) {
		m.Positions = append(m.Positions, bundle.Position{Topic: ordersTopic, Partition: p, Next: 10})
	}
	return m
}

func TestPrune(t *testing.T) {
	s := newShelf(t)
	s.days(6)
	must(t, 2, "how old?", "prune", s.file)
	must(t, 2, "an age is wanted", "prune", s.file, "--older-than", "soon")
	must(t, 0, "0 bundles of before", "prune", s.file, "--older-than", "30d")
	before := s.objects("")
	must(t, 1, "nothing was done", "prune", s.file, "--older-than", "73h")
	must(t, 0, "3 bundles of before", "prune", s.file, "--older-than", "72h", "--dry-run")
	if !slices.Equal(before, s.objects("")) {
		t.Fatal("a plan changes nothing")
	}
	at := time.Now().Add(-time.Minute)
	told := describe(s.state(at))
	r := must(t, 0, "removed 3 bundles", "prune", s.file, "--older-than", "72h", "--yes")
	if !strings.Contains(r.out, "warning: ") == strings.Contains(r.out, "orders that go") {
		t.Error(r.out)
	}
	state := s.state(at)
	if got := describe(state); got != told {
		t.Errorf("before\n%s\nafter\n%s", told, got)
	}
	if p := state.Lives[0].Parts[0]; p.First() != 30 || p.Next() != 60 || len(p.Holes) > 0 || len(state.Missing) > 0 {
		t.Errorf("%d to %d, %v, %v", p.First(), p.Next(), p.Holes, state.Missing)
	}
	must(t, 0, "0 bundles of before", "prune", s.file, "--older-than", "72h", "--yes")
	must(t, 0, "orders", "ls", s.file)
	s.configure("A->B.archive.retention.ms = 172800000")
	must(t, 0, "removed 1 bundle,", "prune", s.file, "--yes")
	must(t, 0, "4 bundles", "ls", s.file)
}

// describe is what an archive says besides records.
func describe(s *catalog.State) string {
	var b strings.Builder
	for _, l := range s.Lives {
		fmt.Fprintln(&b, l.Topic, l.Partitions, l.Factor, l.Since, l.Configs)
	}
	fmt.Fprintln(&b, s.Groups, s.ACLs)
	return b.String()
}

func TestPruneAndPoints(t *testing.T) {
	s := newShelf(t)
	s.days(2)
	s.bundle(time.Now().Add(-24*time.Hour-30*time.Minute), nil, point("before-deploy"))
	s.bundle(time.Now(), []int32{0, 1})
	r := must(t, 1, "1 point would lose records", "prune", s.file, "--older-than", "12h", "--yes")
	if !strings.Contains(r.out, "point before-deploy of ") {
		t.Error(r.out)
	}
	must(t, 1, "there is no point other; there are before-deploy", "prune", s.file, "--older-than", "12h", "--keep", "other")
	must(t, 0, "old, but stays: 1 bundle: it is needed by a kept point", "prune", s.file, "--older-than", "12h", "--keep", "before-deploy", "--dry-run")
	var out pruned
	if err := json.Unmarshal([]byte(must(t, 0, "", "prune", s.file, "--older-than", "12h", "--drop-points", "--yes", "--json").out), &out); err != nil {
		t.Fatal(err)
	}
	if out.Done == nil || out.Done.Removed != 2 || len(out.Lost) != 1 {
		t.Errorf("%+v", out)
	}
}

func TestPruneWaitsForRestores(t *testing.T) {
	s := newShelf(t)
	s.days(3)
	put := func(name string) {
		t.Helper()
		if err := s.store.Put(t.Context(), name, bytesBody("{}")); err != nil {
			t.Fatal(err)
		}
	}
	put("v1/A/restores/0011-001/plan.json")
	put("v1/A/restores/0022-001/plan.json")
	put("v1/A/restores/0022-001/finished.json")
	must(t, 1, "restore 0011-001 is not finished", "prune", s.file, "--older-than", "30h", "--yes")
	must(t, 0, "removed 1 bundle,", "prune", s.file, "--older-than", "30h", "--yes", "--force")
}

// TestPruneIsStoppedAnywhere: each operation that writes fails once, with and without effect; the next run finishes, and the archive says the
// same all the time.
func TestPruneIsStoppedAnywhere(t *testing.T) {
	for _, op := range []faulty.Op{faulty.Put, faulty.Delete, faulty.List} {
		for n := 0; ; n++ {
			s := newShelf(t)
			s.days(5)
			must(t, 0, "", "rebuild", s.file)
			at := time.Now().Add(-time.Minute)
			told := describe(s.state(at))
			fault := faulty.Fault{Op: op, Skip: n, Times: -1, Kind: store.Transient, Lost: n%2 == 1 && op != faulty.List}
			failed := runPrune(t, s, 49*time.Hour, fault)
			if got := describe(s.state(at)); got != told {
				t.Fatalf("%s %d fails: before\n%s\nthen\n%s", op, n, told, got)
			}
			if err := runPrune(t, s, 49*time.Hour, faulty.Fault{}); err != nil {
				t.Fatalf("%s %d fails, again: %v", op, n, err)
			}
			state := s.state(at)
			if got := describe(state); got != told || len(state.Missing) > 0 || state.Lives[0].Parts[0].First() != 30 {
				t.Fatalf("%s %d fails, again: %v, from %d\n%s", op, n, state.Missing, state.Lives[0].Parts[0].First(), got)
			}
			for _, name := range s.names[:3] {
				if slices.Contains(s.objects("v1/A/bundles/"), name) {
					t.Fatalf("%s %d fails, again: %s is there", op, n, name)
				}
			}
			if failed == nil {
				break // there are no more such operations
			}
		}
	}
}

// runPrune prunes over a store with a fault.
func runPrune(t *testing.T, s *shelf, age time.Duration, fault faulty.Fault) error {
	t.Helper()
	a := s.opened(t)
	if fault.Kind != store.Other {
		a.store = faulty.Wrap(s.store, fault)
	}
	r := &remover{opened: a, now: time.Now(), progress: &cli.Progress{}}
	plan, err := r.plan(t.Context(), r.now.Add(-age), nil)
	if err != nil {
		return err
	}
	_, err = r.remove(t.Context(), plan)
	return err
}

func (s *shelf) opened(t *testing.T) *opened {
	t.Helper()
	conf, err := config.Load(s.file, nil)
	if err != nil {
		t.Fatal(err)
	}
	flow, err := archiving(conf, selection{})
	if err != nil {
		t.Fatal(err)
	}
	return &opened{conf: conf, flow: flow, store: s.store, keeper: s.keeper}
}

func TestWhatALockHolds(t *testing.T) {
	s := newShelf(t)
	s.days(4)
	until := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	a := s.opened(t)
	a.store = faulty.Wrap(s.store, faulty.Fault{Op: faulty.Delete, Name: s.names[1], Times: -1, Kind: store.Retained, Until: until})
	r := &remover{opened: a, now: time.Now(), progress: &cli.Progress{}}
	plan, err := r.plan(t.Context(), r.now.Add(-49*time.Hour), nil)
	if err != nil {
		t.Fatal(err)
	}
	done, err := r.remove(t.Context(), plan)
	if err != nil || done.Removed != 1 || done.Retained != 1 || done.Until == nil || !done.Until.Equal(until) {
		t.Errorf("%+v, %v", done, err)
	}
	var out strings.Builder
	done.print(&out)
	if !strings.Contains(out.String(), "1 bundle retained until 2027-01-02T03:04:05Z: run prune again then") {
		t.Error(out.String())
	}
	must(t, 0, "and 1 bundle that an earlier run did not remove", "prune", s.file, "--older-than", "49h", "--yes")
	if slices.Contains(s.objects("v1/A/bundles/"), s.names[1]) {
		t.Error("it is still there")
	}
}

func TestPruneLeavesDamagedBundles(t *testing.T) {
	s := newShelf(t)
	s.days(4)
	s.damage(s.names[0])
	must(t, 0, "old, but stays: 1 bundle: it cannot be read", "prune", s.file, "--older-than", "49h", "--yes")
	if !slices.Contains(s.objects("v1/A/bundles/"), s.names[0]) {
		t.Error("it is gone")
	}
	k := newShelf(t)
	first := must(t, 0, "", "keys", "new", t.TempDir()+"/k", "--json").out
	var key newKey
	if err := json.Unmarshal([]byte(first), &key); err != nil {
		t.Fatal(err)
	}
	k.encrypt(key.URL)
	k.days(4)
	k.configure()
	must(t, 2, "archive keys check FILE", "prune", k.file, "--older-than", "49h", "--yes")
	if len(k.objects("")) != 4 {
		t.Error("something is gone")
	}
}
