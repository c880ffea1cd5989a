package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"tandem/internal/cli"
	"tandem/internal/drill"
	"tandem/internal/failover"
	"tandem/internal/kafka"
	"tandem/internal/policy"
	"tandem/internal/replicate/heartbeat"
	"tandem/internal/stream"
)

// How the names of all groups and plans of drills begin. Other commands do not look at them.
const (
	throwAway = "tandem-drill-"
	drillPlan = "drill-"
)

// rehearsal is a drill.
type rehearsal struct {
	*pair
	o      drillOptions
	line   *cli.Progress
	random *rand.Rand
	ended  bool // no step can follow

	mu     sync.Mutex // guards the findings of the report
	report drill.Report

	run    string   // names this drill
	prefix string   // of its groups: the same at each drill of the flow, so that their checkpoints are written over
	names  []string // of its groups
	plans  string   // prefix of its plans

	source, remote *kafka.Wire
	look           *scene // as of the beginning
	spots          []spot
	made           time.Time // when the groups were
	marks          *marks
	scene          *scene // that the plan was made from
	plan           failover.Plan
	desk           *desk   // nil before the plan is applied
	perGroup       float64 // seconds to apply
	planned        float64 // seconds to plan
}

// spot is a partition that was drawn.
type spot struct {
	failover.Leg
	low, end int64   // where its records begin and end at the source
	at       []int64 // where each group stands
}

// prepare finds out whether a drill can be, and changes nothing.
func (r *rehearsal) prepare(ctx context.Context) error {
	r.line.Show("look at both clusters ...")
	began := time.Now()
	topics, err := filter("topics", r.o.topics)
	if err != nil {
		return err
	}
	nobody, err := policy.NewFilter(nil, nil)
	if err != nil {
		return err
	}
	if r.look, err = gather(ctx, r.pair, choice{kind: failover.Over, groups: nobody, topics: topics, drill: true, line: r.line}); err != nil {
		return err
	}
	if !r.look.From.Live {
		return fmt.Errorf("cluster %s: %s; a drill needs both clusters (if it is lost: failover plan --mode disaster)", r.from, r.look.From.Away)
	}
	r.name()
	if err := r.possible(); err != nil {
		return err
	}
	if err := r.alive(ctx); err != nil {
		return err
	}
	if r.source, r.remote, err = wires(r.flow); err != nil {
		return err
	}
	if err := r.choose(ctx); err != nil {
		r.close()
		return err
	}
	return r.risk(ctx, began)
}

func (r *rehearsal) close() {
	r.source.Close()
	r.remote.Close()
}

// name gives the groups their names.
func (r *rehearsal) name() {
	sum := sha256.Sum256([]byte(r.flow.Flow.String() + " " + r.look.From.ClusterID + " " + r.look.To.ClusterID))
	id := hex.EncodeToString(sum[:4])
	r.run, r.prefix = planID(r.look.Now), throwAway+id+"-"
	r.plans = drillPlan + id + "-"
	for n := range 4 { // the places of a spot
		r.names = append(r.names, fmt.Sprintf("%s%d", r.prefix, n+1))
	}
}

// possible looks at the settings, and at what is noted.
func (r *rehearsal) possible() error {
	for _, name := range r.names {
		if !r.flow.Groups.Accepts(name) {
			return fmt.Errorf("groups and groups.exclude of %s leave out group %s, so mirror would not translate it: let %s.* pass", r.flow.Flow, name, throwAway)
		}
	}
	for _, f := range failover.InForce(r.look.Failovers) {
		if !strings.HasPrefix(f.Plan, drillPlan) {
			return fmt.Errorf("failover %s to %s is in force since %s: drill after failover back, or failover undo", f.Plan, f.To, f.At.UTC().Format(time.RFC3339))
		}
	}
	if !r.look.forward.there {
		return fmt.Errorf("%s has no topic %s: mirror never ran there; start it with this file", r.to, stream.TandemTopic(r.from))
	}
	return nil
}

// alive waits for a sign of a mirror that runs: a heartbeat, or, where the flow has none, what it notes of the source's ends.
func (r *rehearsal) alive(ctx context.Context) error {
	if r.flow.Heartbeats {
		return r.heartbeat(ctx)
	}
	const minute = 90 * time.Second // they are noted once a minute where nothing happens
	for _, e := range r.look.forward.known.Ends() {
		if r.look.Now.Sub(e.At) < minute {
			return nil
		}
	}
	return fmt.Errorf("nothing was noted of %s in the last %s: mirror does not run, or does not reach it; a drill needs it", r.flow.Flow, minute)
}

func (r *rehearsal) heartbeat(ctx context.Context) error {
	limit := 3*r.flow.HeartbeatInterval + 5*time.Second
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	at := stream.Partition{Topic: heartbeat.Topic}
	var next int64
	ends, _, err := r.toAdmin.Offsets(within, []stream.Partition{at}, stream.Latest)
	if end, ok := ends[at]; ok && err == nil {
		next = end
	}
	alive := false
	for !alive {
		next, err = r.toAdmin.ReadFrom(within, at.Topic, 0, next, false, func(rec stream.Record) error {
			if h, err := heartbeat.Decode(rec); err == nil && h.Flow == r.flow.Flow {
				alive = true
			}
			return nil
		})
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case within.Err() != nil || errors.Is(err, kafka.ErrUnknownTopic):
			return fmt.Errorf("no heartbeat of %s came to %s in %s: mirror does not run, or does not reach %s; a drill needs it", r.flow.Flow, r.to, limit, r.to)
		case err != nil:
			return r.look.away(r.to, err)
		}
		if !alive {
			pause(within, 200*time.Millisecond)
		}
	}
	return nil
}

// pause waits, but not longer than ctx.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// choose draws partitions, and places in them.
func (r *rehearsal) choose(ctx context.Context) error {
	legs := make(map[stream.Partition]failover.Leg)
	replicated := 0
	for _, l := range r.look.Legs {
		if l.Way == failover.Home {
			continue
		}
		replicated++
		if r.look.has(l) && int64(r.look.From.Ends[l.From].End) > r.look.From.Starts[l.From] {
			legs[l.From] = l
		}
	}
	if len(legs) == 0 {
		return r.nothing(replicated)
	}
	drawn := drill.Draw(r.random, slices.Collect(maps.Keys(legs)), r.o.partitions)
	ends, err := r.ends(ctx, drawn)
	if err != nil {
		return err
	}
	for _, p := range drawn {
		s := spot{Leg: legs[p], end: ends[p]}
		if s.low, err = r.lowest(ctx, s.Leg); err != nil {
			return err
		}
		s.low = min(s.low, s.end)
		s.at = []int64{s.low, s.low + (s.end-s.low)/2, s.low + r.random.Int64N(s.end-s.low+1), s.end}
		r.spots = append(r.spots, s)
	}
	return nil
}

func (r *rehearsal) nothing(replicated int) error {
	which := "topics of " + r.flow.Flow.String()
	if r.o.topics != "" {
		which = fmt.Sprintf("--topics %s and %s", r.o.topics, which)
	}
	if replicated == 0 {
		return fmt.Errorf("no topic of %s is replicated that a drill could look at; look at %s", r.from, which)
	}
	return fmt.Errorf("no partition that is replicated holds any record and stands on %s; look at %s", r.to, which)
}

// ends are where a consumer at the source is at the end.
func (r *rehearsal) ends(ctx context.Context, partitions []stream.Partition) (map[stream.Partition]int64, error) {
	var ends map[stream.Partition]int64
	var failed map[stream.Partition]error
	var err error
	if r.flow.IsolationLevel == "read_committed" {
		ends, failed = r.source.StableOffsets(ctx, partitions)
	} else {
		ends, failed, err = r.source.Offsets(ctx, partitions, stream.Latest)
	}
	if err = errors.Join(err, anyOf(failed)); err != nil {
		return nil, r.look.away(r.from, err)
	}
	return ends, nil
}

// lowest is the first offset of which there can be a place on the target: a flow that began at the end has none before that.
func (r *rehearsal) lowest(ctx context.Context, l failover.Leg) (int64, error) {
	start := r.look.From.Starts[l.From]
	t, err := r.look.forward.offsets.Translate(ctx, l.To, stream.Upstream(start))
	if err == nil && t.Class == stream.Clamped && t.Again == 0 {
		var back stream.Returned
		if back, err = r.look.forward.offsets.Return(ctx, l.To, t.Offset); err == nil && back.Class == stream.Exact {
			start = max(start, int64(back.Offset))
		}
	}
	if err != nil {
		return 0, r.look.away(r.to, err)
	}
	return start, nil
}

// risk measures what would be lost if the source were lost now.
func (r *rehearsal) risk(ctx context.Context, began time.Time) error {
	now, err := failover.Look(ctx, r.look.Situation)
	if err != nil {
		return err
	}
	r.measured("records that are not on "+r.to+" yet (RPO now)", float64(now.Lag), "records", "at most, over all replicated partitions that --topics chooses")
	if now.LagSeconds >= 0 {
		r.measured("age of the oldest of them (RPO now)", now.LagSeconds, "seconds", "at most; the largest of all partitions")
	} else {
		r.note("", "how many seconds of records would be lost is not known: of some partition that is behind mirror has noted no time yet")
	}
	for _, warning := range now.Warnings {
		r.note("", "%s", warning)
	}
	r.report.Steps = append(r.report.Steps, drill.Step{Name: "look at both clusters", Seconds: time.Since(began).Seconds(), Passed: true,
		Detail: fmt.Sprintf("%s and %s answer, a mirror runs; %s of %d drawn with seed %d", r.from, r.to, cli.Counted(len(r.spots), "partition"), len(r.look.Legs), r.o.seed)})
	return nil
}
