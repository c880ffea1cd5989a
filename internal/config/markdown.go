package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

const preamble = `# Settings

Made from the table of internal/config; change it there and run ` + "`go test ./internal/config -run Markdown -update`" + `.

The file is MM2's ` + "`mm2.properties`" + `, read as MM2 4.3 reads it; ` + "`mm2.compatibility = 3.9`" + ` is for files of 3.x. A key is written in one of
these forms; of several that name the same setting, the one further down wins, except that a bare ` + "`offset.storage.*`" + ` wins over
` + "`ALIAS.offset.storage.*`" + `. ` + "`mirror check FILE --effective`" + ` prints what each flow made of them, and from which line.

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
allowed is an error. What a key does with MM2 and does not do here is said for each, and in a warning at the start.
`

// Markdown writes the reference of all settings from the table.
func Markdown() string {
	var b strings.Builder
	b.WriteString(preamble)
	own, mm2 := split(processKeys)
	ours(&b, "Tandem's own, for the process", own)
	ours(&b, "The status page and metrics", statusKeys)
	theirs(&b, "The process", "", mm2)
	theirs(&b, "Flows", "", flowKeys)
	ours(&b, "Tandem's own, for a flow", ownFlowKeys)
	theirs(&b, "Consumer groups", "", groupKeys)
	theirs(&b, "Internal topics", "", internalTopicKeys)
	ours(&b, "The archive", archiveKeys)
	ours(&b, "Drills", drillKeys)
	theirs(&b, "Flows into a cluster", "Written `B.KEY`; MM2 gives them to the Connect worker that it runs for B.\n\n", workerKeys)
	theirs(&b, "All clients of a cluster", "These, `ssl.*` and `sasl.*` are written for a cluster, or bare for all. `ALIAS.consumer.KEY` and the like win.\n\n", clientRows[""])
	theirs(&b, "Each client", "Written `A.consumer.KEY`, `B.producer.KEY`, `ALIAS.admin.KEY`.\n\n", clientRows["any"])
	theirs(&b, "Reading from the source", "Written `A.consumer.KEY`, or for one flow `A->B.source.consumer.KEY`.\n\n", clientRows["consumer"])
	theirs(&b, "Writing to the target", "Written `B.producer.KEY` or `A->B.producer.override.KEY`; `A->B.producer.KEY` does not reach the records.\n\n", clientRows["producer"])
	missing(&b)
	meaningless(&b)
	before40(&b)
	return b.String()
}

// ours are keys that MM2 does not know.
func ours(b *strings.Builder, title string, rows []key) {
	fmt.Fprintf(b, "\n## %s\nMM2 ignores these, so the file stays one that MM2 accepts.\n\n| key | scope | type | default | meaning | when to change |\n|---|---|---|---|---|---|\n", title)
	for _, k := range rows {
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s |\n", code(k.name), k.scopes, k.form(), code(k.def), cell(k.meaning), cell(k.change))
	}
}

// theirs are MM2's keys that have an effect here.
func theirs(b *strings.Builder, title, text string, rows []key) {
	fmt.Fprintf(b, "\n## %s\n%s| key | scope | type | default | MM2's meaning | Tandem's behaviour | when to change |\n|---|---|---|---|---|---|---|\n", title, text)
	for _, k := range rows {
		if k.effect == used && !k.own {
			here := k.here
			if here == "" {
				here = "same"
			}
			fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s |\n", code(k.name), k.scopes, k.form(), k.defaults(), cell(k.meaning), cell(here), cell(k.change))
		}
	}
}

func missing(b *strings.Builder) {
	b.WriteString("\n## Not there\nWhoever asks for one of these is warned at the start.\n\n| key | scope | type | default | MM2's meaning | Tandem's behaviour | unless it is |\n|---|---|---|---|---|---|---|\n")
	eachRow(func(prefix string, k key) {
		if k.effect == absent {
			quiet := slices.DeleteFunc(slices.Clone(k.quiet), func(s string) bool { return s == "" })
			fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s |\n", code(prefix+k.name), k.scopes, k.form(), code(k.def), cell(k.meaning), cell(k.here+" "+k.hint+"."), code(strings.Join(quiet, ", ")))
		}
	})
	b.WriteString("\n`transforms.*`, `predicates.*` and `topic.creation.*` belong to the first words of theirs.\n")
}

func meaningless(b *strings.Builder) {
	b.WriteString("\n## Without a meaning here\nThese are accepted, their values checked where MM2 checks them, and nothing is lost.\n\n| key | scope | type | default | MM2's meaning | has no meaning here: why |\n|---|---|---|---|---|---|\n")
	eachRow(func(prefix string, k key) {
		if k.effect == needless && !k.internal {
			fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s |\n", code(prefix+k.name), k.scopes, k.form(), code(k.def), cell(k.meaning), cell(k.here))
		}
	})
	b.WriteString("| `listeners`, `rest.*`, `admin.listeners`, `access.control.*`, `response.http.headers.*`, `inter.worker.*` | process, cluster | | | Connect's REST server. | there is none. |\n")
	b.WriteString("\nOf the settings of Kafka's Java clients:\n\n| client | keys | has no meaning here: why |\n|---|---|---|\n")
	for _, i := range idle {
		kind := i.client
		if kind == "" {
			kind = "each"
		}
		fmt.Fprintf(b, "| %s | `%s` | %s |\n", kind, strings.Join(i.keys, "`, `"), cell(i.here))
	}
	var internal []string
	for _, k := range table {
		if k.internal {
			internal = append(internal, code(k.name))
		}
	}
	fmt.Fprintf(b, "\n%s are filled in by MM2 itself. In a file they are an error: there they rename the clusters of every flow, or do nothing.\n", strings.Join(internal, ", "))
}

func before40(b *strings.Builder) {
	b.WriteString("\n## Files of 3.x\nWith `mm2.compatibility = 3.9` a topic is internal, and never mirrored, where its name ends in `.internal` or `-internal`; an empty element of a list of expressions matches the empty name, without a warning; and these defaults are those of 3.9:\n\n| key | default |\n|---|---|\n")
	eachRow(func(_ string, k key) {
		if k.def39 != "" {
			fmt.Fprintf(b, "| %s | %s |\n", code(k.name), code(k.def39))
		}
	})
	b.WriteString("\nOld names are read in any case, where the new one is not set:\n\n| key | read as |\n|---|---|\n")
	for _, k := range slices.Sorted(maps.Keys(renamed)) {
		fmt.Fprintf(b, "| %s | %s |\n", code(k), code(renamed[k]))
	}
}

// eachRow goes over the table and the clients' rows.
func eachRow(do func(prefix string, k key)) {
	for _, k := range table {
		do("", k)
	}
	for _, kind := range []string{"any", "consumer", "producer", "admin"} {
		for _, k := range clientRows[kind] {
			do(strings.Replace(kind, "any", "CLIENT", 1)+".", k)
		}
	}
}

// form is the type of a key and what is allowed of it.
func (k key) form() string {
	if a := k.allowed(); a != "" {
		return string(k.kind) + ": " + cell(a)
	}
	return string(k.kind)
}

func (k key) defaults() string {
	if k.def39 != "" {
		return code(k.def) + " (3.9: see below)"
	}
	return code(k.def)
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
