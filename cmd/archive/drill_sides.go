package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tandem/internal/archive/catalog"
	archivedrill "tandem/internal/archive/drill"
	"tandem/internal/archive/restore"
	"tandem/internal/batch"
	"tandem/internal/kafka"
	"tandem/internal/offsetsync"
	"tandem/internal/stream"
)

const (
	drillMapBytes = 16 << 20         // of the map of offsets: a drill asks for a few places
	stillWithin   = 10 * time.Second // a read that brings nothing is tried again
	keysAhead     = 64 << 20         // bytes of the archive in which a later record of a key is looked for
	nobodyKnows   = -1               // the source offset of a record in a gap of the map
)

// exactMap is the map of offsets as the target keeps it. The nil one knows nothing.
type exactMap struct {
	offsets *offsetsync.Map
	remote  func(stream.Partition) stream.Partition
}

// loadMap reads the map of the topics that are archived.
func (d *drilling) loadMap(ctx context.Context) (*exactMap, error) {
	flow := d.open.flow
	topic := stream.TandemTopic(flow.Source)
	x := &exactMap{offsets: offsetsync.NewMap(drillMapBytes, offsetsync.Topic{Log: d.replica.admin, Name: topic, Gone: kafka.Gone}), remote: func(p stream.Partition) stream.Partition {
		return stream.Partition{Topic: flow.Policy.RemoteTopic(flow.Source, p.Topic), Number: p.Number}
	}}
	wanted := make(map[string]bool)
	for _, life := range d.state.Lives {
		wanted[flow.Policy.RemoteTopic(flow.Source, life.Topic.Name)] = true
	}
	broken := ""
	err := d.replica.admin.ReadAll(ctx, topic, false, func(r stream.Record) error {
		if remote, ok := offsetsync.RemoteOf(r.Key); ok && wanted[remote.Topic] && broken == "" {
			if err := x.offsets.Load(r); err != nil {
				broken = err.Error()
			}
		}
		return nil
	})
	if errors.Is(err, kafka.ErrUnknownTopic) {
		return nil, nil // the source is compared
	}
	if err != nil {
		return nil, reason("read "+topic+" of "+d.flow.Target, err)
	}
	if broken != "" {
		d.finding(false, topic, "the map of offsets cannot be used: "+broken)
		return nil, nil
	}
	return x, nil
}

// covered is the source offset below which the map knows a partition.
func (x *exactMap) covered(p stream.Partition) (stream.Upstream, bool) {
	if x == nil {
		return 0, false
	}
	up, _, ok := x.offsets.Covered(x.remote(p))
	return up, ok
}

// down finds a source offset on the target; exact says that it is known to the record, copied that this very record is there.
func (x *exactMap) down(ctx context.Context, remote stream.Partition, up stream.Upstream) (at stream.Downstream, copied, exact bool) {
	t, err := x.offsets.Translate(ctx, remote, up)
	if err != nil || t.Class != stream.Exact {
		return 0, false, false
	}
	source, exact := x.up(ctx, remote, t.Offset)
	return t.Offset, exact && source == up, true
}

func (x *exactMap) up(ctx context.Context, remote stream.Partition, at stream.Downstream) (stream.Upstream, bool) {
	r, err := x.offsets.Return(ctx, remote, at)
	return r.Offset, err == nil && r.Class == stream.Exact
}

// otherSide is where a stretch is compared.
type otherSide struct {
	archivedrill.Other
	cluster   *restoreTarget
	partition stream.Partition
	from, to  int64 // its offsets of the stretch
	committed bool  // records of aborted transactions are not to be seen
	later     stream.Upstream
}

// replicaSide is the replica of a stretch; nil, and why, where it cannot be compared exactly.
func (d *drilling) replicaSide(ctx context.Context, t *trial) (*otherSide, string) {
	flow := d.open.flow
	switch {
	case d.replica == nil:
		return nil, d.noOther
	case !flow.Topics.Replicates(t.Topic):
		return nil, fmt.Sprintf("%s does not replicate it", d.flow)
	case d.offsets == nil:
		return nil, fmt.Sprintf("%s has no map of offsets of the flow (topic %s)", d.flow.Target, stream.TandemTopic(d.flow.Source))
	}
	remote := d.offsets.remote(t.Partition)
	unknown := fmt.Sprintf("the map of offsets does not know offsets %d to %d of it exactly", t.From, t.End-1)
	type place struct {
		at     int64
		copied bool
	}
	places := make(map[int64]place, len(t.archived))
	for _, r := range t.archived {
		at, copied, exact := d.offsets.down(ctx, remote, stream.Upstream(r.Offset))
		if !exact {
			return nil, unknown
		}
		places[r.Offset] = place{int64(at), copied}
	}
	first, _, exact := d.offsets.down(ctx, remote, t.From)
	end, _, exactEnd := d.offsets.down(ctx, remote, t.End)
	if !exact || !exactEnd {
		return nil, unknown
	}
	s := &otherSide{cluster: d.replica, partition: remote, from: int64(first), to: int64(end), committed: true}
	s.later, _ = d.offsets.covered(t.Partition)
	s.Expected = func(up int64) (int64, bool) { p := places[up]; return p.at, p.copied }
	s.Source = func(at int64) (int64, bool) {
		up, exact := d.offsets.up(ctx, remote, stream.Downstream(at))
		if !exact {
			return nobodyKnows, true
		}
		down, copied, _ := d.offsets.down(ctx, remote, up)
		return int64(up), copied && int64(down) == at
	}
	s.Skips, s.Uncommitted = flow.TwoWay, flow.IsolationLevel != "read_committed"
	return s, ""
}

// sourceSide is the source of a stretch; nil, and why, where it cannot be compared.
func (d *drilling) sourceSide(ctx context.Context, t *trial) (*otherSide, string) {
	if d.source == nil && d.sourceGone == "" {
		var err error
		if d.source, err = d.other(ctx, d.flow.Source); err != nil {
			d.sourceGone = err.Error()
		}
	}
	if d.source == nil {
		return nil, d.sourceGone
	}
	s := &otherSide{cluster: d.source, partition: t.Partition, from: int64(t.From), to: int64(t.End)}
	_, part := d.life(t)
	s.later = part.Next()
	s.Expected = func(up int64) (int64, bool) { return up, true }
	s.Source = func(at int64) (int64, bool) { return at, true }
	s.Uncommitted = true
	return s, ""
}

// errNoTopic says that the other side has no such topic, or another one of its name.
var errNoTopic = errors.New("there is no such topic")

// fill reads what the other side has.
func (d *drilling) fill(ctx context.Context, t *trial, s *otherSide) error {
	life, part := d.life(t)
	topics, err := s.cluster.admin.Topics(ctx)
	if err != nil {
		return reason("cluster "+s.cluster.alias, err)
	}
	i := slices.IndexFunc(topics, func(x stream.Topic) bool { return x.Name == s.partition.Topic })
	switch {
	case i < 0 || topics[i].Partitions <= s.partition.Number:
		return errNoTopic
	case s.cluster == d.source && life.Topic.ID != (stream.TopicID{}) && topics[i].ID != life.Topic.ID:
		return fmt.Errorf("it was made anew since: %w", errNoTopic)
	}
	configs, err := s.cluster.effective(ctx, []string{s.partition.Topic})
	if err != nil {
		return err
	}
	c := configs[s.partition.Topic]
	s.Compacted, s.AppendTime = strings.Contains(c["cleanup.policy"], "compact"), c["message.timestamp.type"] == "LogAppendTime" && s.cluster != d.source
	s.SourceCleaned = s.cluster != d.source && strings.Contains(life.Configs["cleanup.policy"], "compact")
	s.Hole = func(up int64) bool {
		return up == nobodyKnows || slices.ContainsFunc(part.Holes, func(h catalog.Hole) bool { return int64(h.From) <= up && up < int64(h.To) })
	}
	if s.LogStart, err = offsetOf(ctx, s, stream.Earliest); err != nil {
		return err
	}
	if s.End, err = offsetOf(ctx, s, stream.Latest); err != nil {
		return err
	}
	read := reading{wire: s.cluster.wire, partition: s.partition, committed: s.committed}
	s.Records, err = read.all(ctx, max(s.from, s.LogStart), min(s.to, s.End))
	return err
}

func offsetOf(ctx context.Context, s *otherSide, at int64) (int64, error) {
	found, failed, err := s.cluster.wire.Offsets(ctx, []stream.Partition{s.partition}, at)
	if err = errors.Join(err, failed[s.partition]); err != nil {
		return 0, reason(fmt.Sprintf("find where %s of %s begins and ends", s.partition, s.cluster.alias), err)
	}
	return found[s.partition], nil
}

// laterKeys finds, ahead in the archive, the newest offset of each key that lacking records have.
func (d *drilling) laterKeys(ctx context.Context, t *trial, s *otherSide, lacking []int) (keys map[uint64]int64, whole bool) {
	_, part := d.life(t)
	keys = make(map[uint64]int64)
	wanted := make(map[uint64]bool)
	from := stream.Upstream(t.archived[lacking[0]].Offset)
	for _, i := range lacking {
		wanted[t.archived[i].Key] = true
	}
	read, shaper := 0, batch.NewShaper()
	errEnough := errors.New("enough")
	log := restore.NewLog(part, restore.Cut{From: from, End: min(s.later, part.Next()), Since: restore.Always, Until: restore.Never}, d.chunks)
	err := log.Batches(ctx, func(v batch.View) error {
		if read += len(v.Bytes()); read > keysAhead {
			return errEnough
		}
		return archivedrill.Read(shaper, v, func(r archivedrill.Record, _ int) error {
			if wanted[r.Key] {
				keys[r.Key] = r.Offset
			}
			return nil
		})
	})
	return keys, err == nil && s.later <= part.Next()
}

// reading reads records of a partition.
type reading struct {
	wire      *kafka.Wire
	partition stream.Partition
	committed bool
}

// all are the records from <= offset < to, as far as they are there.
func (r reading) all(ctx context.Context, from, to int64) (list []archivedrill.Record, err error) {
	shaper, still := batch.NewShaper(), time.Now()
	for at := from; at < to; {
		f, err := r.wire.Read(ctx, r.partition, at, pageBytes, r.committed)
		next := at
		if err == nil {
			if next, err = r.page(shaper, f, at, to, &list); err != nil {
				return nil, fmt.Errorf("read %s at %d: %w", r.partition, at, err)
			}
		}
		if next > at {
			at, still = next, time.Now()
			continue
		}
		switch code, known := stream.CodeOf(err); {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case known && code == stream.CodeOffsetOutOfRange:
			return nil, fmt.Errorf("read %s at %d: it is no longer there", r.partition, at)
		case time.Since(still) > stillWithin && err == nil:
			return nil, fmt.Errorf("read %s at %d: nothing comes, though its log goes on to %d: a transaction may hang", r.partition, at, to)
		case time.Since(still) > stillWithin || kafka.Classify(err) == kafka.Authorization:
			return nil, reason(fmt.Sprintf("read %s at %d", r.partition, at), err)
		}
		if err := waitABit(ctx, lookEvery); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// page takes the records out of one answer, and says where reading goes on.
func (r reading) page(shaper *batch.Shaper, f stream.Fetched, at, to int64, list *[]archivedrill.Record) (int64, error) {
	aborted := f.Aborted
	out := make(map[int64]bool) // producers whose records are of an aborted transaction
	next := at
	for rest := f.Records; len(rest) > 0 && next < to; {
		v, left, err := batch.Next(rest)
		if errors.Is(err, batch.ErrTruncated) {
			break // it comes with the next page
		}
		if err == nil {
			err = v.Verify()
		}
		if err != nil {
			return next, err
		}
		rest = left
		aborted = slices.DeleteFunc(slices.Clone(aborted), func(a stream.AbortedTransaction) bool {
			begun := int64(a.First) <= v.LastOffset()
			if begun {
				out[a.ProducerID] = true
			}
			return begun
		})
		if v.Control() {
			if abort, err := v.Aborts(); err == nil && abort {
				delete(out, v.ProducerID())
			}
		} else if !v.Transactional() || !out[v.ProducerID()] {
			err = archivedrill.Read(shaper, v, func(record archivedrill.Record, _ int) error {
				if record.Offset >= at && record.Offset < to {
					*list = append(*list, record)
				}
				return nil
			})
			if err != nil {
				return next, err
			}
		}
		next = max(next, v.LastOffset()+1)
	}
	return next, nil
}
