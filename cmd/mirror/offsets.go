package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"tandem/internal/kafka"
	"tandem/internal/offsetsync"
	"tandem/internal/placing"
	"tandem/internal/replicate"
	"tandem/internal/stream"
)

const (
	countEvery = time.Second      // between two looks for gaps of the map
	trimEvery  = 10 * time.Minute // between two looks at what both logs no longer hold
)

// offsets keeps the exact map of a flow: loaded from Tandem's topic, fed by acknowledgements, stored every few seconds, and
// counted anew where records were copied that no acknowledgement told of.
type offsets struct {
	flow      *flow
	exact     *offsetsync.Map
	mm2       *offsetsync.Store // what MM2 has noted; nil without offset syncs
	recounter *replicate.Recounter

	ours func() []int64 // the producer ids of the flow; nil where nobody else writes to its remote partitions

	storing   sync.Mutex // one store at a time
	beginning sync.Mutex // one begin at a time

	mu      sync.Mutex                // guards what follows; never held over a request
	told    map[stream.Partition]bool // remote partitions of which the map knows where they stood
	pointed map[stream.Partition]bool // and those of which it has what MM2 noted
	left    int                       // how often some were given up
}

func newOffsets(f *flow, limit int64) *offsets {
	o := &offsets{flow: f, told: make(map[stream.Partition]bool), pointed: make(map[stream.Partition]bool)}
	o.exact = offsetsync.NewMap(limit, offsetsync.Topic{Log: f.clients.target, Name: f.tandemTopic(), Gone: kafka.Gone})
	o.recounter = &replicate.Recounter{
		Source: f.clients.reader, Remote: f.clients.targetWire, SourceLog: f.clients.reader, RemoteLog: f.clients.targetWire,
		Committed: f.conf().IsolationLevel == "read_committed", Origins: f.origin,
	}
	return o
}

// readSyncs loads what MM2 has noted before Tandem came.
func (o *offsets) readSyncs(ctx context.Context, admin *kafka.Admin, topic string) error {
	store, err := offsetsync.ReadStore(func(each func(stream.Record) error) error { return admin.ReadAll(ctx, topic, false, each) })
	if err == nil {
		o.mm2 = store
	}
	return err
}

// below tells the map what MM2 has noted of partitions, whoever copies them: groups are translated by whoever is on duty.
func (o *offsets) below(list []replicate.Assignment) {
	if o.mm2 == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, a := range list {
		if o.pointed[a.Remote] {
			continue
		}
		o.pointed[a.Remote] = true
		if points := o.mm2.Points(a.Source); len(points) > 0 {
			o.exact.Below(a.Remote, points)
		}
	}
}

// begin tells the map where remote partitions stand before the pipe appends to them, and what the anchors know of them. The error is
// about those with which it could not.
func (o *offsets) begin(ctx context.Context, list []replicate.Assignment, noted *memory) error {
	o.beginning.Lock()
	defer o.beginning.Unlock()
	for {
		fresh, left := o.fresh(list)
		if len(fresh) == 0 {
			return nil
		}
		ends, err := o.endsOf(ctx, fresh)
		if err != nil {
			return err
		}
		if stand, err := o.stand(fresh, left, ends, noted); stand {
			return err
		}
	}
}

// logEnds are where remote partitions start and end, or why that is not known.
type logEnds struct {
	start, end     map[stream.Partition]int64
	noStart, noEnd map[stream.Partition]error
}

func (o *offsets) endsOf(ctx context.Context, list []replicate.Assignment) (l logEnds, err error) {
	remotes := make([]stream.Partition, len(list))
	for i, a := range list {
		remotes[i] = a.Remote
	}
	if l.start, l.noStart, err = o.flow.clients.targetWire.Offsets(ctx, remotes, stream.Earliest); err != nil {
		return l, fmt.Errorf("find the starts of remote partitions: %w", err)
	}
	if l.end, l.noEnd, err = o.flow.clients.targetWire.Offsets(ctx, remotes, stream.Latest); err != nil {
		return l, fmt.Errorf("find the ends of remote partitions: %w", err)
	}
	return l, nil
}

// fresh are those that fall to this process and that the map has not been told of.
func (o *offsets) fresh(list []replicate.Assignment) (fresh []replicate.Assignment, left int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, a := range list {
		if !o.told[a.Remote] && o.flow.hold.copies(a.Remote) {
			fresh = append(fresh, a)
		}
	}
	return fresh, o.left
}

// stand tells the map, unless partitions were given up since it was asked where they stand: others may have written to them.
func (o *offsets) stand(fresh []replicate.Assignment, left int, l logEnds, noted *memory) (stand bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.left != left {
		return false, nil
	}
	for _, a := range fresh {
		start, started := l.start[a.Remote]
		end, ended := l.end[a.Remote]
		switch {
		case !o.flow.hold.copies(a.Remote):
			continue
		case !started || !ended:
			err = fmt.Errorf("find the ends of %s: %w", a.Remote, errors.Join(l.noStart[a.Remote], l.noEnd[a.Remote]))
			continue
		}
		o.told[a.Remote] = true
		var anchor *placing.Anchor
		if at, topic, ok := noted.Anchor(a.Remote); ok {
			anchor = &placing.Anchor{Topic: topic, Next: at.Next, Down: at.Down.Offset()}
		}
		placing.Begin(o.exact, a.Source, a.Remote, stream.Downstream(start), stream.Downstream(end), anchor)
	}
	return true, err
}

// begun says that the map knows where a remote partition stood.
func (o *offsets) begun(remote stream.Partition) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.told[remote]
}

// leave forgets where remote partitions stood: another process goes on with them.
func (o *offsets) leave(remotes []stream.Partition) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.left++
	for _, p := range remotes {
		delete(o.told, p)
		delete(o.pointed, p)
	}
}

// store makes what the map knows durable.
func (o *offsets) store(ctx context.Context) error {
	o.storing.Lock()
	defer o.storing.Unlock()
	records := o.exact.Changed()
	if len(records) == 0 {
		return nil
	}
	if err := o.flow.clients.target.Append(ctx, o.flow.tandemTopic(), records); err != nil {
		return fmt.Errorf("store the offset map: %w", err)
	}
	o.exact.Stored(records)
	return nil
}

// count fills the gaps of the map: always those that a kill left, and of what was mirrored before the map, what is asked for.
func (o *offsets) count(ctx context.Context) error {
	tick := time.NewTicker(countEvery)
	defer tick.Stop()
	told := ""
	recount := func(ctx context.Context, g stream.Gap) ([]stream.Run, error) {
		if o.ours != nil {
			o.recounter.Ours = o.ours() // another process that goes in transactions has an id of its own
		}
		return o.recounter.Recount(ctx, g)
	}
	counter := placing.Counter{Map: o.exact, Recount: recount, Earliest: o.recounter.Earliest,
		Hopeless: func(err error) bool {
			return errors.Is(err, replicate.ErrAmbiguous) || errors.Is(err, offsetsync.ErrMisfit) // the same gap again stays so
		},
		Failed: func(g stream.Gap, err error, hopeless bool) {
			if hopeless {
				o.flow.tell(stream.Warn, fmt.Sprintf("where %d records of %s stand in %s cannot be found out; groups among them are translated to before them",
					g.Records(), g.Source, g.Remote), stream.F("from", int64(g.From)), stream.F("to", int64(g.To)), stream.F("error", err))
			} else if kafka.Explain(err) != told {
				told = kafka.Explain(err)
				o.flow.tell(stream.Warn, "cannot count what the offset map lacks; trying again", stream.F("error", err))
			}
		}}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		counter.Round(ctx, placing.All)
		if o.exact.Urgent() { // a truncation does not show any more once the log has grown past its old end
			if err := o.store(ctx); err != nil && ctx.Err() == nil {
				o.flow.tell(stream.Warn, "cannot store the offset map; trying again", stream.F("error", err))
			}
		}
	}
}

// trim drops what neither cluster holds any more.
func (o *offsets) trim(ctx context.Context, pipe *replicate.Pipe) error {
	var sources, remotes []stream.Partition
	standings := pipe.Standings(ctx)
	for _, s := range standings {
		if s.Watched {
			continue // not ours any more
		}
		sources, remotes = append(sources, s.Source), append(remotes, s.Remote)
	}
	from, _, err := o.flow.clients.sourceWire.Offsets(ctx, sources, stream.Earliest)
	if err != nil {
		return err
	}
	to, _, err := o.flow.clients.targetWire.Offsets(ctx, remotes, stream.Earliest)
	if err != nil {
		return err
	}
	for _, s := range standings {
		up, known := from[s.Source]
		if down, ok := to[s.Remote]; ok && known {
			o.exact.Trim(s.Remote, stream.Upstream(up), stream.Downstream(down))
		}
	}
	return nil
}

// translate finds an offset of the source on the target.
func (o *offsets) translate(ctx context.Context, source stream.Partition, up stream.Upstream) (stream.Partition, stream.Translated, error) {
	c := o.flow.conf()
	remote := stream.Partition{Topic: c.Policy.RemoteTopic(c.Source, source.Topic), Number: source.Number}
	t, err := o.exact.Translate(ctx, remote, up)
	return remote, t, err
}
