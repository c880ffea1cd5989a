package restore

import (
	"context"
	"sync"
	"time"
)

// Throttle bounds how many bytes go out in a second, over all who share it. The nil one bounds nothing.
type Throttle struct {
	rate int64 // bytes per second

	mu   sync.Mutex
	free time.Time // when what was taken so far has had its time
}

// NewThrottle makes a throttle of so many bytes per second; nil for 0.
func NewThrottle(rate int64) *Throttle {
	if rate <= 0 {
		return nil
	}
	return &Throttle{rate: rate}
}

// page bounds what is asked for at a time, so that bytes come in a stream and not in heaps.
func (t *Throttle) page(bytes int64) int64 {
	if t == nil {
		return bytes
	}
	return min(bytes, max(t.rate/4, 1))
}

// take waits until so many bytes may go out. It counts them although ctx ends: they were read.
func (t *Throttle) take(ctx context.Context, bytes int64) error {
	if t == nil || bytes <= 0 {
		return nil
	}
	t.mu.Lock()
	now := time.Now()
	if t.free.Before(now) {
		t.free = now
	}
	t.free = t.free.Add(time.Duration(float64(bytes) / float64(t.rate) * float64(time.Second)))
	wait := t.free.Sub(now)
	t.mu.Unlock()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
