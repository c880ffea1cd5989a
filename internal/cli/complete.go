package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

// Complete gives a program the command completion, for bash, zsh, fish and powershell, and has those of its commands that take a FILE offer
// properties files.
func Complete(root *cobra.Command) {
	root.CompletionOptions.DisableDefaultCmd = false
	offerFiles(root)
}

func offerFiles(cmd *cobra.Command) {
	if cmd.ValidArgsFunction == nil && strings.Contains(cmd.Use, " FILE") {
		cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return []string{"properties"}, cobra.ShellCompDirectiveFilterFileExt
		}
	}
	for _, sub := range cmd.Commands() {
		offerFiles(sub)
	}
}

// Offer says which values a flag has. The flag must be there.
func Offer(cmd *cobra.Command, flag string, values ...string) {
	err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(err) // a mistake in the command, found by any test
	}
}
