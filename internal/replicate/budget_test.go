package replicate

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestBudgetKeepsAQuarterForWhatWaits(t *testing.T) {
	b := NewBudget(1000)
	for i, want := range []bool{true, true, false} {
		if got := b.keep(120); got != want {
			t.Errorf("keep %d: %v", i, got)
		}
	}
	b.unkeep(120)
	if !b.keep(130) {
		t.Error("what was given back is not there")
	}
	b.add(700)
	if b.unkeep(130); b.keep(190) {
		t.Error("kept more than is free")
	}
	if b.InUse() != 820 {
		t.Errorf("%d in use", b.InUse())
	}
}

// TestBudgetStarves: who waits says so again and again, gets its turn in order, and can leave.
func TestBudgetStarves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(1000)
		if err := b.acquire(t.Context(), 5000, nil); err != nil { // more than there is, alone
			t.Fatal(err)
		}
		ctx, leave := context.WithCancel(t.Context())
		left, got := make(chan error), make(chan error)
		cries := 0
		go func() { left <- b.acquire(ctx, 1000, func() { cries++ }) }()
		synctest.Wait()
		go func() { got <- b.acquire(t.Context(), 400, func() {}) }()
		time.Sleep(starvedAfter*5 + time.Millisecond)
		leave()
		if err := <-left; err == nil || cries != 5 {
			t.Errorf("left with %v after %d cries", err, cries)
		}
		b.add(-4500)
		if err := <-got; err != nil || b.InUse() != 900 {
			t.Errorf("%v, %d in use", err, b.InUse())
		}
	})
}
