package topics

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"tandem/internal/stream"
)

// Keeper keeps the remote topics of one flow. Its methods may be called concurrently; they take turns.
type Keeper struct {
	flow   stream.Flow
	source Side
	target Side
	rules  Rules
	news   news

	mu     sync.Mutex // held by one Refresh, SyncConfigs or SyncACLs at a time, while it talks to the clusters
	known  []Topic    // as of the last refresh; MaxMessageBytes is in limits
	limits map[string]int32
	missed map[stream.ACL]bool // made by this flow, and not found at the source at the last sync
}

// New makes a Keeper; it does nothing until Refresh.
func New(flow stream.Flow, source, target Side, rules Rules, report stream.Report) *Keeper {
	return &Keeper{flow: flow, source: source, target: target, rules: rules, limits: map[string]int32{},
		news: news{flow: flow, report: report, told: map[trouble]string{}}}
}

// Refresh lists both clusters, creates and widens remote topics where needed, and tells the state afterwards. It fails
// only when a cluster cannot be listed; what fails for a single topic is an event, and the topic is not Ready.
func (k *Keeper) Refresh(ctx context.Context) (Snapshot, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	source, pairs, err := k.list(ctx)
	if err != nil {
		return Snapshot{}, err
	}
	want := map[string]int32{}
	k.create(ctx, missing(pairs), want)
	k.widen(ctx, narrow(pairs), want)
	if err := k.look(ctx, source, want); err != nil {
		return Snapshot{}, err
	}
	// Of the topics created, someone else may have been faster with one and made it narrower than its source.
	again := map[string]int32{}
	k.widen(ctx, slices.DeleteFunc(narrow(k.known), func(t Topic) bool { return want[t.Remote.Name] != 1 }), again)
	if err := k.look(ctx, source, again); err != nil {
		return Snapshot{}, err
	}
	k.readLimits(ctx)
	return k.snapshot(), nil
}

// Look is a Refresh that changes nothing: another process creates and widens what is missing.
func (k *Keeper) Look(ctx context.Context) (Snapshot, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, _, err := k.list(ctx); err != nil {
		return Snapshot{}, err
	}
	k.readLimits(ctx)
	return k.snapshot(), nil
}

// list asks both clusters for their topics, and learns which are replicated.
func (k *Keeper) list(ctx context.Context) (source []stream.Topic, pairs []Topic, err error) {
	source, err = k.source.Topics(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("list topics of %s: %w", k.flow.Source, err)
	}
	target, err := k.target.Topics(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("list topics of %s: %w", k.flow.Target, err)
	}
	pairs, clashes := pair(k.rules, source, target)
	k.news.matched(len(source), pairs, clashes)
	k.news.changed(source, k.known, pairs)
	k.learn(pairs)
	return source, pairs, nil
}

// look takes in the target once it shows what was asked of it, or is given up on for now.
func (k *Keeper) look(ctx context.Context, source []stream.Topic, want map[string]int32) error {
	if satisfied(remotes(k.known), want) {
		return nil
	}
	target, err := settled(ctx, k.target, want)
	if err != nil {
		return fmt.Errorf("list topics of %s: %w", k.flow.Target, err)
	}
	pairs, _ := pair(k.rules, source, target)
	k.learn(pairs)
	return nil
}

// create makes the missing remote topics, with the configs of their sources, and adds to want what must now appear.
func (k *Keeper) create(ctx context.Context, missing []Topic, want map[string]int32) {
	if len(missing) == 0 {
		return
	}
	ask := names(missing, sourceName)
	configs, err := k.source.Configs(ctx, ask)
	k.news.unread(ctx, trouble{what: "create, read"}, stream.Error,
		"remote topics not created: configs of their source topics cannot be read", ask, configs, err)
	var creates []stream.NewTopic
	for _, t := range missing {
		if entries, ok := configs[t.Source.Name]; ok {
			creates = append(creates, newTopic(k.rules, t, entries))
		}
	}
	if len(creates) == 0 {
		return
	}
	answers, err := k.target.CreateTopics(ctx, creates)
	if err != nil {
		k.news.trouble(ctx, trouble{what: "create"}, stream.Error, "remote topics not created; the next refresh tries again", err,
			stream.F("topics", len(creates)-len(answers)))
	} else {
		k.news.over(trouble{what: "create"})
	}
	for _, t := range missing {
		if answer, ok := answers[t.Remote.Name]; ok {
			k.created(ctx, t, answer, want)
		}
	}
}

func (k *Keeper) created(ctx context.Context, t Topic, err error, want map[string]int32) {
	fields := []stream.Field{stream.F("topic", t.Source.Name), stream.F("remote", t.Remote.Name),
		stream.F("partitions", t.Source.Partitions), stream.F("replication.factor", k.rules.Factor)}
	if err != nil {
		k.news.trouble(ctx, trouble{"create", t.Source.Name}, stream.Error, "remote topic not created; "+createAdvice(err, k.flow), err, fields...)
		return
	}
	k.news.tell(stream.Info, "created remote topic", fields...)
	want[t.Remote.Name] = 1 // not all its partitions: someone else may have made it, and narrower
}

// widen gives remote topics the partitions of their sources and adds to want what must now appear.
func (k *Keeper) widen(ctx context.Context, narrow []Topic, want map[string]int32) {
	for _, t := range narrow {
		fields := []stream.Field{stream.F("topic", t.Source.Name), stream.F("remote", t.Remote.Name),
			stream.F("from", t.Remote.Partitions), stream.F("to", t.Source.Partitions)}
		if err := k.target.CreatePartitions(ctx, t.Remote.Name, t.Source.Partitions); err != nil {
			k.news.trouble(ctx, trouble{"widen", t.Source.Name}, stream.Error,
				"remote topic not widened; its new partitions are not replicated; allow Alter on it, or add them by hand", err, fields...)
			continue
		}
		k.news.tell(stream.Info, "widened remote topic", fields...)
		want[t.Remote.Name] = t.Source.Partitions
	}
}

// learn replaces what is known, and drops the limits of remote topics that are gone or were made anew.
func (k *Keeper) learn(now []Topic) {
	ids := map[string]stream.TopicID{}
	for _, t := range now {
		if t.Remote.Partitions > 0 {
			ids[t.Remote.Name] = t.Remote.ID
		}
	}
	for _, t := range k.known {
		if id, there := ids[t.Remote.Name]; !there || id != t.Remote.ID {
			delete(k.limits, t.Remote.Name)
		}
	}
	k.known = now
	k.news.solved(now)
}

// readLimits asks for max.message.bytes of the remote topics of which it is not known.
func (k *Keeper) readLimits(ctx context.Context) {
	var ask []string
	for _, t := range k.known {
		if _, known := k.limits[t.Remote.Name]; !known && t.Remote.Partitions > 0 {
			ask = append(ask, t.Remote.Name)
		}
	}
	if len(ask) == 0 {
		return
	}
	configs, err := k.target.Configs(ctx, ask)
	k.news.unread(ctx, trouble{what: "limits"}, stream.Warn,
		"max.message.bytes of remote topics cannot be read, and is taken to be the default", ask, configs, err)
	for _, name := range ask {
		if limit, ok := limitIn(configs[name]); ok {
			k.limits[name] = limit
		}
	}
}

func (k *Keeper) snapshot() Snapshot {
	list := make([]Topic, len(k.known))
	for i, t := range k.known {
		t.MaxMessageBytes = k.limits[t.Remote.Name]
		list[i] = t
	}
	return Snapshot{Topics: list}
}

func sourceName(t Topic) string { return t.Source.Name }
func remoteName(t Topic) string { return t.Remote.Name }

func names(topics []Topic, name func(Topic) string) []string {
	list := make([]string, len(topics))
	for i, t := range topics {
		list[i] = name(t)
	}
	return list
}

func remotes(topics []Topic) []stream.Topic {
	list := make([]stream.Topic, len(topics))
	for i, t := range topics {
		list[i] = t.Remote
	}
	return list
}
