package kafka

import (
	"bytes"
	"compress/flate"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/stream"
)

func sampleSubscription() *subscription {
	s := &subscription{
		settings: "5e77", host: "one.example", generation: 7, asks: 3,
		counts: map[string]int32{"A.orders": 3, "A.new": 0},
		keep:   setOf([]stream.Partition{{Topic: "A.orders", Number: 0}, {Topic: "A.orders", Number: 2}}),
		going:  setOf([]stream.Partition{{Topic: "A.orders", Number: 1}, {Topic: "A.unwanted", Number: 5}}),
	}
	s.sign()
	return s
}

func TestSubscriptionComesBack(t *testing.T) {
	want := sampleSubscription()
	got, err := decodeSubscription(want.encode())
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}

// Kafka's tools and brokers read what Kafka's own consumers write.
func TestAssignmentIsKafkas(t *testing.T) {
	given := []stream.Partition{{Topic: "A.a", Number: 0}, {Topic: "A.a", Number: 4}, {Topic: "A.b", Number: 1}}
	rows := []shareRow{{ShareMember: ShareMember{ID: "m-1", Instance: "i", Host: "h", Settings: "s", Partitions: 3}, pending: 2, stamp: 9}}
	data := encodeAssignment(given, rows)
	a := kmsg.NewConsumerMemberAssignment()
	if err := a.ReadFrom(data); err != nil {
		t.Fatal(err)
	}
	if len(a.Topics) != 2 || a.Topics[0].Topic != "A.a" || fmt.Sprint(a.Topics[0].Partitions) != "[0 4]" || a.Topics[1].Topic != "A.b" {
		t.Errorf("a consumer reads %+v", a.Topics)
	}
	gotGiven, gotRows, err := decodeAssignment(data)
	if err != nil || !reflect.DeepEqual(gotGiven, given) || !reflect.DeepEqual(gotRows, rows) {
		t.Errorf("%v, %v, %v", gotGiven, gotRows, err)
	}
	if given, rows, err := decodeAssignment(nil); given != nil || rows != nil || err != nil {
		t.Errorf("nothing assigned is %v, %v, %v", given, rows, err)
	}
}

// A broker keeps what all members say, and what each is given, in one record of a megabyte at most.
func TestGroupOfTenThousandTopicsFitsARecord(t *testing.T) {
	const members = 3
	total := 0
	for m := range members {
		s := &subscription{counts: map[string]int32{}, keep: partitionSet{}, going: partitionSet{}}
		var given []stream.Partition
		for i := range 10_000 {
			p := stream.Partition{Topic: fmt.Sprintf("primary.department-%d.some-long-topic-name", i)}
			s.counts[p.Topic] = 1
			if i%members == m {
				s.keep[p] = struct{}{}
				given = append(given, p)
			}
		}
		total += len(s.encode()) + len(encodeAssignment(given, make([]shareRow, members)))
	}
	if total > 900_000 {
		t.Errorf("%d bytes", total)
	}
}

func TestStampTellsWhatTheLeaderHasNotHeard(t *testing.T) {
	base := sampleSubscription()
	for name, change := range map[string]func(*subscription){
		"settings": func(s *subscription) { s.settings += "x" },
		"host":     func(s *subscription) { s.host += "x" },
		"topics":   func(s *subscription) { s.counts["A.more"] = 0 },
		"counts":   func(s *subscription) { s.counts["A.orders"]++ },
	} {
		s := sampleSubscription()
		change(s)
		if s.sign(); s.stamp == base.stamp {
			t.Errorf("another %s has the same stamp", name)
		}
	}
	s := sampleSubscription()
	s.keep, s.asks, s.generation = partitionSet{}, 99, 99
	if s.sign(); s.stamp != base.stamp {
		t.Error("what a member holds changes its stamp")
	}
}

func TestStrangeUserDataIsRefused(t *testing.T) {
	consumer := kmsg.NewConsumerMemberMetadata()
	consumer.Topics = []string{"A.orders"}
	newer := kmsg.NewConsumerMemberMetadata()
	newer.UserData = []byte{shareVersion + 1, 0}
	var bomb bytes.Buffer
	bomb.WriteByte(shareVersion)
	z, _ := flate.NewWriter(&bomb, flate.BestSpeed)
	if _, err := z.Write(make([]byte, shareBytesMost+10)); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	large := kmsg.NewConsumerMemberMetadata()
	large.UserData = bomb.Bytes()
	for name, c := range map[string]struct {
		data []byte
		says string
	}{
		"nothing":           {nil, "read subscription"},
		"another consumer":  {consumer.AppendTo(nil), "no user data"},
		"a newer program":   {newer.AppendTo(nil), "version 2"},
		"more than bounded": {large.AppendTo(nil), "too large"},
	} {
		if _, err := decodeSubscription(c.data); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

func FuzzSubscription(f *testing.F) {
	f.Add(sampleSubscription().encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := decodeSubscription(data)
		if err != nil {
			return
		}
		again, err := decodeSubscription(s.encode())
		if err != nil || !maps.Equal(s.counts, again.counts) || !maps.Equal(s.keep, again.keep) || !maps.Equal(s.going, again.going) {
			t.Errorf("%+v became %+v, %v", s, again, err)
		}
	})
}

func FuzzAssignment(f *testing.F) {
	f.Add(encodeAssignment([]stream.Partition{{Topic: "A.a", Number: 1}}, []shareRow{{ShareMember: ShareMember{ID: "m"}}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		given, rows, err := decodeAssignment(data)
		if err != nil {
			return
		}
		_, again, err := decodeAssignment(encodeAssignment(given, rows))
		if err != nil || len(again) != len(rows) {
			t.Errorf("%v became %v, %v", rows, again, err)
		}
	})
}
