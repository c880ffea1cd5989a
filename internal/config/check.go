package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"tandem/internal/stream"
)

// checker looks at every line of the file on its own: is the key known in this form, does MM2 carry it anywhere, is the
// value allowed.
type checker struct {
	*problems
	aliases []string // longest first, so that "a.b" is found before "a"
	order   []string // as in the file
	old     bool     // mm2.compatibility = 3.9
}

var pairKey = regexp.MustCompile(`^([^=\s]*?)->([^=\s]*?)\.(.*)$`)

func checkAll(entries []entry, aliases []string, old bool, p *problems) {
	c := checker{problems: p, old: old, order: aliases, aliases: slices.Clone(aliases)}
	slices.SortFunc(c.aliases, func(a, b string) int { return len(b) - len(a) })
	for _, e := range entries {
		switch {
		case e.key == "":
			p.warn(Warning{Line: e.line, Message: "the line has a value but no key"})
		case strings.Contains(e.key, "->"):
			c.pair(e)
		default:
			c.single(e)
		}
	}
}

// pair checks A->B.KEY.
func (c checker) pair(e entry) {
	for _, a := range c.aliases {
		for _, b := range c.aliases {
			f := stream.Flow{Source: a, Target: b}
			rest, ok := strings.CutPrefix(e.key, f.String()+".")
			switch {
			case !ok:
			case a == b:
				c.warn(Warning{Line: e.line, Key: e.key, Message: "a cluster is not replicated into itself; the line has no effect"})
				return
			default:
				c.flowKey(e, f, rest)
				return
			}
		}
	}
	m := pairKey.FindStringSubmatch(e.key)
	if m == nil {
		c.warn(Warning{Line: e.line, Key: shown(e.key), Message: "is not of the form A->B.KEY"})
		return
	}
	for _, alias := range m[1:3] {
		if !slices.Contains(c.order, alias) {
			c.fail(e.line, shown(e.key), "there is no cluster %q; clusters lists %s", alias, strings.Join(c.order, ", "))
		}
	}
}

func (c checker) flowKey(e entry, f stream.Flow, rest string) {
	if row, ok := find(rest, flow); ok {
		c.row(e, row)
		return
	}
	if now, ok := renamed[rest]; ok {
		c.renamed(e, now)
		return
	}
	side, kind, name := clientPart(rest)
	switch {
	case strings.HasPrefix(rest, "producer.override."):
		c.clientKey(e, "producer", strings.TrimPrefix(rest, "producer.override."))
	case kind == "producer" && side != "source":
		c.warn(Warning{Line: e.line, Key: e.key, Message: fmt.Sprintf("does not reach the producer of the records; write %s->%s.producer.override.%s, or %s.producer.%s for all flows into %s", f.Source, f.Target, name, f.Target, name, f.Target)})
	case kind != "":
		c.clientKey(e, kind, name)
	case isShared(rest):
		c.drop(e, "is not read for one flow", f.Source+"."+rest, f.Target+"."+rest)
	case isWorker(rest):
		c.drop(e, "is a worker key and not read for one flow", f.Target+"."+rest)
	case isProcess(rest):
		c.drop(e, "is a setting of the whole process", rest)
	case strings.HasPrefix(rest, "topic.creation."):
		row, _ := find("topic.creation.groups", flow)
		c.row(e, row)
	case hasAnyPrefix(rest, families), hasAnyPrefix(rest, []string{"source.cluster.", "target.cluster."}):
	default:
		c.unknown(e, f.String()+".", rest, flow)
	}
}

// families are beginnings of keys that only plugins and workers of Connect read.
var families = []string{"transforms.", "predicates.", "errors.", "config.providers.", "key.converter.", "value.converter.", "header.converter.", "offset.storage.", "config.storage.", "status.storage."}

// serverFamilies are the beginnings of the keys of Connect's REST server and of its session keys.
var serverFamilies = []string{"listeners", "admin.listeners", "rest.", "access.control.", "response.http.headers.", "inter.worker.", "worker.", "plugin.", "topic.tracking.", "connector.client.config.override.policy", "metrics.context."}

// clientPart takes [SIDE.]KIND.NAME apart; kind is empty where the key is none of a client.
func clientPart(key string) (side, kind, name string) {
	rest := key
	for _, s := range []string{"source", "target"} {
		if after, ok := strings.CutPrefix(key, s+"."); ok {
			side, rest = s, after
		}
	}
	for _, k := range clientKinds {
		if after, ok := strings.CutPrefix(rest, k+"."); ok {
			return side, k, after
		}
	}
	return "", "", ""
}

func isWorker(name string) bool  { _, ok := find(name, cluster); return ok }
func isProcess(name string) bool { _, ok := find(name, process); return ok }

// single checks KEY and ALIAS.KEY. An alias may be the beginning of a bare key; then the key is both, and known.
func (c checker) single(e entry) {
	if c.bareKey(e) {
		return
	}
	for _, a := range c.aliases {
		if rest, ok := strings.CutPrefix(e.key, a+"."); ok {
			c.clusterKey(e, a, rest)
			return
		}
	}
	c.trap(e)
}

// bareKey checks the keys that have an effect without a prefix.
func (c checker) bareKey(e entry) bool {
	if row, ok := find(e.key, bare|process); ok {
		if e.key == "enabled" {
			c.warn(Warning{Line: e.line, Key: e.key, Message: "reaches every pair that heartbeats give work to, in both directions; write " + example(c.order).String() + ".enabled"})
		}
		c.row(e, row)
		return true
	}
	if now, ok := renamed[e.key]; ok {
		c.renamed(e, now)
		return true
	}
	if isShared(e.key) {
		c.clientKey(e, "", e.key)
		return true
	}
	return hasAnyPrefix(e.key, []string{"config.providers.", "key.converter.", "value.converter.", "header.converter.", "offset.storage.", "config.storage.", "status.storage."}) ||
		hasAnyPrefix(e.key, serverFamilies)
}

func (c checker) clusterKey(e entry, alias, rest string) {
	_, kind, name := clientPart(rest)
	if side := strings.HasPrefix(rest, "source.") || strings.HasPrefix(rest, "target."); side {
		kind = ""
	}
	switch {
	case kind != "":
		c.clientKey(e, kind, name)
	case isShared(rest):
		c.clientKey(e, "", rest)
	case isWorker(rest):
		row, _ := find(rest, cluster)
		c.row(e, row)
	case isProcess(rest):
		c.drop(e, "is a setting of the whole process", rest)
	case hasAnyPrefix(rest, families), hasAnyPrefix(rest, serverFamilies):
	case isFlow(rest):
		c.drop(e, "is not read for one cluster", c.flowsInto(alias, rest)...)
	case len(kindsOf(rest)) > 0:
		var instead []string
		for _, k := range kindsOf(rest) {
			instead = append(instead, alias+"."+k+"."+rest)
		}
		c.drop(e, "does not reach any client", instead...)
	default:
		c.unknown(e, alias+".", rest, cluster)
	}
}

func isFlow(name string) bool { _, ok := find(name, flow); return ok }

// kindsOf lists the kinds of clients that have a setting.
func kindsOf(name string) []string {
	if slices.Contains(anyClientKeys, name) {
		return clientKinds
	}
	var kinds []string
	for _, k := range clientKinds {
		if slices.Contains(clientKeys[k], name) {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

func (c checker) flowsInto(alias, key string) []string {
	var keys []string
	for _, a := range c.order {
		if a != alias {
			keys = append(keys, a+"->"+alias+"."+key)
		}
	}
	return keys
}

func (c checker) everyCluster(key string) []string {
	var keys []string
	for _, a := range c.order {
		keys = append(keys, a+"."+key)
	}
	return keys
}

// trap names the bare keys that MM2 drops without a word.
func (c checker) trap(e entry) {
	_, kind, name := clientPart(e.key)
	switch {
	case isFlow(e.key), hasAnyPrefix(e.key, []string{"producer.override.", "topic.creation.", "transforms.", "predicates."}):
		c.drop(e, "is not read without a flow", example(c.order).String()+"."+e.key)
	case kind != "" && knownClientKey(kind, name):
		c.drop(e, "is not read without a cluster", c.everyCluster(kind+"."+name)...)
	case isWorker(e.key):
		c.drop(e, "is not read without a cluster", c.everyCluster(e.key)...)
	case len(kindsOf(e.key)) > 0:
		kind := kindsOf(e.key)[0]
		if slices.Contains(anyClientKeys, e.key) {
			kind = "consumer"
		}
		c.drop(e, "is not read without a cluster and a kind of client", c.everyCluster(kind+"."+e.key)...)
	default:
		c.unknownBare(e)
	}
}

func (c checker) drop(e entry, why string, instead ...string) {
	c.warn(Warning{Line: e.line, Key: e.key, Message: why + " and has no effect; write " + strings.Join(instead, " or ")})
}

// renamed checks a key of 3.x, which the builder reads. Where it stands beside the new one, the builder says so.
func (c checker) renamed(e entry, now string) {
	if !c.old {
		c.warn(Warning{Line: e.line, Key: e.key, Message: "was removed in MM2 4.0; it is read as " + now + " where that is not set; rename it"})
	}
	row, _ := find(now, flow)
	c.value(e, row)
}

// row checks the value of a key of the table, and says where the key asks for what is not there.
func (c checker) row(e entry, row key) {
	if row.internal {
		c.fail(e.line, e.key, "must not be set: MM2 sets it itself, and a value here would rename clusters")
		return
	}
	c.value(e, row)
	if row.effect == absent && !slices.ContainsFunc(row.quiet, func(q string) bool { return strings.EqualFold(q, javaTrim(e.value)) }) {
		c.warn(Warning{Line: e.line, Key: e.key, Message: "has no effect. " + row.here + " " + row.hint})
	}
}

func (c checker) clientKey(e entry, kind, name string) {
	if row, ok := clientRow(kind, name); ok {
		c.row(e, row)
		return
	}
	if kind == "" || knownClientKey(kind, name) {
		return
	}
	prefix := strings.TrimSuffix(e.key, name)
	candidates := slices.Concat(sharedKeys, anyClientKeys, clientKeys[kind])
	c.warnUnknown(e, "unknown setting of a Kafka "+kind, prefix, nearest(name, candidates))
}

func (c checker) value(e entry, row key) {
	if err := row.check(e.value); err != nil {
		if (row.kind == regexList || row.kind == throttles) && e.raw != e.value {
			err = errors.New("must be a " + string(row.kind)) // the reason would quote what a provider filled in
		}
		c.bad(e, "%v", err)
		return
	}
	if row.kind == list || row.kind == regexList || row.kind == throttles {
		if _, empty := splitList(e.value); empty && !c.old {
			warnEmptyElement(e, c.problems)
		}
	}
	if row.kind == boolean && javaTrim(e.value) != e.value && strings.HasSuffix(e.key, "enabled") {
		c.warn(Warning{Line: e.line, Key: e.key, Message: "the value has blanks around it, which MM2 takes for false in places; remove them"})
	}
}

func warnEmptyElement(e entry, p *problems) {
	p.warn(Warning{Line: e.line, Key: e.key, Message: "the list has an empty element, which is skipped; MM2 4.2 and later refuses it"})
}
