package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func lsCommand() *cobra.Command {
	return &cobra.Command{Use: "ls FILE", Short: "Show what can be restored", RunE: func(*cobra.Command, []string) error {
		return errors.New("not there yet")
	}}
}
