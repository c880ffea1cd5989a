package checkpoint

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"tandem/internal/stream"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func at(topic string, number int32) stream.Partition {
	return stream.Partition{Topic: topic, Number: number}
}

func TestCheckpointBytes(t *testing.T) {
	for metadata, end := range map[string]string{"": "0000", "meta": "0004 6d657461"} {
		c := stream.Checkpoint{Group: "g1", Remote: at("A.orders", 3), Up: 100, Down: 90, Metadata: metadata, At: time.UnixMilli(1700000000000)}
		r, err := encodeCheckpoint(c)
		if err != nil {
			t.Fatal(err)
		}
		if want := unhex(t, "0002 6731 0008 412e6f7264657273 00000003"); !bytes.Equal(r.Key, want) {
			t.Errorf("key %x, want %x", r.Key, want)
		}
		if want := unhex(t, "0000 0000000000000064 000000000000005a"+end); !bytes.Equal(r.Value, want) {
			t.Errorf("value %x, want %x", r.Value, want)
		}
		if got, err := decodeCheckpoint(r); err != nil || got != c {
			t.Errorf("%+v became %+v, %v", c, got, err)
		}
	}
	if _, err := encodeCheckpoint(stream.Checkpoint{Metadata: strings.Repeat("x", 40000)}); !errors.Is(err, errLong) {
		t.Errorf("metadata of 40000 bytes: %v", err)
	}
}

// The records were written by MM2 4.3.1, of primary on backup.
func TestCapturedCheckpointsKeepTheirBytes(t *testing.T) {
	f, err := os.Open("testdata/mm2-4.3.1.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	count := 0
	known := NewKnown()
	for lines := bufio.NewScanner(f); lines.Scan(); count++ {
		var line struct {
			Key       string `json:"key_hex"`
			Value     string `json:"value_hex"`
			Timestamp int64
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		captured := stream.Record{Key: unhex(t, line.Key), Value: unhex(t, line.Value), Timestamp: time.UnixMilli(line.Timestamp)}
		c, err := decodeCheckpoint(captured)
		if err != nil {
			t.Fatal(err)
		}
		r, err := encodeCheckpoint(c)
		if err != nil || !bytes.Equal(r.Key, captured.Key) || !bytes.Equal(r.Value, captured.Value) || !r.Timestamp.Equal(captured.Timestamp) {
			t.Errorf("%s %s became %x %x %v, %v", line.Key, line.Value, r.Key, r.Value, r.Timestamp, err)
		}
		if err := known.TakeCheckpoint(captured); err != nil {
			t.Error(err)
		}
	}
	if count != 7 || len(known.Checkpoints["billing"]) != 4 || known.Checkpoints["billing"][at("primary.orders", 0)].Up != 0x1f1a7 {
		t.Errorf("%d records, %+v", count, known.Checkpoints)
	}
	if got := known.Checkpoints["audit"][at("primary.payments", 1)]; got.Up != 2 || got.Down != 2 {
		t.Errorf("the last checkpoint of audit is not the one that counts: %+v", got)
	}
}

func TestMalformedCheckpoints(t *testing.T) {
	const key, value = "0002 6731 0008 412e6f7264657273 00000003", "0000 0000000000000064 000000000000005a 0000"
	for _, c := range []struct{ story, key, value string }{
		{"no key", "", value},
		{"half a key", "0002 6731 0008 412e", value},
		{"no partition", "0002 6731 0008 412e6f7264657273 0000", value},
		{"partition below 0", "0002 6731 0008 412e6f7264657273 ffffffff", value},
		{"null for a string", "ffff 0008 412e6f7264657273 00000003", value},
		{"half a value", key, "0000 0000000000000064 0000"},
		{"no metadata", key, "0000 0000000000000064 000000000000005a"},
		{"metadata cut off", key, "0000 0000000000000064 000000000000005a 0004 6d65"},
		{"an offset below 0", key, "0000 ffffffffffffffff 000000000000005a 0000"},
	} {
		k := NewKnown()
		if err := k.TakeCheckpoint(stream.Record{Key: unhex(t, c.key), Value: unhex(t, c.value)}); err == nil || len(k.Checkpoints) > 0 {
			t.Errorf("%s: %v, %+v", c.story, err, k.Checkpoints)
		}
	}
	// As in MM2, the version does not matter, nor what follows.
	c, err := decodeCheckpoint(stream.Record{Key: unhex(t, key+"01"), Value: unhex(t, "0007"+value[4:]+"0102")})
	if err != nil || c.Up != 100 || c.Down != 90 {
		t.Errorf("%+v %v", c, err)
	}
	// Neither MM2 nor Tandem writes tombstones; someone else's hand may.
	k := NewKnown()
	for _, v := range [][]byte{unhex(t, value), nil} {
		if err := k.TakeCheckpoint(stream.Record{Key: unhex(t, key), Value: v}); err != nil {
			t.Error(err)
		}
	}
	if len(k.Checkpoints["g1"]) > 0 {
		t.Errorf("%+v", k.Checkpoints)
	}
}

// What is decoded encodes to what decodes to the same.
func FuzzCheckpoint(f *testing.F) {
	f.Add([]byte("\x00\x02g1\x00\x01t\x00\x00\x00\x03"), []byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x64\x00\x00\x00\x00\x00\x00\x00\x5a\x00\x00"))
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		c, err := decodeCheckpoint(stream.Record{Key: key, Value: value, Timestamp: time.UnixMilli(7)})
		if err != nil {
			return
		}
		r, err := encodeCheckpoint(c)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := decodeCheckpoint(r); err != nil || again != c {
			t.Errorf("%+v became %+v, %v", c, again, err)
		}
	})
}
