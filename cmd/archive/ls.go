package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	"tandem/internal/cli"
	"tandem/internal/stream"
)

type lsOptions struct {
	selection
	at         string
	all        bool
	partitions bool
	groups     bool
}

func lsCommand() *cobra.Command {
	var o lsOptions
	const usage = "archive ls FILE"
	cmd := &cobra.Command{
		Use:   "ls FILE",
		Short: "Show what can be restored",
		Long: `ls shows the topics of an archive with their records, times and bytes, its named points, and what is missing: offsets that no
bundle has, bundles that are damaged or gone. Nothing but listings and the ends of bundles is read. Records are counted
without markers; ~ stands where a count or a time is not exact.

` + statusesHelp,
		Example: `  archive ls mm2.properties
  archive ls mm2.properties --at 2026-11-20T14:05:00Z --partitions --groups
  archive ls mm2.properties --all --json`,
		Args: arguments(1, usage),
		RunE: func(cmd *cobra.Command, args []string) error {
			return ls(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), args[0], o)
		},
	}
	o.selection.flags(cmd)
	cmd.Flags().StringVar(&o.at, "at", "", "show the archive as of a moment by its own clock, as 2026-11-20T14:05:00Z")
	cmd.Flags().BoolVar(&o.all, "all", false, "topics that were deleted or made anew by then, too")
	cmd.Flags().BoolVar(&o.partitions, "partitions", false, "the offsets of each partition")
	cmd.Flags().BoolVar(&o.groups, "groups", false, "the positions of consumer groups")
	return cmd
}

func ls(ctx context.Context, stdout, stderr io.Writer, file string, o lsOptions) error {
	at, err := atFlag("--at", o.at)
	if err != nil {
		return err
	}
	a, err := openArchive(ctx, file, o.selection)
	if err != nil {
		return err
	}
	defer a.close()
	p := cli.NewProgress(stderr)
	state, err := catalog.Load(ctx, a.store, a.options(p, "ls"), at, nil)
	p.Clear()
	if err != nil {
		return err
	}
	l := listingOf(state, at, o)
	l.URL = a.flow.Archive.URL
	if o.json {
		err = printJSON(stdout, l)
	} else {
		err = l.print(stdout, o)
	}
	if err != nil {
		return err
	}
	if n := l.odd(); n > 0 {
		says := "archive verify FILE"
		if slices.ContainsFunc(state.Damaged, func(d catalog.Damaged) bool { return errors.Is(d.Err, bundle.ErrKey) }) {
			says = "archive keys check FILE"
		}
		return refused{fmt.Errorf("%s missing or damaged: %s says more", count(n, "thing"), says)}
	}
	return nil
}

// listing is what ls shows.
type listing struct {
	Source  string          `json:"source"`
	URL     string          `json:"url"`
	At      *time.Time      `json:"at,omitempty"`
	Objects int             `json:"bundles"`
	Bytes   int64           `json:"bytes"`
	Oldest  time.Time       `json:"oldest"`
	Newest  time.Time       `json:"newest"`
	Age     float64         `json:"age_seconds"`
	Topics  []listedTopic   `json:"topics"`
	Past    []listedTopic   `json:"past,omitempty"`
	Points  []listedPoint   `json:"points"`
	Groups  []listedGroup   `json:"groups,omitempty"`
	Damaged []listedDamaged `json:"damaged"`
	Missing []string        `json:"missing"`
}

type listedTopic struct {
	Topic       string       `json:"topic"`
	ID          string       `json:"id,omitempty"`
	Incarnation int32        `json:"incarnation"`
	Partitions  int32        `json:"partitions"`
	Since       *time.Time   `json:"since,omitempty"`
	Until       *time.Time   `json:"until,omitempty"`
	Records     int64        `json:"records"`
	Exact       bool         `json:"records_exact"`
	Bytes       int64        `json:"bytes"`
	Oldest      *time.Time   `json:"oldest_record,omitempty"`
	OldestExact bool         `json:"oldest_record_exact"`
	Newest      *time.Time   `json:"newest_record,omitempty"`
	Parts       []listedPart `json:"offsets,omitempty"`
	Holes       []listedHole `json:"holes"`
}

type listedPart struct {
	Partition int32 `json:"partition"`
	First     int64 `json:"first"`
	Next      int64 `json:"next"`
}

type listedHole struct {
	Partition int32  `json:"partition"`
	From      int64  `json:"from"`
	To        int64  `json:"to"`
	Why       string `json:"why"`
}

type listedPoint struct {
	Name string    `json:"name"`
	At   time.Time `json:"at"`
	Note string    `json:"note,omitempty"`
}

type listedGroup struct {
	Group   string           `json:"group"`
	Offsets map[string]int64 `json:"offsets"`
}

type listedDamaged struct {
	Object string `json:"object"`
	Error  string `json:"error"`
}

func listingOf(s *catalog.State, at time.Time, o lsOptions) listing {
	l := listing{
		Source: s.Source, Objects: s.Objects, Bytes: s.Bytes, Oldest: s.Oldest, Newest: s.Newest, At: shown(at),
		Topics: topicsOf(s.Lives, o), Points: []listedPoint{}, Damaged: []listedDamaged{}, Missing: append([]string{}, s.Missing...),
	}
	if !s.Newest.IsZero() {
		l.Age = time.Since(s.Newest).Seconds()
	}
	if o.all {
		l.Past = topicsOf(s.Past, o)
	}
	for _, p := range s.Points {
		l.Points = append(l.Points, listedPoint{p.Name, p.At, p.Note})
	}
	if o.groups {
		for _, name := range slices.Sorted(maps.Keys(s.Groups)) {
			g := listedGroup{Group: name, Offsets: map[string]int64{}}
			for p, c := range s.Groups[name] {
				g.Offsets[p.String()] = int64(c.Offset)
			}
			l.Groups = append(l.Groups, g)
		}
	}
	for _, d := range s.Damaged {
		l.Damaged = append(l.Damaged, listedDamaged{d.Name, d.Err.Error()})
	}
	return l
}

func shown(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func topicsOf(lives []catalog.Life, o lsOptions) []listedTopic {
	all := make([]listedTopic, 0, len(lives))
	for _, life := range lives {
		t := listedTopic{
			Topic: life.Topic.Name, Incarnation: life.Topic.Incarnation, Partitions: life.Partitions, Since: shown(life.Since),
			Until: shown(life.Until), Exact: true, OldestExact: true, Holes: []listedHole{},
		}
		if life.Topic.ID != (stream.TopicID{}) {
			t.ID = fmt.Sprintf("%x", life.Topic.ID)
		}
		for _, part := range life.Parts {
			for _, s := range part.Stretches {
				t.add(s)
			}
			for _, h := range part.Holes {
				t.Holes = append(t.Holes, listedHole{part.Number, int64(h.From), int64(h.To), string(h.Why)})
			}
			if o.partitions {
				t.Parts = append(t.Parts, listedPart{part.Number, int64(part.First()), int64(part.Next())})
			}
		}
		all = append(all, t)
	}
	return all
}

// add counts what is read of a chunk. Of a part of one the records are guessed.
func (t *listedTopic) add(s catalog.Stretch) {
	e := s.Entry
	if t.Bytes += e.Stored; e.Records < 0 {
		t.Exact = false
	} else if whole := e.Next - e.First; s.From <= e.First && s.To >= e.Next || whole <= 0 {
		t.Records += e.Records
	} else {
		t.Records += int64(float64(e.Records) * float64(s.To-s.From) / float64(whole))
		t.Exact = false
	}
	if e.MaxTimestamp < 0 {
		return
	}
	if oldest := time.UnixMilli(e.MinTimestamp).UTC(); e.MinTimestamp >= 0 && (t.Oldest == nil || oldest.Before(*t.Oldest)) {
		t.Oldest = &oldest
	}
	t.OldestExact = t.OldestExact && e.MinExact
	if newest := time.UnixMilli(e.MaxTimestamp).UTC(); t.Newest == nil || newest.After(*t.Newest) {
		t.Newest = &newest
	}
}

// odd counts what somebody must look at. What was pruned is as it should be.
func (l listing) odd() int {
	n := len(l.Damaged) + len(l.Missing)
	for _, t := range slices.Concat(l.Topics, l.Past) {
		for _, h := range t.Holes {
			if h.Why != string(catalog.Pruned) {
				n++
			}
		}
	}
	return n
}

func (l listing) print(w io.Writer, o lsOptions) error {
	fmt.Fprintf(w, "archive of %s in %s: %s, %s, %s", l.Source, l.URL, count(len(l.Topics), "topic"), count(l.Objects, "bundle"), byteCount(l.Bytes))
	if l.Objects > 0 {
		fmt.Fprintf(w, ", from %s to %s (%s ago)", stamp(l.Oldest), stamp(l.Newest), (time.Duration(l.Age) * time.Second).String())
	}
	if fmt.Fprintln(w); l.At != nil {
		fmt.Fprintf(w, "as of %s\n", stamp(*l.At))
	}
	if l.Objects == 0 {
		fmt.Fprintf(w, "nothing is there: mirror has not stored anything of %s yet, or archive.url names another place\n", l.Source)
	}
	if err := printTopics(w, "TOPIC", l.Topics, o); err != nil {
		return err
	}
	if err := printTopics(w, "DELETED OR MADE ANEW", l.Past, o); err != nil {
		return err
	}
	if err := l.printRest(w); err != nil {
		return err
	}
	for _, t := range slices.Concat(l.Topics, l.Past) {
		for _, h := range t.Holes {
			fmt.Fprintf(w, "hole: %s/%d from %d to %d: %s\n", t.name(), h.Partition, h.From, h.To, h.Why)
		}
	}
	for _, d := range l.Damaged {
		fmt.Fprintf(w, "damaged: %s\n", d.Error)
	}
	for _, m := range l.Missing {
		fmt.Fprintf(w, "missing: %s\n", m)
	}
	return nil
}

func (t listedTopic) name() string {
	if t.Incarnation > 0 {
		return fmt.Sprintf("%s#%d", t.Topic, t.Incarnation)
	}
	return t.Topic
}

func printTopics(w io.Writer, title string, topics []listedTopic, o lsOptions) error {
	if len(topics) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%s\tPARTITIONS\tRECORDS\tBYTES\tOLDEST RECORD\tNEWEST RECORD\tEXISTED\n", title)
	for _, topic := range topics {
		fmt.Fprintf(t, "%s\t%d\t%s%d\t%s\t%s%s\t%s\t%s\n", topic.name(), topic.Partitions, about(topic.Exact), topic.Records, byteCount(topic.Bytes),
			about(topic.OldestExact || topic.Oldest == nil), maybe(topic.Oldest), maybe(topic.Newest), existed(topic))
		for _, p := range topic.Parts {
			fmt.Fprintf(t, "  /%d\t\t\t\tfrom %d\tto %d\t\n", p.Partition, p.First, p.Next)
		}
	}
	return t.Flush()
}

func about(exact bool) string {
	if exact {
		return ""
	}
	return "~"
}

func maybe(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return stamp(*t)
}

func existed(t listedTopic) string {
	switch {
	case t.Since == nil && t.Until == nil:
		return "always"
	case t.Until == nil:
		return "since " + maybe(t.Since)
	case t.Since == nil:
		return "until " + maybe(t.Until)
	}
	return maybe(t.Since) + " to " + maybe(t.Until)
}

func (l listing) printRest(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(l.Points) > 0 {
		fmt.Fprint(t, "\nPOINT\tAT\tNOTE\n")
		for _, p := range l.Points {
			fmt.Fprintf(t, "%s\t%s\t%s\n", p.Name, stamp(p.At), p.Note)
		}
	}
	if len(l.Groups) > 0 {
		fmt.Fprint(t, "\nGROUP\tPARTITION\tOFFSET\n")
		for _, g := range l.Groups {
			for _, p := range slices.SortedFunc(maps.Keys(g.Offsets), cmp.Compare[string]) {
				fmt.Fprintf(t, "%s\t%s\t%d\n", g.Group, p, g.Offsets[p])
			}
		}
	}
	return t.Flush()
}
