package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tandem/internal/failover"
	"tandem/internal/stream"
	"tandem/internal/testkit/embedded"
)

// story is the demo on its way. Its acts follow each other; each leaves running what the next one needs.
type story struct {
	opts    demoOptions
	dir     string
	page    string
	screen  *demoScreen
	book    *demoLedger
	forget  int // see demoOptions
	process *process

	primary, backup *embedded.Cluster
	shop, billing   *worker // nil while they stand still

	death    death
	restored restored
	moment   time.Time // as of which the topic comes back
	wrong    []string  // claims that do not hold
}

var toBackup = stream.Flow{Source: "primary", Target: "backup"}

const (
	lookEvery = 20 * time.Millisecond
	group     = "billing"
)

// worker does something in the background until it is stopped.
type worker struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error // once done is closed
}

func startWorker(ctx context.Context, work func(context.Context) error) *worker {
	ctx, cancel := context.WithCancel(ctx)
	w := &worker{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		w.err = work(ctx)
	}()
	return w
}

// stop ends the work, and returns what went wrong in it. Without a worker there is nothing to stop.
func (w *worker) stop() error {
	if w == nil {
		return nil
	}
	w.cancel()
	<-w.done
	return w.err
}

// tell runs the acts.
func (s *story) tell(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.title()
	mirrorCtx, stopMirror := context.WithCancel(context.WithoutCancel(ctx))
	defer stopMirror()
	mirror := startWorker(mirrorCtx, func(ctx context.Context) error {
		err := s.process.run(ctx)
		if ctx.Err() == nil {
			cancel(fmt.Errorf("mirror has ended: %w", err)) // a demo without it is over
		}
		return err
	})
	reader := startWorker(ctx, func(ctx context.Context) error { return s.backup.ReadOrders(ctx, "primary.orders", s.book.arrived) })

	err := s.acts(ctx)
	if err == nil && s.opts.stay {
		s.stay(ctx)
	}
	for _, w := range []*worker{s.shop, s.billing, reader} {
		err = errors.Join(err, w.stop())
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	return errors.Join(err, mirror.stop())
}

func (s *story) acts(ctx context.Context) error {
	for _, act := range []func(context.Context) error{s.ordersFlow, s.primaryDies, s.groupMoves, s.topicComesBack} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	return s.proofs()
}

func (s *story) title() {
	fmt.Fprintf(s.screen.out, "%s\n\n", s.screen.paint(bold, "Tandem: two small Kafka clusters, a mirror between them, and an archive in a folder"))
	s.screen.say("primary  %s   takes orders in topic orders; group %s reads them", s.primary.Bootstrap(), group)
	s.screen.say("backup   %s   %d ms away, with mirror; has the copy, primary.orders", s.backup.Bootstrap(), demoDistance.Milliseconds())
	s.screen.say("archive  %s", filepath.Join(s.dir, "archive"))
	s.screen.say("page     %s   open it beside this", s.screen.paint(cyan, s.page))
	fmt.Fprintln(s.screen.out)
	s.screen.command([]string{"cd", s.dir})
	s.screen.command([]string{"mirror", demoFile})
}

// sell starts the service that writes orders.
func (s *story) sell(ctx context.Context, c *embedded.Cluster) {
	sale := embedded.Sale{
		Topic: "orders", PerSecond: s.opts.rate, First: s.book.next(), Written: s.book.written,
		Asked: func(o embedded.Order) { s.book.asked(o, c == s.primary) },
	}
	s.shop = startWorker(ctx, func(ctx context.Context) error { return c.Sell(ctx, sale) })
}

// bill starts the consumer group.
func (s *story) bill(ctx context.Context, c *embedded.Cluster, topics ...string) {
	s.billing = startWorker(ctx, func(ctx context.Context) error {
		return c.Consume(ctx, group, topics, func(o embedded.Order) error {
			if c == s.backup && o.Number > 0 {
				s.book.read(o)
			}
			if o.Number > 0 && o.Number == s.forget {
				return nil
			}
			return s.book.bill(o)
		})
	})
}

// ordersFlow is everyday life.
func (s *story) ordersFlow(ctx context.Context) error {
	s.screen.act(1, "Orders flow")
	s.sell(ctx, s.primary)
	s.bill(ctx, s.primary, "orders")
	s.screen.say("%7s %12s %12s %12s %16s", "", "orders", "on backup", "billed", "median delay")
	err := s.seconds(ctx, s.opts.acts.flow, func(second int, n sums) {
		delay := "-"
		if n.delay > 0 {
			delay = fmt.Sprintf("%.1f ms", float64(n.delay.Microseconds())/1000)
		}
		s.screen.say("%5d s %12s %12s %12s %16s", second, grouped(n.acked), grouped(n.copied), grouped(n.billed), delay)
	})
	if err != nil {
		return err
	}
	return s.await(ctx, "backup to hear of group "+group, func() bool { // it does in the first seconds
		k := s.process.board.keeper(toBackup)
		if k == nil {
			return false
		}
		known := k.Standing()
		return !known.Round.IsZero() && known.Exact+known.Clamped+known.Ahead >= demoPartitions
	})
}

// seconds shows a line each second.
func (s *story) seconds(ctx context.Context, length time.Duration, line func(int, sums)) error {
	end := time.NewTimer(length + 2*lookEvery) // the last line is due at the same moment
	defer end.Stop()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for second := 1; ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end.C:
			return nil
		case <-ticker.C:
			line(second, s.book.sum())
			second++
		}
	}
}

// breathe leaves time to read.
func (s *story) breathe(ctx context.Context) error { return s.wait(ctx, s.opts.acts.breath) }

func (s *story) wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// await waits for a condition.
func (s *story) await(ctx context.Context, what string, holds func() bool) error {
	for deadline := time.Now().Add(s.opts.acts.patience); !holds(); {
		if time.Now().After(deadline) {
			return fmt.Errorf("waited %v for %s", s.opts.acts.patience, what)
		}
		if err := s.wait(ctx, lookEvery); err != nil {
			return err
		}
	}
	return nil
}

// primaryDies ends the primary under load, and counts.
func (s *story) primaryDies(ctx context.Context) error {
	s.screen.act(2, "Primary dies")
	select { // the worst moment: it has just said that it has orders, and they are on their way to backup
	case <-s.book.nextAck():
	case <-ctx.Done():
		return ctx.Err()
	}
	s.primary.Close()
	s.screen.at(time.Now(), "it took orders a moment ago; now its connections break, and nobody answers any more")
	if err := errors.Join(s.shop.stop(), s.billing.stop()); err != nil {
		return err
	}
	s.shop, s.billing = nil, nil
	if err := s.settled(ctx); err != nil {
		return err
	}
	s.death = s.book.died()
	d := s.death
	s.screen.say("%s acknowledged by primary, %s on backup", several(d.acked, "order"), grouped(d.acked-d.lost))
	if d.lost == 0 {
		s.screen.say("none was lost with it: the last one had been copied")
	} else {
		s.screen.say("%s lost with it: of its last %d ms, on their way when it died", several(d.lost, "order"), d.last.Milliseconds()+1)
	}
	s.screen.say("before these nothing is missing: gaps %d, repeated %d, different %d, out of order %d", d.gaps, d.repeated, d.different, d.disordered)
	return s.breathe(ctx)
}

// settled waits until all that mirror had in its hands is on backup and has been counted.
func (s *story) settled(ctx context.Context) error {
	return s.await(ctx, "what mirror had read to be on backup", func() bool {
		if s.process.budget.InUse() > 0 {
			return false
		}
		held, err := s.backup.Count(ctx, "primary.orders")
		return err == nil && held == s.book.sum().copied
	})
}

// groupMoves has failover move the group, and goes on on backup.
func (s *story) groupMoves(ctx context.Context) error {
	s.screen.act(3, "The group moves to backup, and goes on")
	out, err := s.run(ctx, "failover", "plan", demoFile, "--from", "primary", "--to", "backup", "--mode", "disaster", "--out", "plan.json")
	if err != nil {
		return err
	}
	for _, line := range linesWith(out, "positions:", "lost, as far") {
		line, _, _ = strings.Cut(line, ";") // what is read again is counted below
		s.screen.output(line)
	}
	s.screen.say("backup can only tell what it has heard of primary; the ledger of this demo says %s lost", grouped(s.death.lost))
	data, err := os.ReadFile(filepath.Join(s.dir, "plan.json"))
	if err != nil {
		return err
	}
	plan, err := failover.Decode(data)
	if err != nil {
		return err
	}
	if out, err = s.run(ctx, "failover", "apply", "plan.json"); err != nil {
		return err
	}
	s.screen.output(linesWith(out, "changed on")...)
	for _, g := range plan.Groups {
		for _, p := range g.Positions {
			s.book.read(embedded.Order{Topic: p.Remote, Partition: p.Number, Offset: p.New - 1}) // where nothing is left it reads nothing
		}
	}
	s.sell(ctx, s.backup)
	s.bill(ctx, s.backup, "primary.orders", "orders")
	s.screen.at(time.Now(), "%s and the order service start on backup", group)
	if err := s.life(ctx, s.opts.acts.after); err != nil {
		return err
	}
	if err := s.billedTo(ctx, "primary.orders"); err != nil {
		return err
	}
	s.screen.say("of the orders of primary %s skipped %d; it read %s again, handled since its last checkpoint and known by number", group, s.book.skipped(true),
		grouped(s.book.sum().again))
	return s.breathe(ctx)
}

// life shows orders flowing on backup.
func (s *story) life(ctx context.Context, length time.Duration) error {
	s.screen.say("%7s %12s %12s %12s", "", "orders", "billed", "to bill")
	return s.seconds(ctx, length, func(second int, n sums) {
		s.screen.say("%5d s %12s %12s %12s", second, grouped(n.acked), grouped(n.billed), grouped(n.toBill))
	})
}

// billedTo waits until billing has come to the end of topics on backup.
func (s *story) billedTo(ctx context.Context, topics ...string) error {
	for _, topic := range topics {
		if err := s.await(ctx, group+" to come to the end of "+topic, func() bool { return s.book.caughtUp(topic) }); err != nil {
			return err
		}
	}
	return nil
}

// claim takes something for proved, or not.
func (s *story) claim(holds bool, what string) {
	if !holds {
		s.wrong = append(s.wrong, what)
	}
}

// proofs sums up what the ledger says. Nothing in it is from the clusters' or the commands' own words.
func (s *story) proofs() error {
	s.screen.act(5, "Every order accounted for")
	d, n, r := s.death, s.book.sum(), s.restored
	row := func(holds bool, what, format string, args ...any) {
		s.screen.proof(holds, what, fmt.Sprintf(format, args...))
		s.claim(holds, what)
	}
	row(d.gaps+d.repeated+d.different+d.disordered == 0 && d.acked > 0, "copied to backup", "%s: missing in between %d, repeated %d, different %d, out of order %d",
		several(d.acked-d.lost, "order"), d.gaps, d.repeated, d.different, d.disordered)
	skipped := s.book.skipped(false)
	row(skipped+s.book.unknown() == 0, "moved group, no gap", "%s billed: skipped %d, billed twice 0 (%s read again, known by number)", several(n.billed, "order"), skipped, grouped(n.again))
	row(r.equal() && r.wanted > 0, "topic brought back", "%s: lost %d, different %d, too many %d; its group reads %d again", several(r.got, "order"), r.lost, r.different, r.surplus, r.again)
	s.screen.say("%-5s  %-24s  %s: what was on its way when it died, and nothing else", "", "lost with primary", several(d.lost, "order"))
	if len(s.wrong) > 0 {
		verb := "do"
		if len(s.wrong) == 1 {
			verb = "does"
		}
		return fmt.Errorf("%d of the demo's claims %s not hold: %s", len(s.wrong), verb, strings.Join(s.wrong, "; "))
	}
	return nil
}

// stay keeps what is there until Ctrl-C.
func (s *story) stay(ctx context.Context) {
	fmt.Fprintln(s.screen.out)
	s.screen.say("backup, the archive and the page stay until Ctrl-C; type commands in %s, or look at %s", s.dir, s.page)
	<-ctx.Done()
}
