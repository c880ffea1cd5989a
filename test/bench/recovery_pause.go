package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// How a process ends that has partitions.
const (
	killedOfTwo  = "one of two processes killed"
	stoppedOfTwo = "one of two processes stopped (SIGTERM)"
	killedAlone  = "the only process killed and started again"

	pauseLoad = time.Second // of the load before and, at least, after
)

// loseProcesses ends processes of a flow and sees for how long partitions do not move.
func (r *recovering) loseProcesses(ctx context.Context, _ flags) error {
	m, err := r.newMirrored("shared", loadTopic, 0)
	if err != nil {
		return err
	}
	defer m.kill()
	if _, err := m.start(ctx); err != nil {
		return err
	}
	if err := r.caughtUp(ctx, m); err != nil {
		return err
	}
	producing, err := r.startLoad()
	if err != nil {
		return err
	}
	defer producing.abandon()
	for range r.runs {
		if err := r.pause(ctx, m, killedAlone, func() error {
			m.kill()
			_, err := m.start(ctx)
			return err
		}); err != nil {
			return err
		}
	}
	for _, way := range []struct {
		section string
		signal  syscall.Signal
	}{{killedOfTwo, syscall.SIGKILL}, {stoppedOfTwo, syscall.SIGTERM}} {
		for range r.runs {
			if _, err := m.start(ctx); err != nil {
				return err
			}
			if err := m.divided(ctx); err != nil {
				return err
			}
			first := m.running[0]
			if err := r.pause(ctx, m, way.section, func() error { return first.Signal(way.signal) }); err != nil {
				return err
			}
			<-first.Done()
			m.running = m.running[1:]
		}
	}
	return producing.stop(ctx)
}

// divided returns when each of two processes knows of two that have partitions.
func (m *mirrored) divided(ctx context.Context) error {
	return until(ctx, "two processes to share the flow", func() error {
		for _, p := range m.running {
			s, err := p.standing()
			if err != nil {
				return err
			}
			if !s.Ready || len(s.Flows) != 1 || len(s.Flows[0].Members) != 2 {
				return fmt.Errorf("it stands so: %+v", s)
			}
			for _, member := range s.Flows[0].Members {
				if member.Partitions == 0 {
					return fmt.Errorf("it stands so: %+v", s)
				}
			}
		}
		return m.ended()
	})
}

// pause does something to a flow that moves, and notes the longest time in which a partition of the target got no record.
func (r *recovering) pause(ctx context.Context, m *mirrored, section string, harm func() error) error {
	if err := rest(ctx, pauseLoad); err != nil {
		return err
	}
	watch := &pauses{}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- watch.run(watching, r.b, m.remote()) }()
	if err := harm(); err != nil {
		return err
	}
	if err := rest(ctx, pauseLoad); err != nil {
		return err
	}
	later := r.ledger.last()
	if err := until(ctx, "all partitions to move", func() error {
		ends, err := r.b.ends(ctx, m.remote(), partitions)
		if err != nil {
			return err
		}
		for p, end := range ends {
			if end <= later[p] {
				return fmt.Errorf("%s/%d is at %d, %d was acknowledged", m.remote(), p, end, later[p])
			}
		}
		return nil
	}); err != nil {
		return err
	}
	stop()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	r.seconds(section, "pause of the partitions that it had", "", watch.longest())
	return nil
}

// pauses looks at the ends of a topic that is written to without end.
type pauses struct {
	at   [partitions]int64
	when [partitions]time.Time // since when it is there
	most [partitions]time.Duration
}

func (w *pauses) run(ctx context.Context, c *cluster, topic string) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		ends, err := c.ends(ctx, topic, partitions)
		if err != nil {
			return err
		}
		w.see(ends, time.Now())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (w *pauses) see(ends []int64, now time.Time) {
	for p, end := range ends {
		if !w.when[p].IsZero() {
			w.most[p] = max(w.most[p], now.Sub(w.when[p]))
		}
		if end > w.at[p] {
			w.at[p], w.when[p] = end, now
		}
	}
}

func (w *pauses) longest() (most time.Duration) {
	for _, d := range w.most {
		most = max(most, d)
	}
	return most
}
