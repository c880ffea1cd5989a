package main

import (
	"fmt"
	"io"
	"math"
)

// printArchive prints the rows of the archive's jobs, and how they stand to what is claimed of it.
func (r *report) printArchive(w io.Writer) {
	if len(r.Kept) > 0 {
		fmt.Fprintln(w, "\njob\tcontender\truns\twall s, first record to end\tcpu s\tpeak MB\tstored MB\tobjects\tstart to first record s\tstart to end s")
		columns := []column[kept]{
			{"%.2f", func(k kept) float64 { return orNone(k.Wall) }},
			{"%.2f", func(k kept) float64 { return k.CPU }},
			{"%.0f", func(k kept) float64 { return float64(k.PeakRSS) / 1e6 }},
			{"%.0f", func(k kept) float64 { return orNone(float64(k.Stored) / 1e6) }},
			{"%.0f", func(k kept) float64 { return orNone(float64(k.Objects)) }},
			{"%.2f", func(k kept) float64 { return orNone(k.ToFirst) }},
			{"%.2f", func(k kept) float64 { return orNone(k.Total) }},
		}
		for _, job := range distinct(r.Kept, func(k kept) string { return k.Job }) {
			runs := keep(r.Kept, func(k kept) bool { return k.Job == job })
			printRows(w, job, runs, func(k kept) string { return k.Contender }, columns)
		}
	}
	if len(r.Costs) > 0 {
		fmt.Fprintln(w, "\njob\tcontender\truns\tpartitions\tobjects\tstored MB\trecords\ts\tcpu %\tpeak MB")
		columns := []column[costs]{
			{"%.0f", func(c costs) float64 { return float64(c.Partitions) }},
			{"%.0f", func(c costs) float64 { return float64(c.Objects) }},
			{"%.2f", func(c costs) float64 { return float64(c.Bytes) / 1e6 }},
			{"%.0f", func(c costs) float64 { return float64(c.Records) }},
			{"%.0f", func(c costs) float64 { return c.Seconds }},
			{"%.1f", func(c costs) float64 { return 100 * c.CPU }},
			{"%.0f", func(c costs) float64 { return float64(c.PeakRSS) / 1e6 }},
		}
		printRows(w, costJob, r.Costs, func(c costs) string { return c.Contender }, columns)
	}
	claims := r.claims()
	if len(claims) > 0 {
		fmt.Fprintln(w, "\nclaim\tlimit\tseen\t")
	}
	for _, c := range claims {
		how := "kept"
		if !c.kept() {
			how = "NOT KEPT"
		}
		fmt.Fprintf(w, "%s\t%s\t%.2f\t%s\n", c.What, c.bound(), c.Seen, how)
	}
}

// orNone: zero stands for what a job does not measure.
func orNone(x float64) float64 {
	if x == 0 {
		return math.NaN()
	}
	return x
}

// claim is a bound that the archive is said to keep to, and how it stood: medians of one run's rows.
type claim struct {
	What  string  `json:"claim"`
	Limit float64 `json:"limit"`
	Least bool    `json:"at_least"` // otherwise at most
	Seen  float64 `json:"seen"`
}

func (c claim) kept() bool {
	if c.Least {
		return c.Seen >= c.Limit
	}
	return c.Seen <= c.Limit
}

func (c claim) bound() string {
	if c.Least {
		return fmt.Sprintf("at least %.4g", c.Limit)
	}
	return fmt.Sprintf("at most %.4g", c.Limit)
}

// claims are those for which there are rows.
func (r *report) claims() []claim {
	cpu := func(k kept) float64 { return k.CPU }
	wall := func(k kept) float64 { return k.Wall }
	peak := func(k kept) float64 { return float64(k.PeakRSS) / 1e6 }
	size := func(k kept) float64 { return float64(k.Stored) / 1e6 }
	rate := func(k kept) float64 { return float64(k.Stored) / 1e6 / k.CPU }
	var all []claim
	for _, tee := range []string{teeName, teeName + "-s3"} {
		all = append(all,
			claim{What: "cpu of " + tee + " / mirror alone", Limit: 1.6, Seen: r.seen(archiveJob, tee, cpu) / r.seen(archiveJob, mirrorName, cpu)},
			claim{What: "time of " + tee + " / mirror alone", Limit: 1.15, Seen: r.seen(archiveJob, tee, wall) / r.seen(archiveJob, mirrorName, wall)},
			claim{What: "cpu of " + tee + " / peer's backup", Limit: 1. / 3, Seen: r.seen(archiveJob, tee, cpu) / r.seen(archiveJob, peerName, cpu)},
			claim{What: "peak MB of " + tee, Limit: 250, Seen: r.seen(archiveJob, tee, peak)})
	}
	all = append(all,
		claim{What: "rate of restore / mirror", Limit: .8, Least: true, Seen: r.seen(restoreJob, mirrorName, wall) / r.seen(restoreJob, ownName, wall)},
		claim{What: "cpu of restore / peer's restore", Limit: .25, Seen: r.seen(restoreJob, ownName, cpu) / r.seen(restoreJob, peerName, cpu)},
		claim{What: "peak MB of restore", Limit: 250, Seen: r.seen(restoreJob, ownName, peak)},
		claim{What: "verify --level chunk, MB/s a core", Limit: 500, Least: true, Seen: r.seen(verifyJob, verifyName("chunk"), rate)},
		claim{What: "MB of L, compacted", Limit: 250, Seen: r.seen(spaceJob, compactName, size)},
		// What 250 MB were beside the peer's backup of the records that the figure was once set for; these have less to compress.
		claim{What: "size of L, compacted / peer's backup", Limit: 1.03, Seen: r.seen(spaceJob, compactName, size) / r.seen(archiveJob, peerName, size)})
	if len(r.Costs) > 0 {
		objects := spreadOf(r.Costs, func(c costs) float64 { return float64(c.Objects) })
		all = append(all, claim{What: "objects of a minute's trickle", Limit: 8, Seen: objects.most})
	}
	return keep(all, func(c claim) bool { return !math.IsNaN(c.Seen) })
}

// seen is the median of a contender's rows, NaN without any.
func (r *report) seen(job, contender string, value func(kept) float64) float64 {
	runs := keep(r.Kept, func(k kept) bool { return k.Job == job && k.Contender == contender })
	if len(runs) == 0 {
		return math.NaN()
	}
	return spreadOf(runs, value).median
}
