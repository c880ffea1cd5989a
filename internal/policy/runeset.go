package policy

import (
	"slices"
	"strings"
	"unicode"
)

// runeSet is a set of code points: pairs of first and last, ascending, neither overlapping nor touching.
type runeSet []rune

func setOf(ranges ...rune) runeSet { return runeSet(ranges).normal() }

// normal sorts the pairs and joins those that overlap or touch.
func (s runeSet) normal() runeSet {
	type pair struct{ lo, hi rune }
	pairs := make([]pair, 0, len(s)/2)
	for i := 0; i+1 < len(s); i += 2 {
		pairs = append(pairs, pair{s[i], s[i+1]})
	}
	slices.SortFunc(pairs, func(a, b pair) int { return int(a.lo) - int(b.lo) })
	var out runeSet
	for _, p := range pairs {
		if n := len(out); n > 0 && p.lo <= out[n-1]+1 {
			out[n-1] = max(out[n-1], p.hi)
			continue
		}
		out = append(out, p.lo, p.hi)
	}
	return out
}

func (s runeSet) union(o runeSet) runeSet {
	return append(slices.Clone(s), o...).normal()
}

func (s runeSet) negate() runeSet {
	var out runeSet
	next := rune(0)
	for i := 0; i < len(s); i += 2 {
		if s[i] > next {
			out = append(out, next, s[i]-1)
		}
		next = s[i+1] + 1
	}
	if next <= unicode.MaxRune {
		out = append(out, next, unicode.MaxRune)
	}
	return out
}

func (s runeSet) intersect(o runeSet) runeSet {
	return s.negate().union(o.negate()).negate()
}

// fold adds the other case of each letter: of ASCII letters as Java does by default, of all where whole (flag u) is set.
func (s runeSet) fold(whole bool) runeSet {
	last := rune(unicode.MaxASCII)
	if whole {
		last = unicode.MaxRune
	}
	out := slices.Clone(s)
	for i := 0; i < len(s); i += 2 {
		for r := s[i]; r <= min(s[i+1], last); r++ {
			if !whole {
				if other := r ^ 0x20; asciiLetter(r) {
					out = append(out, other, other)
				}
				continue
			}
			for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
				out = append(out, f, f)
			}
		}
	}
	return out.normal()
}

// class writes the set as a character class that both engines read alike.
func (s runeSet) class() string {
	if len(s) == 0 {
		return "[^\x00-\U0010FFFF]"
	}
	if len(s) == 2 && s[0] == s[1] {
		return literal(s[0])
	}
	var b strings.Builder
	b.WriteByte('[')
	for i := 0; i < len(s); i += 2 {
		b.WriteString(literal(s[i]))
		if s[i+1] != s[i] {
			b.WriteByte('-')
			b.WriteString(literal(s[i+1]))
		}
	}
	b.WriteByte(']')
	return b.String()
}

// literal writes one code point, escaped where either engine gives it a meaning, inside a class or out.
func literal(r rune) string {
	if strings.ContainsRune(`\.+*?()|[]{}^$-&~#`, r) {
		return `\` + string(r)
	}
	return string(r)
}

func asciiLetter(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }

func tableSet(t *unicode.RangeTable) runeSet {
	var s runeSet
	add := func(lo, hi, stride rune) {
		if stride == 1 {
			s = append(s, lo, hi)
			return
		}
		for r := lo; r <= hi; r += stride {
			s = append(s, r, r)
		}
	}
	for _, r := range t.R16 {
		add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
	}
	for _, r := range t.R32 {
		add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
	}
	return s.normal()
}

// The classes that Java writes as one letter after a backslash.
var (
	digitSet      = setOf('0', '9')
	wordSet       = setOf('a', 'z', 'A', 'Z', '0', '9', '_', '_')
	spaceSet      = setOf('\t', '\r', ' ', ' ')
	horizontalSet = setOf('\t', '\t', ' ', ' ', 0xA0, 0xA0, 0x1680, 0x1680, 0x180E, 0x180E, 0x2000, 0x200A, 0x202F, 0x202F, 0x205F, 0x205F, 0x3000, 0x3000)
	verticalSet   = setOf('\n', '\r', 0x85, 0x85, 0x2028, 0x2029)
	lineEndSet    = setOf('\n', '\n', '\r', '\r', 0x85, 0x85, 0x2028, 0x2029)
)

// posixSets are Java's \p{...} classes of ASCII.
var posixSets = map[string]runeSet{
	"Lower": setOf('a', 'z'), "Upper": setOf('A', 'Z'), "ASCII": setOf(0, unicode.MaxASCII),
	"Alpha": setOf('a', 'z', 'A', 'Z'), "Digit": digitSet, "Alnum": setOf('a', 'z', 'A', 'Z', '0', '9'),
	"Punct": setOf('!', '/', ':', '@', '[', '`', '{', '~'), "Graph": setOf('!', '~'), "Print": setOf(' ', '~'),
	"Blank": setOf(' ', ' ', '\t', '\t'), "Cntrl": setOf(0, 0x1F, 0x7F, 0x7F),
	"XDigit": setOf('0', '9', 'a', 'f', 'A', 'F'), "Space": spaceSet,
}
