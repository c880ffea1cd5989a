package status

import (
	"context"
	"sync"
	"time"
)

const (
	sampleEvery = 2 * time.Second
	keptFor     = 30 * time.Minute
	ringLength  = int(keptFor / sampleEvery)
	ringsMax    = 500 // flows; the memory of history is bounded by it: 500 x 900 x 72 bytes
)

// TimedSample is a sample as /api/history tells it.
type TimedSample struct {
	At         time.Time `json:"at"`
	LagRecords int64     `json:"lag_records"`
	LagSeconds float64   `json:"lag_seconds"`
	RPORecords int64     `json:"rpo_records"`
	RPOSeconds float64   `json:"rpo_seconds"`
	Records    int64     `json:"records"`
	Bytes      int64     `json:"bytes"`
}

// history keeps the samples of the last half hour.
type history struct {
	mu    sync.Mutex
	rings map[string]*ring
}

// ring has the samples of a flow: grown as they come, then the oldest gives way.
type ring struct {
	samples []TimedSample
	next    int // where the next goes, once the ring is full
}

// note takes the samples of a moment.
func (h *history) note(at time.Time, samples []Sample) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.rings == nil {
		h.rings = make(map[string]*ring)
	}
	for _, s := range samples {
		r := h.rings[s.Flow]
		if r == nil {
			if len(h.rings) >= ringsMax {
				continue
			}
			r = new(ring)
			h.rings[s.Flow] = r
		}
		r.note(TimedSample{At: at, LagRecords: s.LagRecords, LagSeconds: s.LagSeconds, RPORecords: s.RPORecords, RPOSeconds: s.RPOSeconds, Records: s.Records, Bytes: s.Bytes})
	}
	for flow, r := range h.rings { // of a flow that has told nothing for so long there is nothing to draw
		if at.Sub(r.last().At) > keptFor {
			delete(h.rings, flow)
		}
	}
}

func (r *ring) note(s TimedSample) {
	if len(r.samples) < ringLength {
		r.samples = append(r.samples, s)
		return
	}
	r.samples[r.next] = s
	r.next = (r.next + 1) % ringLength
}

func (r *ring) last() TimedSample {
	return r.samples[(r.next+len(r.samples)-1)%len(r.samples)]
}

// of tells the samples of a flow after a moment, the oldest first; none of a flow that nothing is known of.
func (h *history) of(flow string, after time.Time) []TimedSample {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := []TimedSample{}
	r := h.rings[flow]
	if r == nil {
		return out
	}
	oldest := r.last().At.Add(-keptFor)
	for i := range r.samples {
		s := r.samples[(r.next+i)%len(r.samples)]
		if s.At.After(after) && !s.At.Before(oldest) {
			out = append(out, s)
		}
	}
	return out
}

// sample fills the history until ctx ends.
func (s *Server) sample(ctx context.Context) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		asked := time.Now()
		bounded, cancel := context.WithTimeout(ctx, answerWithin)
		s.history.note(asked, s.source.Samples(bounded))
		cancel()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
