package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"tandem/internal/stream"
)

// ErrForeignMembers says that the group has members of another program, most often MirrorMaker 2's own workers: Kafka lets
// only one of both in.
var ErrForeignMembers = errors.New("other programs are members of the group")

// ErrFencedInstance says that another process has joined the group under the same group.instance.id.
var ErrFencedInstance = errors.New("another process has the same group.instance.id")

// ShareConfig is what a Share is made of.
type ShareConfig struct {
	Group     string        // on the cluster of the Client
	Instance  string        // group.instance.id: a restart within Session keeps its partitions; empty is a dynamic member
	Session   time.Duration // a process that is silent for so long has lost its partitions
	Heartbeat time.Duration
	Rebalance time.Duration // how long the group waits for a process to let partitions go
	Settings  string        // hash of the settings, which the others see
	Host      string        // what others call this process in messages

	// Gained and Lost are called one after the other, from one goroutine. From Gained on the partitions are ours. Lost returns
	// when nothing more is written to them; gently says that the group waits for it, until ctx ends. Otherwise the partitions are
	// somebody else's already, or soon.
	Gained func(ctx context.Context, p []stream.Partition)
	Lost   func(ctx context.Context, p []stream.Partition, gently bool)
	// Members is told after each round of the group: who is in it, with which settings. Every member hears of it, not only the
	// leader. It must not block. It may be nil, as may Report.
	Members func([]ShareMember)

	Flow   stream.Flow // of the events
	Report stream.Report
}

// ShareMember is a process that takes part.
type ShareMember struct {
	ID, Instance, Host, Settings string
	Partitions                   int
}

// Share is one process's part in the partitions that several processes divide between them: a member of a group of the
// target (docs/adr/0011-sharing-work.md). It fetches and commits nothing.
//
// A partition is not given to a process before the one that had it let it go, with two exceptions: one that has been silent
// for a session, and one whose Lost takes longer than the rebalance timeout. Both may go on writing for a while;
// the data plane has to stand that.
type Share struct {
	client Client
	conf   ShareConfig

	mu       sync.Mutex
	want     []string // sorted
	settings string   // as of the last RunsBy
	member   identity
	wanted   chan struct{} // has one entry when want or settings have changed
}

// identity is what the group knows us by.
type identity struct {
	id         string
	generation int32 // -1: none
}

// NewShare makes a Share that joins when it runs.
func NewShare(c Client, conf ShareConfig) (*Share, error) {
	switch {
	case conf.Group == "":
		return nil, errors.New("share partitions: no group is named")
	case conf.Heartbeat <= 0 || conf.Session < 2*conf.Heartbeat:
		return nil, fmt.Errorf("share partitions: a session of %v is too short for heartbeats every %v", conf.Session, conf.Heartbeat)
	case conf.Rebalance <= 0:
		return nil, errors.New("share partitions: there is no rebalance timeout")
	case conf.Gained == nil || conf.Lost == nil:
		return nil, errors.New("share partitions: nobody to tell of them")
	}
	return &Share{client: c, conf: conf, settings: conf.Settings, member: identity{generation: -1}, wanted: make(chan struct{}, 1)}, nil
}

// Want names the topics of the cluster whose partitions this process shares in; it replaces the names before. A topic that
// does not exist yet is shared once it does. It may be called before and during Run.
func (s *Share) Want(topics []string) {
	want := slices.Compact(slices.Sorted(slices.Values(topics)))
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Equal(want, s.want) {
		return
	}
	s.want = want
	signal(s.wanted)
}

// RunsBy is the hash of the settings from now on. It may be called before and during Run.
func (s *Share) RunsBy(settings string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.settings == settings {
		return
	}
	s.settings = settings
	signal(s.wanted)
}

func (s *Share) wants() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.want
}

// takeWants is what is wanted, and the settings, for a round, which makes the news of them old.
func (s *Share) takeWants() (topics []string, settings string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.wanted:
	default:
	}
	return s.want, s.settings
}

// Member is who we are in the group now, as a transaction's offsets are committed with it (KIP-447). The generation is -1
// while we are no member.
func (s *Share) Member() (memberID, instance string, generation int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.member.id, s.conf.Instance, s.member.generation
}

func (s *Share) setMember(m identity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.member = m
}

// Run joins the group and stays in it until ctx ends; then it lets all partitions go and leaves, as a static member too. It joins
// again by itself whatever happens to brokers. It returns an error when a person or the caller has to decide:
// ErrForeignMembers, ErrFencedInstance, settings or rights that the cluster refuses. All partitions are lost by then, and
// it may be run again.
func (s *Share) Run(ctx context.Context) error {
	link, err := newShareLink(s.client, s.conf)
	if err != nil {
		return err
	}
	defer link.close()
	held := newHolding(s.conf)
	held.start(context.WithoutCancel(ctx))
	defer held.stop() // ends with nothing held

	m := newMembership(s, link, held)
	err = m.run(ctx)
	s.setMember(identity{generation: -1})
	return err
}

// report tells of something that happened.
func (s *Share) report(severity stream.Severity, message string, fields ...stream.Field) {
	if s.conf.Report == nil {
		return
	}
	fields = append([]stream.Field{stream.F("group", s.conf.Group)}, fields...)
	s.conf.Report(stream.Event{Flow: s.conf.Flow, Severity: severity, Message: message, Fields: fields})
}

// signal leaves one entry in a channel that holds one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
