package offsetsync

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"tandem/internal/stream"
)

// captured reads the offset syncs that MM2 4.3.1 wrote into a real cluster, in the order of the topic.
func captured(t testing.TB) []stream.Record {
	t.Helper()
	f, err := os.Open("testdata/mm2-4.3.1.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var records []stream.Record
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var line struct{ Key, Value string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		records = append(records, stream.Record{Key: unhex(t, line.Key), Value: unhex(t, line.Value)})
	}
	if len(records) != 400 {
		t.Fatalf("%d captured syncs, want 400", len(records))
	}
	return records
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCapturedSyncsKeepTheirBytes(t *testing.T) {
	for i, r := range captured(t) {
		s, err := Decode(r)
		if err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
		if s.Source.Topic != "orders" {
			t.Errorf("record %d is of topic %q", i, s.Source.Topic)
		}
		if again := s.Record(); !bytes.Equal(again.Key, r.Key) || !bytes.Equal(again.Value, r.Value) {
			t.Errorf("record %d: %x %x became %x %x", i, r.Key, r.Value, again.Key, again.Value)
		}
	}
}

func TestSyncBytes(t *testing.T) {
	s := Sync{Source: stream.Partition{Topic: "orders", Number: 3}, Up: 100, Down: 90}
	r := s.Record()
	if got, want := hex.EncodeToString(r.Key), "00066f726465727300000003"; got != want {
		t.Errorf("key %s, want %s", got, want)
	}
	if got, want := hex.EncodeToString(r.Value), "0000000000000064000000000000005a"; got != want {
		t.Errorf("value %s, want %s", got, want)
	}
}

func TestDecode(t *testing.T) {
	const key, value = "00066f726465727300000003", "0000000000000064000000000000005a"
	want := Sync{Source: stream.Partition{Topic: "orders", Number: 3}, Up: 100, Down: 90}
	for _, c := range []struct {
		story      string
		key, value string
		bad        bool
	}{
		{story: "as MM2 writes it", key: key, value: value},
		{story: "bytes after the last field are ignored", key: key + "ff", value: value + "ff"},
		{story: "a tombstone", key: key, value: "", bad: true},
		{story: "a value cut off", key: key, value: value[:30], bad: true},
		{story: "no key", key: "", value: value, bad: true},
		{story: "a key cut off in the length", key: key[:2], value: value, bad: true},
		{story: "a key cut off in the name", key: key[:8], value: value, bad: true},
		{story: "a key cut off in the partition", key: key[:22], value: value, bad: true},
		{story: "a name of negative length", key: "ffff" + key[4:], value: value, bad: true},
	} {
		t.Run(c.story, func(t *testing.T) {
			got, err := Decode(stream.Record{Key: unhex(t, c.key), Value: unhex(t, c.value)})
			if (err != nil) != c.bad {
				t.Fatalf("error %v", err)
			}
			if err == nil && got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
	if _, err := Decode(stream.Record{Key: unhex(t, key)}); !errors.Is(err, errShort) {
		t.Errorf("a tombstone gives %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, r := range captured(f)[:3] {
		f.Add(r.Key, r.Value)
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		s, err := Decode(stream.Record{Key: key, Value: value})
		if err != nil {
			return
		}
		// What was read is what was there, up to the ignored bytes at the end.
		if r := s.Record(); !bytes.HasPrefix(key, r.Key) || !bytes.HasPrefix(value, r.Value) {
			t.Errorf("%x %x became %x %x", key, value, r.Key, r.Value)
		}
	})
}
