package main

import (
	"errors"
	"strings"
	"testing"
)

// A position that is noted while mirror runs would be written over, so the command waits for it to stop.
func TestPositionWaitsForMirrorToStop(t *testing.T) {
	east, west, path := pair(t, "east->west.enabled = true\nstatus.address =\n")
	n := written(t, east, "orders")
	m := start(t, path)
	m.arrives(west, "east.orders", n)
	waits := start(t, "position", path, "east->west", "orders/0", "1")
	waits.until("the command to wait", func() error {
		if !strings.Contains(waits.err.String(), "waiting up to 8s for them to leave") {
			return errors.New("not yet")
		}
		return nil
	})
	m.stop()
	if status := waits.exit(); status != 0 || !strings.HasPrefix(waits.out.String(), "orders/0 of east goes on at offset 1 at the next start (offset ") {
		t.Errorf("once it has stopped: exit status %d, out %q, err %q", status, &waits.out, &waits.err)
	}
}
