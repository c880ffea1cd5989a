package catalog

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/stream"
)

// teller makes bundles of one writer, by the minute.
type teller struct {
	writer   string
	sequence int64
	previous bundle.Digest
}

func (w *teller) tell(minute int, chunks []bundle.Entry, positions []bundle.Position, events ...bundle.Event) *stored {
	h := bundle.Header{Flow: archiveFlow, Writer: w.writer, Sequence: w.sequence, CreatedAt: after(minute)}
	s := &stored{object: Object{Name: bundle.Name("", h), Size: 10, Header: h}}
	s.footer = bundle.Footer{Header: h, Previous: w.previous, Chunks: chunks, Positions: positions, Events: events}
	s.footer.Digest[0], s.footer.Digest[1] = byte(w.sequence+1), w.writer[0]
	w.previous = s.footer.Digest
	w.sequence++
	return s
}

func after(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }

func event(minute int, b bundle.Body) bundle.Event { return bundle.Event{At: after(minute), Body: b} }

func entry(t bundle.Topic, partition int32, first, next int) bundle.Entry {
	return bundle.Entry{Topic: t, Partition: partition, First: stream.Upstream(first), Next: stream.Upstream(next), Records: int64(next - first)}
}

func position(t bundle.Topic, partition int32, next int) bundle.Position {
	return bundle.Position{Topic: t, Partition: partition, Next: stream.Upstream(next)}
}

var orders, audit = bundle.Topic{Name: "orders", ID: stream.TopicID{1}}, bundle.Topic{Name: "audit", ID: stream.TopicID{2}}

func stateOf(at time.Time, wanted func(string) bool, all ...*stored) *State {
	v := NewView("A", at, wanted)
	for _, s := range slices.Backward(all) {
		v.Add(s.object, &s.footer)
	}
	return v.State()
}

// shown is a part in one line.
func shown(p Part) string {
	var all []string
	for _, s := range p.Stretches {
		all = append(all, fmt.Sprintf("%d-%d of %s%d", s.From, s.To, s.Object.Header.Writer, s.Object.Header.Sequence))
	}
	for _, h := range p.Holes {
		all = append(all, fmt.Sprintf("%d-%d %s", h.From, h.To, h.Why))
	}
	return strings.Join(all, ", ")
}

func TestPartStories(t *testing.T) {
	gap := func(from, to int) bundle.Gap {
		return bundle.Gap{Topic: orders, From: stream.Upstream(from), To: stream.Upstream(to)}
	}
	cut := func(from, to int) bundle.Truncated {
		return bundle.Truncated{Topic: orders, From: stream.Upstream(from), To: stream.Upstream(to)}
	}
	chunks := func(all ...int) (out []bundle.Entry) {
		for i := 0; i < len(all); i += 2 {
			out = append(out, entry(orders, 0, all[i], all[i+1]))
		}
		return out
	}
	at := func(next int) []bundle.Position { return []bundle.Position{position(orders, 0, next)} }
	for name, c := range map[string]struct {
		tell   func(a, b *teller) []*stored
		minute int
		want   string
	}{
		"chunks that meet": {
			tell: func(a, _ *teller) []*stored {
				return []*stored{a.tell(1, chunks(5, 10), at(10)), a.tell(2, chunks(10, 10, 10, 20), at(20))}
			},
			want: "5-10 of a0, 10-20 of a1",
		},
		"a bundle is lost at the end": {
			tell: func(a, _ *teller) []*stored {
				return []*stored{a.tell(1, chunks(5, 10), at(10)), a.tell(2, nil, at(20))}
			},
			want: "5-10 of a0, 10-20 missing",
		},
		"the first one is, and the archive began with now": {
			tell: func(a, _ *teller) []*stored {
				return []*stored{a.tell(1, nil, at(5000)), a.tell(3, chunks(5010, 5020), at(5020))}
			},
			want: "5010-5020 of a1, 5000-5010 missing",
		},
		"the archive began with now and has nothing yet": {
			tell: func(a, _ *teller) []*stored { return []*stored{a.tell(1, nil, at(5000)), a.tell(2, nil, at(5000))} },
		},
		"the source had deleted the beginning": {
			tell: func(a, _ *teller) []*stored {
				return []*stored{a.tell(1, nil, at(0)), a.tell(2, chunks(30, 40), at(40), event(2, gap(0, 30)))}
			},
			want: "30-40 of a1",
		},
		"the source had deleted some, and some was lost": {
			tell: func(a, _ *teller) []*stored {
				return []*stored{a.tell(1, chunks(0, 10), at(10)), a.tell(3, chunks(30, 40), at(40), event(2, gap(20, 30)))}
			},
			want: "0-10 of a0, 30-40 of a1, 10-20 missing, 20-30 deleted by the source before it was archived",
		},
		"pruned in the middle": {
			tell: func(a, b *teller) []*stored {
				return []*stored{a.tell(1, chunks(0, 10), at(10)), a.tell(3, chunks(20, 40), at(40)), b.tell(9, nil, nil, event(9,
					bundle.Removed{Reason: "pruned", Ranges: []bundle.RemovedRange{{Topic: orders, From: 10, To: 20}}}))}
			},
			want: "0-10 of a0, 20-40 of a1, 10-20 pruned",
		},
		"truncated": {
			tell: func(a, _ *teller) []*stored {
				return []*stored{a.tell(1, chunks(0, 10), at(10)), a.tell(3, chunks(7, 9), at(9), event(2, cut(10, 7)))}
			},
			want: "0-7 of a0, 7-9 of a1",
		},
		"as of before it was": {
			tell: func(a, _ *teller) []*stored {
				return []*stored{a.tell(1, chunks(0, 10), at(10)), a.tell(3, chunks(7, 9), at(9), event(2, cut(10, 7)))}
			},
			minute: 1, want: "0-10 of a0",
		},
		"what waited when it was seen came later": {
			tell: func(a, _ *teller) []*stored {
				return []*stored{a.tell(3, chunks(0, 10), at(10)), a.tell(4, chunks(7, 9), at(9), event(2, cut(10, 7)))}
			},
			want: "0-7 of a0, 7-9 of a1",
		},
		"truncated below where the archive began": {
			tell: func(a, _ *teller) []*stored {
				return []*stored{a.tell(1, chunks(50, 60), at(60)), a.tell(3, chunks(40, 45), at(45), event(2, cut(60, 40)))}
			},
			want: "40-45 of a1",
		},
		"and as of before": {
			tell: func(a, _ *teller) []*stored {
				return []*stored{a.tell(1, chunks(50, 60), at(60)), a.tell(3, chunks(40, 45), at(45), event(2, cut(60, 40)))}
			},
			minute: 1, want: "50-60 of a0",
		},
		"two writers, both see it": {
			tell: func(a, b *teller) []*stored {
				return []*stored{
					a.tell(1, chunks(0, 10), at(10)), b.tell(1, chunks(0, 8), at(8)),
					a.tell(6, chunks(8, 10), at(10)), b.tell(3, chunks(5, 9), at(9), event(2, cut(8, 5))),
					a.tell(7, chunks(5, 6), at(6), event(4, cut(10, 5))),
				}
			},
			want: "0-5 of a0, 5-9 of b1",
		},
		"another writer repeats what it once read": {
			tell: func(a, b *teller) []*stored {
				return []*stored{a.tell(1, chunks(0, 10), at(10)), a.tell(3, chunks(7, 9), at(9), event(2, cut(10, 7))), b.tell(5, nil, at(10))}
			},
			want: "0-7 of a0, 7-9 of a1",
		},
		"one that goes on": {
			tell: func(a, b *teller) []*stored {
				return []*stored{a.tell(1, chunks(0, 10), at(10)), a.tell(3, nil, at(7), event(2, cut(10, 7))), b.tell(5, chunks(7, 9), at(9)), b.tell(6, nil, at(10))}
			},
			want: "0-7 of a0, 7-9 of b0, 9-10 missing",
		},
		"put together, and the old ones are still there": {
			tell: func(a, b *teller) []*stored {
				steps := bundle.Compacted{Chunks: []bundle.CompactedChunk{{Steps: []bundle.Step{{At: after(1), Next: 10}, {At: after(2), Next: 20}}}}}
				return []*stored{a.tell(1, chunks(0, 10), at(10)), a.tell(2, chunks(10, 20), at(20)), b.tell(100, chunks(0, 20), nil, event(100, steps))}
			},
			want: "0-20 of b0",
		},
		"steps that are not those of the chunk": {
			tell: func(a, b *teller) []*stored {
				steps := bundle.Compacted{Chunks: []bundle.CompactedChunk{{Steps: []bundle.Step{{At: after(1), Next: 10}}}, {Chunk: 7}}}
				return []*stored{a.tell(2, chunks(0, 20), nil, event(2, steps)), b.tell(9, nil, at(20))}
			},
			want: "0-20 of a0",
		},
		"of two the later leader epoch counts, and then the first": {
			tell: func(a, b *teller) []*stored {
				old, late := entry(orders, 0, 5, 15), entry(orders, 0, 10, 20)
				late.LeaderEpoch = 1
				return []*stored{a.tell(1, chunks(0, 10), nil), b.tell(2, []bundle.Entry{old}, nil), a.tell(3, []bundle.Entry{late}, nil)}
			},
			want: "0-10 of a0, 10-20 of a1",
		},
		"truncated to one offset twice": {
			tell: func(a, _ *teller) []*stored {
				return []*stored{a.tell(1, chunks(0, 10), at(10)), a.tell(3, chunks(7, 9), at(9), event(2, cut(10, 7))),
					a.tell(5, chunks(7, 8), at(8), event(4, cut(9, 7)))}
			},
			want: "0-7 of a0, 7-8 of a2",
		},
		"nothing is read from what is about to be removed, if another has it": {
			tell: func(a, b *teller) []*stored {
				late := entry(orders, 0, 0, 20)
				late.LeaderEpoch = 1
				old := a.tell(1, []bundle.Entry{late}, nil)
				return []*stored{old, b.tell(2, chunks(0, 15), nil), b.tell(3, nil, nil, event(3, bundle.Removed{Reason: "compacted",
					Objects: []bundle.RemovedObject{{Name: old.object.Name}}}))}
			},
			want: "0-15 of b0, 15-20 of a0",
		},
		"put together, truncated in between": {
			tell: func(a, b *teller) []*stored {
				steps := bundle.Compacted{Chunks: []bundle.CompactedChunk{{Steps: []bundle.Step{{At: after(1), Next: 10}, {At: after(2), Next: 20}}}}}
				return []*stored{a.tell(5, chunks(10, 12), at(12), event(3, cut(20, 10))), b.tell(100, chunks(0, 20), nil, event(100, steps))}
			},
			want: "0-10 of b0, 10-12 of a0",
		},
	} {
		t.Run(name, func(t *testing.T) {
			moment := time.Time{}
			if c.minute > 0 {
				moment = after(c.minute)
			}
			s := stateOf(moment, nil, c.tell(&teller{writer: "a"}, &teller{writer: "b"})...)
			if len(s.Lives) != 1 {
				t.Fatalf("%+v", s)
			}
			if got := shown(partOf(&s.Lives[0], 0)); got != c.want {
				t.Errorf("%s\nnot\n%s", got, c.want)
			}
		})
	}
}

func TestArchivedUntil(t *testing.T) {
	a, b := &teller{writer: "a"}, &teller{writer: "b"}
	steps := bundle.Compacted{Chunks: []bundle.CompactedChunk{{Steps: []bundle.Step{{At: after(6), Next: 50}, {At: after(7), Next: 60}}}}}
	s := stateOf(time.Time{}, nil, a.tell(1, []bundle.Entry{entry(orders, 0, 5, 10)}, nil), a.tell(2, []bundle.Entry{entry(orders, 0, 10, 20)}, nil),
		a.tell(4, []bundle.Entry{entry(orders, 0, 30, 40)}, nil), b.tell(3, []bundle.Entry{entry(orders, 0, 15, 25)}, nil),
		b.tell(50, []bundle.Entry{entry(orders, 0, 40, 60)}, nil, event(50, steps)))
	p := s.Lives[0].Parts[0]
	for minute, want := range []stream.Upstream{5, 10, 20, 30, 40, 40, 50, 60, 60} { // 25 to 30 is a hole: nothing to wait for
		if got := p.ArchivedUntil(after(minute)); got != want {
			t.Errorf("minute %d: %d, not %d", minute, got, want)
		}
	}
	if got := p.Stretches[len(p.Stretches)-1].Steps(); !reflect.DeepEqual(got, steps.Chunks[0].Steps) {
		t.Errorf("steps %v", got)
	}
}

func TestAboveATruncationEntriesDoNotCount(t *testing.T) {
	a := &teller{writer: "a"}
	first, second := entry(orders, 0, 0, 10), entry(orders, 0, 10, 20)
	first.Open = []bundle.Transaction{{ProducerID: 1, First: 2}, {ProducerID: 2, First: 8}}
	first.Aborted = []bundle.Aborted{{ProducerID: 3, First: 1, Marker: 3}, {ProducerID: 4, First: 4, Marker: 9}, {ProducerID: 5, First: 8, Marker: 9}}
	s := stateOf(time.Time{}, nil, a.tell(1, []bundle.Entry{first, second}, nil),
		a.tell(3, []bundle.Entry{entry(orders, 0, 7, 9)}, nil, event(2, bundle.Truncated{Topic: orders, From: 20, To: 7})))
	p := s.Lives[0].Parts[0]
	want := first
	want.Open = []bundle.Transaction{{ProducerID: 1, First: 2}}
	want.Aborted = []bundle.Aborted{{ProducerID: 3, First: 1, Marker: 3}, {ProducerID: 4, First: 4, Marker: 7}}
	if len(p.Entries) != 2 || !reflect.DeepEqual(*p.Entries[0], want) || p.Stretches[0].Entry != p.Entries[0] {
		t.Errorf("%v", p.Entries)
	}
}

func TestLivesOfAName(t *testing.T) {
	w := &teller{writer: "a"}
	again := bundle.Topic{Name: "orders", ID: stream.TopicID{9}, Incarnation: 1}
	none := bundle.Topic{Name: "old"}
	all := []*stored{
		w.tell(1, []bundle.Entry{entry(orders, 1, 0, 5), entry(none, 0, 0, 5)}, nil,
			event(1, bundle.TopicCreated{Topic: orders, Partitions: 2, Factor: 3, Found: true}),
			event(1, bundle.TopicConfigs{Topic: orders, Configs: []bundle.Config{{Name: "a", Value: "1"}}})),
		w.tell(10, []bundle.Entry{entry(orders, 2, 0, 3)}, nil, event(8, bundle.TopicWidened{Topic: orders, From: 2, To: 4}),
			event(9, bundle.TopicConfigs{Topic: orders, Configs: []bundle.Config{{Name: "a", Value: "2"}}})),
		w.tell(20, []bundle.Entry{entry(again, 0, 0, 7)}, nil, event(18, bundle.TopicRecreated{Old: orders, New: again, Partitions: 1, Factor: -1})),
		w.tell(30, []bundle.Entry{entry(bundle.Topic{Name: "old", ID: stream.TopicID{7}}, 0, 5, 8)}, nil, event(28, bundle.TopicDeleted{Topic: again})),
	}
	for _, c := range []struct {
		minute int
		want   string
	}{
		{-60, "old: 1 of -1 since 0 map[] [0], orders: 2 of 3 since 0 map[a:1] [1]"},
		{5, "old: 1 of -1 since 0 map[] [0], orders: 2 of 3 since 0 map[a:1] [1]"},
		{9, "old: 1 of -1 since 0 map[] [0], orders: 4 of 3 since 0 map[a:2] [1 2]"},
		{18, "old: 1 of -1 since 0 map[] [0], orders#1: 1 of -1 since 18 map[] [0] past orders: 4 of 3 since 0 until 18 map[a:2] [1 2]"},
		{0, "old: 1 of -1 since 0 map[] [0] past orders: 4 of 3 since 0 until 18 map[a:2] [1 2], orders#1: 1 of -1 since 18 until 28 map[] [0]"},
	} {
		moment := after(c.minute)
		if c.minute == 0 {
			moment = time.Time{}
		}
		s := stateOf(moment, nil, all...)
		show := func(lives []Life) string {
			var out []string
			for _, l := range lives {
				line := fmt.Sprintf("%s: %d of %d since %d", l.Topic, l.Partitions, l.Factor, minutes(l.Since))
				if !l.Until.IsZero() {
					line += fmt.Sprintf(" until %d", minutes(l.Until))
				}
				var parts []int32
				for _, p := range l.Parts {
					parts = append(parts, p.Number)
				}
				out = append(out, fmt.Sprintf("%s %v %v", line, l.Configs, parts))
			}
			return strings.Join(out, ", ")
		}
		got := show(s.Lives)
		if len(s.Past) > 0 {
			got += " past " + show(s.Past)
		}
		if got != c.want {
			t.Errorf("minute %d:\n%s\nnot\n%s", c.minute, got, c.want)
		}
	}
}

func TestLivesWhoseEventsAreLost(t *testing.T) {
	a, b := &teller{writer: "a"}, &teller{writer: "b"}
	again := bundle.Topic{Name: "orders", ID: stream.TopicID{9}, Incarnation: 1}
	s := stateOf(after(6), nil, a.tell(1, []bundle.Entry{entry(orders, 0, 0, 5)}, nil), b.tell(4, []bundle.Entry{entry(again, 0, 0, 5)}, nil),
		a.tell(9, nil, nil, event(8, bundle.TopicDeleted{Topic: orders})))
	if len(s.Lives) != 1 || s.Lives[0].Topic != again || minutes(s.Lives[0].Since) != 4 || len(s.Past) != 1 || minutes(s.Past[0].Until) != 4 {
		t.Errorf("%+v", s)
	}
	// Found, and the word of its creation came later: it was there before both.
	s = stateOf(after(-9), nil, a.tell(9, nil, nil, event(2, bundle.TopicCreated{Topic: audit, Partitions: 1, Found: true})),
		b.tell(9, nil, nil, event(3, bundle.TopicCreated{Topic: audit, Partitions: 1})))
	if len(s.Lives) != 1 || !s.Lives[0].Since.IsZero() || s.Lives[0].Partitions != 1 {
		t.Errorf("%+v", s)
	}
}

func minutes(at time.Time) int {
	if at.IsZero() {
		return 0
	}
	return int(at.Sub(noon) / time.Minute)
}

func TestGroupsACLsAndPointsAsOfAMoment(t *testing.T) {
	a, b := &teller{writer: "a"}, &teller{writer: "b"}
	offsets := func(group string, whole bool, all ...int) bundle.GroupOffsets {
		g := bundle.GroupOffsets{Group: group, Whole: whole}
		for i := 0; i < len(all); i += 2 {
			g.Offsets = append(g.Offsets, bundle.GroupOffset{Topic: "orders", Partition: int32(all[i]), Offset: stream.Upstream(all[i+1])})
		}
		return g
	}
	all := []*stored{
		a.tell(1, nil, nil, event(1, offsets("g", true, 0, 10, 1, 20)), event(1, bundle.ACLs{Bindings: []bundle.ACL{{Resource: "one"}}})),
		b.tell(3, nil, nil, event(2, offsets("g", false, 1, 25, 2, 5)), event(2, offsets("h", true, 0, 1))),
		a.tell(4, nil, nil, event(3, offsets("g", false, 0, -1)), event(4, bundle.ACLs{}), event(4, bundle.Mark{Name: "m", Note: "x",
			Positions: []bundle.Position{position(orders, 0, 3), position(audit, 0, 4)}})),
		a.tell(6, nil, nil, event(5, offsets("h", true)), event(6, offsets("g", true, 0, 12)), event(6, bundle.GroupOffsets{
			Group: "i", Offsets: []bundle.GroupOffset{{Topic: "audit", Offset: 1}}})),
	}
	for minute, want := range []string{"", "g/0:10 g/1:20", "g/0:10 g/1:25 g/2:5 h/0:1", "g/1:25 g/2:5 h/0:1", "g/1:25 g/2:5 h/0:1", "g/1:25 g/2:5", "g/0:12"} {
		s := stateOf(after(minute), func(t string) bool { return t == "orders" }, all...)
		var got []string
		for _, g := range slices.Sorted(maps.Keys(s.Groups)) {
			for n := range int32(3) {
				if o, ok := s.Groups[g][stream.Partition{Topic: "orders", Number: n}]; ok {
					got = append(got, fmt.Sprintf("%s/%d:%d", g, n, o.Offset))
				}
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("minute %d: %v, not %s", minute, got, want)
		}
		if acls := map[int]int{0: 0, 1: 1, 2: 1, 3: 1}[minute]; len(s.ACLs) != acls || s.ACLsAt.IsZero() != (minute == 0) {
			t.Errorf("minute %d: ACLs %v at %s", minute, s.ACLs, s.ACLsAt)
		}
		if len(s.Points) != 1 || s.Points[0].Name != "m" || !s.Points[0].At.Equal(after(4)) || s.Points[0].Object != all[2].object.Name ||
			!reflect.DeepEqual(s.Points[0].Positions, []bundle.Position{position(orders, 0, 3)}) {
			t.Errorf("points %+v", s.Points)
		}
	}
}

func TestChain(t *testing.T) {
	a := &teller{writer: "a"}
	all := []*stored{a.tell(1, nil, nil), a.tell(2, nil, nil), a.tell(3, nil, nil), a.tell(4, nil, nil), a.tell(5, nil, nil)}
	removed := (&teller{writer: "p"}).tell(9, nil, nil, event(9, bundle.Removed{Reason: "pruned", Objects: []bundle.RemovedObject{
		{Name: all[0].object.Name, Digest: all[0].footer.Digest}, {Name: all[1].object.Name, Digest: all[1].footer.Digest}}}))
	without := func(some ...int) (out []*stored) {
		for i, s := range all {
			if !slices.Contains(some, i) {
				out = append(out, s)
			}
		}
		return out
	}
	if s := stateOf(time.Time{}, nil, all...); len(s.Missing) > 0 || s.Objects != 5 || s.Bytes != 50 || minutes(s.Oldest) != 1 || minutes(s.Newest) != 5 {
		t.Errorf("%+v", s)
	}
	if s := stateOf(time.Time{}, nil, without(2)...); len(s.Missing) != 1 || !strings.Contains(s.Missing[0], "writer a, generation 0, sequence 2,") {
		t.Errorf("%v", s.Missing)
	}
	if s := stateOf(time.Time{}, nil, append(without(0, 1, 3), removed)...); len(s.Missing) != 1 || !strings.Contains(s.Missing[0], "sequence 3,") {
		t.Errorf("%v", s.Missing)
	}
	v := NewView("A", time.Time{}, nil)
	for _, s := range without(3) {
		v.Add(s.object, &s.footer)
	}
	v.AddDamaged(all[3].object, errors.New("damaged"))
	if s := v.State(); len(s.Missing) > 0 || len(s.Damaged) != 1 || s.Objects != 5 {
		t.Errorf("%+v", s)
	}
}

func TestOnlyWhatIsWanted(t *testing.T) {
	a := &teller{writer: "a"}
	s := stateOf(time.Time{}, func(t string) bool { return t == "audit" }, a.tell(1,
		[]bundle.Entry{entry(orders, 0, 0, 5), entry(audit, 0, 0, 6)}, []bundle.Position{position(orders, 1, 5), position(audit, 0, 6)},
		event(1, bundle.TopicCreated{Topic: orders, Partitions: 1}), event(1, bundle.Gap{Topic: orders, To: 5}),
		event(1, bundle.TopicConfigs{Topic: orders}), event(1, bundle.Truncated{Topic: orders}), event(1, bundle.TopicDeleted{Topic: orders}),
		event(1, bundle.Removed{Ranges: []bundle.RemovedRange{{Topic: orders, To: 5}}})))
	if len(s.Lives) != 1 || s.Lives[0].Topic != audit || len(s.Past) > 0 || len(s.Lives[0].Parts) != 1 || s.Lives[0].Parts[0].Stretches[0].Chunk != 1 {
		t.Errorf("%+v", s)
	}
}

// The footers of a large archive are not kept: what is, is bounded for each chunk.
func TestMemoryOfAnEntry(t *testing.T) {
	const bundles, each = 1000, 100
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	w, before := &teller{writer: "a"}, heap()
	v := NewView("A", time.Time{}, nil)
	for i := range bundles {
		topic := bundle.Topic{Name: strings.Clone("a-topic-with-a-rather-long-name"), ID: stream.TopicID{3}}
		var chunks []bundle.Entry
		var positions []bundle.Position
		for p := range int32(each) {
			chunks = append(chunks, entry(topic, p, i*10, i*10+10))
			positions = append(positions, position(topic, p, i*10+10))
		}
		s := w.tell(i, chunks, positions, event(i, bundle.Runs{Source: topic, Runs: make([]stream.Run, 1000)}))
		v.Add(s.object, &s.footer)
	}
	folded := (heap() - before) / (bundles * each)
	s := v.State()
	all := (heap() - before) / (bundles * each)
	t.Logf("%d bytes an entry folded, %d with the state", folded, all)
	if n := len(s.Lives[0].Parts[each-1].Stretches); n != bundles || folded > 500 || all > 700 {
		t.Errorf("%d stretches; %d bytes an entry folded, %d with the state", n, folded, all)
	}
	runtime.KeepAlive(v)
}

// An archiver that was started again does not know how often a topic was there before: ids tell two lives apart that have one number.
func TestLivesOfOneNumber(t *testing.T) {
	a := &teller{writer: "a"}
	again := bundle.Topic{Name: "orders", ID: stream.TopicID{9}}
	all := []*stored{
		a.tell(1, []bundle.Entry{entry(orders, 0, 0, 5)}, nil, event(1, bundle.TopicCreated{Topic: orders, Partitions: 1, Found: true})),
		a.tell(9, nil, nil, event(8, bundle.TopicDeleted{Topic: orders})),
		a.tell(20, []bundle.Entry{entry(again, 0, 0, 3)}, nil, event(19, bundle.TopicCreated{Topic: again, Partitions: 1, Found: true})),
	}
	for minute, want := range map[int]string{5: "0 to 5", 12: "", 25: "0 to 3"} {
		s, got := stateOf(after(minute), nil, all...), ""
		for _, l := range s.Lives {
			got += fmt.Sprintf("%d to %d", l.Parts[0].First(), l.Parts[0].Next())
		}
		if got != want {
			t.Errorf("minute %d: %q, not %q: %+v", minute, got, want, s.Lives)
		}
	}
	if s := stateOf(time.Time{}, nil, all...); len(s.Past) != 1 || len(s.Lives) != 1 || s.Past[0].Topic.ID != orders.ID || minutes(s.Lives[0].Since) != 19 {
		t.Errorf("%+v", s)
	}
}

// The clock of a writer goes back by an hour: names of bundles are not in the order in which they were written any more. Nothing is
// missing, and its own order is that of its numbers.
func TestAClockThatGoesBack(t *testing.T) {
	a := &teller{writer: "a"}
	all := []*stored{
		a.tell(70, []bundle.Entry{entry(orders, 0, 0, 5)}, nil, event(70, bundle.TopicCreated{Topic: orders, Partitions: 1, Found: true})),
		a.tell(71, []bundle.Entry{entry(orders, 0, 5, 9)}, nil),
		a.tell(11, []bundle.Entry{entry(orders, 0, 9, 12)}, nil, event(11, bundle.Gap{Topic: orders, Partition: 0, From: 12, To: 14})),
		a.tell(12, []bundle.Entry{entry(orders, 0, 14, 20)}, []bundle.Position{position(orders, 0, 20)}),
	}
	slices.SortFunc(all, func(x, y *stored) int { return strings.Compare(x.object.Name, y.object.Name) })
	if all[0].object.Header.Sequence != 2 {
		t.Fatal("names are in the order of writing")
	}
	s := stateOf(time.Time{}, nil, all...)
	if len(s.Missing) > 0 || len(s.Lives) != 1 {
		t.Fatalf("%+v", s)
	}
	p := s.Lives[0].Parts[0]
	if p.First() != 0 || p.Next() != 20 || len(p.Holes) != 1 || p.Holes[0] != (Hole{From: 12, To: 14, Why: Deleted}) {
		t.Errorf("%d to %d, holes %v", p.First(), p.Next(), p.Holes)
	}
	if got := p.ArchivedUntil(after(60)); got > 9 {
		// By its clock 9 to 20 were there at minute 60, and 0 to 9 were not: what is said must be a part of the log without a hole.
		t.Errorf("archived up to %d at minute 60", got)
	}
	if got := p.ArchivedUntil(after(80)); got != 20 {
		t.Errorf("archived up to %d at minute 80", got)
	}
}
