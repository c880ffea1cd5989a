package policy

import "fmt"

// class reads a character class from after its opening bracket. Unions nest, && intersects what stands on its two sides,
// and a leading ^ negates the whole.
func (t *translator) class(depth int) (runeSet, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("classes are nested deeper than %d", maxDepth)
	}
	negated := t.accept("^")
	var set, left runeSet
	intersecting, nested, items := false, false, 0
	for {
		switch {
		case !t.more():
			return nil, fmt.Errorf("unclosed character class")
		case t.peek(0) == ']' && (items > 0 || intersecting):
			t.pos++
			if intersecting {
				if items == 0 {
					return nil, fmt.Errorf("&& without a right side")
				}
				set = left.intersect(set)
			}
			if negated {
				set = set.negate()
			}
			return set, nil
		case t.accept("&&"):
			if items == 0 {
				return nil, fmt.Errorf("&& without a left side")
			}
			if t.peek(0) == '&' {
				return nil, fmt.Errorf("&&& is not supported")
			}
			if intersecting {
				set = left.intersect(set)
			}
			left, set, items, intersecting, nested = set, nil, 0, true, false
		default:
			nested = nested || t.peek(0) == '['
			item, err := t.classItem(depth)
			if err != nil {
				return nil, err
			}
			set = set.union(item)
			if items++; intersecting && nested && items > 1 {
				// Java intersects with each of them or with all together, depending on their order.
				return nil, fmt.Errorf("a nested class beside others on the right side of && is not supported")
			}
		}
	}
}

// classItem reads a nested class, a quotation, a set, a range or a character.
func (t *translator) classItem(depth int) (runeSet, error) {
	switch {
	case t.accept("["):
		return t.class(depth + 1)
	case t.accept(`\Q`):
		text, length := t.untilE()
		t.pos += length
		if t.peek(0) == '-' && t.peek(1) != ']' {
			return nil, fmt.Errorf(`a range that starts with \Q...\E is not supported`)
		}
		var s runeSet
		for _, r := range text {
			s = s.union(t.folded(setOf(r, r)))
		}
		return s, nil
	case t.peek(0) == '\\':
		switch t.peek(1) {
		case 'd', 'D', 's', 'S', 'w', 'W', 'h', 'H', 'v', 'V', 'p', 'P':
			return t.escapedSet()
		}
	}
	low, err := t.classRune()
	if err != nil {
		return nil, err
	}
	if t.peek(0) != '-' || t.peek(1) == ']' || t.peek(1) == '[' || t.peek(1) < 0 {
		return t.folded(setOf(low, low)), nil
	}
	t.pos++
	high, err := t.classRune()
	if err != nil {
		return nil, err
	}
	if high < low {
		return nil, fmt.Errorf("illegal character range")
	}
	return t.folded(setOf(low, high)), nil
}

func (t *translator) classRune() (rune, error) {
	if t.peek(0) == '\\' {
		return t.escapedRune()
	}
	t.pos++
	return t.in[t.pos-1], nil
}
