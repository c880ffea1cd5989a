package kafka

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/stream"
)

func ofOrders(numbers ...int32) (list []stream.Partition) {
	for _, n := range numbers {
		list = append(list, stream.Partition{Topic: "A.orders", Number: n})
	}
	return list
}

// told is a caller of holding that takes some time to let go, and writes down what it was told.
type told struct {
	lines []string
	takes time.Duration
	reads time.Duration // before what is gained is taken over
}

func (c *told) gained(ctx context.Context, p []stream.Partition) {
	how := ""
	if c.reads > 0 {
		select {
		case <-time.After(c.reads):
		case <-ctx.Done():
			how = " cut short"
		}
	}
	c.lines = append(c.lines, fmt.Sprint("gained ", p, how))
}

func (c *told) lost(ctx context.Context, p []stream.Partition, gently bool) {
	how := "at once"
	if gently {
		how = "gently"
		select {
		case <-time.After(c.takes):
		case <-ctx.Done():
			how += ", hurried"
		}
	}
	c.lines = append(c.lines, fmt.Sprint("lost ", p, " ", how))
}

// waitsForBroker is a caller whose Gained waits, and whose Lost does not.
const waitsForBroker = -1

func TestHolding(t *testing.T) {
	second := func() { time.Sleep(time.Second) } //nolint:forbidigo // made-up time
	for _, c := range []struct {
		name  string
		takes time.Duration
		story func(h *holding)
		want  []string
	}{
		{"what is not ours any more is not waited for", waitsForBroker, func(h *holding) {
			h.aim(ofOrders(0, 1))
			synctest.Wait()
			h.aim(nil)
			h.aim(ofOrders(0)) // before the caller has given way
			second()
			h.aim(nil)
			synctest.Wait()
		}, []string{"gained [A.orders/0 A.orders/1] cut short", "lost [A.orders/0 A.orders/1] gently", "gained [A.orders/0] cut short", "lost [A.orders/0] gently"}},
		{"what is partly ours still is waited for", waitsForBroker, func(h *holding) {
			h.aim(ofOrders(0, 1))
			synctest.Wait()
			h.aim(ofOrders(1))
			for range 3600 {
				second()
			}
			second()
		}, []string{"gained [A.orders/0 A.orders/1]", "lost [A.orders/0] gently", "lost [A.orders/1] at once"}},
		{"what moves is lost first", time.Second, func(h *holding) {
			h.aim(ofOrders(0, 1))
			synctest.Wait()
			h.aim(ofOrders(1, 2))
			synctest.Wait()
			if keep, going := h.claims(); len(keep) != 2 || len(going) != 1 {
				t.Errorf("claims %v and %v while one is let go", keep, going)
			}
			second()
			second()
		}, []string{"gained [A.orders/0 A.orders/1]", "lost [A.orders/0] gently", "gained [A.orders/2]", "lost [A.orders/1 A.orders/2] at once"}},
		{"a session that ends hurries the one who lets go", time.Hour, func(h *holding) {
			h.aim(ofOrders(0, 1, 2))
			synctest.Wait()
			h.aim(ofOrders(1, 2))
			synctest.Wait()
			h.drop()
			h.aim(ofOrders(2)) // the next round
			synctest.Wait()
		}, []string{"gained [A.orders/0 A.orders/1 A.orders/2]", "lost [A.orders/0] gently, hurried",
			"lost [A.orders/1 A.orders/2] at once", "gained [A.orders/2]", "lost [A.orders/2] at once"}},
		{"after the rebalance timeout the group no longer waits", time.Hour, func(h *holding) {
			h.aim(ofOrders(0))
			synctest.Wait()
			h.aim(nil)
			second()
			if _, going := h.claims(); len(going) != 1 {
				t.Error("does not claim what it is letting go")
			}
			for range 60 {
				second()
			}
			if _, going := h.claims(); len(going) != 0 {
				t.Error("claims for longer than the group waits")
			}
		}, []string{"gained [A.orders/0]", "lost [A.orders/0] gently, hurried"}},
		{"what was never told is not lost", 0, func(h *holding) {
			h.drop()
			h.aim(ofOrders(0))
			h.drop()
			synctest.Wait()
		}, nil},
		{"given again while it is let go", time.Second, func(h *holding) {
			h.aim(ofOrders(0))
			synctest.Wait()
			h.aim(nil)
			synctest.Wait()
			h.aim(ofOrders(0))
			second()
			synctest.Wait()
		}, []string{"gained [A.orders/0]", "lost [A.orders/0] gently", "gained [A.orders/0]", "lost [A.orders/0] at once"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				caller := &told{takes: c.takes}
				if c.takes == waitsForBroker {
					caller.takes, caller.reads = 0, time.Hour
				}
				h := newHolding(ShareConfig{Gained: caller.gained, Lost: caller.lost, Rebalance: time.Minute})
				h.start(t.Context())
				c.story(h)
				h.stop()
				if got, want := strings.Join(caller.lines, "\n"), strings.Join(c.want, "\n"); got != want {
					t.Errorf("told:\n%s\nwant:\n%s", got, want)
				}
				if !h.empty() {
					t.Error("holds something at the end")
				}
			})
		})
	}
}
