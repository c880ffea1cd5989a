package integration

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

const activeProperties = oneBroker + quiet + `
clusters = west, east
west.bootstrap.servers = %s
east.bootstrap.servers = %s
west->east.enabled = true
east->west.enabled = true
topics = (.*\\.)?active-(orders|carts)
`

// Both sides write the same topics and get the other's as remote topics; nothing comes home.
func TestActiveActive(t *testing.T) {
	west, east := clusters(t)
	seconds := int64(20)
	if long() {
		seconds = 60
	}
	topics := []string{"active-carts", "active-orders"}
	var writers []*writer
	m := startMirror(t, fmt.Sprintf(activeProperties, west.Bootstrap, east.Bootstrap))
	for _, s := range []side{west, east} {
		for _, topic := range topics {
			s.create(topic, 3, 1, nil)
			writers = append(writers, startWriter(s, topic, 3))
		}
	}
	time.AfterFunc(time.Duration(seconds)*time.Second, func() {
		for _, w := range writers {
			w.stop()
		}
	})
	for i, w := range writers {
		<-w.done
		written, remote, target := w.end(), "west."+w.topic, east
		if i >= len(topics) {
			remote, target = "east."+w.topic, west
		}
		m.until("all of "+remote, target.reaches(remote, written))
	}
	// A topic that goes round would be there after the next refreshes, which a new topic waits for.
	west.create("west-active-carts", 1, 1, nil)
	west.create("other.active-orders", 1, 1, nil)
	m.until("a later topic", east.holds("west.other.active-orders", 0))
	m.stop()

	for i, w := range writers {
		w.wantEachOnce(w.side, w.topic)
		if i < len(topics) {
			w.wantEachOnce(east, "west."+w.topic)
		} else {
			w.wantEachOnce(west, "east."+w.topic)
		}
	}
	wantTopics(t, west, "active-", "active-carts", "active-orders", "east.active-carts", "east.active-orders", "other.active-orders", "west-active-carts")
	wantTopics(t, east, "active-", "active-carts", "active-orders", "west.active-carts", "west.active-orders", "west.other.active-orders")
}

func wantTopics(t *testing.T, s side, word string, want ...string) {
	t.Helper()
	if got := s.topicsWith(word); !slices.Equal(got, want) {
		t.Fatalf("topics %q, want %q", got, want)
	}
}
