package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"tandem/internal/archive/reports"
	"tandem/internal/archive/verify"
	"tandem/internal/cli"
)

const keepWithin = 30 * time.Second // a store that does not answer holds nobody up for longer

// keep stores how a verification that went through came out. What was verified is none the worse if it cannot. Of an archive without
// bundles nothing was proved: it may be another place than the one that is meant.
func (v *verifying) keep(ctx context.Context, stderr io.Writer, st reports.Putter, r verify.Report, begun time.Time) {
	if r.Listed == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, keepWithin)
	defer cancel()
	if _, err := reports.Put(ctx, st, v.outcome(r, begun, time.Now())); err != nil {
		fmt.Fprintf(stderr, "warning: how it came out is not kept in the store, so mirror's metrics and status page do not show it "+
			"(it takes the right to create objects below reports/; --no-report does without): %v\n", err)
	}
}

// outcome is the report of a verification. It says nothing of topics: reports are not encrypted.
func (v *verifying) outcome(r verify.Report, begun, ended time.Time) reports.Report {
	says := "nothing is odd"
	if n := len(r.Findings); n > 0 {
		says = count(n, "finding")
	}
	out := reports.Report{
		Kind: reports.Verify, Source: r.Source, Level: r.Level.String(), Partial: v.partial(), At: ended, Seconds: ended.Sub(begun).Seconds(),
		Passed: len(r.Findings) == 0, Tandem: cli.Current(version).Version,
		Counts: map[string]int64{"listed": int64(r.Listed), "bundles": int64(r.Objects), "bytes": r.Bytes, "findings": int64(len(r.Findings))},
	}
	if r.Level >= verify.Chunk {
		out.Counts["chunks"] = r.Chunks
	}
	if r.Level >= verify.Record {
		out.Counts["batches"], out.Counts["records"] = r.Batches, r.Records
	}
	out.Summary = fmt.Sprintf("%s, %s, at level %s: %s", count(r.Objects, "bundle"), byteCount(r.Bytes), r.Level, says)
	if out.Partial {
		out.Summary += "; not all of the archive was looked at"
	}
	return out
}

// partial says that not all of the archive was looked at.
func (v *verifying) partial() bool { return v.topics != "" || v.from != "" || v.until != "" }
