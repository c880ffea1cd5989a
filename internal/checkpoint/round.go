package checkpoint

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"tandem/internal/stream"
)

// findings are what a round has to write, and what stood in its way.
type findings struct {
	checkpoints []stream.Checkpoint
	snapshots   []stream.Record
	offsets     map[string]map[stream.Partition]stream.Committed // of the snapshots, by group; nil for a tombstone

	complete bool // all groups were listed

	unread       error // the first of the groups whose offsets were refused
	untranslated error // the first of the offsets that could not be looked up
	errors       int   // how many of these
	unwritable   error // the first of what no record can hold
}

// round fetches the offsets of all groups, translates them, and writes what changed. What was found before an error is
// written all the same; what fails for one group or one partition is told, and the others go on.
func (k *Keeper) round(ctx context.Context) error {
	began := time.Now()
	complete, err := k.list(ctx, began)
	if err != nil {
		return err
	}
	f := &findings{complete: complete, offsets: map[string]map[stream.Partition]stream.Committed{}}
	if complete {
		k.gone(f)
	}
	err = k.fetch(ctx, f)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	err = first(err, k.write(ctx, f))
	k.news.trouble(ctx, "fetch", stream.Warn, "offsets of some groups could not be fetched; their checkpoints stay as they are", f.unread)
	k.news.trouble(ctx, "translate", stream.Warn, "some offsets could not be translated; the next round tries again", f.untranslated)
	k.news.trouble(ctx, "encode", stream.Warn, "some offsets cannot be written", f.unwritable)
	k.account(ctx, began, err == nil)
	return err
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// fetch asks for the offsets of all groups, some at a time.
func (k *Keeper) fetch(ctx context.Context, f *findings) error {
	for names := range slices.Chunk(slices.Sorted(maps.Keys(k.groups)), batchSize) {
		at := time.Now()
		offsets, refused, err := k.Source.GroupOffsets(ctx, names)
		if err != nil {
			return fmt.Errorf("fetch offsets of groups of %s: %w", k.Flow.Source, err)
		}
		for _, name := range names {
			err := refused[name]
			if k.groups[name].stale = err != nil; err != nil {
				f.unread = first(f.unread, fmt.Errorf("fetch offsets of group %s: %w", name, err))
				continue
			}
			k.take(ctx, f, name, offsets[name], at)
			if f.errors > mostErrors || ctx.Err() != nil {
				return f.untranslated // the target is not there; each further try may take long
			}
		}
	}
	return nil
}

// take translates the offsets of a group, fetched at a time, and adds to f what is new. It keeps the map.
func (k *Keeper) take(ctx context.Context, f *findings, name string, offsets map[stream.Partition]stream.Committed, at time.Time) {
	g, marks := k.groups[name], k.marks[name]
	for p, c := range offsets {
		if c.Offset < 0 { // some clients commit it for none
			delete(offsets, p)
			continue
		}
		now, counts, err := k.place(ctx, g.positions[p], p, c, at)
		if err != nil {
			now, counts = position{remote: now.remote, up: now.up, got: stream.Translated{Offset: -1, Class: stream.Unknown, Reason: err.Error()}}, true
			f.untranslated = first(f.untranslated, fmt.Errorf("translate offset %d of group %s in %s: %w", c.Offset, name, p, err))
			f.errors++
		}
		if !counts {
			delete(offsets, p)
			continue
		}
		g.positions[p] = now
		down, ok := offsetOf(now.got)
		last, known := marks[now.remote]
		if ok && (moreRecent(last, known, now.up, down) || skips(last, known, now.up, now.got)) {
			f.checkpoints = append(f.checkpoints,
				stream.Checkpoint{Group: name, Remote: now.remote, Up: now.up, Down: down, Metadata: c.Metadata, At: at})
		}
	}
	if len(g.positions) > len(offsets) {
		maps.DeleteFunc(g.positions, func(p stream.Partition, _ position) bool { _, there := offsets[p]; return !there })
	}
	k.snapshot(f, name, offsets, at)
}

// place translates one offset; counts says whether the partition does. An exact place rarely changes while the offset
// stays, so it is not looked up each time: where a group lags far behind that would fetch the map from the target again.
func (k *Keeper) place(
	ctx context.Context, was position, p stream.Partition, c stream.Committed, at time.Time,
) (now position, counts bool, err error) {
	now = position{remote: was.remote, up: stream.Upstream(c.Offset), got: was.got, metadata: c.Metadata, looked: was.looked}
	if !was.looked.IsZero() && was.up == now.up && was.got.Class == stream.Exact && at.Sub(was.looked) < relook {
		return now, true, nil
	}
	now.looked = at
	if k.Home != nil {
		now.remote, now.got, counts, err = k.Home(ctx, p, now.up)
		if counts || err != nil {
			return now, counts, err
		}
	}
	if !k.replicates(p.Topic) {
		return position{}, false, nil
	}
	now.remote, now.got, err = k.Translate(ctx, p, now.up)
	return now, true, err
}

// snapshot adds the offsets of a group if they are not those that are stored.
func (k *Keeper) snapshot(f *findings, name string, offsets map[stream.Partition]stream.Committed, at time.Time) {
	was, known := k.stored[name]
	switch {
	case len(offsets) == 0 && known && f.complete: // it has just been listed: it is there and has none
		k.forget(f, name)
	case len(offsets) > 0 && (!known || !maps.Equal(was, offsets)):
		r, err := encodeGroup(stream.GroupOffsets{Group: name, At: at, Offsets: offsets})
		if err != nil {
			f.unwritable = first(f.unwritable, err)
			return
		}
		f.snapshots = append(f.snapshots, r)
		f.offsets[name] = offsets
	}
}

// gone adds tombstones for the stored groups that are not at the source any more, or not looked after.
func (k *Keeper) gone(f *findings) {
	for _, name := range slices.Sorted(maps.Keys(k.stored)) {
		if k.groups[name] == nil {
			k.forget(f, name)
		}
	}
}

func (k *Keeper) forget(f *findings, name string) {
	f.snapshots = append(f.snapshots, stream.Record{Key: tandemKey(stream.KindGroup, name)})
	f.offsets[name] = nil
}

// write appends the offsets of groups, which rest on nothing, and then, once the maps are stored, the checkpoints.
func (k *Keeper) write(ctx context.Context, f *findings) error {
	if len(f.snapshots) > 0 {
		if err := k.Log.Append(ctx, k.TandemTopic, f.snapshots); err != nil {
			return fmt.Errorf("write offsets of %d groups: %w", len(f.snapshots), err)
		}
		for name, offsets := range f.offsets {
			if offsets == nil {
				delete(k.stored, name)
			} else {
				k.stored[name] = offsets
			}
		}
	}
	records, written := make([]stream.Record, 0, len(f.checkpoints)), make([]stream.Checkpoint, 0, len(f.checkpoints))
	for _, c := range f.checkpoints {
		r, err := encodeCheckpoint(c)
		if err != nil {
			f.unwritable = first(f.unwritable, err)
			continue
		}
		records, written = append(records, r), append(written, c)
	}
	if len(records) > 0 {
		if err := k.Durable(ctx); err != nil {
			return fmt.Errorf("store the maps that checkpoints rest on: %w", err)
		}
		if err := k.Log.Append(ctx, k.CheckpointsTopic, records); err != nil {
			return fmt.Errorf("write %d checkpoints: %w", len(records), err)
		}
		k.remember(written)
	}
	return nil
}

// remember moves the marks to checkpoints that are written.
func (k *Keeper) remember(checkpoints []stream.Checkpoint) {
	for _, c := range checkpoints {
		marks := k.marks[c.Group]
		if marks == nil {
			marks = map[stream.Partition]mark{}
			k.marks[c.Group] = marks
		}
		last, known := marks[c.Remote]
		marks[c.Remote] = written(last, known, c.Up, c.Down)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.standing.Written += int64(len(checkpoints))
	k.took(checkpoints)
}

// account counts where the groups stand, and tells of those that became unknown or known again.
func (k *Keeper) account(ctx context.Context, began time.Time, succeeded bool) {
	var s Standing
	var lost, found []string
	var listing []GroupStanding
	reason := ""
	for name, g := range k.groups {
		if len(g.positions) > 0 {
			s.Groups++
		}
		stands, why := standingOf(name, g)
		s.Exact, s.Clamped, s.Ahead, s.Unknown = s.Exact+stands.Exact, s.Clamped+stands.Clamped, s.Ahead+stands.Ahead, s.Unknown+stands.Unknown
		if len(g.positions) > 0 {
			listing = append(listing, stands)
		}
		if stands.Unknown > 0 {
			reason = why
		}
		was := g.unknown
		if stands.Unknown > 0 {
			g.unknown++
		} else {
			g.unknown = 0
		}
		switch {
		case was < patience && g.unknown == patience:
			lost = append(lost, name)
		case was >= patience && g.unknown == 0:
			found = append(found, name)
		}
	}
	k.news.unknown(ctx, lost, found, reason)
	slices.SortFunc(listing, GroupStanding.worst)
	listing = slices.Clone(listing[:min(len(listing), mostListed)])
	k.mu.Lock()
	defer k.mu.Unlock()
	s.Written, s.Committed, s.Round, s.Took = k.standing.Written, k.standing.Committed, k.standing.Round, k.standing.Took
	if succeeded {
		s.Round, s.Took = began, time.Since(began)
	}
	k.standing, k.listing = s, listing
}
