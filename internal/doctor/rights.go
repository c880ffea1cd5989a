package doctor

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// implied are the operations that go without saying where one of others is allowed.
var implied = map[string][]string{
	"Describe":        {"Read", "Write", "Delete", "Alter"},
	"DescribeConfigs": {"AlterConfigs"},
}

// grant is what one principal lacks on one resource of a cluster.
type grant struct {
	cluster, principal, kind string
	resource                 Resource
}

type lacks struct {
	grant
	flows      []string
	operations []string
	why        []string
	severity   Severity
}

// rights finds what our logins may not do, one finding for each resource.
func (f *Facts) rights(needs []Need) []Finding {
	var order []grant
	all := make(map[grant]*lacks)
	for _, n := range needs {
		known, asked := f.Rights[n.Login]
		if !asked || !f.cluster(n.Login.Cluster).reached() {
			continue
		}
		missing := known.missing(n)
		if len(missing) == 0 {
			continue
		}
		g := grant{n.Login.Cluster, known.Principal, n.Kind, n.Resource}
		l := all[g]
		if l == nil {
			l = &lacks{grant: g, severity: Note}
			all[g], order = l, append(order, g)
		}
		l.operations = union(l.operations, missing...)
		l.flows = union(l.flows, n.Flow.String())
		l.why = union(l.why, n.Why)
		if n.Severity.rank() < l.severity.rank() {
			l.severity = n.Severity
		}
	}
	var found []Finding
	for _, g := range order {
		found = append(found, all[g].finding(f.cluster(g.cluster)))
	}
	return found
}

// missing are the operations of a need that are not allowed.
func (r Rights) missing(n Need) (missing []string) {
	for _, operation := range n.Operations {
		if !r.allows(n, operation) {
			missing = append(missing, operation)
		}
	}
	return missing
}

func (r Rights) allows(n Need, operation string) bool {
	if n.Kind == onCluster {
		return slices.Contains(r.Cluster, operation)
	}
	if operation == "Create" && slices.Contains(r.Cluster, "Create") {
		return true
	}
	if probe := n.Resource.Probe(); probe != "" {
		// Where no name can be seen there may be some; else those that are there count, also against a wider right (DENY).
		if allowed, known := r.may(n.Kind, probe, operation, n.absent); known && !allowed && len(n.Names) == 0 {
			return false
		}
	}
	for _, name := range n.Names {
		if allowed, known := r.may(n.Kind, name, operation, n.absent); known && !allowed {
			return false
		}
	}
	return true
}

// may says whether the login may do something with a name; known is false where it was not found out.
func (r Rights) may(kind, name, operation string, absent bool) (allowed, known bool) {
	switch kind {
	case onTopic:
		t, known := r.Topics[name]
		switch {
		case !known:
			return false, false
		case operation == "Create" && t.Exists, absent && !t.Exists && !t.Hidden:
			return true, true
		}
		return slices.Contains(t.Operations, operation), true
	case onGroup:
		list, known := r.Groups[name]
		return slices.Contains(list, operation), known
	case onTransaction:
		list, known := r.IDs[name]
		return slices.Contains(list, operation), known
	}
	return false, false
}

func (l lacks) finding(c *Cluster) Finding {
	ops := slices.DeleteFunc(slices.Clone(l.operations), func(op string) bool {
		return slices.ContainsFunc(implied[op], func(other string) bool { return slices.Contains(l.operations, other) })
	})
	slices.SortFunc(ops, func(a, b string) int { return slices.Index(operationOrder, a) - slices.Index(operationOrder, b) })
	who := l.principal
	if who == "" {
		who = "<principal>"
	}
	what := fmt.Sprintf("%s may not %s on %s of %s: %s", who, strings.Join(ops, ", "), l.named(), l.cluster, strings.Join(l.why, "; "))
	finding := Finding{Severity: l.severity, Check: "rights", Cluster: l.cluster, Flow: strings.Join(l.flows, ", "), What: what,
		Do: "have somebody who may do it run", Run: []string{l.command(c.Bootstrap, who, ops)}}
	if l.kind == onTopic && !l.resource.Prefixed && l.resource.Name != "*" {
		finding.Topic = l.resource.Name
	}
	return finding
}

var operationOrder = []string{"Create", "Describe", "Read", "Write", "Alter", "DescribeConfigs", "AlterConfigs"}

func (l lacks) named() string {
	kind := map[string]string{onTopic: "topic", onGroup: "group", onTransaction: "transactional id"}[l.kind]
	switch {
	case l.kind == onCluster:
		return "the cluster"
	case l.resource.Name == "*":
		return kind + "s"
	case l.resource.Prefixed:
		return kind + "s " + l.resource.Name + "*"
	}
	return kind + " " + l.resource.Name
}

// command is a line of Kafka's tool that grants the operations.
func (l lacks) command(bootstrap, who string, ops []string) string {
	line := "kafka-acls --bootstrap-server " + bootstrap + " --command-config admin.properties --add --allow-principal " + quoted(who)
	for _, op := range ops {
		line += " --operation " + op
	}
	if l.kind == onCluster {
		return line + " --cluster"
	}
	line += " --" + l.kind + " " + quoted(l.resource.Name)
	if l.resource.Prefixed {
		line += " --resource-pattern-type prefixed"
	}
	return line
}

var plain = regexp.MustCompile(`^[A-Za-z0-9_.,:=@%/+-]+$`)

// quoted is a word for a shell.
func quoted(word string) string {
	if plain.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

func union(list []string, more ...string) []string {
	for _, m := range more {
		if !slices.Contains(list, m) {
			list = append(list, m)
		}
	}
	return list
}
