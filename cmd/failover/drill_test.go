package main

import (
	"strings"
	"testing"
)

func TestDrillArguments(t *testing.T) {
	s := newStand(t, false, 0)
	for args, want := range map[string]string{
		"":                                       "say which clusters",
		"--from A --to A":                        "say which clusters",
		"--from A --to C":                        "enables no flow between A and C",
		"--from B --to A":                        "enables no flow B->A",
		"--from A --to B --records 0":            "--records is 0",
		"--from A --to B --timeout 0s":           "--timeout is 0s",
		"--from A --to B --topics (":             "--topics",
		"--from A --to B --partitions 0":         "--partitions is 0",
		"--from A --to B --source-timeout 100ms": "no heartbeat of A->B", // all is there but a mirror
	} {
		r := s.must(2, append([]string{"drill", s.file}, strings.Fields(args)...)...)
		if !strings.Contains(r.errors, want) || r.out != "" || strings.Count(r.errors, "\n") != 1 {
			t.Errorf("%s: %s%s", args, r.out, r.errors)
		}
	}
}

// What a drill has made is nobody else's business: a plan that a person makes meanwhile would be refused when it is gone.
func TestOthersDoNotSeeThrowAwayGroups(t *testing.T) {
	s := newStand(t, false, 0)
	s.commit(s.a, "app", "orders", 50)
	s.commit(s.a, throwAway+"00000000-1", "orders", 10)
	for _, args := range [][]string{nil, {"--groups", ".*"}} {
		out := s.must(0, append([]string{"plan", s.file, "--from", "A", "--to", "B", "--wait", "0s"}, args...)...).out
		if strings.Contains(out, throwAway) || !strings.Contains(out, "app") {
			t.Error(out)
		}
	}
	s.noteGroups(throwAway + "00000000-1")
	for _, f := range s.status().Flows {
		for _, g := range f.Groups {
			if g.Group != "app" {
				t.Errorf("%+v", g)
			}
		}
	}
}
