package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tandem/internal/failover"
	"tandem/internal/offsetsync"
	"tandem/internal/stream"
	"tandem/internal/testkit/embedded"
)

func TestPlannedSwitch(t *testing.T) {
	s := newStand(t, false, 0)
	s.commit(s.a, "billing", "orders", 37)
	s.commit(s.a, "audit", "orders", records)
	s.commit(s.b, "audit", "A.orders", 5)
	file := filepath.Join(t.TempDir(), "plan.json")

	r := s.must(0, "plan", s.file, "--from", "A", "--to", "B", "--out", file)
	if !strings.Contains(r.out, "2 groups, 2 positions: 2 exact") || !strings.Contains(r.out, "next: failover apply "+file) {
		t.Errorf("plan:\n%s", r.out)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("plan file: %v %v", info.Mode(), err)
	}
	if r := s.must(2, "plan", s.file, "--from", "A", "--to", "B", "--out", file); !strings.Contains(r.errors, "exists; name another file, or add --force") {
		t.Errorf("a second plan: %s", r.errors)
	}
	s.must(0, "apply", file, "--dry-run")
	if got := s.offsets(s.b, "billing"); len(got) > 0 {
		t.Fatalf("a dry run wrote %v", got)
	}
	s.must(0, "apply", file)
	if got := s.offsets(s.b, "billing"); !maps.Equal(got, map[string]int64{"A.orders": 37}) {
		t.Errorf("billing stands at %v", got)
	}
	if r := s.must(0, "apply", file); !strings.Contains(r.out, "nothing to do") {
		t.Errorf("a second apply: %s", r.out)
	}
	if r := s.must(1, "plan", s.file, "--from", "A", "--to", "B"); !strings.Contains(r.out, "group billing was moved to B by plan") {
		t.Errorf("a second plan: %s", r.out)
	}
	if r := s.must(0, "status", s.file); !strings.Contains(r.out, "applied at") {
		t.Errorf("status:\n%s", r.out)
	}
	id := s.status().Flows[0].InForce[0].Plan
	if r := s.must(1, "undo", "--plan", "another", s.file); !strings.Contains(r.errors, "there are "+id) {
		t.Errorf("undo of another plan: %s", r.errors)
	}
	s.do(os.Rename(file, file+".lost"))
	s.must(0, "undo", "--plan", id, s.file)
	s.do(os.Rename(file+".lost", file))
	if r := s.must(0, "undo", file); !strings.Contains(r.out, "was undone at") {
		t.Errorf("a second undo: %s", r.out)
	}
	if over := s.status().Flows[0].Over; len(over) != 1 || over[0].Plan != id || over[0].State != failover.Undone {
		t.Errorf("status: %+v", over)
	}
	if a, b := s.offsets(s.b, "audit"), s.offsets(s.b, "billing"); a["A.orders"] != 5 || len(b) > 0 {
		t.Errorf("after undo audit stands at %v, billing at %v", a, b)
	}
	if r := s.must(1, "apply", file); !strings.Contains(r.out, "is undone since") {
		t.Errorf("apply of an undone plan: %s", r.out)
	}
}

func TestDeadSource(t *testing.T) {
	s := newStand(t, false, 8)
	s.commit(s.a, "billing", "orders", 37)
	s.commit(s.a, "audit", "orders", records+3)
	s.noteGroups("billing")
	s.clusterA.Close()
	plan := []string{"plan", s.file, "--from", "A", "--to", "B", "--source-timeout", "500ms"}
	if r := s.must(1, plan...); !strings.Contains(r.out, "plan again with --mode disaster") {
		t.Errorf("without a mode:\n%s", r.out)
	}
	file := filepath.Join(t.TempDir(), "plan.json")
	r := s.must(0, append(plan, "--mode", "disaster", "--json", "--out", file)...)
	p, err := failover.Decode([]byte(r.out))
	if err != nil || len(p.Partitions) != 1 || p.Partitions[0].Lost != 8 || p.Partitions[0].LostSeconds < 1.9 {
		t.Fatalf("%v\n%s", err, r.out)
	}
	s.must(0, "apply", file, "--source-timeout", "500ms")
	if got := s.offsets(s.b, "billing")["A.orders"]; got != 37 {
		t.Errorf("billing stands at %d", got)
	}
	if got := s.offsets(s.b, "audit")["A.orders"]; got != records {
		t.Errorf("audit, which was ahead of the mirror, stands at %d", got)
	}
	if f := s.status("--source-timeout", "500ms").Flows[0]; f.Lag != 8 || len(f.InForce) != 1 || f.From.Live {
		t.Errorf("%+v", f)
	}
}

func TestWayBack(t *testing.T) {
	s := newStand(t, true, 8)
	s.commit(s.a, "billing", "orders", 37)
	s.commit(s.a, "billing", "B.orders", 12)
	s.commit(s.b, "local", "orders", 3) // a group of B's own
	over, back := filepath.Join(t.TempDir(), "over.json"), filepath.Join(t.TempDir(), "back.json")
	if r := s.must(1, "plan", s.file, "--from", "A", "--to", "B", "--wait", "0s"); !strings.Contains(r.out, "has 8 records that are not on B yet") {
		t.Errorf("a controlled plan with lag:\n%s", r.out)
	}
	s.must(0, "plan", s.file, "--from", "A", "--to", "B", "--mode", "disaster", "--out", over)
	s.must(0, "apply", over)
	if got := s.offsets(s.b, "billing"); !maps.Equal(got, map[string]int64{"A.orders": 37, "orders": 22}) {
		t.Fatalf("billing stands at %v", got)
	}
	s.commit(s.b, "billing", "A.orders", 80)
	s.commit(s.b, "billing", "orders", 35)
	r := s.must(0, "back", "plan", s.file, "--from", "B", "--to", "A", "--out", back)
	if !strings.Contains(r.out, "orders/0   100 to 107  8") || !strings.Contains(r.out, "1 groups, 2 positions: 2 exact") {
		t.Errorf("way back:\n%s", r.out)
	}
	s.must(0, "back", "apply", back)
	if got := s.offsets(s.a, "billing"); !maps.Equal(got, map[string]int64{"orders": 80, "B.orders": 25}) {
		t.Errorf("billing stands at %v", got)
	}
	if r := s.must(0, "status", s.file); strings.Contains(r.out, "FAILOVER") {
		t.Errorf("status:\n%s", r.out)
	}
	if r := s.must(1, "undo", over); !strings.Contains(r.out, "undo the plan of the way back first") {
		t.Errorf("undo of a failover whose groups are back: %s", r.out)
	}
	s.must(0, "undo", back)
	if got := s.offsets(s.a, "billing"); !maps.Equal(got, map[string]int64{"orders": 37, "B.orders": 12}) {
		t.Errorf("billing stands at %v", got)
	}
}

func TestAlign(t *testing.T) {
	s := newStand(t, false, 0)
	s.commit(s.a, "billing", "orders", 37)
	s.commit(s.a, "audit", "orders", 60)
	r := s.must(0, "plan", s.file, "--from", "A", "--to", "B", "--align-time", "--json")
	p, err := failover.Decode([]byte(r.out))
	if err != nil || p.Align == nil || !p.Align.Equal(time.Date(2026, 11, 20, 12, 0, 37, 0, time.UTC)) || p.Groups[0].Positions[0].New != 37 {
		t.Errorf("%v\n%s", err, r.out)
	}
	r = s.must(0, "plan", s.file, "--from", "A", "--to", "B", "--align-time=2026-11-20T12:00:10Z", "--json")
	if p, err = failover.Decode([]byte(r.out)); err != nil || p.Groups[0].Positions[0].New != 10 || p.Groups[1].Positions[0].New != 10 {
		t.Errorf("%v\n%s", err, r.out)
	}
}

func TestCannotRun(t *testing.T) {
	s := newStand(t, false, 0)
	s.commit(s.a, "billing", "orders", 37)
	file := filepath.Join(t.TempDir(), "plan.json")
	s.must(0, "plan", s.file, "--from", "A", "--to", "B", "--out", file)
	data, err := os.ReadFile(file)
	s.do(err)
	s.do(os.WriteFile(file, bytes.Replace(data, []byte(`"new":37`), []byte(`"new":90`), 1), 0o600))
	for _, c := range []struct {
		status int
		want   string
		args   []string
	}{
		{2, "which command?", nil},
		{2, "unknown command", []string{"fly"}},
		{2, "one mm2.properties, not 0", []string{"plan"}},
		{2, "say which clusters", []string{"plan", s.file}},
		{2, "no flow between A and C", []string{"plan", s.file, "--from", "A", "--to", "C"}},
		{2, "enables no flow B->A", []string{"plan", s.file, "--from", "B", "--to", "A"}},
		{2, "it must be controlled or disaster", []string{"plan", s.file, "--from", "A", "--to", "B", "--mode", "hope"}},
		{2, "--groups: compile", []string{"plan", s.file, "--from", "A", "--to", "B", "--groups", "("}},
		{2, "write it as 2026", []string{"plan", s.file, "--from", "A", "--to", "B", "--align-time=noon"}},
		{1, "no group was chosen", []string{"plan", s.file, "--from", "A", "--to", "B", "--groups", "bill"}},
		{1, "no group was chosen", []string{"plan", s.file, "--from", "A", "--to", "B", "--topics", "payments"}},
		{1, "no group was chosen", []string{"back", "plan", s.file, "--from", "B", "--to", "A"}},
		{1, "was changed after it was made", []string{"apply", file}},
		{1, "was changed after it was made", []string{"undo", file}},
		{2, "read plan", []string{"apply", file + ".not"}},
		{2, "not a plan", []string{"apply", s.file}},
	} {
		if r := s.run(c.args...); r.status != c.status || !strings.Contains(r.out+r.errors, c.want) {
			t.Errorf("failover %s: status %d, want %d and %q\n%s%s", strings.Join(c.args, " "), r.status, c.status, c.want, r.out, r.errors)
		}
	}
	s.do(os.WriteFile(file, data, 0o600))
	if r := s.must(1, "apply", file, "--max-age", "1ns"); !strings.Contains(r.out, "make a new one") {
		t.Errorf("an old plan: %s", r.out)
	}
	s.commit(s.a, "billing", "orders", 38)
	if r := s.must(1, "apply", file, "--json"); !strings.Contains(r.out, "group billing moved from 37 to 38 in orders/0 of A") {
		t.Errorf("a stale plan: %s", r.out)
	}
	if r := s.must(1, "undo", file); !strings.Contains(r.out, "was never applied") {
		t.Errorf("undo: %s", r.out)
	}
	s.clusterB.Close()
	for _, args := range [][]string{{"plan", s.file, "--from", "A", "--to", "B"}, {"apply", file}, {"undo", file}, {"status", s.file}} {
		if r := s.must(2, args...); !strings.Contains(r.errors, "cluster B: ") || strings.Count(r.errors, "\n") != 1 {
			t.Errorf("failover %s with B dead: %s%s", args[0], r.out, r.errors)
		}
	}
}

// TestManyGroups has 1,000 groups of 50 partitions: a plan and its application must not go to the clusters group by group.
func TestManyGroups(t *testing.T) {
	const groups, partitions = 1000, 50
	clusters := map[string]*embedded.Cluster{}
	for alias, topic := range map[string]string{"A": "orders", "B": "A.orders"} {
		c, err := embedded.Start("cluster-"+alias, partitions, topic)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		clusters[alias] = c
	}
	s := &stand{t: t, file: filepath.Join(t.TempDir(), "mm2.properties")}
	s.do(os.WriteFile(s.file, fmt.Appendf(nil, "clusters = A, B\nA.bootstrap.servers = %s\nB.bootstrap.servers = %s\nA->B.enabled = true\noffset.storage.replication.factor = 1\n",
		clusters["A"].Bootstrap(), clusters["B"].Bootstrap()), 0o600))
	p, err := open(s.file, "A", "B", time.Second)
	s.do(err)
	defer p.close()
	m := offsetsync.NewMap(1<<20, nil)
	offsets := make(map[stream.Partition]stream.Committed)
	for n := range int32(partitions) {
		from, to := stream.Partition{Topic: "orders", Number: n}, stream.Partition{Topic: "A.orders", Number: n}
		var list []stream.Record
		for i := range records {
			list = append(list, stream.Record{Partition: n, Value: []byte(fmt.Sprint(i))})
		}
		s.do(p.fromAdmin.Append(t.Context(), "orders", list))
		s.do(p.toAdmin.Append(t.Context(), "A.orders", list))
		m.Stands(to, from, 0, 0)
		m.Ack(stream.Ack{Source: from, Remote: to, Topic: stream.TopicID{1}, Bytes: 1, Runs: []stream.Run{{Count: records}}, Next: records, NextDown: records})
		offsets[from] = stream.Committed{Offset: int64(n)}
	}
	s.do((&notes{admin: p.toAdmin, flow: p.flow}).Write(t.Context(), m.Changed()))
	for i := range groups {
		_, err := p.fromAdmin.CommitOffsets(t.Context(), fmt.Sprintf("group-%04d", i), offsets)
		s.do(err)
	}
	file := filepath.Join(t.TempDir(), "plan.json")
	start := time.Now()
	s.must(0, "plan", s.file, "--from", "A", "--to", "B", "--out", file)
	planned := time.Since(start)
	s.must(0, "apply", file)
	t.Logf("plan %v, apply %v", planned, time.Since(start)-planned)
	all, _, err := p.toAdmin.GroupOffsets(t.Context(), []string{"group-0000", "group-0999"})
	s.do(err)
	for id, got := range all {
		if len(got) != partitions || got[stream.Partition{Topic: "A.orders", Number: 49}].Offset != 49 {
			t.Errorf("%s stands at %v", id, got)
		}
	}
}
