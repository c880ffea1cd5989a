package topics

import (
	"errors"
	"testing"
)

func TestSyncConfigsWritesOnlyWhatDiffers(t *testing.T) {
	w := newWorld(t, rules())
	w.source.put("orders", 1, "retention.ms=5", "cleanup.policy=compact", "min.insync.replicas=2")
	w.source.put("payments", 1)
	w.source.dynamic["segment.bytes"] = "99"
	w.target.put("A.orders", 1, "retention.ms=6", "max.message.bytes=70", "min.insync.replicas=3")
	expect(t, "snapshot", w.refresh(), "orders/1 A.orders/1 ready 70", "payments/1 A.payments/1 ready 1048588")
	w.asked()
	w.news()

	w.sync()
	expect(t, "asked", w.asked(), "alter A.orders cleanup.policy=compact -max.message.bytes retention.ms=5 segment.bytes=99")
	expect(t, "events", w.news(),
		"info changed configs of remote topic remote=A.orders configs=cleanup.policy=compact -max.message.bytes retention.ms=5 segment.bytes=99")
	w.sync()
	expect(t, "asked again", w.asked())
	expect(t, "events again", w.news())
	expect(t, "the new limit", w.refresh(), "orders/1 A.orders/1 ready 1048588", "payments/1 A.payments/1 ready 1048588")

	w.source.topics["orders"].configs["max.message.bytes"] = "2000000"
	w.sync()
	expect(t, "a limit that was set", w.refresh(), "orders/1 A.orders/1 ready 2000000", "payments/1 A.payments/1 ready 1048588")
	w.source.dynamic["max.message.bytes"] = "3000000"
	w.target.topics["A.payments"].configs["max.message.bytes"] = "4000000" // someone's hand; the sync takes it back
	w.sync()
	expect(t, "limits", w.refresh(), "orders/1 A.orders/1 ready 2000000", "payments/1 A.payments/1 ready 3000000")
}

func TestSyncConfigsLearnsALimitThatItDoesNotManage(t *testing.T) {
	r := rules()
	r.Property = func(name string) bool { return name != "max.message.bytes" }
	w := newWorld(t, r)
	w.source.put("orders", 1)
	expect(t, "snapshot", w.refresh(), "orders/1 A.orders/1 ready 1048588")
	w.asked()
	w.target.topics["A.orders"].configs["max.message.bytes"] = "7"
	w.sync()
	expect(t, "asked", w.asked())
	expect(t, "snapshot", w.refresh(), "orders/1 A.orders/1 ready 7")
}

func TestSyncConfigsTroubles(t *testing.T) {
	for _, c := range []struct {
		story  string
		change func(w *world)
		err    string
		asked  []string
		events []string // of a sync, and none of a second one
	}{
		{"refused for one topic: the other is changed", func(w *world) { w.target.refused["A.orders"] = denied }, "",
			[]string{"alter A.payments retention.ms=5"},
			[]string{"error configs of remote topic not changed; allow AlterConfigs on it remote=A.orders configs=retention.ms=5 error=TOPIC_AUTHORIZATION_FAILED",
				"info changed configs of remote topic remote=A.payments configs=retention.ms=5"}},
		{"one source topic may not be described", func(w *world) { w.source.hidden["orders"] = true }, "",
			[]string{"alter A.payments retention.ms=5"},
			[]string{"warn topic configs not synced: configs of topics of A cannot be read; allow DescribeConfigs on them topics=orders error=describe orders: TOPIC_AUTHORIZATION_FAILED",
				"info changed configs of remote topic remote=A.payments configs=retention.ms=5"}},
		{"one remote topic may not be described", func(w *world) { w.target.hidden["A.payments"] = true }, "",
			[]string{"alter A.orders retention.ms=5"},
			[]string{"warn topic configs not synced: configs of topics of B cannot be read; allow DescribeConfigs on them topics=A.payments error=describe A.payments: TOPIC_AUTHORIZATION_FAILED",
				"info changed configs of remote topic remote=A.orders configs=retention.ms=5"}},
		{"a config that the target does not know: the others are changed", func(w *world) {
			w.source.defaults["tiered"] = "false"
			w.source.topics["orders"].configs["tiered"] = "true"
		}, "",
			[]string{"alter A.orders retention.ms=5", "alter A.payments retention.ms=5"},
			[]string{"warn topic configs not synced: the target does not know them; list them in config.properties.exclude topic=orders remote=A.orders configs=tiered",
				"info changed configs of remote topic remote=A.orders configs=retention.ms=5",
				"info changed configs of remote topic remote=A.payments configs=retention.ms=5"}},
		{"a remote topic deleted since the refresh is passed over", func(w *world) { delete(w.target.topics, "A.orders") }, "",
			[]string{"alter A.payments retention.ms=5"},
			[]string{"info changed configs of remote topic remote=A.payments configs=retention.ms=5"}},
		{"the source tells nothing", func(w *world) { w.source.down["Configs"] = errors.New("down") }, "describe configs of topics of A: down", nil, nil},
		{"the target tells nothing", func(w *world) { w.target.down["Configs"] = errors.New("down") }, "describe configs of topics of B: down", nil, nil},
		{"the target alters nothing", func(w *world) { w.target.down["AlterConfigs"] = errors.New("down") }, "alter configs of topics of B: down", nil, nil},
	} {
		t.Run(c.story, func(t *testing.T) {
			w := newWorld(t, rules())
			w.source.put("orders", 1)
			w.source.put("payments", 1)
			w.refresh()
			w.asked()
			w.news()
			w.source.dynamic["retention.ms"] = "5"
			c.change(w)
			for _, want := range [][][]string{{c.asked, c.events}, {nil, nil}} {
				text := ""
				if err := w.keeper.SyncConfigs(t.Context()); err != nil {
					text = err.Error()
				}
				if text != c.err {
					t.Errorf("error %q, want %q", text, c.err)
				}
				expect(t, "asked", w.asked(), want[0]...)
				expect(t, "events", w.news(), want[1]...)
			}
		})
	}
}

func TestSyncConfigsBeforeTheFirstRefreshDoesNothing(t *testing.T) {
	w := newWorld(t, rules())
	w.source.down["Configs"] = errors.New("not to be asked")
	w.sync()
	expect(t, "asked", w.asked())
}
