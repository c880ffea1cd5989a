package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// escape reads an escape outside of a class.
func (t *translator) escape() (atom bool, err error) {
	next := t.peek(1)
	switch {
	case next == 'Q':
		return t.quoted()
	case next == 'b' || next == 'B':
		if t.peek(2) == '{' && (t.peek(3) < '0' || t.peek(3) > '9') {
			return false, fmt.Errorf(`\%c{...} is not supported`, next)
		}
		t.pos += 2
		t.emit(`\` + string(next))
		return true, nil
	case next == 'A' || next == 'z' || next == 'Z':
		t.pos += 2
		t.emit(map[rune]string{'A': `\A`, 'z': `\z`, 'Z': `\z`}[next])
		return true, nil
	case next == 'k':
		t.pos += 2
		if !t.accept("<") {
			return false, fmt.Errorf(`\k is not followed by <name>`)
		}
		name, err := t.name()
		if err != nil {
			return false, err
		}
		n, ok := t.names[name]
		if !ok {
			return false, fmt.Errorf("group name %q is not defined", name)
		}
		t.backref(n)
		return true, nil
	case next >= '1' && next <= '9':
		t.backref(t.backrefNumber())
		return true, nil
	}
	s, err := t.escapedSet()
	if err != nil {
		return false, err
	}
	t.emit(s.class())
	return true, nil
}

// quoted reads \Q...\E, whose characters are literals one by one: a quantifier after it takes the last one. Without \E
// it reaches to the end of the expression.
func (t *translator) quoted() (atom bool, err error) {
	t.pos += 2
	text, length := t.untilE()
	t.pos += length
	for i, r := range text {
		start := len(t.out)
		t.emit(t.folded(setOf(r, r)).class())
		if i == len(text)-1 {
			return false, t.quantifier(start)
		}
	}
	return false, nil
}

func (t *translator) untilE() (text []rune, length int) {
	rest := t.in[t.pos:]
	for i := 0; i+1 < len(rest); i++ {
		if rest[i] == '\\' && rest[i+1] == 'E' {
			return rest[:i], i + 2
		}
	}
	return rest, len(rest)
}

func (t *translator) backref(n int) {
	t.backtrack = true
	t.backrefs = append(t.backrefs, n)
	ref := `\k<g` + strconv.Itoa(n) + `>`
	if t.flags.fold {
		ref = `(?i:` + ref + `)`
	}
	t.emit(ref)
}

// backrefNumber takes further digits only while so many groups have been opened: \11 may be group 1 and a "1".
func (t *translator) backrefNumber() int {
	n := int(t.peek(1) - '0')
	t.pos += 2
	for t.more() {
		d := t.peek(0)
		if d < '0' || d > '9' || n*10+int(d-'0') > t.groups {
			break
		}
		n = n*10 + int(d-'0')
		t.pos++
	}
	return n
}

// escapedSet reads an escape that stands for one character or for a set of them, inside a class or out.
func (t *translator) escapedSet() (runeSet, error) {
	r := t.peek(1)
	if r < 0 {
		return nil, fmt.Errorf(`nothing follows the last backslash`)
	}
	switch r {
	case 'd', 's', 'w', 'h', 'v':
		t.pos += 2
		return map[rune]runeSet{'d': digitSet, 's': spaceSet, 'w': wordSet, 'h': horizontalSet, 'v': verticalSet}[r], nil
	case 'D', 'S', 'W', 'H', 'V':
		t.pos += 2
		return map[rune]runeSet{'D': digitSet, 'S': spaceSet, 'W': wordSet, 'H': horizontalSet, 'V': verticalSet}[r].negate(), nil
	case 'p', 'P':
		t.pos += 2
		s, err := t.property()
		if err == nil && r == 'P' {
			s = s.negate()
		}
		return s, err
	}
	c, err := t.escapedRune()
	if err != nil {
		return nil, err
	}
	return t.folded(setOf(c, c)), nil
}

// escapedRune reads an escape that stands for one character.
func (t *translator) escapedRune() (rune, error) {
	r := t.peek(1)
	t.pos += 2
	switch r {
	case 't':
		return '\t', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 'f':
		return '\f', nil
	case 'a':
		return 7, nil
	case 'e':
		return 0x1B, nil
	case 'c':
		if !t.more() {
			return 0, fmt.Errorf(`\c is not followed by a character`)
		}
		t.pos++
		return t.in[t.pos-1] ^ 64, nil
	case '0':
		return t.octal()
	case 'x':
		if t.accept("{") {
			end := slices.Index(t.in[t.pos:], '}')
			if end < 0 {
				return 0, fmt.Errorf(`unclosed \x{`)
			}
			c, err := t.hex(end)
			t.pos++
			return c, err
		}
		return t.hex(2)
	case 'u':
		return t.hex(4)
	}
	if r < 0 {
		return 0, fmt.Errorf(`nothing follows the last backslash`)
	}
	if asciiLetter(r) || r >= '1' && r <= '9' {
		return 0, fmt.Errorf(`\%c is not supported here`, r)
	}
	return r, nil
}

func (t *translator) hex(n int) (rune, error) {
	if t.pos+n > len(t.in) {
		return 0, fmt.Errorf("hexadecimal number is too short")
	}
	text := string(t.in[t.pos : t.pos+n])
	c, err := strconv.ParseUint(text, 16, 32)
	if err != nil || strings.Contains(text, "_") {
		return 0, fmt.Errorf("%q is not a hexadecimal number", text)
	}
	if c > unicode.MaxRune || c >= 0xD800 && c <= 0xDFFF {
		return 0, fmt.Errorf("%q is not a character", text)
	}
	t.pos += n
	return rune(c), nil
}

// octal reads the one to three digits after \0, at most \0377.
func (t *translator) octal() (rune, error) {
	isOctal := func(r rune) bool { return r >= '0' && r <= '7' }
	if !isOctal(t.peek(0)) {
		return 0, fmt.Errorf(`\0 is not followed by an octal digit`)
	}
	n, most := rune(0), 2
	if t.peek(0) <= '3' {
		most = 3
	}
	for i := 0; i < most && isOctal(t.peek(0)); i++ {
		n = n*8 + t.peek(0) - '0'
		t.pos++
	}
	return n, nil
}

// property reads what follows \p: a POSIX class, a general category or a script.
func (t *translator) property() (runeSet, error) {
	if !t.more() {
		return nil, fmt.Errorf(`\p is not followed by a property`)
	}
	name := string(t.peek(0))
	t.pos++
	if name == "{" {
		end := slices.Index(t.in[t.pos:], '}')
		if end < 0 {
			return nil, fmt.Errorf(`unclosed \p{`)
		}
		name = string(t.in[t.pos : t.pos+end])
		t.pos += end + 1
	}
	s, ok := propertySet(name)
	if !ok {
		return nil, fmt.Errorf(`\p{%s} is not supported`, name)
	}
	if t.flags.fold && slices.Contains([]string{"Lower", "Upper", "Lu", "Ll", "Lt", "IsLu", "IsLl", "IsLt"}, name) {
		s = s.fold(true)
	}
	return s, nil
}

func propertySet(name string) (runeSet, bool) {
	if s, ok := posixSets[name]; ok {
		return s, true
	}
	kind, value, named := strings.Cut(name, "=")
	if named {
		switch strings.ToLower(kind) {
		case "gc", "general_category":
			return categorySet(value)
		case "sc", "script":
			return scriptSet(value)
		}
		return nil, false
	}
	if short, ok := strings.CutPrefix(name, "Is"); ok {
		if s, ok := categorySet(short); ok {
			return s, true
		}
		return scriptSet(short)
	}
	return categorySet(name)
}

func categorySet(name string) (runeSet, bool) {
	if len(name) > 2 {
		return nil, false
	}
	table, ok := unicode.Categories[name]
	if !ok || name == "LC" || name == "Cn" {
		return nil, false
	}
	return tableSet(table), true
}

func scriptSet(name string) (runeSet, bool) {
	for script, table := range unicode.Scripts {
		if strings.EqualFold(script, name) {
			return tableSet(table), true
		}
	}
	return nil, false
}
