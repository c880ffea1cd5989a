package topics

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"tandem/internal/stream"
)

// SyncConfigs carries topic configs over to the remote topics that the last refresh saw. It fails when a cluster cannot be
// asked at all; what fails for a single topic is an event, tried again the next time.
func (k *Keeper) SyncConfigs(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	existing := slices.DeleteFunc(slices.Clone(k.known), func(t Topic) bool { return t.Remote.Partitions <= 0 })
	if len(existing) == 0 {
		return nil
	}
	source, err := k.describe(ctx, k.source, k.flow.Source, names(existing, sourceName))
	if err != nil {
		return err
	}
	target, err := k.describe(ctx, k.target, k.flow.Target, names(existing, remoteName))
	if err != nil {
		return err
	}
	for _, t := range existing {
		if limit, ok := limitIn(target[t.Remote.Name]); ok {
			k.limits[t.Remote.Name] = limit
		}
	}
	if err := k.alter(ctx, existing, k.plan(ctx, existing, source, target)); err != nil {
		return err
	}
	k.readLimits(ctx)
	return nil
}

// describe asks a cluster for configs. That some topics cannot be described is reported; that none can is an error.
func (k *Keeper) describe(ctx context.Context, c Cluster, alias string, topics []string) (map[string][]stream.ConfigEntry, error) {
	configs, err := c.Configs(ctx, topics)
	if err != nil && len(configs) == 0 {
		return nil, fmt.Errorf("describe configs of topics of %s: %w", alias, err)
	}
	k.news.unread(ctx, trouble{what: "sync, read " + alias}, stream.Warn,
		"topic configs not synced: configs of topics of "+alias+" cannot be read", topics, configs, err)
	return configs, nil
}

// plan lists the changes by remote topic, and reports what cannot be carried. Topics that are not described on both sides
// are passed over: they were deleted since the refresh, or their trouble is told.
func (k *Keeper) plan(
	ctx context.Context, existing []Topic, source, target map[string][]stream.ConfigEntry,
) map[string][]stream.ConfigChange {
	plan := map[string][]stream.ConfigChange{}
	for _, t := range existing {
		from, readable := source[t.Source.Name]
		to, described := target[t.Remote.Name]
		if !readable || !described {
			continue
		}
		changes, strangers := configChanges(k.rules, from, to)
		if len(changes) > 0 {
			plan[t.Remote.Name] = changes
		}
		unknown := trouble{"unknown configs", t.Source.Name}
		if len(strangers) == 0 {
			k.news.over(unknown)
			continue
		}
		k.news.trouble(ctx, unknown, stream.Warn,
			"topic configs not synced: the target does not know them; list them in config.properties.exclude", nil,
			stream.F("topic", t.Source.Name), stream.F("remote", t.Remote.Name), stream.F("configs", strings.Join(strangers, " ")))
	}
	return plan
}

// alter makes the changes, all in one request.
func (k *Keeper) alter(ctx context.Context, existing []Topic, plan map[string][]stream.ConfigChange) error {
	if len(plan) == 0 {
		return nil
	}
	answers, err := k.target.AlterConfigs(ctx, plan)
	for _, t := range existing {
		answer, answered := answers[t.Remote.Name]
		if !answered {
			continue
		}
		changes := plan[t.Remote.Name]
		fields := []stream.Field{stream.F("remote", t.Remote.Name), stream.F("configs", inWords(changes))}
		what := trouble{"alter", t.Source.Name}
		if answer != nil {
			k.news.trouble(ctx, what, stream.Error, "configs of remote topic not changed; "+alterAdvice(answer), answer, fields...)
			continue
		}
		k.news.over(what)
		k.news.tell(stream.Info, "changed configs of remote topic", fields...)
		if slices.ContainsFunc(changes, func(c stream.ConfigChange) bool { return c.Name == maxMessageBytes }) {
			delete(k.limits, t.Remote.Name)
		}
	}
	if err != nil {
		return fmt.Errorf("alter configs of topics of %s: %w", k.flow.Target, err)
	}
	return nil
}

// inWords writes changes as one reads them: "retention.ms=1000 -cleanup.policy".
func inWords(changes []stream.ConfigChange) string {
	words := make([]string, len(changes))
	for i, c := range changes {
		words[i] = c.Name + "=" + c.Value
		if c.Delete {
			words[i] = "-" + c.Name
		}
	}
	return strings.Join(words, " ")
}
