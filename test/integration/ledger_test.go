package integration

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
)

// ledger notes each record that consumers of a group have handled, wherever they read it.
type ledger struct {
	mu      sync.Mutex
	handled map[string]int // by topic where it was first written, partition and value
}

func newLedger() *ledger { return &ledger{handled: map[string]int{}} }

// entry names a record by the topic that it was written to, without the alias of a remote topic.
func entry(home func(topic string) string, r *kgo.Record) string {
	return fmt.Sprintf("%s/%d: %s", home(r.Topic), r.Partition, r.Value)
}

func (l *ledger) note(name string) {
	l.mu.Lock()
	l.handled[name]++
	l.mu.Unlock()
}

func (l *ledger) total() (records int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.handled {
		records += n
	}
	return records
}

// judge compares what was handled with what was written.
func (l *ledger) judge(written []string) (lost, repeated []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range written {
		if n := l.handled[name]; n == 0 {
			lost = append(lost, name)
		} else if n > 1 {
			repeated = append(repeated, name)
		}
	}
	return lost, repeated
}

// consumer is a member of a group that handles records and commits after each poll.
type consumer struct {
	stop func()
	done chan struct{}
	err  error // set when done is closed
}

// consume starts a consumer of a group. A group without a position begins at the start of a topic, so that a position
// that was not carried over shows as repeated records.
func consume(s side, group string, l *ledger, home func(string) string, topics ...string) *consumer {
	s.t.Helper()
	client := s.newClient(kgo.MaxVersions(kversion.V3_8_0()), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topics...), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond), kgo.MetadataMinAge(100*time.Millisecond),
		kgo.SessionTimeout(6*time.Second), kgo.HeartbeatInterval(500*time.Millisecond), kgo.BlockRebalanceOnPoll())
	ctx, stop := context.WithCancel(s.t.Context())
	c := &consumer{stop: stop, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		defer client.Close()
		for ctx.Err() == nil {
			fetches := client.PollRecords(ctx, 500)
			handled := fetches.Records()
			for _, r := range handled {
				l.note(entry(home, r))
			}
			commit, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			err := client.CommitRecords(commit, handled...)
			cancel()
			client.AllowRebalance()
			if err != nil && len(handled) > 0 {
				c.err = errors.Join(c.err, err)
			}
		}
	}()
	s.t.Cleanup(func() {
		stop()
		<-c.done
	})
	return c
}

// end stops the consumer, which leaves its group with everything committed that it has handled.
func (c *consumer) end(t *testing.T) {
	t.Helper()
	c.stop()
	<-c.done
	if c.err != nil {
		t.Fatalf("consume: %v", c.err)
	}
}

// handles waits until so many records have been handled in all.
func (l *ledger) handles(t *testing.T, records int) {
	t.Helper()
	eventually(t, "records to be handled", func() error {
		if n := l.total(); n < records {
			return fmt.Errorf("%d of %d", n, records)
		}
		return nil
	})
}

// bare takes the alias off a remote topic.
func bare(aliases ...string) func(string) string {
	return func(topic string) string {
		for _, a := range aliases {
			topic = strings.TrimPrefix(topic, a+".")
		}
		return topic
	}
}

// ran is what a command printed and how it ended.
type ran struct {
	stdout, stderr string
	status         int
}

// runFailover runs a command of failover to its end.
func runFailover(t *testing.T, args ...string) ran {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, failoverBinary, args...)
	var out, complaint strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("failover %s: %v %v", strings.Join(args, " "), err, ctx.Err())
	}
	return ran{out.String(), complaint.String(), cmd.ProcessState.ExitCode()}
}

// must wants exit status 0.
func (r ran) must(t *testing.T) ran {
	t.Helper()
	if r.status != 0 {
		t.Fatalf("exit status %d\n%s%s", r.status, r.stdout, r.stderr)
	}
	return r
}
