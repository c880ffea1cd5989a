package config

import "testing"

// The expectations are what java.util.Properties reads.
func TestLinesAreReadAsJavaReadsThem(t *testing.T) {
	for _, c := range []struct {
		story, text, key, value string
		line                    int
	}{
		{"equals sign", "k=v", "k", "v", 1},
		{"colon, blanks before the value", "k :  v", "k", "v", 1},
		{"blank", "k v", "k", "v", 1},
		{"no value", "k", "k", "", 1},
		{"trailing blanks stay", "k = v  ", "k", "v  ", 1},
		{"the second separator belongs to the value", "k = = v", "k", "= v", 1},
		{"comments and blank lines", "# c\n  ! c\n \t\nk=v", "k", "v", 4},
		{"a comment is not continued", "# c \\\nk=v", "k", "v", 2},
		{"a hash in a value", "k = v # w", "k", "v # w", 1},
		{"continuation drops leading blanks", "\nk = a\\\n   b", "k", "ab", 2},
		{"over CR LF", "k = a\\\r\n   b\r\n", "k", "ab", 1},
		{"over CR", "k = a\\\r   b\r", "k", "ab", 1},
		{"in the key", "k\\\n  ey = v", "key", "v", 1},
		{"a hash after continuation is no comment", "k = a\\\n# b", "k", "a# b", 1},
		{"a blank line ends it", "k = a\\\n\n", "k", "a", 1},
		{"an even number of backslashes does not continue", "k = a\\\\\nb = c", "k", `a\`, 1},
		{"a backslash at the end of the file", `k = a\`, "k", "a", 1},
		{"escapes", `k = \t\n\f\r\b\z\:\\.`, "k", "\t\n\f\rbz:\\.", 1},
		{"escaped separators in the key", `a\=b\:c\ d = v`, "a=b:c d", "v", 1},
		{"an escaped hash starts a key", `\#k = v`, "#k", "v", 1},
		{"unicode", `k = \u00e9\u20AC`, "k", "é€", 1},
		{"beyond 16 bits", `k = \uD83D\uDE00!`, "k", "😀!", 1},
		{"an escaped backslash before u", `k = \\uD83D\\uDE00`, "k", `\uD83D\uDE00`, 1},
		{"bytes are ISO-8859-1", "k = \xe9", "k", "é", 1},
		{"no placeholders of its own", "k = ${k}", "k", "${k}", 1},
		{"the last one wins", "k = a\nk = b", "k", "b", 2},
		{"empty key", "= v", "", "v", 1},
		{"byte order mark", "\xEF\xBB\xBFk = v", "k", "v", 1},
	} {
		p := &problems{file: "f"}
		entries := parse([]byte(c.text), p)
		if len(p.errors) > 0 || len(entries) == 0 {
			t.Errorf("%s: %v %v", c.story, entries, p.errors)
			continue
		}
		if e := entries[0]; e.key != c.key || e.raw != c.value || e.line != c.line {
			t.Errorf("%s: %q = %q in line %d", c.story, e.key, e.raw, e.line)
		}
	}
}

func TestLists(t *testing.T) {
	for _, c := range []struct {
		text  string
		want  []string
		empty bool
	}{
		{"", nil, false}, {"  ", nil, false}, {" a ,b\t,  c d ", []string{"a", "b", "c d"}, false},
		{"a,", []string{"a"}, true}, {",", nil, true}, {"a,,b", []string{"a", "b"}, true},
	} {
		got, empty := splitList(c.text)
		if len(got) != len(c.want) || empty != c.empty {
			t.Errorf("%q: %q %v", c.text, got, empty)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%q: %q", c.text, got)
			}
		}
	}
}

func TestNearest(t *testing.T) {
	words := []string{"topics", "groups", "replication.factor"}
	for word, want := range map[string]string{"topcis": "topics", "topic": "topics", "replicationfactor": "replication.factor", "xyz": "", "stream": "", "Groups": "groups"} {
		if got := nearest(word, words); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
	if d := distance("abcd", "abdc", 9); d != 1 {
		t.Errorf("letters swapped are one change, not %d", d)
	}
	if d := distance("kitten", "sitting", 9); d != 3 {
		t.Errorf("kitten to sitting is 3 changes, not %d", d)
	}
}
