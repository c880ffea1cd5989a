package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	"tandem/internal/cli"
)

func keysCheckCommand() *cobra.Command {
	var s selection
	const usage = "archive keys check FILE"
	cmd := &cobra.Command{
		Use:   "check FILE",
		Short: "Say which keys are in use, and whether they open what they should",
		Long: `check looks which key each bundle names, and opens the oldest and the newest bundle of each. It says which keys are needed, since when,
and which could be taken out of the setting. A service is asked for two data keys of each of its keys, not for one of each bundle.

` + statusesHelp,
		Example: "  archive keys check mm2.properties",
		Args:    arguments(1, usage),
		RunE: func(cmd *cobra.Command, args []string) error {
			return keysCheck(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), args[0], s)
		},
	}
	s.flags(cmd)
	return cmd
}

// usedKey is a key that bundles name.
type usedKey struct {
	ID      string    `json:"id"` // empty: not encrypted
	URLs    []string  `json:"urls"`
	Front   bool      `json:"front"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until"`
	Bundles int       `json:"bundles"`
	Opens   bool      `json:"opens"`
	Error   string    `json:"error,omitempty"`

	oldest, newest catalog.Object
}

type checked struct {
	Source  string     `json:"source"`
	Keys    []*usedKey `json:"keys"`
	Unused  []string   `json:"unused"` // URLs that could go
	Damaged int        `json:"damaged"`
}

// noter is a bundle.Keeper that notes which key each bundle names and opens none: the walk needs no more.
type noter struct {
	mu  sync.Mutex
	ids map[string]string // by bundle, without a prefix
}

// Wrap is bundle.Keeper.
func (n *noter) Wrap(context.Context, []byte, []byte) ([]byte, string, error) {
	return nil, "", errors.New("it only looks")
}

// Unwrap is bundle.Keeper.
func (n *noter) Unwrap(_ context.Context, keyID string, _, aad []byte) ([]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ids[string(aad)] = keyID
	return nil, bundle.ErrKey
}

func (n *noter) take(name string) (id string, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	id, ok = n.ids[name]
	delete(n.ids, name)
	return id, ok
}

func keysCheck(ctx context.Context, stdout, stderr io.Writer, file string, s selection) error {
	a, err := openArchive(ctx, file, s)
	if err != nil {
		return asRefused(err)
	}
	defer a.close()
	p := cli.NewProgress(stderr)
	defer p.Clear()
	c, err := survey(ctx, a, p)
	if err != nil {
		return err
	}
	for _, k := range c.Keys {
		if k.ID != "" {
			if err := k.try(ctx, a); err != nil {
				return err
			}
		}
	}
	p.Clear()
	if s.json {
		err = printJSON(stdout, c)
	} else {
		err = c.print(stdout)
	}
	if err != nil {
		return err
	}
	return c.verdict()
}

// survey finds out which keys the bundles name.
func survey(ctx context.Context, a *opened, p *cli.Progress) (*checked, error) {
	objects, _, err := catalog.List(ctx, a.store, a.flow.Source)
	if err != nil {
		return nil, err
	}
	n := &noter{ids: make(map[string]string)}
	o := a.options(p, "keys")
	o.Keeper = n
	c := &checked{Source: a.flow.Source, Keys: []*usedKey{}, Unused: []string{}}
	by := make(map[string]*usedKey)
	err = catalog.Walk(ctx, a.store, objects, o, func(object catalog.Object, f *bundle.Footer, err error) error {
		id, encrypted := n.take(object.Name)
		if err != nil && !encrypted {
			c.Damaged++
			return nil
		}
		k := by[id]
		if k == nil {
			k = &usedKey{ID: id, URLs: []string{}, Opens: id == "", Since: object.Header.CreatedAt, oldest: object}
			by[id] = k
			c.Keys = append(c.Keys, k)
		}
		k.Bundles++
		k.Until, k.newest = object.Header.CreatedAt, object
		return nil
	})
	if err != nil {
		return nil, err
	}
	if a.ring != nil {
		c.match(a, by)
	}
	slices.SortStableFunc(c.Keys, func(a, b *usedKey) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID)) })
	return c, nil
}

// match finds the URLs of the keys, and those that no bundle needs.
func (c *checked) match(a *opened, by map[string]*usedKey) {
	for i, k := range a.ring.Keys() {
		used := by[k.ID]
		if used == nil {
			if i > 0 {
				c.Unused = append(c.Unused, k.URL)
			}
			continue
		}
		used.URLs = append(used.URLs, k.URL)
		used.Front = used.Front || i == 0
	}
}

// try opens the oldest and the newest bundle of a key. A service that is away is an error.
func (k *usedKey) try(ctx context.Context, a *opened) error {
	opener := catalog.NewOpener(a.store, a.keeper, 1)
	for _, object := range []catalog.Object{k.oldest, k.newest} {
		_, err := opener.Footer(ctx, &object)
		switch {
		case err == nil:
		case errors.Is(err, bundle.ErrKey):
			k.Error = err.Error()
			return nil
		case errors.Is(err, bundle.ErrCorrupt), errors.Is(err, bundle.ErrNewer):
			k.Error = err.Error()
			return nil
		default:
			return err
		}
	}
	k.Opens = true
	return nil
}

func (c *checked) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "KEY\tBUNDLES\tFROM\tTO\tOPENS\tURL\n")
	for _, k := range c.Keys {
		id, opens, at := k.ID, "yes", "not given"
		if id == "" {
			id, at = "not encrypted", ""
		}
		if !k.Opens {
			opens = "NO"
		}
		for i, u := range k.URLs {
			if i == 0 {
				at = u
			} else {
				at += ", " + u
			}
		}
		if k.Front {
			at += " (wraps)"
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\n", id, k.Bundles, stamp(k.Since), stamp(k.Until), opens, at)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, u := range c.Unused {
		fmt.Fprintf(w, "no bundle needs %s: it could be taken out of %s. Keep the key while copies of older bundles are kept\n", u, keySetting)
	}
	for _, k := range c.Keys {
		if !k.Opens {
			fmt.Fprintf(w, "%s, %s to %s: %s\n", count(k.Bundles, "bundle"), stamp(k.Since), stamp(k.Until), k.Error)
		}
	}
	return nil
}

func (c *checked) verdict() error {
	shut := 0
	for _, k := range c.Keys {
		if !k.Opens {
			shut++
		}
	}
	switch {
	case shut > 0:
		return refused{fmt.Errorf("%s missing or wrong: add what is missing behind the first in %s", count(shut, "key"), keySetting)}
	case c.Damaged > 0:
		return refused{fmt.Errorf("%s cannot be read: run archive verify", count(c.Damaged, "bundle"))}
	}
	return nil
}
