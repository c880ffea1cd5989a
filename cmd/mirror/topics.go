package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"tandem/internal/kafka"
	"tandem/internal/replicate"
	"tandem/internal/replicate/topics"
	"tandem/internal/stream"
)

// rules are the topic settings of a flow.
func (f *flow) rules() topics.Rules {
	c := f.conf()
	rules := topics.Rules{
		Replicates:     func(topic string) bool { return f.conf().Topics.Replicates(topic) },
		Remote:         func(topic string) string { return c.Policy.RemoteTopic(c.Source, topic) },
		Property:       func(name string) bool { return f.conf().ConfigFilter.Replicates(name) },
		SourceDefaults: c.ConfigFilter.SourceDefaults(),
		Factor:         c.ReplicationFactor,
	}
	groups := func(group string) bool { return f.conf().Groups.Accepts(group) }
	return withACLs(rules, *c, groups, f.clients.source, f.clients.target)
}

// defaultMaxBatch is Kafka's default of max.message.bytes, for remote topics whose setting could not be read.
const defaultMaxBatch = 1048588

// assignments are the partitions that can be replicated now: those that exist on both sides.
func assignments(s topics.Snapshot) []replicate.Assignment {
	var list []replicate.Assignment
	for _, t := range s.Topics {
		limit := t.MaxMessageBytes
		if limit <= 0 {
			limit = defaultMaxBatch
		}
		for n := range min(t.Source.Partitions, t.Remote.Partitions) {
			list = append(list, replicate.Assignment{
				Source:   stream.Partition{Topic: t.Source.Name, Number: n},
				Remote:   stream.Partition{Topic: t.Remote.Name, Number: n},
				Topic:    t.Source.ID,
				MaxBatch: limit,
			})
		}
	}
	return list
}

// keepTopics hands the pipe its partitions, and again whenever the topics were looked at, partitions have moved between processes, or
// a failover holds others. After a reload the topics are looked at at once.
func (r *replication) keepTopics(ctx context.Context) error {
	reloaded := r.begun
	if !reloaded {
		first, cancel := context.WithTimeout(ctx, persistTimeout)
		_ = r.hand(first) // what cannot be begun with is told, and tried again, below
		cancel()
	}
	r.begun = true
	r.board.show(r.conf().Flow, r.pipe)
	group, ctx := errgroup.WithContext(ctx)
	r.announce()
	if reloaded {
		group.Go(func() error { // beside the rest: the source may be away
			_ = r.persist(ctx, "refresh topics", r.refresh) // ctx has ended
			return nil
		})
	}
	group.Go(func() error {
		return r.everyOr(ctx, failoversEvery, nil, "look for failovers", func(ctx context.Context) error {
			if err := r.failed.watch(ctx); err != nil || !r.failed.moved() {
				return err
			}
			return r.hand(ctx)
		})
	})
	group.Go(func() error {
		for {
			changed := r.hold.change()
			if err := r.persist(ctx, "begin with all partitions", r.hand); err != nil {
				return nil //nolint:nilerr // ctx has ended
			}
			select {
			case <-ctx.Done():
				return nil
			case <-changed:
			}
		}
	})
	group.Go(func() error { // who is not on duty learns by the rounds of the group that there are new topics
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-r.round:
			}
			if err := r.persist(ctx, "look at the topics", r.refresh); err != nil {
				return nil //nolint:nilerr // ctx has ended
			}
		}
	})
	interval := r.conf().RefreshTopics
	if interval <= 0 {
		interval = never
	}
	group.Go(func() error { return r.everyOr(ctx, interval, r.gone, "refresh topics", r.refresh) })
	return group.Wait()
}

// never is an interval that no process lives to see.
const never = 100 * 365 * 24 * time.Hour

// refresh looks at the topics of both clusters; who is on duty creates what is missing.
func (r *replication) refresh(ctx context.Context) error {
	look := r.keeper.Look
	if r.hold.onDuty() {
		look = r.keeper.Refresh
	}
	s, err := look(ctx)
	if err != nil {
		return err
	}
	r.handing.Lock()
	r.latest = s
	r.handing.Unlock()
	r.want()
	return r.hand(ctx)
}

// hand begins with what falls to this process, and gives it to the pipe. What cannot be begun with holds up nothing else.
func (r *replication) hand(ctx context.Context) error {
	all := r.everything()
	r.offsets.below(all)
	mine := slices.DeleteFunc(all, func(a replicate.Assignment) bool { return !r.hold.copies(a.Remote) })
	err := r.offsets.begin(ctx, mine, r.memory) // also with what a failover holds: it is still translated
	r.stuckBy(mine, err)
	if gave := r.give(ctx); gave != nil {
		return gave
	}
	return err
}

// stuckBy notes why partitions could not be begun with.
func (r *replication) stuckBy(mine []replicate.Assignment, err error) {
	r.giving.Lock()
	defer r.giving.Unlock()
	was := r.stuck
	r.stuck = make(map[stream.Partition]string)
	if err == nil {
		return
	}
	for _, a := range mine {
		if !r.offsets.begun(a.Remote) {
			r.stuck[a.Remote] = cmp.Or(was[a.Remote], fmt.Sprintf("where it goes on is not known: %s", kafka.Explain(err)))
		}
	}
}

// give gives the pipe what falls to this process, was begun with, and no failover holds; what was given up because the group does not
// answer is watched. It asks no cluster.
func (r *replication) give(ctx context.Context) error {
	r.giving.Lock()
	defer r.giving.Unlock()
	r.handing.Lock()
	latest, pipe := r.latest, r.pipe
	r.handing.Unlock()
	var mine []replicate.Assignment
	watched := 0
	for _, a := range assignments(latest) {
		switch {
		case r.hold.copies(a.Remote) && r.offsets.begun(a.Remote):
		case r.hold.copies(a.Remote) && r.stuck[a.Remote] != "":
			a.Watch = r.stuck[a.Remote]
		case !r.hold.copies(a.Remote) && r.hold.waiting(a.Remote) != "":
			a.Watch = r.hold.waiting(a.Remote)
		case r.hold.orphaned(a.Remote):
			a.Watch = fmt.Sprintf("group %s of %s, which says who copies what, does not answer: nothing is copied until it does; is %[2]s up?", r.conf().Sharing.Group, r.conf().Target)
		default:
			continue
		}
		mine = append(mine, a)
	}
	list := r.failed.copied(mine)
	for _, a := range list {
		if a.Watch != "" {
			watched++
		}
	}
	if line := fmt.Sprintf("replicating %d partitions of %d topics", len(list)-watched, len(latest.Topics)); line != r.told && len(list) > watched {
		r.told = line
		r.archive.kick()
		r.tell(stream.Info, line)
	}
	if err := pipe.Assign(ctx, list); err != nil {
		return context.Canceled // the pipe has ended, and its own error says why
	}
	return nil
}

// topicGone has the topics refreshed at once: what the source does not know any more may have been made anew.
func (r *replication) topicGone() {
	r.archive.kick()
	nudge(r.gone)
}
