package replicate

import (
	"context"
	"time"

	"tandem/internal/stream"
)

// Sender writes to one target broker.
type Sender interface {
	// Send queues a produce request with one batch for each partition in it. Requests reach the broker in the order of
	// the calls. done is called once for each, in the same order, from another goroutine: with one answer for each item,
	// or with the error that befell the request as a whole.
	Send(ctx context.Context, items []stream.Appending, done func([]stream.Appended, error))
}

const (
	// maxInFlight is how many batches of a partition, and requests to a broker, may be open: a broker recognises the last
	// five batches of a producer when they are sent again (Kafka's max.in.flight.requests.per.connection of 5).
	maxInFlight = 5
	// requestBytes is about the size of a full produce request.
	requestBytes = 4 << 20
)

// sender is the queue of one target broker.
type sender struct {
	broker int32
	out    Sender
	open   int          // requests without an answer
	ready  []*partition // that have something to send, in turn
	delay  minimum      // of the link and the broker together
	heard  time.Time    // the last answer, or when there was something to answer again
	down   bool
}

// request is one produce request on its way.
type request struct {
	to    *sender
	items []requestItem
	at    time.Time
}

type requestItem struct {
	part *partition
	sent *sent
}

// produceAnswer is what came back.
type produceAnswer struct {
	request  *request
	appended []stream.Appended
	err      error
}

// enqueue puts a partition that has something to send into the ready list of its leader.
func (p *Pipe) enqueue(part *partition) {
	if part.queued || part.gone {
		return
	}
	leader, ok := p.targetLeaders[part.Remote]
	if !ok || !part.ready(leader.Broker) {
		return
	}
	s := p.senderOf(leader.Broker)
	part.queued = true
	s.ready = append(s.ready, part)
}

func (p *Pipe) senderOf(broker int32) *sender {
	s, ok := p.senders[broker]
	if !ok {
		s = &sender{broker: broker, out: p.openSender(p.sending, broker)}
		p.senders[broker] = s
	}
	return s
}

// pump fills free requests from the ready lists: one batch of each partition in turn.
func (p *Pipe) pump() {
	if p.txn.rests() {
		return
	}
	for _, s := range p.senders {
		for s.open < maxInFlight && len(s.ready) > 0 {
			r := p.nextRequest(s)
			if len(r.items) == 0 {
				break
			}
			p.send(r)
		}
	}
}

// nextRequest takes partitions from the front of the ready list until the request is full. Those that have more
// go to the end of the list.
func (p *Pipe) nextRequest(s *sender) *request {
	r := &request{to: s}
	full := min(requestBytes, int(p.budget.size/16)) // a broker that does not answer holds five of them
	size := 0
	var again []*partition
	for len(s.ready) > 0 && size < full {
		part := s.ready[0]
		s.ready = s.ready[1:]
		part.queued = false
		if p.txn.holdsBack(part) {
			continue
		}
		leader, ok := p.targetLeaders[part.Remote]
		if !ok || leader.Broker != s.broker || !part.ready(s.broker) {
			p.enqueue(part) // its leader has moved
			continue
		}
		batch := part.unsent()
		if batch == nil {
			var err error
			if batch, err = p.shape(part, s.delay.get()); err != nil {
				p.unshapable(part, err)
				continue
			}
			if batch == nil {
				continue
			}
			part.inFlight = append(part.inFlight, batch)
		}
		batch.answered = false
		p.begins(part, time.Now())
		part.open++
		part.broker = s.broker
		size += len(batch.raw)
		r.items = append(r.items, requestItem{part, batch})
		again = append(again, part)
	}
	for _, part := range again {
		p.enqueue(part)
	}
	return r
}

func (p *Pipe) send(r *request) {
	r.at = time.Now()
	if r.to.open++; r.to.open == 1 {
		r.to.heard = r.at
	}
	items := make([]stream.Appending, len(r.items))
	for i, item := range r.items {
		items[i] = stream.Appending{Remote: item.part.Remote, Batch: item.sent.raw}
	}
	r.to.out.Send(p.sending, items, func(appended []stream.Appended, err error) {
		select {
		case p.answers <- produceAnswer{r, appended, err}:
		case <-p.sending.Done():
		}
	})
}

// minimum is the smallest duration of the recent ones: the delay of a link without the queues in front of it.
type minimum struct {
	now, next time.Duration
	seen      int
}

func (m *minimum) add(d time.Duration) {
	if m.now == 0 || d < m.now {
		m.now = d
	}
	if m.next == 0 || d < m.next {
		m.next = d
	}
	if m.seen++; m.seen >= 256 {
		m.now, m.next, m.seen = m.next, 0, 0
	}
}

func (m *minimum) get() time.Duration { return m.now }
