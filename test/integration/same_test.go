package integration

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// wantSame compares the records of a topic with those of its remote topic, one by one.
func wantSame(t *testing.T, source, remote [][]*kgo.Record) {
	t.Helper()
	if len(source) != len(remote) {
		t.Fatalf("%d partitions, want %d", len(remote), len(source))
	}
	for p := range source {
		for i := range min(len(source[p]), len(remote[p])) {
			if differs := difference(source[p][i], remote[p][i]); differs != "" {
				t.Fatalf("record %d of partition %d: %s", i, p, differs)
			}
		}
		if len(source[p]) != len(remote[p]) {
			t.Fatalf("partition %d has %d records, want %d", p, len(remote[p]), len(source[p]))
		}
	}
}

func difference(source, remote *kgo.Record) string {
	switch {
	case !sameBytes(source.Key, remote.Key):
		return fmt.Sprintf("key %s, want %s", shown(remote.Key), shown(source.Key))
	case !sameBytes(source.Value, remote.Value):
		return fmt.Sprintf("value %s, want %s", shown(remote.Value), shown(source.Value))
	case source.Timestamp.UnixMilli() != remote.Timestamp.UnixMilli():
		return fmt.Sprintf("timestamp %d, want %d", remote.Timestamp.UnixMilli(), source.Timestamp.UnixMilli())
	case remote.Attrs.TimestampType() != 0:
		return "timestamp type is not CreateTime"
	case len(source.Headers) != len(remote.Headers):
		return fmt.Sprintf("%d headers, want %d", len(remote.Headers), len(source.Headers))
	}
	for i, h := range source.Headers {
		if got := remote.Headers[i]; h.Key != got.Key || !sameBytes(h.Value, got.Value) {
			return fmt.Sprintf("header %d is %q: %s, want %q: %s", i, got.Key, shown(got.Value), h.Key, shown(h.Value))
		}
	}
	return ""
}

// sameBytes tells null from empty.
func sameBytes(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }

func shown(b []byte) string {
	if b == nil {
		return "null"
	}
	return fmt.Sprintf("%.60q (%d bytes)", b, len(b))
}
