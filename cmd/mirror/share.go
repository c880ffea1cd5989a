package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"tandem/internal/batch"
	"tandem/internal/kafka"
	"tandem/internal/replicate"
	"tandem/internal/replicate/position"
	"tandem/internal/stream"
)

// Processes that run one flow divide the remote partitions between them, by a group of the target. Partition 0 of Tandem's own topic
// stands for the duties that are done once for the flow. See docs/adr/0011-sharing-work.md.

const (
	// mm2Leaves is how long a start waits for MirrorMaker 2 to be gone: a killed one stays a member of its group until its
	// session times out (session.timeout.ms of the worker, 10 s by default).
	mm2Leaves = 15 * time.Second
	mm2Asked  = 500 * time.Millisecond // between two tries
	drainWait = 5 * time.Second        // for answers to what was sent to partitions that are given up
)

// share takes part in the group until ctx ends. MirrorMaker 2's workers use the same one, so that never both run.
func (r *replication) share(ctx context.Context) error {
	told := false
	for deadline := time.Now().Add(mm2Leaves); ; {
		member, err := kafka.NewShare(r.clients.member, r.shareConfig())
		if err != nil {
			return cannotRun{fmt.Errorf("flow %s: %w", r.conf().Flow, err)}
		}
		r.setMember(member)
		r.want()
		err = member.Run(ctx)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // it leaves as it was asked to
		case !errors.Is(err, kafka.ErrForeignMembers):
			if err != nil {
				err = cannotRun{fmt.Errorf("flow %s: %w", r.conf().Flow, err)}
			}
			return err
		}
		who := r.foreign(ctx)
		if time.Now().After(deadline) {
			return cannotRun{fmt.Errorf("flow %s: MirrorMaker 2 is running: %s, and both would write every record; stop MirrorMaker 2, then start mirror again", r.conf().Flow, who)}
		}
		if !told {
			told = true
			r.tell(stream.Warn, fmt.Sprintf("MirrorMaker 2 runs, or was killed just now: %s; waiting up to %s for it to leave", who, mm2Leaves))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(mm2Asked):
		}
	}
}

// foreign names the members of the group, which are not ours.
func (r *replication) foreign(ctx context.Context) string {
	who := fmt.Sprintf("group %s of %s has members", r.conf().Sharing.Group, r.conf().Target)
	if members, err := r.clients.target.GroupMembers(ctx, r.conf().Sharing.Group); err == nil && len(members) > 0 {
		who += " (" + strings.Join(members, ", ") + ")"
	}
	return who
}

func (r *replication) shareConfig() kafka.ShareConfig {
	s := r.conf().Sharing
	return kafka.ShareConfig{
		Group: s.Group, Instance: r.process, Session: s.Session, Heartbeat: s.Heartbeat, Rebalance: s.Rebalance,
		Settings: r.conf().Hash(), Host: hostName(),
		Gained: r.gained, Lost: r.lost, Members: r.members,
	}
}

func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}

// dutiesPartition stands for what is done once for the flow.
func (r *replication) dutiesPartition() stream.Partition {
	return stream.Partition{Topic: r.tandemTopic()}
}

// want tells the group which topics this process is ready to write to.
func (r *replication) want() {
	topics := []string{r.dutiesPartition().Topic}
	r.handing.Lock()
	for _, t := range r.latest.Topics {
		if t.Remote.Partitions > 0 {
			topics = append(topics, t.Remote.Name)
		}
	}
	member := r.member
	r.handing.Unlock()
	if member != nil {
		member.Want(topics)
	}
}

// announce tells the others by which settings this process runs the flow since a reload.
func (r *replication) announce() {
	r.handing.Lock()
	member := r.member
	r.handing.Unlock()
	if member != nil {
		member.RunsBy(r.conf().Hash())
	}
}

func (r *replication) setMember(m *kafka.Share) {
	r.vouches(m)
	r.handing.Lock()
	r.member = m
	r.handing.Unlock()
}

func (r *replication) setPipe(p *replicate.Pipe) {
	r.handing.Lock()
	r.pipe = p
	r.handing.Unlock()
}

// everything are all partitions of the flow, whoever copies them.
func (r *replication) everything() []replicate.Assignment {
	r.handing.Lock()
	defer r.handing.Unlock()
	return assignments(r.latest)
}

// split takes the duties out of a list of partitions.
func (r *replication) split(list []stream.Partition) (remotes []stream.Partition, duties bool) {
	for _, p := range list {
		if p == r.dutiesPartition() {
			duties = true
		} else {
			remotes = append(remotes, p)
		}
	}
	return remotes, duties
}

// gained takes partitions over. What whoever had them before has noted is read first.
func (r *replication) gained(ctx context.Context, list []stream.Partition) {
	remotes, duties := r.split(list)
	defer r.hold.waits(remotes, "")
	err := r.persist(ctx, "read what other processes have noted", func(ctx context.Context) error {
		err := r.catchUp(ctx)
		if err != nil && ctx.Err() == nil {
			r.hold.waits(remotes, "cannot read what other processes have noted: "+kafka.Explain(err))
			r.watch(ctx)
		}
		return err
	})
	if err != nil {
		return // ctx has ended
	}
	r.archive.placeAnew()
	if duties {
		r.hold.takeDuties()
	}
	r.hold.add(remotes)
	r.hold.keep()
	r.archive.assign()
}

// watch has the pipe show what is ours and cannot be begun with.
func (r *replication) watch(ctx context.Context) {
	r.handing.Lock()
	pipe := r.pipe
	r.handing.Unlock()
	if pipe != nil {
		_ = r.give(ctx) // a pipe that has ended shows nothing, and says so
	}
}

// lost gives partitions up. gently says that the others wait until nothing more is written to them; otherwise they may be somebody
// else's already, and whatever this process knew of them that is not noted counts no more.
func (r *replication) lost(ctx context.Context, list []stream.Partition, gently bool) {
	remotes, duties := r.split(list)
	if !gently { // before anything that takes time
		r.tell(stream.Info, "the group does not count on this process any more: it stood still, or the group did not answer, for too long; it joins again",
			stream.F("partitions", len(remotes)))
		r.hold.leave(remotes)
		r.hold.orphan(remotes)
		r.letGo(ctx, remotes, gently)
	}
	if duties {
		r.hold.giveDuties(ctx)
	}
	if len(remotes) == 0 {
		return
	}
	if gently {
		r.hold.leave(remotes)
		r.letGo(ctx, remotes, gently)
	}
	r.hold.drop(remotes)
	if gently && ctx.Err() == nil {
		r.hold.keep()
		r.archive.assign()
	}
	given := make(map[stream.Partition]bool, len(remotes))
	for _, p := range remotes {
		given[p] = true
		r.anchors.Forget(p)
	}
	var sources []stream.Partition
	for _, a := range r.everything() {
		if given[a.Remote] {
			sources = append(sources, a.Source)
			r.positions.Forget(a.Source)
		}
	}
	if r.syncs != nil {
		r.syncs.forget(sources)
	}
	if !gently || ctx.Err() != nil { // others may have noted something while this process passed it over
		for _, p := range remotes {
			r.offsets.exact.Forget(p)
		}
		r.journal.forgotten(remotes)
	}
	r.offsets.leave(remotes)
}

// letGo has the pipe stop with partitions, and notes where they are.
func (r *replication) letGo(ctx context.Context, remotes []stream.Partition, gently bool) {
	r.handing.Lock()
	pipe := r.pipe
	r.handing.Unlock()
	if pipe == nil {
		return // nothing was written
	}
	if err := r.give(ctx); err != nil || !gently {
		return
	}
	drained, cancel := context.WithTimeout(ctx, drainWait)
	defer cancel()
	if err := pipe.Drained(drained, remotes); err != nil {
		r.tell(stream.Warn, "partitions move to another process before the target has answered for all that was sent; it finds out what arrived",
			stream.F("partitions", len(remotes)))
	}
	if err := r.flush(drained); err != nil && ctx.Err() == nil {
		r.tell(stream.Warn, "partitions move to another process without their last positions; it finds the places from the target itself", stream.F("error", err))
	}
}

// flush writes what is known of all partitions.
func (r *replication) flush(ctx context.Context) error {
	var group errgroup.Group
	group.Go(func() error { return errors.Join(r.offsets.store(ctx), r.flushAnchors(ctx)) })
	group.Go(func() error { return r.flushPositions(ctx) })
	if r.syncs != nil {
		group.Go(func() error {
			r.syncs.promote()
			return r.syncs.send(ctx)
		})
	}
	return group.Wait()
}

// members hears of each round of the group: new topics may be the reason, and others may run by other settings.
func (r *replication) members(list []kafka.ShareMember) {
	r.hold.keep()
	r.archive.assign()
	nudge(r.round)
	var differ []string
	for _, m := range list {
		if m.Settings != r.conf().Hash() {
			differ = append(differ, nameOf(m))
		}
	}
	slices.Sort(differ)
	line := ""
	if len(differ) > 0 {
		line = fmt.Sprintf("%s runs this flow by other settings; give all processes the same file, and restart or reload them", strings.Join(differ, ", "))
	}
	r.handing.Lock()
	was := r.drift
	r.drift = line
	r.handing.Unlock()
	switch {
	case line == was:
	case line != "":
		r.tell(stream.Warn, line)
	default:
		r.tell(stream.Info, "all processes run this flow by the same settings again")
	}
	r.board.members(r.conf().Flow, list)
}

func nameOf(m kafka.ShareMember) string {
	if m.Instance != "" {
		return m.Instance
	}
	return m.Host + " (" + m.ID + ")"
}

// identity is the producer id of the flow: the one that is noted, or a new one, noted before its first use by whoever is on duty.
func (r *replication) identity(ctx context.Context) (batch.Producer, error) {
	for {
		changed := r.hold.change()
		if p := r.journal.writer(); p != nil {
			r.anchors.SetProducer(*p)
			return batch.Producer{ID: p.ID, Epoch: p.Epoch}, nil
		}
		if r.hold.onDuty() {
			if err := r.persist(ctx, "get a producer id", r.newProducer); err != nil {
				return batch.Producer{}, err
			}
			continue
		}
		select {
		case <-ctx.Done():
			return batch.Producer{}, ctx.Err()
		case <-changed:
		case <-time.After(failoversEvery):
		}
		if err := r.persist(ctx, "read what other processes have noted", r.journal.catchUp); err != nil {
			return batch.Producer{}, err
		}
	}
}

// newProducer notes a new id, unless somebody else has noted one.
func (r *replication) newProducer(ctx context.Context) error {
	if err := r.journal.catchUp(ctx); err != nil || r.journal.writer() != nil {
		return err
	}
	id, epoch, err := r.clients.targetWire.InitProducerID(ctx)
	if err != nil {
		return err
	}
	if err := r.noteProducer(ctx, position.Producer{ID: id, Epoch: epoch}); err != nil {
		return err
	}
	return r.journal.catchUp(ctx)
}
