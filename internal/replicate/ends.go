package replicate

import (
	"context"
	"fmt"
	"time"

	"tandem/internal/stream"
)

// A partition that is not read, because the target is away, memory is full or a throttle holds it back, hears nothing of its source any more.
// Its end is then asked for, so that lag goes on to tell the truth. While everything is read nobody asks.

// Ends tells where source partitions end.
type Ends interface {
	// Ends asks one broker of the source where partitions end that it leads: the high watermark, or for a reader with
	// read_committed the last stable offset. A partition that it does not answer for is in the second map, by reason; the error
	// says that it has not answered at all. It may take as long as a request may, and must not try again by itself.
	Ends(ctx context.Context, broker int32, partitions []stream.Partition) (map[stream.Partition]stream.Upstream, map[stream.Partition]error, error)
}

const (
	lookEvery = 2 * time.Second // at all partitions
	oldAfter  = 2 * time.Second // an end as of an earlier moment is asked for again
	// muteAfter is from when on a broker of the source counts as one that does not answer. Where fetches are slow but come, nobody asks.
	muteAfter = 5 * time.Second
	// deafAfter is the same for one of the target: a request may be large, and the line slow.
	deafAfter = 10 * time.Second
)

// question is one that a source broker was asked, or was asked last.
type question struct {
	at   time.Time
	open bool
	err  error // of the one before, if this one is open
}

// trouble is why a broker of the source cannot be asked; empty while it answers.
func (q *question) trouble(broker int32, source string, now time.Time) string {
	switch {
	case q == nil:
		return ""
	case q.open && now.Sub(q.at) >= muteAfter:
		return fmt.Sprintf("broker %d of %s does not answer", broker, source)
	case q.err != nil:
		return fmt.Sprintf("broker %d of %s is away", broker, source)
	}
	return ""
}

// ended is the answer of a source broker.
type ended struct {
	broker int32
	asked  []*partition
	at     time.Time
	ends   map[stream.Partition]stream.Upstream
	failed map[stream.Partition]error
	err    error
}

// look goes through all partitions now and then: which came to stand still, and of which the end is to be asked for.
func (p *Pipe) look(now time.Time) {
	var old map[int32][]*partition
	for _, part := range p.parts {
		p.see(part, now)
		if p.ends == nil || !part.askable() {
			continue
		}
		p.learn(part)
		if p.clock(now)-part.known.asked < oldAfter && !part.known.doubt {
			continue
		}
		leader, ok := p.sourceLeaders[part.Source]
		if !ok {
			continue
		}
		if old == nil {
			old = make(map[int32][]*partition)
		}
		old[leader.Broker] = append(old[leader.Broker], part)
	}
	for broker := range p.asking {
		if _, ok := old[broker]; !ok && !p.asking[broker].open {
			delete(p.asking, broker) // it is read, or leads nothing any more
		}
	}
	for broker, parts := range old {
		p.askEnds(broker, parts, now)
	}
}

// askable says that what the source says of the end can be held against acked: that is known, and the topic is the one that was read.
func (p *partition) askable() bool {
	another := p.cause == Truncated || p.cause == Recreated || p.cause == Deleted
	return p.placed && !(p.phase == holding && another)
}

func (p *Pipe) askEnds(broker int32, parts []*partition, now time.Time) {
	q := p.asking[broker]
	if q == nil {
		q = &question{}
		p.asking[broker] = q
	}
	if q.open {
		return
	}
	q.open, q.at = true, now
	list := make([]stream.Partition, len(parts))
	for i, part := range parts {
		list[i] = part.Source
	}
	ctx := p.reading
	p.background(func() {
		a := ended{broker: broker, asked: parts, at: now}
		a.ends, a.failed, a.err = p.ends.Ends(ctx, broker, list)
		select {
		case p.ended <- a:
		case <-ctx.Done():
		}
	})
}

// endsTold takes the answer.
func (p *Pipe) endsTold(a ended) {
	if q := p.asking[a.broker]; q != nil {
		q.open, q.err = false, a.err
	}
	if a.err != nil {
		p.source.kick()
		return
	}
	now := p.clock(time.Now())
	for _, part := range a.asked {
		end, ok := a.ends[part.Source]
		switch {
		case part.gone || !part.askable():
		case ok && end >= 0:
			part.hears(end, end, p.clock(a.at), now, true)
		default:
			if follows(a.failed[part.Source]) {
				p.source.kick()
			}
		}
	}
}

// follows says that a broker does not serve a partition any more.
func follows(err error) bool { return err != nil && onFetch(err) == follow }

// hears takes an end that the source has told, and its high watermark.
func (p *partition) hears(stable, high stream.Upstream, asked, now time.Duration, outright bool) {
	before := p.known.end
	p.known.told(stable, p.acked, asked, now, outright)
	if p.high = max(p.high, high); p.known.end < before {
		p.high = p.known.end
	}
	p.seen = true
}

// learn takes the silence of a fetch session about a partition for what it is: the end has not moved.
func (p *Pipe) learn(part *partition) {
	f := p.fetcherOf(part)
	if f == nil {
		return
	}
	if since := part.inside.Load(); since > 0 && part.toldIn >= since {
		part.known.still(p.clock(f.told), part.acked)
	}
}

func (p *Pipe) clock(t time.Time) time.Duration { return t.Sub(p.base) }
