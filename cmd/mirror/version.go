package main

import (
	"github.com/spf13/cobra"

	"tandem/internal/cli"
)

// version is set by the Makefile from the git tag.
var version = ""

func versionCommand() *cobra.Command {
	cmd := cli.Version("mirror", version)
	cmd.Args = noArguments
	return cmd
}
