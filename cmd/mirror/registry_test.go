package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"tandem/internal/kafka"
	"tandem/internal/stream"
)

// noteLog is a topic in memory; nil records were compacted away.
type noteLog struct {
	records []*stream.Record
	gone    bool
	read    int
}

func (l *noteLog) ReadFrom(_ context.Context, _ string, _ int32, from int64, _ bool, each func(stream.Record) error) (int64, error) {
	if l.gone {
		return from, fmt.Errorf("read: %w", kafka.ErrUnknownTopic)
	}
	for i, r := range l.records {
		if r != nil && int64(i) >= from {
			l.read++
			if err := each(*r); err != nil {
				return int64(i), err
			}
		}
	}
	return int64(len(l.records)), nil
}

func (l *noteLog) ReadAt(_ context.Context, _ string, _ int32, offset int64) (stream.Record, error) {
	if offset >= int64(len(l.records)) || l.records[offset] == nil {
		return stream.Record{}, kafka.ErrNoRecord
	}
	return *l.records[offset], nil
}

func (l *noteLog) add(records ...stream.Record) {
	for _, r := range records {
		r.Offset = int64(len(l.records))
		l.records = append(l.records, &r)
	}
}

func originRecord(id int64) stream.Record {
	return stream.Record{Key: binary.BigEndian.AppendUint64([]byte{stream.TandemVersion, stream.KindOrigin}, uint64(id)), Value: []byte{stream.TandemVersion}}
}

func TestTheRegistryFollows(t *testing.T) {
	other := stream.Record{Key: []byte{stream.TandemVersion, stream.KindRuns, 1}, Value: []byte{1}}
	log := &noteLog{gone: true}
	g := &registry{log: log, topic: "t"}
	loads := func(story string, most int, want ...int64) {
		t.Helper()
		log.read = 0
		ids, _, err := g.load(t.Context())
		if err != nil || !slices.Equal(ids, want) || log.read > most {
			t.Fatalf("%s: %v (%v), %d records read; want %v and %d", story, ids, err, log.read, want, most)
		}
	}
	loads("no topic", 0)
	log.gone = false
	loads("an empty topic", 0)
	log.add(other, originRecord(7), other, other)
	loads("the first id", 4, 7)
	log.add(other, other)
	loads("only what is new is read", 2, 7)
	log.add(originRecord(9))
	loads("another id", 1, 7, 9)
	log.records[6] = nil
	log.add(originRecord(9))
	loads("an id that was noted again, and compacted", 7, 7, 9)

	*log = noteLog{}
	loads("made anew: empty", 0)
	log.add(originRecord(20))
	loads("made anew: another id", 1, 20)
	*log = noteLog{}
	log.add(originRecord(30), originRecord(31), other, other)
	loads("made anew, and longer than the old one", 4, 30, 31)
	log.add(stream.Record{Key: []byte{stream.TandemVersion + 1, stream.KindOrigin}})
	if _, _, err := g.load(t.Context()); err == nil {
		t.Error("a record of a newer version was passed over")
	}
}

// keptLog keeps what is appended.
type keptLog struct {
	writtenLog
	records []stream.Record
}

func (l *keptLog) Append(_ context.Context, _ string, records []stream.Record) error {
	l.records = append(l.records, records...)
	return nil
}

// waitingLog is a topic whose broker does not answer before it is told to.
type waitingLog struct {
	noteLog
	asked, goOn chan struct{}
}

func (l *waitingLog) ReadFrom(context.Context, string, int32, int64, bool, func(stream.Record) error) (int64, error) {
	close(l.asked)
	<-l.goOn
	return 0, nil
}
