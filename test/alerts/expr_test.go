package alerts

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// asked is what an expression of PromQL asks for. It is told from the shape of what is written, as by somebody who reads it: promtool
// has said that it parses.
type asked struct{ metrics, labels []string }

var (
	inQuotes  = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	inBraces  = regexp.MustCompile(`\{([^}]*)\}`)
	matched   = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)\s*(?:=~|!~|!=|=)`)
	grouped   = regexp.MustCompile(`\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)`)
	inBracket = regexp.MustCompile(`\[[^\]]*\]`)
	offset    = regexp.MustCompile(`\boffset\s+[0-9a-z]+`)
	words     = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*(?:\s*\()?`)
	operators = []string{"and", "or", "unless", "bool", "inf", "nan"}
)

func asks(expr string) (a asked) {
	expr = inQuotes.ReplaceAllString(expr, `""`)
	for _, m := range inBraces.FindAllStringSubmatch(expr, -1) {
		for _, l := range matched.FindAllStringSubmatch(m[1], -1) {
			a.labels = append(a.labels, l[1])
		}
	}
	expr = inBraces.ReplaceAllString(expr, " ")
	for _, m := range grouped.FindAllStringSubmatch(expr, -1) {
		a.labels = append(a.labels, strings.FieldsFunc(m[1], func(r rune) bool { return r == ',' || r == ' ' })...)
	}
	for _, cut := range []*regexp.Regexp{grouped, inBracket, offset} {
		expr = cut.ReplaceAllString(expr, " ")
	}
	for _, w := range words.FindAllString(expr, -1) {
		if !strings.HasSuffix(w, "(") && !slices.Contains(operators, strings.ToLower(w)) {
			a.metrics = append(a.metrics, w)
		}
	}
	return a
}

func TestAsks(t *testing.T) {
	for _, c := range []struct{ expr, metrics, labels string }{
		{"up", "up", ""},
		{`sum by (job, flow) (rate(a_total{kind=~"x|y", z!=""}[5m] offset 8d)) > 8 * 86400`, "a_total", "kind z job flow"},
		{`(a:b:sum == on (flow) group_left () max by (x) (c)) or time() - absent(d{e="f{g=1}"}) unless 15 >= bool 0`, "a:b:sum c d", "e flow x"},
	} {
		if got := asks(c.expr); strings.Join(got.metrics, " ") != c.metrics || strings.Join(got.labels, " ") != c.labels {
			t.Errorf("%s asks for %q by %q", c.expr, got.metrics, got.labels)
		}
	}
}

// shown are the metrics that docs/metrics.md explains, with their labels. A test of internal/metrics holds the page to the code.
func shown(t *testing.T) map[string][]string {
	t.Helper()
	// Of Prometheus itself, and of its client library.
	all := map[string][]string{
		"up": nil, "ALERTS": {"alertname", "alertstate", "severity", "flow", "cause", "kind", "class", "cluster", "level"},
		"process_start_time_seconds": nil, "process_cpu_seconds_total": nil, "process_resident_memory_bytes": nil, "process_open_fds": nil,
		"go_goroutines": nil, "go_memstats_heap_inuse_bytes": nil,
	}
	row := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (counter|gauge|histogram) \\| ([a-z, ]*) \\|")
	for _, m := range row.FindAllStringSubmatch(read(t, "docs/metrics.md"), -1) {
		labels := strings.FieldsFunc(m[3], func(r rune) bool { return r == ',' || r == ' ' })
		all[m[1]] = labels
		if m[2] == "histogram" {
			all[m[1]+"_bucket"] = append(slices.Clone(labels), "le")
		}
	}
	if len(all) < 60 {
		t.Fatalf("docs/metrics.md explains only %d metrics", len(all))
	}
	return all
}

// holds looks whether all that an expression asks for is there. Each label has to be one of a metric of the expression, or of every scrape.
func holds(t *testing.T, where, expr string, known map[string][]string) {
	t.Helper()
	a := asks(expr)
	labels := []string{"job", "instance"}
	for _, name := range a.metrics {
		of, ok := known[name]
		if !ok {
			t.Errorf("%s asks for %s, which nobody shows:\n%s", where, name, expr)
		}
		labels = append(labels, of...)
	}
	for _, l := range a.labels {
		if !slices.Contains(labels, l) {
			t.Errorf("%s asks for the label %s, which %q do not have:\n%s", where, l, a.metrics, expr)
		}
	}
}
