package status

import "time"

// Severity says how much a problem asks of a person.
type Severity string

// The severities: with a Critical problem something that the file asks for is not happening; a Warning asks for a look today.
const (
	Critical Severity = "critical"
	Warning  Severity = "warning"
)

// Report is everything that /api/status tells, as of one moment.
type Report struct {
	At           time.Time     `json:"at"`
	Started      time.Time     `json:"started"`
	Version      string        `json:"version"`
	Instance     string        `json:"instance"` // group.instance.id, or what stands for it
	File         string        `json:"file,omitempty"`
	Ready        bool          `json:"ready"` // every flow has started, and no partition stands still
	Waiting      string        `json:"waiting_for,omitempty"`
	Problems     []Problem     `json:"problems"` // the worst first
	Flows        []Flow        `json:"flows"`
	Archives     []Archive     `json:"archives"`
	Drills       []Drill       `json:"drills"` // the last of each kind and flow
	Certificates []Certificate `json:"certificates"`
	Memory       Memory        `json:"memory"`
}

// Problem is what a person should know of now.
type Problem struct {
	Severity Severity  `json:"severity"`
	Alert    string    `json:"alert"` // its alert in dashboards/, whose section in docs/alerts.md says what to do
	Flow     string    `json:"flow,omitempty"`
	Where    string    `json:"where,omitempty"` // a topic and partition, a group, a certificate
	What     string    `json:"what"`            // one line
	Since    time.Time `json:"since,omitzero"`
}

// Flow is how a flow gets on.
type Flow struct {
	Name       string         `json:"name"`
	Source     string         `json:"source"`
	Target     string         `json:"target"`
	Started    bool           `json:"started"`
	Partitions map[string]int `json:"partitions"`           // by state, all states
	Standing   []Partition    `json:"standing_still"`       // those of Partitions that do not move; at most 200 are shown
	Stands     int            `json:"standing_still_total"` // how many there are; the server counts them
	LagRecords int64          `json:"lag_records"`
	LagSeconds float64        `json:"lag_seconds"`
	RPORecords int64          `json:"rpo_records"` // what would be lost now, as far as is known
	RPOSeconds float64        `json:"rpo_seconds"` // since when that is not known to be nothing
	Records    int64          `json:"records"`     // acknowledged since the start
	Bytes      int64          `json:"bytes"`
	Heartbeat  *float64       `json:"heartbeat_age_seconds,omitempty"` // of the newest heartbeat of the source that is on the target
	Groups     *Groups        `json:"groups,omitempty"`
	Members    []Member       `json:"members"` // the processes that share it
}

// Groups is how the consumer groups of a flow stand.
type Groups struct {
	Number    int            `json:"groups"`
	Positions map[string]int `json:"positions"`        // by class
	Age       *float64       `json:"age_seconds"`      // of the last look at them
	Listed    []Group        `json:"listed,omitempty"` // those whose place is not exact first; at most 200
}

// Group is one consumer group of a flow.
type Group struct {
	Name    string         `json:"name"`
	Classes map[string]int `json:"classes"`        // positions by class
	Note    string         `json:"note,omitempty"` // of the worst of them
}

// Member is a process that shares a flow.
type Member struct {
	Instance   string `json:"instance"`
	Host       string `json:"host"`
	Partitions int    `json:"partitions"`
	Duties     bool   `json:"duties"` // it looks after topics, groups and heartbeats of the flow
	Self       bool   `json:"self"`
	Same       bool   `json:"same_settings"` // as this process
}

// Drill is the last rehearsal of one kind.
type Drill struct {
	Kind    string    `json:"kind"` // failover or archive
	Flow    string    `json:"flow"`
	At      time.Time `json:"at,omitzero"` // its end; zero: it was never run, and what follows means nothing
	Seconds float64   `json:"seconds"`
	Passed  bool      `json:"passed"`
	Summary string    `json:"summary"` // one line
	Due     time.Time `json:"due,omitzero"`
}

// Certificate is one that a client uses.
type Certificate struct {
	Cluster string    `json:"cluster"`
	Subject string    `json:"subject"`
	File    string    `json:"file,omitempty"`
	Trusted bool      `json:"trusted"` // an authority, not our own
	Ends    time.Time `json:"ends"`
}

// Memory is that of memory.bytes.
type Memory struct {
	Used  int64 `json:"used_bytes"`
	Limit int64 `json:"limit_bytes"`
}

// Restorable is what the archive of a flow holds, as it was last listed.
type Restorable struct {
	AsOf     time.Time `json:"as_of"`
	Objects  int64     `json:"objects"`
	Bytes    int64     `json:"bytes"`
	Oldest   time.Time `json:"oldest,omitzero"` // the earliest moment as of which every listed topic can be restored
	Newest   time.Time `json:"newest,omitzero"`
	Holes    int       `json:"holes"` // places that no bundle has and that the source once had
	Topics   []Span    `json:"topics"`
	Points   []Point   `json:"points"`
	Verified *Verified `json:"verified,omitempty"` // nil: never, as far as the archive knows
	Error    string    `json:"error,omitempty"`    // why it could not be listed since
}

// Span is the time for which a topic can be restored.
type Span struct {
	Topic   string    `json:"topic"`
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	Deleted bool      `json:"deleted,omitempty"` // on the source, at To
	Holes   int       `json:"holes,omitempty"`
}

// Point is a moment with a name.
type Point struct {
	Name string    `json:"name"`
	At   time.Time `json:"at"`
}

// Verified is the last time that archive verify went through.
type Verified struct {
	At     time.Time `json:"at"`
	Level  string    `json:"level"`
	Passed bool      `json:"passed"`
}

// Setting is one that is in effect. Secrets are hidden by whoever makes it.
type Setting struct {
	Flow  string `json:"flow,omitempty"` // empty: of the process
	Key   string `json:"key"`
	Value string `json:"value"`
	From  string `json:"from"` // a line of the file, or why it is so by default
}

// Partition is where one partition stands.
type Partition struct {
	Flow       string    `json:"flow"`
	Source     string    `json:"source"`
	Remote     string    `json:"remote"`
	State      string    `json:"state"`
	Cause      string    `json:"cause,omitempty"` // of tandem_partitions_troubled
	Reason     string    `json:"reason,omitempty"`
	Since      time.Time `json:"since"` // of the state
	Lag        int64     `json:"lag_records"`
	LagSeconds float64   `json:"lag_seconds"`
	Ready      bool      `json:"moves"`
}

// Archive is how the archive of a flow gets on. Readiness does not rest on it: see tandem_archive_up and tandem_archive_age_seconds.
type Archive struct {
	Flow       string      `json:"flow"`
	State      string      `json:"state"`                // waiting, archiving, store does not answer, or failed
	Reason     string      `json:"reason,omitempty"`     // of the last two
	Since      time.Time   `json:"since,omitzero"`       // of a state that is none to be in
	Age        float64     `json:"age_seconds"`          // since when what is not durable has waited
	Behind     int         `json:"behind_partitions"`    // of which the source has more than the archive has taken
	Durable    time.Time   `json:"durable,omitzero"`     // all that the source had before it is durable
	Restorable *Restorable `json:"restorable,omitempty"` // nil: not listed yet
}

// Sample is what is drawn over time.
type Sample struct {
	Flow       string
	LagRecords int64
	LagSeconds float64
	RPORecords int64
	RPOSeconds float64
	Records    int64 // acknowledged since the start
	Bytes      int64
}
