package replicate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"tandem/internal/batch"
	"tandem/internal/stream"
)

// Cluster is what the pipe needs of either cluster.
type Cluster interface {
	// Leaders tells the leader of each partition of the topics; those without one are left out.
	Leaders(ctx context.Context, topics []string) (map[stream.Partition]stream.Leader, error)
}

// Resumer finds out where partitions start: at their first assignment, and again whenever the pipe has lost track of what
// the target holds. For each partition there is a Start or an error in the answer.
type Resumer interface {
	Resume(ctx context.Context, questions []Question) (map[stream.Partition]Start, map[stream.Partition]error)
	// OutOfRange finds a new start for a partition whose offset the source refuses. What is lost by it is said in an
	// event by the implementation; an error holds the partition.
	OutOfRange(ctx context.Context, partition Assignment, at Start) (Start, error)
	// Gap tells who has written target offsets at which our records were to be; nil if it was us.
	Gap(ctx context.Context, partition Assignment, from, to stream.Downstream) error
	// Passed notes durably that a partition goes on at a place, although the record before it was not sent.
	Passed(ctx context.Context, partition Assignment, at Start) error
}

// Question asks where a partition goes on.
type Question struct {
	Assignment
	Ran  bool  // it has run in this process
	Last Start // and was there when it lost track: the place after its last acknowledged record

	Holes bool // counting does not do: offsets are missing in the source among the records to pass over
}

// Config is what a pipe is made of. Every field is needed unless it says otherwise.
type Config struct {
	Flow     stream.Flow
	Producer batch.Producer // id and epoch of the flow; its sequence is not used
	Source   Cluster
	Target   Cluster
	Session  func(broker int32) Session                     // opens a fetch session with a source broker
	Sender   func(ctx context.Context, broker int32) Sender // opens a sender to a target broker; it ends with ctx
	Resume   Resumer
	Budget   *Budget
	Sizes    FetchSizes
	Origins  *Origins    // of the flow that writes into the source topics; nil where none does
	Tee      Tee         // gets all that is read; nil: nobody
	Throttle *Throttle   // bounds what is read in a second; nil: nothing does
	Codec    batch.Codec // of batches that have to be rebuilt; batch.KeepCodec leaves them as they were
	Acked    func(stream.Ack)
	Report   stream.Report
	// SetAside keeps a record that the target refuses (on.refused=skip). Without it, the partition of such a record is
	// held (on.refused=quarantine).
	SetAside func(context.Context, Refused) error
	// SharedRemote says that others write to the remote partitions as well, so that our records do not stand at offsets that
	// can be foretold.
	SharedRemote bool
	// Transactions, if not nil, has all that is sent go in transactions of Producer, which has to be a transactional one with an epoch
	// of its own for each pipe. Senders make batches part of the transaction; Acked is then told of places only.
	Transactions Transactions
	// Observe, if not nil, is told how long batches take.
	Observe Observer
	// Heartbeats is the source topic whose records are heartbeats of the source ("heartbeats"); empty: none is.
	Heartbeats string
	// Ends, if not nil, is asked where source partitions end that are not read for a while.
	Ends Ends
	// TopicGone, if not nil, is called whenever the source does not know a topic of an assignment any more: it may have been
	// made anew. It must not block.
	TopicGone func()
}

// Pipe replicates the assigned partitions of one flow. One goroutine, in Run, owns all of its state; loops around it do
// the input and output.
type Pipe struct {
	flow      stream.Flow
	producer  batch.Producer
	budget    *Budget
	sizes     FetchSizes
	origins   *Origins
	tee       Tee
	throttle  *Throttle
	shared    bool
	codec     batch.Codec
	resume    Resumer
	acked     func(stream.Ack)
	report    stream.Report
	setAside  func(context.Context, Refused) error // nil: quarantine
	topicGone func()
	observe   Observer // nil: nobody
	ends      Ends     // nil: nobody is asked
	heartbeat string   // the topic of heartbeats

	openSession func(int32) Session
	openSender  func(context.Context, int32) Sender
	source      *leaderWatch
	target      *leaderWatch

	parts    map[stream.Partition]*partition // by source partition
	waiting  map[stream.Partition]*partition // to be tried again at their retryAt
	leaving  map[stream.Partition]*partition // by remote partition: no longer assigned, with batches in flight
	fetchers map[int32]*fetcher
	failing  map[int32]bool // source brokers whose last fetch failed
	senders  map[int32]*sender
	shaper   *batch.Shaper
	buffers  buffers

	sourceLeaders map[stream.Partition]stream.Leader
	targetLeaders map[stream.Partition]stream.Leader

	fetches     chan fetchAnswer
	answers     chan produceAnswer
	assignments chan []Assignment
	started     chan resumed
	questions   chan func()
	starved     chan struct{} // some fetch finds no memory
	stopped     chan struct{} // closed when nothing is taken in any more

	reading context.Context //nolint:containedctx // Run's own: of the fetch loops and everything that asks
	sending context.Context //nolint:containedctx // Run's own: of the senders; it outlives reading, so that answers still come in

	txn *transaction // nil without transactions

	background func(func()) // starts a goroutine that ends with reading, and that Run waits for

	drains    []drain
	unsure    map[*partition]unsure
	settling  []*partition // their places are to be told
	settledAt time.Time    // and when

	nextDue time.Time // of those waiting; none if zero
	armed   bool      // the timer is set to it
	outages outages

	asking map[int32]*question // what source brokers were asked
	ended  chan ended
	base   time.Time // of clock

	generation uint64
	counters   counters
}

// New makes a pipe; it does nothing before Run.
func New(c Config) *Pipe {
	p := &Pipe{
		flow: c.Flow, producer: c.Producer, budget: c.Budget, sizes: c.Sizes, codec: c.Codec, origins: c.Origins, tee: c.Tee, throttle: c.Throttle, shared: c.SharedRemote,
		resume: c.Resume, acked: c.Acked, report: c.Report, setAside: c.SetAside, topicGone: c.TopicGone,
		openSession: c.Session, openSender: c.Sender,
		source: newLeaderWatch(c.Source), target: newLeaderWatch(c.Target),
		parts: make(map[stream.Partition]*partition), waiting: make(map[stream.Partition]*partition), leaving: make(map[stream.Partition]*partition),
		fetchers: make(map[int32]*fetcher), failing: make(map[int32]bool), senders: make(map[int32]*sender),
		shaper:      batch.NewShaper(),
		fetches:     make(chan fetchAnswer, 1),
		answers:     make(chan produceAnswer, 64),
		assignments: make(chan []Assignment),
		started:     make(chan resumed),
		questions:   make(chan func()),
		starved:     make(chan struct{}, 1),
		stopped:     make(chan struct{}),
		outages:     make(outages),
		unsure:      make(map[*partition]unsure),
		txn:         newTransaction(c.Transactions),
		observe:     c.Observe, ends: c.Ends, heartbeat: c.Heartbeats,
		asking: make(map[int32]*question), ended: make(chan ended), base: time.Now(),
	}
	if r, ours := c.Resume.(*Resumption); ours {
		r.trouble = p.counters.trouble
	}
	return p
}

var errStopped = errors.New("the pipe has stopped")

// stopWait is how long a stopping pipe waits for the answers to what it has sent.
const stopWait = 3 * time.Second

// Run replicates until ctx ends; then it stops reading, waits for the answers to what is in flight, and returns.
func (p *Pipe) Run(ctx context.Context) error {
	sending, stopSending := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSending()
	reading, stopReading := context.WithCancel(ctx)
	p.reading, p.sending = reading, sending
	var loops sync.WaitGroup
	defer loops.Wait()
	defer stopReading()
	p.background = loops.Go
	loops.Go(func() { p.source.run(reading) })
	loops.Go(func() { p.target.run(reading) })

	p.loop(ctx)
	stopReading()
	p.finish()
	loops.Wait()
	p.letGo()
	return p.txn.ended()
}

// letGo gives back the memory of what was fetched and will not be sent.
func (p *Pipe) letGo() {
	select {
	case a := <-p.fetches:
		a.letGo()
	default:
	}
	for _, part := range p.parts {
		part.letQueueGo()
		p.dropInFlight(part)
	}
	for _, part := range p.leaving {
		p.dropInFlight(part)
	}
}

// loop is the pipe's life: every event changes the state, and then what can be sent is sent.
func (p *Pipe) loop(ctx context.Context) {
	defer close(p.stopped)
	retry := time.NewTimer(time.Hour)
	defer retry.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for p.txn.ended() == nil {
		select {
		case <-ctx.Done():
			return
		case a := <-p.fetches:
			p.fetched(a)
		case a := <-p.answers:
			p.answered(a)
		case list := <-p.assignable():
			p.txn.answered()
			p.assign(list)
		case <-p.txn.knocks():
		case err := <-p.txn.outcome():
			p.wasCommitted(err)
		case leaders := <-p.source.out:
			p.sourceMoved(leaders)
		case leaders := <-p.target.out:
			p.targetMoved(leaders)
		case r := <-p.started:
			p.start(r)
		case <-retry.C:
			p.due(time.Now())
		case now := <-look.C:
			p.look(now)
		case a := <-p.ended:
			p.endsTold(a)
		case <-p.starved:
			p.relieve(time.Now())
		case question := <-p.questions:
			question()
		}
		p.takeAnswers()
		p.transact(time.Now())
		p.pump()
		p.arm(retry)
	}
}

// takeAnswers works off the answers that are there already, so that the next requests carry as much as possible.
func (p *Pipe) takeAnswers() {
	for {
		select {
		case a := <-p.answers:
			p.answered(a)
		default:
			return
		}
	}
}

// finish waits for what is in flight.
func (p *Pipe) finish() {
	if p.txn.ended() != nil {
		return
	}
	defer p.lastCommit()
	deadline := time.NewTimer(stopWait)
	defer deadline.Stop()
	for p.openRequests() > 0 {
		select {
		case a := <-p.answers:
			p.answered(a)
		case <-deadline.C:
			p.report(stream.Event{Flow: p.flow, Severity: stream.Warn, Message: fmt.Sprintf(
				"stopped without the answers to %d requests to %s; the next start finds out what arrived", p.openRequests(), p.flow.Target)})
			return
		}
	}
}

func (p *Pipe) openRequests() int {
	n := 0
	for _, s := range p.senders {
		n += s.open
	}
	return n
}

// tellOnce tells of a trouble of a partition unless it was the last that was told; an acknowledgement ends it.
func (p *Pipe) tellOnce(part *partition, severity stream.Severity, message string, err error) {
	if part.failed == message {
		return
	}
	part.failed = message
	p.tell(part, severity, message, err)
}

func (p *Pipe) tell(part *partition, severity stream.Severity, message string, err error) {
	p.report(stream.Event{Flow: p.flow, Severity: severity, Message: message, Fields: []stream.Field{
		stream.F("partition", part.Source.String()), stream.F("remote", part.Remote.String()),
		stream.F("offset", int64(part.acked)), stream.F("error", fmt.Sprint(err)),
	}})
}
