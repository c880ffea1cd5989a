package doctor

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"tandem/internal/stream"
)

// factors compares the replication factors of topics that do not exist yet with the brokers there are, and those of all with
// min.insync.replicas.
func (f Flow) factors(source, target *Cluster) []Finding {
	var all []Finding
	look := func(c *Cluster, topic string, factor int16, key, what string, exists bool) {
		if !c.reached() {
			return
		}
		x := f.finding(Blocker, "replication factor", "", "")
		x.Cluster, x.Topic, x.Key = c.Alias, topic, key
		if exists {
			have, known := c.Replicas[topic]
			least, ok := c.config(topic, "min.insync.replicas")
			if n, err := strconv.Atoi(least.Value); known && ok && err == nil && have.All < n {
				x.What = fmt.Sprintf("%s has %d replicas and min.insync.replicas %d: it can never be written to", topic, have.All, n)
				x.Do = "give it more replicas (kafka-reassign-partitions), or lower its min.insync.replicas"
				all = append(all, x)
			}
			return
		}
		would := c.Would[topic]
		if factor < 1 {
			factor = would.Factor
		}
		n, err := strconv.Atoi(would.Configs["min.insync.replicas"])
		switch {
		case int(factor) > len(c.Brokers) && len(c.Brokers) > 0:
			x.What = fmt.Sprintf("%s cannot be made with replication factor %d: %s has %d brokers", what, factor, c.Alias, len(c.Brokers))
			x.Do = fmt.Sprintf("set %s = %d", key, min(len(c.Brokers), 3))
		case err == nil && factor > 0 && int(factor) < n:
			x.What = fmt.Sprintf("%s would be made with replication factor %d, and %s has min.insync.replicas %d: it could never be written to", what, factor, c.Alias, n)
			x.Do = fmt.Sprintf("set %s = %d", key, max(n, min(len(c.Brokers), 3)))
		case would.Refused != "":
			x.What = fmt.Sprintf("%s would be refused by %s: %s", what, c.Alias, would.Refused)
			x.Do = "see to what the cluster asks for, or make the topic by hand"
		default:
			return
		}
		all = append(all, x)
	}
	for _, t := range f.Internals() {
		c := target
		if t.Cluster == source.Alias {
			c = source
		}
		_, exists := c.topic(t.Topic)
		look(c, t.Topic, t.Factor, t.Key, t.Topic, exists)
	}
	var missing, existing []string
	for _, t := range f.selected(source) {
		if _, exists := target.topic(f.Remote(t.Name)); exists {
			existing = append(existing, f.Remote(t.Name))
		} else {
			missing = append(missing, f.Remote(t.Name))
		}
	}
	for _, remote := range existing {
		look(target, remote, 0, "", "", true)
	}
	if before := len(all); len(missing) > 0 { // they are alike: one finding for all
		for _, remote := range missing {
			if look(target, remote, f.Factor, "replication.factor", "remote topics ("+named(missing)+")", false); len(all) > before {
				break
			}
		}
	}
	return all
}

// setting is the value that a config of a remote topic has, or will have when the flow has made it.
func (f Flow) setting(source, target *Cluster, topic, name string) (value string, known bool) {
	remote := f.Remote(topic)
	s, ok := source.config(topic, name)
	carried := ok && !s.ReadOnly && s.Source != stream.ConfigStaticBroker && s.Source != stream.ConfigDefault && f.Carries(name)
	t, there := target.config(remote, name)
	switch {
	case carried && (f.ConfigSync || !there):
		return s.Value, true
	case there && f.ConfigSync && ok && s.Source == stream.ConfigDefault && f.Carries(name) && t.Source == stream.ConfigTopic:
		return "", false // it will be reset to the target's default, which is not known
	case there:
		return t.Value, true
	}
	value, known = target.Would[remote].Configs[name]
	return value, known
}

func (f Flow) number(source, target *Cluster, topic, name string) (int64, bool) {
	value, known := f.setting(source, target, topic, name)
	n, err := strconv.ParseInt(value, 10, 64)
	return n, known && err == nil
}

func sourceNumber(source *Cluster, topic, name string) (int64, bool) {
	e, ok := source.config(topic, name)
	n, err := strconv.ParseInt(e.Value, 10, 64)
	return n, ok && err == nil
}

// sizes finds records that the source takes and the target does not.
func (f Flow) sizes(source, target *Cluster) []Finding {
	if !f.Replicates || !source.reached() {
		return nil
	}
	var smaller, largerThanRequest []string
	var most int64
	for _, t := range f.selected(source) {
		at, ok := sourceNumber(source, t.Name, "max.message.bytes")
		if !ok {
			continue
		}
		if limit, known := f.number(source, target, t.Name, "max.message.bytes"); known && limit < at && target.reached() {
			smaller = append(smaller, fmt.Sprintf("%s (%d, there %d)", t.Name, at, limit))
		}
		if f.MaxRequest > 0 && at > int64(f.MaxRequest) {
			largerThanRequest, most = append(largerThanRequest, t.Name), max(most, at)
		}
	}
	var all []Finding
	if len(smaller) > 0 {
		x := f.finding(Warning, "message size", "max.message.bytes is smaller on "+f.Target+": "+named(smaller),
			"raise max.message.bytes of the remote topics, or message.max.bytes of the brokers; a record that does not fit holds its partition (on.refused)")
		x.Cluster = f.Target
		all = append(all, x)
	}
	if len(largerThanRequest) > 0 {
		x := f.finding(Note, "message size", fmt.Sprintf("max.request.size = %d of the producer is smaller than max.message.bytes of %s", f.MaxRequest, named(largerThanRequest)),
			fmt.Sprintf("MirrorMaker 2 would fail on such a record: set %s.producer.max.request.size = %d", f.Target, most))
		x.Key = "max.request.size"
		all = append(all, x)
	}
	return all
}

// times finds timestamps that change on the way, or are refused.
func (f Flow) times(source, target *Cluster) []Finding {
	if !f.Replicates || !source.reached() {
		return nil
	}
	var appended, replaced, narrower []string
	for _, t := range f.selected(source) {
		kind, _ := source.config(t.Name, "message.timestamp.type")
		there, known := f.setting(source, target, t.Name, "message.timestamp.type")
		switch {
		case known && there == "LogAppendTime":
			replaced = append(replaced, f.Remote(t.Name))
		case kind.Value == "LogAppendTime":
			appended = append(appended, t.Name)
		}
		for _, bound := range []string{"message.timestamp.before.max.ms", "message.timestamp.after.max.ms"} {
			limit, known := f.number(source, target, t.Name, bound)
			at, ok := sourceNumber(source, t.Name, bound)
			if !ok {
				at = math.MaxInt64
			}
			if known && limit < at && there != "LogAppendTime" && kind.Value != "LogAppendTime" {
				narrower = append(narrower, fmt.Sprintf("%s (%s %d)", f.Remote(t.Name), bound, limit))
			}
		}
	}
	var all []Finding
	add := func(s Severity, cluster, what, do string) {
		x := f.finding(s, "timestamps", what, do)
		x.Cluster = cluster
		all = append(all, x)
	}
	if len(appended) > 0 {
		add(Note, f.Source, "message.timestamp.type is LogAppendTime for "+named(appended)+": the copies keep these times, as CreateTime", "")
	}
	if len(replaced) > 0 {
		add(Warning, f.Target, "message.timestamp.type is LogAppendTime for "+named(replaced)+": the records get the time of their copying", "set it to CreateTime to keep the times of the source")
	}
	if len(narrower) > 0 {
		add(Warning, f.Target, "older or later timestamps are refused than at the source: "+named(narrower), "widen the bounds; a record outside of them holds its partition (on.refused)")
	}
	return all
}

const shortRetention = time.Hour

// retention finds topics from which records vanish soon: what is not copied by then is lost.
func (f Flow) retention(source *Cluster) []Finding {
	if !source.reached() {
		return nil
	}
	var short []string
	for _, t := range f.Selected(source.Topics) {
		policy, _ := source.config(t.Name, "cleanup.policy")
		for _, bound := range []struct{ policy, config string }{{"delete", "retention.ms"}, {"compact", "max.compaction.lag.ms"}} {
			ms, ok := sourceNumber(source, t.Name, bound.config)
			if ok && ms >= 0 && ms < shortRetention.Milliseconds() && slices.Contains(strings.Split(policy.Value, ","), bound.policy) {
				short = append(short, fmt.Sprintf("%s (%s %d)", t.Name, bound.config, ms))
			}
		}
	}
	if len(short) == 0 {
		return nil
	}
	x := f.finding(Warning, "retention", "less than an hour of records is kept of "+named(short), "what is deleted or compacted before it is copied is missing on the target: keep an hour more than mirror may ever stand still")
	x.Cluster = f.Source
	return []Finding{x}
}

func (f Flow) transactions(source *Cluster) []Finding {
	if !source.reached() || !f.Replicates || f.Committed {
		return nil
	}
	var some []string
	for _, name := range source.Transactional {
		if f.Topics.Replicates(name) {
			some = append(some, name)
		}
	}
	if len(some) == 0 {
		return nil
	}
	x := f.finding(Warning, "transactions", named(some)+" are written in transactions, and the flow reads with read_uncommitted: records of aborted transactions are copied as well",
		fmt.Sprintf("set %s.consumer.isolation.level = read_committed", f.Source))
	x.Cluster, x.Key = f.Source, "isolation.level"
	return []Finding{x}
}

// others finds processes that run the flow already.
func (f Flow) others(target *Cluster) []Finding {
	m := target.Members[f.SharingGroup]
	if !f.Replicates || !target.reached() || len(m.Names) == 0 {
		return nil
	}
	x := f.finding(Note, "other processes", fmt.Sprintf("other mirror processes run the flow (group %s of %s: %s)", f.SharingGroup, f.Target, named(m.Names)), "a further one shares the work")
	if m.Protocol == "connect" {
		x = f.finding(Blocker, "other processes", fmt.Sprintf("MirrorMaker 2 is running: group %s of %s has members (%s)", f.SharingGroup, f.Target, named(m.Names)),
			"stop MirrorMaker 2, then start mirror: both would write every record")
	}
	x.Cluster = f.Target
	return []Finding{x}
}
