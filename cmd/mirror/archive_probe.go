package main

import (
	"context"
	"sync"
	"time"

	"tandem/internal/archive/store"
	"tandem/internal/config"
)

// The states of an archive, as people see them.
const (
	archiveWaiting     = "waiting" // it has not begun yet
	archiveGoesOn      = "archiving"
	archiveUnreachable = "store does not answer"
	archiveFailed      = "failed"
)

const (
	probeEvery  = 2 * time.Second
	probeWithin = 1500 * time.Millisecond
	probeAgain  = 250 * time.Millisecond // a single failure is none
	probeName   = "tandem-probe"         // need not be there
)

// storeProbe asks a store whether it is there, while somebody wants to know: bundles are stored rarely, and a store that is down
// would show only then. It costs a request for one object's attributes every two seconds at most.
type storeProbe struct {
	store  store.Store // that asks once
	wanted chan struct{}

	mu       sync.Mutex // guards what follows
	asked    time.Time
	answered bell
	failed   error     // of the last answer
	since    time.Time // of the first of those that failed
}

// newStoreProbe asks nothing yet.
func newStoreProbe(ctx context.Context, c config.Archive) (*storeProbe, error) {
	asked, err := store.Open(ctx, c.URL, store.Options{Patience: -1, S3: s3Options(c)})
	if err != nil {
		return nil, err
	}
	return &storeProbe{store: asked, wanted: make(chan struct{}, 1)}, nil
}

// close gives up what is being asked. It may be called on nil.
func (p *storeProbe) close() {
	if p != nil {
		_ = p.store.Close() // nothing was written
	}
}

// want has it found out anew, where what is known is not new any more.
func (p *storeProbe) want() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.asked) >= probeEvery {
		nudge(p.wanted)
	}
}

// state is since when the store does not answer, and why; nil: it does. What was found out a moment ago will do; where nobody has asked for
// longer, the answer that want has asked for is waited for, as long as ctx lasts.
func (p *storeProbe) state(ctx context.Context) (since time.Time, failed error) {
	answered := p.answered.wait()
	p.mu.Lock()
	old := time.Since(p.asked) >= 2*probeEvery
	p.mu.Unlock()
	if old {
		select {
		case <-answered:
		case <-ctx.Done():
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.since, p.failed
}

// run asks whenever somebody wants to know, until ctx ends.
func (p *storeProbe) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wanted:
			p.ask(ctx)
		}
	}
}

func (p *storeProbe) ask(ctx context.Context) {
	err := p.once(ctx)
	if err != nil && ctx.Err() == nil {
		timer := time.NewTimer(probeAgain)
		defer timer.Stop()
		select {
		case <-ctx.Done():
		case <-timer.C:
			err = p.once(ctx)
		}
	}
	p.mu.Lock()
	p.asked = time.Now()
	if ctx.Err() == nil {
		if err != nil && p.failed == nil {
			p.since = p.asked
		}
		p.failed = err
	}
	p.mu.Unlock()
	p.answered.fire()
}

// once asks for an object; that it is not there is as good an answer as any.
func (p *storeProbe) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	_, err := p.store.Stat(ctx, probeName)
	if kind := store.Classify(err); kind == store.NotFound || kind == store.AccessDenied || kind == store.Throttled {
		return nil // it lives; whether it takes bundles the writer finds out
	}
	return err
}
