package replicate

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tandem/internal/stream"
)

const (
	leadersFresh   = 30 * time.Second       // metadata is asked for again after this time, whatever happens
	leadersBetween = 200 * time.Millisecond // and not more often than this
	leadersSoon    = time.Second            // while some partition has no leader
)

// leaderWatch keeps the leaders of the watched topics of one cluster current: now and then, and when it is kicked
// because a broker said that it is not the leader.
type leaderWatch struct {
	cluster Cluster
	out     chan map[stream.Partition]stream.Leader
	kicked  chan struct{}

	incomplete atomic.Bool // some watched partition had no leader

	mu     sync.Mutex
	topics []string
}

func newLeaderWatch(cluster Cluster) *leaderWatch {
	return &leaderWatch{
		cluster: cluster,
		out:     make(chan map[stream.Partition]stream.Leader),
		kicked:  make(chan struct{}, 1),
	}
}

func (w *leaderWatch) watch(topics []string) {
	w.mu.Lock()
	w.topics = topics
	w.mu.Unlock()
	w.kick()
}

func (w *leaderWatch) kick() {
	select {
	case w.kicked <- struct{}{}:
	default:
	}
}

// run asks until ctx ends. A failure is tried again; what it means for the partitions is told by those who read and
// write them.
func (w *leaderWatch) run(ctx context.Context) {
	for {
		patience := leadersFresh
		if w.incomplete.Load() {
			patience = leadersSoon
		}
		select {
		case <-ctx.Done():
			return
		case <-w.kicked:
		case <-time.After(patience):
		}
		w.mu.Lock()
		topics := w.topics
		w.mu.Unlock()
		if len(topics) > 0 {
			if leaders, err := w.cluster.Leaders(ctx, topics); err != nil {
				w.kick()
			} else {
				select {
				case w.out <- leaders:
				case <-ctx.Done():
					return
				}
			}
		}
		select { // a storm of kicks is one question
		case <-ctx.Done():
			return
		case <-time.After(leadersBetween):
		}
	}
}

// sourceMoved sends each partition to the fetch loop of its leader.
func (p *Pipe) sourceMoved(leaders map[stream.Partition]stream.Leader) {
	p.sourceLeaders = leaders
	missing := false
	for source, part := range p.parts {
		leader, ok := leaders[source]
		if !ok {
			missing = true
			continue
		}
		if part.reading && part.readAt != leader.Broker {
			p.stopReading(part)
		}
		p.readAgain(part)
	}
	p.source.incomplete.Store(missing)
}

// readAgain reads a partition that only waited for a leader.
func (p *Pipe) readAgain(part *partition) {
	if _, waits := p.waiting[part.Source]; !waits && !part.reading && part.phase == running && part.failure == nil && part.unsent() == nil {
		p.read(part)
	}
}

// targetMoved lets partitions go on at their new leader.
func (p *Pipe) targetMoved(leaders map[stream.Partition]stream.Leader) {
	p.targetLeaders = leaders
	p.leaveOld(leaders)
	missing := false
	for _, part := range p.parts {
		if _, ok := leaders[part.Remote]; !ok { // nobody takes what is queued: the memory is for others
			missing = true
			p.stopReading(part)
			part.letQueueGo()
			continue
		}
		p.enqueue(part)
		p.readAgain(part)
	}
	p.target.incomplete.Store(missing)
}

// leaveOld takes partitions that have moved out of the ready lists: the old leader may not answer for long.
func (p *Pipe) leaveOld(leaders map[stream.Partition]stream.Leader) {
	for _, s := range p.senders {
		s.ready = slices.DeleteFunc(s.ready, func(part *partition) bool {
			leader, ok := leaders[part.Remote]
			stays := ok && leader.Broker == s.broker
			part.queued = stays
			return !stays
		})
	}
}
