package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"tandem/internal/testkit/realkafka"
)

// figure is one thing that was measured once.
type figure struct {
	Section string  `json:"section"`
	What    string  `json:"what"`
	Case    string  `json:"case,omitempty"`
	Unit    string  `json:"unit"`
	Value   float64 `json:"value"`
}

func (f figure) name() string {
	return strings.Join([]string{f.Section, f.What, f.Case, f.Unit}, "\x00")
}

// worst is the largest of the values, but for a rate.
func (f figure) worst(s spread) float64 {
	if strings.HasSuffix(f.Unit, "/s") {
		return s.least
	}
	return s.most
}

// printRecovery prints the table of docs/sizing.md, which is pasted as it is.
func printRecovery(w io.Writer, figures []figure, scale float64) {
	if len(figures) == 0 {
		return
	}
	fmt.Fprintf(w, "\nMeasured on %s, scale %g: one machine with %s; brokers (one a cluster), producer and Tandem share it; Kafka %s.\n\n",
		time.Now().UTC().Format("2006-01-02"), scale, machine(), realkafka.Version)
	fmt.Fprintln(w, "| event | figure | of | median | worst | runs |\n|---|---|---|---|---|---|")
	for _, name := range distinct(figures, figure.name) {
		runs := keep(figures, func(f figure) bool { return f.name() == name })
		f, s := runs[0], spreadOf(runs, func(f figure) float64 { return f.Value })
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %d |\n", f.Section, f.What, f.Case, f.text(s.median), f.text(f.worst(s)), len(runs))
	}
}

// text shows as much of a value as it means.
func (f figure) text(v float64) string {
	switch {
	case f.Unit == "records" || v >= 100:
		return fmt.Sprintf("%.0f %s", v, f.Unit)
	case f.Unit == "s" && v < 1:
		return fmt.Sprintf("%.3f %s", v, f.Unit)
	default:
		return fmt.Sprintf("%.1f %s", v, f.Unit)
	}
}

// machine is what the table says of the one that it was made on.
func machine() string {
	text, _ := os.ReadFile("/proc/cpuinfo") // elsewhere the number of cores has to do
	model := ""
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			model = ", " + strings.TrimSpace(value)
			break
		}
	}
	cores := fmt.Sprintf("%d cores%s", runtime.NumCPU(), model)
	load, err := os.ReadFile("/proc/loadavg")
	if average, _, ok := strings.Cut(string(load), " "); err == nil && ok {
		cores += ", load average at the end " + average
	}
	return cores
}
