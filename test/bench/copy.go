package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"tandem/internal/testkit/proc"
)

// copied is what was seen of one run of a copying job.
type copied struct {
	Job         string  `json:"job"`
	Contender   string  `json:"contender"`
	Records     int     `json:"records"`
	ToFirst     float64 `json:"start_to_first_record_s"`
	Wall        float64 `json:"first_record_to_end_s"`
	CPU         float64 `json:"cpu_s_at_end"`
	CPUWithStop float64 `json:"cpu_s_with_stop"`
	PeakRSS     int64   `json:"peak_rss_bytes"`
	PeakRSSAll  int64   `json:"peak_rss_bytes_with_stop"`
}

func (m copied) String() string {
	return fmt.Sprintf("first record after %.2f s, then %.2f s; cpu %.2f s; peak %s", m.ToFirst, m.Wall, m.CPU, megabytes(m.PeakRSS))
}

const (
	runPatience  = 4 * time.Minute
	stopPatience = time.Minute
	pollInterval = 10 * time.Millisecond
)

// copy runs one contender on a job, from an empty remote topic until it is full, and checks what it wrote.
func (b *bench) copy(ctx context.Context, j job, c contender) (copied, error) {
	t, err := b.newTask(c, j.topic(), j.codec, true)
	if err != nil {
		return copied{}, err
	}
	m, err := b.copyAs(ctx, j, c, t)
	if err != nil {
		return m, err
	}
	return m, b.b.deleteTopic(ctx, t.remoteTopic())
}

// copyAs is copy for a task that is made already; the remote topic stays.
func (b *bench) copyAs(ctx context.Context, j job, c contender, t task) (copied, error) {
	m := copied{Job: j.name, Contender: c.name, Records: j.records}
	if err := b.b.createTopic(ctx, t.remoteTopic()); err != nil {
		return m, err
	}
	start := time.Now()
	p, err := c.start(c, t)
	if err != nil {
		return m, err
	}
	defer p.Kill()
	if err := m.follow(ctx, b.b, t.remoteTopic(), p, start); err != nil {
		return m, fmt.Errorf("%w\nthe end of its log:\n%s", err, p.LogTail(40))
	}
	if err := m.end(p); err != nil {
		return m, err
	}
	return m, verify(ctx, b.a, b.b, j, t.remoteTopic())
}

// follow watches the target's end offsets and fills in the wall times.
func (m *copied) follow(ctx context.Context, target *cluster, topic string, p *proc.Process, start time.Time) error {
	ctx, cancel := context.WithTimeoutCause(ctx, runPatience, fmt.Errorf("not done after %s", runPatience))
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	var first time.Time
	for {
		ends, err := target.endOffsets(ctx, topic)
		now := time.Now()
		if err != nil && ctx.Err() == nil && !kerr.IsRetriable(err) {
			return err
		}
		var sum int64
		for _, end := range ends {
			sum += end
		}
		if sum > 0 && first.IsZero() {
			first = now
			m.ToFirst = first.Sub(start).Seconds()
		}
		if sum >= int64(m.Records) {
			m.Wall = now.Sub(first).Seconds()
			return nil
		}
		select {
		case <-tick.C:
		case <-p.Done():
			return fmt.Errorf("it ended by itself with %d of %d records copied", sum, m.Records)
		case <-ctx.Done():
			return fmt.Errorf("%d of %d records copied: %w", sum, m.Records, context.Cause(ctx))
		}
	}
}

// end reads the figures of the process as it stands at the end of the copy, and then stops it.
func (m *copied) end(p *proc.Process) error {
	cpu, err := p.CPU()
	if err != nil {
		return err
	}
	if m.PeakRSS, err = p.PeakRSS(); err != nil {
		return err
	}
	m.CPU = cpu.Seconds()
	peak := watchPeak(p)
	if err := p.Stop(stopPatience); errors.Is(err, proc.ErrKilled) {
		say("%s did not stop within %s of SIGTERM and was killed", m.Contender, stopPatience)
	}
	m.CPUWithStop = p.TotalCPU().Seconds()
	m.PeakRSSAll = max(m.PeakRSS, peak())
	return nil
}

// watchPeak looks at the peak memory of a process until it ends; what it returns then tells it. The kernel's own figure for a child that
// has ended counts the memory of the parent from which it was forked.
func watchPeak(p *proc.Process) func() int64 {
	var peak int64
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(pollInterval)
		defer tick.Stop()
		for {
			if now, err := p.PeakRSS(); err == nil {
				peak = now
			}
			select {
			case <-tick.C:
			case <-p.Done():
				return
			}
		}
	})
	return func() int64 { wg.Wait(); return peak }
}
