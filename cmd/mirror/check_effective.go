package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"tandem/internal/config"
)

// settingOf is one resolved setting.
type settingOf struct {
	Flow  string `json:"flow"` // A->B; empty for the process
	Part  string `json:"part"` // "", source consumer, target admin, worker, ...
	Key   string `json:"key"`
	Value string `json:"value"` // secrets are hidden
	From  string `json:"from"`
}

// settingsOf are all settings of a file.
func settingsOf(conf *config.Config) []settingOf {
	var all []settingOf
	for _, s := range conf.Effective() {
		all = append(all, settingOf(s))
	}
	return all
}

// effective prints every setting of each flow and where it comes from.
func effective(w io.Writer, conf *config.Config, asJSON bool) error {
	all := settingsOf(conf)
	if asJSON {
		return printed(w, struct {
			File     string      `json:"file"`
			Settings []settingOf `json:"settings"`
		}{conf.Path, append([]settingOf{}, all...)})
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "FLOW\tOF\tKEY\tFROM\tVALUE\n") // values come last: long ones would push all else out of sight
	for _, s := range all {
		flow := s.Flow
		if flow == "" {
			flow = "(process)"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", flow, s.Part, s.Key, s.From, s.Value)
	}
	return t.Flush()
}
