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
