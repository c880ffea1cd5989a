package config

import (
	"fmt"
	"slices"
	"strings"
)

const preamble = `# Settings

Made from the table of internal/config; change it there and run ` + "`go test ./internal/config -run Markdown -update`" + `.

The file is MM2's ` + "`mm2.properties`" + `, read as MM2 4.3 reads it. A key is written in one of these forms; of several that
name the same setting, the one further down wins, except that a bare ` + "`offset.storage.*`" + ` wins over ` + "`ALIAS.offset.storage.*`" + `.

| form | scope in the tables | reaches |
|---|---|---|
| ` + "`KEY`" + ` | bare | every flow |
| ` + "`KEY`" + ` | process | the process as a whole |
| ` + "`ALIAS.KEY`" + ` | cluster | all flows into the cluster; settings that all clients share: all clients of the cluster |
| ` + "`A->B.consumer.KEY`" + ` | client | the consumer of one flow |
| ` + "`ALIAS.consumer.KEY`, `ALIAS.producer.KEY`, `ALIAS.admin.KEY`" + ` | client | one kind of client of the cluster |
| ` + "`A->B.KEY`" + ` | flow | one flow |
| ` + "`A->B.source.consumer.KEY`, `A->B.producer.override.KEY`" + ` | client | the consumer, the producer of one flow |

A key that neither MM2 nor Tandem knows, or that has no effect where it is written, gives a warning; a value that is not
allowed is an error.
`

// Markdown writes the reference of all settings from the table.
func Markdown() string {
	var b strings.Builder
	b.WriteString(preamble)
	section := func(title, text string, rows []key) {
		fmt.Fprintf(&b, "\n## %s\n%s", title, text)
		b.WriteString("| key | scope | type | default | allowed | meaning | when to change |\n|---|---|---|---|---|---|---|\n")
		for _, k := range rows {
			if k.effect == used && !k.internal {
				fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", code(k.name), k.scopes, k.kind, code(k.def), code(k.allowed()), cell(k.meaning), cell(k.change))
			}
		}
	}
	own, mm2 := split(processKeys)
	section("Tandem's own", "MM2 ignores these, so the file stays one that MM2 accepts.\n\n", own)
	section("The process", "", mm2)
	section("Flows", "", flowKeys)
	section("Consumer groups", "", groupKeys)
	section("Internal topics", "", internalTopicKeys)
	section("The archive", "Tandem's own; MM2 ignores them.\n\n", archiveKeys)
	section("Flows into a cluster", "", workerKeys)
	section("All clients of a cluster", "These, `ssl.*` and `sasl.*` are written for a cluster, or bare for all. `ALIAS.consumer.KEY` and the like win.\n\n", clientRows[""])
	section("Reading from the source", "Written `A.consumer.KEY`, or for one flow `A->B.source.consumer.KEY`.\n\n", clientRows["consumer"])
	section("Writing to the target", "Written `B.producer.KEY` or `A->B.producer.override.KEY`; `A->B.producer.KEY` does not reach the records.\n\n", clientRows["producer"])
	b.WriteString("\n## Accepted without effect\n| key | why |\n|---|---|\n")
	for _, k := range table {
		if k.effect != used && !k.internal {
			fmt.Fprintf(&b, "| %s | %s |\n", code(k.name), cell(k.meaning+warned(k)))
		}
	}
	b.WriteString("\n## Names of 3.x\n| key | read as, where that is not set |\n|---|---|\n")
	var old []string
	for k := range renamed {
		old = append(old, k)
	}
	slices.Sort(old)
	for _, k := range old {
		fmt.Fprintf(&b, "| %s | %s |\n", code(k), code(renamed[k]))
	}
	return b.String()
}

func warned(k key) string {
	switch {
	case k.effect != absent:
		return ""
	case k.off == "":
		return " Gives a warning."
	}
	return " Gives a warning unless it is " + code(k.off) + "."
}

func split(rows []key) (own, mm2 []key) {
	for _, k := range rows {
		if k.own {
			own = append(own, k)
		} else {
			mm2 = append(mm2, k)
		}
	}
	return own, mm2
}

func (s scope) String() string {
	var words []string
	for _, w := range []struct {
		s    scope
		word string
	}{{process, "process"}, {bare, "bare"}, {cluster, "cluster"}, {flow, "flow"}} {
		if s&w.s != 0 {
			words = append(words, w.word)
		}
	}
	if len(words) == 0 {
		return "client"
	}
	return strings.Join(words, ", ")
}

// cell keeps a bar from ending the cell of a table.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + cell(s) + "`"
}
