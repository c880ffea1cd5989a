package replicate

import (
	"slices"
	"sync/atomic"
)

// counters are what the pipe has done so far.
type counters struct {
	records, bytes atomic.Int64
	refused        atomic.Int64 // records set aside
	fetched        atomic.Int64 // bytes
	forms          [4]struct{ records, bytes, batches atomic.Int64 }
	troubles       [causes]atomic.Int64
}

func (c *counters) acked(s *sent) {
	c.records.Add(int64(s.records))
	c.bytes.Add(int64(s.bytes))
	if int(s.form) < len(c.forms) {
		f := &c.forms[s.form]
		f.records.Add(int64(s.records))
		f.bytes.Add(int64(s.bytes))
		f.batches.Add(1)
	}
}

// trouble counts that a partition came to stand, or went on in spite of what stops others.
func (c *counters) trouble(by Cause) {
	if i := slices.Index(Causes, by); i >= 0 {
		c.troubles[i].Add(1)
	}
}
