// Command archive shows, proves and restores what mirror has archived.
//
//	archive ls FILE                         what can be restored: topics, offsets, times, holes
//	archive show FILE BUNDLE                what stands in one object
//	archive mark FILE NAME                  name this moment, to restore it later
//	archive verify FILE                     prove that what is there is what was written
//	archive restore FILE --to B             bring topics and groups back as of a moment
//	archive drill FILE                      rehearse that: a sample into scratch topics, compared with the replica
//	archive export FILE TOPIC/PARTITION     as a plain Kafka log segment
//	archive compact FILE                    rewrite old bundles into few large objects, recompressed
//	archive prune FILE                      remove what is too old
//	archive rebuild FILE                    write the index objects anew
//	archive keys new|check|rotate           the keys of an encrypted archive
//
// How a command is wired, leaves first:
//
//	config.Load(FILE) -> the flow that archives -> store.Open, keys.Open
//	                                                     |
//	                                                     v
//	                     catalog (listing, footers) -> catalog.State -> verify, compact, retain, export
//	                                                     |
//	                                                     v
//	                     restore.Plan -> replicate.Pipe, which reads from the archive as from a cluster -> the target
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
	statusDone    = 0 // done, and nothing is odd
	statusRefused = 1 // it ran, and something is odd, refused, or not done: what to do is printed
	statusCannot  = 2 // it cannot run: arguments, file, credentials, a store or cluster that does not answer
)

// refused is an error of a command that ran, and found something wrong or did not do what it was asked for.
type refused struct{ error }

func (e refused) Unwrap() error { return e.error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is main without the process around it.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return statusDone
	}
	fmt.Fprintln(stderr, "archive:", err)
	if text := hint(err); text != "" {
		fmt.Fprintln(stderr, text)
	}
	if r := (refused{}); errors.As(err, &r) {
		return statusRefused
	}
	return statusCannot
}

const statusesHelp = `Exit statuses: 0 done and nothing is odd, 1 something is odd, refused or done in part (what to do is printed), 2 cannot run (bad
arguments or file, or a store or cluster that is needed does not answer).`

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "archive",
		Short: "Show, prove and restore what mirror has archived",
		Long: `archive works on what mirror has archived (archive.enabled = true in mm2.properties): it shows what there is, proves that it is what was
written, and brings topics and consumer groups back as of any moment. Every command reads the same mm2.properties.

` + statusesHelp,
		Example: `  archive ls mm2.properties
  archive verify mm2.properties --level record
  archive restore mm2.properties --until 2026-11-20T14:05:00Z --topics orders --to backup --dry-run`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return errors.New("which command? ls, show, mark, verify, restore, drill, export, compact, prune, rebuild or keys; see archive --help")
		},
	}
	root.AddCommand(restoreCommand(), drillCommand(), lsCommand(), showCommand(), rebuildCommand(), keysCommand(), markCommand(), pruneCommand(), verifyCommand(), exportCommand(), compactCommand(), versionCommand())
	cli.Complete(root)
	cli.OfferVersion(root, version)
	return root
}
