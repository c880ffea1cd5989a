package config

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Setting is one resolved setting.
type Setting struct {
	Flow  string // "A->B"; empty for the process
	Part  string // what it is a setting of: "" is the flow, or the process; else one of its clients, or "worker"
	Key   string // without prefixes
	Value string // secrets are [hidden]
	From  string // "line 12: A->B.topics", "default", "default of mm2.compatibility = 3.9"
}

// setting is one with what it takes to compare it. It never holds a secret: whoever prints a Config prints these.
type setting struct {
	Setting
	mark uint64 // of the value, in its canonical form
	idle bool   // an interval that never comes
	live bool   // a change needs no restart
}

// marks are made with a seed of the process, so that they tell nothing of what they were made from.
var marks = maphash.MakeSeed()

const (
	partSource     = "source consumer"
	partSourceAsks = "source admin"
	partTarget     = "target producer"
	partTargetAsks = "target admin"
	partWorker     = "worker"
)

// Effective lists the settings that have an effect: those of the process, then each flow's in the order of Flows; of each first the
// flow's own, then those of its clients and of what was MM2's worker, by key.
func (c *Config) Effective() []Setting {
	all := make([]Setting, len(c.settings))
	for i, s := range c.settings {
		all[i] = s.Setting
	}
	return all
}

// resolve is the value of a row and where it comes from. A value that is not allowed has been reported, and reads as the default.
func (b builder) resolve(s settings, row key) (value, from string) {
	if e, set := s[row.name]; set {
		items, _ := splitList(e.value)
		if follows := followed[row.name] != "" && len(items) == 0; !follows && row.check(e.value) == nil {
			return row.read(e.value), e.place()
		}
		return b.byDefault(s, row)
	}
	for old, now := range renamed {
		if e, set := s[old]; set && now == row.name && row.check(e.value) == nil {
			return row.read(e.value), e.place() + ", which is " + now + " of 3.x"
		}
	}
	return b.byDefault(s, row)
}

// followed are keys that are, when empty, what another key says.
var followed = map[string]string{"archive.topics": "topics", "archive.topics.exclude": "topics.exclude"}

func (b builder) byDefault(s settings, row key) (value, from string) {
	switch row.name {
	case "archive.topics", "archive.topics.exclude":
		other, _ := find(followed[row.name], flow)
		value, _ = b.resolve(s, other)
		return value, "default: as " + other.name
	case "offset.storage.topic":
		return "mm2-offsets." + b.pair.Source + ".internal", "default"
	case "group.id":
		return b.pair.Source + "-mm2", "default"
	case "session.timeout.ms":
		least, _ := strconv.ParseInt(row.def, 10, 64)
		if beats := heartbeatsASession * b.number(s, "heartbeat.interval.ms", cluster); beats > least {
			return strconv.FormatInt(beats, 10), "default: three heartbeats"
		}
	}
	if b.old && row.def39 != "" {
		return row.def39, "default of mm2.compatibility = 3.9"
	}
	return row.def, "default"
}

// place tells where a value comes from.
func (e entry) place() string {
	s := fmt.Sprintf("line %d: %s", e.line, e.key)
	if e.providers != "" {
		s += ", filled in by " + e.providers
	}
	return s
}

func (b builder) processSettings(bare settings) []setting {
	var all []setting
	for _, row := range slices.Concat(processKeys, statusKeys) {
		if row.effect == used {
			value, from := b.resolve(bare, row)
			all = append(all, newSetting(Setting{Key: row.name, From: from}, row, value))
		}
	}
	sortSettings(all)
	return all
}

// flowSettings are those of one flow that have an effect in it: an archive that is off has but the switch.
func (b builder) flowSettings(f Flow) []setting {
	b.pair = f.Flow
	connector, worker := connectorSettings(b.entries, f.Flow), workerSettings(b.entries, f.Flow)
	var own, theirs []setting
	for _, row := range table {
		in, part, list := connector, "", &own
		if row.scopes&flow == 0 {
			in, part, list = worker, partWorker, &theirs
		}
		if row.effect != used || row.scopes&(flow|cluster) == 0 || !f.reads(row.name, part) {
			continue
		}
		value, from := b.resolve(in, row)
		if row.name == "archive.enabled" && b.boolean(in, row.name) != f.Archive.Enabled {
			value, from = "false", from+", which does not reach this flow"
		}
		*list = append(*list, newSetting(Setting{Flow: f.String(), Part: part, Key: row.name, From: from}, row, value))
	}
	sortSettings(own)
	sortSettings(theirs)
	if f.Enabled || f.Archive.Enabled {
		own = append(own, b.clientSettings(f, partSource, "consumer", client(connector, "source", "consumer"))...)
		own = append(own, b.clientSettings(f, partSourceAsks, "admin", client(connector, "source", "admin"))...)
	}
	if f.Enabled {
		own = append(own, b.clientSettings(f, partTarget, "producer", dataProducer(worker, connector))...)
	}
	if f.Enabled || f.Heartbeats {
		own = append(own, b.clientSettings(f, partTargetAsks, "admin", client(connector, "target", "admin"))...)
	}
	return append(own, theirs...)
}

// reads says whether what the flow does depends on a key.
func (f Flow) reads(name, part string) bool {
	switch {
	case name == "enabled", name == "archive.enabled", strings.HasPrefix(name, "emit.heartbeats."), strings.HasPrefix(name, "heartbeats.topic."):
		return true
	case strings.HasPrefix(name, "archive."):
		return f.Archive.Enabled
	case part == partWorker:
		return f.Enabled
	case hasAnyPrefix(name, []string{"topic", "groups", "group.filter", "replication.policy", "refresh.topics", "heartbeats.replication", "throttle"}):
		return f.Enabled || f.Archive.Enabled
	}
	return f.Enabled
}

// clientSettings are those of a client that the program reads: the ones that are set, and the ones with a default.
func (b builder) clientSettings(f Flow, part, kind string, s settings) []setting {
	var all []setting
	for name, e := range s {
		row, known := clientRow(kind, name)
		if known && row.effect == used && row.check(e.value) == nil || !known && isShared(name) {
			row.live = slices.Contains(credentials, name)
			all = append(all, newSetting(Setting{Flow: f.String(), Part: part, Key: name, From: e.place()}, row, e.value))
		}
	}
	for _, rows := range []string{kind, "any", ""} {
		for _, row := range clientRows[rows] {
			if _, set := s[row.name]; !set && row.effect == used && row.def != "" {
				all = append(all, newSetting(Setting{Flow: f.String(), Part: part, Key: row.name, From: "default"}, row, row.def))
			}
		}
	}
	sortSettings(all)
	return all
}

// credentials are the client settings that are taken over while running: who we are, and whom we trust.
var credentials = strings.Fields(`
	sasl.jaas.config sasl.oauthbearer.client.credentials.client.id sasl.oauthbearer.client.credentials.client.secret
	ssl.key.password ssl.keystore.certificate.chain ssl.keystore.key ssl.keystore.location ssl.keystore.password
	ssl.keystore.type ssl.truststore.certificates ssl.truststore.location ssl.truststore.password ssl.truststore.type
`)

func newSetting(s Setting, row key, value string) setting {
	value = row.canonical(value)
	out := setting{Setting: s, mark: maphash.String(marks, value), live: row.live}
	if _, follows := followed[row.name]; follows && strings.HasPrefix(s.From, "default") {
		out.mark = 0 // a change of the other key is told there
	}
	out.idle = strings.HasSuffix(s.Key, ".interval.seconds") && strings.HasPrefix(value, "-")
	out.Value = displayed(s.Key, value)
	return out
}

// displayed is a value on one line, without secrets.
func displayed(key, value string) string {
	if secret(key) && value != "" {
		return hidden
	}
	value = userInURL.ReplaceAllString(value, "://"+hidden+"@")
	if strings.ContainsFunc(value, unicode.IsControl) {
		return strconv.Quote(value)
	}
	return value
}

func sortSettings(all []setting) {
	slices.SortFunc(all, func(a, b setting) int { return cmp.Compare(a.Key, b.Key) })
}

// Hash tells whether two processes run a flow by the same settings. It covers what the flow does (not addresses, credentials, memory,
// instance, status address, log level, drills), and does not change with the order of lines.
func (f Flow) Hash() string { return f.hash }

// TakeHash says that the flow runs by other settings now, all of which could be applied.
func (f *Flow) TakeHash(of Flow) { f.hash = of.hash }

// differs are the client settings that change what the target gets.
var differs = []string{"auto.offset.reset", "isolation.level", "compression.type"}

func hashOf(f Flow, old bool, all []setting) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %t %t\n", f.Source, f.Target, f.TwoWay, old)
	for _, s := range all {
		switch {
		case s.Key == "archive.memory.bytes", strings.HasPrefix(s.Key, "drill."), s.Part == partSourceAsks, s.Part == partTargetAsks:
		case s.Part == partWorker && !strings.HasPrefix(s.Key, "offset.") && s.Key != "exactly.once.source.support":
		case (s.Part == partSource || s.Part == partTarget) && !slices.Contains(differs, s.Key):
		default:
			fmt.Fprintf(h, "%q %q %q\n", s.Part, s.Key, s.Value)
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}
