package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	"github.com/pierrec/lz4/v4"
)

// The baselines speak of JSON records of about 890 bytes that lz4 brings to a quarter; the jobs' records are such.
func TestRecordsAreAsDescribed(t *testing.T) {
	const n = 2000
	var all bytes.Buffer
	for i := range n {
		r := record("t", i)
		if !json.Valid(r.Value) {
			t.Fatalf("record %d is not JSON: %s", i, r.Value)
		}
		if again := record("t", i); !bytes.Equal(r.Value, again.Value) || !r.Timestamp.Equal(again.Timestamp) {
			t.Fatalf("record %d is not the same twice", i)
		}
		all.Write(r.Value)
	}
	if mean := all.Len() / n; mean < 870 || mean > 910 {
		t.Errorf("records have %d bytes on average", mean)
	}
	compressed := 0
	for block := range slices.Chunk(all.Bytes(), 262_144) {
		dst := make([]byte, lz4.CompressBlockBound(len(block)))
		size, err := lz4.CompressBlock(block, dst, nil)
		if err != nil {
			t.Fatal(err)
		}
		compressed += size
	}
	if ratio := float64(all.Len()) / float64(compressed); ratio < 3.7 || ratio > 4.3 {
		t.Errorf("lz4 compresses %.2f to 1", ratio)
	}
}
