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
	source, err := k.source.Configs(ctx, names(existing, sourceName))
	if err != nil {
		return fmt.Errorf("describe configs of topics of %s: %w", k.flow.Source, err)
	}
	target, err := k.target.Configs(ctx, names(existing, remoteName))
	if err != nil {
		return fmt.Errorf("describe configs of topics of %s: %w", k.flow.Target, err)
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

// plan lists the changes by remote topic, and reports what cannot be compared or carried.
func (k *Keeper) plan(
	ctx context.Context, existing []Topic, source, target map[string][]stream.ConfigEntry,
) map[string][]stream.ConfigChange {
	plan := map[string][]stream.ConfigChange{}
	for _, t := range existing {
		fields := []stream.Field{stream.F("topic", t.Source.Name), stream.F("remote", t.Remote.Name)}
		from, readable := source[t.Source.Name]
		to, described := target[t.Remote.Name]
		unread, unknown := trouble{"read configs", t.Source.Name}, trouble{"unknown configs", t.Source.Name}
		if !readable || !described {
			k.news.trouble(ctx, unread, stream.Warn,
				"topic configs not synced: they cannot be read; allow DescribeConfigs on both topics", nil, fields...)
			continue
		}
		k.news.over(unread)
		changes, strangers := configChanges(k.rules, from, to)
		if len(strangers) > 0 {
			k.news.trouble(ctx, unknown, stream.Warn,
				"topic configs not synced: the target does not know them; list them in config.properties.exclude", nil,
				append(fields, stream.F("configs", strings.Join(strangers, " ")))...)
		} else {
			k.news.over(unknown)
		}
		if len(changes) > 0 {
			plan[t.Remote.Name] = changes
		}
	}
	return plan
}

// alter makes the changes, all in one request.
func (k *Keeper) alter(ctx context.Context, existing []Topic, plan map[string][]stream.ConfigChange) error {
	if len(plan) == 0 {
		return nil
	}
	answers, err := k.target.AlterConfigs(ctx, plan)
	if err != nil {
		return fmt.Errorf("alter configs of topics of %s: %w", k.flow.Target, err)
	}
	for _, t := range existing {
		changes, planned := plan[t.Remote.Name]
		if !planned {
			continue
		}
		fields := []stream.Field{stream.F("remote", t.Remote.Name), stream.F("configs", describe(changes))}
		what := trouble{"alter", t.Source.Name}
		if err := answers[t.Remote.Name]; err != nil {
			k.news.trouble(ctx, what, stream.Error, "configs of remote topic not changed; "+alterAdvice(err), err, fields...)
			continue
		}
		k.news.over(what)
		k.news.tell(stream.Info, "changed configs of remote topic", fields...)
		if slices.ContainsFunc(changes, func(c stream.ConfigChange) bool { return c.Name == maxMessageBytes }) {
			delete(k.limits, t.Remote.Name)
		}
	}
	return nil
}

// describe writes changes as one reads them: "retention.ms=1000 -cleanup.policy".
func describe(changes []stream.ConfigChange) string {
	words := make([]string, len(changes))
	for i, c := range changes {
		words[i] = c.Name + "=" + c.Value
		if c.Delete {
			words[i] = "-" + c.Name
		}
	}
	return strings.Join(words, " ")
}
