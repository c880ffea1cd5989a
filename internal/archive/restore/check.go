package restore

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Target is what the cluster to restore into is like, as far as it could be found out.
type Target struct {
	Topics map[string]TargetTopic // that are there, by name
	New    map[string]NewTopic    // what the cluster would make of those that are not there
	Now    time.Time
	Same   bool // it is the cluster that was archived
}

// TargetTopic is a topic that is there.
type TargetTopic struct {
	Partitions int32
	Configs    map[string]string // in effect
	InSync     int               // replicas of the partition that has the fewest in sync; 0: unknown
	Denied     []string          // operations that we have no right to: the records are written, and what is written is asked for
}

// NewTopic is the cluster's answer to a topic that it was asked to create, without doing it.
type NewTopic struct {
	Err     error
	Configs map[string]string // in effect; nil where it does not tell
	Factor  int16             // replication factor; 0: unknown
}

// Allowed are what a person says may be.
type Allowed struct {
	Append bool // topics that are there
	Holes  bool // records that the archive has lost
}

// Problem is what stands against a restore.
type Problem struct {
	Topic   string `json:"topic,omitempty"` // of the target
	Text    string `json:"text"`
	Remedy  string `json:"remedy,omitempty"`
	Refused bool   `json:"refused"` // it is not begun
}

// String is the problem in one line.
func (p Problem) String() string {
	if p.Remedy == "" {
		return p.Text
	}
	return p.Text + "; " + p.Remedy
}

// Topic configs that are looked at.
const (
	cleanupPolicy  = "cleanup.policy"
	retentionMs    = "retention.ms"
	retentionBytes = "retention.bytes"
	timestampType  = "message.timestamp.type"
	beforeMax      = "message.timestamp.before.max.ms"
	afterMax       = "message.timestamp.after.max.ms"
	minInsync      = "min.insync.replicas"
	maxBytes       = "max.message.bytes"

	defaultMaxBytes = 1048588 // Kafka's
)

// CreateConfigs are the configs that a topic is created with: those that it had, but for what would change its records, or what speaks of
// the brokers of the source. changed says what is otherwise, for people.
func (t Topic) CreateConfigs(keepOld bool, factor int16) (configs map[string]string, changed []string) {
	configs = maps.Clone(t.Configs)
	if configs == nil {
		configs = make(map[string]string)
	}
	drop := func(name, why string) {
		changed = append(changed, fmt.Sprintf("%s=%s of %s is not set: %s", name, configs[name], t.To, why))
		delete(configs, name)
	}
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		switch {
		case name == timestampType && configs[name] != "CreateTime":
			drop(name, "the target would write the time of the restore over all timestamps; set it afterwards")
		case strings.HasSuffix(name, ".replication.throttled.replicas"):
			delete(configs, name)
		case name == minInsync && factor > 0:
			if n, err := strconv.Atoi(configs[name]); err == nil && n > int(factor) {
				drop(name, fmt.Sprintf("the topic gets %d replicas", factor))
			}
		}
	}
	if keepOld {
		for _, c := range []struct{ name, value string }{
			{retentionMs, "-1"}, {retentionBytes, "-1"}, {beforeMax, strconv.FormatInt(math.MaxInt64, 10)},
		} {
			was, set := configs[c.name]
			if c.name == beforeMax && !set {
				continue
			}
			if was != c.value {
				configs[c.name] = c.value
				changed = append(changed, setBack(t.To, c.name, c.value, was, set))
			}
		}
	}
	return configs, changed
}

func setBack(topic, name, value, was string, set bool) string {
	how := fmt.Sprintf("kafka-configs.sh --alter --entity-type topics --entity-name %s --add-config %s=%s", topic, name, was)
	if !set {
		how = fmt.Sprintf("kafka-configs.sh --alter --entity-type topics --entity-name %s --delete-config %s", topic, name)
	}
	return fmt.Sprintf("%s gets %s=%s so that old records stay; to set it back: %s", topic, name, value, how)
}

// Check says what stands against the plan.
func (p *Plan) Check(target Target, allow Allowed) []Problem {
	var all []Problem
	refuse := func(topic, remedy, format string, args ...any) {
		all = append(all, Problem{Topic: topic, Text: fmt.Sprintf(format, args...), Remedy: remedy, Refused: true})
	}
	for i := range p.Topics {
		t := &p.Topics[i]
		there, exists := target.Topics[t.To]
		configs, fresh := there.Configs, target.New[t.To]
		replicas := there.InSync
		switch {
		case exists && target.Same && t.To == t.Name:
			refuse(t.To, "choose another name with --rename, or delete the topic first",
				"%s is the topic that was archived, and it is still there", t.To)
			continue
		case exists && !allow.Append:
			refuse(t.To, "choose another name with --rename, or write behind what it has with --append", "topic %s is there already", t.To)
			continue
		case exists && there.Partitions < t.needs():
			refuse(t.To, "add partitions to it", "topic %s has %d partitions; the archive has %d", t.To, there.Partitions, t.needs())
		case exists && len(there.Denied) > 0:
			refuse(t.To, "grant it", "there is no right to %s on topic %s", strings.Join(there.Denied, " and "), t.To)
		case !exists && fresh.Err != nil:
			refuse(t.To, "", "topic %s cannot be created: %v", t.To, fresh.Err)
			continue
		case !exists:
			configs, replicas = fresh.Configs, int(fresh.Factor)
		}
		if n := there.Partitions; n > t.needs() {
			all = append(all, Problem{Topic: t.To, Text: fmt.Sprintf(
				"topic %s has %d partitions, %s had %d: records stay in their partitions, where producers to come do not put their keys", t.To, n, t.Name, t.needs())})
		}
		if least, ok := number(configs, minInsync); ok && replicas > 0 && int64(replicas) < least {
			remedy := "bring its brokers back, or lower that config"
			if !exists {
				remedy = fmt.Sprintf("set --replication-factor to %d or more, or lower that config of the cluster", least)
			}
			refuse(t.To, remedy, "topic %s has %d replicas in sync, and takes records only with %d (%s)", t.To, replicas, least, minInsync)
		}
		for _, problem := range t.times(configs, target.Now) {
			if exists && problem.Remedy == withoutLimit {
				problem.Remedy = "change that config first"
			}
			all = append(all, problem)
		}
		all = append(all, t.settings(configs)...)
	}
	return append(all, p.lost(allow)...)
}

// lost are the holes that nothing explains.
func (p *Plan) lost(allow Allowed) []Problem {
	var all []Problem
	for _, t := range p.Topics {
		for _, part := range t.Parts {
			for _, h := range part.Holes {
				all = append(all, Problem{
					Topic: t.To, Refused: h.Lost && !allow.Holes,
					Text: fmt.Sprintf("%s/%d: offsets %d to %d are not in the archive (%s)", t.Name, part.Number, h.From, h.To-1, h.Why),
				})
				if last := &all[len(all)-1]; last.Refused {
					last.Remedy = "archive verify says more; --allow-holes restores the rest"
				}
			}
		}
	}
	return all
}

// needs is how many partitions the target has to have.
func (t *Topic) needs() int32 { return t.Partitions }

const withoutLimit = "--keep-old creates the topic without that limit"

// times holds the timestamps of the records against what the topic takes and keeps.
func (t *Topic) times(configs map[string]string, now time.Time) []Problem {
	oldest, least, most := int64(-1), int64(-1), int64(-1)
	bytes := int64(0)
	for _, p := range t.Parts {
		if p.Oldest >= 0 && (oldest < 0 || p.Oldest < oldest) {
			oldest = p.Oldest
		}
		if p.Least >= 0 && (least < 0 || p.Least < least) {
			least = p.Least
		}
		most, bytes = max(most, p.Most), max(bytes, p.Bytes)
	}
	if oldest < 0 || configs == nil {
		return nil
	}
	var all []Problem
	refuse := func(format string, args ...any) {
		all = append(all, Problem{Topic: t.To, Refused: true, Text: fmt.Sprintf(format, args...), Remedy: withoutLimit})
	}
	at := func(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }
	if keep, ok := number(configs, retentionMs); ok && keep >= 0 && deletes(configs) && oldest < now.UnixMilli()-keep {
		refuse("%s would delete records at once: it keeps them for %s (%s), since %s, and the oldest are of %s",
			t.To, time.Duration(keep)*time.Millisecond, retentionMs, at(now.UnixMilli()-keep), at(oldest))
	}
	if keep, ok := number(configs, retentionBytes); ok && keep >= 0 && deletes(configs) && bytes > keep {
		refuse("%s would delete records at once: it keeps %d bytes of a partition (%s), and there are about %d", t.To, keep, retentionBytes, bytes)
	}
	if before, ok := number(configs, beforeMax); ok && before >= 0 && now.UnixMilli()-before > 0 && least >= 0 && least < now.UnixMilli()-before {
		refuse("%s would refuse records: it takes none older than %s (%s), and the oldest are of %s",
			t.To, at(now.UnixMilli()-before), beforeMax, at(least))
	}
	if after, ok := number(configs, afterMax); ok && after >= 0 && after < math.MaxInt64-now.UnixMilli() && most > now.UnixMilli()+after {
		all = append(all, Problem{Topic: t.To, Refused: true, Text: fmt.Sprintf(
			"%s would refuse records: it takes none of a time behind %s (%s), and the newest are of %s",
			t.To, at(now.UnixMilli()+after), afterMax, at(most)), Remedy: "raise that config"})
	}
	return all
}

// settings are those that change what is written.
func (t *Topic) settings(configs map[string]string) []Problem {
	var all []Problem
	if configs[timestampType] == "LogAppendTime" {
		all = append(all, Problem{Topic: t.To, Refused: true,
			Text:   fmt.Sprintf("%s would write the time of the restore over all timestamps (%s=LogAppendTime)", t.To, timestampType),
			Remedy: "set it to CreateTime for the time of the restore"})
	}
	had, ok := number(t.Configs, maxBytes)
	if !ok {
		had = defaultMaxBytes
	}
	largest := int64(0)
	for _, p := range t.Parts {
		largest = max(largest, p.Largest)
	}
	switch has, ok := number(configs, maxBytes); {
	case ok && largest > has:
		all = append(all, Problem{Topic: t.To, Refused: true, Remedy: "raise that config",
			Text: fmt.Sprintf("%s would refuse records: it takes none larger than %d bytes (%s), and there are some of %d or more", t.To, has, maxBytes, largest)})
	case ok && has < had:
		all = append(all, Problem{Topic: t.To, Text: fmt.Sprintf(
			"%s takes batches of %d bytes (%s), %s took %d: a record that is larger stops the restore", t.To, has, maxBytes, t.Name, had)})
	}
	if strings.Contains(configs[cleanupPolicy], "compact") && !strings.Contains(t.Configs[cleanupPolicy], "compact") {
		all = append(all, Problem{Topic: t.To, Text: fmt.Sprintf("%s is compacted, %s was not: only the last record of each key will stay", t.To, t.Name)})
	}
	return all
}

func deletes(configs map[string]string) bool {
	policy, ok := configs[cleanupPolicy]
	return !ok || strings.Contains(policy, "delete")
}

func number(configs map[string]string, name string) (int64, bool) {
	v, ok := configs[name]
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(v, 10, 64)
	return n, err == nil
}
