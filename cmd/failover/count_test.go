package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tandem/internal/offsetsync"
	"tandem/internal/stream"
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
	s.do(s.b.ReadAll(t.Context(), stream.TandemTopic("A"), false, m.Load))
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

// What stands behind the mirrored end may be markers of transactions only. Then nothing is lost; and nothing but what is.
func TestMarkersAreNotLost(t *testing.T) {
	s := newStand(t, false, 0)
	s.commit(s.a, "billing", "orders", 37)
	plan := []string{"plan", s.file, "--from", "A", "--to", "B", "--wait", "0s"}
	s.transactions("orders", 5) // ten records at 100, 101, 103, 104, ..., and the last marker at 114
	for i := range 5 {
		s.do(s.b.Append(t.Context(), "A.orders", []stream.Record{inTransaction(i, 0), inTransaction(i, 1)}))
		if i == 2 {
			if r := s.must(1, plan...); !strings.Contains(r.out, "has 7 records that are not on B yet") { // 4 and 3 markers
				t.Errorf("six records of ten are there:\n%s", r.out)
			}
		}
	}
	if r := s.must(0, plan...); !strings.Contains(r.out, "not on B yet: 0 records") {
		t.Errorf("all are there:\n%s", r.out)
	}
}

// inTransaction is a record of the n-th transaction.
func inTransaction(n, i int) stream.Record {
	return stream.Record{Value: fmt.Appendf(nil, "transaction %d record %d", n, i), Timestamp: time.Date(2026, 11, 20, 13, 0, n, 0, time.UTC)}
}

// transactions writes some of two records each.
func (s *stand) transactions(topic string, n int) {
	s.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.clusterA.Bootstrap()), kgo.TransactionalID("orders"), kgo.DefaultProduceTopic(topic))
	s.do(err)
	defer client.Close()
	for n := range n {
		s.do(client.BeginTransaction())
		for i := range 2 {
			r := inTransaction(n, i)
			s.do(client.ProduceSync(s.t.Context(), &kgo.Record{Value: r.Value, Timestamp: r.Timestamp}).FirstErr())
		}
		s.do(client.EndTransaction(s.t.Context(), kgo.TryCommit))
	}
}
