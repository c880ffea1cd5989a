package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"tandem/internal/cli"
	"tandem/internal/drill"
	"tandem/internal/kafka"
	"tandem/internal/stream"
)

// tell ends the report, keeps it and its outcome, and prints it.
func (r *rehearsal) tell(ctx context.Context, stdout, stderr io.Writer) error {
	r.report.Ended = time.Now().UTC()
	failed := r.fatal()
	r.report.Passed = failed == 0
	r.report.Summary = r.verdict(failed)
	if err := r.keep(ctx); err != nil {
		fmt.Fprintf(stderr, "failover: warning: the outcome is not kept for the status page: %s\n", kafka.Explain(err))
	}
	var page string
	if r.o.reports != "" {
		var err error
		if _, page, err = drill.Write(r.o.reports, r.report); err != nil {
			fmt.Fprintf(stderr, "failover: warning: %v\n", err)
		}
	}
	if r.o.asJSON {
		data, err := r.report.Encode()
		if err == nil {
			_, err = stdout.Write(data)
		}
		if err != nil {
			return err
		}
	} else if err := r.print(stdout, page); err != nil {
		return err
	}
	if !r.report.Passed {
		return refused{fmt.Errorf("the drill of %s failed: %s", r.flow.Flow, r.report.Summary)}
	}
	return nil
}

func (r *rehearsal) figure(name string) float64 {
	for _, f := range r.report.Figures {
		if f.Name == name {
			return f.Value
		}
	}
	return 0
}

// verdict is the drill in a line.
func (r *rehearsal) verdict(failed int) string {
	if failed > 0 {
		for _, f := range r.report.Findings {
			if !f.Fatal {
				continue
			}
			first := f.What
			if f.Where != "" {
				first = f.Where + ": " + f.What
			}
			if failed > 1 {
				first += fmt.Sprintf(" (and %d more)", failed-1)
			}
			return first
		}
	}
	said := fmt.Sprintf("%d positions in %s went over exactly, %d records are the same on both clusters",
		int(r.figure("positions that go on at the exact record")), cli.Counted(len(r.spots), "partition"), int(r.figure("records that are the same on both")))
	if groups := int(r.figure("groups that a switch would move")); groups > 0 {
		said += fmt.Sprintf("; a switch of %s would take about %.1f s", cli.Counted(groups, "group"), r.figure("time to plan and apply for them (RTO, about)"))
	}
	return said
}

// keep writes the outcome to the flow's topic.
func (r *rehearsal) keep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerWait)
	defer cancel()
	key, value := r.report.Outcome().Record()
	out := &notes{admin: r.toAdmin, flow: r.flow}
	return out.Write(ctx, []stream.Record{{Key: key, Value: value}})
}

func (r *rehearsal) print(w io.Writer, page string) error {
	p := r.report
	fmt.Fprintf(w, "failover drill %s at %s, seed %d\n\n", p.FlowName, p.Started.Format(time.RFC3339), r.o.seed)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "STEP\tSECONDS\tWENT\tDETAIL")
	for _, s := range p.Steps {
		went := "well"
		if !s.Passed {
			went = "WRONG"
		}
		fmt.Fprintf(table, "%s\t%.2f\t%s\t%s\n", s.Name, s.Seconds, went, s.Detail)
	}
	fmt.Fprintln(table, "\nMEASURED\tVALUE\tUNIT\tHOW")
	for _, f := range p.Figures {
		fmt.Fprintf(table, "%s\t%.6g\t%s\t%s\n", f.Name, f.Value, f.Unit, f.Note)
	}
	err := table.Flush()
	if len(p.Findings) > 0 {
		fmt.Fprintln(w)
	}
	for _, f := range p.Findings {
		what := "note: "
		if f.Fatal {
			what = "WRONG: "
		}
		if f.Where != "" {
			what += f.Where + ": "
		}
		fmt.Fprintln(w, what+f.What)
	}
	for _, left := range p.Remaining {
		fmt.Fprintln(w, "LEFT BEHIND, to be taken away by:", left)
	}
	if page != "" {
		fmt.Fprintf(w, "\nreport: %s\n", page)
	}
	if p.Passed {
		fmt.Fprintf(w, "\nPASSED in %s: %s\n", p.Took(), p.Summary)
	} else {
		fmt.Fprintf(w, "\nFAILED after %s: %s\n", p.Took(), p.Summary)
	}
	return err
}
