// Command failover moves consumer groups between the clusters of an mm2.properties file, at the exact record.
//
//	failover status FILE                                 how each flow and its groups stand
//	failover plan FILE --from A --to B [--out PLAN]      where the groups of A go on at B, and what stands in the way
//	failover apply PLAN                                  move them
//	failover undo PLAN                                   put their old positions back
//	failover undo --plan ID FILE                         the same, if the plan is lost
//	failover back plan FILE --from B --to A [--out PLAN] the way back
//	failover back apply PLAN
//
// How a command is wired, leaves first:
//
//	config.Load(FILE)
//	      |  the flow A->B, and B->A if there is one
//	      v
//	kafka.Admin A, B --> mm2-tandem.A.internal --> offsetsync.Map, checkpoint.Known, failover.Records
//	      |              A.checkpoints.internal -> checkpoint.Known
//	      |  topics, ends, groups, offsets
//	      v
//	failover.Situation --> failover.Make --> PLAN --> failover.Mover --> offsets on B, record in mm2-tandem.A.internal
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"tandem/internal/cli"
)

// Exit statuses.
const (
	statusDone    = 0 // done; for plan: nothing stands in the way
	statusRefused = 1 // blocked, refused, or done in part: what to do is printed
	statusCannot  = 2 // it cannot run: arguments, file, credentials, a cluster that does not answer
)

// refused is an error of a command that ran, and did not do what it was asked for.
type refused struct{ error }

func (e refused) Unwrap() error { return e.error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is main without the process around it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return statusDone
	}
	fmt.Fprintln(stderr, "failover:", err)
	if r := (refused{}); errors.As(err, &r) {
		return statusRefused
	}
	return statusCannot
}

const statusesHelp = `Exit statuses: 0 done and nothing stands in the way, 1 blocked, refused or done in part (what to do is printed), 2 cannot
run (bad arguments or file, or a cluster that is needed does not answer).`

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "failover",
		Short: "Move consumer groups between the clusters of an mm2.properties file",
		Long: `failover moves consumer groups to the cluster that mirror writes to, and back: each goes on at the record where it
stopped, and nothing is skipped. A plan is made first, for people to read and for apply to carry out; a plan changes nothing.

` + statusesHelp,
		Example: `  failover status mm2.properties
  failover plan mm2.properties --from primary --to backup --out plan.json
  failover apply plan.json
  failover undo plan.json                                                  the groups are not to stay there
  failover back plan mm2.properties --from backup --to primary --out back.json
  failover back apply back.json`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return errors.New("which command? status, plan, apply, undo, back or drill; see failover --help")
		},
	}
	root.AddCommand(statusCommand(), planCommand(over), applyCommand(over), undoCommand(), backCommand(), drillCommand(), versionCommand())
	cli.Complete(root)
	cli.OfferVersion(root, version)
	return root
}

func backCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "back",
		Short: "Return groups to the cluster they came from",
		Long: `back returns the groups of a failover. Both clusters must answer, and the groups must have stopped. What the cluster that
they return to holds and never gave to the other is listed by partition, offsets and time, and left as it is.

` + statusesHelp,
		Example: `  failover back plan mm2.properties --from backup --to primary --out back.json
  failover back apply back.json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return errors.New("which command? back plan or back apply; see failover back --help")
		},
	}
	cmd.AddCommand(planCommand(way{back: true}), applyCommand(way{back: true}))
	return cmd
}

// way tells the two directions apart.
type way struct{ back bool }

var over = way{}

// argument wants exactly one.
func argument(what, usage string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("one %s, not %d: Usage: %s", what, len(args), usage)
		}
		return nil
	}
}
