package main

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// What was acknowledged and lies behind the end of a copy is lost, from the oldest of it on.
func TestLost(t *testing.T) {
	moment := time.UnixMilli(1_000_000)
	ago := func(seconds float64) time.Time { return moment.Add(-time.Duration(seconds * float64(time.Second))) }
	l := &ledger{acked: [partitions][]acked{
		{{offset: 0, at: ago(9)}, {offset: 1, at: ago(8)}, {offset: 2, at: ago(7)}},
		{{offset: 0, at: ago(5)}, {offset: 4, at: ago(4)}}, // between them records that were sent and not acknowledged
		{{offset: 0, at: ago(-.1)}},                        // on its way to the producer when the broker died
	}}
	for _, tt := range []struct {
		name string
		next []int64
		want loss
	}{
		{"nothing", []int64{3, 5, 1, 0}, loss{}},
		{"the newest", []int64{2, 5, 1, 0}, loss{records: 1, seconds: 7}},
		{"of two partitions, the oldest counts", []int64{3, 1, 0, 0}, loss{records: 2, seconds: 4}},
		{"the end is among what was not acknowledged", []int64{3, 3, 1, 0}, loss{records: 1, seconds: 4}},
		{"acknowledged after the loss: no time", []int64{3, 5, 0, 0}, loss{records: 1}},
		{"everything", []int64{0, 0, 0, 0}, loss{records: 6, seconds: 9}},
	} {
		if got := l.lost(tt.next, moment); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// A broker keeps the milliseconds of a timestamp: a record within the last one is as of it.
func TestBefore(t *testing.T) {
	l := &ledger{}
	at := time.UnixMilli(5000)
	for i, nanoseconds := range []time.Duration{-time.Millisecond, 0, time.Millisecond - 1, time.Millisecond} {
		l.add(&kgo.Record{Partition: 1, Offset: int64(i), Timestamp: at.Add(nanoseconds)})
	}
	if n, next := l.before(at); n != 3 || next != [partitions]int64{0, 3, 0, 0} {
		t.Errorf("got %d, %v", n, next)
	}
	if got := l.last(); got != [partitions]int64{-1, 3, -1, -1} {
		t.Errorf("last: %v", got)
	}
}

// A partition pauses from its last record before to its first one after.
func TestPauses(t *testing.T) {
	w := &pauses{}
	for _, seen := range []struct {
		ms   int64
		ends []int64
	}{
		{0, []int64{1, 1, 1, 1}},
		{100, []int64{2, 2, 2, 2}},
		{200, []int64{3, 2, 3, 3}},
		{2100, []int64{9, 3, 9, 9}},
		{2200, []int64{9, 9, 9, 10}},
	} {
		w.see(seen.ends, time.UnixMilli(seen.ms))
	}
	if got := w.longest(); got != 2*time.Second {
		t.Errorf("got %s", got)
	}
}

// The table has the median and the worst of the runs: of a rate the smallest, of everything else the largest.
func TestRecoveryTable(t *testing.T) {
	var out strings.Builder
	printRecovery(&out, []figure{
		{"lost", "records", "", "records", 12}, {"lost", "time", "ten", "s", .25}, {"back", "rate", "one", "MB/s", 150},
		{"lost", "records", "", "records", 2}, {"lost", "time", "ten", "s", 31.04}, {"back", "rate", "one", "MB/s", 80},
		{"lost", "records", "", "records", 3},
	}, .5)
	var rows []string
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(line, "| ") {
			rows = append(rows, line)
		}
	}
	want := `| event | figure | of | median | worst | runs |
| lost | records |  | 3 records | 12 records | 3 |
| lost | time | ten | 15.6 s | 31.0 s | 2 |
| back | rate | one | 115 MB/s | 80.0 MB/s | 2 |
`
	if got := strings.Join(rows, ""); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if !strings.Contains(out.String(), "scale 0.5") {
		t.Errorf("no scale: %s", out.String())
	}
}
