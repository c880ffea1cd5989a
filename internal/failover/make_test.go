package failover

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tandem/internal/policy"
	"tandem/internal/stream"
)

var update = flag.Bool("update", false, "write the transcripts in testdata anew")

func TestRules(t *testing.T) {
	type want struct {
		at      int64
		class   string
		again   int64
		blocked string // part of a blocker; empty: none at all
		none    bool   // no position
	}
	const g, p = "g", "orders/0"
	identity := func(w *world) {
		forward, _ := policy.New(policy.IdentityClass, ".", false, "A")
		home, _ := policy.New(policy.IdentityClass, ".", false, "B")
		w.Rules.Policy, w.Rules.HomePolicy = forward, home
		w.log("orders/0", 0, 100).log("orders/1", 0, 50)
	}
	for _, c := range []struct {
		story string
		setup func(w *world)
		want  want
	}{
		{"a group in the middle goes on there", func(w *world) { w.group(g, p, 40) }, want{40, "exact", 0, "", false}},
		{"a group at the end goes on at the end", func(w *world) { w.group(g, p, 100) }, want{100, "exact", 0, "", false}},
		{"a group behind a hole goes on at the next record", func(w *world) {
			w.forward.up[at("A.orders/0")] = nil
			w.forward.copied(at("A.orders/0"), 0, 40, 0).copied(at("A.orders/0"), 50, 110, 40)
			w.end(p, 110, 110).group(g, p, 45)
		}, want{40, "exact", 0, "", false}},
		{"in a gap it goes back to the gap's start", func(w *world) {
			w.forward.gap(at("A.orders/0"), 30, 60)
			w.group(g, p, 40)
		}, want{30, "clamped", 30, "is clamped on B (a gap)", false}},
		{"unless its last checkpoint is nearer", func(w *world) {
			w.forward.gap(at("A.orders/0"), 30, 60)
			w.Checkpoints[CheckpointKey{g, at("A.orders/0")}] = stream.Checkpoint{Up: 38, Down: 38, At: noon}
			w.group(g, p, 40)
		}, want{38, "clamped", 22, "by the checkpoint", false}},
		{"a checkpoint beyond the group is not used", func(w *world) {
			w.forward.gap(at("A.orders/0"), 30, 60)
			w.Checkpoints[CheckpointKey{g, at("A.orders/0")}] = stream.Checkpoint{Up: 41, Down: 41, At: noon}
			w.group(g, p, 40)
		}, want{30, "clamped", 30, "a gap", false}},
		{"nor one that the map contradicts", func(w *world) {
			w.forward.gap(at("A.orders/0"), 30, 60)
			w.Checkpoints[CheckpointKey{g, at("A.orders/0")}] = stream.Checkpoint{Up: 38, Down: 90, At: noon}
			w.group(g, p, 40)
		}, want{30, "clamped", 30, "a gap", false}},
		{"without a map the checkpoint is the place", func(w *world) {
			delete(w.forward.ends, at("A.orders/0"))
			w.Checkpoints[CheckpointKey{g, at("A.orders/0")}] = stream.Checkpoint{Up: 30, Down: 25, At: noon}
			w.group(g, p, 40)
		}, want{25, "clamped", 75, "by the checkpoint", false}},
		{"without either it is unknown", func(w *world) {
			delete(w.forward.ends, at("A.orders/0"))
			w.group(g, p, 40)
		}, want{0, "", 0, "has no known place", true}},
		{"ahead of the mirror: its end", func(w *world) {
			w.end(p, 120, 100).group(g, p, 110)
		}, want{100, "ahead", 0, "wait until the mirror has caught up", false}},
		{"records that the mirror had not noted: the end of what it had", func(w *world) {
			w.log("A.orders/0", 0, 108).end(p, 108, 100).group(g, p, 105)
		}, want{100, "clamped", 5, "had not noted its last 8 records", false}},
		{"never past the end of the target's log", func(w *world) {
			w.log("A.orders/0", 0, 90).group(g, p, 95)
		}, want{90, "clamped", 0, "ends at 90", false}},
		{"below the target's log start: the start, which no waiting mends", func(w *world) {
			w.log("A.orders/0", 60, 100).group(g, p, 40)
		}, want{60, "clamped", 0, "", false}},
		{"members on the target", func(w *world) {
			w.group(g, p, 40)
			w.To.States[g] = stream.Group{ID: g, State: "Stable"}
		}, want{40, "exact", 0, "group g has members on B (state Stable)", false}},
		{"members on the source, in a controlled plan", func(w *world) {
			w.group(g, p, 40)
			w.From.States[g] = stream.Group{ID: g, State: "Stable"}
		}, want{40, "exact", 0, "group g has members on A (state Stable)", false}},
		{"members on the source, in a disaster", func(w *world) {
			w.Mode = Disaster
			w.group(g, p, 40)
			w.From.States[g] = stream.Group{ID: g, State: "Stable"}
		}, want{40, "exact", 0, "", false}},
		{"lag, in a controlled plan", func(w *world) { w.end(p, 107, 100).group(g, p, 40) },
			want{40, "exact", 0, "orders/0 of A has 7 records that are not on B yet: wait", false}},
		{"lag, in a disaster", func(w *world) {
			w.Mode = Disaster
			w.end(p, 107, 100).group(g, p, 40)
		}, want{40, "exact", 0, "", false}},
		{"a dead source, and nobody said that it is lost", func(w *world) { w.group(g, p, 40).dead() },
			want{40, "exact", 0, "plan again with --mode disaster", false}},
		{"a dead source that is lost", func(w *world) {
			w.Mode = Disaster
			w.group(g, p, 40).dead()
		}, want{40, "exact", 0, "", false}},
		{"the remote partition is missing", func(w *world) {
			delete(w.To.Topics, "A.orders")
			w.group(g, p, 40)
		}, want{0, "", 0, "B does not have partition A.orders/0", true}},
		{"the group was moved before", func(w *world) {
			w.group(g, p, 40)
			w.Failovers = []Record{{Plan: "p1", Kind: Over, State: Applied, To: "B", Groups: []RecordGroup{{Group: g}}}}
		}, want{40, "exact", 0, "was moved to B by plan p1", false}},
		{"the group was moved before and that was undone", func(w *world) {
			w.group(g, p, 40)
			w.Failovers = []Record{{Plan: "p1", Kind: Over, State: Undone, To: "B", Groups: []RecordGroup{{Group: g}}}}
		}, want{40, "exact", 0, "", false}},
		{"nobody to move", func(*world) {}, want{0, "", 0, "no group was chosen", true}},
		{"one name on both sides: the first record of either origin that is unread", func(w *world) {
			identity(w)
			w.forward.copied(at("orders/0"), 0, 80, 20) // 20 records of B, then A's
			w.forward.ends[at("orders/0")] = [2]int64{100, 100}
			w.home.copied(at("orders/0"), 0, 20, 80) // A's, then those of B
			w.home.ends[at("orders/0")] = [2]int64{100, 100}
			w.end(p, 100, 100).group(g, p, 90)
		}, want{10, "exact", 90, "", false}},
	} {
		t.Run(c.story, func(t *testing.T) {
			w := newWorld()
			c.setup(w)
			plan := w.plan(t.Context())
			got := plan.find(g, p)
			switch {
			case c.want.none && got != nil:
				t.Fatalf("a position: %+v", *got)
			case c.want.none:
			case got == nil:
				t.Fatalf("no position; blockers %v", plan.Blockers)
			case got.New != c.want.at || got.Class != c.want.class || got.Again != c.want.again || got.Skipped != 0:
				t.Errorf("got %+v, want %+v", *got, c.want)
			}
			if c.want.blocked == "" && plan.Blocked() || c.want.blocked != "" && !plan.blockedBy(c.want.blocked) {
				t.Errorf("blockers %v, want %q", plan.Blockers, c.want.blocked)
			}
		})
	}
}

func TestHomePositions(t *testing.T) {
	setup := func() *world {
		w := newWorld()
		w.log("orders/0", 0, 70)
		w.home.copied(at("B.orders/0"), 0, 50, 0).copied(at("B.orders/0"), 60, 70, 50)
		return w.group("g", "B.orders/0", 55)
	}
	w := setup()
	if got := w.plan(t.Context()).find("g", "B.orders/0"); got == nil || got.New != 65 || got.Class != "exact" || got.Remote != "orders" {
		t.Errorf("with A alive: %+v", got)
	}
	w = setup()
	w.Mode = Disaster
	w.Checkpoints[CheckpointKey{"g", at("orders/0")}] = stream.Checkpoint{Up: 52, Down: 62, At: noon}
	if got := w.dead().plan(t.Context()).find("g", "B.orders/0"); got == nil || got.New != 62 || got.Class != "clamped" || got.Again != 3 {
		t.Errorf("with A dead: %+v", got)
	}
	w = setup()
	w.Mode = Disaster
	if p := w.dead().plan(t.Context()); !p.blockedBy("has no known place") {
		t.Errorf("with A dead and no checkpoint: %v", p.Blockers)
	}
	w.AllowUnknown = true
	w.group("g", "orders/0", 3)
	if p := w.plan(t.Context()); p.Blocked() || len(p.Groups[0].Positions) != 1 || !strings.Contains(fmt.Sprint(p.Warnings), "left out (--allow-unknown)") {
		t.Errorf("allowed: %v %v", p.Blockers, p.Warnings)
	}
}

func TestWayBack(t *testing.T) {
	setup := func() *world {
		w := newWorld()
		w.Kind, w.Mode = Back, Controlled
		// Groups leave B for A: the map of A->B is the way home, that of B->A leads forward.
		w.Rules.From, w.Rules.To = "B", "A"
		w.Rules.Policy, _ = policy.New(policy.DefaultClass, ".", false, "B")
		w.From.Ends = map[stream.Partition]stream.SourceEnd{}
		w.To.Topics = map[string]stream.Topic{}
		w.log("orders/0", 0, 104).log("B.orders/0", 0, 30)
		w.home = newFakeMap().copied(at("A.orders/0"), 0, 100, 0)
		w.forward = newFakeMap().copied(at("B.orders/0"), 10, 40, 0)
		w.Home, w.Map = w.home, w.forward
		w.end("orders/0", 40, 40)
		w.end("A.orders/0", 100, 100)
		w.group("g", "A.orders/0", 77).group("g", "orders/0", 25)
		w.Standing = map[string]bool{"g": true, "h": true}
		w.Failovers = []Record{{Plan: "p1", Kind: Over, State: Applied, From: "A", To: "B", Groups: []RecordGroup{{Group: "g"}},
			Boundaries: []Boundary{{Topic: "orders", Remote: "A.orders", SourceEnd: 104, Mirrored: 100, MirroredDown: 100}}}}
		w.Returning = w.Failovers
		return w
	}
	w := setup()
	p := w.plan(t.Context())
	if a, b := p.find("g", "A.orders/0"), p.find("g", "orders/0"); p.Blocked() || a == nil || b == nil || a.New != 77 || a.Remote != "orders" || b.New != 15 || b.Remote != "B.orders" {
		t.Errorf("positions %+v, blockers %v", p.Groups, p.Blockers)
	}
	if fmt.Sprint(p.Completes) != "[p1]" {
		t.Errorf("completes %v", p.Completes)
	}
	beyond, unknown := w.Diverged()
	if fmt.Sprint(beyond) != fmt.Sprint([]Stretch{{at("orders/0"), 100, 104}}) || len(unknown) > 0 {
		t.Errorf("diverged %v %v", beyond, unknown)
	}

	w = setup()
	w.Returning[0].Groups = append(w.Returning[0].Groups, RecordGroup{Group: "h"})
	if p := w.plan(t.Context()); len(p.Completes) != 0 || !strings.Contains(fmt.Sprint(p.Warnings), "p1 stays in force: 1 of its groups") {
		t.Errorf("with a group that stays: completes %v, warnings %v", p.Completes, p.Warnings)
	}

	w = setup()
	w.Rules.Replicates, w.Map = nil, nil
	if p := w.plan(t.Context()); !p.blockedBy("which no flow B->A replicates: what was written to it on B is not on A") {
		t.Errorf("without the reverse flow: %v", p.Blockers)
	}
}

func TestLoss(t *testing.T) {
	w := newWorld().end("orders/0", 120, 100).group("g", "orders/0", 40).group("g", "orders/1", 40)
	w.Mode = Disaster
	w.log("A.orders/1", 0, 58) // eight more than the mirror had noted, and than A had when it was last seen
	p := w.dead().plan(t.Context())
	if x := p.Partitions[0]; x.SourceEnd != 120 || x.Mirrored != 100 || x.Lost != 20 || x.LostSeconds != 1.5 || !x.Seen.Equal(noon.Add(-3*time.Second)) {
		t.Errorf("%+v", x)
	}
	if x := p.Partitions[1]; x.SourceEnd != 58 || x.Mirrored != 58 || x.Lost != 0 {
		t.Errorf("%+v", x)
	}
	w = newWorld().end("orders/0", 90, 100).group("g", "orders/0", 40)
	if p := w.plan(t.Context()); !strings.Contains(fmt.Sprint(p.Warnings), "orders/0 of A ends at 90, and is mirrored up to 100") {
		t.Errorf("a source that was cut: %v", p.Warnings)
	}
}

func TestWayBackUnderOneName(t *testing.T) {
	w := newWorld()
	w.Kind, w.Mode = Back, Controlled
	w.Rules = Rules{From: "B", To: "A", HomeReplicates: func(topic string) bool { return topic == "orders" }}
	w.Rules.HomePolicy, _ = policy.New(policy.IdentityClass, ".", false, "A")
	w.From.Ends, w.To.Topics = map[stream.Partition]stream.SourceEnd{}, map[string]stream.Topic{}
	w.log("orders/0", 0, 110)
	w.Home, w.Map = newFakeMap().copied(at("orders/0"), 10, 110, 0), nil
	w.group("g", "orders/0", 100)
	if p := w.plan(t.Context()); p.Blocked() || p.find("g", "orders/0").New != 110 {
		t.Errorf("at the end of what was mirrored: %+v %v", p.Groups, p.Blockers)
	}
	w.group("g", "orders/0", 105)
	if p := w.plan(t.Context()); !p.blockedBy("what was written to it on B is not on A") || p.Passing() {
		t.Errorf("among B's own records: %v", p.Blockers)
	}
}

// diary is a log of B, one record a second.
type diary struct{ first time.Time }

func (d diary) Timestamps(_ context.Context, at []Place) ([]time.Time, error) {
	var out []time.Time
	for _, p := range at {
		out = append(out, d.first.Add(time.Duration(p.Offset)*time.Second+time.Duration(p.Number)*10*time.Second))
	}
	return out, nil
}

func (d diary) After(_ context.Context, partitions []stream.Partition, at time.Time) (map[stream.Partition]int64, error) {
	out := map[stream.Partition]int64{}
	for _, p := range partitions {
		out[p] = max(0, int64(at.Sub(d.first).Seconds())-int64(p.Number)*10)
		if out[p] >= 50 {
			out[p] = -1
		}
	}
	return out, nil
}

func TestAlign(t *testing.T) {
	w := newWorld()
	w.Align, w.Times = true, diary{noon.Add(-time.Hour)}
	w.group("g", "orders/0", 40).group("g", "orders/1", 20).group("h", "orders/0", 100) // at 40 s, 30 s, and the end
	p := w.plan(t.Context())
	if p.Align == nil || !p.Align.Equal(noon.Add(-time.Hour+30*time.Second)) {
		t.Fatalf("aligned to %v", p.Align)
	}
	for place, want := range map[string]int64{"orders/0": 30, "orders/1": 20} {
		if got := p.find("g", place); got.New != want || got.Again != map[int64]int64{30: 10, 20: 0}[want] {
			t.Errorf("g in %s: %+v, want %d", place, got, want)
		}
	}
	if got := p.find("h", "orders/0"); got.New != 30 || got.Again != 70 || p.Blocked() {
		t.Errorf("h: %+v, blockers %v", got, p.Blockers)
	}
	w.AlignAt = noon // later than every position: nothing moves forward
	if got := w.plan(t.Context()).find("g", "orders/0"); got.New != 40 {
		t.Errorf("aligned to the future: %+v", got)
	}
}

// TestNothingIsSkipped compares plans with what a group has handled, record by record.
func TestNothingIsSkipped(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 5))
		w := newWorld()
		remote := at("A.orders/0")
		// The history: source records, some of which were copied; foreign records; the mirror forgets its end.
		m := newFakeMap()
		m.up[remote] = map[int64]int64{}
		truth := map[int64]int64{} // target offset of every copied source record
		var up, down int64
		for range r.IntN(30) {
			up += r.Int64N(3)
			down += int64(r.IntN(4) / 3)
			truth[up] = down
			up, down = up+1, down+1
		}
		noted := r.Int64N(up + 1)
		for u, d := range truth {
			if u < noted {
				m.up[remote][u] = d
			}
		}
		var covered int64
		for u, d := range m.up[remote] {
			if u < noted {
				covered = max(covered, d+1)
			}
		}
		m.ends[remote] = [2]int64{noted, covered}
		if covered > 2 && r.IntN(2) == 0 {
			from := r.Int64N(covered)
			m.gap(remote, from, from+r.Int64N(covered-from)+1)
		}
		w.Map = m
		start := int64(0)
		if r.IntN(4) == 0 && down > 0 {
			start = r.Int64N(down)
		}
		w.log("A.orders/0", start, down).end("orders/0", up+r.Int64N(3), noted)
		commit := r.Int64N(up + 4)
		w.group("g", "orders/0", commit)
		if r.IntN(3) == 0 { // a checkpoint from before
			then := r.Int64N(commit + 1)
			place := down
			for u, d := range truth {
				if u >= then {
					place = min(place, d)
				}
			}
			w.Checkpoints[CheckpointKey{"g", remote}] = stream.Checkpoint{Up: stream.Upstream(then), Down: stream.Downstream(place), At: noon}
		}
		if r.IntN(2) == 0 {
			w.Mode = Disaster
			w.dead()
		}
		got := w.plan(t.Context()).find("g", "orders/0")
		if got == nil {
			t.Fatalf("seed %d: no position", seed)
		}
		exact := down
		for u, d := range truth {
			if u >= commit {
				exact = min(exact, d)
			}
		}
		if exact = max(exact, start); got.New > exact {
			t.Errorf("seed %d: goes on at %d, and %d is unread: %+v", seed, got.New, exact, *got)
		}
		var again int64 // of mirrored records: who else writes there is not our mirror
		for u, d := range truth {
			if u < commit && d >= got.New {
				again++
			}
		}
		if again > got.Again || got.Class == "exact" && again > 0 {
			t.Errorf("seed %d: %d records are read again: %+v", seed, again, *got)
		}
	}
}

func TestTranscripts(t *testing.T) {
	for name, setup := range map[string]func() *world{
		"controlled": func() *world {
			return newWorld().group("billing", "orders/0", 100).group("billing", "orders/1", 48).group("audit", "orders/0", 12).old("audit", "A.orders/0", 7)
		},
		"disaster": func() *world {
			w := newWorld()
			w.Mode = Disaster
			w.forward.gap(at("A.orders/1"), 30, 45)
			w.end("orders/0", 120, 100).group("billing", "orders/0", 110).group("billing", "orders/1", 40).group("other", "elsewhere/0", 4).group("other", "orders/0", 5)
			return w.dead()
		},
		"blocked": func() *world {
			w := newWorld().end("orders/0", 107, 100).group("billing", "orders/0", 104).group("audit", "orders/0", 12)
			w.From.States["audit"] = stream.Group{ID: "audit", State: "Stable"}
			w.To.States["billing"] = stream.Group{ID: "billing", State: "Assigning"}
			return w
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := setup()
			var b strings.Builder
			p := w.plan(t.Context())
			if err := p.Text(&b); err != nil {
				t.Fatal(err)
			}
			b.WriteString("\n---- status\n")
			s, err := Look(t.Context(), w.Situation)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Text(&b); err != nil {
				t.Fatal(err)
			}
			b.WriteString("\n---- file\n")
			b.Write(p.Encode())
			path := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if string(want) != b.String() {
				t.Errorf("%s is not what was written; run with -update and look at the difference. Now:\n%s", path, &b)
			}
		})
	}
}
