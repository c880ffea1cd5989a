package retain

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/stream"
)

func runsKey(r bundle.Runs) string {
	return fmt.Sprintf("%v/%d %s", lifeOf(r.Source), r.Partition, r.Remote)
}

// carried are the events that must not go with their bundles, in the order of history.
func (d *decision) carried(kept map[string]bool, lost []point) []bundle.Event {
	f := &folding{decision: d, groups: make(map[string]map[stream.Partition]bundle.GroupOffset), configs: make(map[life]told), runs: make(map[string]told)}
	events := d.inOrder(slices.DeleteFunc(slices.Clone(d.events), func(t told) bool { return d.left[t.bundle] }))
	moments := d.moments(kept)
	f.out = append(f.out, d.firstConfigs(events, moments[0])...)
	for _, m := range moments {
		n := 0
		for n < len(events) && !events[n].At.After(m) {
			f.event(events[n])
			n++
		}
		events = events[n:]
		f.emit()
	}
	for _, key := range slices.Sorted(maps.Keys(f.runs)) {
		f.out = append(f.out, lastRun(f.runs[key].Event))
	}
	dropped := make(map[string]bool)
	for _, p := range lost {
		dropped[p.Name] = true
	}
	for _, p := range d.points {
		if d.goes(p.bundle) && !dropped[p.Name] {
			f.out = append(f.out, p.Event)
		}
	}
	slices.SortStableFunc(f.out, func(a, b bundle.Event) int { return a.At.Compare(b.At) })
	return unique(f.out)
}

// moments are those as of which the archive stays what it is: the kept points before the cutoff, and the cutoff.
func (d *decision) moments(kept map[string]bool) []time.Time {
	all := []time.Time{d.cutoff}
	for _, p := range d.points {
		if kept[p.Name] && p.At.Before(d.cutoff) {
			all = append(all, p.At)
		}
	}
	slices.SortFunc(all, time.Time.Compare)
	return all
}

// firstConfigs are the first ones that were seen of each topic, where they were seen after a moment: they stand for the time before.
func (d *decision) firstConfigs(events []told, before time.Time) (out []bundle.Event) {
	seen := make(map[life]bool)
	for _, t := range events {
		e, ok := t.Body.(bundle.TopicConfigs)
		if !ok || seen[lifeOf(e.Topic)] {
			continue
		}
		seen[lifeOf(e.Topic)] = true
		if t.At.After(before) && d.goes(t.bundle) {
			out = append(out, t.Event)
		}
	}
	return out
}

// folding goes through history.
type folding struct {
	*decision
	out []bundle.Event

	groups  map[string]map[stream.Partition]bundle.GroupOffset
	changed map[string]time.Time // groups since the last moment, and when
	configs map[life]told        // not emitted yet
	acls    *told
	runs    map[string]told // the last ones of each partition that go
}

func (f *folding) event(t told) {
	switch e := t.Body.(type) {
	case bundle.GroupOffsets:
		f.group(e, t.At)
	case bundle.TopicConfigs:
		f.configs[lifeOf(e.Topic)] = t
	case bundle.ACLs:
		f.acls = &t
	case bundle.Runs:
		if key := runsKey(e); f.goes(t.bundle) && !f.decision.Survey.runs[key] {
			f.runs[key] = t
		} else {
			delete(f.runs, key) // what stays is newer
		}
	case bundle.Gap:
		if f.goes(t.bundle) && f.above(e) {
			f.out = append(f.out, t.Event)
		}
	case bundle.Compacted, bundle.Truncated: // of chunks that go
	default: // topics: few
		if f.goes(t.bundle) {
			f.out = append(f.out, t.Event)
		}
	}
}

// group folds positions: of all bundles, as what stays may say only what changed.
func (f *folding) group(e bundle.GroupOffsets, at time.Time) {
	if f.changed == nil {
		f.changed = make(map[string]time.Time)
	}
	f.changed[e.Group] = at
	positions := f.groups[e.Group]
	if positions == nil || e.Whole {
		positions = make(map[stream.Partition]bundle.GroupOffset)
		f.groups[e.Group] = positions
	}
	for _, o := range e.Offsets {
		p := stream.Partition{Topic: o.Topic, Number: o.Partition}
		if o.Offset < 0 {
			delete(positions, p)
		} else {
			positions[p] = o
		}
	}
}

// above says that a gap lies between offsets that stay, or ends where they begin.
func (d *decision) above(g bundle.Gap) bool {
	p := part{lifeOf(g.Topic), g.Partition}
	low, known := d.low[p]
	for _, c := range d.parts[p] {
		if !d.goes(c.bundle) && (!known || c.first < low) {
			low, known = c.first, true
		}
	}
	return !known || g.To >= low
}

// emit writes down what is so at this moment and was told since the one before.
func (f *folding) emit() {
	for _, name := range slices.Sorted(maps.Keys(f.changed)) {
		e := bundle.GroupOffsets{Group: name, Whole: true, Offsets: slices.Collect(maps.Values(f.groups[name]))}
		slices.SortFunc(e.Offsets, func(a, b bundle.GroupOffset) int {
			return cmp.Or(strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
		})
		f.out = append(f.out, inParts(e, f.changed[name])...)
	}
	f.changed = nil
	for _, t := range f.configs {
		if f.goes(t.bundle) {
			f.out = append(f.out, t.Event)
		}
	}
	clear(f.configs)
	if f.acls != nil && f.goes(f.acls.bundle) {
		f.out = append(f.out, f.acls.Event)
	}
	f.acls = nil
}

// offsetsEach is how many positions are in one event.
const offsetsEach = 5000

// inParts makes several events of very many positions: the first one says that those before do not count.
func inParts(e bundle.GroupOffsets, at time.Time) (events []bundle.Event) {
	rest := e.Offsets
	for whole := true; whole || len(rest) > 0; whole = false {
		n := min(offsetsEach, len(rest))
		events = append(events, bundle.Event{At: at, Body: bundle.GroupOffsets{Group: e.Group, Whole: whole, Offsets: rest[:n:n]}})
		rest = rest[n:]
	}
	return events
}

// lastRun is where the map of a partition ended.
func lastRun(ev bundle.Event) bundle.Event {
	e, ok := ev.Body.(bundle.Runs)
	if ok && len(e.Runs) > 1 {
		e.Runs = e.Runs[len(e.Runs)-1:]
		ev.Body = e
	}
	return ev
}

// unique leaves out what was told twice: each process tells of a topic that was made anew.
func unique(events []bundle.Event) []bundle.Event {
	seen := make(map[string]bool, len(events))
	return slices.DeleteFunc(events, func(ev bundle.Event) bool {
		switch ev.Body.(type) {
		case bundle.TopicConfigs, bundle.TopicCreated, bundle.TopicWidened, bundle.TopicDeleted, bundle.TopicRecreated, bundle.Gap, bundle.Mark:
			text := ev.String()
			if m, ok := ev.Body.(bundle.Mark); ok {
				text = fmt.Sprint(ev.At.UnixMilli(), m.Name)
			}
			if seen[text] {
				return true
			}
			seen[text] = true
		}
		return false
	})
}
