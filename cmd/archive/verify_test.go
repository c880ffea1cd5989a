package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/archive/reports"
	"tandem/internal/archive/store"
	"tandem/internal/archive/store/faulty"
	"tandem/internal/archive/verify"
)

// kept are the reports of verifications in the store, as "chunk passed" or "chunk part failed", by name.
func (s *shelf) kept() (all []string) {
	s.t.Helper()
	found, odd, err := reports.Last(s.t.Context(), s.store, "A", reports.Verify)
	if err != nil || len(odd) > 0 {
		s.t.Fatal(err, odd)
	}
	for _, r := range found {
		text := r.Level
		if r.Partial {
			text += " part"
		}
		if r.Passed {
			text += " passed"
		} else {
			text += " failed"
		}
		all = append(all, text)
	}
	slices.Sort(all)
	return all
}

func TestVerifyKeepsHowItCameOut(t *testing.T) {
	s := newShelf(t)
	must(t, statusRefused, "there is no bundle", "verify", s.file)
	if kept := s.kept(); len(kept) > 0 {
		t.Errorf("nothing was proved of an empty archive: %q", kept)
	}
	s.days(2)
	must(t, statusDone, "nothing is odd", "verify", s.file, "--no-report")
	if kept := s.kept(); len(kept) > 0 {
		t.Errorf("--no-report: %q", kept)
	}
	must(t, statusDone, "nothing is odd", "verify", s.file)
	must(t, statusDone, "nothing is odd", "verify", s.file, "--level", "record", "--topics", "orders")
	must(t, statusDone, "nothing is odd", "verify", s.file, "--level", "record", "--until", "2026-01-01T00:00:00Z")
	must(t, statusDone, `"complete": true`, "verify", s.file, "--level", "footer", "--json")
	if kept, want := s.kept(), []string{"chunk passed", "footer passed", "record part passed"}; !slices.Equal(kept, want) {
		t.Errorf("%q, want %q", kept, want)
	}
	s.damage(s.names[0])
	must(t, statusRefused, "finding", "verify", s.file)
	if kept, want := s.kept(), []string{"chunk failed", "footer passed", "record part passed"}; !slices.Equal(kept, want) {
		t.Errorf("%q, want %q", kept, want)
	}
	found, _, err := reports.Last(t.Context(), s.store, "A", reports.Verify)
	if err != nil {
		t.Fatal(err)
	}
	r := found[0]
	if !strings.HasPrefix(r.Summary, "2 bundles, ") || !strings.Contains(r.Summary, ", at level chunk: ") || !strings.Contains(r.Summary, "finding") {
		t.Error(r.Summary)
	}
	if r.Counts["findings"] < 1 || r.Counts["bundles"] != 2 || r.Counts["bytes"] <= 0 || time.Since(r.At) > time.Hour {
		t.Errorf("%+v", r)
	}
}

// Reports are nobody's garbage, and nothing is odd about an archive that has some.
func TestNobodyMindsReports(t *testing.T) {
	s := newShelf(t)
	s.days(6)
	must(t, statusDone, "nothing is odd", "verify", s.file, "--level", "record")
	before := s.objects("v1/A/reports/")
	must(t, statusDone, "orders", "ls", s.file)
	must(t, statusDone, "removed", "prune", s.file, "--older-than", "72h", "--yes")
	must(t, statusDone, "written", "rebuild", s.file, "--all", "--yes")
	must(t, statusDone, "", "compact", s.file, "--older-than", "1h", "--yes")
	if r := must(t, statusDone, "nothing is odd", "verify", s.file, "--level", "record"); strings.Contains(r.out+r.err, "warning") {
		t.Error(r)
	}
	if after := s.objects("v1/A/reports/"); len(before) != 1 || len(after) != 2 || !slices.Contains(after, before[0]) {
		t.Errorf("%q, then %q", before, after)
	}
}

// Whoever may not write verifies all the same, and is told in one line.
func TestVerifyWithoutTheRightToWrite(t *testing.T) {
	s := newShelf(t)
	s.days(1)
	if err := os.WriteFile(filepath.Join(s.dir, "v1", "A", "reports"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := must(t, statusDone, "nothing is odd", "verify", s.file)
	if strings.Count(r.err, "warning: ") != 1 || strings.Count(r.err, "\n") != 1 || !strings.Contains(r.err, "--no-report") {
		t.Errorf("%q", r.err)
	}
	if r := must(t, statusDone, "nothing is odd", "verify", s.file, "--no-report"); r.err != "" {
		t.Errorf("%q", r.err)
	}
	var stderr bytes.Buffer
	denied := faulty.Wrap(s.store, faulty.Fault{Op: faulty.Put, Kind: store.AccessDenied})
	new(verifying).keep(t.Context(), &stderr, denied, verify.Report{Source: "A", Level: verify.Chunk, Listed: 1}, time.Now())
	if text := stderr.String(); !strings.HasPrefix(text, "warning: ") || !strings.Contains(text, "right to create objects") {
		t.Errorf("%q", text)
	}
}
