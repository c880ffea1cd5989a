package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/cli"
	"tandem/internal/failover"
	"tandem/internal/policy"
)

// planOptions are the flags of plan and back plan.
type planOptions struct {
	from, to     string
	groups       string
	topics       string
	mode         string
	align        string
	allowUnknown bool
	asJSON       bool
	out          string
	force        bool
	wait         time.Duration
	sourceWait   time.Duration
	countWait    time.Duration
}

const atLowest = "lowest" // --align-time without a value

func planCommand(w way) *cobra.Command {
	var o planOptions
	cmd := &cobra.Command{
		Use:   "plan FILE --from A --to B",
		Short: "Plan where the groups of a cluster go on at the other",
		Long: `plan finds, for each group and partition of cluster A, the record at B where it goes on, and shows what would be lost and
what stands in the way. It changes nothing. It works with A dead: then it plans with what B last heard of A.

Modes: controlled wants both clusters, groups that have stopped, and a mirror that has caught up, so that nothing is lost
or read again; it is the mode when A answers. disaster takes A for lost; it is never taken by itself, since a cluster that
does not answer here may be well elsewhere.

` + statusesHelp,
		Example: `  failover plan mm2.properties --from primary --to backup --out plan.json
  failover plan mm2.properties --from primary --to backup --mode disaster --out plan.json
  failover plan mm2.properties --from primary --to backup --groups 'billing.*' --topics 'orders|payments'
  failover plan mm2.properties --from primary --to backup --align-time=2026-11-20T12:00:00Z --json`,
		Args: argument("mm2.properties", "failover plan FILE --from A --to B; see failover plan --help"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return plan(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), args[0], w, o)
		},
	}
	flags := cmd.Flags()
	if w.back {
		cmd.Use = "plan FILE --from B --to A"
		cmd.Short = "Plan the way back to the cluster that groups came from"
		cmd.Long = `plan finds where groups of cluster B go on at cluster A, from which they came: positions in A's topics, which B has as
copies, and positions in B's own topics, as far as a flow B->A replicates them. Without --groups these are the groups of the
failovers in force. What A holds that never reached B is listed. It changes nothing.

` + statusesHelp
		cmd.Example = `  failover back plan mm2.properties --from backup --to primary --out back.json`
	} else {
		flags.StringVar(&o.mode, "mode", "", "controlled or disaster (default controlled, if A answers)")
		cli.Offer(cmd, "mode", "controlled", "disaster")
	}
	flags.StringVar(&o.from, "from", "", "alias of the cluster that the groups leave")
	flags.StringVar(&o.to, "to", "", "alias of the cluster where they go on")
	flags.StringVar(&o.groups, "groups", "", "only groups whose whole name matches this regular expression")
	flags.StringVar(&o.topics, "topics", "", "only topics whose whole name, with or without aliases, matches this regular expression")
	flags.StringVar(&o.align, "align-time", "", "move all positions back to one time: the one given (RFC 3339), or the lowest at which any stands")
	flags.Lookup("align-time").NoOptDefVal = atLowest
	flags.BoolVar(&o.allowUnknown, "allow-unknown", false, "leave out positions that have no known place, instead of being blocked by them")
	flags.BoolVar(&o.asJSON, "json", false, "print the plan itself instead of tables")
	flags.StringVar(&o.out, "out", "", "write the plan to this file, for apply")
	flags.BoolVar(&o.force, "force", false, "write over the file of --out")
	flags.DurationVar(&o.wait, "wait", 15*time.Second, "how long a controlled plan waits for the mirror to catch up")
	flags.DurationVar(&o.sourceWait, "source-timeout", 5*time.Second, "how long A has for its first answer")
	countFlag(cmd, &o.countWait)
	return cmd
}

func (o planOptions) choice(w way) (choice, error) {
	c := choice{kind: failover.Over, mode: failover.Mode(o.mode), allowUnknown: o.allowUnknown, countWait: o.countWait, lossCounted: true}
	if o.from == "" || o.to == "" || o.from == o.to {
		return c, errors.New("say which clusters: --from A --to B, by their aliases in the file")
	}
	if w.back {
		c.kind, c.mode = failover.Back, failover.Controlled
	}
	if c.mode != "" && c.mode != failover.Controlled && c.mode != failover.Disaster {
		return c, fmt.Errorf("--mode is %q; it must be controlled or disaster", o.mode)
	}
	var err error
	if c.groups, err = filter("groups", o.groups); err != nil {
		return c, err
	}
	if c.topics, err = filter("topics", o.topics); err != nil {
		return c, err
	}
	if c.align = o.align != ""; c.align && o.align != atLowest {
		if c.alignAt, err = time.Parse(time.RFC3339Nano, o.align); err != nil {
			return c, fmt.Errorf("--align-time is %q; write it as 2026-11-20T12:00:00Z", o.align)
		}
	}
	return c, nil
}

func filter(flag, expression string) (*policy.Filter, error) {
	if expression == "" {
		return nil, nil
	}
	f, err := policy.NewFilter([]string{expression}, nil)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", flag, err)
	}
	return f, nil
}

func plan(ctx context.Context, stdout, stderr io.Writer, file string, w way, o planOptions) error {
	c, err := o.choice(w)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(o.out); o.out != "" && err == nil && !o.force {
		return fmt.Errorf("%s exists; name another file, or add --force", o.out)
	}
	pair, err := open(file, o.from, o.to, o.sourceWait)
	if err != nil {
		return err
	}
	defer pair.close()
	switch {
	case w.back && pair.home == nil:
		return fmt.Errorf("%s enables no flow %s->%s, so no groups of %s can have come to %s by it", file, o.to, o.from, o.to, o.from)
	case !w.back && pair.flow == nil:
		return fmt.Errorf("%s enables no flow %s->%s", file, o.from, o.to)
	}
	made, err := patient(ctx, stderr, pair, c, o.wait)
	if err != nil {
		return err
	}
	if o.out != "" {
		if err := save(o.out, made.Encode(), o.force); err != nil {
			return err
		}
	}
	if o.asJSON {
		_, err = stdout.Write(made.Encode())
	} else if err = made.Text(stdout); err == nil {
		err = next(stdout, made, w, o.out)
	}
	if err == nil && made.Blocked() {
		return refused{errors.New("the plan is blocked; it says by what")}
	}
	return err
}

// patient plans again while only the mirror has to catch up.
func patient(ctx context.Context, stderr io.Writer, p *pair, c choice, wait time.Duration) (failover.Plan, error) {
	line := cli.NewProgress(stderr)
	defer line.Clear()
	c.line = line
	for deadline := time.Now().Add(wait); ; {
		s, err := gather(ctx, p, c)
		if err != nil {
			return failover.Plan{}, err
		}
		s.ID = planID(s.Now)
		made, err := failover.Make(ctx, s.Situation)
		if err != nil || !made.Passing() || time.Now().After(deadline) {
			return made, err
		}
		line.Show("waiting for the mirror: %d partitions or positions are not there yet", len(made.Blockers))
		select {
		case <-ctx.Done():
			return failover.Plan{}, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// planID is a time, so that plans sort, and some chance.
func planID(now time.Time) string {
	var chance [4]byte
	_, _ = rand.Read(chance[:]) // never fails
	return now.UTC().Format("20060102T150405Z") + "-" + hex.EncodeToString(chance[:])
}

// save writes a file that only its owner reads, and never over another one unless it is forced. One that was cut short by a
// crash is no plan: the checksum tells.
func save(path string, data []byte, force bool) error {
	if force {
		return replace(path, data)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists; name another file, or add --force", path)
	}
	if err != nil {
		return fmt.Errorf("write plan: %w", err)
	}
	return fill(f, data)
}

func replace(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".plan-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write plan: %w", err)
	}
	if err = fill(f, data); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the first error says what happened
	}
	return err
}

func fill(f *os.File, data []byte) error {
	_, err := f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write plan: %w", err)
	}
	return nil
}

// next says what to do with a plan.
func next(w io.Writer, p failover.Plan, direction way, out string) error {
	command := "failover apply"
	if direction.back {
		command = "failover back apply"
	}
	var err error
	switch {
	case p.Blocked():
	case out == "":
		_, err = fmt.Fprintln(w, "this was a look; to keep the plan for apply, add --out PLAN")
	default:
		_, err = fmt.Fprintf(w, "next: %s %s\n", command, out)
	}
	return err
}
