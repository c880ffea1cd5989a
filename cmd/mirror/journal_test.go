package main

import (
	"maps"
	"slices"
	"testing"
	"time"

	"tandem/internal/replicate/position"
	"tandem/internal/stream"
)

// anchorRecords are what a process notes of where a remote partition goes on.
func anchorRecords(t *testing.T, remote stream.Partition, list ...position.Anchor) (records []stream.Record) {
	t.Helper()
	for _, a := range list {
		log := &keptLog{}
		store := position.NewAnchorStore(log, "t", stream.Flow{Source: "A", Target: "B"})
		store.Set(remote, a)
		if err := store.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		records = append(records, log.records...)
	}
	return records
}

var (
	orders      = stream.Partition{Topic: "orders"}
	ordersThere = stream.Partition{Topic: "A.orders"}
)

// followed is a journal over a log, and the anchors that it has told.
func followed(log registryLog, hold *holding) (*journal, map[stream.Partition]position.Anchor) {
	heard := make(map[stream.Partition]position.Anchor)
	return &journal{log: log, topic: "t", hold: hold,
		takeRuns:     func(stream.Record) error { return nil },
		takeFailover: func(stream.Record) error { return nil },
		takeAnchor:   func(remote stream.Partition, a position.Anchor) { heard[remote] = a },
	}, heard
}

// A process that stood still reads on before it hears that a partition was taken from it. What the new owner has noted meanwhile counts
// all the same when the partition comes back.
func TestTheJournalHearsOfAPartitionThatWasTaken(t *testing.T) {
	log, hold := &noteLog{}, newHolding()
	j, heard := followed(log, hold)
	hold.add([]stream.Partition{ordersThere})
	log.add(anchorRecords(t, ordersThere, position.Anchor{NextUp: 100, NextSequence: 50}, position.Anchor{NextUp: 106, NextSequence: 55})...)
	if err := j.catchUp(t.Context()); err != nil || len(heard) > 0 {
		t.Fatalf("of its own partition it heard %v, %v", heard, err)
	}
	hold.drop([]stream.Partition{ordersThere})
	j.forgotten([]stream.Partition{ordersThere})
	if err := j.catchUp(t.Context()); err != nil || heard[ordersThere].NextUp != 106 {
		t.Errorf("heard %+v, %v; want the place at 106", heard, err)
	}
}

// A target that has lost the end of the topic, or a topic made anew: what stands at offsets that were read before is new.
func TestTheJournalOfAShorterTopic(t *testing.T) {
	log := &noteLog{}
	j, heard := followed(log, newHolding())
	log.add(anchorRecords(t, ordersThere, position.Anchor{NextUp: 1}, position.Anchor{NextUp: 2}, position.Anchor{NextUp: 3})...)
	if err := j.catchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	log.records = log.records[:1]
	log.add(anchorRecords(t, ordersThere, position.Anchor{NextUp: 7})...)
	if err := j.catchUp(t.Context()); err != nil || heard[ordersThere].NextUp != 7 {
		t.Errorf("heard %+v, %v; want the place at 7", heard, err)
	}
	log.add(anchorRecords(t, ordersThere, position.Anchor{NextUp: 8})...)
	if err := j.catchUp(t.Context()); err != nil || heard[ordersThere].NextUp != 8 {
		t.Errorf("heard %+v, %v; want the place at 8", heard, err)
	}
}

// A partition is given up while the journal waits for a broker: the group does not wait for that one.
func TestTheJournalHoldsNobodyUp(t *testing.T) {
	log := &waitingLog{asked: make(chan struct{}), goOn: make(chan struct{})}
	j, _ := followed(log, newHolding())
	done := make(chan error)
	go func() { done <- j.catchUp(t.Context()) }()
	<-log.asked
	told := make(chan struct{})
	go func() {
		defer close(told)
		j.forgotten([]stream.Partition{ordersThere})
		j.writer()
		j.origins()
	}()
	select {
	case <-told:
	case <-time.After(10 * time.Second):
		t.Error("it waits")
	}
	close(log.goOn)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if again := slices.Collect(maps.Keys(j.takeAgain())); len(again) != 1 {
		t.Errorf("to be read again: %v", again)
	}
}

// Another process has followed a topic made anew. Where the partition comes to this one, it goes on where that came to, and not behind
// the position of the old topic that was read at the start.
func TestMemoryHearsOfATopicMadeAnew(t *testing.T) {
	old, anew := stream.TopicID{1}, stream.TopicID{2}
	for _, c := range []struct {
		story string
		from  []position.Anchor // before the start was over
		heard []position.Anchor
		known bool
	}{
		{story: "the same topic", heard: []position.Anchor{{Source: old, NextUp: 900}}, known: true},
		{story: "made anew", heard: []position.Anchor{{Source: anew, NextUp: 20}}},
		{story: "made anew, and gone on", heard: []position.Anchor{{Source: anew, NextUp: 20}, {Source: anew, NextUp: 30}}},
		{story: "long before the start", from: []position.Anchor{{Source: anew}, {Source: old, NextUp: 900}}, known: true},
		{story: "of an unknown topic", heard: []position.Anchor{{NextUp: 20}}, known: true},
	} {
		m := &memory{
			positions: map[stream.Partition]stream.Upstream{orders: 1000},
			anchors:   map[stream.Partition]position.Anchor{ordersThere: {Source: old, NextUp: 900}},
			remote: func(p stream.Partition) stream.Partition {
				return stream.Partition{Topic: "A." + p.Topic, Number: p.Number}
			},
		}
		for _, a := range c.from {
			m.hear(ordersThere, a)
		}
		m.follow()
		for _, a := range c.heard {
			m.hear(ordersThere, a)
		}
		if _, known := m.Position(orders); known != c.known {
			t.Errorf("%s: a position is known: %v", c.story, known)
		}
	}
}
