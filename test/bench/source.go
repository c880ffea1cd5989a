package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
	"golang.org/x/sync/errgroup"
)

// Source data is sent as batches built here, since a producer client decides by the clock how many records it puts into one.

// written is what the source topic became.
type written struct{ records, batches, bytes int }

func (w written) String() string {
	return fmt.Sprintf("%d records in %d batches, %s on the wire", w.records, w.batches, megabytes(int64(w.bytes)))
}

// write fills the source topic, one writer a partition, one batch a request.
func (j job) write(ctx context.Context, c *cluster) (written, error) {
	var total written
	if err := c.createTopic(ctx, j.topic()); err != nil {
		return total, err
	}
	var parts [partitions]written
	g, ctx := errgroup.WithContext(ctx)
	for p := range int32(partitions) {
		g.Go(func() (err error) {
			parts[p], err = j.writePartition(ctx, c, p)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return total, fmt.Errorf("write source data: %w", err)
	}
	for _, w := range parts {
		total.records += w.records
		total.batches += w.batches
		total.bytes += w.bytes
	}
	return total, nil
}

func (j job) writePartition(ctx context.Context, c *cluster, p int32) (w written, err error) {
	// From version 13 on a produce request names topics by their ids.
	versions := kversion.Stable()
	versions.SetMaxKeyVersion(int16(kmsg.Produce), 12)
	client, err := c.newClient(kgo.MaxVersions(versions))
	if err != nil {
		return w, err
	}
	defer client.Close()
	compressor := lz4.NewWriter(nil)
	if err := compressor.Apply(lz4.BlockSizeOption(lz4.Block64Kb)); err != nil { // as the Java client has it
		return w, err
	}
	var records []*kgo.Record
	for i := int(p); i < j.records; i += partitions {
		records = append(records, record(j.topic(), i))
		if len(records) < j.batchRecords && i+partitions < j.records {
			continue
		}
		batch, err := encodeBatch(records, j.codec, compressor)
		if err != nil {
			return w, err
		}
		if err := produceBatch(ctx, client, j.topic(), p, batch); err != nil {
			return w, err
		}
		w.records += len(records)
		w.batches++
		w.bytes += len(batch)
		records = records[:0]
	}
	return w, nil
}

func produceBatch(ctx context.Context, client *kgo.Client, topic string, p int32, batch []byte) error {
	partition := kmsg.NewProduceRequestTopicPartition()
	partition.Partition, partition.Records = p, batch
	to := kmsg.NewProduceRequestTopic()
	to.Topic, to.Partitions = topic, append(to.Partitions, partition)
	request := kmsg.NewPtrProduceRequest()
	request.Acks, request.TimeoutMillis = -1, int32(time.Minute.Milliseconds())
	request.Topics = append(request.Topics, to)
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(response.Topics[0].Partitions[0].ErrorCode)
}

const (
	codecLZ4      = 3  // of the batch's attributes
	lengthEnds    = 12 // the length counts what comes after it
	checksumAt    = 17
	checksumStart = 21 // the checksum covers everything from the attributes on
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encodeBatch makes a record batch of format 2 with create time and without producer id.
func encodeBatch(records []*kgo.Record, codec string, compressor *lz4.Writer) ([]byte, error) {
	first, last := records[0].Timestamp.UnixMilli(), records[len(records)-1].Timestamp.UnixMilli()
	batch := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, Magic: 2, LastOffsetDelta: int32(len(records) - 1), FirstTimestamp: first, MaxTimestamp: last,
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: int32(len(records)),
	}
	var body []byte
	for i, r := range records {
		body = appendRecord(body, int64(i), r.Timestamp.UnixMilli()-first, r)
	}
	batch.Records = body
	if codec == "lz4" {
		var out bytes.Buffer
		compressor.Reset(&out)
		if _, err := compressor.Write(body); err != nil {
			return nil, err
		}
		if err := compressor.Close(); err != nil {
			return nil, err
		}
		batch.Attributes, batch.Records = codecLZ4, out.Bytes()
	}
	b := batch.AppendTo(make([]byte, 0, len(batch.Records)+64))
	binary.BigEndian.PutUint32(b[lengthEnds-4:], uint32(len(b)-lengthEnds))
	binary.BigEndian.PutUint32(b[checksumAt:], crc32.Checksum(b[checksumStart:], castagnoli))
	return b, nil
}

// appendRecord writes the length of a record, then: attributes, deltas of timestamp and offset, key, value, headers.
func appendRecord(dst []byte, offset, timestamp int64, r *kgo.Record) []byte {
	sized := func(b, field []byte) []byte { return append(binary.AppendVarint(b, int64(len(field))), field...) }
	b := make([]byte, 1, len(r.Key)+len(r.Value)+64)
	b = binary.AppendVarint(b, timestamp)
	b = binary.AppendVarint(b, offset)
	b = sized(b, r.Key)
	b = sized(b, r.Value)
	b = binary.AppendVarint(b, int64(len(r.Headers)))
	for _, h := range r.Headers {
		b = sized(b, []byte(h.Key))
		b = sized(b, h.Value)
	}
	return append(binary.AppendVarint(dst, int64(len(b))), b...)
}
