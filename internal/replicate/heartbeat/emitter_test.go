package heartbeat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/stream"
)

var flow = stream.Flow{Source: "A", Target: "B"}

// scene runs an emitter under a fake clock and writes down what happens, each line with the seconds since the start.
type scene struct {
	t       *testing.T
	start   time.Time
	append  func(ctx context.Context, second int) error
	happens []string
}

func (s *scene) note(format string, args ...any) {
	s.happens = append(s.happens, fmt.Sprintf("%ds ", s.second())+fmt.Sprintf(format, args...))
}

func (s *scene) second() int { return int(time.Since(s.start) / time.Second) }

func (s *scene) Append(ctx context.Context, to string, records []stream.Record) error {
	if s.append != nil {
		if err := s.append(ctx, s.second()); err != nil {
			return err
		}
	}
	for _, r := range records {
		h, err := Decode(r)
		if err != nil {
			s.t.Error(err)
		}
		if age := time.Since(h.At); age < 0 || age > patience {
			s.t.Errorf("a heartbeat aged %s", age)
		}
		s.note("%s/%d %s", to, r.Partition, h.Flow)
	}
	return nil
}

func (s *scene) report(e stream.Event) {
	s.note("%s: %s %v", e.Flow, e.Message, e.Fields)
}

// play runs for so long and expects Run to return at once when it is stopped.
func (s *scene) play(interval, length time.Duration) []string {
	synctest.Test(s.t, func(t *testing.T) {
		s.start = time.Now()
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- NewEmitter(s, flow, interval, s.report).Run(ctx) }()
		<-time.After(length) // of the fake clock
		synctest.Wait()
		stop()
		stopped := time.Now()
		if err := <-done; err != nil || time.Since(stopped) != 0 {
			t.Errorf("stopping took %s and returned %v", time.Since(stopped), err)
		}
	})
	return s.happens
}

func TestEmitter(t *testing.T) {
	errDown := errors.New("down")
	for _, c := range []struct {
		story    string
		interval time.Duration
		length   time.Duration
		append   func(ctx context.Context, second int) error
		want     []string
	}{
		{story: "the first after one interval, then one each interval", interval: 5 * time.Second, length: 16 * time.Second,
			want: []string{"5s heartbeats/0 A->B", "10s heartbeats/0 A->B", "15s heartbeats/0 A->B"}},
		{story: "stopped before the first", interval: 5 * time.Second, length: 4 * time.Second},
		{story: "an interval of 0 is MM2's default", length: 2 * time.Second,
			want: []string{"1s heartbeats/0 A->B", "2s heartbeats/0 A->B"}},
		{story: "one event when it fails, one when it is back", interval: time.Second, length: 6 * time.Second,
			append: func(_ context.Context, second int) error {
				if second >= 2 && second <= 4 {
					return errDown
				}
				return nil
			},
			want: []string{"1s heartbeats/0 A->B",
				"2s A->B: append heartbeat failed; replication itself goes on [{topic heartbeats} {error down}]",
				"5s heartbeats/0 A->B", "5s A->B: heartbeats are back [{missed 3} {outage 3s}]", "6s heartbeats/0 A->B"}},
		{story: "a second outage is told again", interval: time.Second, length: 4 * time.Second,
			append: func(_ context.Context, second int) error {
				if second%2 == 1 {
					return errDown
				}
				return nil
			},
			want: []string{"1s A->B: append heartbeat failed; replication itself goes on [{topic heartbeats} {error down}]",
				"2s heartbeats/0 A->B", "2s A->B: heartbeats are back [{missed 1} {outage 1s}]",
				"3s A->B: append heartbeat failed; replication itself goes on [{topic heartbeats} {error down}]",
				"4s heartbeats/0 A->B", "4s A->B: heartbeats are back [{missed 1} {outage 1s}]"}},
		{story: "a cluster that does not answer is an outage too", interval: time.Second, length: 15 * time.Second,
			append: func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() },
			want:   []string{"11s A->B: append heartbeat failed; replication itself goes on [{topic heartbeats} {error context deadline exceeded}]"}},
		{story: "stopped in the middle of an append: no delay, no event", interval: time.Second, length: 5 * time.Second,
			append: func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() }},
	} {
		t.Run(c.story, func(t *testing.T) {
			s := &scene{t: t, append: c.append}
			if got := s.play(c.interval, c.length); !slices.Equal(got, c.want) {
				t.Errorf("happened %q\nwant     %q", got, c.want)
			}
		})
	}
}
