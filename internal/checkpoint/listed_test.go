package checkpoint

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/stream"
)

// The groups that need somebody come first, and no more are listed than a page can show.
func TestTheWorstGroupsAreListedFirst(t *testing.T) {
	at := func(classes ...stream.Class) *group {
		g := &group{positions: map[stream.Partition]position{}}
		for i, c := range classes {
			g.positions[stream.Partition{Topic: "orders", Number: int32(i)}] = position{got: stream.Translated{Class: c, Reason: "because of " + c.String()}}
		}
		return g
	}
	k := New(Config{Report: func(stream.Event) {}})
	for i := range mostListed {
		k.groups[fmt.Sprintf("fine-%03d", i)] = at(stream.Exact, stream.Exact)
	}
	k.groups["empty"] = at()
	k.groups["late"] = at(stream.Exact, stream.Clamped)
	k.groups["ahead"] = at(stream.Ahead, stream.Exact, stream.Clamped)
	k.groups["lost"] = at(stream.Exact, stream.Unknown, stream.Ahead)
	k.account(t.Context(), time.Now(), true)

	got := k.Listed()
	if len(got) != mostListed {
		t.Errorf("%d groups are listed", len(got))
	}
	want := []GroupStanding{
		{Group: "lost", Exact: 1, Ahead: 1, Unknown: 1, Note: "orders/1: because of unknown"},
		{Group: "ahead", Exact: 1, Clamped: 1, Ahead: 1, Note: "orders/0: because of ahead"},
		{Group: "late", Exact: 1, Clamped: 1, Note: "orders/1: because of clamped"},
		{Group: "fine-000", Exact: 2},
	}
	for i, w := range want {
		if got[i] != w {
			t.Errorf("%d: %+v, want %+v", i, got[i], w)
		}
	}
	if s := k.Standing(); s.Groups != mostListed+3 || s.Exact != 2*mostListed+3 || s.Unknown != 1 || s.Ahead != 2 || s.Clamped != 2 {
		t.Errorf("counted %+v", s)
	}
}

func TestLatenciesAreOfTheLastMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := New(Config{})
		remote := stream.Partition{Topic: "A.orders", Number: 3}
		wrote := func(after time.Duration) {
			k.remember([]stream.Checkpoint{{Group: "g", Remote: remote, At: time.Now().Add(-after)}})
		}
		expect := func(when string, want ...Latency) {
			t.Helper()
			if got := k.Latencies(10); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: %v, want %v", when, got, want)
			}
		}
		ms := func(last, least, most, avg int) Latency {
			d := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
			return Latency{"g", remote, d(last), d(least), d(most), d(avg)}
		}
		expect("nothing is written")
		wrote(10 * time.Millisecond)
		wrote(40 * time.Millisecond)
		expect("two", ms(40, 10, 40, 25))
		time.Sleep(sampleFor) //nolint:forbidigo // of synctest's clock
		wrote(100 * time.Millisecond)
		expect("another half minute", ms(100, 10, 100, 50))
		time.Sleep(sampleFor) //nolint:forbidigo // of synctest's clock
		expect("the first half minute is over", ms(100, 100, 100, 100))
		if got := k.Latencies(0); got != nil {
			t.Errorf("more than were asked for: %v", got)
		}
		time.Sleep(2 * sampleFor) //nolint:forbidigo // of synctest's clock
		expect("all is over")
	})
}
