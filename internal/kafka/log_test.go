package kafka

import (
	"testing"
	"time"

	"tandem/internal/stream"
)

// readAll collects a topic.
func readAll(t *testing.T, a *Admin, topic string, committed bool) []stream.Record {
	t.Helper()
	var records []stream.Record
	err := a.ReadAll(within(t, 20*time.Second), topic, committed, func(r stream.Record) error {
		records = append(records, r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return records
}
