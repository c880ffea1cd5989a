package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	"tandem/internal/archive/restore"
	"tandem/internal/archive/retain"
	"tandem/internal/cli"
)

type pruneOptions struct {
	selection
	older  string
	keep   []string
	drop   bool
	force  bool
	dryRun bool
	yes    bool
}

func pruneCommand() *cobra.Command {
	var o pruneOptions
	const usage = "archive prune FILE"
	cmd := &cobra.Command{
		Use:   "prune FILE",
		Short: "Remove what is too old",
		Long: `prune removes bundles that were archived longer ago than --older-than, or than archive.retention.ms where it is set. It shows what would go, and
removes nothing without being told to. The archive stays what it is as of any moment from then on: topics, configs, ACLs and
positions of groups are written anew before the bundles go that held them, and so is what was removed. The newest bundles of each
writer stay whatever their age.

A point needs the records that the source can still have had at its time: of topics with cleanup.policy=delete and a
retention.ms, both set on the topic, those that were not older; of others everything below it. What points of --keep need stays;
if others would lose something, prune refuses, unless --drop-points is given.

What object lock holds back is no error: prune says until when, and the next run removes it. A run that was stopped is finished by the next one.

` + statusesHelp,
		Example: `  archive prune mm2.properties --older-than 90d --dry-run
  archive prune mm2.properties --keep before-deploy-42 --yes
  archive prune mm2.properties --older-than 2160h --json --yes`,
		Args: arguments(1, usage),
		RunE: func(cmd *cobra.Command, args []string) error {
			return prune(cmd, args[0], o)
		},
	}
	o.selection.flags(cmd)
	cmd.Flags().StringVar(&o.older, "older-than", "", "age of what may go, as 90d or 36h; the default is archive.retention.ms")
	cmd.Flags().StringArrayVar(&o.keep, "keep", nil, "point whose records stay; may be given several times")
	cmd.Flags().BoolVar(&o.drop, "drop-points", false, "go on although points lose records that they need")
	cmd.Flags().BoolVar(&o.force, "force", false, "go on although a restore is not finished that may need what goes")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "only show the plan")
	cmd.Flags().BoolVar(&o.yes, "yes", false, "do it without asking")
	return cmd
}

// pruned is what prune prints as JSON.
type pruned struct {
	Source    string         `json:"source"`
	Cutoff    time.Time      `json:"cutoff"`
	Objects   int            `json:"objects"`
	Leftovers int            `json:"leftovers"`
	Bytes     int64          `json:"bytes"`
	Stay      map[string]int `json:"old_that_stay"`
	Before    *time.Time     `json:"restorable_since"`
	After     *time.Time     `json:"restorable_since_afterwards"`
	Lost      []retain.Point `json:"points_that_lose"`
	Lasting   []string       `json:"topics_whose_source_may_have_more"`
	Restores  []string       `json:"unfinished_restores"`
	Done      *removal       `json:"done,omitempty"`
}

func prune(cmd *cobra.Command, file string, o pruneOptions) error {
	ctx := cmd.Context()
	a, err := openArchive(ctx, file, o.selection)
	if err != nil {
		return err
	}
	defer a.close()
	age, err := pruneAge(o.older, a.flow.Archive.Retention)
	if err != nil {
		return err
	}
	p := cli.NewProgress(cmd.ErrOrStderr())
	defer p.Clear()
	r := &remover{opened: a, now: time.Now(), progress: p}
	plan, err := r.plan(ctx, r.now.Add(-age), o.keep)
	if err != nil {
		return err
	}
	unfinished, err := unfinishedRestores(ctx, a, r.now)
	if err != nil {
		return err
	}
	p.Clear()
	out := prunedOf(a.flow.Source, r.now.Add(-age), plan, unfinished)
	if !o.json {
		out.print(cmd.OutOrStdout())
	}
	if err := out.act(cmd, r, plan, o); err != nil {
		return err
	}
	if o.json {
		return printJSON(cmd.OutOrStdout(), out)
	}
	return nil
}

// act does what the plan says, if nothing speaks against it.
func (out *pruned) act(cmd *cobra.Command, r *remover, plan retain.Plan, o pruneOptions) error {
	refuse := func(format string, args ...any) error {
		if o.json {
			if err := printJSON(cmd.OutOrStdout(), out); err != nil {
				return err
			}
		}
		return refused{fmt.Errorf(format, args...)}
	}
	switch {
	case len(plan.Lost) > 0 && !o.drop:
		return refuse("nothing was removed: %s would lose records; --keep them, or say --drop-points", count(len(plan.Lost), "point"))
	case len(out.Restores) > 0 && !o.force:
		return refuse("nothing was removed: restore %s is not finished and may need what goes; finish it, or say --force", strings.Join(out.Restores, ", "))
	case o.dryRun || out.Objects+out.Leftovers == 0:
		return nil
	case o.json && !o.yes:
		return refuse("nothing was done; add --yes to do it without being asked")
	}
	if err := confirm(cmd, o.yes, fmt.Sprintf("Remove %s?", count(out.Objects+out.Leftovers, "object"))); err != nil {
		return err
	}
	done, err := r.remove(cmd.Context(), plan)
	r.progress.Clear()
	out.Done = &done
	if !o.json {
		done.print(cmd.OutOrStdout())
	}
	return err
}

var days = regexp.MustCompile(`^([0-9]+)d$`)

// pruneAge reads --older-than; without it archive.retention.ms counts.
func pruneAge(text string, setting time.Duration) (time.Duration, error) {
	if text == "" {
		if setting <= 0 {
			return 0, errors.New("how old? Say --older-than 90d, or set archive.retention.ms")
		}
		return setting, nil
	}
	age, err := time.ParseDuration(text)
	if m := days.FindStringSubmatch(text); m != nil {
		var n int
		if n, err = strconv.Atoi(m[1]); err == nil && n > 100*366 {
			err = errors.New("too long ago")
		}
		age = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || age < 0 {
		return 0, fmt.Errorf("--older-than %s: an age is wanted, as 90d or 36h", text)
	}
	return age, nil
}

// remover removes from one archive.
type remover struct {
	*opened
	now      time.Time
	progress *cli.Progress
	newest   bundle.Header // of the archive: the new bundles say what it says of the source
	objects  []catalog.Object
}

// plan reads the archive and decides.
func (r *remover) plan(ctx context.Context, cutoff time.Time, keep []string) (retain.Plan, error) {
	objects, _, err := catalog.List(ctx, r.store, r.flow.Source)
	if err != nil {
		return retain.Plan{}, err
	}
	r.objects = objects
	survey := retain.NewSurvey(cutoff)
	err = catalog.Walk(ctx, r.store, objects, r.options(r.progress, "prune"), func(o catalog.Object, f *bundle.Footer, err error) error {
		switch {
		case errors.Is(err, bundle.ErrKey): // it is no reason to take it for damaged
			return fmt.Errorf("%w; archive keys check FILE says more", err)
		case err != nil:
			survey.AddDamaged(o)
		default:
			survey.Add(o, f)
			r.newest = f.Header
		}
		return nil
	})
	if err != nil {
		return retain.Plan{}, err
	}
	plan, err := survey.Plan(retain.Options{Keep: keep, Now: r.now})
	if err != nil {
		return plan, refused{err}
	}
	return plan, nil
}

const restoreForgotten = 7 * 24 * time.Hour // a restore that nobody has gone on with for so long holds nothing back

// unfinishedRestores are restores that have a plan and no end.
func unfinishedRestores(ctx context.Context, a *opened, now time.Time) ([]string, error) {
	folder := restore.Folder(a.flow.Source)
	begun := make(map[string]bool)
	for info, err := range a.store.List(ctx, folder, "") {
		if err != nil {
			return nil, fmt.Errorf("list restores: %w", err)
		}
		id, object, _ := strings.Cut(strings.TrimPrefix(info.Name, folder), "/")
		switch {
		case strings.HasPrefix(object, "finished"), strings.HasPrefix(object, "written"): // then it no longer reads the archive
			begun[id] = false
		case now.Sub(info.Modified) < restoreForgotten:
			if _, known := begun[id]; !known {
				begun[id] = true
			}
		}
	}
	maps.DeleteFunc(begun, func(_ string, open bool) bool { return !open })
	return slices.Sorted(maps.Keys(begun)), nil
}

func prunedOf(source string, cutoff time.Time, p retain.Plan, unfinished []string) *pruned {
	out := &pruned{
		Source: source, Cutoff: cutoff.UTC(), Objects: len(p.Remove), Leftovers: len(p.Leftovers), Bytes: p.Bytes, Stay: map[string]int{},
		Before: shown(p.Before), After: shown(p.After), Lost: append([]retain.Point{}, p.Lost...),
		Lasting: append([]string{}, p.Lasting...), Restores: append([]string{}, unfinished...),
	}
	for why, n := range p.Stay {
		out.Stay[string(why)] = n
	}
	return out
}

func (out *pruned) print(w io.Writer) {
	fmt.Fprintf(w, "archive of %s: %s of before %s may go, %s\n", out.Source, count(out.Objects, "bundle"), stamp(out.Cutoff), byteCount(out.Bytes))
	if out.Leftovers > 0 {
		fmt.Fprintf(w, "and %s that an earlier run did not remove\n", count(out.Leftovers, "bundle"))
	}
	for _, why := range slices.Sorted(maps.Keys(out.Stay)) {
		fmt.Fprintf(w, "old, but stays: %s: it %s\n", count(out.Stay[why], "bundle"), why)
	}
	if out.Objects > 0 {
		fmt.Fprintf(w, "records are all there since %s; afterwards since %s\n", maybe(out.Before), maybe(out.After))
	}
	for _, topic := range out.Lasting {
		fmt.Fprintf(w, "warning: the source may still have records of %s that go: a restore of any moment lacks them afterwards\n", topic)
	}
	for _, p := range out.Lost {
		fmt.Fprintf(w, "point %s of %s needs what would go\n", p.Name, stamp(p.At))
	}
}
