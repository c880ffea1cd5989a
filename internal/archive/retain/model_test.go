package retain

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	"tandem/internal/stream"
)

var start = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// stored is a bundle of an archive under test.
type stored struct {
	object catalog.Object
	footer *bundle.Footer // nil: damaged
}

// history makes archives: writers, topics in several lives, transactions, groups, points.
type history struct {
	*rand.Rand
	now     time.Time
	all     []stored
	writers []*writer
	topics  []*topic
	groups  map[string]map[stream.Partition]int64
	ids     byte
	marks   int
}

type writer struct {
	name                 string
	generation, sequence int64
	previous             bundle.Digest
}

type topic struct {
	bundle.Topic
	ends []stream.Upstream
	open []bool
}

func (h *history) digest() (d bundle.Digest) {
	for i := range d {
		d[i] = byte(h.Uint32())
	}
	return d
}

func (h *history) newID() stream.TopicID {
	h.ids++
	return stream.TopicID{h.ids}
}

func newHistory(seed uint64) *history {
	h := &history{Rand: rand.New(rand.NewPCG(seed, 1)), now: start, groups: map[string]map[stream.Partition]int64{}}
	h.writers = []*writer{{name: "mirror-B"}}
	var events []bundle.Event
	for i := range 1 + h.IntN(3) {
		t := &topic{Topic: bundle.Topic{Name: fmt.Sprintf("t%d", i), ID: h.newID()}}
		t.widen(1 + h.IntN(2))
		h.topics = append(h.topics, t)
		events = append(events, bundle.Event{At: h.now, Body: bundle.TopicCreated{Topic: t.Topic, Partitions: int32(len(t.ends)), Factor: 1, Found: h.IntN(2) == 0}})
	}
	h.write(h.writers[0], events)
	for range 5 + h.IntN(60) {
		h.step()
	}
	return h
}

func (t *topic) widen(to int) {
	for len(t.ends) < to {
		t.ends = append(t.ends, 0)
		t.open = append(t.open, false)
	}
}

// step is some time in which one writer makes a bundle.
func (h *history) step() {
	h.now = h.now.Add(time.Duration(1+h.IntN(20)) * time.Minute)
	if h.IntN(25) == 0 { // the target was renamed: another writer goes on, and the first is never seen again
		h.writers = []*writer{{name: fmt.Sprintf("mirror-%c", 'B'+h.IntN(20)), generation: h.now.Unix()}}
	}
	w := h.writers[h.IntN(len(h.writers))]
	if h.IntN(10) == 0 {
		w.generation, w.sequence = w.generation+1, 0
	}
	var events []bundle.Event
	tell := func(b bundle.Body) { events = append(events, bundle.Event{At: h.now, Body: b}) }
	t := h.topics[h.IntN(len(h.topics))]
	switch p := h.IntN(len(t.ends)); h.IntN(24) {
	case 0:
		old := t.Topic
		t.ID, t.Incarnation = h.newID(), t.Incarnation+1
		t.ends, t.open = nil, nil
		t.widen(1 + h.IntN(3))
		tell(bundle.TopicRecreated{Old: old, New: t.Topic, Partitions: int32(len(t.ends)), Factor: 1})
	case 1:
		from := len(t.ends)
		t.widen(from + 1)
		tell(bundle.TopicWidened{Topic: t.Topic, From: int32(from), To: int32(from + 1)})
	case 2, 3:
		tell(bundle.TopicConfigs{Topic: t.Topic, Configs: []bundle.Config{
			{Name: "cleanup.policy", Value: []string{"delete", "compact", "delete"}[h.IntN(3)]},
			{Name: "retention.ms", Value: fmt.Sprint(h.IntN(4) * 3_600_000)},
		}})
	case 4, 5, 6, 7:
		g := fmt.Sprintf("g%d", h.IntN(3))
		e := bundle.GroupOffsets{Group: g, Whole: h.IntN(3) == 0}
		for n := range int32(h.IntN(3)) {
			e.Offsets = append(e.Offsets, bundle.GroupOffset{Topic: t.Name, Partition: n, Offset: stream.Upstream(h.IntN(50) - 1)})
		}
		tell(e)
	case 8:
		tell(bundle.ACLs{Bindings: []bundle.ACL{{ResourceType: 2, Resource: fmt.Sprint(h.IntN(9))}}})
	case 9, 10:
		h.mark()
		return
	case 11:
		gap := t.ends[p] + 1 + stream.Upstream(h.IntN(5))
		tell(bundle.Gap{Topic: t.Topic, Partition: int32(p), From: t.ends[p], To: gap})
		t.ends[p], t.open[p] = gap, false
	case 12:
		if to := t.ends[p] - stream.Upstream(h.IntN(8)); to >= 0 && to < t.ends[p] {
			tell(bundle.Truncated{Topic: t.Topic, Partition: int32(p), From: t.ends[p], To: to})
			t.ends[p], t.open[p] = to, false
		}
	case 13:
		h.damaged(w)
		return
	}
	h.write(w, events)
}

// write stores what a writer has: some records of some partitions, events, all positions.
func (h *history) write(w *writer, events []bundle.Event) {
	f := &bundle.Footer{Events: events}
	for _, t := range h.topics {
		for p := range t.ends {
			if h.IntN(3) == 0 {
				continue
			}
			if n := stream.Upstream(1 + h.IntN(9)); true {
				f.Chunks = append(f.Chunks, h.chunk(t, int32(p), n))
			}
		}
	}
	for _, t := range h.topics {
		if len(h.all) > 0 && h.IntN(15) == 0 {
			f.Positions = nil // it had lost its partitions
			break
		}
		for p, next := range t.ends {
			f.Positions = append(f.Positions, bundle.Position{Topic: t.Topic, Partition: int32(p), Next: next})
		}
	}
	h.store(w, f)
}

func (h *history) chunk(t *topic, p int32, n stream.Upstream) bundle.Entry {
	first := t.ends[p]
	if h.IntN(20) == 0 { // as of a process that was taken for dead
		first = max(0, first-stream.Upstream(h.IntN(4)))
	}
	e := bundle.Entry{Topic: t.Topic, Partition: p, First: first, Next: t.ends[p] + n, Records: int64(n), Batches: 1, Stored: 10, Plain: 10,
		MaxTimestamp: h.now.Add(-time.Duration(h.IntN(60)) * time.Minute).UnixMilli()}
	if e.MinTimestamp = e.MaxTimestamp; h.IntN(10) == 0 {
		e.Records, e.MinTimestamp, e.MaxTimestamp = 0, -1, -1
	}
	t.ends[p] = e.Next
	t.open[p] = h.IntN(4) == 0
	if t.open[p] {
		e.Open = []bundle.Transaction{{ProducerID: 1, First: first}}
	}
	return e
}

func (h *history) store(w *writer, f *bundle.Footer) {
	f.Header = bundle.Header{Flow: stream.Flow{Source: "A", Target: "B"}, Writer: w.name, Generation: w.generation, Sequence: w.sequence, CreatedAt: h.now}
	f.Digest, f.Previous = h.digest(), w.previous
	w.previous = f.Digest
	w.sequence++
	name := bundle.Name("", f.Header)
	h.all = append(h.all, stored{catalog.Object{Name: name, Size: 100, Header: f.Header}, f})
}

func (h *history) damaged(w *writer) {
	h.write(w, nil)
	h.all[len(h.all)-1].footer = nil
}

func (h *history) mark() {
	h.marks++
	f := &bundle.Footer{}
	m := bundle.Mark{Name: fmt.Sprintf("p%d", h.marks)}
	for _, t := range h.topics {
		for p, next := range t.ends {
			m.Positions = append(m.Positions, bundle.Position{Topic: t.Topic, Partition: int32(p), Next: next})
		}
	}
	f.Events = []bundle.Event{{At: h.now, Body: m}}
	h.store(&writer{name: "archive-mark", generation: h.now.Unix()}, f)
}

// prune does what a plan says; of those bundles that it may not remove all stay.
func (h *history) prune(p Plan, stays func(string) bool) []stored {
	goes := make(map[string]bool)
	for _, o := range slices.Concat(p.Remove, p.Leftovers) {
		goes[o.Name] = !stays(o.Name)
	}
	var out []stored
	for _, s := range h.all {
		if !goes[s.object.Name] {
			out = append(out, s)
		}
	}
	if len(p.Events) > 0 {
		f := &bundle.Footer{Events: p.Events, Digest: h.digest(), Header: bundle.Header{
			Flow: stream.Flow{Source: "A", Target: "B"}, Writer: "archive-prune", Generation: h.now.Unix(), CreatedAt: h.now,
		}}
		out = append(out, stored{catalog.Object{Name: bundle.Name("", f.Header), Size: 1, Header: f.Header}, f})
	}
	return out
}

func surveyOf(all []stored, cutoff time.Time) *Survey {
	s := NewSurvey(cutoff)
	for _, b := range all {
		if b.footer == nil {
			s.AddDamaged(b.object)
		} else {
			s.Add(b.object, b.footer)
		}
	}
	return s
}

func stateOf(all []stored, at time.Time) *catalog.State {
	v := catalog.NewView("A", at, nil)
	for _, b := range all {
		if b.footer == nil {
			v.AddDamaged(b.object, bundle.ErrCorrupt)
		} else {
			v.Add(b.object, b.footer)
		}
	}
	return v.State()
}

// place is an offset of a partition in one life.
type place struct {
	id     stream.TopicID
	part   int32
	offset stream.Upstream
}

func coverage(s *catalog.State) (has map[place]string, lost map[place]bool) {
	has, lost = make(map[place]string), make(map[place]bool)
	for _, l := range slices.Concat(s.Lives, s.Past) {
		for _, p := range l.Parts {
			for _, st := range p.Stretches {
				for o := st.From; o < st.To; o++ {
					has[place{l.Topic.ID, p.Number, o}] = st.Object.Name
				}
			}
			for _, hole := range p.Holes {
				for o := hole.From; o < hole.To && hole.Why == catalog.Lost; o++ {
					lost[place{l.Topic.ID, p.Number, o}] = true
				}
			}
		}
	}
	return has, lost
}

// told is what an archive says besides records.
func toldOf(s *catalog.State) string {
	out := ""
	for _, l := range s.Lives {
		out += fmt.Sprintf("%s %x#%d %d partitions factor %d since %s configs %v\n", l.Topic.Name, l.Topic.ID, l.Topic.Incarnation, l.Partitions, l.Factor, l.Since, l.Configs)
	}
	for _, g := range slices.Sorted(maps.Keys(s.Groups)) {
		if len(s.Groups[g]) > 0 {
			out += fmt.Sprintf("%s %v\n", g, s.Groups[g])
		}
	}
	return out + fmt.Sprintf("%s %v\n", s.ACLsAt, s.ACLs)
}

// same compares an archive before and after at a moment.
func same(t *testing.T, story string, before, after []stored, at time.Time, p Plan) {
	t.Helper()
	a, b := stateOf(before, at), stateOf(after, at)
	if x, y := toldOf(a), toldOf(b); x != y {
		t.Errorf("%s, as of %s:\nbefore\n%safter\n%s", story, at, x, y)
	}
	went := make(map[string]bool)
	for _, o := range p.Remove {
		went[o.Name] = true
	}
	hadLost := func() map[place]bool { _, l := coverage(a); return l }()
	had, _ := coverage(a)
	has, lost := coverage(b)
	for at, object := range had {
		if got, ok := has[at]; !went[object] && got != object || went[object] && ok && got == object && went[got] && !present(after, got) {
			t.Errorf("%s: offset %+v is in %q, and was in %q", story, at, got, object)
			return
		}
	}
	for at := range has {
		if _, ok := had[at]; !ok {
			t.Errorf("%s: offset %+v was not there", story, at)
			return
		}
	}
	once := everHad(before)
	for at := range lost {
		if !hadLost[at] && once[at] { // what a damaged bundle had may have been hidden behind a truncation
			t.Errorf("%s: offset %+v is lost, and nothing says why", story, at)
			return
		}
	}
	for _, m := range b.Missing {
		if !slices.Contains(a.Missing, m) {
			t.Errorf("%s: missing %s", story, m)
		}
	}
}

// everHad are the offsets that some bundle has.
func everHad(all []stored) map[place]bool {
	has := make(map[place]bool)
	for _, b := range all {
		if b.footer == nil {
			continue
		}
		for _, e := range b.footer.Chunks {
			for o := e.First; o < e.Next; o++ {
				has[place{e.Topic.ID, e.Partition, o}] = true
			}
		}
	}
	return has
}

func present(all []stored, name string) bool {
	return slices.ContainsFunc(all, func(s stored) bool { return s.object.Name == name })
}

func TestAnArchiveStaysWhatItIs(t *testing.T) {
	seeds := 100
	if testing.Short() || raceDetector {
		seeds = 30
	}
	removed, kept, lostPoints := 0, 0, 0
	for seed := range uint64(seeds) {
		h := newHistory(seed)
		for round := range 3 {
			story := fmt.Sprintf("seed %d, round %d", seed, round)
			h.now = h.now.Add(time.Minute) // no two commands run in one moment
			cutoff := start.Add(time.Duration(h.Int64N(int64(h.now.Sub(start)) + 1)))
			var keep []string
			state := stateOf(h.all, time.Time{})
			for _, p := range state.Points {
				if h.IntN(3) == 0 {
					keep = append(keep, p.Name)
				}
			}
			p, err := surveyOf(h.all, cutoff).Plan(Options{Keep: keep, Now: h.now})
			if err != nil {
				t.Fatalf("%s: %v", story, err)
			}
			removed, kept, lostPoints = removed+len(p.Remove), kept+p.Stay[Kept], lostPoints+len(p.Lost)
			after := h.prune(p, func(string) bool { return false })
			check(t, story, h, p, cutoff, keep, after)
			if t.Failed() {
				t.Fatalf("%s: of %d bundles %d go, cutoff %s, kept %v", story, len(h.all), len(p.Remove), cutoff, keep)
			}
			h.all = after
			for range h.IntN(20) {
				h.step()
			}
		}
	}
	if removed < seeds || kept < seeds/10 || lostPoints < seeds/10 {
		t.Errorf("%d removed, %d kept for points, %d points lost: the histories are too tame", removed, kept, lostPoints)
	}
}

func check(t *testing.T, story string, h *history, p Plan, cutoff time.Time, keep []string, after []stored) {
	t.Helper()
	moments := []time.Time{{}, cutoff, cutoff.Add(h.now.Sub(cutoff) / 2), h.now}
	for _, pt := range stateOf(h.all, time.Time{}).Points {
		if slices.Contains(keep, pt.Name) {
			moments = append(moments, pt.At)
			wholePoint(t, story, h.all, after, pt)
		}
	}
	for _, m := range moments {
		if m.IsZero() || !m.Before(cutoff) {
			same(t, story, h.all, after, m, p)
		} else if x, y := toldOf(stateOf(h.all, m)), toldOf(stateOf(after, m)); x != y {
			t.Errorf("%s, at a kept point, %s:\nbefore\n%safter\n%s", story, m, x, y)
		}
	}
	lost := make(map[string]bool)
	for _, pt := range p.Lost {
		lost[pt.Name] = true
	}
	points := stateOf(after, time.Time{}).Points
	for _, pt := range stateOf(h.all, time.Time{}).Points {
		there := slices.ContainsFunc(points, func(x catalog.Point) bool { return x.Name == pt.Name && reflect.DeepEqual(x.Positions, pt.Positions) })
		if !there && !lost[pt.Name] {
			t.Errorf("%s: point %s is gone", story, pt.Name)
		}
	}
	young(t, story, h.all, after, cutoff)
	whole(t, story, h.all, after, cutoff)
	again, err := surveyOf(after, cutoff).Plan(Options{Keep: keepThere(points, keep), Now: h.now})
	if err != nil || len(again.Remove)+len(again.Leftovers)+len(again.Events) > 0 {
		t.Errorf("%s: again: %v, %d go, %d are left over", story, err, len(again.Remove), len(again.Leftovers))
	}
	stopped(t, story, h, p, cutoff, keep)
}

func keepThere(points []catalog.Point, keep []string) []string {
	return slices.DeleteFunc(slices.Clone(keep), func(name string) bool {
		return !slices.ContainsFunc(points, func(p catalog.Point) bool { return p.Name == name })
	})
}

// young: nothing that is not old goes, and the newest positions of each writer are there.
func young(t *testing.T, story string, before, after []stored, cutoff time.Time) {
	t.Helper()
	newest := make(map[string]stored)
	for _, b := range before {
		if b.footer == nil || !b.footer.Header.CreatedAt.Before(cutoff) {
			if !present(after, b.object.Name) {
				t.Errorf("%s: %s is gone", story, b.object.Name)
			}
		}
		if b.footer != nil && len(b.footer.Positions) > 0 {
			newest[b.object.Header.Writer] = b
		}
	}
	for _, b := range newest {
		if !present(after, b.object.Name) {
			t.Errorf("%s: %s is gone, the newest of its writer", story, b.object.Name)
		}
	}
}

// whole: what goes lies below all that is younger, and where something old stays with an open transaction, the next chunk stays too.
func whole(t *testing.T, story string, before, after []stored, cutoff time.Time) {
	t.Helper()
	for _, gone := range before {
		if gone.footer == nil || present(after, gone.object.Name) {
			continue
		}
		for _, e := range gone.footer.Chunks {
			for _, b := range before {
				if b.footer == nil || !present(after, b.object.Name) {
					continue
				}
				for _, o := range b.footer.Chunks {
					switch same := o.Topic.ID == e.Topic.ID && o.Partition == e.Partition; {
					case same && !b.footer.Header.CreatedAt.Before(cutoff) && e.Next > o.First:
						t.Errorf("%s: %s/%d from %d to %d is gone, and what is younger begins at %d", story, e.Topic, e.Partition, e.First, e.Next, o.First)
						return
					case same && len(o.Open) > 0 && e.First <= o.Next && o.Next < e.Next:
						t.Errorf("%s: %s/%d from %d to %d is gone, and a transaction is open at %d", story, e.Topic, e.Partition, e.First, e.Next, o.Next)
						return
					}
				}
			}
		}
	}
}

// wholePoint: what the source had at a kept point is all there, decided record by record.
func wholePoint(t *testing.T, story string, before, after []stored, pt catalog.Point) {
	t.Helper()
	had, _ := coverage(stateOf(before, pt.At))
	has, _ := coverage(stateOf(after, pt.At))
	for _, pos := range pt.Positions {
		policy, retention := "", time.Duration(-1)
		at := time.Time{}
		newest := make(map[stream.Upstream]int64)
		for _, b := range before {
			if b.footer == nil {
				continue
			}
			for _, ev := range b.footer.Events {
				if c, ok := ev.Body.(bundle.TopicConfigs); ok && c.Topic.ID == pos.Topic.ID && !ev.At.After(pt.At) && !ev.At.Before(at) {
					at, policy = ev.At, c.Configs[0].Value
					ms, err := strconv.ParseInt(c.Configs[1].Value, 10, 64)
					if err != nil {
						t.Fatal(err)
					}
					retention = time.Duration(ms) * time.Millisecond
				}
			}
			for _, e := range b.footer.Chunks {
				for o := e.First; o < e.Next && e.Topic.ID == pos.Topic.ID && e.Partition == pos.Partition; o++ {
					newest[o] = max(newest[o], e.MaxTimestamp)
				}
			}
		}
		for o := range pos.Next {
			key := place{pos.Topic.ID, pos.Partition, o}
			if _, ok := had[key]; !ok || policy == "delete" && newest[o] < pt.At.Add(-retention).UnixMilli() {
				continue
			}
			if _, ok := has[key]; !ok {
				t.Errorf("%s: kept point %s lacks %s/%d at %d", story, pt.Name, pos.Topic, pos.Partition, o)
				return
			}
		}
	}
}

// stopped: of what should go some is still there. The archive is the same, and the next run removes just that.
func stopped(t *testing.T, story string, h *history, p Plan, cutoff time.Time, keep []string) {
	t.Helper()
	left := make(map[string]bool)
	for _, o := range p.Remove {
		if h.IntN(2) == 0 {
			left[o.Name] = true
		}
	}
	part := h.prune(p, func(name string) bool { return left[name] })
	for _, m := range []time.Time{cutoff, h.now} {
		if x, y := toldOf(stateOf(h.all, m)), toldOf(stateOf(part, m)); x != y {
			t.Errorf("%s, stopped, as of %s:\nbefore\n%safter\n%s", story, m, x, y)
		}
	}
	again, err := surveyOf(part, cutoff).Plan(Options{Keep: keepThere(stateOf(part, time.Time{}).Points, keep), Now: h.now})
	got := make(map[string]bool)
	for _, o := range again.Leftovers {
		got[o.Name] = true
	}
	if err != nil || len(again.Remove) > 0 || !maps.Equal(got, left) {
		t.Errorf("%s, stopped: %v, %d more go, %d are left over, not %d", story, err, len(again.Remove), len(got), len(left))
	}
}
