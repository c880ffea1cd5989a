package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"tandem/internal/testkit/proc"
)

// Who stands in the rows that Tandem's archive command has.
const (
	ownName     = "restore"
	compactName = "compact"
)

func verifyName(level string) string { return "verify --level " + level }

// command runs Tandem's archive command on the archive of the tee's last run.
func (a *archiving) command(ctx context.Context, topic string, verb string, args ...string) (ranOnce, error) {
	program, err := a.program(ctx, "./cmd/archive")
	if err != nil {
		return ranOnce{}, err
	}
	a.runs++
	dir := filepath.Join(a.dir, fmt.Sprintf("run-%d-%s", a.runs, verb))
	all := append([]string{verb, a.last.config}, args...)
	return a.runOnce(ctx, dir, topic, a.job.records, program, all...)
}

// runRestores brings the topic back into a cluster that does not have it, beside the mirror that copies it.
func (a *archiving) runRestores(ctx context.Context, f flags) error {
	who := []turn{{mirrorName, a.mirrored(restoreJob)}, {teeName, a.restore}}
	if a.peer != "" {
		who = append(who, turn{peerName, a.peerRestore})
	}
	return a.turns(ctx, f, who)
}

func (a *archiving) restore(ctx context.Context) (k kept, err error) {
	topic := a.job.topic()
	r, err := a.command(ctx, topic, "restore", "--to", a.last.targetAlias(), "--topics", topic, "--yes")
	if err != nil {
		return k, err
	}
	k = r.kept(restoreJob, ownName)
	if err := verify(ctx, a.a, a.b, a.job, topic); err != nil {
		return k, err
	}
	// A restore that is run again would only say that it is finished: the next round is to be another one.
	if err := os.RemoveAll(a.ledgers()); err != nil {
		return k, err
	}
	return k, a.b.deleteTopic(ctx, topic)
}

func (a *archiving) ledgers() string {
	return filepath.Join(folderOf(a.last), "v1", a.last.alias, "restores")
}

func (a *archiving) peerRestore(ctx context.Context) (k kept, err error) {
	a.runs++
	into := fmt.Sprintf("%s%d.%s", peerName, a.runs, a.job.topic())
	if err := a.b.createTopic(ctx, into); err != nil {
		return k, err
	}
	dir := filepath.Join(a.dir, fmt.Sprintf("run-%d-%s", a.runs, peerName))
	r, err := a.runOnce(ctx, dir, into, a.job.records, a.peer, "restore", a.b.kafka.Bootstrap, a.job.topic(), a.backup, into)
	if err != nil {
		return k, err
	}
	if err := verify(ctx, a.a, a.b, a.job, into); err != nil {
		return k, err
	}
	return r.kept(restoreJob, peerName), a.b.deleteTopic(ctx, into)
}

// runVerify reads the archive from the local disk, or rather from the memory that the system keeps of it.
func (a *archiving) runVerify(ctx context.Context, f flags) error {
	return a.turns(ctx, f, []turn{{teeName, func(ctx context.Context) (kept, error) { return a.verified(ctx, "chunk") }}})
}

func (a *archiving) verified(ctx context.Context, level string) (k kept, err error) {
	r, err := a.command(ctx, "", "verify", "--level", level)
	if err != nil {
		return k, err
	}
	k = r.kept(verifyJob, verifyName(level))
	k.Stored, k.Objects, err = stored(folderOf(a.last))
	return k, err
}

// goOn has the mirror store one more bundle, as it does some seconds after a start: the newest one, which compact leaves alone, is small then,
// as it is where an archive lives on.
func (a *archiving) goOn(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, runPatience, fmt.Errorf("no bundle is stored after %s", runPatience))
	defer cancel()
	dir := folderOf(a.last)
	before, err := readArchive(ctx, dir)
	if err != nil {
		return err
	}
	p, err := proc.Start(a.last.logTo, a.mirror.binary, a.last.config)
	if err != nil {
		return err
	}
	defer p.Kill()
	for {
		now, err := readArchive(ctx, dir)
		if err != nil || now.objects > before.objects {
			_ = p.Stop(stopPatience) // it has nothing to lose
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w\nthe end of its log:\n%s", context.Cause(ctx), p.LogTail(40))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// runSpace compacts the archive, once, and has every record of it proven.
func (a *archiving) runSpace(ctx context.Context, f flags) error {
	if !slices.Contains(f.only, teeName) {
		return nil
	}
	if err := a.goOn(ctx); err != nil {
		return err
	}
	r, err := a.command(ctx, "", "compact", "--older-than", "0s", "--yes")
	if err != nil {
		return err
	}
	k := r.kept(spaceJob, compactName)
	if k.Stored, k.Objects, err = stored(folderOf(a.last)); err != nil {
		return err
	}
	a.note(k)
	k, err = a.verified(ctx, "record")
	if err != nil {
		return err
	}
	k.Job = spaceJob
	a.note(k)
	found, err := readArchive(ctx, folderOf(a.last))
	if err != nil {
		return err
	}
	if found.records != int64(a.job.records) {
		return fmt.Errorf("compacted it holds %d records instead of %d", found.records, a.job.records)
	}
	return nil
}
