package kafka

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/stream"
)

// ledger is who holds which partition, of all processes of a test. Two at a time are an error, unless the other has lost its
// session.
type ledger struct {
	t       *testing.T
	mu      sync.Mutex
	holders map[stream.Partition]string
	changed chan struct{} // closed and made anew at each change
}

func newLedger(t *testing.T) *ledger {
	t.Helper()
	return &ledger{t: t, holders: map[stream.Partition]string{}, changed: make(chan struct{})}
}

// until waits for a condition on the number of partitions by process.
func (l *ledger) until(what string, holds func(count map[string]int) bool) {
	l.t.Helper()
	deadline := time.After(time.Minute)
	for {
		l.mu.Lock()
		count := map[string]int{}
		for _, h := range l.holders {
			count[h]++
		}
		changed := l.changed
		l.mu.Unlock()
		if holds(count) {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			l.t.Fatalf("wait for %s: %v", what, count)
		}
	}
}

// process is one Share and what it was told.
type process struct {
	*Share
	name   string
	ledger *ledger
	cancel context.CancelFunc
	ended  chan error

	mu      sync.Mutex
	lines   []string
	members []ShareMember
}

func (l *ledger) process(cluster *kfake.Cluster, name string, change func(*ShareConfig)) *process {
	l.t.Helper()
	p := &process{name: name, ledger: l, ended: make(chan error, 1)}
	conf := ShareConfig{
		Group: "A-mm2", Host: name, Settings: "same", Session: 3 * time.Second, Heartbeat: 50 * time.Millisecond, Rebalance: 10 * time.Second,
		Gained: func(_ context.Context, list []stream.Partition) { p.told("gained", list, false) },
		Lost:   func(_ context.Context, list []stream.Partition, gently bool) { p.told("lost", list, gently) },
		Members: func(members []ShareMember) {
			p.mu.Lock()
			p.members = members
			p.mu.Unlock()
			l.mu.Lock()
			close(l.changed)
			l.changed = make(chan struct{})
			l.mu.Unlock()
		},
		Report: func(e stream.Event) { p.write(e.Message) },
	}
	if change != nil {
		change(&conf)
	}
	var err error
	if p.Share, err = NewShare(clientOf(l.t, strings.Join(cluster.ListenAddrs(), ","), nil), conf); err != nil {
		l.t.Fatal(err)
	}
	return p
}

func (p *process) write(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines = append(p.lines, line)
}

func (p *process) told(what string, list []stream.Partition, gently bool) {
	p.write(fmt.Sprintf("%s %d, gently: %v", what, len(list), gently))
	l := p.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, part := range list {
		holder := l.holders[part]
		switch {
		case what == "gained" && holder != "":
			l.t.Errorf("%s gained %s, which %s holds", p.name, part, holder)
		case what == "lost" && holder != p.name:
			l.t.Errorf("%s lost %s, which %q holds", p.name, part, holder)
		}
		if l.holders[part] = p.name; what == "lost" {
			delete(l.holders, part)
		}
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

func (p *process) start(topics ...string) *process {
	p.Want(topics)
	ctx, cancel := context.WithCancel(p.ledger.t.Context())
	p.cancel = cancel
	go func() { p.ended <- p.Run(ctx) }()
	p.ledger.t.Cleanup(cancel)
	return p
}

func (p *process) stop() {
	p.ledger.t.Helper()
	p.cancel()
	if err := <-p.ended; err != nil {
		p.ledger.t.Errorf("stop %s: %v", p.name, err)
	}
}

func (p *process) said() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.lines)
}

func (p *process) knows() []ShareMember {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.members
}

var quickGroups = kfake.BrokerConfigs(map[string]string{"group.min.session.timeout.ms": "100", "group.initial.rebalance.delay.ms": "0"})

func TestShareJoinsGrowsAndLeaves(t *testing.T) {
	cluster, _ := fakeCluster(t, quickGroups, kfake.SeedTopics(12, "A.orders"), kfake.SeedTopics(1, "mm2-tandem.A.internal"))
	l := newLedger(t)
	a := l.process(cluster, "a", nil).start("A.orders", "mm2-tandem.A.internal")
	l.until("all at one", func(n map[string]int) bool { return n["a"] == 13 })

	b := l.process(cluster, "b", func(c *ShareConfig) { c.Instance, c.Settings = "instance-b", "other" }).start("A.orders", "mm2-tandem.A.internal")
	l.until("half of them and the duties where they were", func(n map[string]int) bool { return n["a"] == 7 && n["b"] == 6 })
	for _, p := range []*process{a, b} {
		l.until("the word of who is there", func(map[string]int) bool { return len(p.knows()) == 2 })
		settings := map[string]string{}
		for _, m := range p.knows() {
			settings[m.Host] = m.Settings + "/" + m.Instance
		}
		if settings["a"] != "same/" || settings["b"] != "other/instance-b" {
			t.Errorf("%s knows of %v", p.name, p.knows())
		}
	}
	if id, instance, generation := b.Member(); id == "" || instance != "instance-b" || generation < 1 {
		t.Errorf("b is %q, %q, %d", id, instance, generation)
	}

	b.RunsBy("same") // after a reload
	l.until("the word of it", func(map[string]int) bool {
		return !slices.ContainsFunc(a.knows(), func(m ShareMember) bool { return m.Settings != "same" })
	})

	// A topic that one of them sees first and that does not exist yet.
	a.Want([]string{"A.orders", "A.new", "mm2-tandem.A.internal"})
	if err := cluster.CreateTopic("A.new", 4, nil); err != nil {
		t.Fatal(err)
	}
	l.until("the new topic's at the one who wants it", func(n map[string]int) bool { return n["a"] == 11 && n["b"] == 6 })
	b.Want([]string{"A.orders", "A.new", "mm2-tandem.A.internal"})
	l.until("the new topic's at both", func(n map[string]int) bool { return n["a"] == 9 && n["b"] == 8 })

	a.stop()
	l.until("all at the other", func(n map[string]int) bool { return n["a"] == 0 && n["b"] == 17 })
	b.stop() // a static member leaves, too
	if info, err := cluster.WaitGroupInfo(within(t, time.Minute), "A-mm2", func(i *kfake.GroupInfo) bool { return i.State == "Empty" }); err != nil {
		t.Errorf("the group after all have left: %+v, %v", info, err)
	}
	for _, p := range []*process{a, b} {
		for _, line := range p.said() {
			if strings.Contains(line, "gently: false") && strings.HasPrefix(line, "lost") {
				t.Errorf("%s: %s", p.name, line)
			}
		}
	}
}

// A member whose group went on without it, whoever says so and in whichever request, loses all before anything else, and joins again.
func TestShareOfAGroupThatWentOn(t *testing.T) {
	cluster, _ := fakeCluster(t, quickGroups, kfake.SeedTopics(3, "A.orders"))
	l := newLedger(t)
	// The fake cluster still has the member that it called unknown, until the session ends.
	p := l.process(cluster, "a", func(c *ShareConfig) { c.Session = 1500 * time.Millisecond }).start("A.orders")
	l.until("all", func(n map[string]int) bool { return n["a"] == 3 })
	for _, c := range []struct {
		key kmsg.Key
		err *kerr.Error
	}{
		{kmsg.Heartbeat, kerr.UnknownMemberID}, {kmsg.Heartbeat, kerr.IllegalGeneration},
		{kmsg.JoinGroup, kerr.UnknownMemberID}, {kmsg.SyncGroup, kerr.UnknownMemberID}, {kmsg.SyncGroup, kerr.IllegalGeneration},
	} {
		before := len(p.said())
		cluster.Fault(kfake.Fault{Keys: []kmsg.Key{c.key}, TopLevel: true, Err: c.err})
		if c.key != kmsg.Heartbeat {
			p.Want([]string{"A.orders", fmt.Sprintf("A.%d-%d", c.key, c.err.Code)}) // a round
		}
		want := "lost all partitions: the group went on without this process|lost 3, gently: false|gained 3, gently: false"
		l.until("the partitions once more", func(map[string]int) bool {
			told := p.said()[before:]
			if len(told) < 3 {
				return false
			}
			told[0], _, _ = strings.Cut(told[0], ": "+c.err.Message)
			if got := strings.Join(told, "|"); got != want {
				t.Fatalf("%s %s: told %s", c.key.Name(), c.err.Message, got)
			}
			return true
		})
	}
	p.stop()
}

// What passes leaves partitions where they are.
func TestShareThroughTroubleThatPasses(t *testing.T) {
	cluster, wires := fakeCluster(t, quickGroups, kfake.NumBrokers(3), kfake.SeedTopics(3, "A.orders"))
	l := newLedger(t)
	p := l.process(cluster, "a", func(c *ShareConfig) { c.Session = 10 * time.Second }).start("A.orders")
	l.until("all", func(n map[string]int) bool { return n["a"] == 3 })
	told := len(p.said())
	round := func(what string) {
		t.Helper()
		_, _, before := p.Member()
		p.Want([]string{"A.orders", "A.for-" + what})
		l.until("a round after "+what, func(map[string]int) bool {
			_, _, now := p.Member()
			return now > before && len(p.knows()) == 1
		})
	}
	h := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, TopLevel: true, Err: kerr.NotCoordinator, Count: 3},
		kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, TopLevel: true, Err: kerr.CoordinatorLoadInProgress, Count: 3})
	if err := h.Wait(within(t, time.Minute), 6); err != nil {
		t.Fatal(err)
	}
	round("coordinator")
	cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.SyncGroup}, TopLevel: true, Err: kerr.RebalanceInProgress, Count: 2},
		kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, TopLevel: true, Err: kerr.CoordinatorNotAvailable, Count: 2},
		kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, TopLevel: true, Err: kerr.GroupMaxSizeReached, Count: 2})
	round("refusals")
	wires.cut()
	round("cut")
	if now := p.said(); len(now) != told {
		t.Errorf("told %q", now[told:])
	}
	p.stop()
}

// A coordinator that is silent for two sessions may have given everything to others. When it answers after all, and has not,
// everything comes back without a round.
func TestShareWhoseCoordinatorIsSilent(t *testing.T) {
	cluster, _ := fakeCluster(t, quickGroups, kfake.SeedTopics(3, "A.orders"))
	cluster.ControlKey(kmsg.JoinGroup.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		r.(*kmsg.JoinGroupRequest).SessionTimeoutMillis = 60_000 // as if another coordinator had begun the session anew
		return nil, nil, false
	})
	l := newLedger(t)
	p := l.process(cluster, "a", func(c *ShareConfig) { c.Session = 500 * time.Millisecond }).start("A.orders")
	l.until("all", func(n map[string]int) bool { return n["a"] == 3 })
	_, _, before := p.Member()
	silent := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, TopLevel: true, Err: kerr.CoordinatorNotAvailable, Count: -1})
	l.until("nothing", func(n map[string]int) bool { return n["a"] == 0 })
	silent.Remove()
	l.until("all again", func(n map[string]int) bool { return n["a"] == 3 })
	told := strings.Join(p.said(), "|")
	if !strings.Contains(told, "lost all partitions: the group's coordinator is silent") || !strings.Contains(told, "lost 3, gently: false") {
		t.Errorf("told %s", told)
	}
	if _, _, now := p.Member(); now != before {
		t.Errorf("generation %d after %d: there was a round", now, before)
	}
	p.stop()
}

func TestShareThatIsRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		err   *kerr.Error
		is    error
		says  []string
		while bool // while it is a member, at a heartbeat
	}{
		{"the right is missing", kerr.GroupAuthorizationFailed, nil, []string{"READ", "kafka-acls --bootstrap-server 127.0.0.1", "--operation Read --group 'A-mm2'"}, false},
		{"the session is not to the brokers' liking", kerr.InvalidSessionTimeout, nil, []string{"session.timeout.ms = 3000", "group.min.session.timeout.ms"}, false},
		{"another program is in the group", kerr.InconsistentGroupProtocol, ErrForeignMembers, []string{"MirrorMaker 2", "stop them"}, false},
		{"another process has the instance", kerr.FencedInstanceID, ErrFencedInstance, []string{"fixed", "group.instance.id", "one of its own"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			cluster, _ := fakeCluster(t, quickGroups, kfake.NumBrokers(1), kfake.SeedTopics(3, "A.orders"))
			l := newLedger(t)
			p := l.process(cluster, "a", func(c *ShareConfig) { c.Instance = "fixed" })
			key := kmsg.JoinGroup
			if c.while {
				key = kmsg.Heartbeat
			}
			cluster.Fault(kfake.Fault{Keys: []kmsg.Key{key}, TopLevel: true, Err: c.err})
			p.start("A.orders")
			err := <-p.ended
			if err == nil || strings.Contains(err.Error(), "\n") || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v, want %v in one line", err, c.is)
			}
			for _, words := range c.says {
				if err != nil && !strings.Contains(err.Error(), words) {
					t.Errorf("%q does not say %q", err, words)
				}
			}
			l.until("nothing", func(n map[string]int) bool { return len(n) == 0 })
			p.start("A.orders") // the caller may try again
			l.until("all", func(n map[string]int) bool { return n["a"] == 3 })
			p.stop()
		})
	}
}

// A static member that is killed and started again has its partitions back, and others hear nothing of it.
func TestShareOfAStaticMemberThatIsKilled(t *testing.T) {
	cluster, _ := fakeCluster(t, quickGroups, kfake.SeedTopics(6, "A.orders"))
	l := newLedger(t)
	static := func(c *ShareConfig) { c.Instance, c.Session = c.Host, 20*time.Second }
	a := l.process(cluster, "a", static).start("A.orders")
	b := l.process(cluster, "b", static).start("A.orders")
	l.until("half each", func(n map[string]int) bool { return n["a"] == 3 && n["b"] == 3 })
	told := len(a.said())

	cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.LeaveGroup}, TopLevel: true, Err: kerr.UnknownServerError}) // as if killed
	b.stop()
	again := l.process(cluster, "b", static).start("A.orders")
	l.until("half each again", func(n map[string]int) bool { return n["a"] == 3 && n["b"] == 3 })
	if now := a.said(); len(now) != told {
		t.Errorf("the other was told %q", now[told:])
	}

	// Started with other settings it makes itself heard, although Kafka starts no round for it.
	second := l.process(cluster, "b2", func(c *ShareConfig) { c.Instance, c.Session, c.Settings = "b", 20*time.Second, "new" })
	cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.LeaveGroup}, TopLevel: true, Err: kerr.UnknownServerError})
	again.stop()
	second.start("A.orders")
	l.until("the word of the new settings", func(map[string]int) bool {
		return slices.ContainsFunc(a.knows(), func(m ShareMember) bool { return m.Settings == "new" && m.Host == "b2" })
	})
	second.stop()
	a.stop()
}

func TestNewShareChecksWhatItIsGiven(t *testing.T) {
	good := ShareConfig{Group: "g", Session: 6 * time.Second, Heartbeat: time.Second, Rebalance: time.Minute,
		Gained: func(context.Context, []stream.Partition) {}, Lost: func(context.Context, []stream.Partition, bool) {}}
	if _, err := NewShare(Client{}, good); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*ShareConfig){
		"no group":              func(c *ShareConfig) { c.Group = "" },
		"heartbeats too seldom": func(c *ShareConfig) { c.Heartbeat = 4 * time.Second },
		"no rebalance timeout":  func(c *ShareConfig) { c.Rebalance = 0 },
		"nobody to tell":        func(c *ShareConfig) { c.Lost = nil },
	} {
		conf := good
		change(&conf)
		if _, err := NewShare(Client{}, conf); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestInstanceSlots(t *testing.T) {
	file := t.TempDir() + "/mm2.properties"
	first, releaseFirst := InstanceSlot(file)
	if host, _ := os.Hostname(); runtime.GOOS != "linux" || host == "localhost" {
		if first != "" {
			t.Errorf("%q where names cannot be told apart", first)
		}
		return
	}
	if first == "" {
		t.Fatal("no instance")
	}
	second, releaseSecond := InstanceSlot(file)
	defer releaseSecond()
	other, releaseOther := InstanceSlot(file + ".other")
	defer releaseOther()
	if first == second || first == other || second == other {
		t.Errorf("%q, %q, %q are not three", first, second, other)
	}
	releaseFirst()
	again, releaseAgain := InstanceSlot(file)
	defer releaseAgain()
	if again != first {
		t.Errorf("%q after the end of %q", again, first)
	}
}
