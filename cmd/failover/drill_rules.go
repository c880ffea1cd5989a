package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tandem/internal/drill/compare"
	"tandem/internal/failover"
	"tandem/internal/kafka"
	"tandem/internal/stream"
)

const searchBefore = 50 // offsets in which the time of what retention took is looked for

// rules are those of each topic's configs on both sides.
type rules struct {
	compare.Rules
	explained func(newest time.Time) bool // retention on the target explains that a record of this time is gone
	retention string
}

func (r *rehearsal) rules(ctx context.Context) (map[string]rules, error) {
	byTopic := make(map[string]rules) // of the source
	var here, there []string
	for _, s := range r.spots {
		here, there = append(here, s.From.Topic), append(there, s.To.Topic)
	}
	configs := func(alias string, admin *kafka.Admin, topics []string) map[string]map[string]string {
		slices.Sort(topics)
		found, err := admin.Configs(ctx, slices.Compact(topics))
		if err != nil {
			r.note(alias, "%s does not tell the configs of all topics (%s): those are taken for compacted, and records that are missing there are hard to tell from deleted ones", alias, kafka.Explain(err))
		}
		out := make(map[string]map[string]string)
		for topic, entries := range found {
			out[topic] = make(map[string]string)
			for _, e := range entries {
				out[topic][e.Name] = e.Value
			}
		}
		return out
	}
	source, target := configs(r.from, r.fromAdmin, here), configs(r.to, r.toAdmin, there)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	now := time.Now()
	for _, s := range r.spots {
		a, b := source[s.From.Topic], target[s.To.Topic]
		x := rules{retention: fmt.Sprintf("retention.ms=%s, retention.bytes=%s", cmp.Or(b["retention.ms"], "?"), cmp.Or(b["retention.bytes"], "?"))}
		x.SourceCompacted, x.TargetCompacted = a == nil || strings.Contains(a["cleanup.policy"], "compact"), b == nil || strings.Contains(b["cleanup.policy"], "compact")
		x.Shared, x.Search = s.Way == failover.Both, searched
		x.OtherTimes = b["message.timestamp.type"] == "LogAppendTime"
		millis, err := strconv.ParseInt(b["retention.ms"], 10, 64)
		bytes, err2 := strconv.ParseInt(b["retention.bytes"], 10, 64)
		x.explained = func(newest time.Time) bool {
			switch {
			case err != nil || err2 != nil || x.OtherTimes: // it is not known by which times
				return true
			case !strings.Contains(b["cleanup.policy"], "delete"):
				return false
			}
			return bytes >= 0 || millis >= 0 && newest.Before(now.Add(-time.Duration(millis)*time.Millisecond))
		}
		byTopic[s.From.Topic] = x
	}
	return byTopic, nil
}

// retention makes sure that what the target does not have at its beginning was for its retention to take.
func (r *rehearsal) retention(ctx context.Context, byTopic map[string]rules) {
	for _, s := range r.spots {
		start := r.scene.To.Starts[s.To]
		first, err := r.scene.forward.offsets.Translate(ctx, s.To, stream.Upstream(s.low))
		if err != nil || first.Class != stream.Exact || int64(first.Offset) >= start || s.Way == failover.Both {
			continue // an error was told by others
		}
		back, err := r.scene.forward.offsets.Return(ctx, s.To, stream.Downstream(start))
		if err != nil || back.Class != stream.Exact {
			continue
		}
		newest, lost := int64(-1), int64(-1)
		log := newLogReader(r.source, s.From, r.scene.From.Starts[s.From], max(s.low, int64(back.Offset)-searchBefore), int64(back.Offset), r.flow.IsolationLevel == "read_committed")
		for {
			rec, ok, err := log.Next(ctx)
			if err != nil || !ok {
				break
			}
			newest, lost = max(newest, rec.Timestamp), rec.Offset
		}
		if x := byTopic[s.From.Topic]; lost >= 0 && !x.explained(time.UnixMilli(newest)) {
			r.fail(fmt.Sprintf("%s offset %d, %s offset %d", s.From, lost, s.To, start-1),
				"%s begins at %d: what is before is deleted, and its retention does not explain that (%s; the newest record is of %s)",
				s.To, start, x.retention, time.UnixMilli(newest).UTC().Format(time.RFC3339))
		}
	}
}
