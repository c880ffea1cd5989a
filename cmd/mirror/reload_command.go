package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/config"
)

func reloadCommand() *cobra.Command {
	var dry, asJSON bool
	command := &cobra.Command{
		Use:   "reload FILE",
		Short: "Have a running mirror read its file again",
		Long: `reload asks the mirror that runs on this machine with FILE, at the file's status.address, to read it again, as SIGHUP does.
Applied at once, while records flow on: topics, groups, excludes, intervals, throttles, log.level, credentials. Whatever else
differs is named, and needs a restart. A file with an error changes nothing.

Exit statuses: 0 applied (or shown), 1 the file was refused or the answer makes no sense, 2 cannot run (bad arguments, no file, no
mirror answers).`,
		Example: `  mirror reload config/mm2.properties --dry-run      what would change
  mirror reload config/mm2.properties`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return cannotRun{errors.New("which mm2.properties? Usage: mirror reload FILE [--dry-run]")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			conf, err := config.Load(args[0], nil)
			switch {
			case unread(err, args[0]):
				return cannotRun{err}
			case err != nil:
				return fmt.Errorf("%w\nthe mirror was not asked, and goes on as it was", err)
			}
			if conf.StatusAddress == "" {
				return cannotRun{errors.New("status.address is empty: send SIGHUP to the mirror instead")}
			}
			done, err := askReload(cmd.Context(), conf, dry)
			if err != nil {
				return err
			}
			for _, w := range conf.Warnings {
				fmt.Fprintln(cmd.ErrOrStderr(), "mirror:", w)
			}
			if another(done.File, args[0]) {
				fmt.Fprintf(cmd.ErrOrStderr(), "mirror: note: the mirror at %s runs with %s, and has looked at that file; send SIGHUP to yours\n", conf.StatusAddress, done.File)
			}
			if asJSON {
				encoder := json.NewEncoder(cmd.OutOrStdout())
				encoder.SetEscapeHTML(false)
				return encoder.Encode(done)
			}
			showReload(cmd.OutOrStdout(), done)
			return nil
		},
	}
	command.Flags().BoolVar(&dry, "dry-run", false, "change nothing, show what would change")
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return command
}

const reloadWait = 30 * time.Second

// direct asks this machine's own addresses, which no proxy stands before.
var direct = &http.Client{Transport: &http.Transport{}}

// another tells whether the mirror that answers was started with another file than ours.
func another(theirs, ours string) bool {
	a, err := os.Stat(theirs)
	b, err2 := os.Stat(ours)
	return errors.Join(err, err2) == nil && !os.SameFile(a, b) // what we cannot see may be ours by another path, as in a container
}

// askReload asks the mirror at the file's status.address.
func askReload(ctx context.Context, conf *config.Config, dry bool) (done reloaded, err error) {
	address := conf.StatusAddress
	ctx, cancel := context.WithTimeout(ctx, reloadWait)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("http://%s/api/reload?dry=%t", address, dry), nil)
	if err != nil {
		return done, cannotRun{fmt.Errorf("status.address: %w", err)}
	}
	if conf.StatusToken != "" {
		request.Header.Set("Authorization", "Bearer "+conf.StatusToken)
	}
	answer, err := direct.Do(request)
	if err != nil {
		if inner, ok := errors.AsType[*net.OpError](err); ok {
			err = inner.Err
		}
		return done, cannotRun{fmt.Errorf("no mirror answers at %s (status.address): %w; is it running? One with another address takes SIGHUP", address, err)}
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 16<<20))
	if err != nil {
		return done, fmt.Errorf("read the answer of %s: %w", address, err)
	}
	switch answer.StatusCode {
	case http.StatusOK:
		if err := json.Unmarshal(body, &done); err != nil {
			return done, fmt.Errorf("read the answer of %s: %w", address, err)
		}
		return done, nil
	case http.StatusUnprocessableEntity:
		var refused struct {
			Error string `json:"error"`
		}
		if err := json.Unmarshal(body, &refused); err != nil {
			return done, fmt.Errorf("read the answer of %s: %w", address, err)
		}
		return done, fmt.Errorf("the mirror refuses the file, and goes on as it was: %s", refused.Error)
	case http.StatusUnauthorized:
		return done, cannotRun{fmt.Errorf("the mirror at %s wants another status.token than the file has: it was started with another one; restart it, or send SIGHUP", address)}
	default:
		return done, cannotRun{fmt.Errorf("%s answers %s: is it a mirror?", address, answer.Status)}
	}
}

func showReload(w io.Writer, done reloaded) {
	verb := "changed"
	if done.DryRun {
		verb = "would change"
	}
	for _, c := range done.Applied {
		fmt.Fprintf(w, "%s: %s: %s -> %s\n", verb, named(c), orNone(c.From), orNone(c.To))
	}
	for _, c := range done.Restart {
		fmt.Fprintf(w, "needs a restart: %s: %s -> %s\n", named(c), orNone(c.From), orNone(c.To))
	}
	if len(done.Applied)+len(done.Restart) == 0 {
		fmt.Fprintln(w, "nothing differs")
	}
}
