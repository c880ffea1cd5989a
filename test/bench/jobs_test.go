package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The baselines speak of JSON records of about 890 bytes: 1.78 GB of them are 443 MB in lz4 batches, and about 242 MB as zstd. The jobs'
// records are such.
func TestRecordsAreAsDescribed(t *testing.T) {
	l, batches := jobs["L"], 20
	lz := lz4.NewWriter(nil)
	if err := lz.Apply(lz4.BlockSizeOption(lz4.Block64Kb)); err != nil {
		t.Fatal(err)
	}
	zs, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer zs.Close()
	values, inLZ4, inZstd := 0, 0, 0
	for b := range batches {
		var records []*kgo.Record
		for n := range l.batchRecords {
			i := (b*l.batchRecords + n) * partitions
			r := record("t", i)
			if !json.Valid(r.Value) {
				t.Fatalf("record %d is not JSON: %s", i, r.Value)
			}
			if again := record("t", i); !bytes.Equal(r.Value, again.Value) || !r.Timestamp.Equal(again.Timestamp) {
				t.Fatalf("record %d is not the same twice", i)
			}
			values += len(r.Value)
			records = append(records, r)
		}
		packed, err := encodeBatch(records, "lz4", lz)
		if err != nil {
			t.Fatal(err)
		}
		inLZ4 += len(packed)
		plain, err := encodeBatch(records, "none", lz)
		if err != nil {
			t.Fatal(err)
		}
		inZstd += len(zs.EncodeAll(plain, nil))
	}
	if mean := values / batches / l.batchRecords; mean < 870 || mean > 910 {
		t.Errorf("records have %d bytes on average", mean)
	}
	if ratio := float64(values) / float64(inLZ4); ratio < 3.8 || ratio > 4.3 {
		t.Errorf("lz4 compresses %.2f to 1", ratio)
	}
	if ratio := float64(values) / float64(inZstd); ratio < 7 || ratio > 7.7 {
		t.Errorf("zstd compresses %.2f to 1", ratio)
	}
}
