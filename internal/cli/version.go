package cli

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// Info says which program this is.
type Info struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Go      string `json:"go"`
}

// Current is the running program's. version is what the build set, if anything.
func Current(version string) Info {
	info := Info{Version: version, Go: runtime.Version()}
	build, ok := debug.ReadBuildInfo()
	if info.Version == "" {
		info.Version = "development"
		if ok && build.Main.Version != "" && build.Main.Version != "(devel)" {
			info.Version = build.Main.Version
		}
	}
	if ok {
		for _, s := range build.Settings {
			if s.Key == "vcs.revision" {
				info.Commit = s.Value
			}
		}
	}
	return info
}

// OfferVersion gives a program the flag --version, which says what the command version does.
func OfferVersion(root *cobra.Command, version string) {
	info := Current(version)
	root.Version = fmt.Sprintf("%s (%s)", info.Version, info.Go)
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.Flags().Bool("version", false, "print the version")
}

// Version is the command version of a program.
func Version(program, version string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  " + program + " version --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			info := Current(version)
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(info)
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %s (%s)\n", program, info.Version, info.Go)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return cmd
}
