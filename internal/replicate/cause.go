package replicate

// Cause is why a partition stands still, in a word that metrics and alerts know.
type Cause string

// The causes.
const (
	Truncated     Cause = "truncated"      // the source has lost records that are on the target
	Recreated     Cause = "recreated"      // the source topic was deleted and made anew
	Deleted       Cause = "deleted"        // the source topic is gone
	Expired       Cause = "expired"        // the source's retention has taken records before they were copied
	ForeignWriter Cause = "foreign_writer" // somebody else writes to the remote partition
	RefusedRecord Cause = "refused"        // the target does not take a record
	Outage        Cause = "outage"         // a broker does not answer, or cannot do what it is asked for
	MissingRight  Cause = "right"          // a user may not do what replication needs
	Leaderless    Cause = "leaderless"     // a partition has no leader
	OtherCause    Cause = "other"
)

// Causes are all of them.
var Causes = []Cause{Truncated, Recreated, Deleted, Expired, ForeignWriter, RefusedRecord, Outage, MissingRight, Leaderless, OtherCause}
