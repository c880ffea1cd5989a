package doctor

import (
	"fmt"
	"slices"
	"strings"

	"tandem/internal/stream"
)

const (
	longestName = 249 // of a topic, by Kafka's rule
	mostNamed   = 5   // names in one finding; the rest are counted
)

// named lists names, and how many more there are.
func named(names []string) string {
	if len(names) <= mostNamed {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:mostNamed], ", "), len(names)-mostNamed)
}

func (f Flow) finding(s Severity, check, what, do string) Finding {
	return Finding{Severity: s, Check: check, Flow: f.Flow.String(), What: what, Do: do}
}

// selection finds lists that choose nothing.
func (f Flow) selection(source *Cluster) []Finding {
	if !source.reached() || source.Topics == nil || !f.Replicates {
		return nil
	}
	var all []Finding
	var names []string
	for _, t := range source.Topics {
		if !t.Internal && !f.Policy.IsInternalTopic(t.Name) {
			names = append(names, t.Name)
		}
	}
	chosen := slices.DeleteFunc(f.selected(source), func(t stream.Topic) bool { return f.Policy.IsHeartbeatsTopic(t.Name) })
	if len(chosen) == 0 {
		all = append(all, f.finding(Blocker, "topics", fmt.Sprintf("no topic of %s is selected (%d are visible)", f.Source, len(names)),
			"correct topics or topics.exclude; if there should be topics, look at the findings about rights"))
		all[0].Cluster, all[0].Key = f.Source, "topics"
	}
	for _, e := range f.TopicElements {
		if !slices.ContainsFunc(names, e.matcher()) && (len(chosen) > 0 || len(f.TopicElements) > 1) {
			x := f.finding(Warning, "topics", fmt.Sprintf("%q matches no topic of %s that we may see", e.Text, f.Source), "correct it; an expression has to match a whole name")
			x.Cluster, x.Key, x.Line = f.Source, e.Key, e.Line
			all = append(all, x)
		}
	}
	return all
}

func (f Flow) groups(source *Cluster) []Finding {
	if !source.reached() || source.Groups == nil || !f.Replicates || !f.Checkpoints {
		return nil
	}
	var all []Finding
	for _, e := range f.GroupElements {
		matches := e.matcher()
		if slices.ContainsFunc(source.Groups, func(g stream.Group) bool { return matches(g.ID) }) {
			continue
		}
		severity := Warning
		if e.Line == 0 || e.Text == ".*" {
			severity = Note // it says nothing of what was expected
		}
		x := f.finding(severity, "groups", fmt.Sprintf("%q matches no group of %s that we may see", e.Text, f.Source), "nothing, if there are none yet; an expression has to match a whole name")
		x.Cluster, x.Key, x.Line = f.Source, e.Key, e.Line
		all = append(all, x)
	}
	return all
}

// names finds topics whose names keep them from being copied.
func (f Flow) names(source, target *Cluster) []Finding {
	if !source.reached() || !f.Replicates {
		return nil
	}
	var all []Finding
	var looks, long []string
	for _, t := range source.Topics {
		if t.Internal || !f.Topics.Topics.Accepts(t.Name) || f.Policy.IsInternalTopic(t.Name) || !f.Policy.Cycle(t.Name, f.Target) {
			continue
		}
		// A copy of a topic of the target has its like there.
		upstream, _ := f.Policy.UpstreamTopic(t.Name)
		if _, there := target.topic(upstream); !there && target.reached() && target.Topics != nil {
			looks = append(looks, t.Name)
		}
	}
	if len(looks) > 0 {
		x := f.finding(Warning, "names", fmt.Sprintf("%s of %s are skipped: their names begin with the alias %s, so that they pass for copies from there", named(looks), f.Source, f.Target),
			"choose another alias, or another replication.policy.separator")
		x.Cluster, x.Topic = f.Source, looks[0]
		all = append(all, x)
	}
	owners, metric := make(map[string]string), make(map[string]string)
	for _, t := range target.Topics {
		metric[strings.ReplaceAll(t.Name, ".", "_")] = t.Name
	}
	for _, t := range f.selected(source) {
		remote := f.Remote(t.Name)
		if len(remote) > longestName {
			long = append(long, t.Name)
		}
		if owner, taken := owners[remote]; taken {
			x := f.finding(Blocker, "names", fmt.Sprintf("%s and %s would both be %s on %s; only the first is copied", owner, t.Name, remote, f.Target), "name one of them in topics.exclude")
			x.Cluster, x.Topic = f.Source, t.Name
			all = append(all, x)
			continue
		}
		owners[remote] = t.Name
		flat := strings.ReplaceAll(remote, ".", "_")
		if other, taken := metric[flat]; taken && other != remote {
			x := f.finding(Blocker, "names", fmt.Sprintf("%s cannot be made on %s: Kafka takes it for the same as %s, which is there (. and _ are one in its metrics)", remote, f.Target, other),
				"choose another replication.policy.separator or alias, or name it in topics.exclude")
			x.Cluster, x.Topic = f.Target, remote
			all = append(all, x)
		} else {
			metric[flat] = remote
		}
	}
	if len(long) > 0 {
		x := f.finding(Blocker, "names", fmt.Sprintf("the remote names of %s are longer than the %d characters that Kafka allows", named(long), longestName), "choose a shorter alias, or name them in topics.exclude")
		x.Cluster, x.Topic = f.Source, long[0]
		all = append(all, x)
	}
	return all
}

// before finds remote topics that somebody else has filled: a flow that never ran has no place in them.
func (f Flow) before(source, target *Cluster) []Finding {
	if !source.reached() || !target.reached() || !f.Replicates || f.TwoWay {
		return nil
	}
	for _, own := range []string{stream.TandemTopic(f.Source), f.OffsetsTopic} {
		if _, ran := target.topic(own); ran {
			return nil
		}
	}
	var filled []string
	for _, t := range f.selected(source) {
		if remote := f.Remote(t.Name); target.Filled[remote] {
			filled = append(filled, remote)
		}
	}
	if len(filled) == 0 {
		return nil
	}
	x := f.finding(Warning, "names", fmt.Sprintf("%s of %s have records already, and neither this flow nor MirrorMaker 2 has noted that it wrote them", named(filled), f.Target),
		"if they are topics of their own, exclude the source topics or choose another alias; records of the source are appended behind what is there")
	x.Cluster, x.Topic = f.Target, filled[0]
	return []Finding{x}
}

// loops follows each topic along the flows. Between two clusters that keep names both ways, producer ids stop it.
func (f *Facts) loops() []Finding {
	var all []Finding
	told := make(map[string]bool)
	for _, first := range f.Flows {
		if !first.Replicates {
			continue
		}
		for _, t := range first.selected(f.cluster(first.Source)) {
			path := f.around(first, t.Name)
			key := strings.Join(path, "->")
			sorted := strings.Join(slices.Compact(slices.Sorted(slices.Values(path))), " ") // the same from whichever of them
			if path == nil || told[sorted] {
				continue
			}
			told[sorted] = true
			all = append(all, Finding{Severity: Blocker, Check: "loops", Flow: first.Flow.String(), Topic: t.Name,
				What: fmt.Sprintf("records of %s would go round for ever: %s", t.Name, key),
				Do:   "disable one of these flows, exclude the topic from one, or use DefaultReplicationPolicy for all"})
		}
	}
	for _, w := range f.Flows {
		if w.TwoWay && w.Source < w.Target {
			all = append(all, Finding{Severity: Note, Check: "loops", Flow: w.Flow.String() + ", " + w.Reverse().String(),
				What: "both directions keep topic names: records are told apart by the producer ids noted in " + stream.TandemTopic(w.Source) + " and " + stream.TandemTopic(w.Target),
				Do:   "do not delete these topics, and do not hand these flows to MirrorMaker 2, which would loop"})
		}
	}
	return all
}

// around is the way of a topic from a cluster back to it, by aliases; nil where it does not come back.
func (f *Facts) around(first Flow, topic string) []string {
	type place struct {
		cluster, topic string
		path           []string
		last           Flow
	}
	queue := []place{{first.Target, first.Remote(topic), []string{first.Source, first.Target}, first}}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for _, next := range f.Flows {
			switch {
			case !next.Replicates || next.Source != at.cluster || !next.Topics.Replicates(at.topic):
			case next.TwoWay && at.last.Flow == next.Reverse() && next.Remote(at.topic) == at.topic: // told apart by producer ids
			case next.Target == first.Source:
				// Back, it has to go out again by the same flow to be a loop.
				if back := next.Remote(at.topic); first.Topics.Replicates(back) {
					return append(slices.Clone(at.path), next.Target)
				}
			case !slices.Contains(at.path, next.Target):
				queue = append(queue, place{next.Target, next.Remote(at.topic), append(slices.Clone(at.path), next.Target), next})
			}
		}
	}
	return nil
}
