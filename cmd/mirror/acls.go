package main

import (
	"context"
	"errors"
	"time"

	"tandem/internal/config"
	"tandem/internal/kafka"
	"tandem/internal/replicate/topics"
	"tandem/internal/stream"
)

// syncACLs carries ACLs over, at once and at each interval.
func (r *replication) syncACLs(ctx context.Context, interval time.Duration) error {
	if interval <= 0 {
		<-ctx.Done()
		return nil
	}
	if err := r.persist(ctx, "sync ACLs", r.keeper.SyncACLs); err != nil {
		return nil //nolint:nilerr // ctx has ended: duties have no other end
	}
	return r.every(ctx, interval, "sync ACLs", r.keeper.SyncACLs)
}

// withACLs adds to the rules of a flow's topics what ACLs and plans need. groups is asked anew each time, since a reload may
// change them.
func withACLs(rules topics.Rules, c config.Flow, groups func(group string) bool, source, target *kafka.Admin) topics.Rules {
	rules.KeepConfigs, rules.KeepACLs = c.SyncConfigs <= 0, c.SyncACLs <= 0
	rules.Validate = func(ctx context.Context, list []stream.NewTopic) (map[string]error, error) {
		answers, err := target.ValidateTopics(ctx, list)
		refused := map[string]error{}
		for name, would := range answers {
			if would.Err != nil {
				refused[name] = would.Err
			}
		}
		return refused, err
	}
	rules.ACLs = topics.ACLRules{
		Full:   c.ACLMode == "full",
		Groups: groups,
		Notes:  topics.NewNotes(perhaps{target}, stream.TandemTopic(c.Source)),
		Echo:   topics.NewNotes(perhaps{source}, stream.TandemTopic(c.Target)),
	}
	for _, props := range []config.Properties{c.TargetAdmin, c.TargetProducer} {
		if client, err := kafka.Parse(props); err == nil && client.Principal() != "" {
			rules.ACLs.Own = append(rules.ACLs.Own, client.Principal())
		}
	}
	return rules
}

// perhaps is the log of a topic that may not exist: there is nothing in it then.
type perhaps struct{ *kafka.Admin }

func (p perhaps) ReadAll(ctx context.Context, topic string, committed bool, each func(stream.Record) error) error {
	if err := p.Admin.ReadAll(ctx, topic, committed, each); !errors.Is(err, kafka.ErrUnknownTopic) {
		return err
	}
	return nil
}
