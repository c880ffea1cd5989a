package config

import (
	"cmp"
	"slices"
	"strings"
)

// Change is one setting that differs between two readings of a file.
type Change struct {
	Flow string `json:"flow"` // empty for the process
	Key  string `json:"key"`
	From string `json:"from"` // secrets are [hidden]; empty: not set
	To   string `json:"to"`
	Live bool   `json:"live"` // can be applied without a restart
}

// Diff lists what has changed, in the order of Effective of the one after. The key of a client's setting has the client in front, as in
// source.consumer.isolation.level; of those that all clients of a cluster share, only the side. A flow that has come or gone is
// one change, of the key "flow".
func Diff(before, after *Config) []Change {
	var all []Change
	add := func(c Change) {
		if !slices.Contains(all, c) {
			all = append(all, c)
		}
	}
	had, has := byPlace(before), byPlace(after)
	hadParts, hasParts := clientsOf(before), clientsOf(after)
	was, is := flowNames(before), flowNames(after)
	for _, s := range after.settings {
		b, both := had[s.place()]
		switch {
		case s.Flow != "" && !slices.Contains(was, s.Flow):
			add(Change{Flow: s.Flow, Key: "flow", From: "none", To: "new"})
		case both && b.mark != s.mark:
			// A job that did not run cannot be given another interval, and one that runs is not ended by it.
			add(Change{Flow: s.Flow, Key: s.name(), From: b.Value, To: s.Value, Live: s.live && b.idle == s.idle})
		case !both && hadParts[s.part()]:
			add(Change{Flow: s.Flow, Key: s.name(), To: s.Value, Live: s.live})
		}
	}
	for _, b := range before.settings {
		switch _, both := has[b.place()]; {
		case b.Flow != "" && !slices.Contains(is, b.Flow):
			add(Change{Flow: b.Flow, Key: "flow", From: "there", To: "gone"})
		case !both && hasParts[b.part()]:
			add(Change{Flow: b.Flow, Key: b.name(), From: b.Value, Live: b.live})
		}
	}
	return all
}

// InEffect lists the settings of a process that was started with one reading of a file and has applied another one since: what needs a
// restart is what it was, and says what the file has now.
func InEffect(started, applied *Config) []Setting {
	next := byPlace(applied)
	all := make([]Setting, 0, len(started.settings))
	for _, s := range started.settings {
		now, both := next[s.place()]
		switch {
		case both && s.mark == now.mark, both && now.live && s.idle == now.idle:
			s = now
		case both:
			s.From += "; the file says " + orNothing(now.Value) + " by now, which needs a restart"
		case s.live && slices.Contains(flowNames(applied), s.Flow): // a credential that is not set any more
			continue
		default:
			s.From += "; it is gone from the file, which needs a restart"
		}
		all = append(all, s.Setting)
	}
	was := byPlace(started)
	for _, s := range applied.settings {
		if _, both := was[s.place()]; !both && s.live && slices.Contains(flowNames(started), s.Flow) {
			all = append(all, s.Setting)
		}
	}
	slices.SortStableFunc(all, func(a, b Setting) int { return cmp.Compare(flowAt(started, a.Flow), flowAt(started, b.Flow)) })
	return all
}

// flowAt is the place of a flow in the file; the process comes first.
func flowAt(c *Config, flow string) int { return slices.Index(flowNames(c), flow) }

func orNothing(value string) string {
	if value == "" {
		return "nothing"
	}
	return value
}

func flowNames(c *Config) []string {
	var names []string
	for _, f := range c.Flows {
		names = append(names, f.String())
	}
	return names
}

type settingPlace struct{ flow, part, key string }

func (s setting) place() settingPlace { return settingPlace{s.Flow, s.Part, s.Key} }

func byPlace(c *Config) map[settingPlace]setting {
	all := make(map[settingPlace]setting, len(c.settings))
	for _, s := range c.settings {
		all[s.place()] = s
	}
	return all
}

func (s setting) part() settingPlace { return settingPlace{flow: s.Flow, part: s.Part} }

// clientsOf are the clients that a reading has. A setting that only one reading has was set there, if both have its client. All others
// come and go with a switch, which is told in their place.
func clientsOf(c *Config) map[settingPlace]bool {
	all := make(map[settingPlace]bool)
	for _, s := range c.settings {
		if s.Part != "" && s.Part != partWorker {
			all[s.part()] = true
		}
	}
	return all
}

func (s setting) name() string {
	side, kind, isClient := strings.Cut(s.Part, " ")
	switch {
	case !isClient:
		return s.Key
	case isShared(s.Key):
		return side + "." + s.Key
	}
	return side + "." + kind + "." + s.Key
}
