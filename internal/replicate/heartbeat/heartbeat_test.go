package heartbeat

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
	"time"

	"tandem/internal/stream"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestHeartbeatBytes(t *testing.T) {
	r := Heartbeat{Flow: stream.Flow{Source: "A", Target: "B"}, At: time.UnixMilli(1700000000000)}.Record()
	if got, want := hex.EncodeToString(r.Key), "000141000142"; got != want {
		t.Errorf("key %s, want %s", got, want)
	}
	if got, want := hex.EncodeToString(r.Value), "00000000018bcfe56800"; got != want {
		t.Errorf("value %s, want %s", got, want)
	}
}

// The records were written by MM2 4.3.1 in a pair of clusters, primary and backup.
func TestCapturedHeartbeatsKeepTheirBytes(t *testing.T) {
	f, err := os.Open("testdata/mm2-4.3.1.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	count := 0
	for lines := bufio.NewScanner(f); lines.Scan(); count++ {
		var line struct {
			Cluster, Topic, Key, Value string
			Timestamp                  int64
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		key, value := unhex(t, line.Key), unhex(t, line.Value)
		h, err := Decode(stream.Record{Key: key, Value: value})
		if err != nil {
			t.Fatal(err)
		}
		if line.Topic == Topic && h.Flow.Target != line.Cluster {
			t.Errorf("a heartbeat of %s stands on %s", h.Flow, line.Cluster)
		}
		r := h.Record()
		if !bytes.Equal(r.Key, key) || !bytes.Equal(r.Value, value) || r.Timestamp.UnixMilli() != line.Timestamp {
			t.Errorf("%s %s %d became %x %x %d", line.Key, line.Value, line.Timestamp, r.Key, r.Value, r.Timestamp.UnixMilli())
		}
	}
	if count != 13 {
		t.Errorf("%d captured heartbeats, want 13", count)
	}
}

func TestDecode(t *testing.T) {
	const key, value = "000141000142", "00000000018bcfe56800"
	for _, c := range []struct {
		story      string
		key, value string
		bad        bool
	}{
		{story: "as MM2 writes it", key: key, value: value},
		{story: "bytes after the last field, and the version, are ignored", key: key + "ff", value: "0001" + value[4:] + "ff"},
		{story: "a tombstone", key: key, bad: true},
		{story: "a value cut off", key: key, value: value[:18], bad: true},
		{story: "no key", value: value, bad: true},
		{story: "a key without the target", key: key[:6], value: value, bad: true},
		{story: "a key cut off in the target", key: key[:10], value: value, bad: true},
		{story: "an alias of negative length", key: "ffff" + key[4:], value: value, bad: true},
	} {
		t.Run(c.story, func(t *testing.T) {
			h, err := Decode(stream.Record{Key: unhex(t, c.key), Value: unhex(t, c.value)})
			if (err != nil) != c.bad {
				t.Fatalf("error %v", err)
			}
			if err == nil && (h.Flow.String() != "A->B" || h.At.UnixMilli() != 1700000000000) {
				t.Errorf("got %v", h)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(unhex(f, "000141000142"), unhex(f, "00000000018bcfe56800"))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		h, err := Decode(stream.Record{Key: key, Value: value})
		if err != nil {
			return
		}
		if r := h.Record(); !bytes.HasPrefix(key, r.Key) || !bytes.HasPrefix(value[2:], r.Value[2:]) {
			t.Errorf("%x %x became %x %x", key, value, r.Key, r.Value)
		}
	})
}
