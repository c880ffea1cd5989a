package policy

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// flags are the embedded flags of java.util.regex that have an effect on names.
type flags struct {
	fold   bool // i
	whole  bool // u: folding beyond ASCII
	dotAll bool // s
	unix   bool // d: only \n ends a line
	multi  bool // m
}

// translator rewrites one Java expression. It leaves nothing to the dialect of the engine that runs the result: classes
// become explicit sets, letters under (?i) become classes, escapes become the characters they stand for.
type translator struct {
	in        []rune
	pos       int
	out       []byte
	flags     flags
	groups    int // capturing groups opened so far
	names     map[string]int
	backrefs  []int
	behind    int  // lookbehinds that are open
	backtrack bool // needs the backtracking engine
}

// maxDepth bounds the nesting of groups, as a guard for the stack.
const maxDepth = 200

// The backtracking engine reads a lookbehind from right to left, where an atomic group keeps another match than Java's.
var errAtomicBehind = errors.New("an atomic group or possessive quantifier inside a lookbehind is not supported")

func translate(java string) (core string, backtrack bool, err error) {
	t := &translator{in: []rune(java), names: map[string]int{}}
	if err := t.alternation(0); err != nil {
		return "", false, fmt.Errorf("%w (near character %d)", err, min(t.pos, len(t.in)))
	}
	for _, n := range t.backrefs {
		if n > t.groups {
			return "", false, fmt.Errorf(`\%d refers to a group that does not exist`, n)
		}
	}
	return string(t.out), t.backtrack, nil
}

func (t *translator) more() bool { return t.pos < len(t.in) }

func (t *translator) peek(ahead int) rune {
	if t.pos+ahead < len(t.in) {
		return t.in[t.pos+ahead]
	}
	return -1
}

// accept takes the text if it comes next.
func (t *translator) accept(text string) bool {
	for i, r := range []rune(text) {
		if t.peek(i) != r {
			return false
		}
	}
	t.pos += len([]rune(text))
	return true
}

func (t *translator) emit(s string) { t.out = append(t.out, s...) }

// alternation reads up to the end, or to the parenthesis that closes the group at this depth.
func (t *translator) alternation(depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("groups are nested deeper than %d", maxDepth)
	}
	for t.more() {
		start := len(t.out)
		atom := true
		var err error
		switch r := t.peek(0); r {
		case '|':
			t.pos++
			t.emit("|")
			atom = false
		case ')':
			if depth == 0 {
				return fmt.Errorf("unmatched closing parenthesis")
			}
			return nil
		case '(':
			atom, err = t.group(depth)
		case '[':
			t.pos++
			var s runeSet
			if s, err = t.class(0); err == nil {
				t.emit(s.class())
			}
		case '\\':
			atom, err = t.escape()
		case '*', '+', '?':
			return fmt.Errorf("dangling %q", r)
		case '{':
			return fmt.Errorf("illegal repetition")
		default:
			t.pos++
			t.plain(r)
		}
		if err != nil {
			return err
		}
		if atom {
			if err := t.quantifier(start); err != nil {
				return err
			}
		}
	}
	if depth > 0 {
		return fmt.Errorf("unclosed group")
	}
	return nil
}

// plain writes a character that stands outside of groups, classes and escapes.
func (t *translator) plain(r rune) {
	switch r {
	case '.':
		t.emit(t.dot().class())
	case '^':
		if t.flags.multi {
			t.emit(`(?m:^)`)
		} else {
			t.emit(`\A`)
		}
	case '$':
		if t.flags.multi {
			t.emit(`(?m:$)`)
		} else {
			t.emit(`\z`)
		}
	default:
		t.emit(t.folded(setOf(r, r)).class())
	}
}

func (t *translator) dot() runeSet {
	switch {
	case t.flags.dotAll:
		return runeSet(nil).negate()
	case t.flags.unix:
		return setOf('\n', '\n').negate()
	}
	return lineEndSet.negate()
}

func (t *translator) folded(s runeSet) runeSet {
	if t.flags.fold {
		return s.fold(t.flags.whole)
	}
	return s
}

// group reads a group of any kind, or a flag group, which is no atom.
func (t *translator) group(depth int) (atom bool, err error) {
	outer, behind, open := t.flags, t.behind, t.pos
	switch {
	case t.accept("(?="), t.accept("(?!"), t.accept("(?<="), t.accept("(?<!"), t.accept("(?>"):
		t.backtrack = true
		kind := string(t.in[open:t.pos])
		if t.behind > 0 && kind == "(?>" {
			return false, errAtomicBehind
		}
		if kind[2] == '<' {
			t.behind++
		}
		t.emit(kind)
	case t.accept("(?:"):
		t.emit("(?:")
	case t.accept("(?<"):
		if err := t.groupName(); err != nil {
			return false, err
		}
	case t.accept("(?"):
		scoped, err := t.setFlags()
		if err != nil {
			return false, err
		}
		if !scoped {
			return false, nil
		}
		t.emit("(?:")
	default:
		t.accept("(")
		t.openCapture()
	}
	if err := t.alternation(depth + 1); err != nil {
		return false, err
	}
	t.accept(")")
	t.emit(")")
	t.flags, t.behind = outer, behind
	return true, nil
}

func (t *translator) openCapture() {
	t.groups++
	t.emit("(?<g" + strconv.Itoa(t.groups) + ">")
}

func (t *translator) groupName() error {
	name, err := t.name()
	if err != nil {
		return err
	}
	if _, twice := t.names[name]; twice {
		return fmt.Errorf("group name %q is defined twice", name)
	}
	t.openCapture()
	t.names[name] = t.groups
	return nil
}

// name reads "name>".
func (t *translator) name() (string, error) {
	start := t.pos
	for t.more() {
		r := t.peek(0)
		if r == '>' && t.pos > start {
			t.pos++
			return string(t.in[start : t.pos-1]), nil
		}
		if !asciiLetter(r) && (t.pos == start || r < '0' || r > '9') {
			break
		}
		t.pos++
	}
	return "", fmt.Errorf("group name expected")
}

// setFlags reads what follows "(?" in a flag group; scoped says that it ended with a colon and opens a group.
func (t *translator) setFlags() (scoped bool, err error) {
	on := true
	for t.more() {
		r := t.peek(0)
		t.pos++
		switch r {
		case 'i':
			t.flags.fold = on
		case 'u':
			t.flags.whole = on
		case 's':
			t.flags.dotAll = on
		case 'd':
			t.flags.unix = on
		case 'm':
			t.flags.multi = on
		case '-':
			if !on {
				return false, fmt.Errorf("flag group with two minus signs")
			}
			on = false
		case ':':
			return true, nil
		case ')':
			return false, nil
		case 'x', 'U':
			return false, fmt.Errorf("flag %c is not supported", r)
		default:
			return false, fmt.Errorf("unknown group or flag %q after (?", r)
		}
	}
	return false, fmt.Errorf("unclosed group")
}

// quantifier reads what may follow the atom that was written from start on.
func (t *translator) quantifier(start int) error {
	var q string
	switch t.peek(0) {
	case '*', '+', '?':
		q = string(t.peek(0))
		t.pos++
	case '{':
		var err error
		if q, err = t.count(); err != nil {
			return err
		}
	default:
		return nil
	}
	switch {
	case t.accept("?"):
		t.emit(q + "?")
	case t.accept("+"):
		if t.behind > 0 {
			return errAtomicBehind
		}
		// Possessive: an atomic group around the atom and its quantifier.
		t.backtrack = true
		t.out = slices.Insert(t.out, start, []byte("(?>")...)
		t.emit(q + ")")
	default:
		t.emit(q)
	}
	return nil
}

// count reads {n}, {n,} or {n,m}.
func (t *translator) count() (string, error) {
	end := slices.Index(t.in[t.pos:], '}')
	if end < 0 {
		return "", fmt.Errorf("unclosed counted repetition")
	}
	text := string(t.in[t.pos+1 : t.pos+end])
	low, high, ranged := strings.Cut(text, ",")
	n, err := digits(low)
	if err != nil {
		return "", err
	}
	if ranged && high != "" {
		m, err := digits(high)
		if err != nil {
			return "", err
		}
		if m < n {
			return "", fmt.Errorf("illegal repetition range {%s}", text)
		}
	}
	t.pos += end + 1
	return "{" + text + "}", nil
}

func digits(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil || strings.ContainsAny(s, "+_") {
		return 0, fmt.Errorf("illegal repetition {%s}", s)
	}
	return int(n), nil
}
