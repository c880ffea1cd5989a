package policy

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestFilterLists(t *testing.T) {
	for _, c := range []struct {
		story            string
		include, exclude []string
		name             string
		want             bool
	}{
		{"full match", []string{"topic1"}, nil, "topic1", true},
		{"no partial match", []string{"topic1"}, nil, "topic11", false},
		{"no match in the middle of an alternative", []string{"a|b"}, nil, "ab", false},
		{"any of the list", []string{"a", "b.*"}, nil, "bc", true},
		{"an empty list matches nothing", nil, nil, "a", false},
		{"an empty list matches not even the empty name", nil, nil, "", false},
		{"an empty element matches the empty name", []string{""}, nil, "", true},
		{"exclude wins", []string{".*"}, []string{"tmp.*"}, "tmp1", false},
		{"exclude leaves the rest", []string{".*"}, []string{"tmp.*"}, "a.tmp1", true},
		{"the defaults exclude MM2's topics", []string{".*"}, []string{`mm2.*\.internal`, `.*\.replica`, "__.*"}, "mm2-configs.A.internal", false},
		{"lookahead", []string{"^(?!tmp-).*"}, nil, "orders", true},
		{"lookahead refuses", []string{"^(?!tmp-).*"}, nil, "tmp-orders", false},
		{"flags reach into the elements that follow", []string{"(?i)a", "b"}, nil, "B", true},
		{"an open quotation reaches to the end of the list", []string{`\Qa.`, "b"}, nil, "a.|b", true},
		{"and quotes the bar", []string{`\Qa.`, "b"}, nil, "b", false},
		{"a dot is any character", []string{"a.b"}, nil, "a-b", true},
		{"dotted names", []string{`orders\..*`}, nil, "orders.eu", true},
		{"POSIX classes are Java's", []string{`\p{Alpha}+\p{Digit}`}, nil, "orders1", true},
		{"a reference takes no more digits than there are groups", []string{`(a)\11`}, nil, "aa1", true},
		{"more than RE2 counts", []string{"a{1001}"}, nil, strings.Repeat("a", 1001), true},
	} {
		f, err := NewFilter(c.include, c.exclude)
		if err != nil {
			t.Errorf("%s: %v", c.story, err)
			continue
		}
		if got := f.Accepts(c.name); got != c.want {
			t.Errorf("%s: Accepts(%q) = %v", c.story, c.name, got)
		}
		if err := f.Err(); err != nil {
			t.Errorf("%s: %v", c.story, err)
		}
	}
}

func TestBrokenExpressionIsNamed(t *testing.T) {
	for _, c := range []struct{ list, want string }{
		{"orders,pay(ments", `"pay(ments": unclosed group`},
		{"*", `"*": dangling '*'`},
		{"a)b", "unmatched closing"},
		{"[a", "unclosed character class"},
		{"a{1", "unclosed counted repetition"},
		{"a{2,1}", "illegal repetition range"},
		{"a{,1}", "illegal repetition"},
		{`a\1`, `\1 refers to a group that does not exist`},
		{`\y`, `\y is not supported`},
		{`\E`, `\E is not supported`},
		{`\`, "nothing follows"},
		{`\p{javaLowerCase}`, `\p{javaLowerCase} is not supported`},
		{`\k<n>`, `group name "n" is not defined`},
		{"(?x)a b", "flag x is not supported"},
		{"(?#c)", "unknown group or flag"},
		{"(?P<n>a)", "unknown group or flag"},
		{"(?<n>a)(?<n>b)", "defined twice"},
		{`\ud800`, "is not a character"},
		{`[z-a]`, "illegal character range"},
		{"(?<=a++)b", "inside a lookbehind"},
		{strings.Repeat("(", 300), "nested deeper"},
		{strings.Repeat("[", 300), "nested deeper"},
	} {
		list := []string{c.list}
		if !strings.ContainsAny(c.list, "{") {
			list = strings.Split(c.list, ",")
		}
		for _, f := range [][2][]string{{list, nil}, {nil, list}} {
			_, err := NewFilter(f[0], f[1])
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%q: got %v, want %s", c.list, err, c.want)
			}
		}
	}
}

// A name that takes too long is accepted by neither list, and the filter says so.
func TestRunawayExpressionIsGivenUp(t *testing.T) {
	bad, long := []string{`(?!x)(a*)*(a*)*(a*)*(a*)*b`}, strings.Repeat("a", 60)
	for _, lists := range [][2][]string{{bad, nil}, {{".*"}, bad}} {
		f, err := NewFilter(lists[0], lists[1])
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if f.Accepts(long) {
			t.Error("accepted")
		}
		if took := time.Since(start); took > 20*matchTimeout {
			t.Errorf("took %s", took)
		}
		if err := f.Err(); err == nil || !strings.Contains(err.Error(), "given up") {
			t.Errorf("Err() = %v", err)
		}
	}
}

// testdata/java-regex.txt was captured from java.util.regex.
func TestJavaAnswersTheSame(t *testing.T) {
	file, err := os.Open("testdata/java-regex.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	var names []string
	count := 0
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		fields := strings.Split(lines.Text(), "\t")
		if names == nil {
			for _, f := range fields {
				names = append(names, unquote(t, f))
			}
			continue
		}
		count++
		pattern, want := unquote(t, fields[0]), fields[1]
		match, err := compile(pattern)
		if err != nil {
			t.Errorf("%q: %v", pattern, err)
			continue
		}
		for i, name := range names {
			if got, err := match(name); err != nil || got != (want[i] == '1') {
				t.Errorf("%q on %q: %v (%v), Java says %c", pattern, name, got, err, want[i])
			}
		}
	}
	if count < 500 {
		t.Errorf("only %d expressions", count)
	}
}

func unquote(t *testing.T, s string) string {
	t.Helper()
	u, err := strconv.Unquote(s)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return u
}

// Whatever the text, compiling it ends in a matcher or in an error.
func FuzzCompile(f *testing.F) {
	for _, s := range []string{`a|b`, `[a-z&&[^b]]`, `(?<n>a)\k<n>`, `\Qa\E`, `a{2}+`, `(?i:\p{Lu})`, `[^\x{10FFFF}]`, `\0377`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		if len(pattern) > 60 {
			return
		}
		if match, err := compile(pattern); err == nil {
			_, _ = match("a.b-c_1")
		}
	})
}

// The set operations against membership, one code point at a time.
func TestRuneSets(t *testing.T) {
	a, b := setOf('a', 'm', 'k', 'p', '0', '9'), setOf('n', 'z', '5', '5')
	has := func(s runeSet, r rune) bool {
		for i := 0; i < len(s); i += 2 {
			if r >= s[i] && r <= s[i+1] {
				return true
			}
		}
		return false
	}
	for r := range rune(300) {
		inA, inB := has(a, r), has(b, r)
		if has(a.union(b), r) != (inA || inB) || has(a.intersect(b), r) != (inA && inB) || has(a.negate(), r) == inA {
			t.Fatalf("%q", r)
		}
	}
	if got := setOf('k', 'k').fold(true); !has(got, 'K') || !has(got, '\u212A') {
		t.Error("folding with u goes beyond ASCII")
	}
	if got := setOf('k', 'k').fold(false); !has(got, 'K') || has(got, '\u212A') {
		t.Error("folding without u stays in ASCII")
	}
}
