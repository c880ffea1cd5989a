package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

	storing sync.Mutex // one store at a time

	mu   sync.Mutex                // guards told
	told map[stream.Partition]bool // remote partitions of which the map knows where they stood
}

func newOffsets(f *flow, limit int64) *offsets {
	o := &offsets{flow: f, told: make(map[stream.Partition]bool)}
	o.exact = offsetsync.NewMap(limit, storedSegments{f.clients.target, stream.TandemTopic(f.conf().Flow.Source)})
	o.recounter = &replicate.Recounter{
		Source: f.clients.reader, Remote: f.clients.targetWire, SourceLog: f.clients.reader, RemoteLog: f.clients.targetWire,
		Committed: f.conf().IsolationLevel == "read_committed", Origins: f.origin,
	}
	return o
}

// storedSegments reads segments of a map again.
type storedSegments struct {
	admin *kafka.Admin
	topic string
}

func (s storedSegments) Segment(ctx context.Context, at int64) (stream.Record, error) {
	r, err := s.admin.ReadAt(ctx, s.topic, 0, at)
	if errors.Is(err, kafka.ErrNoRecord) || errors.Is(err, kafka.ErrUnknownTopic) {
		err = fmt.Errorf("%w: %w", offsetsync.ErrGone, err)
	}
	return r, err
}

// readSyncs loads what MM2 has noted before Tandem came.
func (o *offsets) readSyncs(ctx context.Context, admin *kafka.Admin, topic string) error {
	store, err := offsetsync.ReadStore(func(each func(stream.Record) error) error { return admin.ReadAll(ctx, topic, false, each) })
	if err == nil {
		o.mm2 = store
	}
	return err
}

// begin tells the map where remote partitions stand before the pipe appends to them, and what the anchors know of them.
func (o *offsets) begin(ctx context.Context, list []replicate.Assignment, noted *memory) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	fresh := slices.DeleteFunc(slices.Clone(list), func(a replicate.Assignment) bool { return o.told[a.Remote] })
	if len(fresh) == 0 {
		return nil
	}
	remotes := make([]stream.Partition, len(fresh))
	for i, a := range fresh {
		remotes[i] = a.Remote
	}
	starts, noStart, err := o.flow.clients.targetWire.Offsets(ctx, remotes, stream.Earliest)
	if err != nil {
		return fmt.Errorf("find the starts of remote partitions: %w", err)
	}
	ends, noEnd, err := o.flow.clients.targetWire.Offsets(ctx, remotes, stream.Latest)
	if err != nil {
		return fmt.Errorf("find the ends of remote partitions: %w", err)
	}
	for _, a := range fresh {
		start, started := starts[a.Remote]
		end, ended := ends[a.Remote]
		if !started || !ended {
			return fmt.Errorf("find the ends of %s: %w", a.Remote, errors.Join(noStart[a.Remote], noEnd[a.Remote]))
		}
		o.told[a.Remote] = true
		if o.mm2 != nil {
			o.exact.Below(a.Remote, o.mm2.Points(a.Source))
		}
		var anchor *placing.Anchor
		if at, topic, ok := noted.Anchor(a.Remote); ok {
			anchor = &placing.Anchor{Topic: topic, Next: at.Next, Down: at.Down.Offset()}
		}
		placing.Begin(o.exact, a.Source, a.Remote, stream.Downstream(start), stream.Downstream(end), anchor)
	}
	return nil
}

// leave forgets where remote partitions stood: another process goes on with them.
func (o *offsets) leave(remotes []stream.Partition) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range remotes {
		delete(o.told, p)
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
	if err := o.flow.clients.target.Append(ctx, stream.TandemTopic(o.flow.conf().Flow.Source), records); err != nil {
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
	counter := placing.Counter{Map: o.exact, Recount: o.recounter.Recount, Earliest: o.recounter.Earliest,
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
