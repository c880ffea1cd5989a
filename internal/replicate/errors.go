package replicate

import (
	"errors"
	"fmt"

	"tandem/internal/stream"
)

// errHalt is in the error of what only a person can decide: the partition is not tried again before a restart.
var errHalt = errors.New("a person has to decide")

// errHoles says that counting does not tell which records were copied: some of the source's are gone.
var errHoles = errors.New("the source has holes among the records to pass over")

// errNewEpoch is in the error of a batch whose leader epoch asks for a look at the log before it.
var errNewEpoch = errors.New("another leader epoch")

// diverged says that the source has other records at our place than when it was read up to there.
type diverged struct{ end stream.EpochEnd }

func (d *diverged) Error() string {
	return fmt.Sprintf("leader epoch %d ends at %d at the source", d.end.Epoch, d.end.End)
}

// unsendable is why no batch could be made of what was fetched.
type unsendable struct{ error }

func (u unsendable) Unwrap() error { return u.error }

// remedy is what to do about a failed produce.
type remedy int8

const (
	resend  remedy = iota // the same bytes again, to whoever leads now: the broker recognises what it already has
	resolve               // ask the target how far it is, then go on from there
	refused               // the batch will not pass as things are: hold the partition, say why, try again later
)

// onProduce decides what follows a failed produce.
func onProduce(err error) remedy {
	if errors.As(err, new(unsendable)) {
		return refused
	}
	code, ok := stream.CodeOf(err)
	if !ok {
		return resend // the connection broke or timed out: nobody knows whether the batch was appended
	}
	switch code {
	case stream.CodeOutOfOrderSequence, // an earlier batch is missing or was appended under other bounds
		stream.CodeUnknownProducerID,    // the broker forgot our producer id (before Kafka 2.4)
		stream.CodeInvalidProducerEpoch: // somebody has raised the epoch of our producer id
		return resolve
	case stream.CodeCorruptMessage, // our bytes are wrong, or the target is compacted and a key is null (old brokers)
		stream.CodeMessageTooLarge, stream.CodeRecordListTooLarge, // max.message.bytes of the remote topic
		stream.CodeInvalidTimestamp,                                    // message.timestamp.before/after.max.ms of the remote topic
		stream.CodeInvalidRecord,                                       // a null key on a compacted topic
		stream.CodePolicyViolation,                                     // the cluster's own policy
		stream.CodeTopicAuthorization, stream.CodeClusterAuthorization: // rights are missing
		return refused
	default: // leader moved, replicas missing, storage, throttled, topic not there yet: all of them pass
		return resend
	}
}

// fetchRemedy is what to do about a partition that could not be fetched.
type fetchRemedy int8

const (
	follow     fetchRemedy = iota // ask who leads now, and go on there
	outOfRange                    // the source no longer has, or does not yet have, the offset, or has another log
	missing                       // the topic is not there, or is another one of the same name
	denied                        // hold the partition, say why, try again later
)

// onFetch decides what follows a fetch error of a partition.
func onFetch(err error) fetchRemedy {
	if errors.Is(err, errNewEpoch) {
		return outOfRange
	}
	if errors.Is(err, errOrigin) {
		return follow // the answer may come any moment
	}
	code, ok := stream.CodeOf(err)
	if !ok {
		return denied // what came cannot be read: the broker's disk, or the way from it
	}
	switch code {
	case stream.CodeOffsetOutOfRange:
		return outOfRange
	case stream.CodeUnknownTopicID, stream.CodeInconsistentTopicID, stream.CodeUnknownTopicOrPartition: // deleted, or deleted and made anew
		return missing
	case stream.CodeTopicAuthorization, stream.CodeClusterAuthorization, stream.CodeCorruptMessage:
		return denied
	default: // not leader, unknown or fenced leader epoch, not available: the answer is in fresh metadata
		return follow
	}
}
