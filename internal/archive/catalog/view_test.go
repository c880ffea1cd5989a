package catalog

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tandem/internal/stream"
)

// moments are some times of a world that mean something.
func (w *world) moments() []time.Time {
	all := []time.Time{{}}
	first := w.topics[0].widths[0].at
	for range 12 {
		at := first - 100 + w.rnd.Int64N(w.now-first+200)
		inside := slices.ContainsFunc(w.quiet, func(s span64) bool { return s.from <= at && at <= s.to })
		if !inside && at > w.pruned {
			all = append(all, fromMillis(at))
		}
	}
	return all
}

// archived are the records that the store has of a log, by offset.
func (w *world) archived(log []int) map[stream.Upstream]int {
	if w.have == nil {
		w.have = make(map[int]bool)
		for _, s := range w.stored {
			for _, records := range s.records {
				for _, r := range records {
					w.have[r] = true
				}
			}
		}
	}
	out := make(map[stream.Upstream]int)
	for o, r := range log {
		if w.have[r] {
			out[stream.Upstream(o)] = r
		}
	}
	return out
}

// read are the records that a part would give.
func (w *world) read(p Part) map[stream.Upstream]int {
	out := make(map[stream.Upstream]int)
	for _, s := range p.Stretches {
		i := slices.IndexFunc(w.stored, func(k *stored) bool { return k.object.Name == s.Object.Name })
		for o := s.From; o < s.To; o++ {
			out[o] = w.stored[i].records[s.Chunk][o-w.stored[i].footer.Chunks[s.Chunk].First]
		}
	}
	return out
}

func find(lives []Life, id stream.TopicID) *Life {
	for i := range lives {
		if lives[i].Topic.ID == id {
			return &lives[i]
		}
	}
	return nil
}

func partOf(l *Life, n int32) Part {
	for _, p := range l.Parts {
		if p.Number == n {
			return p
		}
	}
	return Part{Number: n}
}

// check compares a state with what the model knows of a moment.
func (w *world) check(s *State, at time.Time) (wrong []string) {
	fail := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	m := limit(at)
	for _, t := range w.topics {
		lives, past := find(s.Lives, t.topic.ID), find(s.Past, t.topic.ID)
		l := lives
		there, over := t.since <= m, t.until > 0 && t.until <= m
		switch known := w.tells(t); {
		case !known: // nothing was stored of it, or nothing is left
			continue
		case w.pruned > 0 || len(w.lost) > 0: // its events may be gone
			if l == nil {
				l = past
			}
			if l == nil {
				continue
			}
		case there && over:
			if l = past; l == nil || lives != nil {
				fail("%x is over: in lives %v, in past %v", t.topic.ID, lives != nil, past != nil)
				continue
			}
		case there:
			if l == nil || past != nil {
				fail("%x is there: in lives %v, in past %v", t.topic.ID, lives != nil, past != nil)
				continue
			}
		default:
			if l != nil || past != nil {
				fail("%x is not there yet", t.topic.ID)
			}
			continue
		}
		n := int32(0)
		for _, x := range t.widths {
			if n == 0 || x.at <= m {
				n = x.n
			}
		}
		if w.pruned == 0 && l.Partitions != n {
			fail("%x has %d partitions, not %d", t.topic.ID, l.Partitions, n)
		}
		for number, src := range t.parts {
			if number < l.Partitions {
				w.checkPart(partOf(l, number), t, src, m, fail)
			}
		}
	}
	return wrong
}

// tells says whether anything of a life is stored.
func (w *world) tells(t *topicLife) bool {
	for _, s := range w.stored {
		for _, e := range s.footer.Events {
			if strings.Contains(fmt.Sprintf("%v", e.Body), fmt.Sprintf("%x", t.topic.ID)) {
				return true
			}
		}
	}
	return false
}

func (w *world) checkPart(p Part, t *topicLife, src *sourcePart, m int64, fail func(string, ...any)) {
	branch := 0
	for i, from := range src.from {
		if from <= m {
			branch = i
		}
	}
	who := fmt.Sprintf("%x/%d", t.topic.ID, p.Number)
	want, got := w.archived(src.logs[branch]), w.read(p)
	for o, r := range want {
		if got[o] != r {
			fail("%s at %d: record %d, not %d (of log %d)", who, o, got[o], r, branch)
		}
	}
	for o, r := range got {
		if _, ok := want[o]; !ok {
			fail("%s at %d: record %d, there should be none (of log %d of %d)", who, o, r, branch, len(src.logs[branch]))
		}
	}
	w.checkHoles(p, who, src, fail)
	w.checkEntries(p, who, fail)
}

// checkHoles: between the first and the last offset each one is in one stretch or in one hole, and the hole is what the model says.
func (w *world) checkHoles(p Part, who string, src *sourcePart, fail func(string, ...any)) {
	seen := make(map[stream.Upstream]string)
	low, high := stream.Upstream(1<<40), stream.Upstream(0)
	mark := func(from, to stream.Upstream, what string) {
		if from >= to {
			fail("%s: %s of %d to %d", who, what, from, to)
		}
		low, high = min(low, from), max(high, to)
		for o := from; o < to; o++ {
			if seen[o] != "" {
				fail("%s at %d: %s and %s", who, o, seen[o], what)
			}
			seen[o] = what
		}
	}
	for _, s := range p.Stretches {
		mark(s.From, s.To, "stretch")
	}
	for _, h := range p.Holes {
		mark(h.From, h.To, string(h.Why))
	}
	inside := func(all []span, o stream.Upstream) bool {
		return slices.ContainsFunc(all, func(s span) bool { return s.from <= o && o < s.to })
	}
	for o := low; o < high; o++ {
		switch what := seen[o]; {
		case what == "":
			fail("%s at %d: nothing", who, o)
		case what == string(Deleted) && !inside(src.gaps, o):
			fail("%s at %d: %s", who, o, what)
		case what == string(Lost) && len(w.lost) == 0:
			fail("%s at %d: %s, and nothing was lost", who, o, what)
		case what == string(Pruned) && w.pruned == 0:
			fail("%s at %d: %s, and nothing was", who, o, what)
		}
	}
}

func (w *world) checkEntries(p Part, who string, fail func(string, ...any)) {
	for _, s := range p.Stretches {
		if !slices.Contains(p.Entries, s.Entry) {
			fail("%s: entry of %d to %d is not among the entries", who, s.From, s.To)
		}
	}
	for _, at := range []int64{0, w.now / 2, w.now} {
		got, want := p.ArchivedUntil(fromMillis(at)), p.Next()
		if at == 0 {
			want = p.First()
		}
		if at != w.now/2 && got != want {
			fail("%s: archived until %d at %d, not %d", who, got, at, want)
		}
	}
}

func TestViewAgainstTheModel(t *testing.T) {
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
			for seed := range uint64(seeds()) {
				w := newWorld(seed)
				w.run(40+w.rnd.IntN(160), trouble)
				for _, at := range w.moments() {
					s := w.view(at, nil).State()
					if again := w.view(at, nil).State(); !reflect.DeepEqual(s, again) {
						t.Fatalf("seed %d at %s: two orders, two states", seed, at)
					}
					if wrong := w.check(s, at); len(wrong) > 0 {
						t.Fatalf("seed %d at %d:\n%s", seed, limit(at), strings.Join(wrong[:min(len(wrong), 10)], "\n"))
					}
				}
			}
		})
	}
}

func seeds() int { n, _ := strconv.Atoi(os.Getenv("CATALOG_SEEDS")); return max(n, 20) }
