package bundle

import (
	"fmt"
	"strings"
	"time"

	"tandem/internal/stream"
)

// The forms in which commands and errors show things. What a producer or a user chose is quoted where it is not a plain word.

func (t Topic) String() string {
	if t.Incarnation > 0 {
		return fmt.Sprintf("%s#%d", word(t.Name), t.Incarnation)
	}
	return word(t.Name)
}

// span names a stretch of a partition: "orders/3 offsets 100 to 199".
func span(t Topic, partition int32, first, next stream.Upstream) string {
	if next <= first {
		return fmt.Sprintf("%s/%d, no offsets at %d", t, partition, first)
	}
	return fmt.Sprintf("%s/%d offsets %d to %d", t, partition, first, next-1)
}

func (h Header) String() string {
	s := fmt.Sprintf("%s bundle %d of writer %s, generation %d, created %s", word(h.Flow.String()), h.Sequence, h.Writer, h.Generation, clock(h.CreatedAt))
	if h.ClusterID != "" {
		s += ", cluster " + word(h.ClusterID)
	}
	if h.Encrypted {
		s += ", key " + word(h.KeyID)
	}
	return s
}

func (e Entry) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d batches", span(e.Topic, e.Partition, e.First, e.Next), e.Batches)
	if e.Records >= 0 {
		fmt.Fprintf(&b, ", %d records", e.Records)
	}
	if e.Markers > 0 {
		fmt.Fprintf(&b, ", %d markers", e.Markers)
	}
	if e.MaxTimestamp >= 0 {
		about := ""
		if !e.MinExact {
			about = "about "
		}
		fmt.Fprintf(&b, ", of %s%s to %s", about, clock(time.UnixMilli(e.MinTimestamp)), clock(time.UnixMilli(e.MaxTimestamp)))
	}
	fmt.Fprintf(&b, ", %d bytes (%s %d at %d), CRC %08x, SHA-256 %s", e.Plain, e.Compression, e.Stored, e.Position, e.CRC, e.SHA256)
	if e.Committed {
		b.WriteString(", read_committed")
	}
	for _, a := range e.Aborted {
		fmt.Fprintf(&b, ", aborted %d from %d", a.ProducerID, a.First)
		if a.Marker >= 0 {
			fmt.Fprintf(&b, " to %d", a.Marker)
		}
	}
	writeOpen(&b, e.Open)
	return b.String()
}

func (p Position) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s/%d at %d, leader epoch %d", p.Topic, p.Partition, p.Next, p.LeaderEpoch)
	writeOpen(&b, p.Open)
	return b.String()
}

func writeOpen(b *strings.Builder, open []Transaction) {
	for _, t := range open {
		fmt.Fprintf(b, ", open %d from %d", t.ProducerID, t.First)
	}
}

func (e Event) String() string {
	return fmt.Sprintf("%s %s %s", clock(e.At), e.Kind(), e.Body)
}

func (u Unknown) String() string {
	return fmt.Sprintf("version %d, %d bytes, not known to this program", u.Version, len(u.Raw))
}

func (t TopicCreated) String() string {
	s := fmt.Sprintf("%s id %x, %d partitions, replication factor %d", t.Topic, t.Topic.ID, t.Partitions, t.Factor)
	if t.Found {
		s += ", found"
	}
	return s
}

func (t TopicWidened) String() string {
	return fmt.Sprintf("%s from %d to %d partitions", t.Topic, t.From, t.To)
}
func (t TopicDeleted) String() string { return t.Topic.String() }

func (t TopicRecreated) String() string {
	return fmt.Sprintf("%s id %x is now %s id %x, %d partitions, replication factor %d", t.Old, t.Old.ID, t.New, t.New.ID,
		t.Partitions, t.Factor)
}

func (t Truncated) String() string {
	return fmt.Sprintf("%s/%d from %d to %d, leader epoch %d", t.Topic, t.Partition, t.From, t.To, t.LeaderEpoch)
}

func (t TopicConfigs) String() string {
	all := make([]string, len(t.Configs))
	for i, c := range t.Configs {
		all[i] = word(c.Name) + "=" + word(c.Value)
	}
	return fmt.Sprintf("%s: %s", t.Topic, listed(all))
}

func (a ACLs) String() string {
	all := make([]string, len(a.Bindings))
	for i, b := range a.Bindings {
		all[i] = fmt.Sprintf("resource %d %s pattern %d %s host %s operation %d permission %d", b.ResourceType, word(b.Resource),
			b.PatternType, word(b.Principal), word(b.Host), b.Operation, b.Permission)
	}
	return listed(all)
}

func (g GroupOffsets) String() string {
	all := make([]string, len(g.Offsets))
	for i, o := range g.Offsets {
		all[i] = fmt.Sprintf("%s/%d at %d", word(o.Topic), o.Partition, o.Offset)
		if o.Metadata != "" {
			all[i] += fmt.Sprintf(" %q", o.Metadata)
		}
	}
	whole := "changed"
	if g.Whole {
		whole = "whole"
	}
	return fmt.Sprintf("%s %s: %s", word(g.Group), whole, listed(all))
}

func (r Runs) String() string {
	all := make([]string, len(r.Runs))
	for i, run := range r.Runs {
		all[i] = fmt.Sprintf("%d from %d at %d", run.Count, run.Up, run.Down)
	}
	return fmt.Sprintf("%s/%d on %s/%d: %s", r.Source, r.Partition, word(r.Remote.Topic), r.Remote.Number, listed(all))
}

func (g Gap) String() string {
	return fmt.Sprintf("%s lost: %s", span(g.Topic, g.Partition, g.From, g.To), word(g.Reason))
}

func (m Mark) String() string {
	s := fmt.Sprintf("%s, %d positions", word(m.Name), len(m.Positions))
	if m.Note != "" {
		s += fmt.Sprintf(", %q", m.Note)
	}
	return s
}

// String lists all of the footer, a line for each thing.
func (f Footer) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%d bytes, digest %s, previous %s\n", f.Header, f.Size, f.Digest, f.Previous)
	for i, c := range f.Chunks {
		fmt.Fprintf(&b, "chunk %d: %s\n", i, c)
	}
	for _, e := range f.Events {
		fmt.Fprintf(&b, "event: %s\n", e)
	}
	for _, p := range f.Positions {
		fmt.Fprintf(&b, "position: %s\n", p)
	}
	return b.String()
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func listed(all []string) string {
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, "; ")
}

// word is s as it is where it is a plain word, and quoted where it is not.
func word(s string) string {
	odd := func(r rune) bool { return r <= ' ' || r == '"' || r == 0x7f || r > 0x7e }
	if s == "" || strings.ContainsFunc(s, odd) {
		return fmt.Sprintf("%q", s)
	}
	return s
}
