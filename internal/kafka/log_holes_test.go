package kafka

import (
	"fmt"
	"hash/crc32"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/stream"
)

// batchBytes makes a record batch of keys at offsets first.., whose last offset is last.
func batchBytes(first, last int64, keys ...string) []byte {
	b := kmsg.RecordBatch{
		FirstOffset: first, Magic: 2, LastOffsetDelta: int32(last - first), NumRecords: int32(len(keys)),
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, PartitionLeaderEpoch: -1,
	}
	for i, key := range keys {
		r := kmsg.Record{OffsetDelta: int32(i), Key: []byte(key)}
		r.Length = int32(len(r.AppendTo(nil)) - 1) // without the length's own byte
		b.Records = r.AppendTo(b.Records)
	}
	b.Length = int32(len(b.AppendTo(nil)) - 12)
	b.CRC = int32(crc32.Checksum(b.AppendTo(nil)[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b.AppendTo(nil)
}

// scripted is a broker whose log is written by hand: what it answers to a fetch at each offset.
type scripted struct {
	end     int64 // high watermark, and last stable offset
	open    int64 // records before end of a transaction that is still open: the last stable offset is so much less
	answers map[int64][]byte
	codes   map[int64]int16 // an error code, given once
	fetched []int64
}

func (s *scripted) install(cluster *kfake.Cluster) {
	cluster.ControlKey(kmsg.ListOffsets.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		p := kmsg.NewListOffsetsResponseTopicPartition()
		if req.(*kmsg.ListOffsetsRequest).Topics[0].Partitions[0].Timestamp == -1 {
			p.Offset = s.end
		} else {
			p.Offset = s.first()
		}
		resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
		resp.Topics = []kmsg.ListOffsetsResponseTopic{{Topic: "log", Partitions: []kmsg.ListOffsetsResponseTopicPartition{p}}}
		return resp, nil, true
	})
	cluster.ControlKey(kmsg.Fetch.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		fetch := req.(*kmsg.FetchRequest)
		at := fetch.Topics[0].Partitions[0].FetchOffset
		s.fetched = append(s.fetched, at)
		p := kmsg.NewFetchResponseTopicPartition()
		p.HighWatermark, p.LastStableOffset = s.end, s.end-s.open
		p.ErrorCode, p.RecordBatches = s.codes[at], s.answers[at]
		if p.ErrorCode != 0 {
			p.RecordBatches = nil
		}
		delete(s.codes, at)
		resp := req.ResponseKind().(*kmsg.FetchResponse)
		resp.Topics = []kmsg.FetchResponseTopic{{Topic: "log", TopicID: fetch.Topics[0].TopicID, Partitions: []kmsg.FetchResponseTopicPartition{p}}}
		return resp, nil, true
	})
}

func (s *scripted) first() int64 {
	first := s.end
	for at := range s.answers {
		first = min(first, at)
	}
	return first
}

func TestReadAllOverHoles(t *testing.T) {
	join := func(batches ...[]byte) []byte { return slices.Concat(batches...) }
	for _, test := range []struct {
		name    string
		end     int64
		answers map[int64][]byte
		codes   map[int64]int16
		want    string // offsets and keys
		fetches int
	}{
		{"a log without holes", 3, map[int64][]byte{0: batchBytes(0, 2, "a", "b", "c")}, nil, "0a 1b 2c ", 1},
		{"a batch that lost its last record", 3, map[int64][]byte{0: batchBytes(0, 2, "a", "b")}, nil, "0a 1b ", 1},
		{"a segment in which only an emptied batch is left", 9,
			map[int64][]byte{0: batchBytes(0, 4), 5: batchBytes(5, 8, "f", "g", "h", "i")}, nil, "5f 6g 7h 8i ", 2},
		{"an emptied batch at the end", 9, map[int64][]byte{0: batchBytes(0, 1, "a", "b"), 2: batchBytes(2, 8)}, nil, "0a 1b ", 2},
		{"a hole between batches", 9, map[int64][]byte{0: join(batchBytes(0, 1, "a", "b"), batchBytes(7, 8, "h", "i"))}, nil, "0a 1b 7h 8i ", 1},
		{"a hole up to the end", 9, map[int64][]byte{0: batchBytes(0, 1, "a", "b")}, nil, "0a 1b ", 3},
		{"a log that is one hole", 9, map[int64][]byte{0: nil}, nil, "", 2},
		{"the last batch cut off by the size of the answer", 4,
			map[int64][]byte{0: join(batchBytes(0, 1, "a", "b"), batchBytes(2, 3, "c", "d")[:40]), 2: batchBytes(2, 3, "c", "d")}, nil, "0a 1b 2c 3d ", 2},
		{"an answer that begins before what was asked for", 4, map[int64][]byte{1: batchBytes(0, 3, "a", "b", "c", "d")}, nil, "1b 2c 3d ", 1},
		{"the leader moved", 2, map[int64][]byte{0: batchBytes(0, 1, "a", "b")},
			map[int64]int16{0: kerr.NotLeaderForPartition.Code}, "0a 1b ", 2},
		{"the leader's epoch is not known yet", 2, map[int64][]byte{0: batchBytes(0, 1, "a", "b")},
			map[int64]int16{0: kerr.UnknownLeaderEpoch.Code}, "0a 1b ", 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			cluster, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "log"))
			s := &scripted{end: test.end, answers: test.answers, codes: test.codes}
			s.install(cluster)
			a := adminOf(t, cluster.ListenAddrs()[0], nil)
			for _, committed := range []bool{false, true} {
				s.fetched = nil
				var got string
				for _, r := range readAll(t, a, "log", committed) {
					got += fmt.Sprintf("%d%s ", r.Offset, r.Key)
				}
				if got != test.want {
					t.Errorf("committed %v: got %q, want %q", committed, got, test.want)
				}
				if !committed && len(s.fetched) != test.fetches {
					t.Errorf("fetched at %v, want %d fetches", s.fetched, test.fetches)
				}
			}
		})
	}
}

// Retention deletes the log's beginning between two fetches: reading goes on with what is left.
func TestReadAllWhileRetentionDeletes(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "log"))
	s := &scripted{end: 6, answers: map[int64][]byte{0: batchBytes(0, 1, "a", "b")}, codes: map[int64]int16{2: kerr.OffsetOutOfRange.Code}}
	s.install(cluster)
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	var got string
	err := a.ReadAll(within(t, 10*time.Second), "log", true, func(r stream.Record) error {
		got += fmt.Sprintf("%d%s ", r.Offset, r.Key)
		if r.Offset == 1 {
			s.answers = map[int64][]byte{4: batchBytes(4, 5, "e", "f")}
		}
		return nil
	})
	if err != nil || got != "0a 1b 4e 5f " {
		t.Errorf("got %q, %v", got, err)
	}
}

// An unclean election took the log's end: what was to be read is gone, and waiting for it would never end.
func TestReadAllOfALogThatLostItsEnd(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "log"))
	s := &scripted{end: 6, answers: map[int64][]byte{0: batchBytes(0, 1, "a", "b")}, codes: map[int64]int16{2: kerr.OffsetOutOfRange.Code}}
	s.install(cluster)
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	if got := readAll(t, a, "log", true); len(got) != 2 {
		t.Errorf("got %s", transcript(got))
	}
}

// A new leader shows less than the old one did, until its followers have told it how far they are.
func TestReadAllWaitsForANewLeaderToCatchUp(t *testing.T) {
	for _, committed := range []bool{false, true} {
		cluster, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "log"))
		s := &scripted{end: 4, answers: map[int64][]byte{0: batchBytes(0, 1, "a", "b")}}
		s.install(cluster)
		a := adminOf(t, cluster.ListenAddrs()[0], nil)
		var got string
		err := a.ReadAll(within(t, 10*time.Second), "log", committed, func(r stream.Record) error {
			got += fmt.Sprintf("%d%s ", r.Offset, r.Key)
			if r.Offset == 1 { // the election happens now
				if committed {
					s.open = 2
				} else {
					s.end = 2
				}
				cluster.ControlKey(kmsg.Metadata.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
					s.end, s.open, s.answers = 4, 0, map[int64][]byte{2: batchBytes(2, 3, "c", "d")}
					return nil, nil, false
				})
			}
			return nil
		})
		if err != nil || got != "0a 1b 2c 3d " {
			t.Errorf("committed %v: got %q, %v", committed, got, err)
		}
	}
}

func TestReadAllRefusesADamagedBatch(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "log"))
	damaged := batchBytes(0, 1, "a", "b")
	damaged[len(damaged)-1] ^= 1
	s := &scripted{end: 2, answers: map[int64][]byte{0: damaged}}
	s.install(cluster)
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	if err := a.ReadAll(within(t, 10*time.Second), "log", false, func(stream.Record) error { return nil }); err == nil {
		t.Error("read without an error")
	}
}

// The topic is deleted and made anew between two fetches: its offsets mean other records now.
func TestReadAllOfATopicMadeAnew(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "log"))
	a := adminOf(t, cluster.ListenAddrs()[0], nil)
	s := &scripted{end: 4, answers: map[int64][]byte{0: batchBytes(0, 1, "a", "b")}, codes: map[int64]int16{2: kerr.UnknownTopicID.Code}}
	s.install(cluster)
	err := a.ReadAll(within(t, 10*time.Second), "log", false, func(r stream.Record) error {
		if r.Offset == 1 {
			if err := cluster.DeleteTopic("log"); err != nil {
				return err
			}
			return cluster.CreateTopic("log", 1, nil)
		}
		return nil
	})
	if Classify(err) != UnknownTopic {
		t.Errorf("got %v", err)
	}
}
