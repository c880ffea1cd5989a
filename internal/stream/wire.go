package stream

import (
	"errors"
	"fmt"
)

// Leader is the broker that serves a partition, as metadata last told it.
type Leader struct {
	Broker int32 // node id
	Epoch  int32 // leader epoch; -1 where the cluster does not tell
}

// Place is where the reading of a source partition goes on.
type Place struct {
	Partition Partition
	Topic     TopicID
	Offset    Upstream
	Epoch     int32 // current leader epoch, -1 when unknown; a broker that knows better refuses the fetch
	LastEpoch int32 // leader epoch of the batch before Offset, -1 when unknown; where the broker's log has another there, it says so
	MaxBytes  int32 // bytes of this partition in one answer; the first batch always comes whole
}

// FetchBounds limit one fetch.
type FetchBounds struct {
	MaxWaitMillis int32
	MinBytes      int32
	MaxBytes      int32 // of the whole answer
}

// Fetched is one partition's part of a fetch answer.
type Fetched struct {
	Partition     Partition
	Err           error     // a *BrokerError, or nil
	Diverged      *EpochEnd // where the broker's log parts from what was read before Offset; nil where it does not
	Unguarded     bool      // the broker pays no attention to LastEpoch: Kafka before 2.7
	HighWatermark Upstream
	Unstable      int64 // so many offsets below it are held back by open transactions: with read_committed only
	LogStart      Upstream
	Aborted       []AbortedTransaction // with read_committed only
	Records       []byte               // record batches as the broker stores them; the last one may be cut off
}

// AbortedTransaction names a producer whose records from First on were aborted, up to its next abort marker.
type AbortedTransaction struct {
	ProducerID int64
	First      Upstream
}

// Appending is one record batch on its way to a remote partition.
type Appending struct {
	Remote Partition
	Batch  []byte
}

// Appended is the broker's answer to one Appending.
type Appended struct {
	Remote Partition
	Base   Downstream // target offset of the batch's first record
	Err    error      // a *BrokerError, or nil
}

// Times that stand for an end of a partition where an offset is asked for by time (ListOffsets).
const (
	Latest   int64 = -1 // the end of the log as consumers see it
	Earliest int64 = -2 // the log start offset
)

// EpochEnd is where a leader epoch of a source partition ends.
type EpochEnd struct {
	Epoch int32
	End   Upstream // the first offset after it
}

// ProducerState is what a broker remembers of a producer id in one partition.
type ProducerState struct {
	Epoch        int16
	LastSequence int32
}

// BrokerError is an error code with which a broker answered.
type BrokerError struct {
	Code    Code
	Name    string // Kafka's name of the code, such as NOT_LEADER_OR_FOLLOWER
	Message string // what the broker added, if anything
}

func (e *BrokerError) Error() string {
	if e.Message != "" {
		return fmt.Sprintf("%s: %s", e.Name, e.Message)
	}
	return e.Name
}

// Code is a Kafka protocol error code.
type Code int16

// The error codes that domain packages decide by; the numbers are the protocol's.
const (
	CodeUnknownServer           Code = -1
	CodeOffsetOutOfRange        Code = 1
	CodeCorruptMessage          Code = 2
	CodeUnknownTopicOrPartition Code = 3
	CodeLeaderNotAvailable      Code = 5
	CodeNotLeaderOrFollower     Code = 6
	CodeRequestTimedOut         Code = 7
	CodeReplicaNotAvailable     Code = 9
	CodeMessageTooLarge         Code = 10
	CodeNetworkException        Code = 13
	CodeRecordListTooLarge      Code = 18
	CodeNotEnoughReplicas       Code = 19
	CodeNotEnoughAfterAppend    Code = 20
	CodeIllegalGeneration       Code = 22
	CodeUnknownMemberID         Code = 25
	CodeTopicAuthorization      Code = 29
	CodeClusterAuthorization    Code = 31
	CodeInvalidTimestamp        Code = 32
	CodePolicyViolation         Code = 44
	CodeOutOfOrderSequence      Code = 45
	CodeDuplicateSequence       Code = 46
	CodeInvalidProducerEpoch    Code = 47
	CodeKafkaStorageError       Code = 56
	CodeUnknownProducerID       Code = 59
	CodeGroupIDNotFound         Code = 69
	CodeFencedLeaderEpoch       Code = 74
	CodeUnknownLeaderEpoch      Code = 75
	CodeOffsetNotAvailable      Code = 78
	CodeGroupSubscribedToTopic  Code = 86
	CodeInvalidRecord           Code = 87
	CodeThrottlingQuota         Code = 89
	CodeUnknownTopicID          Code = 100
	CodeInconsistentTopicID     Code = 103
	CodeStaleMemberEpoch        Code = 113
)

// CodeOf is the protocol error code inside err, and whether there is one.
func CodeOf(err error) (Code, bool) {
	if b, ok := errors.AsType[*BrokerError](err); ok {
		return b.Code, true
	}
	return 0, false
}
