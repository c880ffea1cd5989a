package integration

import (
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// size is what the header of a record batch says.
type size struct {
	bytes              int
	records, lastDelta int32
}

// Where the fields of a record batch (format 2) stand.
const (
	lengthAt    = 8 // INT32: bytes after this field
	lengthEnds  = 12
	lastDeltaAt = 23
	recordsAt   = 57
	headerEnds  = 61
)

// batches reads the sizes of all record batches of a partition.
func (s side) batches(topic string, partition int32) (all []size) {
	s.t.Helper()
	versions := kversion.Stable()
	versions.SetMaxKeyVersion(int16(kmsg.Fetch), 12) // later ones name topics by id
	client := s.newClient(kgo.MaxVersions(versions))
	defer client.Close()
	ends, err := s.ends(topic)
	if err != nil {
		s.t.Fatal(err)
	}
	for at := int64(0); at < ends[partition]; {
		raw := s.fetch(client, topic, partition, at)
		for len(raw) >= headerEnds {
			bytes := lengthEnds + int(binary.BigEndian.Uint32(raw[lengthAt:]))
			if bytes > len(raw) {
				break // cut off at the end of the answer
			}
			delta := int32(binary.BigEndian.Uint32(raw[lastDeltaAt:]))
			all = append(all, size{bytes, int32(binary.BigEndian.Uint32(raw[recordsAt:])), delta})
			at = int64(binary.BigEndian.Uint64(raw)) + int64(delta) + 1
			raw = raw[bytes:]
		}
	}
	return all
}

// fetch reads record batches as bytes from an offset on.
func (s side) fetch(client *kgo.Client, topic string, partition int32, at int64) []byte {
	s.t.Helper()
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, at, 16<<20
	of := kmsg.NewFetchRequestTopic()
	of.Topic, of.Partitions = topic, append(of.Partitions, p)
	request := kmsg.NewPtrFetchRequest()
	request.MaxBytes, request.MaxWaitMillis, request.MinBytes = 16<<20, 100, 1
	request.Topics = append(request.Topics, of)
	answer, err := client.SeedBrokers()[0].Request(s.t.Context(), request)
	if err == nil {
		err = kerr.ErrorForCode(answer.(*kmsg.FetchResponse).Topics[0].Partitions[0].ErrorCode)
	}
	if err != nil {
		s.t.Fatalf("fetch %s/%d at %d: %v", topic, partition, at, err)
	}
	return answer.(*kmsg.FetchResponse).Topics[0].Partitions[0].RecordBatches
}
