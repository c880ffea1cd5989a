package replicate

import "tandem/internal/stream"

// Stretch is what one fetch brought of a source partition, byte for byte: control batches, aborted transactions and what the
// opposite flow wrote, too.
type Stretch struct {
	Source      stream.Partition
	Topic       stream.TopicID
	From, Next  stream.Upstream // all that the source has at From <= offset < Next
	LeaderEpoch int32           // of the batch before From, as the broker has checked it; -1 when it has not
	Batches     []byte          // whole batches, CRC checked; the first may begin before From. They are the pipe's: copy what is kept
	Aborted     []stream.AbortedTransaction
}

// Tee gets all that is read, beside the target. Its methods are called by all fetch loops at once and must not block: nothing is
// sent to the target meanwhile.
type Tee interface {
	// Take is told of each stretch when it has been read, before it is sent. A partition may come again from an earlier place, or
	// go on behind a hole: where it starts anew.
	Take(Stretch)
	// Full says that nothing is to be read now. It is asked again soon.
	Full() bool
}

// tell hands over what a fetch brought behind a place.
func (f *fetcher) tell(at stream.Place, next stream.Upstream, batches []byte, fetched stream.Fetched) {
	if f.tee == nil || next == at.Offset {
		return
	}
	before := at.LastEpoch
	if fetched.Unguarded {
		before = -1
	}
	f.tee.Take(Stretch{
		Source: at.Partition, Topic: at.Topic, From: at.Offset, Next: next, LeaderEpoch: before, Batches: batches, Aborted: fetched.Aborted,
	})
}
