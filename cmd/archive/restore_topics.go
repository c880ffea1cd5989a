package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"tandem/internal/archive/restore"
	"tandem/internal/stream"
)

// makeTopics creates what is not there, and tells how large batches may be, by topic of the target.
func (r *restoring) makeTopics(ctx context.Context) (map[string]int32, error) {
	var names []string
	fresh := make(map[string]stream.NewTopic)
	all, err := r.target.admin.Topics(ctx)
	if err != nil {
		return nil, reason("cluster "+r.flags.to, err)
	}
	there := make(map[string]stream.Topic, len(all))
	for _, t := range all {
		there[t.Name] = t
	}
	if err := r.stillThere(there); err != nil {
		return nil, err
	}
	var list []stream.NewTopic
	for _, t := range r.plan.Topics {
		names = append(names, t.To)
		if has, ok := there[t.To]; ok {
			if has.Partitions < t.Partitions {
				return nil, refused{fmt.Errorf("topic %s has %d partitions, and %d are needed", t.To, has.Partitions, t.Partitions)}
			}
			continue
		}
		fresh[t.To] = newTopic(t, r.flags.keepOld)
		list = append(list, fresh[t.To])
	}
	created, err := r.target.admin.CreateTopics(ctx, list)
	if err == nil {
		for _, t := range list {
			err = errors.Join(err, created[t.Name])
		}
	}
	if err != nil {
		return nil, reason("create topics on "+r.flags.to, err)
	}
	if len(list) > 0 {
		r.say("created %s on %s", count(len(list), "topic"), r.flags.to)
	}
	return r.limits(ctx, names)
}

// writable refuses to begin where records could not be written: rights on topics can be found out only once they are there.
func (r *restoring) writable(ctx context.Context) error {
	names := make([]string, len(r.plan.Topics))
	for i, t := range r.plan.Topics {
		names[i] = t.To
	}
	fit, err := r.target.admin.Fitness(ctx, names)
	if err != nil {
		return reason("cluster "+r.flags.to, err)
	}
	for _, name := range names {
		if denied := fit[name].Denied; len(denied) > 0 {
			return refused{fmt.Errorf("there is no right to %s on topic %s of %s; grant it, then run it again: it goes on", strings.Join(denied, " and "), name, r.flags.to)}
		}
	}
	return nil
}

// stillThere refuses to go on with topics of the target that are gone, or are others by now.
func (r *restoring) stillThere(there map[string]stream.Topic) error {
	if r.ledger.Begun == nil {
		return nil
	}
	for _, t := range r.plan.Topics {
		was, now := r.ledger.Begun.Topics[t.To], there[t.To]
		switch {
		case now.Partitions == 0:
			return stuckOn("topic %s, which this restore has written to, is no longer there; begin anew with --again", t.To)
		case was != "" && restore.IDText(now.ID) != was:
			return stuckOn("topic %s was deleted and made anew since this restore wrote to it; delete it and begin anew with --again", t.To)
		}
	}
	return nil
}

// limits waits until the target knows all topics, and reads max.message.bytes of each.
func (r *restoring) limits(ctx context.Context, names []string) (map[string]int32, error) {
	for {
		configs, err := r.target.admin.Configs(ctx, names)
		if err != nil {
			return nil, reason("cluster "+r.flags.to, err)
		}
		limits := make(map[string]int32, len(names))
		for name, entries := range configs {
			limits[name] = defaultMaxBatch
			for _, e := range entries {
				var n int32
				if e.Name == "max.message.bytes" {
					if _, err := fmt.Sscan(e.Value, &n); err == nil && n > 0 {
						limits[name] = n
					}
				}
			}
		}
		if len(limits) >= len(names) {
			return limits, nil
		}
		if err := waitABit(ctx, lookEvery); err != nil {
			return nil, err
		}
	}
}
