package retain

import (
	"slices"
	"testing"
	"time"

	"tandem/internal/archive/bundle"
)

// A writer runs for months, and each day what is older than two days is pruned. What is said of the removed bundles does not grow with all
// that ever were: names give way to runs, of which nothing between two ends is left out.
func TestWhatWasRemovedIsCarriedInFewBytes(t *testing.T) {
	const each, days = 24, 60
	h := newHistory(1)
	h.all = nil
	w, end := &writer{name: "mirror-B", generation: 1}, h.topics[0]
	for day := range days {
		for range each {
			h.now = h.now.Add(time.Hour)
			f := &bundle.Footer{Chunks: []bundle.Entry{h.chunk(end, 0, 5)}, Positions: []bundle.Position{{Topic: end.Topic, Next: end.ends[0]}}}
			f.Chunks[0].Open = nil
			h.store(w, f)
		}
		if day == days/2 {
			w.generation, w.sequence = 2, 0
		}
		p, err := surveyOf(h.all, h.now.Add(-48*time.Hour)).Plan(Options{Now: h.now.Add(time.Minute)})
		if err != nil {
			t.Fatal(err)
		}
		h.now = h.now.Add(2 * time.Minute)
		h.all = h.prune(p, func(string) bool { return false })
	}
	names, runs := 0, 0
	accounted, first := make(map[int64]bool), int64(1<<62)
	for _, s := range h.all {
		if s.object.Header.Writer == w.name {
			first = min(first, s.object.Header.Sequence)
		}
		for _, ev := range s.footer.Events {
			r, ok := ev.Body.(bundle.Removed)
			if !ok {
				continue
			}
			names += len(r.Objects)
			for _, o := range r.Objects {
				if b, err := bundle.ParseName("", o.Name); err == nil && b.Generation == 2 {
					accounted[b.Sequence] = true
				}
			}
			for _, n := range r.Runs {
				if runs++; n.Generation != 2 || n.Writer != w.name {
					t.Errorf("a run that no number asks for: %+v", n)
				}
				for i := n.From; i < n.To; i++ {
					accounted[i] = true
				}
			}
		}
	}
	if names > 4*each || runs == 0 || runs > 4 {
		t.Errorf("%d names and %d runs are carried", names, runs)
	}
	for i := range first {
		if !accounted[i] {
			t.Errorf("nothing says that bundle %d was removed", i)
		}
	}
	if first < each*(days/2-5) {
		t.Errorf("the first bundle is %d: too little was pruned", first)
	}
	if s := stateOf(h.all, time.Time{}); len(s.Missing) > 0 || slices.ContainsFunc(h.all, func(s stored) bool { return s.footer == nil }) {
		t.Errorf("missing: %v", s.Missing)
	}
}

// The clock of a writer went back by an hour and a half: whatever the cutoff, what stays goes on without a hole to where the archive ends.
func TestPruneAfterTheClockWentBack(t *testing.T) {
	for cutoff := -2 * time.Hour; cutoff < 5*time.Hour; cutoff += 7 * time.Minute {
		h := newHistory(1)
		h.all, h.now = nil, start
		w, topic := &writer{name: "mirror-B"}, h.topics[0]
		topic.ends[0] = 0
		for i := range 24 {
			if h.now = h.now.Add(10 * time.Minute); i == 12 {
				h.now = h.now.Add(-90 * time.Minute)
			}
			first := topic.ends[0]
			topic.ends[0] += 5
			h.store(w, &bundle.Footer{
				Chunks: []bundle.Entry{{Topic: topic.Topic, First: first, Next: first + 5, Records: 5, Batches: 1, Stored: 10, Plain: 10,
					MinTimestamp: start.UnixMilli(), MaxTimestamp: start.UnixMilli()}},
				Positions: []bundle.Position{{Topic: topic.Topic, Next: first + 5}},
			})
		}
		p, err := surveyOf(h.all, start.Add(cutoff)).Plan(Options{Now: h.now.Add(time.Minute)})
		if err != nil {
			t.Fatal(err)
		}
		s := stateOf(h.prune(p, func(string) bool { return false }), time.Time{})
		if len(s.Missing) > 0 || len(s.Lives) != 1 || s.Lives[0].Parts[0].Next() != 120 {
			t.Fatalf("cutoff %s: missing %v, %+v", cutoff, s.Missing, s.Lives)
		}
		at := s.Lives[0].Parts[0].First()
		for _, x := range s.Lives[0].Parts[0].Stretches {
			if x.From != at {
				t.Errorf("cutoff %s: %d follows on %d", cutoff, x.From, at)
			}
			at = x.To
		}
	}
}
