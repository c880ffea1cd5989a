package doctor

import (
	"cmp"
	"slices"
)

// Severity says how much a finding matters.
type Severity string

// The severities, from the worst.
const (
	Blocker Severity = "blocker"
	Warning Severity = "warning"
	Note    Severity = "note"
)

func (s Severity) rank() int {
	return slices.Index([]Severity{Blocker, Warning, Note}, s)
}

// Finding is one thing that a person should know. Empty fields do not apply.
type Finding struct {
	Severity Severity `json:"severity"`
	Check    string   `json:"check"` // what was looked at: file, reach, rights, ...
	Flow     string   `json:"flow,omitempty"`
	Cluster  string   `json:"cluster,omitempty"`
	Topic    string   `json:"topic,omitempty"`
	Key      string   `json:"key,omitempty"`
	Line     int      `json:"line,omitempty"`
	What     string   `json:"what"`
	Do       string   `json:"do,omitempty"`
	Run      []string `json:"run,omitempty"` // commands that mend it
}

// The checks, in the order in which their findings are shown within a severity.
var checks = []string{"file", "reach", "same cluster", "rights", "loops", "topics", "names", "replication factor", "message size",
	"timestamps", "retention", "transactions", "groups", "other processes", "brokers", "clock", "certificates", "archive", "status page"}

func sortFindings(all []Finding) {
	slices.SortStableFunc(all, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Severity.rank(), b.Severity.rank()),
			cmp.Compare(slices.Index(checks, a.Check), slices.Index(checks, b.Check)),
			cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Flow, b.Flow), cmp.Compare(a.Line, b.Line))
	})
}

// Count is how many findings have the severity.
func Count(all []Finding, s Severity) (n int) {
	for _, f := range all {
		if f.Severity == s {
			n++
		}
	}
	return n
}
