package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	"tandem/internal/archive/store"
	"tandem/internal/cli"
)

func rebuildCommand() *cobra.Command {
	var s selection
	var all, yes bool
	const usage = "archive rebuild FILE"
	cmd := &cobra.Command{
		Use:   "rebuild FILE",
		Short: "Write the index objects anew",
		Long: `rebuild writes index objects for the hours that have none: an index object holds the ends of an hour's bundles, so that other commands need
one request for an hour and not one for each bundle. Nothing but bundles is the truth: an archive without any index is whole. With
--all the index objects that are there are deleted first.

` + statusesHelp,
		Example: `  archive rebuild mm2.properties
  archive rebuild mm2.properties --all --yes`,
		Args: arguments(1, usage),
		RunE: func(cmd *cobra.Command, args []string) error {
			return rebuild(cmd, args[0], s, all, yes)
		},
	}
	s.flags(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "delete all index objects first")
	cmd.Flags().BoolVar(&yes, "yes", false, "do it without asking")
	return cmd
}

type rebuilt struct {
	Bundles  int `json:"bundles"`
	Deleted  int `json:"index_deleted"`
	Retained int `json:"index_retained"`
	Written  int `json:"index_written"`
}

func rebuild(cmd *cobra.Command, file string, s selection, all, yes bool) error {
	ctx := cmd.Context()
	a, err := openArchive(ctx, file, s)
	if err != nil {
		return err
	}
	defer a.close()
	p := cli.NewProgress(cmd.ErrOrStderr())
	defer p.Clear()
	objects, _, err := catalog.List(ctx, a.store, a.flow.Source)
	if err != nil {
		return err
	}
	r := rebuilt{Bundles: len(objects)}
	if all {
		index, err := indexObjects(ctx, a, "")
		if err != nil {
			return err
		}
		if !s.json {
			fmt.Fprintf(cmd.OutOrStdout(), "%s of %s are deleted and written anew from %s\n", count(len(index), "index object"), a.flow.Source, count(len(objects), "bundle"))
		}
		if err := confirm(cmd, yes, "Delete and write them anew?"); err != nil {
			return err
		}
		if r.Deleted, r.Retained, err = deleteIndex(ctx, a, index, p); err != nil {
			return err
		}
	}
	if r.Written, err = catalog.WriteIndex(ctx, a.store, a.options(p, "rebuild"), objects); err != nil {
		return err
	}
	p.Clear()
	if s.json {
		return printJSON(cmd.OutOrStdout(), r)
	}
	if r.Retained > 0 {
		fmt.Fprintf(cmd.OutOrStdout(), "%s are retained by a lock and stay as they are\n", count(r.Retained, "index object"))
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s written for %s; an hour gets one when it is over, and keeps one that is right\n", count(r.Written, "index object"), count(r.Bundles, "bundle"))
	return err
}

// indexFolder is where index objects stand: beside the bundles, in folders of the same hours.
func indexFolder(source string) string {
	return strings.TrimSuffix(bundle.Folder("", source), "bundles/") + "index/"
}

// indexObjects lists the names of index objects below a folder of theirs.
func indexObjects(ctx context.Context, a *opened, below string) ([]string, error) {
	var names []string
	for info, err := range a.store.List(ctx, indexFolder(a.flow.Source)+below, "") {
		if err != nil {
			return nil, fmt.Errorf("list index objects: %w", err)
		}
		names = append(names, info.Name)
	}
	return names, nil
}

func deleteIndex(ctx context.Context, a *opened, names []string, p *cli.Progress) (deleted, retained int, err error) {
	for i, name := range names {
		p.Show("delete: %d of %d index objects", i, len(names))
		switch err := a.store.Delete(ctx, name); {
		case err == nil:
			deleted++
		case store.Classify(err) == store.Retained:
			retained++
		default:
			return deleted, retained, err
		}
	}
	return deleted, retained, nil
}
