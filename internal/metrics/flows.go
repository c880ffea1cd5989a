package metrics

import (
	"cmp"
	"slices"
	"strconv"
	"time"
)

// shownFlow is a flow with those of its partitions that are shown one by one.
type shownFlow struct {
	Flow
	shown  []*Partition
	hidden int
}

// choose takes the first partitions by flow, topic and number, at most so many over all flows. Flows come back by name. What the snapshot
// says is left as it is; a partition that it tells twice is shown once.
func choose(flows []Flow, most int) []shownFlow {
	all := make([]shownFlow, 0, len(flows))
	for i := range flows {
		all = append(all, shownFlow{Flow: flows[i]})
	}
	slices.SortStableFunc(all, func(a, b shownFlow) int { return cmp.Compare(a.Name, b.Name) })
	for i := range all {
		f := &all[i]
		f.shown = make([]*Partition, len(f.Partitions))
		for j := range f.Partitions {
			f.shown[j] = &f.Partitions[j]
		}
		slices.SortFunc(f.shown, (*Partition).compare)
		f.shown = slices.CompactFunc(f.shown, func(a, b *Partition) bool { return a.compare(b) == 0 })
		if len(f.shown) > most {
			f.shown, f.hidden = f.shown[:most], len(f.shown)-most
		}
		most -= len(f.shown)
	}
	return all
}

func (p *Partition) compare(other *Partition) int {
	return cmp.Or(cmp.Compare(p.Topic, other.Topic), cmp.Compare(p.Number, other.Number))
}

// unnamed stands for the cause of a partition that stands still for none that is known.
const unnamed = "other"

// flow writes all of a flow but MM2's names.
func (w *writer) flow(f shownFlow, o Options) {
	w.flag(flowUp, f.Up, f.Name)
	if f.Members > 0 {
		w.set(flowMembers, float64(f.Members), f.Name)
		w.flag(flowDiffers, f.Differ, f.Name)
	}
	w.count(recordsTotal, f.Records, f.Name)
	w.count(bytesTotal, f.Bytes, f.Name)
	w.count(refusedTotal, f.Refused, f.Name)
	each(w, formRecords, nil, f.Forms, f.Name)
	each(w, formBytes, nil, f.FormBytes, f.Name)
	each(w, formBatches, nil, f.FormBatches, f.Name)
	each(w, troublesTotal, o.Causes, f.Troubles, f.Name)
	w.since(heartbeatAge, f.Heartbeat, f.Name)
	w.count(mapBytes, f.MapBytes, f.Name)
	w.count(mapContradicts, f.MapInconsistent, f.Name)
	if f.Groups != nil {
		w.groups(f.Groups, f.Name)
	}
	if f.Up || len(f.Partitions) > 0 {
		w.sums(f, o)
	}
	for _, p := range f.shown {
		labels := partitionRecords.pairs(f.Name, p.Topic, strconv.Itoa(int(p.Number)))
		w.put(partitionRecords, float64(p.Lag), labels)
		w.put(partitionSeconds, p.Behind.Seconds(), labels)
	}
}

// sums writes what is said of all partitions of a flow together.
func (w *writer) sums(f shownFlow, o Options) {
	states, causes := make(map[string]int), make(map[string]int)
	stand, lag := 0, int64(0)
	var behind, unsure time.Duration
	for i := range f.Partitions {
		p := &f.Partitions[i]
		states[p.State]++
		lag += p.Lag
		behind = max(behind, p.Behind)
		unsure = max(unsure, p.unsure(w.now))
		if p.Stands {
			stand++
		}
		switch {
		case p.Cause != "":
			causes[p.Cause]++
		case p.Stands:
			causes[unnamed]++
		}
	}
	each(w, partitions, o.States, states, f.Name)
	each(w, troubled, o.Causes, causes, f.Name)
	w.set(standing, float64(stand), f.Name)
	w.set(notShown, float64(f.hidden), f.Name)
	w.count(lagRecords, lag, f.Name)
	w.set(lagSeconds, behind.Seconds(), f.Name)
	w.count(rpoRecords, lag, f.Name)
	w.set(rpoSeconds, unsure.Seconds(), f.Name)
}

// unsure is for how long the partition has not been known to be all on the target: at least as long as a known record waits.
func (p *Partition) unsure(now time.Time) time.Duration {
	if p.Sure.IsZero() {
		return p.Behind
	}
	return max(p.Behind, now.Sub(p.Sure))
}

func (w *writer) groups(g *Groups, flow string) {
	w.count(checkpointsWritten, g.Written, flow)
	w.count(syncedOffsets, g.Synced, flow)
	w.set(groups, float64(g.Number), flow)
	each(w, positions, nil, g.Positions, flow)
	w.since(checkpointsAge, g.Round, flow)
	if !g.Round.IsZero() {
		w.set(checkpointsRound, g.Took.Seconds(), flow)
	}
}
