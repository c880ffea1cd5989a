package config

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/magiconair/properties"
)

// entry is one key of the file.
type entry struct {
	key   string // as written
	raw   string // value as written, after the escapes of the format
	value string // value with placeholders resolved
	line  int    // where the key stands, from 1

	providers string // names of the providers that filled placeholders in
}

const byteOrderMark = "\xEF\xBB\xBF"

// parse reads the bytes as java.util.Properties does: ISO-8859-1, the last of several equal keys wins. The library decodes
// one logical line at a time; joining lines is done here, for the line numbers and because the library ends a value that
// is continued over "\" CR LF.
func parse(data []byte, p *problems) []entry {
	if rest, ok := bytes.CutPrefix(data, []byte(byteOrderMark)); ok {
		p.warn(Warning{Line: 1, Message: "the file starts with a byte order mark, which MM2 takes for part of the first key; save it without"})
		data = rest
	}
	var entries []entry
	seen := map[string]int{}
	for _, l := range logicalLines(data) {
		key, value, err := decode(l.text)
		if err != nil {
			p.fail(l.line, "", "%v", err)
			continue
		}
		e := entry{key: key, raw: value, value: value, line: l.line}
		if at, twice := seen[key]; twice {
			p.warn(Warning{Line: e.line, Key: shown(key), Message: fmt.Sprintf("set before in line %d; this line wins", entries[at].line)})
			entries[at] = e
			continue
		}
		seen[key] = len(entries)
		entries = append(entries, e)
	}
	return entries
}

type logicalLine struct {
	text string
	line int
}

// logicalLines drops blank lines and comments and joins each line that ends in an odd number of backslashes with the next.
func logicalLines(data []byte) []logicalLine {
	var lines []logicalLine
	var text []rune
	start := 0
	flush := func() {
		if len(text) > 0 {
			lines = append(lines, logicalLine{text: string(text), line: start})
		}
		text = nil
	}
	for number, natural := range naturalLines(data) {
		natural = bytes.TrimLeft(natural, " \t\f")
		if len(text) == 0 {
			if len(natural) == 0 || natural[0] == '#' || natural[0] == '!' {
				continue
			}
			start = number + 1
		}
		backslashes := len(natural) - len(bytes.TrimRight(natural, `\`))
		continued := backslashes%2 == 1
		if continued {
			natural = natural[:len(natural)-1]
		}
		for _, b := range natural {
			text = append(text, rune(b)) // ISO-8859-1
		}
		if !continued {
			flush()
		}
	}
	flush()
	return lines
}

func naturalLines(data []byte) [][]byte {
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	data = bytes.ReplaceAll(data, []byte("\r"), []byte("\n"))
	return bytes.Split(data, []byte("\n"))
}

// decode splits a logical line into key and value and resolves the escapes.
func decode(line string) (key, value string, err error) {
	nameless := line[0] == '=' || line[0] == ':'
	if nameless {
		line = "k" + line // the library knows no empty key
	}
	loader := properties.Loader{Encoding: properties.UTF8, DisableExpansion: true}
	loaded, err := loader.LoadBytes([]byte(joinSurrogates(line)))
	if err != nil || loaded.Len() != 1 {
		return "", "", fmt.Errorf(`malformed escape: \u needs four hexadecimal digits; to write a backslash, double it`)
	}
	key = loaded.Keys()[0]
	value, _ = loaded.Get(key)
	if nameless {
		key = ""
	}
	return key, value, nil
}

// joinSurrogates turns two escapes that together are one character beyond 16 bits into that character.
func joinSurrogates(line string) string {
	if !strings.Contains(line, `\u`) {
		return line
	}
	var b strings.Builder
	for i := 0; i < len(line); {
		if line[i] != '\\' || i+1 >= len(line) {
			b.WriteByte(line[i])
			i++
			continue
		}
		high, ok1 := unicodeEscape(line[i:])
		if ok1 && i+6 <= len(line) {
			if low, ok2 := unicodeEscape(line[i+6:]); ok2 && utf16.DecodeRune(high, low) != '\uFFFD' {
				b.WriteRune(utf16.DecodeRune(high, low))
				i += 12
				continue
			}
		}
		b.WriteString(line[i : i+2])
		i += 2
	}
	return b.String()
}

func unicodeEscape(s string) (rune, bool) {
	if len(s) < 6 || !strings.HasPrefix(s, `\u`) {
		return 0, false
	}
	n, err := strconv.ParseUint(s[2:6], 16, 16)
	return rune(n), err == nil
}
