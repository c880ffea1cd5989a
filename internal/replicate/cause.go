package replicate

import (
	"errors"

	"tandem/internal/batch"
	"tandem/internal/stream"
)

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

const causes = 10 // as many as there are

// Causes are all of them.
var Causes = []Cause{Truncated, Recreated, Deleted, Expired, ForeignWriter, RefusedRecord, Outage, MissingRight, Leaderless, OtherCause}

// causeOf is why an error holds a partition.
func causeOf(err error) Cause {
	if h, ok := errors.AsType[haltedError](err); ok {
		return h.cause
	}
	if errors.As(err, new(*truncation)) {
		return Truncated
	}
	if errors.As(err, new(*foreignError)) {
		return ForeignWriter
	}
	if errors.As(err, new(*refusedRecord)) || errors.As(err, new(*batch.TooLargeError)) {
		return RefusedRecord
	}
	code, known := stream.CodeOf(err)
	switch {
	case !known:
		return OtherCause // bytes that nobody can read
	case missingRight(code):
		return MissingRight
	case holdsFor(err) == Quarantined && onProduce(err) == refused:
		return RefusedRecord
	}
	return OtherCause
}

// outageOf is why an error makes a partition wait.
func outageOf(err error) Cause {
	code, _ := stream.CodeOf(err)
	switch {
	case missingRight(code):
		return MissingRight
	case code == stream.CodeLeaderNotAvailable:
		return Leaderless
	}
	return Outage
}

func missingRight(code stream.Code) bool {
	return code == stream.CodeTopicAuthorization || code == stream.CodeClusterAuthorization
}
