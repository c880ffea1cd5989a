package metrics

import (
	"cmp"
	"slices"
	"strconv"
)

func (w *writer) process(s Snapshot) {
	if s.Build != (Build{}) {
		w.set(buildInfo, 1, s.Build.Version, s.Build.Instance)
	}
	w.flag(ready, s.Ready)
	w.count(memoryUsed, s.MemoryUsed)
	w.count(memoryLimit, s.MemoryLimit)
}

func (w *writer) archives(all []Archive) {
	for _, a := range all {
		w.flag(archiveUp, a.Up, a.Flow)
		w.set(archiveAge, a.Age.Seconds(), a.Flow)
		w.set(archiveBehind, float64(a.Behind), a.Flow)
		w.count(archiveBundles, a.Bundles, a.Flow)
		w.count(archiveBytes, a.Bytes, a.Flow)
		w.count(archiveGaps, a.Gaps, a.Flow)
		w.count(archiveMemory, a.Memory, a.Flow)
		each(w, archiveErrors, nil, a.Errors, a.Flow)
		w.moment(archiveDurable, a.Durable, a.Flow)
		if !a.Listed.IsZero() {
			w.moment(archiveListed, a.Listed, a.Flow)
			w.moment(archiveOldest, a.Oldest, a.Flow)
			w.count(archiveObjects, a.Objects, a.Flow)
			w.count(archiveStored, a.Stored, a.Flow)
			w.set(archiveHoles, float64(a.Holes), a.Flow)
		}
		// The last of each level.
		for _, v := range first(a.Verified, func(a, b Verified) int {
			return cmp.Or(cmp.Compare(a.Level, b.Level), b.At.Compare(a.At))
		}, func(a, b Verified) bool { return a.Level == b.Level }) {
			if !v.At.IsZero() {
				w.moment(archiveVerified, v.At, a.Flow, v.Level)
				w.flag(archivePassed, v.Passed, a.Flow, v.Level)
			}
		}
	}
}

func (w *writer) drills(all []Drill) {
	for _, d := range first(all, func(a, b Drill) int {
		return cmp.Or(cmp.Compare(a.Flow, b.Flow), cmp.Compare(a.Kind, b.Kind), b.At.Compare(a.At))
	}, func(a, b Drill) bool { return a.Flow == b.Flow && a.Kind == b.Kind }) {
		w.moment(drillDue, d.Due, d.Flow, d.Kind)
		if !d.At.IsZero() {
			w.moment(drillAt, d.At, d.Flow, d.Kind)
			w.flag(drillPassed, d.Passed, d.Flow, d.Kind)
			w.set(drillTook, d.Took.Seconds(), d.Flow, d.Kind)
		}
	}
}

// certificates come often with the same names: an authority has one before the other ends, and both are in the file.
func (w *writer) certificates(all []Certificate) {
	same := func(a, b Certificate) bool {
		return a.Cluster == b.Cluster && a.Subject == b.Subject && a.Trusted == b.Trusted
	}
	all = slices.Clone(all)
	for i := range all {
		all[i].Subject = legible(all[i].Subject)
	}
	for _, c := range first(all, func(a, b Certificate) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Subject, b.Subject),
			cmp.Compare(strconv.FormatBool(a.Trusted), strconv.FormatBool(b.Trusted)), a.Ends.Compare(b.Ends))
	}, same) {
		w.moment(certificate, c.Ends, c.Cluster, c.Subject, strconv.FormatBool(c.Trusted))
	}
}

// first are the first of those that are the same, in order: two series with the same labels would cost the whole scrape. The list is
// left as it is.
func first[T any](list []T, compare func(a, b T) int, same func(a, b T) bool) []T {
	list = slices.Clone(list)
	slices.SortStableFunc(list, compare)
	return slices.CompactFunc(list, same)
}
