package replicate

import (
	"sync/atomic"
	"time"

	"tandem/internal/batch"
	"tandem/internal/stream"
)

// Assignment is a partition to replicate.
type Assignment struct {
	Source   stream.Partition
	Remote   stream.Partition
	Topic    stream.TopicID // of the source topic
	MaxBatch int32          // max.message.bytes of the remote topic

	// Watch, if not empty, says why nothing is read or written: the partition is only watched, so that it is known how far behind it is
	// while nobody can copy it. It counts as stalled for that reason.
	Watch string
}

// Start is where the replication of a partition goes on.
type Start struct {
	Next     stream.Upstream // the first source offset that was not copied, if Skip is 0
	Skip     int64           // so many records from Next on are on the target already
	Sequence int32           // the producer sequence of the next record to send
	Floor    stream.Upstream // records below it are on the target whatever Skip says
	Down     Base            // of the record at Next; where others write as well, the least that it can have
	Behind   Base            // of the record behind Skip, where others write as well and Skip is not 0
	Epoch    Epoch           // of the batch before Next, by which the source is known to be what it was
}

// phase is what a partition is doing.
type phase int8

const (
	starting phase = iota // its Start is being found out
	running               // records flow
	retrying              // in-flight batches wait to be sent again
	holding               // cannot go on as things are: nothing is held in memory; holds says what kind
)

// partition is the pipe's state of one source partition and its remote partition. The pipe's goroutine owns it.
//
//	       acked          next to shape            tail
//	source  |---in flight---|------queue------------|....not fetched yet
type partition struct {
	Assignment
	phase      phase
	generation uint64 // of the current reading: what older readings still bring is thrown away
	gate       gate

	began    Start           // where it started
	unsure   bool            // began with records to pass over, and nothing was acknowledged since
	skip     int64           // records still to pass over, see Start
	floor    stream.Upstream // see Start
	from     stream.Upstream // records below are not sent: already there
	tail     stream.Upstream // the first offset that was not fetched
	acked    stream.Upstream // everything below is on the target, or not to be copied
	told     stream.Upstream // up to here acks have told, -1 before the first
	settling bool            // acked is to be told, see Pipe.settles
	high     stream.Upstream // high watermark of the source, as last fetched
	sequence int32           // of the next record to send
	flushed  int32           // sequence of the first record that is not acknowledged
	down     Base            // of that record, if nobody else writes

	fromEpoch, tailEpoch, ackedEpoch Epoch // of the batches before from, tail and acked

	views  []batch.View // the queue, in order
	leases []*lease     // of views, one each

	inFlight []*sent
	open     int   // in-flight batches without an answer
	broker   int32 // the target broker that they went to
	failure  error // the first one since everything was well; recovery begins when open is 0

	reading bool  // a fetch loop has it
	readAt  int32 // the source broker of that loop
	queued  bool  // stands in a sender's ready list
	gone    bool  // no longer assigned; only answers under way still know it

	successor *partition // of a gone one: the assignment that waits for those answers

	holds  State           // in phase holding: stalled, quarantined or halted
	single stream.Upstream // records below it are sent one by one, to find the one that is refused
	asides int             // records set aside since it was told
	known  known           // of the source's end
	toldIn uint64          // the last answer of the fetch loop that spoke of it
	inside *atomic.Uint64  // see reading
	seen   bool            // the source has told its end since this partition was assigned
	shown  State           // the state that was last shown
	stands Cause           // and why
	since  time.Time       // and since when
	born   time.Time       // when it was assigned
	placed bool            // acked is known
	atEnd  time.Time       // when nothing of the source was missing, last
	newest time.Time       // of the timestamps of the batch that was acknowledged last

	assigned   time.Time // as born, or earlier if it is only something else that is done with it since
	asideTold  time.Time
	heartbeats bool      // what it carries are heartbeats of the source
	measures   *measures // nil before the first batch

	lastAck time.Time
	moved   time.Time // when the queue got its first batch, or the last one was acknowledged
	outage  string    // the trouble that it waits in, see outages
	ran     bool      // has been running in this process
	failed  string    // why it is held, as last told, until a record is acknowledged or nothing is left to copy
	cause   Cause     // of outage or of failed
	missing bool      // the source did not know the topic when it was last read
	resolve int       // how often it was asked where the target is, since the last acknowledgement
	asked   uint64    // the last question of where it starts: answers to older ones do not count
	backoff time.Duration
	retryAt time.Time // in phases retrying and holding
}

// sent is one batch from its sending to its answer.
type sent struct {
	raw      []byte
	lease    *lease // of a stamped batch, which is a slice of a fetch answer
	bytes    int    // of raw
	owned    int64  // bytes charged to the budget for a batch that was built or copied
	kept     int64  // the same of one that waits to be sent again
	view     int64  // bytes that the gate still counts for it
	records  int32
	runs     []batch.Run
	form     batch.Form
	fetched  time.Time // when its first record came
	newest   time.Time // of its timestamps
	next     stream.Upstream
	epoch    Epoch // of the batch before next
	base     stream.Downstream
	answered bool // since it was last sent
	done     bool // appended
}

// take adds a chunk, which came at a time, to the queue; what was already there when the partition started is passed over.
func (p *partition) take(c chunk, shaper *batch.Shaper, came time.Time, clock time.Duration) error {
	if len(p.views) == 0 {
		p.moved = came
	}
	var ages timestamps
	for i, v := range c.views {
		if p.skip > 0 {
			passed, err := p.passOver(v, shaper)
			if err != nil {
				for _, v := range c.views[i:] {
					p.gate.buffered.Add(-int64(len(v.Bytes())))
					c.lease.release()
				}
				return err
			}
			if passed {
				p.gate.buffered.Add(-int64(len(v.Bytes())))
				c.lease.release()
				continue
			}
		}
		ages.see(v.MaxTimestamp())
		p.views = append(p.views, v)
		p.leases = append(p.leases, c.lease)
	}
	if ages.n > 0 {
		p.measured().age.addAll(ages.olderThan(came), clock)
	}
	p.tail, p.tailEpoch = c.next, c.epoch
	return nil
}

// passOver counts the records of a view against skip; it reports whether the whole view is passed over, and otherwise
// leaves from at the first record to send.
func (p *partition) passOver(v batch.View, shaper *batch.Shaper) (bool, error) {
	runs, records := []batch.Run{{First: v.BaseOffset(), Count: v.Records()}}, int64(v.Records())
	if v.Magic() < 2 || v.LastOffset()-v.BaseOffset()+1 != int64(v.Records()) || v.BaseOffset() < int64(p.from) { // holes, or records before our place: only decoding tells which offsets there are
		out, _, err := shaper.Shape(nil, []batch.View{v}, int64(p.from), batch.Limits{Max: 1<<31 - 1}, batch.KeepCodec)
		if err != nil {
			return false, err
		}
		runs, records = out.Runs, int64(out.Records)
	}
	at := int64(p.from)
	for _, r := range runs {
		if r.First != at {
			return false, errHoles
		}
		at += int64(r.Count)
	}
	if records <= p.skip {
		p.skip -= records
		p.from, p.fromEpoch = stream.Upstream(v.LastOffset())+1, EpochOf(v.LeaderEpoch())
		if p.skip == 0 {
			p.fromFloor()
		}
		return true, nil
	}
	for _, r := range runs {
		if p.skip < int64(r.Count) {
			p.from, p.fromEpoch = stream.Upstream(r.First+p.skip), EpochOf(v.LeaderEpoch())
			p.skip = 0
			p.fromFloor()
			break
		}
		p.skip -= int64(r.Count)
	}
	return false, nil
}

// fromFloor applies the floor. What stands before it was not read, so its epoch is not known.
func (p *partition) fromFloor() {
	if p.floor > p.from {
		p.from, p.fromEpoch = p.floor, Epoch{}
	}
}

// settle moves acked over what needs no copy, when nothing is under way.
func (p *partition) settle() {
	if len(p.inFlight) > 0 {
		return
	}
	if len(p.views) == 0 && p.phase == running && p.skip == 0 {
		p.ackedTo(p.tail, p.tailEpoch)
		return
	}
	p.ackedTo(p.from, p.fromEpoch)
}

func (p *partition) ackedTo(next stream.Upstream, epoch Epoch) {
	if next > p.acked {
		p.acked, p.ackedEpoch = next, epoch
	}
}

// where is the place after the last record that is known to be on the target. What was passed over is there by the word of
// a leader, which may die before its followers have it: until an acknowledgement shows that they do, it counts as passed
// over from where that began.
func (p *partition) where() Start {
	if p.unsure {
		return p.began
	}
	return Start{Next: p.acked, Sequence: p.flushed, Epoch: p.ackedEpoch, Down: p.down}
}

// letQueueGo frees the queue. What was in it counts as not fetched.
func (p *partition) letQueueGo() {
	for i, l := range p.leases {
		p.gate.buffered.Add(-int64(len(p.views[i].Bytes())))
		l.release()
	}
	clear(p.leases)
	clear(p.views)
	p.views, p.leases = p.views[:0], p.leases[:0]
	p.tail, p.tailEpoch = p.from, p.fromEpoch
}

// letViewsGo frees the first n views of the queue; with keep, the lease of the first passes to the caller.
func (p *partition) letViewsGo(n int, keep bool) {
	for i := range n {
		if i == 0 && keep {
			continue
		}
		p.gate.buffered.Add(-int64(len(p.views[i].Bytes())))
		p.leases[i].release()
	}
	clear(p.views[:n]) // or the slice would keep whole fetch answers in memory
	clear(p.leases[:n])
	p.views, p.leases = p.views[n:], p.leases[n:]
}

// letGo frees what a sent batch holds; it returns the buffer that was the batch's own, if any.
func (s *sent) letGo(p *partition, budget *Budget) []byte {
	var free []byte
	if s.lease == nil {
		free = s.raw
	}
	p.gate.buffered.Add(-s.view)
	s.view = 0
	if s.lease != nil {
		s.lease.release()
		s.lease = nil
	}
	if s.owned > 0 {
		budget.add(-s.owned)
		s.owned = 0
	}
	if s.kept > 0 {
		budget.unkeep(s.kept)
		s.kept = 0
	}
	s.raw = nil
	return free
}

// ready says whether the partition has something to send to a broker now.
func (p *partition) ready(broker int32) bool {
	switch {
	case p.failure != nil, p.open > 0 && p.broker != broker: // order: first the answers of the old leader
		return false
	case p.phase != running:
		return false
	}
	if p.unsent() != nil {
		return p.open < p.window()
	}
	return len(p.views) > 0 && len(p.inFlight) < p.window()
}

// trusted is how long after an acknowledgement the target certainly still knows our producer id in the partition
// (producer.id.expiration.ms is a day by default).
const trusted = 30 * time.Second

// window is how many batches may be in flight. A broker that does not know our producer id in a partition takes any
// sequence as its first, so a second batch could be appended where the one before it got lost: until an answer shows
// that it knows us, there is one.
func (p *partition) window() int {
	if p.from < p.single {
		return 1
	}
	if time.Since(p.lastAck) > trusted {
		return 1
	}
	return maxInFlight
}

// unsent is the first in-flight batch that has to be sent again.
func (p *partition) unsent() *sent {
	for _, s := range p.inFlight {
		if s.answered && !s.done {
			return s
		}
	}
	return nil
}
