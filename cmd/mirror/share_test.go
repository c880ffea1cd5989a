package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"tandem/internal/config"
	"tandem/internal/kafka"
	"tandem/internal/offsetsync"
	"tandem/internal/replicate"
	"tandem/internal/replicate/position"
	"tandem/internal/replicate/topics"
	"tandem/internal/stream"
)

// sharing is a replication that has something to hold, and no clusters.
func sharing(t *testing.T) *replication {
	t.Helper()
	conf := config.Flow{Flow: stream.Flow{Source: "A", Target: "B"}, Enabled: true}
	f := &flow{hold: newHolding(), report: func(stream.Event) {}, board: newBoard(&config.Config{Flows: []config.Flow{conf}}, replicate.NewBudget(1<<20), &exactMaps{})}
	f.settings.Store(&conf)
	r := &replication{flow: f, round: make(chan struct{}, 1)}
	r.offsets = &offsets{flow: f, exact: offsetsync.NewMap(1<<20, nil), told: make(map[stream.Partition]bool), pointed: make(map[stream.Partition]bool)}
	r.offsets.exact.Held(f.hold.has)
	log := &writtenLog{}
	r.anchors, r.positions = position.NewAnchorStore(log, "anchors", conf.Flow), position.New(log, "offsets", 1, conf.Flow)
	r.journal, _ = followed(&noteLog{}, f.hold)
	r.syncs = &syncs{flow: f, writer: offsetsync.NewWriter(100), kick: make(chan struct{}, 1)}
	r.latest = topics.Snapshot{Topics: []topics.Topic{{Source: stream.Topic{Name: "orders", Partitions: 3}, Remote: stream.Topic{Name: "A.orders", Partitions: 3}}}}
	return r
}

// The group's heartbeats wait for members: it must not wait for what is begun with meanwhile, which may take as long as a broker is away.
func TestMembersDoesNotWaitForTheTarget(t *testing.T) {
	r := sharing(t)
	r.giving.Lock()
	r.offsets.beginning.Lock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.members([]kafka.ShareMember{{ID: "m-1", Settings: "others"}})
		r.want()
		r.everything()
		r.offsets.leave([]stream.Partition{ordersThere})
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("it waits")
	}
}

// A partition without a leader is begun with later; the others are not held up. Where partitions were given up since it was asked where
// they stand, it is asked again: another process may have written to them.
func TestPartitionsAreBegunWith(t *testing.T) {
	r := sharing(t)
	r.hold.add([]stream.Partition{remoteOf(0), remoteOf(1), remoteOf(2)})
	list := []replicate.Assignment{{Source: stream.Partition{Topic: "orders"}, Remote: remoteOf(0)}, {Source: stream.Partition{Topic: "orders", Number: 1}, Remote: remoteOf(1)},
		{Source: stream.Partition{Topic: "orders", Number: 2}, Remote: remoteOf(2)}}
	away := errors.New("no leader")
	ends := logEnds{
		start: map[stream.Partition]int64{remoteOf(0): 0, remoteOf(2): 0}, end: map[stream.Partition]int64{remoteOf(0): 10, remoteOf(2): 10},
		noStart: map[stream.Partition]error{remoteOf(1): away}, noEnd: map[stream.Partition]error{remoteOf(1): away},
	}
	noted := &memory{anchors: map[stream.Partition]position.Anchor{}}

	fresh, left := r.offsets.fresh(list)
	r.offsets.leave([]stream.Partition{remoteOf(2)})
	if stand, _ := r.offsets.stand(fresh, left, ends, noted); stand || r.offsets.begun(remoteOf(0)) {
		t.Error("it counts what was asked before partitions were given up")
	}
	r.hold.drop([]stream.Partition{remoteOf(2)})
	if fresh, left = r.offsets.fresh(list); len(fresh) != 2 {
		t.Errorf("to be begun with: %v", fresh)
	}
	stand, err := r.offsets.stand(fresh, left, ends, noted)
	if !stand || !errors.Is(err, away) || !r.offsets.begun(remoteOf(0)) || r.offsets.begun(remoteOf(1)) || r.offsets.begun(remoteOf(2)) {
		t.Errorf("stand %v, %v; begun with %v", stand, err, r.offsets.told)
	}
}

// What is known of partitions that another process goes on with leaves with them: a late offset sync would look like a rewind. And where
// that one may have begun before this one had stopped, what it has noted meanwhile is read again.
func TestWhatLeavesWithPartitions(t *testing.T) {
	hurried, hurry := context.WithCancel(t.Context())
	hurry()
	for _, c := range []struct {
		story  string
		ctx    context.Context //nolint:containedctx // of the call
		gently bool
		again  int
	}{
		{"the group waits", t.Context(), true, 0},
		{"the group has waited for long enough", hurried, true, 1},
		{"it is somebody else's already", t.Context(), false, 1},
	} {
		r := sharing(t)
		one := remoteOf(1)
		r.hold.add([]stream.Partition{one, remoteOf(2)})
		for _, n := range []int32{1, 2} {
			r.syncs.ack(stream.Ack{Source: stream.Partition{Topic: "orders", Number: n}, Remote: remoteOf(n), Bytes: 1, Runs: []stream.Run{{Count: 5}}})
		}
		r.lost(c.ctx, []stream.Partition{one}, c.gently)
		r.syncs.promote()
		if due := r.syncs.writer.Due(syncsAtOnce); len(due) != 1 || due[0].Source.Number != 2 {
			t.Errorf("%s: offset syncs that wait: %v, want that of partition 2", c.story, due)
		}
		if again := r.journal.takeAgain(); len(again) != c.again {
			t.Errorf("%s: to be read again: %v", c.story, again)
		}
		if r.hold.has(one) || !r.hold.has(remoteOf(2)) {
			t.Errorf("%s: held: %v", c.story, r.hold.remotes)
		}
	}
}

func remoteOf(n int32) stream.Partition { return stream.Partition{Topic: "A.orders", Number: n} }

// Groups are translated by whoever is on duty, also where MM2 has copied what another process copies by now.
func TestMM2sOffsetSyncsCountForWhatOthersCopy(t *testing.T) {
	r := sharing(t)
	r.offsets.mm2 = offsetsync.NewStore(false)
	source := stream.Partition{Topic: "orders", Number: 1}
	for _, s := range []offsetsync.Sync{{Source: source, Up: 100, Down: 50}, {Source: source, Up: 200, Down: 150}} {
		r.offsets.mm2.Add(s)
	}
	r.offsets.mm2.Ready()
	r.offsets.below(r.everything())
	at, err := r.offsets.exact.Translate(t.Context(), remoteOf(1), 100)
	if err != nil || at.Offset != 50 || at.Class != stream.Exact {
		t.Errorf("100 is at %+v, %v; want 50", at, err)
	}
	// Nothing more is known of a partition that was taken away, until it is told anew.
	r.lost(t.Context(), []stream.Partition{remoteOf(1)}, false)
	r.offsets.below(r.everything())
	if at, _ := r.offsets.exact.Translate(t.Context(), remoteOf(1), 200); at.Offset != 150 {
		t.Errorf("200 is at %+v, want 150", at)
	}
}

// What is given up because the group does not answer is watched until the group answers: nobody else is known to copy it.
func TestOrphans(t *testing.T) {
	one, two := stream.Partition{Topic: "A.orders"}, stream.Partition{Topic: "A.orders", Number: 1}
	both := []stream.Partition{one, two}
	h := newHolding()
	for _, c := range []struct {
		story    string
		do       func()
		one, two bool
	}{
		{"ours", func() { h.add(both); h.keep() }, false, false},
		{"the group does not answer", func() { h.leave(both); h.orphan(both); h.drop(both) }, true, true},
		{"it answers, and gives one of them to us", func() { h.add(both[:1]); h.keep() }, true, false},
		{"let go gently", func() { h.leave(both[:1]); h.drop(both[:1]); h.keep() }, false, false},
	} {
		if c.do(); h.orphaned(one) != c.one || h.orphaned(two) != c.two {
			t.Errorf("%s: orphaned %v and %v", c.story, h.orphaned(one), h.orphaned(two))
		}
	}
	if (*holding)(nil).orphaned(one) {
		t.Error("without a group nothing is given up")
	}
}

// A process that the group has not told anything has nothing to do, which is not the same as having nothing left to do.
func TestNotReadyBeforeTheGroupHasAnswered(t *testing.T) {
	r := sharing(t)
	pipe := replicate.New(replicate.Config{Flow: r.conf().Flow, Budget: r.budget, Report: r.report})
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- pipe.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ran; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}()
	r.board.flows = []*flow{r.flow}
	r.board.show(r.conf().Flow, pipe)
	if s := r.board.Report(ctx); s.Ready || s.Flows[0].Started || r.board.snapshot().Ready || r.board.snapshot().Flows[0].Up {
		t.Errorf("ready: %+v", s)
	}
	r.hold.keep()
	if s := r.board.Report(ctx); !s.Ready || !s.Flows[0].Started || !r.board.snapshot().Ready {
		t.Errorf("not ready: %+v", s)
	}
}

// nowhere is a cluster that does not answer.
type nowhere struct{}

func (nowhere) Leaders(context.Context, []string) (map[stream.Partition]stream.Leader, error) {
	return nil, errors.New("nobody answers")
}

// What is ours and cannot be begun with stands still, as everybody can see.
func TestWhatCannotBeBegunWithIsSeen(t *testing.T) {
	r := sharing(t)
	pipe := replicate.New(replicate.Config{Flow: r.conf().Flow, Source: nowhere{}, Target: nowhere{}, Budget: r.budget, Report: r.report})
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- pipe.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ran; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}()
	r.failed = newFailedOver(r.flow)
	r.setPipe(pipe)
	r.board.flows = []*flow{r.flow}
	r.board.show(r.conf().Flow, pipe)
	r.hold.keep()
	standing := func(story string, want ...string) {
		t.Helper()
		if err := r.give(ctx); err != nil {
			t.Fatal(err)
		}
		s := r.board.Report(ctx)
		if len(s.Flows[0].Standing) != len(want) || s.Ready == (len(want) > 0) {
			t.Fatalf("%s: ready %v: %+v", story, s.Ready, s.Flows[0].Standing)
		}
		for i, reason := range want {
			if !strings.Contains(s.Flows[0].Standing[i].Reason, reason) {
				t.Errorf("%s: %+v", story, s.Flows[0].Standing[i])
			}
		}
	}
	standing("nothing is ours")
	r.hold.waits([]stream.Partition{remoteOf(0)}, "cannot read what other processes have noted: no leader")
	standing("it is, by the group", "what other processes have noted: no leader")
	r.hold.add([]stream.Partition{remoteOf(0)})
	r.hold.waits([]stream.Partition{remoteOf(0)}, "")
	standing("before it was tried")
	mine := []replicate.Assignment{{Source: stream.Partition{Topic: "orders"}, Remote: remoteOf(0)}}
	r.stuckBy(mine, errors.New("find the ends of A.orders/0: no leader"))
	standing("it cannot be begun with", "where it goes on is not known: find the ends of A.orders/0: no leader")
	r.stuckBy(mine, nil)
	standing("the way is free")
}
