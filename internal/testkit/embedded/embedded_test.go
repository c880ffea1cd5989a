package embedded

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

func begin(t *testing.T, topic string) *Cluster {
	t.Helper()
	c, err := StartAway(time.Millisecond, t.Name(), 2, topic)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// sold writes orders until so many are acknowledged.
func sold(t *testing.T, c *Cluster, first, orders int) (last int) {
	t.Helper()
	ctx, enough := context.WithCancel(t.Context())
	defer enough()
	n := 0
	err := c.Sell(ctx, Sale{Topic: "orders", PerSecond: 2000, First: first, Written: func(o Order) {
		if n++; n == orders {
			enough()
		}
		last = max(last, o.Number)
	}})
	if err != nil {
		t.Fatal(err)
	}
	if last != first+n-1 {
		t.Errorf("%d orders from %d on, and the last is %d", n, first, last)
	}
	return last
}

// A group goes on where it stopped, and stops at what it cannot handle with all before it committed. A topic that is deleted is gone.
func TestConsume(t *testing.T) {
	c := begin(t, "orders")
	last := sold(t, c, 1, 100)
	handled := make(map[int]int)
	ctx, enough := context.WithCancel(t.Context())
	err := c.Consume(ctx, "billing", []string{"orders"}, func(o Order) error {
		if handled[o.Number]++; len(handled) == last {
			enough()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	last = sold(t, c, last+1, 50)
	if err := c.WriteBroken(t.Context(), "orders", 5); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	for range 2 { // the second one meets it at once, or after what the first had not come to
		err = c.Consume(t.Context(), "billing", []string{"orders"}, func(o Order) error {
			if o.Number < 0 {
				return broken
			}
			handled[o.Number]++
			return nil
		})
		if !errors.Is(err, broken) {
			t.Fatal(err)
		}
	}
	for number, times := range handled {
		if times != 1 || number > last {
			t.Errorf("order %d of %d was handled %d times", number, last, times)
		}
	}
	if all, err := c.Orders(t.Context(), "orders"); err != nil || len(all) != last+5 {
		t.Errorf("%d records, want %d: %v", len(all), last+5, err)
	}
	if n, err := c.Count(t.Context(), "orders"); err != nil || n != last+5 {
		t.Errorf("%d records, want %d: %v", n, last+5, err)
	}
	if err := c.DeleteTopic(t.Context(), "orders"); err != nil {
		t.Fatal(err)
	}
	if all, err := c.Orders(t.Context(), "orders"); err == nil {
		t.Errorf("%d records of a topic that is gone", len(all))
	}
	if err := c.DeleteTopic(t.Context(), "orders"); err == nil {
		t.Error("a topic is deleted twice")
	}
}

// Nobody waits for a cluster that has died, and nobody hears of orders afterwards.
func TestDeath(t *testing.T) {
	c := begin(t, "orders")
	var mu sync.Mutex
	var over bool
	some, done := make(chan struct{}), make(chan error, 2)
	go func() {
		n := 0
		done <- c.Sell(t.Context(), Sale{Topic: "orders", PerSecond: 2000, Written: func(Order) {
			mu.Lock()
			defer mu.Unlock()
			if n++; n == 50 {
				close(some)
			}
			if over {
				t.Error("an order after the end")
			}
		}})
		mu.Lock()
		over = true
		mu.Unlock()
	}()
	go func() {
		done <- c.Consume(t.Context(), "billing", []string{"orders"}, func(Order) error { return nil })
	}()
	<-some
	c.Close()
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
