package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Warning is something in the file that works otherwise than its author may think.
type Warning struct {
	File    string
	Line    int    // 0 where no line is to blame
	Key     string // as written; empty where the line may not be a key at all
	Nearest string // the key that was probably meant
	Message string
}

// String is one line: "file:line: key: message".
func (w Warning) String() string {
	s := place(w.File, w.Line)
	if w.Key != "" {
		s += w.Key + ": "
	}
	return s + w.Text()
}

// Text is the warning without its place.
func (w Warning) Text() string {
	if w.Nearest == "" {
		return w.Message
	}
	return w.Message + "; did you mean " + w.Nearest + "?"
}

// problems collects what is wrong with one file, each thing once.
type problems struct {
	file     string
	errors   []located
	warnings []Warning
}

type located struct {
	line int
	text string
}

func (p *problems) warn(w Warning) {
	w.File = p.file
	if !slices.Contains(p.warnings, w) {
		p.warnings = append(p.warnings, w)
	}
}

// fail records an error at a line (0: the file as a whole).
func (p *problems) fail(line int, key, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if key != "" {
		text = key + ": " + text
	}
	if e := (located{line, place(p.file, line) + text}); !slices.Contains(p.errors, e) {
		p.errors = append(p.errors, e)
	}
}

// bad records a value that is not allowed. It shows the value as it stands in the file.
func (p *problems) bad(e entry, format string, args ...any) {
	p.fail(e.line, e.key+" = "+Redact(e.key, e.raw), format, args...)
}

// err joins all errors, in the order of the file, one a line.
func (p *problems) err() error {
	slices.SortStableFunc(p.errors, func(a, b located) int { return a.line - b.line })
	var all []error
	for _, e := range p.errors {
		all = append(all, errors.New(e.text))
	}
	return errors.Join(all...)
}

func (p *problems) sortWarnings() {
	slices.SortStableFunc(p.warnings, func(a, b Warning) int { return a.Line - b.Line })
}

func place(file string, line int) string {
	if line == 0 {
		return file + ": "
	}
	return fmt.Sprintf("%s:%d: ", file, line)
}

// shown is a key fit for printing. A line that was torn from the secret above it reads as a key too, so what does not
// look like a key of Kafka stays hidden.
func shown(name string) string {
	if slices.ContainsFunc(table, func(k key) bool { return k.name == name }) {
		return name
	}
	if len(name) > 120 || !strings.Contains(name, ".") {
		return ""
	}
	for _, r := range name {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(".-_>", r)) {
			return ""
		}
	}
	return name
}
