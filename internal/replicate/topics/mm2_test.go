package topics

import (
	"testing"

	"tandem/internal/policy"
	"tandem/internal/stream"
)

// The tests of MM2's source connector that are about topics and configs, by their names there. Those about ACLs are in
// TestACLsThatGoAlong and TestSyncACLsTroubles.
func TestRowsOfMM2sSourceConnector(t *testing.T) {
	flow := func(t *testing.T, exclude []string, defaultsFrom string) *world {
		t.Helper()
		filter, err := policy.NewConfigFilter(exclude, defaultsFrom)
		if err != nil {
			t.Fatal(err)
		}
		r := rules()
		r.Property, r.SourceDefaults = filter.Replicates, filter.SourceDefaults()
		return newWorld(t, r)
	}
	t.Run("testConfigPropertyFiltering: set values go along, defaults and excluded ones do not", func(t *testing.T) {
		w := flow(t, []string{"min.insync.replicas"}, "target")
		w.source.put("orders", 1, "retention.ms=5", "min.insync.replicas=2")
		w.refresh()
		expect(t, "asked", w.asked(), "create A.orders 1 retention.ms=5")
	})
	t.Run("testConfigPropertyFilteringWithAlterConfigs: what is at its default is reset, what is excluded is left alone", func(t *testing.T) {
		w := flow(t, []string{"min.insync.replicas"}, "target")
		w.source.put("orders", 1, "retention.ms=5", "min.insync.replicas=2")
		w.target.put("A.orders", 1, "segment.bytes=9", "min.insync.replicas=3")
		w.refresh()
		w.sync()
		expect(t, "asked", w.asked(), "alter A.orders retention.ms=5 -segment.bytes")
	})
	t.Run("testConfigPropertyFilteringWithAlterConfigsAndSourceDefault: defaults of the source are written out", func(t *testing.T) {
		w := flow(t, []string{"min.insync.replicas", "max.message.bytes", "segment.bytes", "min.cleanable.*"}, "source")
		w.source.put("orders", 1, "retention.ms=5")
		w.target.put("A.orders", 1, "cleanup.policy=compact")
		w.refresh()
		w.sync()
		expect(t, "asked", w.asked(), "alter A.orders cleanup.policy=delete retention.ms=5")
	})
	t.Run("testNewTopicConfigs: excludes are expressions", func(t *testing.T) {
		w := flow(t, []string{`.*\.bytes`, "min.insync.replicas"}, "target")
		w.source.put("orders", 3, "retention.ms=5", "segment.bytes=7", "max.message.bytes=8", "min.insync.replicas=2")
		w.refresh()
		expect(t, "asked", w.asked(), "create A.orders 3 retention.ms=5")
	})
	t.Run("testMissingDescribeConfigsAcl: told with what is missing; the topic is not made without its configs", func(t *testing.T) {
		w := flow(t, nil, "target")
		w.source.put("orders", 1)
		w.source.hidden["orders"] = true
		w.refresh()
		expect(t, "asked", w.asked())
		expect(t, "events", w.news(), "info found topics to replicate topics=1",
			"error remote topics not created: configs of their source topics cannot be read; allow DescribeConfigs on them topics=orders error=describe orders: TOPIC_AUTHORIZATION_FAILED")
	})
	t.Run("testRefreshTopicPartitions: what is missing is made at each refresh until it is there", func(t *testing.T) {
		w := flow(t, nil, "target")
		w.source.put("orders", 1)
		w.target.refused["A.orders"] = &stream.BrokerError{Code: stream.CodeRequestTimedOut, Name: "REQUEST_TIMED_OUT"}
		created := 0
		w.target.between = func(request string) {
			if request == "CreateTopics" {
				created++
			}
		}
		w.refresh()
		w.refresh()
		delete(w.target.refused, "A.orders")
		w.refresh()
		w.refresh()
		w.refresh()
		if created != 3 {
			t.Errorf("asked %d times, want 3", created)
		}
	})
	t.Run("testRefreshTopicPartitionsTopicOnTargetFirst: a topic of the target alone is no news, one of the source is", func(t *testing.T) {
		w := flow(t, nil, "target")
		w.source.put("orders", 1)
		w.refresh()
		w.asked()
		w.news()
		w.target.put("A.carts", 1)
		expect(t, "snapshot", w.refresh(), "orders/1 A.orders/1 ready 1048588")
		expect(t, "events", w.news())
		w.source.put("carts", 1)
		expect(t, "snapshot", w.refresh(), "carts/1 A.carts/1 ready 1048588", "orders/1 A.orders/1 ready 1048588")
		expect(t, "asked", w.asked())
		expect(t, "events", w.news(), "info found a new source topic topic=carts partitions=1")
	})
}
