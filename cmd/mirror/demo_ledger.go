package main

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"tandem/internal/testkit/embedded"
)

// demoLedger knows of every order of the demo where it was written, whether it arrived, and whether it was billed. Nothing that is
// proved on the screen rests on what the clusters or the commands say of themselves.
type demoLedger struct {
	mu     sync.Mutex // guards all below
	orders []entry    // by number, from 1; the first is none
	newest map[int32]int
	copies copies
	delays []time.Duration // of copies, since the last line
	bills  bills

	ends    map[spot]int64 // of what is on backup
	reached map[spot]int64 // up to where billing has read there
	await   chan struct{}  // closed at the next acknowledgement; nil: nobody waits for it
}

// spot is a partition on backup.
type spot struct {
	topic     string
	partition int32
}

func spotOf(o embedded.Order) spot { return spot{o.Topic, o.Partition} }

// entry is one order.
type entry struct {
	embedded.Order      // as it was sent; its place once it was acknowledged
	acked          bool // the cluster that it was written to has said that it has it
	old            bool // that was primary
	copied         bool // it was read from primary.orders on backup
	billed         bool
}

// copies is what is wrong with primary.orders on backup.
type copies struct {
	count, repeated, different, disordered int
}

// bills is what billing did.
type bills struct {
	count, again, unknown int // again: read once more, and known by its number
}

func newDemoLedger() *demoLedger {
	return &demoLedger{orders: make([]entry, 1), newest: make(map[int32]int), ends: make(map[spot]int64), reached: make(map[spot]int64)}
}

// asked hears of an order before it is sent.
func (l *demoLedger) asked(o embedded.Order, old bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.orders = append(l.orders, entry{Order: o, old: old})
}

// next is the number of the next order.
func (l *demoLedger) next() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.orders)
}

// written hears of an order that was acknowledged.
func (l *demoLedger) written(o embedded.Order) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.await != nil {
		close(l.await)
		l.await = nil
	}
	e := &l.orders[o.Number]
	e.acked, e.Topic, e.Partition, e.Offset = true, o.Topic, o.Partition, o.Offset
	if !e.old {
		l.ends[spotOf(o)] = o.Offset + 1
	}
}

// nextAck is closed when an order is acknowledged.
func (l *demoLedger) nextAck() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.await = make(chan struct{})
	return l.await
}

func same(a, b embedded.Order) bool {
	return a.Number == b.Number && a.Key == b.Key && a.Value == b.Value && a.At.Equal(b.At)
}

// arrived hears of each record of primary.orders on backup.
func (l *demoLedger) arrived(o embedded.Order) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.copies.count++
	l.ends[spotOf(o)] = o.Offset + 1
	if o.Number < 1 || o.Number >= len(l.orders) || !same(o, l.orders[o.Number].Order) {
		l.copies.different++
		return
	}
	e := &l.orders[o.Number]
	switch {
	case e.copied:
		l.copies.repeated++
	case o.Number < l.newest[o.Partition]:
		l.copies.disordered++
	}
	e.copied = true
	l.newest[o.Partition] = max(l.newest[o.Partition], o.Number)
	l.delays = append(l.delays, time.Since(o.At))
}

var errBroken = fmt.Errorf("an order that cannot be read")

// bill bills an order, unless it has been.
func (l *demoLedger) bill(o embedded.Order) error {
	if o.Number < 1 {
		return errBroken
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case o.Number >= len(l.orders):
		l.bills.unknown++
	case l.orders[o.Number].billed:
		l.bills.again++
	default:
		l.orders[o.Number].billed = true
		l.bills.count++
	}
	return nil
}

// read hears of each record that billing has read on backup.
func (l *demoLedger) read(o embedded.Order) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reached[spotOf(o)] = max(l.reached[spotOf(o)], o.Offset+1)
}

// caughtUp says that billing has come to the end of a topic on backup.
func (l *demoLedger) caughtUp(topic string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for at, end := range l.ends {
		if at.topic == topic && l.reached[at] < end {
			return false
		}
	}
	return true
}

// endsOf are the ends of a topic on backup.
func (l *demoLedger) endsOf(topic string) map[spot]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := make(map[spot]int64)
	for at, end := range l.ends {
		if at.topic == topic {
			found[at] = end
		}
	}
	return found
}

// sums are what the lines of the story show.
type sums struct {
	acked, copied, billed, again int
	toBill                       int           // written and not billed; of the old ones those on backup only
	delay                        time.Duration // median from order to copy; 0: nothing came
}

// sum counts anew; the delays are those since it was asked last.
func (l *demoLedger) sum() (s sums) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.copied, s.billed, s.again = l.copies.count, l.bills.count, l.bills.again
	for i := range l.orders {
		e := &l.orders[i]
		if e.acked {
			s.acked++
		}
		if !e.billed && (e.copied || e.acked && !e.old) {
			s.toBill++
		}
	}
	if n := len(l.delays); n > 0 {
		slices.Sort(l.delays)
		s.delay = l.delays[n/2]
	}
	l.delays = l.delays[:0]
	return s
}

// death is what became of primary's orders.
type death struct {
	copies
	acked int
	lost  int           // acknowledged by primary, and not on backup
	last  time.Duration // how long before the last of them the first was written
	gaps  int           // of the lost, those before one that is there: a copy must be a beginning
}

// died accounts for primary. Lost may only be the end of each partition.
func (l *demoLedger) died() death {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := death{copies: l.copies}
	var first, last time.Time
	for i := range l.orders {
		e := &l.orders[i]
		if !e.old || !e.acked {
			continue
		}
		d.acked++
		if e.copied {
			continue
		}
		if d.lost++; d.lost == 1 {
			first = e.At
		}
		last = e.At
		if e.Number < l.newest[e.Partition] {
			d.gaps++
		}
	}
	d.last = last.Sub(first)
	return d
}

// skipped are orders on backup that were not billed, where billing has come to their end: all of them, or copies only.
func (l *demoLedger) skipped(copiesOnly bool) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.orders {
		if e := &l.orders[i]; !e.billed && (e.copied || e.acked && !e.old && !copiesOnly) {
			n++
		}
	}
	return n
}

// unknown are records that were billed, and that nobody has written.
func (l *demoLedger) unknown() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bills.unknown
}

// restored is a topic beside what was written to it.
type restored struct {
	wanted, got              int
	lost, surplus, different int // surplus: behind or between what belongs there, broken ones too
	again                    int // read by billing after the restore, and billed before
}

func (r restored) equal() bool { return r.got == r.wanted && r.lost+r.surplus+r.different+r.again == 0 }

// compare compares record by record what a restored topic holds with what was acknowledged of the new orders up to a moment.
func (l *demoLedger) compare(got []embedded.Order, until time.Time) (r restored) {
	l.mu.Lock()
	defer l.mu.Unlock()
	wanted := make(map[int32][]embedded.Order)
	for i := range l.orders {
		if e := &l.orders[i]; e.acked && !e.old && !e.At.After(until) {
			wanted[e.Partition] = append(wanted[e.Partition], e.Order)
			r.wanted++
		}
	}
	for _, list := range wanted {
		slices.SortFunc(list, func(a, b embedded.Order) int { return int(a.Offset - b.Offset) })
	}
	at := make(map[int32]int)
	for _, o := range got {
		r.got++
		n := at[o.Partition]
		at[o.Partition]++
		switch list := wanted[o.Partition]; {
		case n >= len(list):
			r.surplus++
		case !same(o, list[n]) || o.Offset != list[n].Offset:
			r.different++
		}
	}
	for p, list := range wanted {
		r.lost += max(len(list)-at[p], 0)
	}
	return r
}
