package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	archivedrill "tandem/internal/archive/drill"
	"tandem/internal/archive/restore"
	"tandem/internal/archive/verify"
	"tandem/internal/batch"
	"tandem/internal/stream"
)

// look reads what there is, and finds what verify finds in a listing, and what no restore would bring back.
func (d *drilling) look(ctx context.Context) (string, error) {
	found, err := verify.Run(ctx, d.open.store, verify.Options{Source: d.open.flow.Source, Keeper: d.open.keeper, Level: verify.List})
	if err != nil {
		return "", fmt.Errorf("look at the archive: %w", err)
	}
	for _, f := range found.Findings {
		d.finding(true, "the archive", f.String())
	}
	d.state, err = catalog.Load(ctx, d.open.store, d.open.options(d.show, "drill: reading the archive"), time.Time{}, d.flags.chosen.Accepts)
	if err != nil {
		return "", fmt.Errorf("read archive: %w", err)
	}
	for _, x := range d.state.Damaged {
		d.finding(true, x.Name, fmt.Sprintf("the bundle cannot be used: %v", x.Err))
	}
	if len(found.Findings) == 0 { // else they say the same
		for _, name := range d.state.Missing {
			d.finding(true, name, "the bundle is missing; archive verify says more")
		}
	}
	if len(d.state.Lives) == 0 {
		if d.failures() > 0 {
			return "", refused{errors.New("nothing of the archive can be read")}
		}
		if d.state.Objects > 0 && d.flags.topics != "" {
			return "", fmt.Errorf("--topics %s: nothing of that is archived; archive ls %s says what is", d.flags.topics, d.open.conf.Path)
		}
		return "", fmt.Errorf("nothing of %s is archived yet; archive ls %s says what is", d.open.flow.Source, d.open.conf.Path)
	}
	for _, life := range d.state.Lives {
		for _, part := range life.Parts {
			for _, h := range part.Holes {
				if h.Why == catalog.Lost {
					d.finding(true, fmt.Sprintf("%s/%d", life.Topic.Name, part.Number),
						fmt.Sprintf("offsets %d to %d are not in the archive, and nothing says why; archive verify says more", h.From, h.To-1))
				}
			}
		}
	}
	return fmt.Sprintf("%s, %s, of %s", count(d.state.Objects, "bundle"), byteCount(d.state.Bytes), count(len(d.state.Lives), "topic")), nil
}

// choose draws what is tried.
func (d *drilling) choose(ctx context.Context) (string, error) {
	if d.replica != nil {
		var err error
		if d.offsets, err = d.loadMap(ctx); err != nil {
			return "", err
		}
	}
	bounds := archivedrill.Bounds{Partitions: d.flags.partitions, Records: int64(d.flags.records), Bytes: d.flags.bytesEach, Below: d.offsets.covered}
	for _, s := range archivedrill.Choose(rand.New(rand.NewPCG(d.flags.seed, 0)), d.state.Lives, bounds) {
		d.tried = append(d.tried, &trial{Stretch: s})
	}
	if len(d.tried) == 0 {
		return "", fmt.Errorf("of %s no record is archived; archive ls %s says what is", count(len(d.state.Lives), "topic"), d.open.conf.Path)
	}
	names := make(map[string]bool)
	for _, t := range d.tried {
		names[t.Topic] = true
	}
	return fmt.Sprintf("%s of %s, seed %d", count(len(d.tried), "partition"), count(len(names), "topic"), d.flags.seed), nil
}

// readArchived reads the stretches, and cuts them to the records that are wanted at most. What cannot be read is found, and not restored.
func (d *drilling) readArchived(ctx context.Context) (string, error) {
	records, shaper := 0, batch.NewShaper()
	for i, t := range d.tried {
		d.show.Show("drill: reading the archive: %d of %s", i, count(len(d.tried), "partition"))
		if err := d.readTrial(ctx, shaper, t); err != nil {
			if !gone(err) {
				return "", err
			}
			d.finding(true, t.Partition.String(), err.Error())
			t.archived, t.wanted = nil, 0
		}
		records += len(t.archived)
	}
	d.tried = slices.DeleteFunc(d.tried, func(t *trial) bool { return len(t.archived) == 0 })
	if len(d.tried) == 0 {
		return "", refused{errors.New("nothing of what was chosen can be read")}
	}
	return fmt.Sprintf("%d records of %s", records, count(len(d.tried), "partition")), nil
}

func (d *drilling) readTrial(ctx context.Context, shaper *batch.Shaper, t *trial) error {
	var all []archivedrill.Record
	var sizes []int64
	err := d.batches(ctx, t, false, func(v batch.View) error {
		return archivedrill.Read(shaper, v, func(r archivedrill.Record, bytes int) error {
			all, sizes = append(all, r), append(sizes, int64(bytes))
			return nil
		})
	})
	if err != nil || len(all) == 0 {
		return err
	}
	t.cut(all, sizes, d.flags.records, d.flags.bytesEach)
	wanted := make(map[int64]bool)
	keep := func(into func(archivedrill.Record)) func(batch.View) error {
		return func(v batch.View) error {
			return archivedrill.Read(shaper, v, func(r archivedrill.Record, _ int) error {
				into(r)
				return nil
			})
		}
	}
	// Once more: a transaction may be open at the new end.
	if err := d.batches(ctx, t, false, keep(func(r archivedrill.Record) { wanted[r.Offset] = true })); err != nil {
		return err
	}
	t.wanted = len(wanted)
	return d.batches(ctx, t, true, keep(func(r archivedrill.Record) {
		r.Unwanted = !wanted[r.Offset]
		t.archived = append(t.archived, r)
	}))
}

// cut makes a stretch smaller where its chunks had more than they promised.
func (t *trial) cut(all []archivedrill.Record, sizes []int64, records int, bytes int64) {
	n, sum := 0, int64(0)
	for n < len(all) && n < records {
		i := n
		if t.Place == archivedrill.Newest {
			i = len(all) - 1 - n
		}
		if sum += sizes[i]; sum > bytes && n > 0 {
			break
		}
		n++
	}
	switch {
	case n == len(all):
	case t.Place == archivedrill.Newest:
		t.From = stream.Upstream(all[len(all)-n].Offset)
	default:
		t.End = stream.Upstream(all[n-1].Offset) + 1
	}
}

// batches reads a stretch as a restore does; raw: with the records that it leaves out.
func (d *drilling) batches(ctx context.Context, t *trial, raw bool, each func(batch.View) error) error {
	plan, err := d.plan([]*trial{t}, raw)
	if err != nil {
		return err
	}
	logs, err := plan.Logs(d.state, d.chunks)
	if err != nil {
		return err
	}
	for _, log := range logs {
		if err := log.Batches(ctx, each); err != nil {
			return err
		}
	}
	return nil
}

// plan is that of a restore of some stretches.
func (d *drilling) plan(trials []*trial, raw bool) (*restore.Plan, error) {
	within := make(map[stream.Partition]restore.Range)
	topics := make(map[string]bool)
	for _, t := range trials {
		within[t.Partition] = restore.Range{From: t.From, End: t.End}
		topics[t.Topic] = true
	}
	return restore.Make(d.state, restore.Selection{
		Topics: func(name string) bool { return topics[name] }, Rename: func(name string) string { return name }, Within: within, Raw: raw,
	})
}

// life is that of the topic of a trial, and its partition.
func (d *drilling) life(t *trial) (life catalog.Life, part catalog.Part) {
	for _, life = range d.state.Lives {
		if life.Topic.Name != t.Topic {
			continue
		}
		for _, part = range life.Parts {
			if part.Number == t.Number {
				return life, part
			}
		}
	}
	return catalog.Life{Topic: bundle.Topic{Name: t.Topic}}, catalog.Part{}
}
