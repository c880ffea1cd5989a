package docs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A page such as docs/runbooks.md is followed section by section. Each sh block of a section is run as it stands, line by line; the block
// without a language right behind it is what it prints. A line that ends in "# exit status N" has to end so; others end with 0.

// step is a block of commands, and what the page says that they print.
type step struct {
	lines  []string
	prints []string
}

var (
	headings = regexp.MustCompile(`(?m)^## (.*)$`)
	steps    = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$(?:\n+^```\n(.*?)^```$)?")
	remark   = regexp.MustCompile(`\s+# exit status ([0-9]+)$`)
)

// section is the text under a heading of the second level.
func (p page) section(name string) (text string, found bool) {
	all := headings.FindAllStringSubmatchIndex(p.text, -1)
	for i, m := range all {
		if p.text[m[2]:m[3]] != name {
			continue
		}
		end := len(p.text)
		if i+1 < len(all) {
			end = all[i+1][0]
		}
		return p.text[m[1]:end], true
	}
	return "", false
}

func stepsOf(text string) (all []step) {
	for _, m := range steps.FindAllStringSubmatch(text, -1) {
		all = append(all, step{lines: full(m[1]), prints: full(m[2])})
	}
	return all
}

// full are the lines that are not blank.
func full(text string) (all []string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// section is followed by somebody at its page.
type section struct {
	r     *reader
	name  string
	steps []step
	in    *place
}

// place is where the page's commands are run: what stands in the page for the user's own, and what it is here.
type place struct {
	mirror *mirror // the one that answers at 127.0.0.1:8383; nil while none runs
	words  map[string]string
}

// section opens a section of a page, whose commands are all to be run.
func (r *reader) section(t *testing.T, path, name string, in *place) *section {
	t.Helper()
	for _, p := range pages(t) {
		if p.path != path {
			continue
		}
		if text, ok := p.section(name); ok {
			return &section{r: r, name: name, steps: stepsOf(text), in: in}
		}
	}
	t.Fatalf("%s has no section %q", path, name)
	return nil
}

// next runs the next block, with more words replaced, and wants to see what the page shows.
func (s *section) next(t *testing.T, replaced ...string) string {
	t.Helper()
	out, err := s.try(t, replaced)
	if other := (*shownOther)(nil); errors.As(err, &other) {
		t.Error(err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Log(out)
	s.steps = s.steps[1:]
	return out
}

// soon is next for blocks that only look: they are run until they show what the page shows.
func (s *section) soon(t *testing.T, replaced ...string) (out string) {
	t.Helper()
	eventually(t, s.name, func() (err error) {
		out, err = s.try(t, replaced)
		return err
	})
	t.Log(out)
	s.steps = s.steps[1:]
	return out
}

// done is the end of the section.
func (s *section) done(t *testing.T) {
	t.Helper()
	if len(s.steps) > 0 {
		t.Errorf("%q goes on: %s", s.name, s.steps[0].lines)
	}
}

func (s *section) try(t *testing.T, replaced []string) (string, error) {
	t.Helper()
	if len(s.steps) == 0 {
		t.Fatalf("%q has no further block", s.name)
	}
	words := pairs(replaced)
	for from, to := range s.in.words {
		if _, ok := words[from]; !ok {
			words[from] = to
		}
	}
	var said strings.Builder
	for _, line := range s.steps[0].lines {
		if strings.HasPrefix(line, "#") {
			continue
		}
		status := "0"
		if m := remark.FindStringSubmatch(line); m != nil {
			status = m[1]
		}
		s.r.followed = append(s.r.followed, bare(line))
		out, ended := s.r.run(t, s.in, substitute(bare(line), words))
		said.WriteString(out)
		if ended != status {
			return "", fmt.Errorf("%s: exit status %s, want %s\n%s", line, ended, status, out)
		}
	}
	return said.String(), shows(s.steps[0].prints, said.String(), words)
}

// bare is a line without what is said of its exit status.
func bare(line string) string { return remark.ReplaceAllString(line, "") }

func pairs(list []string) map[string]string {
	m := make(map[string]string)
	for i := 0; i+1 < len(list); i += 2 {
		m[list[i]] = list[i+1]
	}
	return m
}

// substitute replaces words, the longest first.
func substitute(text string, words map[string]string) string {
	var list []string
	for from := range words {
		list = append(list, from)
	}
	slices.SortFunc(list, func(a, b string) int { return cmp.Or(len(b)-len(a), cmp.Compare(a, b)) })
	var both []string
	for _, from := range list {
		both = append(both, from, words[from])
	}
	return strings.NewReplacer(both...).Replace(text)
}

// run does what a line says, and returns what it prints, errors too, and its exit status.
func (r *reader) run(t *testing.T, in *place, line string) (out, status string) {
	t.Helper()
	if strings.Contains(line, "127.0.0.1:8383") {
		if in.mirror == nil {
			t.Fatalf("no mirror runs for %s", line)
		}
		line = strings.ReplaceAll(line, "127.0.0.1:8383", in.mirror.address())
	}
	if _, ok := tools[strings.Fields(line)[0]]; ok {
		out, err := r.script(t, line)
		if err != nil {
			return out + err.Error(), "1"
		}
		return out, "0"
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Dir = r.dir
	said, err := cmd.CombinedOutput()
	if ended := (&exec.ExitError{}); errors.As(err, &ended) {
		return string(said), fmt.Sprint(ended.ExitCode())
	}
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return string(said), "0"
}

// Whatever differs from night to night: moments, lengths of time, sizes, names that are drawn, ports.
var differs = []struct {
	is *regexp.Regexp
	as string
}{
	{regexp.MustCompile(`\b\d{8}T\d{6}Z-[0-9a-f]{8}\b`), "PLAN"},
	{regexp.MustCompile(`~?\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`(?i)(does not answer) \(.*\)([;:])`), "$1 (WHY)$2"},
	{regexp.MustCompile(`cluster id \S+`), "cluster id ID"},
	{regexp.MustCompile(`\bfile:[0-9a-f]{16}\b`), "KEY"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "ADDRESS"},
	{regexp.MustCompile(`\b\d+(?:\.\d+)? (?:B|kB|MB|GB)(?:/s)?\b`), "SIZE"},
	{regexp.MustCompile(`\b(?:\d+(?:\.\d+)?(?:h|ms|m|s|µs))+\b`), "LENGTH"},
	{regexp.MustCompile(`(?m)(?:always|since TIME)$`), "EXISTED"}, // what was there when an archive began
	{regexp.MustCompile(`\bnow\b|TIME, LENGTH old`), "SEEN"},
	{regexp.MustCompile(`"(since|at|id|digest)":"[^"]*"`), `"$1":"-"`},
	{regexp.MustCompile(`"([a-z_]*seconds)":[0-9.e+-]+`), `"$1":0`},
	{regexp.MustCompile(`[ \t]+`), " "},
}

// plain is a text without what differs.
func plain(text string, words map[string]string) string {
	back := make(map[string]string)
	for from, to := range words {
		if len(to) > 3 {
			back[to] = from
		}
	}
	text = substitute(text, back)
	for _, d := range differs {
		text = d.is.ReplaceAllString(text, d.as)
	}
	return text
}

// shownOther says that a line of the page was not printed.
type shownOther struct{ line, printed string }

func (s *shownOther) Error() string {
	return fmt.Sprintf("the page shows this line, and it is not there, or not in this place:\n%s\nprinted was:\n%s", s.line, s.printed)
}

// shows looks whether a text has the lines of the page, in their order. Between them there may be others.
func shows(wanted []string, text string, words map[string]string) error {
	lines := full(plain(text, words))
	at := 0
	for _, want := range wanted {
		if want == "..." {
			continue
		}
		found := slices.Index(lines[at:], strings.TrimSpace(plain(want, words)))
		if found < 0 {
			return &shownOther{want, text}
		}
		at += found + 1
	}
	return nil
}

// TestSections: what is read from a page, and when it counts as shown.
func TestSections(t *testing.T) {
	p := page{"a.md", "# A\n## One\n```sh\nbin/x --at 2026-11-20T14:05:00Z\n# note\nbin/y    # exit status 1\n```\n\n```\n3 records in 5ms\nplan 20261120T144246Z-e83a80d1\n```\n\n## Two\n\n```sh\nz\n```\n\nText.\n\n```\nnot of z\n```\n"}
	text, ok := p.section("One")
	got := stepsOf(text)
	if !ok || len(got) != 1 || len(got[0].lines) != 3 || len(got[0].prints) != 2 {
		t.Fatalf("%v %+v", ok, got)
	}
	if text, _ := p.section("Two"); len(stepsOf(text)) != 1 || len(stepsOf(text)[0].prints) > 0 {
		t.Errorf("two: %+v", stepsOf(text))
	}
	for text, good := range map[string]bool{
		"else\n3 records in 77ms\nmore\nplan 20270101T000000Z-00000000\n": true,
		"4 records in 77ms\nplan 20270101T000000Z-00000000\n":             false,
		"plan 20270101T000000Z-00000000\n3 records in 77ms\n":             false,
		"": false,
	} {
		if err := shows(got[0].prints, text, nil); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
	if commands := p.commands(); !slices.Equal(commands, []string{"bin/x --at 2026-11-20T14:05:00Z", "bin/y", "z"}) {
		t.Errorf("%q", commands)
	}
}
