package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	archivedrill "tandem/internal/archive/drill"
	"tandem/internal/archive/restore"
	"tandem/internal/archive/store"
	"tandem/internal/kafka"
	"tandem/internal/stream"
)

const (
	cleanWithin = 30 * time.Second // on the way out
	scratchKeep = 24 * time.Hour   // how long the newest records of a scratch topic that is forgotten stay
	rightsHint  = "grant Create, Describe, DescribeConfigs, Read, Write and Delete on the topics with the prefix " + archivedrill.Prefix
)

// sweep takes away what a killed drill has left.
func (d *drilling) sweep(ctx context.Context) (string, error) {
	all, err := d.scratch.admin.Topics(ctx)
	if err != nil {
		return "", reason("cluster "+d.flags.to, err)
	}
	var left []string
	for _, t := range all {
		if d.run.Left(t.Name, time.Now(), alive) {
			left = append(left, t.Name)
		}
	}
	if len(left) == 0 {
		return "nothing was left", nil
	}
	d.remove(ctx, left)
	return fmt.Sprintf("%s found", count(len(left), "scratch topic")), nil
}

// alive says whether a process of this machine runs, so far as it can be told.
func alive(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	err = p.Signal(syscall.Signal(0))
	return err == nil || errors.Is(err, syscall.EPERM)
}

// cleanUp takes the scratch topics away, also when the drill was stopped.
func (d *drilling) cleanUp(ctx context.Context) {
	if len(d.topics) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanWithin)
	defer cancel()
	_ = d.step(ctx, "clean up", func(ctx context.Context) (string, error) { // what remains is in the report
		n := len(d.topics)
		d.remove(ctx, d.topics)
		d.topics = nil
		return fmt.Sprintf("%s taken away", count(n, "scratch topic")), nil
	})
}

// remove deletes topics, and waits until they are gone. What remains is noted with the command that takes it away.
func (d *drilling) remove(ctx context.Context, names []string) {
	why := make(map[string]error)
	for {
		answers, err := d.scratch.admin.DeleteTopics(ctx, names)
		for _, name := range names {
			if why[name] = answers[name]; err != nil && answers[name] == nil {
				why[name] = err
			}
		}
		var still []string
		there, err := d.scratch.admin.Topics(ctx)
		for _, t := range there {
			if slices.Contains(names, t.Name) {
				still = append(still, t.Name)
			}
		}
		if err == nil && len(still) == 0 {
			return
		}
		if err == nil {
			names = still
		}
		lasting := slices.ContainsFunc(names, func(name string) bool { return kafka.Classify(why[name]) == kafka.Authorization })
		if lasting || waitABit(ctx, lookEvery) != nil {
			break
		}
	}
	for _, name := range names {
		says := "it is still listed"
		if why[name] != nil {
			says = kafka.Explain(why[name])
		}
		d.report.Remaining = append(d.report.Remaining, fmt.Sprintf("topic %s on %s (%s): kafka-topics.sh --bootstrap-server %s --delete --topic '%s'",
			name, d.flags.to, says, d.bootstrap(), name))
	}
	d.finding(true, d.flags.to, fmt.Sprintf("%s could not be taken away: %s", count(len(names), "scratch topic"), rightsOr(why[names[0]])))
}

func rightsOr(err error) string {
	switch {
	case err == nil:
		return "the cluster still lists them"
	case kafka.Classify(err) == kafka.Authorization:
		return "there is no right to; " + rightsHint
	}
	return kafka.Explain(err)
}

func (d *drilling) bootstrap() string {
	admin, _, _ := clusterProperties(d.open.conf, d.open.flow, d.flags.to)
	return admin["bootstrap.servers"]
}

// restore brings the stretches back, into scratch topics, as restore does.
func (d *drilling) restore(ctx context.Context) (string, error) {
	plan, err := d.plan(d.tried, false)
	if err != nil {
		return "", refused{err}
	}
	r := &restoring{flags: restoreFlags{to: d.flags.to, noGroups: true}, cmd: d.cmd, open: d.open, target: d.scratch, plan: plan, state: d.state,
		chunks: d.chunks, show: d.show, begun: time.Now(), into: make(map[stream.Partition]stream.Partition)}
	if r.ledger, err = restore.OpenLedger(ctx, memoryStore{}, d.open.flow.Source, "drill", d.scratch.id, false); err != nil {
		return "", err
	}
	if err := d.scratchTopics(ctx, r); err != nil {
		return "", err
	}
	for _, t := range plan.Topics {
		d.topics = append(d.topics, t.To)
	}
	limits, err := r.makeTopics(ctx)
	if err != nil {
		return "", err
	}
	if err := d.allowed(ctx); err != nil {
		return "", err
	}
	if err := r.begin(ctx); err != nil {
		return "", err
	}
	begun, last := time.Now(), atomic.Int64{}
	r.acked = func(stream.Ack) { last.Store(int64(time.Since(begun))) }
	_, done, err := r.copyAll(ctx, limits)
	if why := (refused{}); errors.As(err, &why) && !gone(err) && store.Classify(err) != store.Other {
		return "", why.error // the store does not answer: that says nothing of the archive
	}
	if err != nil {
		return "", err
	}
	d.restored = figures{records: done.records, bytes: done.bytes, took: max(time.Duration(last.Load()), time.Millisecond)}
	return fmt.Sprintf("%d records, %s, into %s of %s in %s", done.records, byteCount(done.bytes), count(len(plan.Topics), "scratch topic"), d.flags.to,
		d.restored.took.Round(time.Millisecond)), nil
}

// scratchTopics gives the plan its topics on the target, and finds out whether they can be made.
func (d *drilling) scratchTopics(ctx context.Context, r *restoring) error {
	for i := range r.plan.Topics {
		t := &r.plan.Topics[i]
		t.To = d.run.Name(i, t.Name)
		t.Partitions = 0
		for _, p := range t.Parts {
			at := stream.Partition{Topic: t.Name, Number: p.Number}
			r.into[at] = stream.Partition{Topic: t.To, Number: t.Partitions}
			t.Partitions++
		}
		for _, tried := range d.tried {
			if to, ok := r.into[tried.Partition]; ok {
				tried.into = to
			}
		}
		t.Configs = d.scratchConfigs(t)
		if d.flags.factor > 0 {
			t.Factor = d.flags.factor
		}
	}
	target, err := d.scratchFit(ctx, r)
	if err != nil {
		return err
	}
	stands := 0
	for _, p := range r.plan.Check(target, restore.Allowed{Holes: true}) {
		if p.Refused {
			stands++
			d.finding(true, p.Topic, p.String())
		}
	}
	if stands > 0 {
		return refused{fmt.Errorf("%s in the way of the restore", count(stands, "thing"))}
	}
	return nil
}

// allowed wants the rights to write, read and delete scratch topics, which can be found out only once they are there.
func (d *drilling) allowed(ctx context.Context) error {
	rights, err := d.scratch.admin.TopicRights(ctx, d.topics)
	if err != nil {
		return reason("cluster "+d.flags.to, err)
	}
	for _, name := range d.topics {
		has := rights[name].Operations
		for _, operation := range []string{"Write", "Read", "Delete"} {
			if len(has) > 0 && !slices.Contains(has, operation) { // none: the cluster does not tell
				return fmt.Errorf("there is no right to %s on scratch topic %s of %s; %s", operation, name, d.flags.to, rightsHint)
			}
		}
	}
	return nil
}

// scratchConfigs keep what is restored for as long as the drill may last, and no topic of a drill that was forgotten for ever.
func (d *drilling) scratchConfigs(t *restore.Topic) map[string]string {
	oldest := time.Now().UnixMilli()
	for _, tried := range d.tried {
		if tried.Topic != t.Name {
			continue
		}
		for _, r := range tried.archived {
			if r.Timestamp >= 0 {
				oldest = min(oldest, r.Timestamp)
			}
		}
	}
	keep := time.Now().UnixMilli() - oldest + scratchKeep.Milliseconds()
	configs := map[string]string{"cleanup.policy": "delete", "retention.ms": strconv.FormatInt(keep, 10), "retention.bytes": "-1",
		"message.timestamp.type": "CreateTime"}
	if had, ok := t.Configs["max.message.bytes"]; ok {
		configs["max.message.bytes"] = had
	}
	return configs
}

// scratchFit asks the cluster what it would make of the scratch topics, and gives way where it can.
func (d *drilling) scratchFit(ctx context.Context, r *restoring) (restore.Target, error) {
	names := make([]string, len(r.plan.Topics))
	for i, t := range r.plan.Topics {
		names[i] = t.To
	}
	rights, err := d.scratch.admin.TopicRights(ctx, names)
	if err != nil {
		return restore.Target{}, reason("cluster "+d.flags.to, err)
	}
	if rights[names[0]].Hidden { // it could not even be found out whether it is gone again
		return restore.Target{}, fmt.Errorf("there is no right to Describe scratch topic %s on %s; %s", names[0], d.flags.to, rightsHint)
	}
	for again := 0; ; again++ {
		var list []stream.NewTopic
		for _, t := range r.plan.Topics {
			list = append(list, newTopic(t, false))
		}
		would, err := d.scratch.admin.ValidateTopics(ctx, list)
		if err != nil {
			return restore.Target{}, reason("cluster "+d.flags.to, err)
		}
		changed := false
		for i := range r.plan.Topics {
			t := &r.plan.Topics[i]
			w := would[t.To]
			if w.Err != nil && kafka.Classify(w.Err) == kafka.Authorization {
				return restore.Target{}, fmt.Errorf("scratch topic %s cannot be created on %s: %s; %s", t.To, d.flags.to, kafka.Explain(w.Err), rightsHint)
			}
			if w.Err != nil && t.Factor > 0 && d.flags.factor == 0 && again == 0 {
				d.finding(false, t.Name, fmt.Sprintf("a restore needs --replication-factor: the topic had %d replicas, and %s says: %s", t.Factor, d.flags.to, kafka.Explain(w.Err)))
				t.Factor, changed = -1, true
			}
			for _, name := range []string{"message.timestamp.before.max.ms", "message.timestamp.after.max.ms"} {
				if v, ok := w.Configs[name]; ok && v != strconv.FormatInt(math.MaxInt64, 10) && again == 0 {
					t.Configs[name], changed = strconv.FormatInt(math.MaxInt64, 10), true
				}
			}
		}
		if !changed {
			return r.target.look(ctx, r.plan, false)
		}
	}
}

// memoryStore keeps the ledger of a drill's restore, which nobody goes on with.
type memoryStore map[string][]byte

// Put implements restore.Store.
func (m memoryStore) Put(_ context.Context, name string, body store.Body) error {
	b := make([]byte, body.Size())
	if n, err := body.ReadAt(b, 0); n < len(b) {
		return err
	}
	m[name] = b
	return nil
}

// Get implements restore.Store.
func (m memoryStore) Get(_ context.Context, name string, _, _ int64) (io.ReadCloser, error) {
	b, ok := m[name]
	if !ok {
		return nil, &store.Error{Op: "get", Name: name, Kind: store.NotFound, Err: os.ErrNotExist}
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

// List implements restore.Store.
func (m memoryStore) List(_ context.Context, prefix, _ string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			if strings.HasPrefix(name, prefix) && !yield(store.Info{Name: name, Size: int64(len(m[name]))}, nil) {
				return
			}
		}
	}
}
