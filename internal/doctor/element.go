package doctor

import (
	"strings"

	"tandem/internal/policy"
)

// probeSuffix ends made-up names; nobody has a topic of such a name.
const probeSuffix = "tandem-check-0"

// Resource is what an ACL can say of names: one name, all with a prefix, or all.
type Resource struct {
	Name     string // "*" is all
	Prefixed bool
}

// Probe is a name that stands for all others that the resource has; empty where it is one name.
func (r Resource) Probe() string {
	switch {
	case r.Prefixed:
		return r.Name + probeSuffix
	case r.Name == "*":
		return probeSuffix
	}
	return ""
}

// resources are the narrowest that cover all names an expression matches, as far as its first characters tell.
func resources(expression string) []Resource {
	parts := []string{expression}
	if !strings.ContainsAny(expression, `([\`) {
		parts = strings.Split(expression, "|")
	}
	var all []Resource
	for _, part := range parts {
		all = append(all, resource(part))
	}
	return all
}

func resource(expression string) Resource {
	var name []rune
	runes := []rune(expression)
	at := func(i int) rune {
		if i < len(runes) {
			return runes[i]
		}
		return 0
	}
	quantified := func(i int) bool { return strings.ContainsRune("*+?{", at(i)) && at(i) != 0 }
	for i := 0; i < len(runes); i++ {
		c := runes[i]
		switch {
		case c == '\\' && strings.ContainsRune(`.-_`, at(i+1)) && at(i+1) != 0 && !quantified(i+2):
			i++
			name = append(name, runes[i])
		case strings.ContainsRune(`\.^$|()[]{}*+?`, c) && (c != '.' || quantified(i+1)), quantified(i + 1):
			if len(name) == 0 {
				return Resource{Name: "*"}
			}
			return Resource{Name: string(name), Prefixed: true}
		default: // a dot by itself is mostly meant as one
			name = append(name, c)
		}
	}
	return Resource{Name: string(name)}
}

// matches says whether an element, alone, accepts a name.
func (e Element) matcher() func(string) bool {
	f, err := policy.NewFilter([]string{e.Text}, nil)
	if err != nil {
		return func(string) bool { return false }
	}
	return f.Accepts
}
