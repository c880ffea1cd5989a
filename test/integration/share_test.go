package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/kafka"
	"tandem/internal/stream"
	"tandem/internal/testkit/realkafka"
)

// The membership alone: Shares in this process, and nothing is copied. Three brokers, two ways to them: the direct one, and one
// that a test can make silent without a connection ending, as a frozen or cut off process is silent.
func TestSharesOfAGroup(t *testing.T) {
	way := &silence{}
	cluster := realkafka.Start(t, realkafka.Options{Brokers: 3, Advertise: way.before})
	t.Cleanup(way.close)
	b := on(t, cluster)
	b.create("A.old", 48, 3, nil)
	b.create("mm2-tandem.A.internal", 1, 3, nil)
	wanted := []string{"A.old", "mm2-tandem.A.internal"}
	h := &holders{t: t, holds: map[stream.Partition]string{}, silent: map[string]bool{}}

	one := h.share("one", cluster.Direct, "").start(wanted)
	two := h.share("two", cluster.Direct, "").start(wanted)
	three := h.share("three", cluster.Bootstrap, "instance-3").start(wanted)
	h.counts(map[string]int{"one": 16, "two": 16, "three": 16})
	for _, p := range []*shared{one, two, three} {
		eventually(t, "the word of who is there at "+p.name, func() error {
			if members := p.knows(); len(members) != 3 {
				return fmt.Errorf("knows of %v", members)
			}
			return nil
		})
	}

	t.Run("kafka's tool shows who has what", func(t *testing.T) {
		out, err := realkafka.Java(t.Context(), "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
			"--bootstrap-server", cluster.Direct, "--describe", "--group", "A-mm2", "--members", "--verbose")
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(out, "A.old"); n != 3 || !strings.Contains(out, "instance-3") || !strings.Contains(out, "mm2-tandem.A.internal:0") {
			t.Errorf("%d members have partitions of A.old:\n%s", n, out)
		}
	})

	t.Run("a new topic moves nothing that runs", func(t *testing.T) {
		before := h.said()
		b.create("A.very-new", 12, 3, nil)
		for _, p := range []*shared{one, two, three} { // each finds it for itself
			p.Want(append([]string{"A.very-new"}, wanted...))
		}
		h.counts(map[string]int{"one": 20, "two": 20, "three": 20})
		for _, line := range h.said()[len(before):] {
			if strings.Contains(line, "lost A.old") {
				t.Error(line)
			}
		}
	})

	t.Run("a static member that starts again is nobody's business, and fences the one it replaces", func(t *testing.T) {
		before := h.said()
		way.set(true)
		h.silence("three", true)
		_, _, generation := one.Member()
		more := append([]string{"A.very-new"}, wanted...)
		again := h.share("three again", cluster.Direct, "instance-3")
		again.conf.Host = "three" // it says what the killed one said
		again.renew()
		again.start(more)
		h.counts(map[string]int{"one": 20, "two": 20, "three again": 20})
		if _, _, now := one.Member(); now != generation {
			t.Errorf("generation %d after %d: there was a round", now, generation)
		}

		// One that says something else makes itself heard, although Kafka starts no round for it.
		h.silence("three again", true)
		anew := h.share("three anew", cluster.Direct, "instance-3")
		anew.conf.Settings, anew.conf.Session = "new", 10*patience // if it moves anything when it stops, it has left
		anew.renew()
		anew.start(more)
		eventually(t, "the word of the new settings", func() error {
			if members := one.knows(); !slices.ContainsFunc(members, func(m kafka.ShareMember) bool { return m.Settings == "new" }) {
				return fmt.Errorf("knows of %v", members)
			}
			return nil
		})
		h.counts(map[string]int{"one": 20, "two": 20, "three anew": 20})
		if err := <-again.ended; !errors.Is(err, kafka.ErrFencedInstance) {
			t.Errorf("the one that was replaced ends with %v", err)
		}
		way.set(false)
		err := <-three.ended
		if !errors.Is(err, kafka.ErrFencedInstance) || !strings.Contains(err.Error(), "instance-3") || strings.Contains(err.Error(), "\n") {
			t.Errorf("the one that was replaced ends with %v", err)
		}
		for _, line := range h.said()[len(before):] {
			if strings.HasPrefix(line, "one") || strings.HasPrefix(line, "two") {
				t.Error(line)
			}
		}
		anew.stop() // leaves, although it is static
		h.counts(map[string]int{"one": 30, "two": 30})
	})

	t.Run("one that falls silent loses its part, and knows it when it wakes", func(t *testing.T) {
		four := h.share("four", cluster.Bootstrap, "")
		four.conf.Session = 6 * time.Second // the least that brokers allow; that of the others outlives a busy machine
		four.renew()
		four.start(append([]string{"A.very-new"}, wanted...))
		h.counts(map[string]int{"one": 20, "two": 20, "four": 20})
		way.set(true)
		h.silence("four", true)
		h.counts(map[string]int{"one": 30, "two": 30})
		way.set(false)
		h.counts(map[string]int{"one": 20, "two": 20, "four": 20})
		if all := strings.Join(h.said(), "\n"); !strings.Contains(all, "four lost A.old at once") {
			t.Errorf("was never told that it lost all:\n%s", all)
		}
		four.stop()
		h.counts(map[string]int{"one": 30, "two": 30})
	})

	t.Run("MirrorMaker 2 and we keep each other out", func(t *testing.T) {
		if _, err := connectMember(b, "A-mm2"); !errors.Is(err, kerr.InconsistentGroupProtocol) {
			t.Errorf("a worker that joins our group gets %v", err)
		}
		id, err := connectMember(b, "C-mm2")
		if err != nil {
			t.Fatal(err)
		}
		late := h.share("late", cluster.Direct, "")
		late.conf.Group = "C-mm2"
		late.renew()
		if err := <-late.start(nil).ended; !errors.Is(err, kafka.ErrForeignMembers) {
			t.Errorf("joining a group of workers: %v", err)
		}
		leave := kmsg.NewPtrLeaveGroupRequest()
		leave.Group, leave.MemberID = "C-mm2", id
		leave.Members = []kmsg.LeaveGroupRequestMember{{MemberID: id}}
		if _, err := leave.RequestWith(t.Context(), b.coordinated); err != nil {
			t.Fatal(err)
		}
		late.start(nil)
		eventually(t, "the place of the worker", func() error {
			if _, _, generation := late.Member(); generation < 0 {
				return errors.New("no member")
			}
			return nil
		})
		late.stop()
	})

	t.Run("the coordinator dies and nobody loses anything", func(t *testing.T) {
		before := h.said()
		find := kmsg.NewPtrFindCoordinatorRequest()
		find.CoordinatorKey, find.CoordinatorKeys = "A-mm2", []string{"A-mm2"}
		found, err := find.RequestWith(t.Context(), b.client)
		if err != nil || len(found.Coordinators) != 1 {
			t.Fatal(found, err)
		}
		cluster.Kill(int(found.Coordinators[0].NodeID) - 1)
		one.Want(append([]string{"A.for-a-round", "A.very-new"}, wanted...))
		_, _, generation := one.Member()
		eventually(t, "a round at another coordinator", func() error {
			if _, _, now := two.Member(); now <= generation {
				return fmt.Errorf("generation %d", now)
			}
			return nil
		})
		if now := h.said(); len(now) != len(before) {
			t.Errorf("told %q", now[len(before):])
		}
		one.stop()
		h.counts(map[string]int{"two": 60})
		two.stop()
	})
}

// connectMember joins a group as a worker of Kafka Connect does.
func connectMember(b side, group string) (id string, err error) {
	for {
		join := kmsg.NewPtrJoinGroupRequest()
		join.Group, join.MemberID, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = group, id, 30_000, 10_000
		join.ProtocolType = "connect"
		join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "sessioned", Metadata: []byte{0, 2}}}
		answer, err := join.RequestWith(b.t.Context(), b.coordinated)
		if err != nil {
			return "", err
		}
		if err := kerr.ErrorForCode(answer.ErrorCode); !errors.Is(err, kerr.MemberIDRequired) {
			return answer.MemberID, err
		}
		id = answer.MemberID
	}
}

// holders is who holds which partition, duties aside. Two at a time are an error, except with one that a test has made silent.
type holders struct {
	t      *testing.T
	mu     sync.Mutex
	holds  map[stream.Partition]string
	silent map[string]bool
	lines  []string
}

func (h *holders) silence(name string, silent bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.silent[name] = silent
}

func (h *holders) said() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.lines)
}

// counts waits until the partitions are divided so, those of silent ones taken for given away.
func (h *holders) counts(want map[string]int) {
	h.t.Helper()
	eventually(h.t, fmt.Sprint(want), func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		got := map[string]int{}
		for _, name := range h.holds {
			got[name]++
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("%v\n%s", got, strings.Join(h.lines, "\n"))
		}
		return nil
	})
}

func (h *holders) told(name, what string, list []stream.Partition) {
	h.mu.Lock()
	defer h.mu.Unlock()
	topics := map[string]int{}
	for _, p := range list {
		topics[p.Topic]++
		if strings.HasPrefix(p.Topic, "mm2-tandem.") {
			continue
		}
		holder, held := h.holds[p]
		switch {
		case what == "gained" && held && !h.silent[holder]:
			h.t.Errorf("%s gained %s, which %s holds", name, p, holder)
		case what == "gained":
			h.holds[p] = name
		case holder == name:
			delete(h.holds, p)
		case !h.silent[name]:
			h.t.Errorf("%s lost %s, which %q holds", name, p, holder)
		}
	}
	if what == "lost at once" {
		h.silent[name] = false // it knows by now
	}
	for topic, n := range topics {
		h.lines = append(h.lines, fmt.Sprintf("%s %s: %d", name, strings.Replace(what, "lost", "lost "+topic, 1), n))
	}
}

// shared is one Share and what it was told.
type shared struct {
	*kafka.Share
	name   string
	h      *holders
	client kafka.Client
	conf   kafka.ShareConfig
	cancel context.CancelFunc
	ended  chan error

	mu      sync.Mutex
	members []kafka.ShareMember
}

func (h *holders) share(name, bootstrap, instance string) *shared {
	h.t.Helper()
	client, err := kafka.Parse(map[string]string{"bootstrap.servers": bootstrap})
	if err != nil {
		h.t.Fatal(err)
	}
	p := &shared{name: name, h: h, client: client, ended: make(chan error, 1)}
	p.conf = kafka.ShareConfig{
		Group: "A-mm2", Instance: instance, Host: name, Settings: "same",
		Session: 20 * time.Second, Heartbeat: 500 * time.Millisecond, Rebalance: 30 * time.Second,
		Gained: func(_ context.Context, list []stream.Partition) { h.told(name, "gained", list) },
		Lost: func(_ context.Context, list []stream.Partition, gently bool) {
			h.told(name, map[bool]string{true: "lost", false: "lost at once"}[gently], list)
		},
		Members: func(members []kafka.ShareMember) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.members = members
		},
	}
	p.renew()
	return p
}

func (p *shared) renew() {
	p.h.t.Helper()
	var err error
	if p.Share, err = kafka.NewShare(p.client, p.conf); err != nil {
		p.h.t.Fatal(err)
	}
}

func (p *shared) start(topics []string) *shared {
	p.Want(topics)
	ctx, cancel := context.WithCancel(p.h.t.Context())
	p.cancel = cancel
	go func() { p.ended <- p.Run(ctx) }()
	return p
}

func (p *shared) stop() {
	p.h.t.Helper()
	p.cancel()
	if err := <-p.ended; err != nil {
		p.h.t.Errorf("stop %s: %v", p.name, err)
	}
}

func (p *shared) knows() []kafka.ShareMember {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.members
}

// silence is a way to brokers on which, for a time, nothing arrives, and no connection ends.
type silence struct {
	mu        sync.Mutex
	held      chan struct{} // closed when what is held back may go on; nil: nothing is
	listeners []net.Listener
	conns     []net.Conn
}

func (s *silence) before(_ int, address string) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s.listeners = append(s.listeners, l)
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", address)
			if err != nil {
				from.Close()
				continue
			}
			s.mu.Lock()
			s.conns = append(s.conns, from, to)
			s.mu.Unlock()
			go s.copy(from, to)
			go s.copy(to, from)
		}
	}()
	return l.Addr().String(), nil
}

func (s *silence) copy(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	_, _ = io.Copy(heldWriter{s, to}, from)
}

type heldWriter struct {
	s  *silence
	to net.Conn
}

func (w heldWriter) Write(data []byte) (int, error) {
	w.s.mu.Lock()
	held := w.s.held
	w.s.mu.Unlock()
	if held != nil {
		<-held
	}
	return w.to.Write(data)
}

func (s *silence) set(silent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if silent {
		s.held = make(chan struct{})
		return
	}
	if s.held != nil {
		close(s.held)
	}
	s.held = nil
}

func (s *silence) close() {
	s.set(false)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.listeners {
		l.Close()
	}
	for _, c := range s.conns {
		c.Close()
	}
}
