package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	archivedrill "tandem/internal/archive/drill"
	"tandem/internal/stream"
)

const differencesTold = 5 // of one partition; the rest is counted

// compareRestored holds what stands in the scratch topics against what is archived.
func (d *drilling) compareRestored(ctx context.Context) (string, error) {
	var all int64
	for i, t := range d.tried {
		d.show.Show("drill: reading what was restored: %d of %s", i, count(len(d.tried), "partition"))
		ends, failed, err := d.scratch.wire.Offsets(ctx, []stream.Partition{t.into}, stream.Latest)
		if err = errors.Join(err, failed[t.into]); err != nil {
			return "", reason("read scratch topics of "+d.flags.to, err)
		}
		restored, err := reading{wire: d.scratch.wire, partition: t.into}.all(ctx, 0, ends[t.into])
		if err != nil {
			return "", err
		}
		n, differences := archivedrill.Restored(t.archived, restored)
		all += n
		d.tell(fmt.Sprintf("%s, restored into %s", t.Partition, d.flags.to), differences)
	}
	return fmt.Sprintf("%d records are as they were archived", all), nil
}

// compareReplica holds the replica, or the source, against what is archived.
func (d *drilling) compareReplica(ctx context.Context) (string, error) {
	aside := make(map[string][]string) // why a stretch was not compared with the replica
	bySource, none := 0, 0
	for i, t := range d.tried {
		d.show.Show("drill: comparing: %d of %s", i, count(len(d.tried), "partition"))
		side, why := d.replicaSide(ctx, t)
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if side == nil {
			var whySource string
			if side, whySource = d.sourceSide(ctx, t); side == nil {
				none++
				aside[why+"; and the source: "+whySource] = append(aside[why+"; and the source: "+whySource], t.Partition.String())
				continue
			}
			bySource++
			aside[why] = append(aside[why], t.Partition.String())
		}
		err := d.fill(ctx, t, side)
		if errors.Is(err, errNoTopic) {
			if side.cluster == d.source {
				none++
				aside["the source: "+err.Error()] = append(aside["the source: "+err.Error()], t.Partition.String())
				continue
			}
			d.finding(true, t.Partition.String(), fmt.Sprintf("the replica is missing: %s has no %s", d.flow.Target, side.partition))
			continue
		}
		if err != nil {
			return "", err
		}
		d.compare(ctx, t, side)
	}
	for _, why := range slices.Sorted(maps.Keys(aside)) {
		d.finding(false, few(aside[why]), "not compared with the replica: "+why)
	}
	if c := d.counts; c.Compared == 0 && d.failures() == 0 && c.Expired+c.Compacted == 0 {
		d.finding(true, d.flow.String(), "no record could be compared: neither the replica nor the source has them")
	}
	text := fmt.Sprintf("%d records are equal", d.counts.Compared)
	if bySource > 0 {
		text += fmt.Sprintf("; of %s by the source", count(bySource, "partition"))
	}
	if none > 0 {
		text += fmt.Sprintf("; %s not compared", were(none, "partition"))
	}
	return text, nil
}

func (d *drilling) compare(ctx context.Context, t *trial, s *otherSide) {
	counts, differences, lacking := archivedrill.Compare(t.archived, s.Other)
	if len(lacking) > 0 {
		later, whole := d.laterKeys(ctx, t, s, lacking)
		removed, missing := archivedrill.Superseded(t.archived, lacking, later, whole, s.Expected)
		counts.Compacted += removed
		differences = append(differences, missing...)
	}
	d.counts.Add(counts)
	d.tell(fmt.Sprintf("%s, compared with %s of %s", t.Partition, s.partition, s.cluster.alias), differences)
}

// tell notes the first differences of a partition, and how many more there are.
func (d *drilling) tell(where string, all []archivedrill.Difference) {
	for i, x := range all {
		if i == differencesTold {
			d.finding(true, where, fmt.Sprintf("and %d more differences", len(all)-i))
			return
		}
		d.finding(true, where, x.String())
	}
}

// few names the first ones of many.
func few(list []string) string {
	const most = 3
	slices.Sort(list)
	if len(list) <= most {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
}
