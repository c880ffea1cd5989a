package config

import (
	"slices"
	"strings"

	"tandem/internal/stream"
)

// Flows under IdentityReplicationPolicy keep topic names, so nothing in a name says where a record came from. Between two
// clusters the producer ids of the opposite flow tell; over three or more nothing does.

// keepsNames says that the file has a flow replicate under the names of the source.
func (b builder) keepsNames(f stream.Flow) bool {
	connector := connectorSettings(b.entries, f)
	return b.boolean(connector, "enabled") && strings.HasSuffix(b.text(connector, "replication.policy.class"), "IdentityReplicationPolicy")
}

// checkCircles refuses flows that keep names and lead from a cluster over two others or more back to it.
func (b builder) checkCircles(aliases []string) {
	next := make(map[string][]string)
	for _, from := range aliases {
		for _, to := range aliases {
			if from != to && b.keepsNames(stream.Flow{Source: from, Target: to}) {
				next[from] = append(next[from], to)
			}
		}
	}
	var circle func(path []string) []string
	circle = func(path []string) []string {
		for _, to := range next[path[len(path)-1]] {
			if to == path[0] && len(path) > 2 {
				return append(path, to)
			}
			if !slices.Contains(path, to) {
				if found := circle(append(slices.Clone(path), to)); found != nil {
					return found
				}
			}
		}
		return nil
	}
	for _, alias := range aliases {
		if found := circle([]string{alias}); found != nil {
			b.problems.fail(0, "replication.policy.class", "the flows %s keep topic names and lead in a circle: records would go round for ever; disable one of them, or use DefaultReplicationPolicy", strings.Join(found, "->"))
			return
		}
	}
}
