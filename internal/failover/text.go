package failover

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Text writes the plan for people: tables first, since a terminal shows the end, and at the end what it comes to.
func (p Plan) Text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "plan %s: %s %s -> %s, %s\n", p.ID, p.Kind, p.From.Alias, p.To.Alias, p.Mode)
	fmt.Fprintf(&b, "made %s from %s\n", p.Created.Format(time.RFC3339), p.Config)
	fmt.Fprintf(&b, "%s\n%s\n", p.From, p.To)
	if p.Align != nil {
		fmt.Fprintf(&b, "aligned: no position is later than %s\n", p.Align.Format(time.RFC3339Nano))
	}
	p.partitionTable(&b)
	p.divergenceTable(&b)
	p.groupTable(&b)
	p.summary(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

// String is a line on a cluster.
func (s Side) String() string {
	if s.Live {
		return fmt.Sprintf("%s: live, cluster id %s", s.Alias, s.ClusterID)
	}
	return fmt.Sprintf("%s: DOES NOT ANSWER (%s); what is shown of it is the last that was seen", s.Alias, s.Away)
}

func table(b *strings.Builder, head string, rows func(row func(cells ...any))) {
	b.WriteByte('\n')
	w := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, strings.ReplaceAll(head, "|", "\t"))
	rows(func(cells ...any) {
		for i, c := range cells {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, c)
		}
		fmt.Fprintln(w)
	})
	_ = w.Flush() // a strings.Builder takes everything
}

func (p Plan) partitionTable(b *strings.Builder) { partitionTable(b, p.Partitions, p.Created, "LOST") }

func partitionTable(b *strings.Builder, partitions []Partition, now time.Time, loss string) {
	if len(partitions) == 0 {
		return
	}
	table(b, "PARTITION|THERE|SOURCE END|SEEN|MIRRORED|"+loss+"|SECONDS", func(row func(...any)) {
		for _, x := range partitions {
			if x.Way == Home {
				row(x.Source(), x.RemotePartition(), "-", "-", "-", "-", "-")
				continue
			}
			row(x.Source(), x.RemotePartition(), number(x.SourceEnd), seen(x.Seen, now), number(x.Mirrored), lost(x), seconds(x.LostSeconds))
		}
	})
}

func lost(x Partition) string {
	if x.SourceEnd < 0 {
		return "?"
	}
	return fmt.Sprint(x.Lost)
}

func number(n int64) string {
	if n < 0 {
		return "?"
	}
	return fmt.Sprint(n)
}

func seconds(s float64) string {
	if s < 0 {
		return "?"
	}
	return fmt.Sprint(s)
}

// seen is a time and how long ago it was.
func seen(at *time.Time, now time.Time) string {
	if at == nil {
		return "never"
	}
	if age := now.Sub(*at).Round(time.Second); age >= time.Second {
		return fmt.Sprintf("%s, %s old", at.UTC().Format(time.RFC3339), age)
	}
	return "now"
}

func (p Plan) divergenceTable(b *strings.Builder) {
	if len(p.Divergence) == 0 {
		return
	}
	fmt.Fprintf(b, "\nonly on %s, never on %s; left as it is, and read by groups that return before it:\n", p.To.Alias, p.From.Alias)
	table(b, "PARTITION|OFFSETS|RECORDS|FIRST|LAST", func(row func(...any)) {
		for _, d := range p.Divergence {
			row(fmt.Sprintf("%s/%d", d.Topic, d.Number), fmt.Sprintf("%d to %d", d.From, d.To-1), d.Records, stamp(d.First), stamp(d.Last))
		}
	})
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

func (p Plan) groupTable(b *strings.Builder) {
	if len(p.Groups) == 0 {
		return
	}
	head := "GROUP|PARTITION|AT|THERE|OLD|NEW|CLASS|AGAIN|SKIPPED|WHY"
	table(b, head, func(row func(...any)) {
		for _, g := range p.Groups {
			for _, x := range g.Positions {
				old := "none"
				if x.Old != nil {
					old = fmt.Sprint(*x.Old)
				}
				row(g.Group, x.SourcePartition(), x.Source, x.RemotePartition(), old, x.New, x.Class, x.Again, x.Skipped, cmp.Or(x.Reason, "-"))
			}
		}
	})
}

// summary says what the plan comes to and what to do now.
func (p Plan) summary(b *strings.Builder) {
	classes := make(map[string]int)
	var again, gone int64
	positions := 0
	for _, g := range p.Groups {
		for _, x := range g.Positions {
			positions++
			classes[x.Class]++
			again += x.Again
		}
	}
	partitions := 0
	for _, x := range p.Partitions {
		if x.Lost > 0 {
			partitions++
			gone += x.Lost
		}
	}
	b.WriteByte('\n')
	for _, w := range p.Warnings {
		fmt.Fprintf(b, "warning: %s\n", w)
	}
	for _, x := range p.Blockers {
		fmt.Fprintf(b, "BLOCKED: %s\n", x.What)
	}
	fmt.Fprintf(b, "%d groups, %d positions: %d exact, %d clamped, %d ahead; at most %d records are read again, 0 are skipped\n",
		len(p.Groups), positions, classes["exact"], classes["clamped"], classes["ahead"], again)
	what := "not on " + p.To.Alias + " yet"
	if p.Mode == Disaster {
		what = "lost, as far as was seen"
	}
	fmt.Fprintf(b, "%s: %d records, in %d partitions\n", what, gone, partitions)
	if since := p.lastSeen(); p.Mode == Disaster && !since.IsZero() {
		fmt.Fprintf(b, "read again beside that: what groups have handled after their offsets were last seen, at %s\n", since.UTC().Format(time.RFC3339))
	}
	if p.Blocked() {
		fmt.Fprintf(b, "not to be applied: %d blockers\n", len(p.Blockers))
	}
}

const someOver = 10 // of the failovers that are over

// Text writes the status for people.
func (s Status) Text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "flow %s at %s\n%s\n%s\n", s.Flow, s.At.Format(time.RFC3339), s.From, s.To)
	for _, f := range s.InForce {
		fmt.Fprintf(&b, "FAILOVER %s %s at %s by %s: %s, %d groups\n", f.Plan, f.State, f.At.UTC().Format(time.RFC3339), f.By, f.Mode, f.Groups)
	}
	if len(s.InForce) == 0 {
		b.WriteString("no failover is in force\n")
	}
	if older := len(s.Over) - someOver; older > 0 {
		fmt.Fprintf(&b, "earlier: %d more, in --json\n", older)
	}
	for _, f := range s.Over[max(0, len(s.Over)-someOver):] {
		when := "earlier:"
		if f.State == Applying { // a way back
			when = "NOT FINISHED:"
		}
		fmt.Fprintf(&b, "%s %s, %s %s -> %s, %s at %s by %s\n", when, f.Plan, f.Kind, f.From, f.To, f.State, f.At.UTC().Format(time.RFC3339), f.By)
	}
	partitionTable(&b, s.Partitions, s.At, "LAG")
	if len(s.Groups) > 0 {
		table(&b, "GROUP|SEEN|EXACT|CLAMPED|AHEAD|UNKNOWN|AGAIN", func(row func(...any)) {
			for _, g := range s.Groups {
				row(g.Group, seen(&g.Seen, s.At), g.Exact, g.Clamped, g.Ahead, g.Unknown, g.Again)
			}
		})
		s.inexact(&b)
	}
	b.WriteByte('\n')
	for _, x := range s.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", x)
	}
	fmt.Fprintf(&b, "lag: %d records, %s seconds\n", s.Lag, seconds(s.LagSeconds))
	_, err := io.WriteString(w, b.String())
	return err
}

func (s Status) inexact(b *strings.Builder) {
	n := 0
	for _, g := range s.Groups {
		n += len(g.Inexact)
	}
	if n == 0 {
		return
	}
	table(b, "GROUP|PARTITION|AT|CLASS|AGAIN|WHY", func(row func(...any)) {
		for _, g := range s.Groups {
			for _, x := range g.Inexact {
				row(g.Group, fmt.Sprintf("%s/%d", x.Topic, x.Number), x.Source, x.Class, x.Again, cmp.Or(x.Reason, "-"))
			}
		}
	})
}

// lastSeen is when the offsets of that group were seen of which that is longest ago.
func (p Plan) lastSeen() (oldest time.Time) {
	for _, g := range p.Groups {
		if oldest.IsZero() || g.Seen.Before(oldest) {
			oldest = g.Seen
		}
	}
	return oldest
}
