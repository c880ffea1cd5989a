package main

import (
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"tandem/internal/offsetsync"
)

// The mirror was killed before it noted its last records, and A still answers: they are counted, in both directions.
func TestCounted(t *testing.T) {
	s := newStand(t, true, 0)
	s.write(s.a, "orders", 20)
	s.write(s.b, "A.orders", 20)
	s.write(s.b, "orders", 5) // at 40 to 44, and
	s.write(s.a, "B.orders", 5)
	s.commit(s.a, "billing", "orders", records+11)
	plan := []string{"plan", s.file, "--from", "A", "--to", "B", "--wait", "0s"}
	r := s.must(1, append(plan, "--count-timeout", "0")...)
	if !strings.Contains(r.out, "at most 11 records are read again") {
		t.Errorf("without counting:\n%s", r.out)
	}
	file := filepath.Join(t.TempDir(), "plan.json")
	if r := s.must(0, append(plan, "--out", file)...); !strings.Contains(r.out, "1 positions: 1 exact") || !strings.Contains(r.out, "111") {
		t.Errorf("with counting:\n%s", r.out)
	}
	if f := s.status().Flows[0]; f.Groups[0].Exact != 1 {
		t.Errorf("status: %+v", f)
	}
	m := offsetsync.NewMap(1<<20, nil)
	s.do(s.b.ReadAll(t.Context(), tandemTopic("A"), false, m.Load))
	if up, _, _ := m.Covered(part("A.orders")); up != records {
		t.Errorf("a plan has written to the map: it reaches %d", up)
	}
	s.must(0, "apply", file)
	if got := s.offsets(s.b, "billing")["A.orders"]; got != records+11 {
		t.Errorf("billing stands at %d", got)
	}

	s.commit(s.b, "billing", "A.orders", records+15)
	s.commit(s.b, "billing", "orders", 43)
	back := filepath.Join(t.TempDir(), "back.json")
	r = s.must(0, "back", "plan", s.file, "--from", "B", "--to", "A", "--out", back)
	if strings.Contains(r.out, "only on A") {
		t.Errorf("way back:\n%s", r.out)
	}
	s.must(0, "back", "apply", back)
	if got := s.offsets(s.a, "billing"); !maps.Equal(got, map[string]int64{"orders": records + 15, "B.orders": 33}) {
		t.Errorf("billing stands at %v", got)
	}
}
