package main

import "sync"

// bell tells all who wait that something has happened.
type bell struct {
	mu    sync.Mutex // guards rings
	rings chan struct{}
}

// wait is closed the next time that the bell is fired.
func (b *bell) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rings == nil {
		b.rings = make(chan struct{})
	}
	return b.rings
}

func (b *bell) fire() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rings != nil {
		close(b.rings)
		b.rings = nil
	}
}

// nudge leaves one entry in a channel that holds one.
func nudge(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
