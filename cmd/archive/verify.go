package main

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/archive/verify"
	"tandem/internal/cli"
)

func verifyCommand() *cobra.Command {
	var v verifying
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Prove that what is there is what was written",
		Long: `verify reads the archive and tells, a line each, what is missing, damaged or otherwise than it should be: the object, the topic, partition
and offsets that it touches, what is wrong, and what to do. It writes nothing but a small object below reports/, which says how it came
out: metrics and the status page of mirror show the last one. Each level proves what the ones before prove, and more:

  list     no bundle of a writer is missing in between or there twice, and there are no strangers
  footer   each footer opens; no bundle that another one names is missing; no offsets are missing; index objects say what footers say
  chunk    every byte that is stored is the one that was written
  record   every record can be read, and offsets, timestamps, counts and transactions are what the footers say

` + statusesHelp,
		Example: `  archive verify mm2.properties
  archive verify mm2.properties --level record --topics 'orders|payments'
  archive verify mm2.properties --from 2026-11-19T00:00:00Z --until 2026-11-20T00:00:00Z --json`,
		Args: arguments(1, "archive verify FILE"),
		RunE: func(cmd *cobra.Command, args []string) error { return v.run(cmd, args[0]) },
	}
	v.flags(cmd)
	cmd.Flags().StringVar(&v.level, "level", "chunk", "how much to prove: list, footer, chunk or record")
	cli.Offer(cmd, "level", "list", "footer", "chunk", "record")
	cmd.Flags().StringVar(&v.topics, "topics", "", "read the chunks of topics whose whole name matches this regular expression only")
	cmd.Flags().StringVar(&v.from, "from", "", "read the bundles archived at or after this time only (RFC 3339)")
	cmd.Flags().StringVar(&v.until, "until", "", "read the bundles archived before this time only (RFC 3339)")
	cmd.Flags().IntVar(&v.parallel, "parallel", 0, "objects read at a time (default 4, and 16 for footers)")
	cmd.Flags().BoolVar(&v.silent, "no-report", false, "do not keep in the store how it came out")
	return cmd
}

// verifying is verify's command line.
type verifying struct {
	selection
	level, topics, from, until string
	parallel                   int
	silent                     bool
}

// options are what the flags ask for.
func (v *verifying) options() (o verify.Options, err error) {
	if o.Level, err = verify.ParseLevel(v.level); err != nil {
		return o, fmt.Errorf("--level: %w", err)
	}
	if v.parallel < 0 {
		return o, fmt.Errorf("--parallel: %d", v.parallel)
	}
	o.Parallel = v.parallel
	if o.From, err = atFlag("--from", v.from); err != nil {
		return o, err
	}
	if o.Until, err = atFlag("--until", v.until); err != nil {
		return o, err
	}
	if v.topics != "" {
		expr, err := regexp.Compile("^(?:" + v.topics + ")$")
		if err != nil {
			return o, fmt.Errorf("--topics: %w", err)
		}
		o.Wanted = expr.MatchString
	}
	return o, nil
}

func (v *verifying) run(cmd *cobra.Command, file string) error {
	options, err := v.options()
	if err != nil {
		return err
	}
	o, err := openArchive(cmd.Context(), file, v.selection)
	if err != nil {
		return err
	}
	defer o.close()
	p := cli.NewProgress(cmd.ErrOrStderr())
	options.Source, options.Keeper = o.flow.Source, o.keeper
	options.Progress = v.progress(p)
	out := cmd.OutOrStdout()
	if !v.json {
		options.Found = func(f verify.Finding) {
			p.Clear()
			fmt.Fprintln(out, f)
		}
	}
	begun := time.Now()
	report, err := verify.Run(cmd.Context(), o.store, options)
	p.Clear()
	if v.json {
		if failed := printJSON(out, report); err == nil {
			err = failed
		}
	} else {
		printVerified(out, report, time.Since(begun))
	}
	if err == nil && !v.silent {
		v.keep(cmd.Context(), cmd.ErrOrStderr(), o.store, report, begun)
	}
	switch {
	case err != nil:
		return err
	case len(report.Findings) > 0:
		return refused{fmt.Errorf("%s", count(len(report.Findings), "finding"))}
	case report.Objects == 0 && report.Complete && !v.partial():
		return refused{errors.New("there is no bundle: nothing has been archived yet, or all of it is gone")}
	}
	return nil
}

// progress shows what was read and how fast.
func (v *verifying) progress(p *cli.Progress) func(verify.Progress) {
	begun, shown := time.Now(), time.Time{}
	return func(at verify.Progress) {
		if now := time.Now(); now.Sub(shown) > 100*time.Millisecond {
			shown = now
			rate := float64(at.Bytes) / max(now.Sub(begun).Seconds(), 0.001)
			p.Show("verify: %d of %d bundles, %s of %s, %s/s", at.Objects, at.All, byteCount(at.Bytes), byteCount(at.AllBytes), byteCount(int64(rate)))
		}
	}
}

func printVerified(w io.Writer, r verify.Report, took time.Duration) {
	if !r.Complete {
		fmt.Fprintf(w, "not finished: %d of %d bundles were verified", r.Objects, r.Listed)
		if r.Through != "" {
			fmt.Fprintf(w, ", through %s", r.Through)
		}
		fmt.Fprintln(w)
		return
	}
	fmt.Fprintf(w, "%s of %s verified at level %s in %s: %s", count(r.Objects, "bundle"), r.Source, r.Level,
		took.Round(time.Millisecond), byteCount(r.Bytes))
	if r.Level >= verify.Chunk {
		fmt.Fprintf(w, ", %s", count(int(r.Chunks), "chunk"))
	}
	if r.Level >= verify.Record {
		fmt.Fprintf(w, ", %d records in %d batches", r.Records, r.Batches)
	}
	if len(r.Findings) == 0 {
		fmt.Fprint(w, "; nothing is odd")
	}
	fmt.Fprintln(w)
}
