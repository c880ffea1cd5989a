package bundle

import (
	"fmt"
	"time"

	"tandem/internal/stream"
)

// The events of those who take bundles away or put them together: see events.go.

const (
	leastRemovedObject  = 1 + 32
	leastRemovedRange   = leastTopic + 3
	leastRemovedRun     = 4
	leastCompactedChunk = 2
	leastStep           = 2
)

func (r Removed) encode(e *encoder) error {
	e.string(r.Reason)
	e.number(int64(len(r.Objects)))
	for _, o := range r.Objects {
		e.string(o.Name)
		e.raw(o.Digest[:])
	}
	e.number(int64(len(r.Ranges)))
	for _, g := range r.Ranges {
		if g.To < g.From {
			return fmt.Errorf("%s/%d removed from %d to %d", g.Topic, g.Partition, g.From, g.To)
		}
		e.topic(g.Topic)
		e.number(int64(g.Partition))
		e.number(int64(g.From))
		e.number(int64(g.To - g.From))
		if err := notNegative(g.Topic.Incarnation, g.Partition, g.From); err != nil {
			return err
		}
	}
	e.number(int64(len(r.Runs)))
	for _, n := range r.Runs {
		if n.Generation < 0 || n.From < 0 || n.To < n.From {
			return fmt.Errorf("bundles %d to %d of %s, generation %d, removed", n.From, n.To, n.Writer, n.Generation)
		}
		e.string(n.Writer)
		e.number(n.Generation)
		e.number(n.From)
		e.number(n.To - n.From)
	}
	return nil
}

func (d *decoder) removed() Removed {
	return Removed{
		Reason: d.string(),
		Objects: list(d, leastRemovedObject, func(d *decoder) (o RemovedObject) {
			o.Name = d.string()
			copy(o.Digest[:], d.bytes(int64(len(o.Digest))))
			return o
		}),
		Ranges: list(d, leastRemovedRange, func(d *decoder) RemovedRange {
			r := RemovedRange{Topic: d.topic(), Partition: d.int32(), From: d.offset()}
			r.To = d.behind(r.From)
			return r
		}),
		Runs: list(d, leastRemovedRun, func(d *decoder) RemovedRun {
			r := RemovedRun{Writer: d.string(), Generation: d.number(), From: d.number()}
			n := d.number()
			if !fits(r.From, n) {
				d.fail("sequence too large")
				return r
			}
			r.To = r.From + n
			return r
		}),
	}
}

// behind is an offset, read as what it is more than another one.
func (d *decoder) behind(from stream.Upstream) stream.Upstream {
	more := d.number()
	if !fits(int64(from), more) {
		d.fail("offset too large")
		return from
	}
	return from + stream.Upstream(more)
}

// encode writes each chunk, and each step, by what lies between it and the one before.
func (c Compacted) encode(e *encoder) error {
	e.number(int64(len(c.Chunks)))
	before := -1
	for _, chunk := range c.Chunks {
		if chunk.Chunk <= before {
			return fmt.Errorf("chunk %d behind chunk %d", chunk.Chunk, before)
		}
		e.number(int64(chunk.Chunk - before - 1))
		before = chunk.Chunk
		e.number(int64(len(chunk.Steps)))
		at, next := int64(0), stream.Upstream(0)
		for _, s := range chunk.Steps {
			if s.Next < next {
				return fmt.Errorf("chunk %d: a step to %d behind one to %d", chunk.Chunk, s.Next, next)
			}
			e.signed(s.At.UnixMilli() - at)
			e.number(int64(s.Next - next))
			at, next = s.At.UnixMilli(), s.Next
		}
	}
	return nil
}

func (d *decoder) compacted() Compacted {
	before := int64(-1)
	return Compacted{Chunks: list(d, leastCompactedChunk, func(d *decoder) CompactedChunk {
		before += int64(d.int32()) + 1
		at, next := int64(0), stream.Upstream(0)
		return CompactedChunk{Chunk: int(before), Steps: list(d, leastStep, func(d *decoder) Step {
			at += d.signed() // modulo 2^64
			next = d.behind(next)
			return Step{At: time.UnixMilli(at).UTC(), Next: next}
		})}
	})}
}

func (r Removed) String() string {
	all := make([]string, 0, len(r.Objects)+len(r.Ranges)+len(r.Runs))
	for _, o := range r.Objects {
		all = append(all, word(o.Name)+" digest "+o.Digest.String())
	}
	for _, g := range r.Ranges {
		all = append(all, span(g.Topic, g.Partition, g.From, g.To))
	}
	for _, n := range r.Runs {
		all = append(all, fmt.Sprintf("%s generation %d, %d bundles from %d on", word(n.Writer), n.Generation, n.To-n.From, n.From))
	}
	return fmt.Sprintf("%s: %s", word(r.Reason), listed(all))
}

func (c Compacted) String() string {
	all := make([]string, len(c.Chunks))
	for i, chunk := range c.Chunks {
		all[i] = fmt.Sprintf("chunk %d", chunk.Chunk)
		for _, s := range chunk.Steps {
			all[i] += fmt.Sprintf(", %s to %d", clock(s.At), s.Next)
		}
	}
	return listed(all)
}
