package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	switched = "planned switch"
	returned = "failback"

	groupsAtRest = 10 * time.Second // two rounds of checkpoints
)

// failovers kills the source alone and moves groups, some at a time, to the target and back; and then the same while all is well.
func (r *recovering) failovers(ctx context.Context, _ flags) error {
	r.short.kill()
	if _, err := r.long.start(ctx); err != nil {
		return err
	}
	if err := r.caughtUp(ctx, r.long); err != nil {
		return err
	}
	if err := r.commitGroups(ctx); err != nil {
		return err
	}
	if err := r.atRest(ctx); err != nil {
		return err
	}
	for range r.runs {
		if err := r.loseSource(ctx); err != nil {
			return err
		}
		if err := r.plannedSwitch(ctx); err != nil {
			return err
		}
	}
	r.long.stop()
	return nil
}

func setName(groups int) string { return fmt.Sprintf("set%d", groups) }
func (r *recovering) of(n int) string {
	return fmt.Sprintf("%d groups of %d partitions", n, partitions)
}

// commitGroups makes the groups, in the middle of what there is.
func (r *recovering) commitGroups(ctx context.Context) error {
	ends, err := r.a.ends(ctx, loadTopic, partitions)
	if err != nil {
		return err
	}
	positions := 0
	for _, n := range r.groups {
		var wg sync.WaitGroup
		failed := make([]error, n)
		slots := make(chan struct{}, 16)
		for i := range n {
			slots <- struct{}{}
			wg.Go(func() {
				failed[i] = r.a.commit(ctx, fmt.Sprintf("%s-%d", setName(n), i), loadTopic, ends)
				<-slots
			})
		}
		wg.Wait()
		if err := errors.Join(failed...); err != nil {
			return err
		}
		positions += n * partitions
	}
	return until(ctx, "checkpoints of all groups", func() error {
		s, err := r.long.running[0].standing()
		if err != nil {
			return errors.Join(err, r.long.ended())
		}
		if len(s.Flows) == 0 || s.Flows[0].Groups == nil || s.Flows[0].Groups.Positions["exact"] < positions {
			return fmt.Errorf("not all %d positions are known exactly: %+v", positions, s.Flows)
		}
		return nil
	})
}

// atRest sees what looking at all groups takes, and the archive, where nothing happens. It is one of the figures for sizing.
func (r *recovering) atRest(ctx context.Context) error {
	p := r.long.running[0]
	cpu, err := share(ctx, p.Process, func(ctx context.Context) error { return rest(ctx, groupsAtRest) })
	if err != nil {
		return err
	}
	peak, err := p.PeakRSS()
	if err != nil {
		return err
	}
	all := 0
	for _, n := range r.groups {
		all += n
	}
	of := r.of(all) + ", looked at every 5 s"
	r.note("at rest", "CPU of mirror", of, "% of a core", 100*cpu)
	r.note("at rest", "peak memory of mirror until then", of, "MB", float64(peak)/1e6)
	return nil
}

// commit puts a group without members into the middle of each partition.
func (c *cluster) commit(ctx context.Context, group, topic string, ends []int64) error {
	request, of := kmsg.NewPtrOffsetCommitRequest(), kmsg.NewOffsetCommitRequestTopic()
	for p, end := range ends {
		at := kmsg.NewOffsetCommitRequestTopicPartition()
		at.Partition, at.Offset, at.LeaderEpoch = int32(p), end/2, -1
		of.Partitions = append(of.Partitions, at)
	}
	of.Topic = topic
	request.Group, request.Generation, request.Topics = group, -1, append(request.Topics, of)
	response, err := request.RequestWith(ctx, c.client)
	if err == nil {
		err = kerr.ErrorForCode(response.Topics[0].Partitions[0].ErrorCode)
	}
	if err != nil {
		return fmt.Errorf("commit %s: %w", group, err)
	}
	return nil
}

func (r *recovering) loseSource(ctx context.Context) error {
	producing, err := r.startLoad()
	if err != nil {
		return err
	}
	defer producing.abandon()
	if err := rest(ctx, settleLoad); err != nil {
		return err
	}
	if err := r.noteRPO(sourceLost, r.long); err != nil {
		return err
	}
	moment := time.Now()
	r.a.kafka.Kill(0)
	if err := until(ctx, "/readyz to say so", func() error {
		status, _, err := r.long.running[0].get("/readyz")
		if err == nil && status == 200 {
			err = errors.New("it is ready")
		}
		return errors.Join(err, r.long.ended())
	}); err != nil {
		return err
	}
	noticed := time.Since(moment)
	r.seconds(sourceLost, "until /readyz says so", "", noticed)
	producing.abandon()
	for _, n := range r.groups {
		moved, err := r.move(ctx, sourceLost, n, "--mode", "disaster")
		if err != nil {
			return err
		}
		r.seconds(sourceLost, "noticed, planned, applied, first record read", r.of(n), noticed+moved)
	}
	if err := r.noteLoss(ctx, sourceLost, r.long, moment); err != nil {
		return err
	}
	if err := r.restartSource(); err != nil {
		return err
	}
	for _, n := range r.groups {
		if err := r.back(ctx, returned+" after it", n); err != nil {
			return err
		}
	}
	return r.caughtUp(ctx, r.long)
}

// plannedSwitch begins when the producers have stopped.
func (r *recovering) plannedSwitch(ctx context.Context) error {
	producing, err := r.startLoad()
	if err != nil {
		return err
	}
	defer producing.abandon()
	if err := rest(ctx, settleLoad); err != nil {
		return err
	}
	if err := producing.stop(ctx); err != nil {
		return err
	}
	for _, n := range r.groups {
		moved, err := r.move(ctx, switched, n)
		if err != nil {
			return err
		}
		r.seconds(switched, "planned, applied, first record read", r.of(n), moved)
	}
	here, err := r.settled(ctx, r.long)
	if err != nil {
		return err
	}
	r.note(switched, "acknowledged to producers, not on the target", "", "records", float64(r.ledger.lost(here, time.Now()).records))
	for _, n := range r.groups {
		if err := r.back(ctx, returned+" after a planned switch", n); err != nil {
			return err
		}
	}
	return r.caughtUp(ctx, r.long)
}

// move plans and carries out the move of one set of groups to the target, and reads the first record there.
func (r *recovering) move(ctx context.Context, section string, n int, mode ...string) (all time.Duration, err error) {
	file := filepath.Join(r.long.dir, fmt.Sprintf("plan-%d.json", time.Now().UnixNano()))
	plan := append([]string{"plan", r.long.config, "--from", r.long.alias, "--to", r.long.target(), "--groups", setName(n) + "-.*", "--out", file}, mode...)
	for _, step := range []struct {
		what string
		run  func() (time.Duration, error)
	}{
		{"plan", func() (time.Duration, error) { return r.command(ctx, r.failover, plan...) }},
		{"apply", func() (time.Duration, error) { return r.command(ctx, r.failover, "apply", file) }},
		{"first record of a moved consumer, from its start", func() (time.Duration, error) { return r.firstRecord(ctx, setName(n)+"-0") }},
	} {
		took, err := step.run()
		if err != nil {
			return 0, err
		}
		r.seconds(section, step.what, r.of(n), took)
		all += took
	}
	return all, nil
}

func (r *recovering) back(ctx context.Context, section string, n int) error {
	file := filepath.Join(r.long.dir, fmt.Sprintf("back-%d.json", time.Now().UnixNano()))
	planned, err := r.command(ctx, r.failover, "back", "plan", r.long.config, "--from", r.long.target(), "--to", r.long.alias,
		"--groups", setName(n)+"-.*", "--out", file)
	if err != nil {
		return err
	}
	applied, err := r.command(ctx, r.failover, "back", "apply", file)
	if err != nil {
		return err
	}
	r.seconds(section, "plan and apply", r.of(n), planned+applied)
	return nil
}

// command runs a program to its end, which must be a good one.
func (r *recovering) command(ctx context.Context, program string, args ...string) (time.Duration, error) {
	r.bench.runs++
	dir := filepath.Join(r.dir, fmt.Sprintf("run-%d-%s", r.bench.runs, filepath.Base(program)))
	ran, err := r.runOnce(ctx, dir, "", 0, program, args...)
	return ran.total, err
}

// firstRecord starts a consumer of a group on the target and waits for a record.
func (r *recovering) firstRecord(ctx context.Context, group string) (time.Duration, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, runPatience, fmt.Errorf("no record after %s", runPatience))
	defer cancel()
	start := time.Now()
	client, err := r.b.newClient(kgo.ConsumerGroup(group), kgo.ConsumeTopics(r.long.remote()), kgo.DisableAutoCommit())
	if err != nil {
		return 0, err
	}
	defer client.Close() // it leaves the group
	for {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		if fetches.NumRecords() > 0 {
			return time.Since(start), nil
		}
	}
}
