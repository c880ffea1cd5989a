package replicate

import (
	"context"
	"slices"

	"tandem/internal/stream"
)

// drain waits for the answers to what was sent of partitions that are no longer assigned.
type drain struct {
	remotes []stream.Partition
	done    chan struct{}
}

// Drained returns when nothing that was sent to these remote partitions waits for its answer any more. They must not be assigned. A pipe
// that has stopped waits for nothing.
func (p *Pipe) Drained(ctx context.Context, remotes []stream.Partition) error {
	d := drain{remotes: slices.Clone(remotes), done: make(chan struct{})}
	select {
	case p.questions <- func() { p.drains = append(p.drains, d); p.drained() }:
	case <-p.stopped:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-d.done:
		return nil
	case <-p.stopped:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// drained ends the waiting of those whose partitions have all been answered.
func (p *Pipe) drained() {
	p.drains = slices.DeleteFunc(p.drains, func(d drain) bool {
		for _, remote := range d.remotes {
			if _, waits := p.leaving[remote]; waits {
				return false
			}
		}
		close(d.done)
		return true
	})
}
