package doctor

import (
	"fmt"
	"io"
	"strings"
)

// Checked says what was looked at, for people.
type Checked struct {
	Clusters []CheckedCluster `json:"clusters"`
	Flows    []CheckedFlow    `json:"flows"`
}

// CheckedCluster is a cluster that was looked at.
type CheckedCluster struct {
	Alias   string  `json:"alias"`
	Reached bool    `json:"reached"`
	ID      string  `json:"id,omitempty"`
	Via     string  `json:"via,omitempty"`
	Seconds float64 `json:"seconds"`
	Brokers int     `json:"brokers"`
	Version string  `json:"version,omitempty"`
	Topics  int     `json:"topics"`
}

// CheckedFlow is a flow that was looked at.
type CheckedFlow struct {
	Flow   string `json:"flow"`
	Topics int    `json:"topics"` // selected
	Rights int    `json:"rights"` // needs

	Complete bool `json:"complete"` // its clusters answer
}

// Summary says what was looked at.
func (f *Facts) Summary() Checked {
	c := Checked{Clusters: []CheckedCluster{}, Flows: []CheckedFlow{}}
	for _, k := range f.Clusters {
		var versions []string
		for _, b := range k.Brokers {
			if b.Version != "" {
				versions = union(versions, b.Version)
			}
		}
		c.Clusters = append(c.Clusters, CheckedCluster{Alias: k.Alias, Reached: k.reached(), ID: k.ID, Via: k.Via, Seconds: k.Took.Seconds(),
			Brokers: len(k.Brokers), Version: strings.Join(versions, ", "), Topics: len(k.Topics)})
	}
	for _, w := range f.Flows {
		source, target := f.cluster(w.Source), f.cluster(w.Target)
		c.Flows = append(c.Flows, CheckedFlow{Flow: w.Flow.String(), Topics: len(w.Selected(source.Topics)), Rights: len(w.Needs(source.Topics, source.Groups)),
			Complete: (source.reached() || !w.Replicates && !w.Archives) && (target.reached() || !w.Replicates && !w.Heartbeats)})
	}
	return c
}

// Text writes findings for people, and what was looked at.
func Text(w io.Writer, all []Finding, c Checked) {
	for _, f := range all {
		fmt.Fprintf(w, "%-8s %s\n", strings.ToUpper(string(f.Severity)), f.line())
		if f.Do != "" {
			fmt.Fprintf(w, "         %s", f.Do)
			if len(f.Run) > 0 {
				fmt.Fprint(w, ":")
			}
			fmt.Fprintln(w)
		}
		for _, r := range f.Run {
			fmt.Fprintf(w, "           %s\n", r)
		}
	}
	if len(all) > 0 && len(c.Clusters) > 0 {
		fmt.Fprintln(w)
	}
	for _, k := range c.Clusters {
		if k.Reached {
			fmt.Fprintf(w, "%s: cluster %s, %s of %s, answered in %.2f s by %s, %s visible\n", k.Alias, k.ID, counted(k.Brokers, "broker"), k.Version, k.Seconds, k.Via, counted(k.Topics, "topic"))
		}
	}
	for _, k := range c.Flows {
		if k.Complete {
			fmt.Fprintf(w, "%s: %s, %s needed\n", k.Flow, counted(k.Topics, "topic"), counted(k.Rights, "right"))
		} else {
			fmt.Fprintf(w, "%s: was not looked at in full, since not all of its clusters could be asked\n", k.Flow)
		}
	}
	if len(all) == 0 {
		fmt.Fprintf(w, "all is well: %s and %s were looked at; nothing was changed\n", counted(len(c.Clusters), "cluster"), counted(len(c.Flows), "flow"))
		return
	}
	fmt.Fprintf(w, "%s, %s, %s; nothing was changed\n", counted(Count(all, Blocker), "blocker"), counted(Count(all, Warning), "warning"), counted(Count(all, Note), "note"))
}

// line is the place of a finding and what was found.
func (f Finding) line() string {
	var place []string
	switch {
	case f.Line > 0 && f.Key != "":
		place = append(place, fmt.Sprintf("line %d, %s", f.Line, f.Key))
	case f.Line > 0:
		place = append(place, fmt.Sprintf("line %d", f.Line))
	case f.Check == "file" && f.Key != "":
		place = append(place, f.Key)
	}
	for _, p := range []string{f.Flow, f.Cluster} {
		if p != "" {
			place = append(place, p)
		}
	}
	if len(place) == 0 {
		return f.Check + ": " + f.What
	}
	return f.Check + ", " + strings.Join(place, ", ") + ": " + f.What
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
