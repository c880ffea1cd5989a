package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	"tandem/internal/archive/keys"
	"tandem/internal/archive/store"
	"tandem/internal/cli"
	"tandem/internal/config"
)

// selection says which archive of a file is meant.
type selection struct {
	source string // --source
	flow   string // --flow
	json   bool   // --json
}

func (s *selection) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.source, "source", "", "alias of the cluster whose archive is meant, where the file archives several")
	cmd.Flags().StringVar(&s.flow, "flow", "", "flow that archives it, as A->B, where the source goes into several stores")
	cmd.Flags().BoolVar(&s.json, "json", false, "print JSON")
}

// opened is the archive of one source.
type opened struct {
	conf   *config.Config
	flow   config.Flow // the one that archives
	store  store.Store
	keeper bundle.Keeper // nil: not encrypted
	ring   *keys.Ring
}

// openArchive finds the archive in the file and opens its store and keys.
func openArchive(ctx context.Context, path string, s selection) (*opened, error) {
	conf, err := config.Load(path, nil)
	if err != nil {
		return nil, err
	}
	o := &opened{conf: conf}
	if o.flow, err = archiving(conf, s); err != nil {
		return nil, err
	}
	a := o.flow.Archive
	if len(a.KeyURLs) > 0 {
		if o.ring, err = keys.Open(ctx, a.KeyURLs); err != nil {
			return nil, fmt.Errorf("archive.encryption.key.url: %w", err)
		}
		o.keeper = o.ring
	}
	o.store, err = store.Open(ctx, a.URL, store.Options{S3: store.S3Options{
		SSE: a.SSE, KMSKeyID: a.KMSKeyID, StorageClass: a.StorageClass, LockMode: a.LockMode, LockDays: a.LockDays,
	}, Retried: retried(os.Stderr)})
	if err != nil {
		o.close()
		return nil, fmt.Errorf("archive.url: %w", err)
	}
	return o, nil
}

const retriedTold = 10 * time.Second // how often it is told that a store is asked again

// retried tells of errors after which the store is asked again: nobody likes to wait without knowing what for.
func retried(w io.Writer) func(store.Retry) {
	var mu sync.Mutex
	var told time.Time
	return func(r store.Retry) {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(told) < retriedTold {
			return
		}
		told = time.Now()
		fmt.Fprintf(w, "the store has trouble; trying again for up to %s: %v\n", store.DefaultPatience, r.Err)
	}
}

// hint is what a person may do about an error of the store; empty where the error says it.
func hint(err error) string {
	if own := (*store.Error)(nil); !errors.As(err, &own) || own.Op == "open" {
		return ""
	}
	switch store.Classify(err) {
	case store.AccessDenied:
		return "the store refuses access: check the credentials and their rights"
	case store.Settings:
		return "the store cannot be used as it is set: check archive.url and the bucket"
	case store.Full:
		return "the store is full: free space or raise the quota"
	default:
		return ""
	}
}

// archiving is the flow of a file that archives what is meant.
func archiving(conf *config.Config, s selection) (config.Flow, error) {
	var found []config.Flow
	var sources []string
	for _, f := range conf.Flows {
		if f.Archive.Enabled {
			sources = append(sources, f.Flow.String())
			if (s.source == "" || f.Source == s.source) && (s.flow == "" || f.Flow.String() == s.flow) {
				found = append(found, f)
			}
		}
	}
	switch {
	case len(sources) == 0:
		return config.Flow{}, fmt.Errorf("%s archives nothing; set archive.enabled and archive.url for a flow", conf.Path)
	case len(found) == 0:
		return config.Flow{}, fmt.Errorf("%s archives nothing of what --source and --flow name; it archives %s", conf.Path, strings.Join(sources, ", "))
	case len(found) > 1:
		return config.Flow{}, fmt.Errorf("%s has several archives (%s): say which with --source, or --flow", conf.Path, strings.Join(sources, ", "))
	}
	return found[0], nil
}

func (o *opened) close() {
	if o.store != nil {
		_ = o.store.Close() // nothing is written behind its back
	}
	if o.ring != nil {
		_ = o.ring.Close()
	}
}

// options are how the catalog is read; p shows how far it is.
func (o *opened) options(p *cli.Progress, what string) catalog.Options {
	return catalog.Options{
		Source: o.flow.Source, Keeper: o.keeper,
		Progress: func(done, all int) { p.Show("%s: %d of %d bundles", what, done, all) },
	}
}

// confirm asks before something is written or removed. Where nobody can be asked, --yes is needed.
func confirm(cmd *cobra.Command, yes bool, question string) error {
	if yes {
		return nil
	}
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return refused{errors.New("nothing was done; add --yes to do it without being asked")}
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s [y/N] ", question)
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read answer: %w", err)
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return refused{errors.New("nothing was done")}
	}
	return nil
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// arguments wants exactly as many as the usage names.
func arguments(n int, usage string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != n {
			return fmt.Errorf("%d arguments, not %d: Usage: %s", n, len(args), usage)
		}
		return nil
	}
}
