package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sync/errgroup"

	"tandem/internal/config"
	"tandem/internal/testkit/embedded"
)

type demoOptions struct {
	length time.Duration
	rate   int
}

func demoCommand() *cobra.Command {
	var opts demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Watch replication between two embedded clusters",
		Long: `demo starts two small Kafka clusters inside this process, writes orders into the first, and replicates them into the
second with the same pipe that 'mirror FILE' runs. It needs nothing but this program. Ctrl-C ends it; then every order is
compared on both sides.

Exit statuses: 0 every order arrived once and equal, 1 otherwise, 2 bad arguments.`,
		Example: "  mirror demo\n  mirror demo --for 20s --rate 5000",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opts.rate < 1 || opts.rate > 100_000 {
				return cannotRun{fmt.Errorf("--rate is %d; it must be from 1 to 100000 orders a second", opts.rate)}
			}
			if opts.length < 0 {
				return cannotRun{fmt.Errorf("--for is %v; it must not be negative", opts.length)}
			}
			return demo(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), opts)
		},
	}
	cmd.Flags().DurationVar(&opts.length, "for", 0, "end by itself after this time, such as 20s (default: at Ctrl-C)")
	cmd.Flags().IntVar(&opts.rate, "rate", 1000, "orders a second")
	return cmd
}

// demoProperties is the file that the demo runs from, as a user would write it.
const demoProperties = `clusters = primary, backup
primary.bootstrap.servers = %s
backup.bootstrap.servers = %s
primary->backup.enabled = true
primary->backup.topics = orders
replication.factor = 1
heartbeats.topic.replication.factor = 1
offset-syncs.topic.replication.factor = 1
checkpoints.topic.replication.factor = 1
offset.storage.replication.factor = 1
emit.heartbeats.interval.seconds = 1
backup.offset.flush.interval.ms = 1000
status.address =
`

func demo(ctx context.Context, out, logTo io.Writer, opts demoOptions) error {
	log, err := newLogger(logTo, "text", zapcore.WarnLevel)
	if err != nil {
		return err
	}
	primary, err := embedded.Start("demo-primary", 3, "orders")
	if err != nil {
		return err
	}
	defer primary.Close()
	backup, err := embedded.Start("demo-backup", 3)
	if err != nil {
		return err
	}
	defer backup.Close()
	conf, err := demoConfig(primary, backup)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "primary  %s   topic orders, 3 partitions\nbackup   %s   will hold primary.orders\n\nwriting %d orders a second; Ctrl-C ends it\n\n",
		primary.Bootstrap(), backup.Bootstrap(), opts.rate)

	mirrorCtx, stopMirror := context.WithCancel(context.WithoutCancel(ctx))
	defer stopMirror()
	writing, stopWriting := context.WithCancel(ctx)
	defer stopWriting()
	if opts.length > 0 {
		writing, stopWriting = context.WithTimeout(ctx, opts.length)
		defer stopWriting()
	}
	book := &ledger{written: make(map[place]string), read: make(map[place]string)}
	var running errgroup.Group
	running.Go(func() error {
		defer stopWriting() // a demo without its mirror is over
		return runFlows(mirrorCtx, conf, reporter(log), nil)
	})
	running.Go(func() error { return backup.ReadOrders(mirrorCtx, "primary.orders", book.arrived) })
	wrote := make(chan error, 1)
	go func() { wrote <- primary.WriteOrders(writing, "orders", opts.rate, book.sent) }()

	err = book.show(writing, out, wrote)
	book.settle(mirrorCtx, 10*time.Second)
	stopMirror()
	if runErr := running.Wait(); err == nil {
		err = runErr
	}
	if err != nil {
		return err
	}
	return book.prove(out)
}

func demoConfig(primary, backup *embedded.Cluster) (*config.Config, error) {
	dir, err := os.MkdirTemp("", "mirror-demo-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "mm2.properties")
	if err := os.WriteFile(path, fmt.Appendf(nil, demoProperties, primary.Bootstrap(), backup.Bootstrap()), 0o600); err != nil {
		return nil, err
	}
	return config.Load(path, nil)
}

// place is where an order stands on the primary; on the backup it must stand at the same place, since nothing else is
// written there.
type place struct {
	partition int32
	offset    int64
}

// ledger holds the demo's own view of both sides, to compare them at the end.
type ledger struct {
	mu       sync.Mutex // guards all below
	written  map[place]string
	read     map[place]string
	repeated int
	delays   []time.Duration // of this second
}

func (l *ledger) sent(o embedded.Order) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.written[place{o.Partition, o.Offset}] = o.Key + o.Value
}

func (l *ledger) arrived(o embedded.Order) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := place{o.Partition, o.Offset}
	if _, again := l.read[at]; again {
		l.repeated++
	}
	l.read[at] = o.Key + o.Value
	l.delays = append(l.delays, time.Since(o.At))
}

// show prints a line a second until the writer has ended.
func (l *ledger) show(ctx context.Context, out io.Writer, wrote <-chan error) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for second := 1; ; second++ {
		select {
		case err := <-wrote:
			return err
		case <-ticker.C:
			if ctx.Err() == nil {
				fmt.Fprintln(out, l.line(second))
			}
		}
	}
}

func (l *ledger) line(second int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	slices.Sort(l.delays)
	delay := "-"
	if n := len(l.delays); n > 0 {
		delay = fmt.Sprintf("%.1f ms", float64(l.delays[n/2].Microseconds())/1000)
	}
	l.delays = l.delays[:0]
	return fmt.Sprintf("%4d s   orders written %8d   arrived in backup %8d   behind %5d   median delay %s",
		second, len(l.written), len(l.read), max(len(l.written)-len(l.read), 0), delay)
}

// settle waits until the backup holds what was written.
func (l *ledger) settle(ctx context.Context, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		l.mu.Lock()
		behind := len(l.written) - len(l.read)
		l.mu.Unlock()
		if behind <= 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// prove compares both sides order by order.
func (l *ledger) prove(out io.Writer) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	lost, different := 0, 0
	for at, order := range l.written {
		switch got, ok := l.read[at]; {
		case !ok:
			lost++
		case got != order:
			different++
		}
	}
	fmt.Fprintf(out, "\n%d orders written to primary, %d read from backup: lost %d, repeated %d, different %d\n",
		len(l.written), len(l.read), lost, l.repeated, different)
	if lost+l.repeated+different > 0 || len(l.read) != len(l.written) {
		return fmt.Errorf("the demo's clusters are not equal")
	}
	return nil
}
