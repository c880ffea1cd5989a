package retain

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/stream"
)

// keepPoints keeps what the named points need.
func (d *decision) keepPoints(names []string) (kept map[string]bool, err error) {
	kept = make(map[string]bool)
	for _, name := range names {
		found := false
		for _, p := range d.points {
			if p.Name != name {
				continue
			}
			found = true
			for i := range d.needs(p) {
				if _, stays := d.stays[i]; !stays && d.bundles[i].old {
					d.stays[i] = Kept
				}
			}
		}
		if !found {
			return nil, unknownPoint(name, d.points)
		}
		kept[name] = true
	}
	return kept, nil
}

// lost are the points that need something that goes.
func (d *decision) lost(kept map[string]bool) (lost []point) {
	seen := make(map[string]bool)
	for _, p := range d.points {
		if kept[p.Name] || seen[p.Name] {
			continue
		}
		for i := range d.needs(p) {
			if d.goes(i) {
				seen[p.Name] = true
				lost = append(lost, p)
				break
			}
		}
	}
	slices.SortFunc(lost, func(a, b point) int { return a.At.Compare(b.At) })
	return lost
}

// needs are the old bundles that a point needs.
func (d *decision) needs(p point) map[int]bool {
	needed := make(map[int]bool)
	for _, pos := range p.Positions {
		at := part{lifeOf(pos.Topic), pos.Partition}
		oldest := int64(-1 << 62)
		if r, ok := d.retention(at.life, p.At); ok {
			oldest = p.At.Add(-r).UnixMilli()
		}
		low, found := stream.Upstream(0), false
		for _, c := range d.parts[at] { // by first offset
			if c.first < pos.Next && (c.newest < 0 && c.records || c.newest >= oldest) {
				low, found = c.first, true
				break
			}
		}
		if !found {
			continue
		}
		for _, c := range d.parts[at] {
			if c.first < pos.Next && c.next > low {
				needed[c.bundle] = true
			}
		}
	}
	return needed
}

// retention is for how long the source keeps records of a topic, as of a moment. It is not ok where that is for ever, or unknown.
func (s *Survey) retention(l life, at time.Time) (r time.Duration, ok bool) {
	var last *told
	for i := range s.configs {
		t := &s.configs[i]
		if lifeOf(t.Body.(bundle.TopicConfigs).Topic) == l && !t.At.After(at) && (last == nil || !t.At.Before(last.At)) {
			last = t
		}
	}
	if last == nil {
		return 0, false
	}
	var policy, ms string
	for _, c := range last.Body.(bundle.TopicConfigs).Configs {
		switch c.Name {
		case "cleanup.policy":
			policy = strings.TrimSpace(c.Value)
		case "retention.ms":
			ms = strings.TrimSpace(c.Value)
		}
	}
	n, err := strconv.ParseInt(ms, 10, 64)
	if policy != "delete" || err != nil || n < 0 || n > int64(1<<63-1)/int64(time.Millisecond) {
		return 0, false
	}
	return time.Duration(n) * time.Millisecond, true
}

// lasting are the topics that exist, lose records, and whose source may have those still.
func (d *decision) lasting() []string {
	ended := make(map[life]bool)
	for _, t := range d.events {
		switch e := t.Body.(type) {
		case bundle.TopicDeleted:
			ended[lifeOf(e.Topic)] = true
		case bundle.TopicRecreated:
			ended[lifeOf(e.Old)] = true
		}
	}
	names := make(map[string]bool)
	for p, chunks := range d.parts {
		if ended[p.life] || names[p.life.name] {
			continue
		}
		newest, goes := int64(-1), false
		for _, c := range chunks {
			if d.goes(c.bundle) && c.records {
				goes, newest = true, max(newest, c.newest)
			}
		}
		if r, ok := d.retention(p.life, d.cutoff); goes && (!ok || newest < 0 || newest >= d.cutoff.Add(-r).UnixMilli()) {
			names[p.life.name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}
