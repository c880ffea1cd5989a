package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"text/tabwriter"

	"tandem/internal/testkit/realkafka"
)

// report gathers all runs.
type report struct {
	Copies []copied
	Delays []delayed
	Many   []spreadOut
	Kept   []kept
	Costs  []costs

	Recovery []figure
	scale    float64
}

// spread is the smallest, middle and largest of some runs' values.
type spread struct{ least, median, most float64 }

func spreadOf[T any](runs []T, value func(T) float64) spread {
	var v []float64
	for _, r := range runs {
		v = append(v, value(r))
	}
	slices.Sort(v)
	n := len(v)
	return spread{least: v[0], median: (v[(n-1)/2] + v[n/2]) / 2, most: v[n-1]}
}

// text shows the median, the range where there is one, and the ratio to Tandem's median where there is that; for what was not measured
// a dash.
func (s spread) text(format string, reference *spread) string {
	if math.IsNaN(s.median) {
		return "-"
	}
	text := fmt.Sprintf(format, s.median)
	if s.least != s.most {
		text += fmt.Sprintf(" ("+format+"-"+format+")", s.least, s.most)
	}
	if reference != nil && reference.median > 0 {
		text += fmt.Sprintf("  %.1fx", s.median/reference.median)
	}
	return text
}

func (r *report) print(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(r.Copies) > 0 {
		fmt.Fprintln(table, "job\tcontender\truns\twall s, first record to end\tcpu s\tpeak MB\tstart to first record s")
		columns := []column[copied]{
			{"%.2f", func(c copied) float64 { return c.Wall }},
			{"%.2f", func(c copied) float64 { return c.CPU }},
			{"%.0f", func(c copied) float64 { return float64(c.PeakRSS) / 1e6 }},
			{"%.2f", func(c copied) float64 { return c.ToFirst }},
		}
		for _, job := range distinct(r.Copies, func(c copied) string { return c.Job }) {
			runs := keep(r.Copies, func(c copied) bool { return c.Job == job })
			printRows(table, job, runs, func(c copied) string { return c.Contender }, columns)
		}
	}
	if len(r.Delays) > 0 {
		fmt.Fprintln(table, "\njob\tcontender\truns\tp50 ms\tp95 ms\tp99 ms\tmax ms\tcpu s")
		columns := []column[delayed]{
			{"%.1f", func(d delayed) float64 { return d.P50 }},
			{"%.1f", func(d delayed) float64 { return d.P95 }},
			{"%.1f", func(d delayed) float64 { return d.P99 }},
			{"%.1f", func(d delayed) float64 { return d.Max }},
			{"%.2f", func(d delayed) float64 { return d.CPU }},
		}
		printRows(table, latencyJob, r.Delays, func(d delayed) string { return d.Contender }, columns)
	}
	if len(r.Many) > 0 {
		fmt.Fprintln(table, "\njob\tcontender\truns\ttopics created on the source s\tstart to all caught up s\tcpu s of that\tsecond start to that s\tidle cpu %\ttrickle cpu %\tpeak MB")
		columns := []column[spreadOut]{
			{"%.2f", func(m spreadOut) float64 { return m.Creating }},
			{"%.2f", func(m spreadOut) float64 { return m.ToAll }},
			{"%.2f", func(m spreadOut) float64 { return m.Start }},
			{"%.2f", func(m spreadOut) float64 { return m.Again }},
			{"%.1f", func(m spreadOut) float64 { return 100 * m.Idle }},
			{"%.1f", func(m spreadOut) float64 { return 100 * m.Trickle }},
			{"%.0f", func(m spreadOut) float64 { return float64(m.PeakRSS) / 1e6 }},
		}
		printRows(table, partitionsJob, r.Many, func(m spreadOut) string { return m.Contender }, columns)
	}
	r.printArchive(table)
	if err := table.Flush(); err != nil {
		return err
	}
	printRecovery(w, r.Recovery, r.scale)
	return nil
}

type column[T any] struct {
	format string
	value  func(T) float64
}

// printRows prints a row for each contender, with ratios to Tandem's where it took part.
func printRows[T any](w io.Writer, job string, runs []T, contender func(T) string, columns []column[T]) {
	tandem := keep(runs, func(r T) bool { return contender(r) == "tandem" })
	for _, name := range distinct(runs, contender) {
		mine := keep(runs, func(r T) bool { return contender(r) == name })
		fmt.Fprintf(w, "%s\t%s\t%d", job, name, len(mine))
		for _, c := range columns {
			var reference *spread
			if name != "tandem" && len(tandem) > 0 {
				s := spreadOf(tandem, c.value)
				reference = &s
			}
			fmt.Fprintf(w, "\t%s", spreadOf(mine, c.value).text(c.format, reference))
		}
		fmt.Fprintln(w)
	}
}

func keep[T any](list []T, yes func(T) bool) []T {
	var kept []T
	for _, x := range list {
		if yes(x) {
			kept = append(kept, x)
		}
	}
	return kept
}

// distinct is the values in the order of their first appearance.
func distinct[T any](list []T, value func(T) string) []string {
	var seen []string
	for _, x := range list {
		if v := value(x); !slices.Contains(seen, v) {
			seen = append(seen, v)
		}
	}
	return seen
}

func (r *report) writeJSON(file string, scale float64) error {
	text, err := json.MarshalIndent(map[string]any{
		"kafka": realkafka.Version, "go": runtime.Version(), "cpus": runtime.NumCPU(), "scale": scale,
		"copies": r.Copies, "latency": r.Delays, "partitions": r.Many,
		"archive": r.Kept, "cost": r.Costs, "claims": r.claims(), "recovery": r.Recovery,
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}
