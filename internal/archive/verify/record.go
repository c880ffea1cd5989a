package verify

import (
	"fmt"
	"slices"

	"tandem/internal/archive/bundle"
	"tandem/internal/batch"
	"tandem/internal/stream"
)

// facts are what the batches of a chunk tell of transactions.
type facts struct {
	known   bool     // the chunk was read, and all of its batches could be
	markers []marker // in order
	open    []bundle.Transaction
}

// marker ends a transaction.
type marker struct {
	producer int64
	at       stream.Upstream
	abort    bool
	begun    bool            // in the same chunk,
	first    stream.Upstream // at this offset
}

// check goes through the batches of one chunk.
type check struct {
	object string
	chunk  int
	entry  *bundle.Entry
	shaper *batch.Shaper

	findings []Finding
	batches  int64
	data     int64 // records that are no markers; -1 once only decompression could tell
	marks    int64
	seen     int64 // records that were read
	timed    bool
	most     int64 // as headers have it
	least    int64 // of all records
	last     stream.Upstream
	facts    facts
}

func (c *check) odd(from, to stream.Upstream, format string, args ...any) {
	c.findings = append(c.findings, at(c.object, c.entry, from, to, "chunk %d: %s", c.chunk, fmt.Sprintf(format, args...)))
}

// whole is odd about the chunk as a whole.
func (c *check) whole(format string, args ...any) {
	c.odd(c.entry.First, c.entry.Next, format, args...)
}

// all reads the batches of the chunk. A batch that is not whole ends it: where the next one begins cannot be known.
func (c *check) all(b []byte) facts {
	c.last, c.most, c.facts.known = -1, -1, true
	for len(b) > 0 {
		v, rest, err := batch.Next(b)
		if err != nil {
			c.odd(max(c.last+1, c.entry.First), c.entry.Next, "what follows on offset %d is no batch: %v", c.last, err)
			c.facts.known = false
			return c.facts
		}
		if err := c.batch(v); err != nil {
			c.odd(max(stream.Upstream(v.BaseOffset()), c.entry.First), stream.Upstream(v.LastOffset())+1, "%v", err)
			c.facts.known = false
		}
		b = rest
	}
	if c.facts.known {
		c.counts()
		c.transactions()
	}
	return c.facts
}

// batch reads one. What it adds to the counts is as its header has it; that its records agree is checked here.
func (c *check) batch(v batch.View) error {
	if err := v.Verify(); err != nil {
		return err
	}
	e := c.entry
	first, last := stream.Upstream(v.BaseOffset()), stream.Upstream(v.LastOffset())
	if first <= c.last || last < e.First || last >= e.Next {
		return fmt.Errorf("a batch of offsets %d to %d, behind %d, in a chunk of %d to %d", first, last, c.last, e.First, e.Next-1)
	}
	c.last = last
	c.batches++
	n := int64(v.Records())
	var times [2]int64
	read := int64(0)
	err := c.shaper.Records(v, func(r batch.Record) error {
		if read == 0 {
			times = [2]int64{r.Timestamp, r.Timestamp}
		}
		times = [2]int64{min(times[0], r.Timestamp), max(times[1], r.Timestamp)}
		read++
		if _, _, _, err := r.Split(); err != nil {
			return fmt.Errorf("record at %d: %w", r.Offset, err)
		}
		return nil
	})
	c.seen += read
	switch {
	case err != nil:
		return err
	case n >= 0 && read != n:
		return fmt.Errorf("%d records, its header says %d", read, n)
	}
	if v.Control() {
		c.marks += n
		return c.marker(v)
	}
	if v.Transactional() {
		c.begins(v.ProducerID(), first)
	}
	if n < 0 || c.data < 0 {
		c.data = -1
	} else {
		c.data += n
	}
	if read == 0 {
		return nil
	}
	if !c.timed {
		c.least, c.most, c.timed = times[0], v.MaxTimestamp(), true
	}
	c.least, c.most = min(c.least, times[0]), max(c.most, v.MaxTimestamp())
	if v.Magic() == 2 && times[1] > v.MaxTimestamp() {
		return fmt.Errorf("a record has the timestamp %d, above the largest of its batch's header, %d: restore --until would miss it", times[1], v.MaxTimestamp())
	}
	return nil
}

func (c *check) begins(producer int64, at stream.Upstream) {
	if !slices.ContainsFunc(c.facts.open, func(t bundle.Transaction) bool { return t.ProducerID == producer }) {
		c.facts.open = append(c.facts.open, bundle.Transaction{ProducerID: producer, First: at})
	}
}

func (c *check) marker(v batch.View) error {
	abort, err := v.Aborts()
	if err != nil {
		return err
	}
	m := marker{producer: v.ProducerID(), at: stream.Upstream(v.BaseOffset()), abort: abort}
	c.facts.open = slices.DeleteFunc(c.facts.open, func(t bundle.Transaction) bool {
		if t.ProducerID == m.producer {
			m.begun, m.first = true, t.First
		}
		return t.ProducerID == m.producer
	})
	c.facts.markers = append(c.facts.markers, m)
	return nil
}

// counts compares what the entry says with what the batches are.
func (c *check) counts() {
	e := c.entry
	if c.batches != e.Batches || c.data != e.Records || c.marks != e.Markers {
		c.whole("it has %d batches, %d records, %d markers, the footer says %d, %d, %d", c.batches, c.data, c.marks, e.Batches, e.Records, e.Markers)
	}
	switch {
	case !c.timed:
		return
	case c.most != e.MaxTimestamp:
		c.whole("its largest timestamp is %d, the footer says %d", c.most, e.MaxTimestamp)
	case e.MinExact && c.least != e.MinTimestamp:
		c.whole("its least timestamp is %d, the footer says %d", c.least, e.MinTimestamp)
	}
}

// transactions compares what the entry says of those that began or ended in the chunk. What was open before it is for carry.
func (c *check) transactions() {
	e := c.entry
	early := func(told, seen stream.Upstream) bool { return told == seen || e.Committed && told < seen }
	for _, t := range c.facts.open {
		i := slices.IndexFunc(e.Open, func(o bundle.Transaction) bool { return o.ProducerID == t.ProducerID })
		if i < 0 || e.Open[i].First > t.First {
			c.whole("the transaction of producer %d from %d on is open at its end, and the footer does not say so", t.ProducerID, t.First)
		}
	}
	for _, o := range e.Open {
		began := slices.ContainsFunc(c.facts.open, func(t bundle.Transaction) bool { return t.ProducerID == o.ProducerID })
		ended := slices.ContainsFunc(c.facts.markers, func(m marker) bool { return m.producer == o.ProducerID })
		if !began && (ended || o.First >= e.First && !e.Committed) {
			c.whole("the footer says that a transaction of producer %d is open from %d on, and it is not", o.ProducerID, o.First)
		}
	}
	for _, m := range c.facts.markers {
		told := slices.ContainsFunc(e.Aborted, func(a bundle.Aborted) bool {
			return a.ProducerID == m.producer && a.Marker == m.at && (!m.begun || early(a.First, m.first) || a.First < e.First)
		})
		if m.abort && m.begun && !told {
			c.whole("the transaction of producer %d from %d to %d was aborted, and the footer does not say so", m.producer, m.first, m.at)
		}
	}
	for _, a := range e.Aborted {
		there := slices.ContainsFunc(c.facts.markers, func(m marker) bool {
			return m.abort && m.producer == a.ProducerID && m.at == a.Marker
		})
		if a.Marker >= 0 && !there || a.Marker < 0 && !e.Committed {
			c.whole("the footer says that producer %d aborted a transaction from %d to %d, and there is no such marker", a.ProducerID, a.First, a.Marker)
		}
	}
}
