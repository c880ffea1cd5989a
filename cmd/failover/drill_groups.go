package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tandem/internal/checkpoint"
	"tandem/internal/cli"
	"tandem/internal/kafka"
	"tandem/internal/stream"
)

// make commits the throw-away groups' offsets at the source. Each stands in every partition that was drawn.
func (r *rehearsal) make(ctx context.Context) (string, error) {
	r.made = time.Now()
	for n, name := range r.names {
		offsets := make(map[stream.Partition]stream.Committed, len(r.spots))
		for _, s := range r.spots {
			offsets[s.From] = stream.Committed{Offset: s.at[n], Metadata: "failover drill " + r.run}
		}
		refused, err := r.fromAdmin.CommitOffsets(ctx, name, offsets)
		if len(refused) > 0 && err == nil {
			p := first(refused)
			err = fmt.Errorf("commit offset of %s: %w", p, refused[p])
		}
		if err != nil {
			return "", r.look.away(r.from, err)
		}
	}
	return fmt.Sprintf("%s on %s, %d positions: at the beginning, in the middle, somewhere and at the end of %s",
		cli.Counted(len(r.names), "group"), r.from, len(r.names)*len(r.spots), cli.Counted(len(r.spots), "partition")), nil
}

func first(m map[stream.Partition]error) stream.Partition {
	var least *stream.Partition
	for p := range m {
		if least == nil || cmp.Or(cmp.Compare(p.Topic, least.Topic), cmp.Compare(p.Number, least.Number)) < 0 {
			least = &p
		}
	}
	return *least
}

// marks follow what mirror writes of groups.
type marks struct {
	known                *checkpoint.Known
	tandem, checkpoints  string
	nextTandem, nextMark int64
}

func (r *rehearsal) newMarks() *marks {
	return &marks{known: checkpoint.NewKnown(), tandem: stream.TandemTopic(r.from), checkpoints: r.flow.Policy.CheckpointsTopic(r.from)}
}

// read takes in what is new. What cannot be read is no mark.
func (m *marks) read(ctx context.Context, admin *kafka.Admin) (err error) {
	m.nextTandem, err = admin.ReadFrom(ctx, m.tandem, 0, m.nextTandem, false, func(rec stream.Record) error {
		_ = m.known.TakeTandem(rec)
		return nil
	})
	if err != nil {
		return err
	}
	m.nextMark, err = admin.ReadFrom(ctx, m.checkpoints, 0, m.nextMark, false, func(rec stream.Record) error {
		_ = m.known.TakeCheckpoint(rec)
		return nil
	})
	if errors.Is(err, kafka.ErrUnknownTopic) {
		return nil
	}
	return err
}

// noticed is how long mirror may take to see a group: a listing, and two rounds of checkpoints.
func (r *rehearsal) noticed() time.Duration { return 20*time.Second + 2*r.flow.Checkpoints.Interval }

// translated waits until mirror has noted the groups and written a checkpoint for each position.
func (r *rehearsal) translated(ctx context.Context) (string, error) {
	switch {
	case !r.flow.Checkpoints.Enabled:
		r.note("", "emit.checkpoints.enabled is false: once %s is lost, %s knows of no group; a planned switch goes by the map of offsets alone", r.from, r.to)
		return "not waited for: emit.checkpoints.enabled is false", nil
	case r.flow.Checkpoints.Refresh <= 0:
		r.note("", "refresh.groups is off: groups that are made after the start of mirror have no checkpoints, so those of the drill are not waited for")
		return "not waited for: groups are not looked for", nil
	}
	r.marks = r.newMarks()
	all := len(r.names) * len(r.spots)
	for deadline := time.Now().Add(r.noticed()); ; {
		if err := r.marks.read(ctx, r.toAdmin); err != nil {
			return "", r.look.away(r.to, err)
		}
		seen := r.seen()
		r.line.Show("wait for checkpoints: %d of %d positions ...", seen, all)
		if seen == all {
			break
		}
		if time.Now().After(deadline) {
			return "", fmt.Errorf("mirror has written checkpoints for %d of %d positions in %s: it does not run any more, or stands still; see failover status, and the log of mirror",
				seen, all, r.noticed())
		}
		pause(ctx, 300*time.Millisecond)
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
	}
	took := time.Since(r.made).Seconds()
	r.measured("time until positions were translated", took, "seconds", fmt.Sprintf("from the commit on %s to the last checkpoint on %s; rounds are every %s", r.from, r.to, r.flow.Checkpoints.Interval))
	return fmt.Sprintf("%d positions are noted on %s and have checkpoints", all, r.to), nil
}

// seen counts the positions that are noted and have a checkpoint.
func (r *rehearsal) seen() (n int) {
	for i, name := range r.names {
		for _, s := range r.spots {
			noted, ok := r.marks.known.Groups[name].Offsets[s.From]
			c, marked := r.marks.known.Checkpoints[name][s.To]
			if ok && marked && noted.Offset == s.at[i] && int64(c.Up) <= s.at[i] {
				n++
			}
		}
	}
	return n
}

// wrongMarks counts the checkpoints that are not where the plan's exact places are, and describes one.
func (r *rehearsal) wrongMarks() (n int, where, what string) {
	if r.marks == nil {
		return 0, "", ""
	}
	for _, g := range r.plan.Groups {
		for _, p := range g.Positions {
			c := r.marks.known.Checkpoints[g.Group][p.RemotePartition()]
			if p.Class != stream.Exact.String() || int64(c.Down) == p.New {
				continue
			}
			if n++; n == 1 {
				where = fmt.Sprintf("group %s, %s", g.Group, p.SourcePartition())
				what = fmt.Sprintf("the checkpoint of offset %d says %d in %s, and the exact place is %d", p.Source, c.Down, p.RemotePartition(), p.New)
			}
		}
	}
	return n, where, what
}

// left is what drills of this flow have left.
type left struct {
	from, to []string        // groups
	keys     map[string]bool // of records in the flow's topic
	noted    bool            // a record of a group is among them
}

func (l left) none() bool { return len(l.from)+len(l.to)+len(l.keys) == 0 }

func (r *rehearsal) leftovers(ctx context.Context) (l left, err error) {
	for _, side := range []struct {
		alias string
		admin *kafka.Admin
		into  *[]string
	}{{r.from, r.fromAdmin, &l.from}, {r.to, r.toAdmin, &l.to}} {
		groups, err := side.admin.Groups(ctx)
		if err != nil {
			return l, r.look.away(side.alias, err)
		}
		for _, g := range groups {
			if strings.HasPrefix(g.ID, r.prefix) {
				*side.into = append(*side.into, g.ID)
			}
		}
	}
	l.keys = make(map[string]bool)
	err = r.toAdmin.ReadAll(ctx, stream.TandemTopic(r.from), false, func(rec stream.Record) error {
		if rec.Value == nil {
			delete(l.keys, string(rec.Key))
		} else if r.ours(rec.Key) {
			l.keys[string(rec.Key)] = true
		}
		return nil
	})
	if err != nil {
		return l, r.look.away(r.to, err)
	}
	for key := range l.keys {
		l.noted = l.noted || key[1] == stream.KindGroup
	}
	return l, nil
}

// sweepBefore takes away what a drill that was killed has left, and finds out on the way whether we may.
func (r *rehearsal) sweepBefore(ctx context.Context) error {
	r.line.Show("see what an earlier drill has left ...")
	began := time.Now()
	l, err := r.leftovers(ctx)
	if err != nil {
		return err
	}
	if err := r.sweep(ctx, l); err != nil {
		return err
	}
	if !l.none() {
		r.note("", "a drill that was killed had left %s on %s, %d on %s and %d records: they are taken away", cli.Counted(len(l.from), "group"), r.from, len(l.to), r.to, len(l.keys))
		r.report.Steps = append(r.report.Steps, stepOf("take away what an earlier drill left", began, "")...)
	}
	return nil
}

// sweep deletes the groups on both sides, and takes back the records.
func (r *rehearsal) sweep(ctx context.Context, l left) error {
	if err := r.deleteGroups(ctx, r.from, r.fromAdmin, l.from); err != nil {
		return err
	}
	if err := r.takeBack(ctx, l); err != nil {
		return err
	}
	return r.deleteGroups(ctx, r.to, r.toAdmin, l.to)
}

// deleteGroups deletes the drill's groups by name as well as those found.
func (r *rehearsal) deleteGroups(ctx context.Context, alias string, admin *kafka.Admin, found []string) error {
	refused, err := admin.DeleteGroups(ctx, append(slices.Clone(r.names), found...))
	for _, why := range refused {
		err = errors.Join(err, why)
		break
	}
	if code, ok := stream.CodeOf(err); ok && code == codeGroupAuthorization {
		return fmt.Errorf("cluster %s: the user of the admin client may not delete group %s: a drill needs Read and Delete on groups whose names begin with %s", alias, r.names[0], throwAway)
	}
	if err != nil {
		return r.look.away(alias, err)
	}
	return nil
}

const codeGroupAuthorization stream.Code = 30
