// Command mirror replicates Kafka clusters as an mm2.properties file says.
//
//	mirror FILE [--clusters ALIAS,...]           run until SIGTERM or SIGINT
//	mirror check FILE [--clusters ALIAS,...]     say what stands in the way, changing nothing
//	mirror reload FILE [--dry-run]               have a running mirror read its file again
//	mirror position FILE FLOW PARTITION OFFSET   decide where a halted partition goes on
//	mirror demo                                  two embedded clusters with the real pipe between them
//	mirror version
//
// How one process is wired, leaves first:
//
//	          config.Load(FILE)
//	                |  one flow for each pair of clusters
//	                v
//	+---------- flow A->B ------------------------------------------------+
//	|  kafka.Wire A ==fetch==> replicate.Pipe ==produce==> kafka.Wire B   |
//	|                  ^            |  acks                               |
//	|      assignments |            +--> position stores --> B            |
//	|                  |            +--> offsetsync.Writer --> A (or B)   |
//	|       topics.Keeper                                                 |
//	|       (kafka.Admin A, B)      heartbeat.Emitter --> B               |
//	|                                                                     |
//	|  the fetched bytes ==tee==> archive.Archiver ==bundles==> store     |
//	|  (kafka.Wire A reads what the tee did not bring; topics and groups  |
//	|  of A are watched; nothing of it waits for B)                       |
//	+---------------------------------------------------------------------+
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

// Exit statuses. MM2's are 2 for whatever keeps it from running, too.
const (
	statusFailed   = 1 // something ended that should have gone on
	statusCannot   = 2 // it cannot run as it was called or configured
	statusFinished = 0
)

// cannotRun is an error that no waiting mends: the file, the flags or the credentials have to change.
type cannotRun struct{ error }

func (e cannotRun) Unwrap() error { return e.error }

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
		return statusFinished
	}
	fmt.Fprintln(stderr, "mirror:", err)
	if cannot := (cannotRun{}); errors.As(err, &cannot) {
		return statusCannot
	}
	return statusFailed
}

func rootCommand() *cobra.Command {
	var opts mirrorOptions
	root := &cobra.Command{
		Use:   "mirror FILE",
		Short: "Replicate Kafka clusters as an mm2.properties file says",
		Long: `mirror reads an mm2.properties file, as MirrorMaker 2 does, and replicates Kafka clusters: record batches pass
through as bytes, remote topics, heartbeats, offset syncs and positions are MirrorMaker 2's own. It runs until SIGTERM or
SIGINT, and then stops in order: what is in flight is acknowledged and positions are written. At SIGHUP it reads its file again.
Several processes with one file, on several machines, divide the partitions between them.

Exit statuses: 0 stopped as asked, 1 failed while running, 2 cannot run (bad arguments, file or credentials; status.address is
taken; MirrorMaker 2, or another process of the same group.instance.id, runs beside it).`,
		Example: `  mirror config/mm2.properties
  mirror config/mm2.properties --clusters west      only the flows into west`,
		Args:          fileArgument("mirror FILE [--clusters ALIAS,...]; see mirror --help"),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.clusters = append(opts.clusters, args[1:]...) // MM2 separates aliases by blanks
			return mirror(cmd.Context(), cmd.ErrOrStderr(), args[0], opts)
		},
	}
	root.Flags().StringSliceVar(&opts.clusters, "clusters", nil, "run only the flows whose target is one of these aliases")
	root.Flags().StringVar(&opts.logFormat, "log-format", "", "console or json (default: console on a terminal, else json)")
	cli.Offer(root, "log-format", "console", "json")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return cannotRun{err} })
	root.AddCommand(positionCommand(), reloadCommand(), checkCommand(), versionCommand(), demoCommand())
	cli.Complete(root)
	cli.OfferVersion(root, version)
	return root
}

func noArguments(cmd *cobra.Command, args []string) error {
	if err := cobra.NoArgs(cmd, args); err != nil {
		return cannotRun{err}
	}
	return nil
}

// fileArgument wants one file. Aliases that MM2's way separates by blanks from those of --clusters may follow it.
func fileArgument(usage string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return cannotRun{errors.New("which mm2.properties? Usage: " + usage)}
		case len(args) > 1 && !cmd.Flags().Changed("clusters"):
			return cannotRun{fmt.Errorf("one file, not %d: Usage: %s", len(args), usage)}
		}
		return nil
	}
}
