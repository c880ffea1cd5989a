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
	"tandem/internal/archive/store"
	"tandem/internal/archive/verify"
	"tandem/internal/batch"
	"tandem/internal/drill"
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
	if err := d.load(ctx); err != nil {
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

// load reads the ends of all bundles, once, for what can be restored and since when.
func (d *drilling) load(ctx context.Context) error {
	objects, _, err := catalog.List(ctx, d.open.store, d.open.flow.Source)
	if err != nil {
		return err
	}
	view, over := catalog.NewView(d.open.flow.Source, time.Time{}, d.flags.chosen.Accepts), catalog.NewOverviewing(d.open.flow.Source)
	err = catalog.Walk(ctx, d.open.store, objects, d.open.options(d.show, "drill: reading the archive"), func(o catalog.Object, f *bundle.Footer, err error) error {
		if err != nil {
			view.AddDamaged(o, err)
			over.AddDamaged(o)
			return nil
		}
		view.Add(o, f)
		over.Add(o, f)
		return nil
	})
	if err != nil {
		return err
	}
	d.state, d.over = view.State(), over.Overview()
	return nil
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
	records, shaper, again := 0, batch.NewShaper(), false
	for i := 0; i < len(d.tried); i++ {
		t := d.tried[i]
		d.show.Show("drill: reading the archive: %d of %s", i, count(len(d.tried), "partition"))
		err := d.readTrial(ctx, shaper, t)
		switch {
		case err == nil:
			records += len(t.archived)
		case !gone(err):
			return "", err
		case store.Classify(err) == store.NotFound && !again:
			// prune or compact may have removed it since the archive was looked at.
			again = true
			if _, err := d.lookAgain(ctx); err != nil {
				return "", err
			}
			records, i = 0, -1
		default:
			d.finding(true, t.Partition.String(), err.Error())
			t.archived = nil
		}
	}
	d.tried = slices.DeleteFunc(d.tried, func(t *trial) bool { return len(t.archived) == 0 })
	if len(d.tried) == 0 {
		return "", refused{errors.New("nothing of what was chosen can be read")}
	}
	return fmt.Sprintf("%d records of %s", records, count(len(d.tried), "partition")), nil
}

// lookAgain begins with the archive as it is now.
func (d *drilling) lookAgain(ctx context.Context) (string, error) {
	d.report.Findings = slices.DeleteFunc(d.report.Findings, func(f drill.Finding) bool { return f.Fatal })
	d.tried = nil
	if _, err := d.look(ctx); err != nil {
		return "", err
	}
	return d.choose(ctx)
}

// readTrial reads one stretch.
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
	if all = t.cut(all, sizes, d.flags.records, d.flags.bytesEach); !d.transactional(t) {
		t.archived = all
		return nil
	}
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
	return d.batches(ctx, t, true, keep(func(r archivedrill.Record) {
		r.Unwanted = !wanted[r.Offset]
		t.archived = append(t.archived, r)
	}))
}

// transactional says that some of a stretch may be left out by a restore.
func (d *drilling) transactional(t *trial) bool {
	_, part := d.life(t)
	return slices.ContainsFunc(part.Stretches, func(s catalog.Stretch) bool {
		return s.From < t.End && t.From < s.To && (s.Entry.Markers > 0 || len(s.Entry.Open) > 0 || len(s.Entry.Aborted) > 0)
	})
}

// cut makes a stretch smaller where its chunks had more than they promised. What stays is returned.
func (t *trial) cut(all []archivedrill.Record, sizes []int64, records int, bytes int64) []archivedrill.Record {
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
		all = all[len(all)-n:]
		t.From = stream.Upstream(all[0].Offset)
	default:
		all = all[:n]
		t.End = stream.Upstream(all[n-1].Offset) + 1
	}
	return all
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
