package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/archive/compact"
	"tandem/internal/cli"
)

func compactCommand() *cobra.Command {
	var c compacting
	cmd := &cobra.Command{
		Use:   "compact FILE",
		Short: "Rewrite old bundles into few large objects, recompressed",
		Long: `compact rewrites the bundles that are older than --older-than into few large objects, sorted by partition, with their records compressed
by zstd. What the archive says stays the same as of any moment, and each record is read back from the store and compared before anything is
deleted. Killed anywhere, run it again. It shows what it would do, and asks.

Left alone are the newest bundle of each writer, damaged ones, and those where a truncation of the source has a say. What object lock holds
is told of, and deleted by the first run after the lock's end.

` + statusesHelp,
		Example: `  archive compact mm2.properties --older-than 7d --dry-run
  archive compact mm2.properties --older-than 7d --yes`,
		Args: arguments(1, "archive compact FILE --older-than 7d"),
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd, args[0]) },
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&c.age, "older-than", "", "age of the bundles to rewrite, such as 7d, 36h or 90m")
	cmd.Flags().StringVar(&c.size, "object-bytes", "64MiB", "about how large new objects are, and so how much memory is taken; up to 1GiB")
	cmd.Flags().BoolVar(&c.dry, "dry-run", false, "only show what would be done")
	cmd.Flags().BoolVar(&c.yes, "yes", false, "do it without asking")
	return cmd
}

// compacting is compact's command line.
type compacting struct {
	selection
	age, size string
	dry, yes  bool
}

// compacted is what --json prints.
type compacted struct {
	Plan   *compact.Plan   `json:"plan"`
	Report *compact.Report `json:"report,omitempty"`
}

func (c *compacting) options(now time.Time) (o compact.Options, err error) {
	age, err := compactAge(c.age)
	if err != nil {
		return o, err
	}
	o.Before = now.Add(-age)
	if o.ObjectBytes, err = objectBytes(c.size); err != nil {
		return o, err
	}
	return o, nil
}

// compactAge reads an age: Go's durations, and days.
func compactAge(text string) (time.Duration, error) {
	age, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int
		n, err = strconv.Atoi(days)
		age = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || age < 0 || text == "" {
		return 0, fmt.Errorf("--older-than %q: an age is wanted, such as 7d, 36h or 90m", text)
	}
	return age, nil
}

// objectBytes reads a size between 1 MiB and 1 GiB.
func objectBytes(text string) (int64, error) {
	n, err := byteSize(text)
	if err != nil || n > 1<<30 || n < 1<<20 {
		return 0, fmt.Errorf("--object-bytes %s: a size from 1MiB to 1GiB is wanted, such as 64MiB", text)
	}
	return n, nil
}

func (c *compacting) run(cmd *cobra.Command, file string) error {
	options, err := c.options(time.Now())
	if err != nil {
		return err
	}
	o, err := openArchive(cmd.Context(), file, c.selection)
	if err != nil {
		return err
	}
	defer o.close()
	p := cli.NewProgress(cmd.ErrOrStderr())
	p.Show("compact: looking at the archive")
	options.Flow, options.Keeper = o.flow.Flow, o.keeper
	options.Progress = func(done, all int64) {
		p.Show("compact: %s of %s rewritten and compared", byteCount(done), byteCount(all))
	}
	plan, err := compact.New(cmd.Context(), o.store, options)
	p.Clear()
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if !c.json {
		printCompactPlan(out, plan)
	}
	if c.dry || plan.Empty() {
		if c.json {
			return printJSON(out, compacted{Plan: plan})
		}
		return nil
	}
	if err := confirm(cmd, c.yes, "Rewrite them, and delete the old ones?"); err != nil {
		return err
	}
	report, err := runCompact(cmd.Context(), o, options, plan)
	p.Clear()
	if c.json {
		if failed := printJSON(out, compacted{plan, &report}); err == nil {
			err = failed
		}
	} else {
		printCompacted(out, report, err == nil)
	}
	return err
}

// runCompact does the plan, and those after it: a large archive is rewritten in several.
func runCompact(ctx context.Context, o *opened, options compact.Options, plan *compact.Plan) (sum compact.Report, err error) {
	for {
		r, err := plan.Run(ctx)
		sum.Written, sum.Bytes, sum.Records = sum.Written+r.Written, sum.Bytes+r.Bytes, sum.Records+r.Records
		sum.Deleted, sum.Freed, sum.Indexed = sum.Deleted+r.Deleted, sum.Freed+r.Freed, sum.Indexed+r.Indexed
		sum.Retained = append(sum.Retained, r.Retained...)
		if err != nil || !plan.More || r.Written == 0 {
			return sum, err
		}
		if plan, err = compact.New(ctx, o.store, options); err != nil {
			return sum, err
		}
		plan.Leftovers = nil // what is held now was told of
	}
}

func printCompactPlan(w io.Writer, p *compact.Plan) {
	more := ""
	if p.More {
		more = " at first, and others after them"
	}
	if p.Objects > 0 {
		fmt.Fprintf(w, "%s, %s, would be rewritten%s: %s into %s, about %s\n", count(p.Objects, "bundle"), byteCount(p.Bytes), more,
			count(p.Chunks, "chunk"), count(p.Joined, "chunk"), byteCount(p.After))
	}
	if n := len(p.Leftovers); n > 0 {
		fmt.Fprintf(w, "%s that an earlier run was to delete would be deleted\n", count(n, "object"))
	}
	if n := len(p.Stale); n > 0 {
		fmt.Fprintf(w, "%s of an earlier run that did not finish would be replaced\n", count(n, "object"))
	}
	if p.Empty() {
		fmt.Fprintln(w, "there is nothing to rewrite")
	}
	reasons := make(map[string]int)
	var order []string
	for _, l := range p.Left {
		if reasons[l.Why]++; reasons[l.Why] == 1 {
			order = append(order, l.Why)
		}
	}
	for _, why := range order {
		fmt.Fprintf(w, "left alone, %s: %s\n", count(reasons[why], "bundle"), why)
	}
}

func printCompacted(w io.Writer, r compact.Report, finished bool) {
	fmt.Fprintf(w, "%s written, %s; %d records compared and equal; %s deleted, %s\n", count(r.Written, "object"), byteCount(r.Bytes), r.Records,
		count(r.Deleted, "object"), byteCount(r.Freed))
	for _, h := range r.Retained {
		if h.Until.IsZero() {
			fmt.Fprintf(w, "retained by a legal hold: %s\n", h.Object)
		} else {
			fmt.Fprintf(w, "retained until %s: %s\n", stamp(h.Until), h.Object)
		}
	}
	if !finished {
		fmt.Fprintln(w, "it did not finish; nothing is lost. Run it again")
	}
}
