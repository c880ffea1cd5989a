package position

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"tandem/internal/stream"
)

var (
	ctx  = context.Background()
	flow = stream.Flow{Source: "primary", Target: "backup"}

	errDown = errors.New("broker down")
)

// fakeLog is topics in memory. Its clock moves a second with each record that carries no time.
type fakeLog struct {
	topics  map[string][]stream.Record // in order of append, over all partitions
	now     time.Time
	appends []int       // sizes of the appends that came
	fail    map[int]int // n-th append, counted from 0, fails after so many records; -1 for before any
	during  func()      // runs inside an append
}

func newFakeLog() *fakeLog {
	return &fakeLog{topics: map[string][]stream.Record{}, now: time.UnixMilli(1_700_000_000_000)}
}

func (l *fakeLog) ReadAll(_ context.Context, topic string, committed bool, each func(stream.Record) error) error {
	if !committed {
		return errors.New("positions must be read committed")
	}
	for _, r := range l.topics[topic] {
		if err := each(r); err != nil {
			return err
		}
	}
	return nil
}

func (l *fakeLog) Append(_ context.Context, topic string, records []stream.Record) error {
	n := len(l.appends)
	l.appends = append(l.appends, len(records))
	if l.during != nil {
		l.during()
	}
	keep, failing := l.fail[n]
	if !failing {
		keep = len(records)
	}
	for _, r := range records[:max(keep, 0)] {
		l.put(topic, r)
	}
	if failing {
		return errDown
	}
	return nil
}

func (l *fakeLog) put(topic string, r stream.Record) {
	if r.Timestamp.IsZero() {
		l.now = l.now.Add(time.Second)
		r.Timestamp = l.now
	}
	for _, other := range l.topics[topic] {
		if other.Partition == r.Partition {
			r.Offset = other.Offset + 1
		}
	}
	l.topics[topic] = append(l.topics[topic], r)
}

// texts lists the records of a topic from the n-th on as "partition key value".
func (l *fakeLog) texts(topic string, n int) []string {
	var list []string
	for _, r := range l.topics[topic][n:] {
		list = append(list, fmt.Sprintf("%d %s %s", r.Partition, r.Key, r.Value))
	}
	return list
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
