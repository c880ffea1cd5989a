package drill

import (
	"time"

	"tandem/internal/stream"
)

// The kinds of drills.
const (
	Failover = "failover"
	Archive  = "archive"
)

// ReportVersion is that of the JSON form of a Report. Fields may be added within a version.
const ReportVersion = 1

// Report is how a drill went. Its JSON form is for machines and archives, Page for people.
type Report struct {
	Version   int         `json:"version"`
	Kind      string      `json:"kind"`
	Flow      stream.Flow `json:"-"`
	FlowName  string      `json:"flow"`
	Tandem    string      `json:"tandem"` // its version
	Started   time.Time   `json:"started"`
	Ended     time.Time   `json:"ended"`
	Passed    bool        `json:"passed"`
	Summary   string      `json:"summary"` // one line, for the status page and the log
	Steps     []Step      `json:"steps"`
	Figures   []Figure    `json:"figures"` // what was measured: RPO, RTO, rates, records compared
	Findings  []Finding   `json:"findings"`
	Remaining []string    `json:"remaining"` // what the drill made and could not take away, each with the command that does; empty: nothing
}

// Step is one thing that a drill did.
type Step struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
	Passed  bool    `json:"passed"`
	Detail  string  `json:"detail,omitempty"`
}

// Figure is one thing that a drill measured.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"` // seconds, records, bytes, bytes/s, partitions, groups
	Note  string  `json:"note,omitempty"`
}

// Finding is one thing that is not as it should be.
type Finding struct {
	Fatal bool   `json:"fatal"` // the drill failed by it
	Where string `json:"where"` // topic, partition, offset, group
	What  string `json:"what"`
}
