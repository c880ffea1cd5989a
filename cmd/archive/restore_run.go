package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"tandem/internal/archive/restore"
	"tandem/internal/batch"
	"tandem/internal/kafka"
	"tandem/internal/replicate"
	"tandem/internal/stream"
)

const (
	restoreBudget = 64 << 20 // bytes of records between the store and the target's answer
	restoreRoom   = 64 << 20 // and for all else: footers, chunks that are taken apart, request buffers

	lookEvery       = 200 * time.Millisecond // at how far the pipe is
	defaultMaxBatch = 1048588                // Kafka's default of max.message.bytes
)

// execute does what the plan says, from wherever an earlier run has left it.
func (r *restoring) execute(ctx context.Context) error {
	if debug.SetMemoryLimit(-1) >= 1<<62 { // a limit that the user has set stays
		debug.SetMemoryLimit(restoreBudget + restoreRoom)
	}
	done := &copied{}
	if r.ledger.Written == nil {
		var err error
		if done, err = r.writeRecords(ctx); err != nil {
			return r.stuck(ctx, err)
		}
	}
	groups, err := r.restoreGroups(ctx)
	if err != nil {
		return err
	}
	return r.finish(ctx, done, groups)
}

// stuckError is an error that running it again does not mend: it needs a new beginning.
type stuckError struct{ error }

func (e stuckError) Unwrap() error { return e.error }

func stuckOn(format string, args ...any) error {
	return refused{stuckError{fmt.Errorf(format, args...)}}
}

// stuck notes that the restore cannot go on, if that is what the error says, so that --again may begin anew.
func (r *restoring) stuck(ctx context.Context, err error) error {
	if why := (stuckError{}); errors.As(err, &why) {
		if failed := r.ledger.SetStuck(ctx, why.Error()); failed != nil {
			r.say("%v", failed)
		}
	}
	return err
}

// writeRecords brings topics and records to the target, and notes that they are there and where groups are to stand.
func (r *restoring) writeRecords(ctx context.Context) (*copied, error) {
	limits, err := r.makeTopics(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.writable(ctx); err != nil {
		return nil, err
	}
	if r.ledger.Begun == nil {
		if err := r.begin(ctx); err != nil {
			return nil, err
		}
	}
	logs, done, err := r.copyAll(ctx, limits)
	if err != nil {
		return nil, err
	}
	w := &restore.Written{At: time.Now().UTC(), Records: done.records, Out: done.source.LeftOut(), Resumed: r.resumed, Lost: r.ledger.Lost}
	for _, log := range logs {
		n, err := log.Undecided(ctx)
		if err != nil {
			return nil, err
		}
		w.Open += n
	}
	if err := r.positions(ctx, logs, done.end, w); err != nil {
		return nil, err
	}
	return done, r.ledger.SetWritten(ctx, w)
}

func waitABit(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// begin notes where records begin, and as which producer they are written.
func (r *restoring) begin(ctx context.Context) error {
	var remotes []stream.Partition
	for _, t := range r.plan.Topics {
		for _, p := range t.Parts {
			remotes = append(remotes, r.remote(t, p))
		}
	}
	ends, err := r.ends(ctx, remotes)
	if err != nil {
		return err
	}
	all, err := r.target.admin.Topics(ctx)
	if err != nil {
		return reason("cluster "+r.flags.to, err)
	}
	begun := &restore.Begun{At: time.Now().UTC(), Topics: make(map[string]string)}
	for _, t := range all {
		if slices.ContainsFunc(r.plan.Topics, func(own restore.Topic) bool { return own.To == t.Name }) {
			begun.Topics[t.Name] = restore.IDText(t.ID)
		}
	}
	noted := make(map[stream.Partition]stream.Downstream)
	for _, e := range r.plan.Ends {
		noted[stream.Partition{Topic: e.Topic, Number: e.Partition}] = e.Offset
	}
	for _, p := range remotes {
		switch {
		case r.plan.Missing && ends[p] != int64(noted[p]):
			return stuckOn("%s ended at %d when the plan was made, and ends at %d now; begin anew with --again, when nothing writes to it", p, noted[p], ends[p])
		case ends[p] != 0 && !r.plan.Append && !r.plan.Missing:
			return stuckOn("%s was made for this restore, and somebody else has written to it; delete the topic and begin anew with --again", p)
		}
		begun.Bases = append(begun.Bases, restore.Base{Topic: p.Topic, Partition: p.Number, Offset: stream.Downstream(ends[p])})
	}
	if begun.ProducerID, begun.Epoch, err = r.target.wire.InitProducerID(ctx); err != nil {
		return reason("cluster "+r.flags.to, err)
	}
	return r.ledger.SetBegun(ctx, begun)
}

// ends are the ends of partitions of the target; a topic that was just created has leaders soon.
func (r *restoring) ends(ctx context.Context, partitions []stream.Partition) (map[stream.Partition]int64, error) {
	deadline := time.Now().Add(reachTimeout)
	for {
		ends, failed, err := r.target.wire.Offsets(ctx, partitions, stream.Latest)
		for _, p := range partitions {
			if _, ok := ends[p]; !ok && err == nil {
				if err = failed[p]; err == nil {
					err = fmt.Errorf("no answer for %s", p)
				}
			}
		}
		if err == nil {
			return ends, nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return nil, reason("find the ends of partitions of "+r.flags.to, err)
		}
		if err := waitABit(ctx, lookEvery); err != nil {
			return nil, err
		}
	}
}

// copied is what came of the data.
type copied struct {
	source  *restore.Source
	end     map[stream.Partition]int64 // records on the target, by source partition
	records int64
	bytes   int64
	took    time.Duration
}

// copy runs the replication pipe with the archive as its source until everything is on the target.
func (r *restoring) copy(ctx context.Context, logs map[stream.Partition]*restore.Log, limits map[string]int32) (*copied, error) {
	broken := make(chan error, 1)
	fail := func(err error) {
		select {
		case broken <- err:
		default:
		}
	}
	source := restore.NewSource(logs, restore.NewThrottle(r.flags.bytesPerSecond), func(err error) { fail(refused{err}) })
	resume := newRestoreResume(logs, r.ledger.Begun, r.target.wire, fail)
	pipe := replicate.New(replicate.Config{
		Flow:     stream.Flow{Source: "the archive of " + r.plan.Source, Target: r.flags.to},
		Producer: batch.Producer{ID: r.ledger.Begun.ProducerID, Epoch: r.ledger.Begun.Epoch},
		Source:   source, Target: r.target.wire,
		Session: func(broker int32) replicate.Session { return source.Session(broker) },
		Sender:  func(ctx context.Context, broker int32) replicate.Sender { return r.target.wire.Sender(ctx, broker) },
		Resume:  resume, Budget: replicate.NewBudget(restoreBudget), Codec: batch.KeepCodec,
		Acked: func(a stream.Ack) {
			resume.acked(a)
			if r.acked != nil {
				r.acked(a)
			}
		},
		Report: r.report,
	})
	list := r.assignments(limits)
	began := time.Now()
	group, groupCtx := errgroup.WithContext(ctx)
	running, stop := context.WithCancel(groupCtx)
	defer stop()
	group.Go(func() error { return pipe.Run(running) })
	group.Go(func() error {
		defer stop()
		if err := pipe.Assign(running, list); err != nil {
			return err
		}
		return r.follow(running, pipe, source, logs, len(list), broken)
	})
	err := group.Wait()
	r.show.Clear()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	c := &copied{source: source, took: time.Since(began), bytes: source.Read()}
	return c, r.proved(ctx, c, resume)
}

func (r *restoring) assignments(limits map[string]int32) []replicate.Assignment {
	var list []replicate.Assignment
	for _, t := range r.plan.Topics {
		for _, p := range t.Parts {
			list = append(list, replicate.Assignment{
				Source: stream.Partition{Topic: t.Name, Number: p.Number}, Remote: r.remote(t, p), MaxBatch: limits[t.To],
			})
		}
	}
	return list
}

// remote is the target partition of one of the plan: that of the same number, unless a drill says otherwise.
func (r *restoring) remote(t restore.Topic, p restore.Part) stream.Partition {
	if to, ok := r.into[stream.Partition{Topic: t.Name, Number: p.Number}]; ok {
		return to
	}
	return stream.Partition{Topic: t.To, Number: p.Number}
}

// follow waits until everything is on the target, or something stands in the way that a person has to decide.
func (r *restoring) follow(ctx context.Context, pipe *replicate.Pipe, source *restore.Source, logs map[stream.Partition]*restore.Log,
	all int, broken <-chan error) error {
	meter := newMeter(r, logs, source)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-broken:
			return err
		case <-tick.C:
		}
		standings := pipe.Standings(ctx)
		done := 0
		for _, s := range standings {
			switch {
			case s.Acked >= logs[s.Source].End():
				done++
			case s.State == replicate.Quarantined || s.State == replicate.Halted:
				return refused{fmt.Errorf("%s; then run it again: it goes on", s.Reason)}
			}
		}
		if done == all {
			return nil
		}
		meter.show(standings)
	}
}

// proved holds the ends of the target against the count of what was written.
func (r *restoring) proved(ctx context.Context, c *copied, resume *restoreResume) error {
	var remotes []stream.Partition
	for p := range resume.bases {
		remotes = append(remotes, p)
	}
	ends, err := r.ends(ctx, remotes)
	if err != nil {
		return err
	}
	all, err := r.target.admin.Topics(ctx)
	if err != nil {
		return reason("cluster "+r.flags.to, err)
	}
	there := make(map[string]stream.Topic, len(all))
	for _, t := range all {
		there[t.Name] = t
	}
	if err := r.stillThere(there); err != nil {
		return err
	}
	c.end = make(map[stream.Partition]int64)
	for _, t := range r.plan.Topics {
		for _, p := range t.Parts {
			remote := r.remote(t, p)
			n := resume.count(remote)
			switch behind := ends[remote] - int64(resume.bases[remote]) - n; {
			case behind < 0:
				return refused{fmt.Errorf("%s ends at %d, and has had %d records of this restore from %d on: the target has lost some; run it again: it goes on where the target ends",
					remote, ends[remote], n, resume.bases[remote])}
			case behind > 0:
				r.say("somebody else writes to %s already: %s behind those of this restore", remote, count(int(behind), "record"))
			}
			c.end[stream.Partition{Topic: t.Name, Number: p.Number}] = n
			c.records += n
		}
	}
	return nil
}

// report tells of what the pipe meets.
func (r *restoring) report(e stream.Event) {
	if e.Severity == stream.Info {
		return
	}
	for _, f := range e.Fields {
		if err, ok := f.Value.(error); ok && f.Key == "error" {
			r.say("%s: %s", e.Message, kafka.Explain(err))
			return
		}
	}
	r.say("%s", e.Message)
}

// finish notes that all is done, unless groups are left that a later run may deal with, and says what came out.
func (r *restoring) finish(ctx context.Context, c *copied, g *groupsDone) error {
	if err := r.restoreACLs(ctx); err != nil {
		return err
	}
	w := r.ledger.Written
	f := &restore.Finished{At: time.Now().UTC(), Took: time.Since(r.begun), Records: w.Records, Groups: g.restored, Left: g.left(), Out: w.Out, Open: w.Open,
		Lost: w.Lost}
	if len(g.waiting) == 0 {
		if err := r.ledger.SetFinished(ctx, f); err != nil {
			return err
		}
	}
	return r.showEnd(f, c, g)
}

func (r *restoring) restoreACLs(ctx context.Context) error {
	if len(r.plan.ACLs) == 0 {
		return nil
	}
	var list []stream.ACL
	for _, b := range r.plan.ACLs {
		list = append(list, stream.ACL(b))
	}
	answers, err := r.target.admin.AddACLs(ctx, list)
	for _, refused := range answers {
		err = errors.Join(err, refused)
	}
	if err != nil {
		return refused{reason("the records are restored, the ACLs are not", err)}
	}
	r.say("created %s on %s", count(len(list), "ACL"), r.flags.to)
	return nil
}
