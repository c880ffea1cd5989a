package bundle

import (
	"fmt"
	"math"

	"tandem/internal/stream"
)

// Bodies of events as bytes, field by field; docs/archive-format.md has them as a table. A second version of a kind gets a
// number of its own and is added beside the first.

// Kind says what it tells of.
func (e Event) Kind() Kind { return e.Body.kind() }

func (u Unknown) kind() Kind      { return u.Number }
func (TopicCreated) kind() Kind   { return KindTopicCreated }
func (TopicWidened) kind() Kind   { return KindTopicWidened }
func (TopicDeleted) kind() Kind   { return KindTopicDeleted }
func (TopicRecreated) kind() Kind { return KindTopicRecreated }
func (Truncated) kind() Kind      { return KindTruncated }
func (TopicConfigs) kind() Kind   { return KindTopicConfigs }
func (ACLs) kind() Kind           { return KindACLs }
func (GroupOffsets) kind() Kind   { return KindGroupOffsets }
func (Runs) kind() Kind           { return KindRuns }
func (Gap) kind() Kind            { return KindGap }
func (Mark) kind() Kind           { return KindMark }
func (Removed) kind() Kind        { return KindRemoved }
func (Compacted) kind() Kind      { return KindCompacted }

func (u Unknown) encode(e *encoder) error {
	e.raw(u.Raw)
	return nil
}

func (t TopicCreated) encode(e *encoder) error {
	e.topic(t.Topic)
	e.number(int64(t.Partitions))
	e.signed(int64(t.Factor))
	e.flag(t.Found)
	return notNegative(t.Topic.Incarnation, t.Partitions)
}

func (t TopicWidened) encode(e *encoder) error {
	e.topic(t.Topic)
	e.number(int64(t.From))
	e.number(int64(t.To))
	return notNegative(t.Topic.Incarnation, t.From, t.To)
}

func (t TopicDeleted) encode(e *encoder) error {
	e.topic(t.Topic)
	return notNegative(t.Topic.Incarnation)
}

func (t TopicRecreated) encode(e *encoder) error {
	e.topic(t.Old)
	e.topic(t.New)
	e.number(int64(t.Partitions))
	e.signed(int64(t.Factor))
	return notNegative(t.Old.Incarnation, t.New.Incarnation, t.Partitions)
}

func (t Truncated) encode(e *encoder) error {
	e.topic(t.Topic)
	e.number(int64(t.Partition))
	e.signed(int64(t.LeaderEpoch))
	e.number(int64(t.From))
	e.number(int64(t.To))
	return notNegative(t.Topic.Incarnation, t.Partition, t.From, t.To)
}

func (t TopicConfigs) encode(e *encoder) error {
	e.topic(t.Topic)
	e.number(int64(len(t.Configs)))
	for _, c := range t.Configs {
		e.string(c.Name)
		e.string(c.Value)
	}
	return notNegative(t.Topic.Incarnation)
}

func (a ACLs) encode(e *encoder) error {
	e.number(int64(len(a.Bindings)))
	for _, b := range a.Bindings {
		e.byte(byte(b.ResourceType))
		e.byte(byte(b.PatternType))
		e.string(b.Resource)
		e.string(b.Principal)
		e.string(b.Host)
		e.byte(byte(b.Operation))
		e.byte(byte(b.Permission))
	}
	return nil
}

func (d *decoder) acl() ACL {
	return ACL{
		ResourceType: int8(d.byte()), PatternType: int8(d.byte()),
		Resource: d.string(), Principal: d.string(), Host: d.string(),
		Operation: int8(d.byte()), Permission: int8(d.byte()),
	}
}

func (g GroupOffsets) encode(e *encoder) error {
	e.string(g.Group)
	e.flag(g.Whole)
	e.number(int64(len(g.Offsets)))
	for _, o := range g.Offsets {
		e.string(o.Topic)
		e.number(int64(o.Partition))
		e.signed(int64(o.Offset))
		e.signed(int64(o.LeaderEpoch))
		e.string(o.Metadata)
		if o.Partition < 0 {
			return fmt.Errorf("partition %d", o.Partition)
		}
	}
	return nil
}

func (d *decoder) groupOffset() GroupOffset {
	return GroupOffset{
		Topic: d.string(), Partition: d.int32(), Offset: stream.Upstream(d.signed()), LeaderEpoch: d.signed32(), Metadata: d.string(),
	}
}

// encode writes each run by what lies between it and the one before: offsets of the source, of the target, and records.
func (r Runs) encode(e *encoder) error {
	e.topic(r.Source)
	e.number(int64(r.Partition))
	e.string(r.Remote.Topic)
	e.number(int64(r.Remote.Number))
	e.number(int64(len(r.Runs)))
	up, down := stream.Upstream(0), stream.Downstream(0)
	for _, run := range r.Runs {
		if run.Up < up || run.Down < 0 || run.Count < 0 || !fits(int64(run.Up), run.Count) || !fits(int64(run.Down), run.Count) {
			return fmt.Errorf("run of %d from %d to %d, behind %d", run.Count, run.Up, run.Down, up)
		}
		e.number(int64(run.Up - up))
		e.signed(int64(run.Down - down))
		e.number(run.Count)
		up, down = run.Up+stream.Upstream(run.Count), run.Down+stream.Downstream(run.Count)
	}
	return notNegative(r.Source.Incarnation, r.Partition, r.Remote.Number)
}

func (d *decoder) runs() Runs {
	r := Runs{Source: d.topic(), Partition: d.int32(), Remote: stream.Partition{Topic: d.string(), Number: d.int32()}}
	up, down := int64(0), int64(0)
	r.Runs = list(d, 3, func(d *decoder) stream.Run {
		hole, jump, n := d.number(), d.signed(), d.number()
		if !fits(up, hole) || jump > 0 && !fits(down, jump) || down+jump < 0 || !fits(up+hole, n) || !fits(down+jump, n) {
			d.fail("run beyond the end of numbers")
			return stream.Run{}
		}
		run := stream.Run{Up: stream.Upstream(up + hole), Down: stream.Downstream(down + jump), Count: n}
		up, down = up+hole+n, down+jump+n
		return run
	})
	return r
}

func fits(a, b int64) bool { return a <= math.MaxInt64-b }

func (g Gap) encode(e *encoder) error {
	e.topic(g.Topic)
	e.number(int64(g.Partition))
	e.number(int64(g.From))
	e.number(int64(g.To))
	e.string(g.Reason)
	return notNegative(g.Topic.Incarnation, g.Partition, g.From, g.To)
}

func (m Mark) encode(e *encoder) error {
	positions, err := sorted(m.Positions)
	if err != nil {
		return err
	}
	e.string(m.Name)
	e.string(m.Note)
	e.positions(positions)
	return nil
}

// notNegative refuses numbers that the format has no sign for.
func notNegative(all ...any) error {
	for _, v := range all {
		var n int64
		switch v := v.(type) {
		case int32:
			n = int64(v)
		case stream.Upstream:
			n = int64(v)
		}
		if n < 0 {
			return fmt.Errorf("negative number %d", n)
		}
	}
	return nil
}
