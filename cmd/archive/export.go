package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/archive/catalog"
	"tandem/internal/archive/export"
	"tandem/internal/batch"
	"tandem/internal/cli"
	"tandem/internal/stream"
)

func exportCommand() *cobra.Command {
	var e exporting
	cmd := &cobra.Command{
		Use:   "export FILE TOPIC/PARTITION",
		Short: "Write a partition as plain Kafka log segments",
		Long: `export writes the record batches of a partition as they were archived, with their offsets, leader epochs, transaction markers and aborted
records, into log segments as a broker has them: DIR/TOPIC-PARTITION/00000000000000000000.log, each named by its first offset. Kafka's own
DumpLogSegments reads them. Batches come whole: where the wanted offsets begin or end inside of one, that is said.

With --format json it is DIR/TOPIC-PARTITION/records.json instead, a line for each record, without transaction markers.

Nothing is written over: the folder DIR/TOPIC-PARTITION must be empty, or not be there.

` + statusesHelp,
		Example: `  archive export mm2.properties orders/3 --out /tmp/orders
  archive export mm2.properties orders/3 --from-offset 1000 --to-offset 2000 --out /tmp/orders
  archive export mm2.properties orders/3 --until 2026-11-20T14:05:00Z --format json --out /tmp/orders
  kafka-dump-log.sh --deep-iteration --print-data-log --files /tmp/orders/orders-3/00000000000000000000.log`,
		Args: arguments(2, "archive export FILE TOPIC/PARTITION --out DIR"),
		RunE: func(cmd *cobra.Command, args []string) error { return e.run(cmd, args[0], args[1]) },
	}
	e.flags(cmd)
	cmd.Flags().Int64Var(&e.from, "from-offset", 0, "first offset")
	cmd.Flags().Int64Var(&e.to, "to-offset", math.MaxInt64, "offset at which to end; it is not written itself")
	cmd.Flags().StringVar(&e.until, "until", "", "as it was archived at this time (RFC 3339)")
	cmd.Flags().IntVar(&e.life, "life", -1, "of a topic that was deleted and made anew: which life, as archive ls --all counts them (default the last one)")
	cmd.Flags().StringVar(&e.out, "out", "", "folder to write to")
	cmd.Flags().StringVar(&e.format, "format", "log", "log (segments) or json (a line for each record)")
	return cmd
}

// exporting is export's command line.
type exporting struct {
	selection
	from, to           int64
	until, out, format string
	life               int
}

func (e *exporting) run(cmd *cobra.Command, file, what string) error {
	at, err := atFlag("--until", e.until)
	if err != nil {
		return err
	}
	topic, number, err := partitionArgument(what)
	switch {
	case err != nil:
		return err
	case e.out == "":
		return errors.New("--out DIR is missing: where to write to")
	case e.format != "log" && e.format != "json":
		return fmt.Errorf("--format %s: log or json", e.format)
	case e.from < 0 || e.to < e.from:
		return fmt.Errorf("--from-offset %d, --to-offset %d: nothing lies between", e.from, e.to)
	}
	o, err := openArchive(cmd.Context(), file, e.selection)
	if err != nil {
		return err
	}
	defer o.close()
	p := cli.NewProgress(cmd.ErrOrStderr())
	state, err := catalog.Load(cmd.Context(), o.store, o.options(p, "export"), at, func(name string) bool { return name == topic })
	p.Clear()
	if err != nil {
		return err
	}
	part, err := partOf(state, topic, int32(number), e.life)
	if err != nil {
		return refused{err}
	}
	to := stream.Upstream(e.to)
	if !at.IsZero() {
		to = min(to, part.ArchivedUntil(at))
	}
	result, err := e.write(cmd.Context(), o, p, topic, part, to)
	p.Clear()
	if err != nil {
		if errors.Is(err, export.ErrThere) {
			return refused{err}
		}
		return err
	}
	if e.json {
		err = printJSON(cmd.OutOrStdout(), result)
	} else {
		printExported(cmd.OutOrStdout(), result)
	}
	if lost := lostOf(result); err == nil && lost > 0 {
		return refused{fmt.Errorf("the archive lacks offsets that it should have (%s): they are not in what was written", count(lost, "hole"))}
	}
	return err
}

func partitionArgument(what string) (topic string, number int64, err error) {
	i := strings.LastIndexByte(what, '/')
	if i > 0 {
		if number, err = strconv.ParseInt(what[i+1:], 10, 32); err == nil && number >= 0 {
			return what[:i], number, nil
		}
	}
	return "", 0, fmt.Errorf("%s: a partition is written as TOPIC/NUMBER, as orders/3", what)
}

// partOf finds the partition: in the life that is asked for, or in the last one.
func partOf(s *catalog.State, topic string, number int32, life int) (catalog.Part, error) {
	var found *catalog.Life
	for _, lives := range [][]catalog.Life{s.Past, s.Lives} {
		for i := range lives {
			if l := &lives[i]; l.Topic.Name == topic && (life < 0 || l.Topic.Incarnation == int32(life)) {
				found = l
			}
		}
	}
	if found == nil {
		return catalog.Part{}, fmt.Errorf("the archive has no such topic, life or moment: %s; archive ls --all shows what there is", topic)
	}
	for _, p := range found.Parts {
		if p.Number == number {
			return p, nil
		}
	}
	return catalog.Part{}, fmt.Errorf("nothing is archived of %s/%d", found.Topic, number)
}

// sink takes batches, and tells at the end which files they are in.
type sink interface {
	Write(v batch.View) error
	Close(err error) ([]string, error)
}

func (e *exporting) write(ctx context.Context, o *opened, p *cli.Progress, topic string, part catalog.Part, to stream.Upstream) (export.Result, error) {
	from := stream.Upstream(e.from)
	if err := os.MkdirAll(e.out, 0o777); err != nil {
		return export.Result{}, fmt.Errorf("--out: %w", err)
	}
	var out sink
	var err error
	if e.format == "json" {
		out, err = export.NewLines(e.out, topic, part.Number, from, to)
	} else {
		out, err = export.NewSegments(e.out, topic, part.Number)
	}
	if err != nil {
		return export.Result{}, err
	}
	begun, shown := time.Now(), time.Time{}
	bytes := int64(0)
	result, err := export.Copy(ctx, catalog.NewOpener(o.store, o.keeper, 4), part, from, to, func(v batch.View) error {
		bytes += int64(len(v.Bytes()))
		if now := time.Now(); now.Sub(shown) > 100*time.Millisecond {
			shown = now
			p.Show("export: offset %d of %d, %s, %s/s", v.BaseOffset(), min(to, part.Next()), byteCount(bytes),
				byteCount(int64(float64(bytes)/max(now.Sub(begun).Seconds(), 0.001))))
		}
		return out.Write(v)
	})
	result.Files, err = out.Close(err)
	return result, err
}

func lostOf(r export.Result) (n int) {
	for _, h := range r.Holes {
		if h.Why == catalog.Lost {
			n++
		}
	}
	return n
}

func printExported(w io.Writer, r export.Result) {
	if r.Batches == 0 {
		fmt.Fprintln(w, "nothing is archived of these offsets")
		return
	}
	fmt.Fprintf(w, "offsets %d to %d, %d batches, %s\n", r.From, r.To-1, r.Batches, byteCount(r.Bytes))
	if r.Below > 0 {
		fmt.Fprintf(w, "the first batch begins %d offsets below the first one wanted, and is kept whole\n", r.Below)
	}
	if r.Above > 0 {
		fmt.Fprintf(w, "the last batch ends %d offsets above the last one wanted, and is kept whole\n", r.Above)
	}
	if r.Rebuilt > 0 {
		fmt.Fprintf(w, "%d batches were cut where the source's log was truncated inside of them, and have no leader epoch\n", r.Rebuilt)
	}
	for _, h := range r.Holes {
		fmt.Fprintf(w, "offsets %d to %d are not there: %s\n", h.From, h.To-1, h.Why)
	}
	for _, f := range r.Files {
		fmt.Fprintln(w, f)
	}
}
