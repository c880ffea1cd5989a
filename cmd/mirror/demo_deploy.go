package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const brokenOrders = 200

// topicComesBack is the bad deploy, and what archive does about it.
func (s *story) topicComesBack(ctx context.Context) error {
	s.screen.act(4, "A bad deploy deletes a topic")
	err := s.shop.stop()
	s.shop = nil
	if err != nil {
		return err
	}
	s.screen.at(time.Now(), "the order service stops, for deployment 42")
	if err := s.quiet(ctx); err != nil {
		return err
	}
	if err := s.deploy(ctx); err != nil {
		return err
	}
	if err := s.breathe(ctx); err != nil {
		return err
	}
	if err := s.restore(ctx); err != nil {
		return err
	}
	if err := s.breathe(ctx); err != nil {
		return err
	}
	before := s.book.sum().again
	s.screen.at(time.Now(), "deployment 43 is mended; the order service and %s go on", group)
	s.sell(ctx, s.backup)
	s.bill(ctx, s.backup, "primary.orders", "orders")
	if err := s.life(ctx, s.opts.acts.mended); err != nil {
		return err
	}
	if err := s.shop.stop(); err != nil {
		return err
	}
	s.shop = nil
	if err := s.billedTo(ctx, "primary.orders", "orders"); err != nil {
		return err
	}
	s.restored.again = s.book.sum().again - before
	s.screen.say("%s has gone on where it stood: it read %d again", group, s.restored.again)
	return s.breathe(ctx)
}

// quiet waits until everything is billed and archived, and finds the second that is worth going back to.
func (s *story) quiet(ctx context.Context) error {
	if err := s.billedTo(ctx, "primary.orders", "orders"); err != nil {
		return err
	}
	if err := s.await(ctx, "the archive to hold all orders, and where "+group+" stands", func() bool { return s.archived(ctx) }); err != nil {
		return err
	}
	s.moment = time.Now().Truncate(time.Second).Add(time.Second)
	return s.wait(ctx, time.Until(s.moment.Add(time.Second)))
}

// archived asks archive whether it holds what was written to backup and billed.
func (s *story) archived(ctx context.Context) bool {
	path, err := sibling("archive")
	if err != nil {
		return false
	}
	cmd := exec.CommandContext(ctx, path, "ls", demoFile, "--source", "backup", "--partitions", "--groups", "--json")
	cmd.Dir = s.dir
	out, err := cmd.Output()
	if err != nil {
		return false // it has nothing yet
	}
	var listed struct {
		Topics []struct {
			Topic   string `json:"topic"`
			Offsets []struct {
				Partition int32 `json:"partition"`
				Next      int64 `json:"next"`
			} `json:"offsets"`
		} `json:"topics"`
		Groups []struct {
			Group   string           `json:"group"`
			Offsets map[string]int64 `json:"offsets"`
		} `json:"groups"`
	}
	if err := json.Unmarshal(out, &listed); err != nil {
		return false
	}
	there, billed := make(map[string]int64), make(map[string]int64)
	for _, t := range listed.Topics {
		for _, p := range t.Offsets {
			there[fmt.Sprintf("%s/%d", t.Topic, p.Partition)] = p.Next
		}
	}
	for _, g := range listed.Groups {
		if g.Group == group {
			billed = g.Offsets
		}
	}
	for at, end := range s.book.endsOf("orders") {
		name := fmt.Sprintf("%s/%d", at.topic, at.partition)
		if there[name] != end || billed[name] != end {
			return false
		}
	}
	return true
}

// deploy writes broken orders, at which billing stops, and deletes the topic.
func (s *story) deploy(ctx context.Context) error {
	s.screen.at(time.Now(), "deployment 42 writes %d broken orders; %s stops at the first", brokenOrders, group)
	if err := s.backup.WriteBroken(ctx, "orders", brokenOrders); err != nil {
		return err
	}
	select {
	case <-s.billing.done:
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(s.opts.acts.patience):
		return fmt.Errorf("waited %v for %s to meet a broken order", s.opts.acts.patience, group)
	}
	if err := s.billing.stop(); !errors.Is(err, errBroken) {
		return fmt.Errorf("%s has stopped, and not at a broken order: %w", group, err)
	}
	s.billing = nil
	held, err := s.backup.Count(ctx, "orders")
	if err != nil {
		return err
	}
	if err := s.backup.DeleteTopic(ctx, "orders"); err != nil {
		return err
	}
	s.screen.at(time.Now(), "its clean-up deletes topic orders: %s gone, and no cluster has them", several(held-brokenOrders, "order"))
	return nil
}

// restore brings the topic back, and looks at every record of it.
func (s *story) restore(ctx context.Context) error {
	s.screen.say("the second before was %s:", s.moment.UTC().Format("15:04:05"))
	out, err := s.run(ctx, "archive", "restore", demoFile, "--source", "backup", "--to", "backup", "--topics", "orders",
		"--until", s.moment.UTC().Format(time.RFC3339), "--yes")
	if err != nil {
		return err
	}
	s.screen.output(linesWith(out, "Restored ", "Positions of ")...)
	held, err := s.backup.Orders(ctx, "orders")
	if err != nil {
		return err
	}
	s.restored = s.book.compare(held, s.moment)
	r := s.restored
	s.screen.say("compared one by one: %s of %s are back; lost %d, different %d, too many %d", grouped(r.got), several(r.wanted, "order"), r.lost, r.different, r.surplus)
	return nil
}

// run runs a command that stands beside this one, and shows how somebody would call it.
func (s *story) run(ctx context.Context, args ...string) (string, error) {
	path, err := sibling(args[0])
	if err != nil {
		return "", err
	}
	s.screen.command(args)
	var out, all bytes.Buffer
	cmd := exec.CommandContext(ctx, path, args[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, &out, &all
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", fmt.Errorf("%s: %w\n%s%s", strings.Join(args[:2], " "), err, &out, &all)
	}
	return out.String(), nil
}

// linesWith are the lines of a command that tell something for this story.
func linesWith(out string, words ...string) (found []string) {
	for line := range strings.Lines(out) {
		for _, w := range words {
			if strings.Contains(line, w) {
				found = append(found, strings.TrimSpace(line))
				break
			}
		}
	}
	return found
}
