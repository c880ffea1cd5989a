package main

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/stream"
)

const (
	mostRuns = 1 << 16 // that wait for the archive, for all partitions of a flow
	runsEach = 5000    // in one event
)

// runs collects from acknowledgements where records stand on the target, for the archive: adjoining runs become one.
type runs struct {
	mu    sync.Mutex // guards what follows
	parts map[stream.Partition]*partRuns
	waits int // runs in parts
	lost  int // that found no room
}

type partRuns struct {
	topic  stream.TopicID
	remote stream.Partition
	list   []stream.Run
}

func (r *runs) ack(a stream.Ack) {
	if len(a.Runs) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.parts == nil {
		r.parts = make(map[stream.Partition]*partRuns)
	}
	p := r.parts[a.Source]
	if p == nil || p.topic != a.Topic || p.remote != a.Remote {
		if p != nil {
			r.waits -= len(p.list)
		}
		p = &partRuns{topic: a.Topic, remote: a.Remote}
		r.parts[a.Source] = p
	}
	for _, run := range a.Runs {
		if n := len(p.list); n > 0 {
			last := &p.list[n-1]
			if last.Up+stream.Upstream(last.Count) == run.Up && last.Down+stream.Downstream(last.Count) == run.Down {
				last.Count += run.Count
				continue
			}
			if run.Up < last.Up+stream.Upstream(last.Count) {
				continue // acknowledged before
			}
		}
		if r.waits >= mostRuns {
			r.lost++
			continue
		}
		p.list = append(p.list, run)
		r.waits++
	}
}

// take empties it.
func (r *runs) take() (parts map[stream.Partition]*partRuns, lost int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	parts, lost = r.parts, r.lost
	r.parts, r.waits, r.lost = nil, 0, 0
	return parts, lost
}

// putBack puts what could not be handed over in front of what has come since.
func (r *runs) putBack(source stream.Partition, p *partRuns) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.parts == nil {
		r.parts = make(map[stream.Partition]*partRuns)
	}
	if since := r.parts[source]; since != nil {
		if since.topic != p.topic || since.remote != p.remote {
			return
		}
		r.waits -= len(since.list)
		p.list = append(p.list, since.list...)
	}
	r.parts[source] = p
	r.waits += len(p.list)
}

// runsTo is what runs are told to (see archive.Archiver).
type runsTo interface {
	Life(name string, id stream.TopicID) (bundle.Topic, bool)
	Event(at time.Time, body bundle.Body) bool
}

// inOrder sorts partitions.
func inOrder(a, b stream.Partition) int {
	return cmp.Or(strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Number, b.Number))
}

// keepRuns hands the runs to the archive about as often as it is written.
func (a *archiving) keepRuns(ctx context.Context, to runsTo) error {
	ticker := time.NewTicker(a.conf().Archive.FlushInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		a.handRuns(to)
	}
}

// lastRuns hands over what is left when the pipe has stopped.
func (a *archiving) lastRuns() {
	if w := a.writer.Load(); w != nil {
		a.handRuns(w)
	}
}

func (a *archiving) handRuns(to runsTo) {
	parts, lost := a.runs.take()
	if lost > 0 {
		a.tell(stream.Warn, "the archive lacks part of the offset map: its store was away for too long", stream.F("runs", lost))
	}
	for _, source := range slices.SortedFunc(maps.Keys(parts), inOrder) {
		p := parts[source]
		life, ok := to.Life(source.Topic, p.topic)
		for ok && len(p.list) > 0 {
			part := p.list[:min(len(p.list), runsEach)]
			if !to.Event(time.Now(), bundle.Runs{Source: life, Partition: source.Number, Remote: p.remote, Runs: part}) {
				a.runs.putBack(source, p)
				break
			}
			p.list = p.list[len(part):]
		}
		if !ok && a.conf().Archive.Keeps(source.Topic) {
			a.runs.putBack(source, p) // the archive has not begun with it
		}
	}
}
