package catalog

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/store"
	"tandem/internal/archive/store/faulty"
	"tandem/internal/stream"
)

// told is an overview in lines; times are minutes behind noon.
func told(o Overview) string {
	at := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return fmt.Sprint(minutes(t))
	}
	lines := []string{fmt.Sprintf("%d bundles, oldest %s, newest %s", o.Objects, at(o.Oldest), at(o.Newest))}
	for _, s := range o.Topics {
		line := fmt.Sprintf("%s x%d from %s to %s", s.Topic, s.Partitions, at(s.From), at(s.To))
		if s.Deleted {
			line += " deleted"
		}
		if s.Holes > 0 {
			line += fmt.Sprintf(", %d holes", s.Holes)
		}
		lines = append(lines, line)
	}
	for _, p := range o.Points {
		lines = append(lines, p.Name+" at "+at(p.At))
	}
	return strings.Join(lines, "\n")
}

func overviewOf(all ...*stored) Overview {
	o := NewOverviewing("A")
	slices.SortFunc(all, func(a, b *stored) int { return strings.Compare(a.object.Name, b.object.Name) })
	for _, s := range all {
		o.Add(s.object, &s.footer)
	}
	return o.Overview()
}

func TestOverviewStories(t *testing.T) {
	var w, v, prune teller
	found := func(t bundle.Topic) bundle.TopicCreated {
		return bundle.TopicCreated{Topic: t, Partitions: 1, Factor: 1, Found: true}
	}
	made := func(t bundle.Topic) bundle.TopicCreated {
		return bundle.TopicCreated{Topic: t, Partitions: 1, Factor: 1}
	}
	gone := func(t bundle.Topic, from, to int) bundle.Removed {
		return bundle.Removed{Reason: "pruned", Ranges: []bundle.RemovedRange{{Topic: t, From: stream.Upstream(from), To: stream.Upstream(to)}}}
	}
	entries := func(all ...bundle.Entry) []bundle.Entry { return all }
	places := func(all ...bundle.Position) []bundle.Position { return all }
	again := bundle.Topic{Name: "orders", ID: stream.TopicID{9}, Incarnation: 1}
	tests := map[string]struct {
		story func() []*stored
		want  string
	}{
		"nothing": {func() []*stored { return nil }, "0 bundles, oldest -, newest -"},
		"a topic that was there when the archive began": {func() []*stored {
			return []*stored{
				w.tell(1, entries(entry(orders, 0, 70, 80)), places(position(orders, 0, 80)), event(1, found(orders))),
				w.tell(5, entries(entry(orders, 0, 80, 90)), places(position(orders, 0, 90))),
			}
		}, "2 bundles, oldest 1, newest 5\norders x1 from 1 to 5"},
		"one that was made later moves nothing": {func() []*stored {
			return []*stored{
				w.tell(1, entries(entry(orders, 0, 0, 10)), places(position(orders, 0, 10)), event(1, found(orders))),
				w.tell(5, nil, places(position(orders, 0, 10), position(audit, 0, 0)), event(4, made(audit))),
				w.tell(9, entries(entry(audit, 0, 0, 10)), places(position(orders, 0, 10), position(audit, 0, 10))),
			}
		}, "3 bundles, oldest 1, newest 9\naudit x1 from 4 to 9\norders x1 from 1 to 9"},
		"one that was there and was not archived before does": {func() []*stored {
			return []*stored{
				w.tell(1, entries(entry(orders, 0, 0, 10)), places(position(orders, 0, 10)), event(1, found(orders))),
				w.tell(5, entries(entry(audit, 0, 0, 10)), places(position(orders, 0, 10), position(audit, 0, 10)), event(5, found(audit))),
			}
		}, "2 bundles, oldest 5, newest 5\naudit x1 from 5 to 5\norders x1 from 1 to 5"},
		"what a writer that is silent has ends at its last word": {func() []*stored {
			return []*stored{
				w.tell(1, entries(entry(orders, 0, 0, 10)), places(position(orders, 0, 10)), event(1, found(orders))),
				v.tell(2, entries(entry(audit, 0, 0, 10)), places(position(audit, 0, 10)), event(2, found(audit))),
				w.tell(8, nil, places(position(orders, 0, 10))),
			}
		}, "3 bundles, oldest 2, newest 8\naudit x1 from 2 to 2\norders x1 from 1 to 8"},
		"deleted, and made anew": {func() []*stored {
			return []*stored{
				w.tell(1, entries(entry(orders, 0, 0, 10)), places(position(orders, 0, 10)), event(1, found(orders))),
				w.tell(5, entries(entry(again, 0, 0, 3)), nil, event(4, bundle.TopicRecreated{Old: orders, New: again, Partitions: 2, Factor: 1})),
				w.tell(7, nil, nil, event(7, bundle.TopicDeleted{Topic: again})),
			}
		}, "3 bundles, oldest 1, newest 7\norders x1 from 1 to 4 deleted\norders#1 x2 from 4 to 7 deleted"},
		"pruned": {func() []*stored {
			return []*stored{
				w.tell(6, entries(entry(orders, 0, 50, 60)), places(position(orders, 0, 60), position(audit, 0, 10))),
				w.tell(8, entries(entry(orders, 0, 60, 70)), places(position(orders, 0, 70), position(audit, 0, 10))),
				prune.tell(9, nil, nil, event(1, found(orders)), event(2, made(audit)), event(9, gone(orders, 0, 50))),
			}
		}, "3 bundles, oldest 6, newest 9\naudit x1 from 2 to 8\norders x1 from 6 to 8"},
		"an island before what was pruned": {func() []*stored {
			return []*stored{
				w.tell(2, entries(entry(orders, 0, 10, 20)), places(position(orders, 0, 20)), event(1, found(orders))),
				w.tell(6, entries(entry(orders, 0, 50, 60)), places(position(orders, 0, 60))),
				prune.tell(9, nil, nil, event(9, gone(orders, 0, 10)), event(9, gone(orders, 20, 50))),
			}
		}, "3 bundles, oldest 6, newest 9\norders x1 from 6 to 6"},
		"all of a topic was pruned, and it is idle": {func() []*stored {
			return []*stored{
				w.tell(6, nil, places(position(orders, 0, 50))),
				w.tell(8, nil, places(position(orders, 0, 50))),
				prune.tell(9, nil, nil, event(1, found(orders)), event(9, gone(orders, 0, 50))),
			}
		}, "3 bundles, oldest 6, newest 9\norders x1 from 6 to 8"},
		"a deleted topic of which nothing is left": {func() []*stored {
			return []*stored{
				w.tell(6, entries(entry(audit, 0, 0, 10)), places(position(audit, 0, 10)), event(6, made(audit))),
				prune.tell(9, nil, nil, event(1, found(orders)), event(7, bundle.TopicDeleted{Topic: orders}), event(9, gone(orders, 0, 50))),
			}
		}, "2 bundles, oldest 7, newest 9\naudit x1 from 6 to 6"},
		"the source had deleted its beginning": {func() []*stored {
			return []*stored{
				w.tell(1, nil, places(position(orders, 0, 0)), event(1, made(orders))),
				w.tell(6, entries(entry(orders, 0, 50, 60)), places(position(orders, 0, 60)), event(5, bundle.Gap{Topic: orders, From: 0, To: 50, Reason: "deleted"})),
			}
		}, "2 bundles, oldest 6, newest 6\norders x1 from 6 to 6"},
		"holes": {func() []*stored {
			return []*stored{
				w.tell(1, entries(entry(orders, 0, 0, 10)), places(position(orders, 0, 10)), event(1, found(orders))),
				w.tell(6, entries(entry(orders, 0, 20, 30), entry(orders, 0, 40, 50)), places(position(orders, 0, 60))),
			}
		}, "2 bundles, oldest 1, newest 6\norders x1 from 1 to 6, 3 holes"},
		"named points": {func() []*stored {
			mark := bundle.Mark{Name: "before", Positions: places(position(orders, 0, 5))}
			return []*stored{
				w.tell(1, entries(entry(orders, 0, 0, 10)), places(position(orders, 0, 10)), event(1, found(orders))),
				prune.tell(6, nil, nil, event(3, mark)), prune.tell(8, nil, nil, event(3, mark), event(7, bundle.Mark{Name: "after"})),
			}
		}, "3 bundles, oldest 1, newest 8\norders x1 from 1 to 1\nbefore at 3\nafter at 7"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w, v, prune = teller{writer: "w"}, teller{writer: "v"}, teller{writer: "archive-prune"}
			if got := told(overviewOf(test.story()...)); got != test.want {
				t.Errorf("%s\nwant\n%s", got, test.want)
			}
		})
	}
}

// expected is the overview of a world as the State has it, and looking at every offset.
func (w *world) expected() (o Overview) {
	state := w.view(time.Time{}, nil).State()
	o = Overview{Objects: state.Objects, Bytes: state.Bytes, First: state.Oldest, Last: state.Newest, Newest: state.Newest}
	for i, life := range slices.Concat(state.Lives, state.Past) {
		s := Span{Topic: life.Topic, Partitions: life.Partitions, Deleted: i >= len(state.Lives)}
		some := false
		for _, p := range life.Parts {
			some = some || len(p.Stretches) > 0
			for _, h := range p.Holes {
				if h.Why != Pruned {
					s.Holes++
				}
			}
		}
		s.To = w.lastWord(life.Topic)
		if s.Deleted {
			s.To = life.Until
		}
		if !s.Deleted || some {
			o.Topics = append(o.Topics, s)
			o.Holes += s.Holes
		}
	}
	slices.SortFunc(o.Topics, func(a, b Span) int { return strings.Compare(a.Topic.String(), b.Topic.String()) })
	return o
}

// lastWord is that of chunks and positions of any bundle about a topic; without one, the first event.
func (w *world) lastWord(t bundle.Topic) (at time.Time) {
	first := time.Time{}
	for _, s := range w.stored {
		steps := stepsOf(&s.footer)
		word := func(of bundle.Topic, when time.Time) {
			if of.ID == t.ID && when.After(at) {
				at = when
			}
		}
		for i, e := range s.footer.Chunks {
			if steps != nil {
				word(e.Topic, steps[i][len(steps[i])-1].At)
				continue
			}
			word(e.Topic, s.footer.Header.CreatedAt)
		}
		for _, p := range s.footer.Positions {
			word(p.Topic, s.footer.Header.CreatedAt)
		}
		for _, e := range s.footer.Events {
			if strings.Contains(fmt.Sprintf("%v", e.Body), fmt.Sprintf("%x", t.ID)) && (first.IsZero() || e.At.Before(first)) {
				first = e.At
			}
		}
	}
	if at.IsZero() {
		return first
	}
	return at
}

func TestOverviewAgainstTheState(t *testing.T) {
	for name, trouble := range map[string]trouble{
		"nothing happens":   {},
		"truncations":       {cuts: true},
		"lives":             {cuts: true, lives: true},
		"losses":            {cuts: true, losses: true},
		"prunes":            {cuts: true, prunes: true},
		"compactions":       {cuts: true, compactions: true, lives: true},
		"all of it at once": {cuts: true, lives: true, losses: true, prunes: true, compactions: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, wrong := max(300, seeds()), 0
			for seed := range uint64(n) {
				w := newWorld(seed)
				w.run(40+w.rnd.IntN(160), trouble)
				got, want := overviewOf(slices.Clone(w.stored)...), w.expected()
				slices.SortFunc(got.Topics, func(a, b Span) int { return strings.Compare(a.Topic.String(), b.Topic.String()) })
				if got.Holes != want.Holes {
					wrong++
				}
				for i := range got.Topics { // of From the stories tell
					if s := &got.Topics[i]; s.From.After(s.To) {
						t.Errorf("seed %d: %s from %s to %s", seed, s.Topic, s.From, s.To)
					} else if !s.Deleted && got.Oldest.IsZero() {
						t.Errorf("seed %d: no oldest moment", seed)
					}
					got.Topics[i].From, got.Topics[i].Holes = time.Time{}, 0
				}
				for i := range want.Topics {
					want.Topics[i].Holes = 0
				}
				got.Oldest, got.Holes, want.Holes = time.Time{}, 0, 0
				if a, b := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); a != b {
					t.Fatalf("seed %d:\n%s\nwant\n%s", seed, a, b)
				}
			}
			if wrong > n/100 { // see Overviewing: two writers, and truncations all the time
				t.Errorf("in %d of %d worlds holes are others", wrong, n)
			}
		})
	}
}

// looked is what a Follower says, as told does.
func looked(t *testing.T, f *Follower) string {
	t.Helper()
	o, err := f.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return told(o)
}

// A look reads each footer once, and goes on where an error ended it.
func TestFollower(t *testing.T) {
	sizes := make([]int, 30)
	for i := range sizes {
		sizes[i] = 10
	}
	st, objects := archiveOf(t, nil, time.Minute, sizes...)
	late := make(map[string][]byte)
	for _, i := range []int{20, 28, 29} { // these are stored later
		late[objects[i].Name] = get(t, st, objects[i].Name)
		if err := st.Delete(t.Context(), objects[i].Name); err != nil {
			t.Fatal(err)
		}
	}
	now := noon.Add(29 * time.Minute)
	f := NewFollower(st, Options{Source: "A"}, nil)
	f.now = func() time.Time { return now }
	st.Script(faulty.Fault{Op: faulty.Get, Skip: 9, Kind: store.Transient})
	if _, err := f.Look(t.Context()); store.Classify(err) != store.Transient {
		t.Fatal(err)
	}
	st.Script()
	if got := looked(t, f); got != "27 bundles, oldest 0, newest 27\norders x1 from 0 to 27, 1 holes" {
		t.Error(got)
	}
	for name, b := range late {
		put(t, st, name, b)
	}
	before := len(st.Calls())
	if got := looked(t, f); got != "30 bundles, oldest 0, newest 29\norders x1 from 0 to 29" {
		t.Error(got)
	}
	if calls := st.Calls()[before:]; len(calls) != 4 { // a listing and three footers
		t.Errorf("%q", calls)
	}
	now = now.Add(3 * time.Hour)
	before = len(st.Calls())
	looked(t, f)
	looked(t, f)
	if calls := st.Calls()[before:]; len(calls) != 2 {
		t.Errorf("%q", calls)
	}
	// what is gone without a word shows a day later
	if err := st.Delete(t.Context(), objects[0].Name); err != nil {
		t.Fatal(err)
	}
	if got := looked(t, f); !strings.HasPrefix(got, "30 bundles") {
		t.Error(got)
	}
	now = now.Add(readAgain)
	st.Script(faulty.Fault{Op: faulty.List, Kind: store.AccessDenied})
	if _, err := f.Look(t.Context()); store.Classify(err) != store.AccessDenied {
		t.Error(err)
	}
	if got := looked(t, f); !strings.HasPrefix(got, "29 bundles") {
		t.Error(got)
	}
}

// What was removed with a word shows some minutes later, and is read anew once.
func TestFollowerReadsAnewAfterARemoval(t *testing.T) {
	st, objects := archiveOf(t, nil, time.Minute, 10, 10, 10, 10)
	now := noon.Add(20 * time.Minute)
	f := NewFollower(st, Options{Source: "A"}, nil)
	f.now = func() time.Time { return now }
	if got := looked(t, f); !strings.HasPrefix(got, "4 bundles, oldest 0") {
		t.Error(got)
	}
	w, err := bundle.NewWriter(t.Context(), bundle.Header{Flow: archiveFlow, Writer: "archive-prune", CreatedAt: now}, bundle.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Event(now, bundle.Removed{Reason: "pruned", Objects: []bundle.RemovedObject{{Name: objects[0].Name}},
		Ranges: []bundle.RemovedRange{{Topic: orders, From: 0, To: 1}}}); err != nil {
		t.Fatal(err)
	}
	o, _, err := w.Finish(bundle.Digest{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	put(t, st, o.Name(), content(o))
	if err := st.Delete(t.Context(), objects[0].Name); err != nil {
		t.Fatal(err)
	}
	if got := looked(t, f); !strings.HasPrefix(got, "5 bundles") {
		t.Error(got)
	}
	now = now.Add(staleFor)
	if got := looked(t, f); got != "4 bundles, oldest 1, newest 20\norders x1 from 1 to 3" {
		t.Error(got)
	}
	for range 3 {
		now = now.Add(staleFor)
		before := len(st.Calls())
		looked(t, f)
		if calls := st.Calls()[before:]; len(calls) > 1 && now.Sub(noon) > 50*time.Minute {
			t.Errorf("%q", calls)
		}
	}
}

// An empty place may get an archive of long ago, by a copy.
func TestFollowerOfAnEmptyPlace(t *testing.T) {
	st, objects := archiveOf(t, nil, time.Minute, 10)
	b := get(t, st, objects[0].Name)
	if err := st.Delete(t.Context(), objects[0].Name); err != nil {
		t.Fatal(err)
	}
	f := NewFollower(st, Options{Source: "A"}, nil)
	if got := looked(t, f); !strings.HasPrefix(got, "0 bundles") {
		t.Error(got)
	}
	put(t, st, objects[0].Name, b)
	if got := looked(t, f); !strings.HasPrefix(got, "1 bundles") {
		t.Error(got)
	}
}

// Damaged bundles are counted, and what they held is a hole.
func TestFollowerCountsWhatIsDamaged(t *testing.T) {
	st, objects := archiveOf(t, nil, time.Minute, 10, 10, 10)
	change(t, st, objects[1].Name, flip(-20))
	o, err := NewFollower(st, Options{Source: "A"}, nil).Look(t.Context())
	if err != nil || o.Objects != 3 || o.Damaged != 1 || o.Holes != 1 {
		t.Errorf("%+v, %v", o, err)
	}
}

// The memory of an overview goes by partitions, not by bundles.
func TestOverviewTakesMemoryByPartitions(t *testing.T) {
	const bundles, partitions = 2000, 50
	o := NewOverviewing("A")
	h := bundle.Header{Flow: archiveFlow, Writer: "w"}
	var m runtime.MemStats
	half, next := uint64(0), make([]int, partitions)
	for i := range bundles {
		h.Sequence, h.CreatedAt = int64(i), noon.Add(time.Duration(i)*10*time.Second)
		f := bundle.Footer{Header: h}
		for p := range int32(partitions) {
			if (i+int(p))%3 > 0 { // of the others there is a position alone
				f.Chunks = append(f.Chunks, entry(orders, p, next[p], next[p]+10))
				next[p] += 10
			}
			f.Positions = append(f.Positions, position(orders, p, next[p]))
		}
		o.Add(Object{Name: bundle.Name("", h), Size: 10, Header: h}, &f)
		if i == bundles/2 {
			runtime.GC()
			runtime.ReadMemStats(&m)
			half = m.HeapAlloc
		}
	}
	for _, l := range o.view.lives {
		for n, p := range l.parts {
			if len(p.claims) > 2 || len(p.chunks) != 1 {
				t.Fatalf("%d claims and %d chunks of partition %d", len(p.claims), len(p.chunks), n)
			}
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&m)
	if grown := int64(m.HeapAlloc) - int64(half); grown > 1<<20 {
		t.Errorf("%d bytes more for as many bundles again", grown)
	}
	runtime.KeepAlive(o)
}

func TestFollowerPauses(t *testing.T) {
	n := 0
	r := rests{pause: func(context.Context, time.Duration) { n++ }}
	for range hurried + 3*pauseEvery {
		r.some(t.Context())
	}
	if n != 4 {
		t.Errorf("%d pauses", n)
	}
}
