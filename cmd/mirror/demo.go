package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap/zapcore"

	"tandem/internal/config"
	"tandem/internal/testkit/embedded"
)

type demoOptions struct {
	rate    int
	stay    bool
	verbose bool
	acts    demoActs
	page    string // its address, where that is free

	forget int // an order that billing passes over, to see whether anybody notices; only tests set it
}

// demoActs is how long the parts of the story last that only take time. Beside them it waits for conditions and commands.
type demoActs struct {
	flow   time.Duration // orders flow
	after  time.Duration // and go on after the failover
	mended time.Duration // and after the restore
	breath time.Duration // to read what has just been printed

	patience time.Duration // after it a condition is taken for one that will never hold
}

var usualActs = demoActs{flow: 10 * time.Second, after: 6 * time.Second, mended: 4 * time.Second, breath: 1500 * time.Millisecond, patience: time.Minute}

func demoCommand() *cobra.Command {
	opts := demoOptions{acts: usualActs, page: "127.0.0.1:8383"}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Watch the whole story on two embedded clusters",
		Long: `demo starts two small Kafka clusters inside this process, and replicates and archives them with the same pipes that 'mirror FILE'
runs. Orders flow; the primary dies; 'failover' moves a consumer group; a bad deploy deletes a topic; 'archive' brings it back as of the
second before. At the end every order is accounted for. It takes less than a minute, and needs nothing but this program with failover and
archive beside it. Ctrl-C ends it at any time; nothing is left.

Exit statuses: 0 everything was as promised, 1 something was not, or it was stopped, 2 cannot run (bad arguments, a command is missing).`,
		Example: "  mirror demo\n  mirror demo --stay                     then look around: the page, and the commands\n  mirror demo --for 20s --rate 5000",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opts.rate < 1 || opts.rate > 100_000 {
				return cannotRun{fmt.Errorf("--rate is %d; it must be from 1 to 100000 orders a second", opts.rate)}
			}
			if opts.acts.flow < time.Second {
				return cannotRun{fmt.Errorf("--for is %v; it must be a second or more, such as 10s", opts.acts.flow)}
			}
			return demo(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), opts)
		},
	}
	cmd.Flags().DurationVar(&opts.acts.flow, "for", opts.acts.flow, "how long orders flow before the primary dies, such as 20s")
	cmd.Flags().IntVar(&opts.rate, "rate", 1000, "orders a second")
	cmd.Flags().BoolVar(&opts.stay, "stay", false, "at the end keep backup, mirror and the page until Ctrl-C")
	cmd.Flags().BoolVar(&opts.verbose, "verbose", false, "show what mirror logs")
	return cmd
}

// demoProperties is the file that the demo runs from, as a user would write it. What is left out of it in a real one: shorter intervals
// than the defaults, so that a minute is enough, and the replication factors of clusters that have one broker.
const demoProperties = `clusters = primary, backup
primary.bootstrap.servers = %s
backup.bootstrap.servers = %s

primary->backup.enabled = true
topics = orders

primary->backup.archive.enabled = true
backup->primary.archive.enabled = true
archive.url = file://%s

status.address = %s

emit.checkpoints.interval.seconds = 1
emit.heartbeats.interval.seconds = 1
refresh.topics.interval.seconds = 1
archive.flush.interval.ms = 500
backup.offset.flush.interval.ms = 1000

replication.factor = 1
heartbeats.topic.replication.factor = 1
offset-syncs.topic.replication.factor = 1
checkpoints.topic.replication.factor = 1
offset.storage.replication.factor = 1
`

const (
	demoFile       = "demo.properties"
	demoPartitions = 3
	demoDistance   = 20 * time.Millisecond // between primary and the rest, as between regions
)

var errInterrupted = errors.New("stopped before the end of the story; nothing of it is left")

// demo tells the story. What it needs stands in a folder of its own, which stays only where something went wrong.
func demo(ctx context.Context, out, errOut io.Writer, opts demoOptions) (err error) {
	for _, name := range []string{"failover", "archive"} {
		if _, err := sibling(name); err != nil {
			return cannotRun{fmt.Errorf("the demo runs failover and archive: %w", err)}
		}
	}
	dir, err := os.MkdirTemp("", "mirror-demo-")
	if err != nil {
		return err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return err
	}
	defer func() {
		switch {
		case err == nil:
			_ = os.RemoveAll(dir) // in the temporary directory nobody minds what could not be removed
		case ctx.Err() != nil:
			_ = os.RemoveAll(dir)
			err = errInterrupted
		default:
			err = fmt.Errorf("%w (the log, the file and the archive are in %s)", err, dir)
		}
	}()
	// The clusters and the ledger live in this process too: mirror's own limit is not for them.
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(8 << 30))

	logFile, err := os.Create(filepath.Join(dir, "mirror.log"))
	if err != nil {
		return err
	}
	defer logFile.Close()
	var logTo io.Writer = logFile
	if opts.verbose {
		logTo = io.MultiWriter(logFile, errOut)
	}
	log, err := newLogger(logTo, "console", zapcore.InfoLevel)
	if err != nil {
		return err
	}
	s := &story{opts: opts, dir: dir, screen: newDemoScreen(out), book: newDemoLedger(), forget: opts.forget}
	if s.primary, err = embedded.StartAway(demoDistance, "demo-primary", demoPartitions, "orders"); err != nil {
		return err
	}
	defer s.primary.Close()
	if s.backup, err = embedded.Start("demo-backup", demoPartitions, "orders"); err != nil {
		return err
	}
	defer s.backup.Close()
	conf, err := s.configure(ctx)
	if err != nil {
		return err
	}
	s.process = newProcess(conf, reporter(log), nil)
	return s.tell(ctx)
}

// configure writes the file and reads it, as mirror does.
func (s *story) configure(ctx context.Context) (*config.Config, error) {
	archive := filepath.Join(s.dir, "archive")
	if err := os.Mkdir(archive, 0o700); err != nil {
		return nil, err
	}
	address, err := freeAddress(ctx, s.opts.page)
	if err != nil {
		return nil, err
	}
	s.page = "http://" + address + "/"
	path := filepath.Join(s.dir, demoFile)
	text := fmt.Appendf(nil, demoProperties, s.primary.Bootstrap(), s.backup.Bootstrap(), filepath.ToSlash(archive), address)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return nil, err
	}
	return config.Load(path, nil)
}

// freeAddress is the one that is wanted, or another one where that is taken.
func freeAddress(ctx context.Context, wanted string) (string, error) {
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", wanted)
	if err != nil {
		l, err = listen.Listen(ctx, "tcp", "127.0.0.1:0")
	}
	if err != nil {
		return "", fmt.Errorf("find a port for the page: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}
