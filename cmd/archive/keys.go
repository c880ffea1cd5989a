package main

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/archive/keys"
)

const keySetting = "archive.encryption.key.url"

func keysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Make, check and rotate the keys of an encrypted archive",
		Long: `keys works on the keys of archive.encryption.key.url. Each bundle has a data key of its own, wrapped by the first key of the setting; its header
names that key. So a key is rotated without a bundle being written again: the new one is put in front, and the old one stays
behind it for as long as bundles name it.`,
		Example: `  archive keys new /etc/tandem/archive.key
  archive keys check mm2.properties
  archive keys rotate mm2.properties`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return errors.New("which command? keys new, keys check or keys rotate")
		},
	}
	cmd.AddCommand(keysNewCommand(), keysCheckCommand(), keysRotateCommand())
	return cmd
}

// newKey is what new and rotate print as JSON.
type newKey struct {
	URL     string `json:"url"`
	ID      string `json:"id"`
	Setting string `json:"setting"` // the line to write
}

func (k newKey) print(cmd *cobra.Command, asJSON bool, text string) error {
	if asJSON {
		return printJSON(cmd.OutOrStdout(), k)
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "made %s, id %s\n%s\n\n  %s\n", k.URL, k.ID, text, k.Setting)
	return err
}

func keysNewCommand() *cobra.Command {
	var asJSON bool
	const usage = "archive keys new PATH"
	cmd := &cobra.Command{
		Use:   "new PATH",
		Short: "Make a key file",
		Long: `new makes a file with a key made at random, which only its owner can read. A file that is there is never written over.

` + statusesHelp,
		Example: "  archive keys new /etc/tandem/archive.key",
		Args:    arguments(1, usage),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := keys.New(args[0])
			if err != nil {
				return asRefused(err)
			}
			return newKey{k.URL, k.ID, keySetting + " = " + k.URL}.print(cmd, asJSON,
				"Keep a copy away from this machine and from the archive: what it encrypts cannot be read without it.\nThe setting, for all that archive or restore:")
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// asRefused: a key that cannot be used is an answer of these commands.
func asRefused(err error) error {
	if errors.Is(err, keys.ErrSetting) {
		return refused{err}
	}
	return err
}

func keysRotateCommand() *cobra.Command {
	var s selection
	const usage = "archive keys rotate FILE"
	cmd := &cobra.Command{
		Use:   "rotate FILE",
		Short: "Make the next key",
		Long: `rotate makes a new key file beside the first one and prints the setting to write: the new key in front, the old ones behind it. It changes
neither FILE nor any bundle; bundles that are written from then on name the new key. Keys of a service are rotated by the service.

` + statusesHelp,
		Example: "  archive keys rotate mm2.properties",
		Args:    arguments(1, usage),
		RunE: func(cmd *cobra.Command, args []string) error {
			return rotate(cmd, args[0], s)
		},
	}
	s.flags(cmd)
	return cmd
}

func rotate(cmd *cobra.Command, file string, s selection) error {
	a, err := openArchive(cmd.Context(), file, s)
	if err != nil {
		return asRefused(err)
	}
	defer a.close()
	old := a.flow.Archive.KeyURLs
	if len(old) == 0 {
		return refused{fmt.Errorf("the archive of %s is not encrypted: there is nothing to rotate. To encrypt what comes from now on: archive keys new PATH", a.flow.Source)}
	}
	first, err := url.Parse(old[0])
	if err != nil || first.Scheme != "file" {
		return refused{fmt.Errorf("the first key is kept by a service: rotate it there (AWS, Google and Vault then go on opening what the key wrapped before), or make another key there and put its URL in front of the others in %s; for Azure that is the URL with the new version", keySetting)}
	}
	k, err := keys.New(nextKey(filepath.FromSlash(first.Path), time.Now()))
	if err != nil {
		return asRefused(err)
	}
	line := keySetting + " = " + strings.Join(append([]string{k.URL}, old...), ", ")
	return newKey{k.URL, k.ID, line}.print(cmd, s.json, "Nothing else was changed. Copy the key to every machine that archives "+a.flow.Source+
		" or restores from it, and keep a copy elsewhere.\nThen write the setting, wherever it stands now, and start mirror again:")
}

// nextKey is a name beside the file, with the time behind it; a time that stands there already is replaced.
func nextKey(path string, now time.Time) string {
	const form = "20060102T150405Z"
	if at := len(path) - len(form); at > 0 && path[at-1] == '-' {
		if _, err := time.Parse(form, path[at:]); err == nil {
			path = path[:at-1]
		}
	}
	return path + "-" + now.UTC().Format(form)
}
