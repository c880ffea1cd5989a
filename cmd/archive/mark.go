package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/cli"
)

type markOptions struct {
	selection
	note    string
	wait    time.Duration
	timeout time.Duration
}

func markCommand() *cobra.Command {
	var o markOptions
	const usage = "archive mark FILE NAME"
	cmd := &cobra.Command{
		Use:   "mark FILE NAME",
		Short: "Name this moment, to restore it later",
		Long: `mark writes down where the source stands: the end of each partition that is archived, at a moment at which no transaction is open, positions of
groups, configs, ACLs. Restore --point NAME brings just that back. Then it waits until mirror has archived everything up to there.

A transaction over several partitions that ends while their leaders are asked may be part of a point in some of them only: let producers pause
where that matters.

` + statusesHelp,
		Example: `  archive mark mm2.properties before-deploy-42
  archive mark mm2.properties before-deploy-42 --note "orders 3.7" --wait 2m`,
		Args: arguments(2, usage),
		RunE: func(cmd *cobra.Command, args []string) error {
			return mark(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), args[0], args[1], o)
		},
	}
	o.selection.flags(cmd)
	cmd.Flags().StringVar(&o.note, "note", "", "what is to be remembered of it")
	cmd.Flags().DurationVar(&o.wait, "wait", 30*time.Second, "how long to wait for a moment without open transactions")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 2*time.Minute, "how long to wait until the archive has come so far")
	return cmd
}

// marked is what mark prints as JSON.
type marked struct {
	Point      string    `json:"point"`
	At         time.Time `json:"at"`
	Object     string    `json:"object"`
	Topics     int       `json:"topics"`
	Partitions int       `json:"partitions"`
	Groups     int       `json:"groups"`
	Open       []string  `json:"open"`    // partitions in which transactions were open
	Unknown    []string  `json:"unknown"` // topics of which the archive knows nothing yet
	Warnings   []string  `json:"warnings"`
	Behind     []string  `json:"behind"` // partitions that are not archived so far
	Restorable bool      `json:"restorable"`
}

const nameLimit = 200 // bytes of a point's name

func checkName(name string) error {
	if name == "" || len(name) > nameLimit || strings.TrimSpace(name) != name || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("%q is no name for a point: 1 to %d bytes, without control characters, and without spaces at its ends", name, nameLimit)
	}
	return nil
}

func mark(ctx context.Context, stdout, stderr io.Writer, file, name string, o markOptions) error {
	if err := checkName(name); err != nil {
		return err
	}
	a, err := openArchive(ctx, file, o.selection)
	if err != nil {
		return err
	}
	defer a.close()
	p := cli.NewProgress(stderr)
	defer p.Clear()
	m, err := newMarker(a, p)
	if err != nil {
		return err
	}
	defer m.close()
	if err := m.load(ctx); err != nil {
		return err
	}
	for _, known := range m.state.Points {
		if known.Name == name {
			return refused{fmt.Errorf("there is a point %s already, of %s; nothing was written", name, stamp(known.At))}
		}
	}
	out, err := m.mark(ctx, name, o)
	if err != nil {
		return err
	}
	p.Clear()
	if !o.json {
		out.print(stdout)
	}
	err = m.follow(ctx, out, o.timeout)
	p.Clear()
	if o.json {
		if err := printJSON(stdout, out); err != nil {
			return err
		}
	}
	switch {
	case err != nil:
		return err
	case !out.Restorable:
		return refused{fmt.Errorf("point %s is written, and becomes restorable when the archive has come so far; %s behind, as %s: is mirror running?",
			name, count(len(out.Behind), "partition"), out.Behind[0])}
	case !o.json:
		_, err = fmt.Fprintf(stdout, "point %s is restorable\n", name)
	}
	return err
}

func (m *marked) print(w io.Writer) {
	fmt.Fprintf(w, "point %s of %s: %s, %s, %s\n", m.Point, stamp(m.At), count(m.Topics, "topic"), count(m.Partitions, "partition"), count(m.Groups, "group"))
	for _, t := range m.Unknown {
		fmt.Fprintf(w, "the archive knows nothing of topic %s yet: it is not part of the point\n", t)
	}
	for _, p := range m.Open {
		fmt.Fprintf(w, "transactions were open in %s: the point ends before them there\n", p)
	}
	for _, text := range m.Warnings {
		fmt.Fprintf(w, "warning: %s\n", text)
	}
}

// explained is an error of the source in words that say what to do.
func (m *marker) explained(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return reason("cluster "+m.flow.Source, err)
}
