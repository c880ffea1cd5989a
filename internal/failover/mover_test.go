package failover

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tandem/internal/stream"
)

var errAway = errors.New("connection refused")

// memory is a cluster in memory. The call with number failAt fails, and with cut all after it; half of the failing calls have
// done their work before, as when an answer is lost.
type memory struct {
	mu      sync.Mutex
	calls   int
	failAt  int
	cut     bool
	late    bool // the failing call does its work
	id      string
	topics  []stream.Topic
	starts  map[stream.Partition]int64
	ends    map[stream.Partition]int64
	states  map[string]stream.Group
	offsets map[string]map[stream.Partition]stream.Committed
	touched map[string]bool // groups that were written to
	log     []stream.Record // the flow's topic
	before  func(call string, group string)
}

// call counts one; work says whether it is done, err what the caller hears.
func (c *memory) call(name, group string) (work bool, err error) {
	if c.before != nil {
		c.before(name, group)
	}
	c.calls++
	if c.failAt > 0 && (c.calls == c.failAt || c.cut && c.calls > c.failAt) {
		return c.late && c.calls == c.failAt, errAway
	}
	return true, nil
}

func (c *memory) ClusterID(context.Context) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.call("id", "")
	return c.id, err
}

func (c *memory) Topics(context.Context) ([]stream.Topic, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.call("topics", "")
	return c.topics, err
}

func (c *memory) Offsets(_ context.Context, partitions []stream.Partition, at int64) (map[stream.Partition]int64, map[stream.Partition]error, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.call("ends", "")
	out, from := map[stream.Partition]int64{}, c.ends
	if at == stream.Earliest {
		from = c.starts
	}
	for _, p := range partitions {
		out[p] = from[p]
	}
	return out, nil, err
}

func (c *memory) GroupStates(_ context.Context, ids []string) (map[string]stream.Group, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.call("states", ""); err != nil {
		return nil, err
	}
	out := map[string]stream.Group{}
	for _, id := range ids {
		out[id] = stream.Group{ID: id, State: "Dead"}
		if g, ok := c.states[id]; ok {
			out[id] = g
		}
	}
	return out, nil
}

func (c *memory) GroupOffsets(_ context.Context, ids []string) (map[string]map[stream.Partition]stream.Committed, map[string]error, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.call("offsets", ""); err != nil {
		return nil, nil, err
	}
	out := map[string]map[stream.Partition]stream.Committed{}
	for _, id := range ids {
		out[id] = maps.Clone(c.offsets[id])
	}
	return out, nil, nil
}

func (c *memory) CommitOffsets(_ context.Context, group string, offsets map[stream.Partition]stream.Committed) (map[stream.Partition]error, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	work, err := c.call("commit", group)
	if g, ok := c.states[group]; ok && g.Live() {
		return nil, &stream.BrokerError{Code: stream.CodeUnknownMemberID, Name: "UNKNOWN_MEMBER_ID"}
	}
	if work {
		c.touched[group] = true
		if c.offsets[group] == nil {
			c.offsets[group] = map[stream.Partition]stream.Committed{}
		}
		maps.Copy(c.offsets[group], offsets)
	}
	return nil, err
}

func (c *memory) DeleteOffsets(_ context.Context, group string, partitions []stream.Partition) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	work, err := c.call("delete", group)
	if work {
		c.touched[group] = true
		for _, p := range partitions {
			delete(c.offsets[group], p)
		}
	}
	return err
}

func (c *memory) Write(_ context.Context, records []stream.Record) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	work, err := c.call("note", "")
	if work {
		c.log = append(c.log, records...)
	}
	return err
}

func (c *memory) records(t *testing.T) *Records {
	t.Helper()
	var all Records
	for _, r := range c.log {
		if err := all.Load(r); err != nil {
			t.Fatal(err)
		}
	}
	return &all
}

// stage is a plan of some groups, and the clusters it was made for.
func stage(t *testing.T) (Plan, *memory, *memory) {
	t.Helper()
	w := newWorld()
	for i := range 7 {
		id := fmt.Sprintf("group-%d", i)
		w.group(id, "orders/0", int64(10*i)).group(id, "orders/1", int64(5*i))
		if i%2 == 0 {
			w.old(id, "A.orders/0", int64(i))
		}
	}
	w.old("group-3", "A.orders/1", 15) // where it is to go already
	p := w.plan(t.Context())
	if p.Blocked() {
		t.Fatal(p.Blockers)
	}
	b := &memory{id: "cluster-b", topics: slices.Collect(maps.Values(w.To.Topics)), starts: w.To.Starts, ends: w.To.Ends,
		states: map[string]stream.Group{}, offsets: map[string]map[stream.Partition]stream.Committed{}, touched: map[string]bool{}}
	for id, o := range w.To.Offsets {
		b.offsets[id] = maps.Clone(o)
	}
	a := &memory{id: "cluster-a", states: map[string]stream.Group{}, offsets: map[string]map[stream.Partition]stream.Committed{}}
	for id, g := range w.From.Groups {
		a.offsets[id] = maps.Clone(g.Offsets)
	}
	return p, a, b
}

func mover(a, b *memory) *Mover {
	m := &Mover{Target: b, Logs: b, Notes: b, Now: func() time.Time { return noon.Add(time.Minute) }, By: "ann@desk"}
	if a != nil {
		m.Source = a
	}
	return m
}

func snapshot(c *memory) map[string]map[stream.Partition]int64 {
	out := map[string]map[stream.Partition]int64{}
	for id, o := range c.offsets {
		for p, x := range o {
			if out[id] == nil {
				out[id] = map[stream.Partition]int64{}
			}
			out[id][p] = x.Offset
		}
	}
	return out
}

func planned(p Plan) map[string]map[stream.Partition]int64 {
	out := map[string]map[stream.Partition]int64{}
	for _, g := range p.Groups {
		out[g.Group] = map[stream.Partition]int64{}
		for _, x := range g.Positions {
			out[g.Group][x.RemotePartition()] = x.New
		}
	}
	return out
}

func check(t *testing.T, m *Mover, p Plan, done *Record) []string {
	t.Helper()
	problems, err := m.Check(t.Context(), p, done, 15*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return problems
}

func TestApplyAndUndo(t *testing.T) {
	p, a, b := stage(t)
	before := snapshot(b)
	m := mover(a, b)
	if problems := check(t, m, p, nil); len(problems) > 0 {
		t.Fatal(problems)
	}
	out, err := m.Apply(t.Context(), p, nil)
	if err != nil || out.Changed != 7 || len(out.Failed) > 0 {
		t.Fatalf("%+v %v", out, err)
	}
	if got := snapshot(b); !reflect.DeepEqual(got, planned(p)) {
		t.Fatalf("offsets %v, want %v", got, planned(p))
	}
	if note := b.offsets["group-1"][at("A.orders/0")].Metadata; note != "m" {
		t.Errorf("metadata %q", note)
	}
	rec := b.records(t).Find(p.ID)
	if rec == nil || rec.State != Applied || rec.By != "ann@desk" || len(rec.Groups) != 7 ||
		!reflect.DeepEqual(rec.Boundaries[0], Boundary{"orders", 0, "A.orders", 100, 100, 100}) {
		t.Fatalf("record %+v", rec)
	}
	if out, err := m.Undo(t.Context(), p, *rec); err != nil || len(out.Failed) > 0 {
		t.Fatalf("%+v %v", out, err)
	}
	if got := snapshot(b); !reflect.DeepEqual(got, before) {
		t.Errorf("after undo %v, want %v", got, before)
	}
	if rec = b.records(t).Find(p.ID); rec.State != Undone || len(InForce(b.records(t).All())) > 0 {
		t.Errorf("record %+v", rec)
	}
	if problems := check(t, m, p, rec); len(problems) != 1 || !strings.Contains(problems[0], "is undone since") {
		t.Errorf("a plan that was undone: %v", problems)
	}
}

// TestEveryCallFails lets B fail at call n, once or from then on, before or after its work, for every n. The second run
// finishes, whatever the first left behind; and so with undo.
func TestEveryCallFails(t *testing.T) {
	for n := 1; ; n++ {
		reached := false
		for mode := range 4 {
			p, a, b := stage(t)
			before := snapshot(b)
			b.failAt, b.cut, b.late = n, mode&1 > 0, mode&2 > 0
			m := mover(a, b)
			problems, err := m.Check(t.Context(), p, nil, time.Hour)
			if err == nil && len(problems) == 0 {
				var out Outcome
				out, err = m.Apply(t.Context(), p, nil)
				if err == nil && len(out.Failed) == 0 && b.calls >= n && b.records(t).Find(p.ID).State != Applied {
					t.Fatalf("call %d, mode %d: it says that all went well, and the record does not", n, mode)
				}
				if told := len(out.Failed) + out.Changed + out.Already; told != len(p.Groups) && (told > 0 || err == nil) {
					t.Fatalf("call %d, mode %d: %d groups are not told of", n, mode, len(p.Groups)-len(out.Failed)-out.Changed-out.Already)
				}
			}
			reached = reached || b.calls >= n
			if rec := b.records(t).Find(p.ID); rec == nil && !reflect.DeepEqual(snapshot(b), before) {
				t.Fatalf("call %d, mode %d: groups were moved and nothing is noted", n, mode)
			}
			for range 2 { // the second finishes, the third finds nothing to do
				b.failAt = 0
				done := b.records(t).Find(p.ID)
				if done != nil && done.State == Applied {
					break
				}
				if problems := check(t, m, p, done); len(problems) > 0 {
					t.Fatalf("call %d, mode %d: second run: %v", n, mode, problems)
				}
				if out, err := m.Apply(t.Context(), p, done); err != nil || len(out.Failed) > 0 {
					t.Fatalf("call %d, mode %d: second run: %+v %v", n, mode, out, err)
				}
			}
			if got := snapshot(b); !reflect.DeepEqual(got, planned(p)) {
				t.Fatalf("call %d, mode %d: offsets %v, want %v", n, mode, got, planned(p))
			}
			b.calls, b.failAt = 0, n
			_, _ = m.Undo(t.Context(), p, *b.records(t).Find(p.ID))
			reached = reached || b.calls >= n
			b.failAt = 0
			if out, err := m.Undo(t.Context(), p, *b.records(t).Find(p.ID)); err != nil || len(out.Failed) > 0 {
				t.Fatalf("call %d, mode %d: second undo: %+v %v", n, mode, out, err)
			}
			if got := snapshot(b); !reflect.DeepEqual(got, before) || b.records(t).Find(p.ID).State != Undone {
				t.Fatalf("call %d, mode %d: after undo %v, want %v", n, mode, got, before)
			}
		}
		if !reached {
			return
		}
	}
}

func TestLiveGroupsAreUntouched(t *testing.T) {
	p, a, b := stage(t)
	m := mover(a, b)
	// One gets members after the check, another between the last look at it and its commit.
	if problems := check(t, m, p, nil); len(problems) > 0 {
		t.Fatal(problems)
	}
	b.states["group-1"] = stream.Group{ID: "group-1", State: "Stable"}
	was := maps.Clone(b.offsets["group-2"])
	b.before = func(call, group string) {
		if call == "commit" && group == "group-2" {
			b.states[group] = stream.Group{ID: group, State: "Assigning", Type: "consumer"}
		}
	}
	out, err := m.Apply(t.Context(), p, nil)
	if err != nil || len(out.Failed) != 2 || b.touched["group-1"] || b.touched["group-2"] || !maps.Equal(b.offsets["group-2"], was) {
		t.Fatalf("%+v %v", out, err)
	}
	done := b.records(t).Find(p.ID)
	if done.State != Applying || len(done.Failed) != 2 {
		t.Fatalf("record %+v", done)
	}
	// Groups that were moved run again and have gone on: they are not in the way of the rest.
	b.states["group-4"] = stream.Group{ID: "group-4", State: "Stable"}
	b.offsets["group-4"][at("A.orders/0")] = stream.Committed{Offset: 77}
	delete(b.states, "group-1")
	b.before, b.states["group-2"] = nil, stream.Group{ID: "group-2", State: "Empty"}
	if problems := check(t, m, p, done); len(problems) > 0 {
		t.Fatal(problems)
	}
	if out, err = m.Apply(t.Context(), p, done); err != nil || len(out.Failed) > 0 {
		t.Fatalf("%+v %v", out, err)
	}
	if got := b.offsets["group-4"][at("A.orders/0")].Offset; got != 77 || b.records(t).Find(p.ID).State != Applied {
		t.Errorf("group-4 stands at %d", got)
	}
	// Undo leaves alone what has moved on, and says so.
	delete(b.states, "group-4")
	out, err = m.Undo(t.Context(), p, *b.records(t).Find(p.ID))
	if err != nil || len(out.Failed) != 1 || !strings.Contains(out.Failed[0].Reason, "moved on in A.orders/0, from 40 to 77") {
		t.Errorf("%+v %v", out, err)
	}
	if b.offsets["group-4"][at("A.orders/0")].Offset != 77 || b.records(t).Find(p.ID).State != Applied {
		t.Error("group-4 was set back, or the failover is said to be over")
	}
}

func TestStalePlans(t *testing.T) {
	for name, c := range map[string]struct {
		change func(m *Mover, p *Plan, a, b *memory)
		want   string
	}{
		"too old":         {func(m *Mover, _ *Plan, _, _ *memory) { m.Now = func() time.Time { return noon.Add(time.Hour) } }, "the plan is 1h0m0s old"},
		"from the future": {func(m *Mover, _ *Plan, _, _ *memory) { m.Now = func() time.Time { return noon.Add(-time.Hour) } }, "in the future"},
		"blocked":         {func(_ *Mover, p *Plan, _, _ *memory) { p.Blockers = []Blocker{{What: "no way"}} }, "the plan is blocked: no way"},
		"another cluster": {func(_ *Mover, _ *Plan, _, b *memory) { b.id = "else" }, "B is another cluster"},
		"topic gone":      {func(_ *Mover, _ *Plan, _, b *memory) { b.topics = nil }, "topic A.orders of B is gone"},
		"topic made anew": {func(_ *Mover, _ *Plan, _, b *memory) { b.topics[0].ID = stream.TopicID{9} }, "was made anew"},
		"records deleted": {func(_ *Mover, _ *Plan, _, b *memory) { b.starts[at("A.orders/0")] = 1 }, "has deleted records of A.orders/0"},
		"log cut":         {func(_ *Mover, _ *Plan, _, b *memory) { b.ends[at("A.orders/0")] = 1 }, "its log was cut"},
		"moved on the target": {func(_ *Mover, _ *Plan, _, b *memory) {
			b.offsets["group-2"][at("A.orders/0")] = stream.Committed{Offset: 3}
		}, "group group-2 stands at 3 in A.orders/0 of B, and stood at 2"},
		"live on the target": {func(_ *Mover, _ *Plan, _, b *memory) { b.states["group-2"] = stream.Group{State: "Stable"} }, "group group-2 has members on B"},
		"live on the source": {func(_ *Mover, _ *Plan, a, _ *memory) { a.states["group-2"] = stream.Group{State: "Stable"} }, "group group-2 has members on A"},
		"moved on the source": {func(_ *Mover, _ *Plan, a, _ *memory) {
			a.offsets["group-2"][at("orders/0")] = stream.Committed{Offset: 21}
		}, "group group-2 moved from 20 to 21 in orders/0 of A"},
		"deleted there": {func(_ *Mover, _ *Plan, a, _ *memory) { delete(a.offsets, "group-2") }, "group group-2 has no committed offset in orders/0 of A any more"},
		"source away":   {func(m *Mover, _ *Plan, _, _ *memory) { m.Source = nil }, "A does not answer any more"},
		"set back in a disaster": {func(_ *Mover, p *Plan, a, _ *memory) {
			p.Mode = Disaster
			a.offsets["group-2"][at("orders/0")] = stream.Committed{Offset: 19}
		}, "group group-2 moved from 20 to 19"},
		"gone on in a disaster": {func(_ *Mover, p *Plan, a, _ *memory) {
			p.Mode = Disaster
			a.offsets["group-2"][at("orders/0")] = stream.Committed{Offset: 21}
		}, ""},
		"heard to have gone on before a disaster": {func(m *Mover, p *Plan, _, _ *memory) {
			p.Mode, m.Source = Disaster, nil
			m.Noted = map[string]stream.GroupOffsets{"group-2": {At: p.Groups[0].Seen.Add(time.Minute), Offsets: map[stream.Partition]stream.Committed{at("orders/0"): {Offset: 21}}}}
		}, "group group-2 has moved from 20 to 21 in orders/0 of A since the plan was made: make a new one"},
		"heard of before the plan": {func(m *Mover, p *Plan, _, _ *memory) {
			p.Mode, m.Source = Disaster, nil
			m.Noted = map[string]stream.GroupOffsets{"group-2": {At: p.Groups[0].Seen, Offsets: map[stream.Partition]stream.Committed{at("orders/0"): {Offset: 21}}}}
		}, ""},
		"heard again where it was": {func(m *Mover, p *Plan, _, _ *memory) {
			p.Mode, m.Source = Disaster, nil
			m.Noted = map[string]stream.GroupOffsets{"group-2": {At: p.Groups[0].Seen.Add(time.Minute), Offsets: map[stream.Partition]stream.Committed{at("orders/0"): {Offset: 20}}}}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p, a, b := stage(t)
			m := mover(a, b)
			c.change(m, &p, a, b)
			problems := check(t, m, p, nil)
			if c.want == "" && len(problems) > 0 || c.want != "" && !strings.Contains(strings.Join(problems, "\n"), c.want) {
				t.Errorf("problems %q, want %q", problems, c.want)
			}
			if len(b.touched) > 0 || len(b.log) > 0 {
				t.Error("something was written")
			}
		})
	}
}

func TestManyGroups(t *testing.T) {
	w := newWorld()
	for i := range 1000 {
		w.group(fmt.Sprintf("group-%04d", i), "orders/0", int64(i%100))
		w.group(fmt.Sprintf("group-%04d", i), "orders/1", int64(i%50))
	}
	p := w.plan(t.Context())
	again, err := Decode(p.Encode())
	if err != nil || !reflect.DeepEqual(again, p) {
		t.Fatalf("decode: %v", err)
	}
	b := &memory{id: "cluster-b", states: map[string]stream.Group{}, offsets: map[string]map[stream.Partition]stream.Committed{}, touched: map[string]bool{}}
	if out, err := mover(nil, b).Apply(t.Context(), p, nil); err != nil || out.Changed != 1000 {
		t.Fatalf("%+v %v", out, err)
	}
	if calls := b.calls - 1000; calls > 50 {
		t.Errorf("%d calls beside the 1000 commits", calls)
	}
	rec := b.records(t).Find(p.ID)
	if len(rec.Groups) != 1000 || !strings.Contains(string(b.log[0].Value), `"positions":[{"topic":"A.orders","partition":0,"old":null,"new":`) {
		t.Errorf("record has %d groups", len(rec.Groups))
	}
	for _, r := range b.log {
		if len(r.Value) > 900_000 {
			t.Errorf("a record of %d bytes", len(r.Value))
		}
	}
}
