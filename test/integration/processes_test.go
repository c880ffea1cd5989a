package integration

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const sharedProperties = oneBroker + quiet + `
clusters = %[1]s, %[1]sB
%[1]s.bootstrap.servers = %[2]s
%[1]sB.bootstrap.servers = %[3]s
%[1]s->%[1]sB.enabled = true
%[1]s->%[1]sB.topics = %[1]s-.*
emit.checkpoints.interval.seconds = 1
`

// progress watches when the remote partitions grow.
type progress struct {
	mu      sync.Mutex // guards what follows
	ends    []int64
	grew    []time.Time     // when each partition grew last
	longest []time.Duration // the longest that each one has stood still, since the last reset
	failed  error
}

// watch looks at a remote topic twenty times a second.
func watch(s side, remote string, partitions int) *progress {
	p := &progress{ends: make([]int64, partitions), grew: make([]time.Time, partitions), longest: make([]time.Duration, partitions)}
	for i := range p.grew {
		p.grew[i] = time.Now()
	}
	ctx, stop := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			p.look(s, remote)
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	s.t.Cleanup(func() {
		stop()
		<-done
	})
	return p
}

func (p *progress) look(s side, remote string) {
	ends, err := s.ends(remote)
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil || len(ends) != len(p.ends) {
		p.failed = err
		return
	}
	for i, end := range ends {
		p.longest[i] = max(p.longest[i], now.Sub(p.grew[i]))
		if end > p.ends[i] {
			p.ends[i], p.grew[i] = end, now
		}
	}
}

// reset begins a new count of the longest pauses.
func (p *progress) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.longest)
}

// pauses are the longest ones since the last reset: of the partition that stood still for longest, and how many did for over a second.
func (p *progress) pauses() (longest time.Duration, overSecond int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, d := range p.longest {
		d = max(d, time.Since(p.grew[i]))
		longest = max(longest, d)
		if d > time.Second {
			overSecond++
		}
	}
	return longest, overSecond
}

// moving wants every partition to have grown since the last reset, and to go on.
func (p *progress) moving(within time.Duration) func() error {
	return func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		for i, at := range p.grew {
			if since := time.Since(at); since > within {
				return fmt.Errorf("partition %d stands still since %s", i, since.Round(time.Millisecond))
			}
		}
		return p.failed
	}
}

// copies waits until a process copies so many partitions.
func (m *mirrorProcess) copies(partitions int) {
	m.t.Helper()
	m.until(fmt.Sprintf("%d partitions", partitions), func() error {
		said := m.lines("replicating ")
		if len(said) == 0 {
			return fmt.Errorf("none yet")
		}
		words := strings.Fields(said[len(said)-1].Msg)
		if n, _ := strconv.Atoi(words[1]); n != partitions {
			return fmt.Errorf("%s", said[len(said)-1].Msg)
		}
		return nil
	})
}

// Three processes share 48 partitions under load: they join, leave, are killed, freeze and wake up, and every record arrives once.
func TestProcessesShareAFlow(t *testing.T) {
	a, b := clusters(t)
	shareAFlow(t, on(t, a.Cluster), on(t, b.Cluster))
}

func shareAFlow(t *testing.T, a, b side) {
	const alias, topic, remote, partitions = "procs", "procs-numbers", "procs.procs-numbers", 48
	frozen := 15 * time.Second
	if long() {
		frozen = time.Minute
	}
	a.create(topic, partitions, 1, nil)
	w := startWriter(a, topic, partitions)
	properties := fmt.Sprintf(sharedProperties, alias, a.Bootstrap, b.Bootstrap)
	one := startMirror(t, properties)
	one.copies(48)
	p := watch(b, remote, partitions)
	step := func(what string, do func()) {
		t.Helper()
		p.reset()
		do()
		eventually(t, "every partition to move "+what, p.moving(500*time.Millisecond))
		longest, over := p.pauses()
		t.Logf("%s: the longest pause of a partition was %s, %d of %d paused for over a second", what, longest.Round(time.Millisecond), over, partitions)
	}
	var two, three *mirrorProcess
	step("after a second process joined", func() {
		two = startMirror(t, properties)
		two.copies(24)
		one.copies(24)
	})
	step("after a third process joined", func() {
		three = startMirror(t, properties)
		three.copies(16)
		two.copies(16)
		one.copies(16)
	})
	step("after a topic was added", func() {
		a.create("procs-more", 6, 1, nil)
		one.copies(18)
		two.copies(18)
		three.copies(18)
	})
	step("after a process left", func() {
		two.stop()
		one.copies(27)
		three.copies(27)
	})
	step("after a process was killed", func() {
		three.Kill()
		one.copies(54)
	})
	step("while processes come back", func() {
		two = startMirror(t, properties)
		three = startMirror(t, properties)
		one.copies(18)
		two.copies(18)
		three.copies(18)
	})
	step("after a process froze, and woke up when others had its partitions", func() {
		if err := one.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		two.copies(27)
		three.copies(27)
		<-time.After(frozen) // nothing happens that could be waited for
		if err := one.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		one.copies(18)
		two.copies(18)
		three.copies(18)
	})
	two.until("the rest", b.reaches(remote, w.end()))
	one.stop()
	two.stop()
	three.stop()
	w.wantEachOnce(b, remote)
}
