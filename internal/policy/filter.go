package policy

import (
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/dlclark/regexp2"
)

// matchTimeout bounds one match on the backtracking engine: Java would backtrack for hours, and hold up every topic.
const matchTimeout = time.Second

// Filter accepts the names that its include list matches and its exclude list does not. It is safe for concurrent use.
type Filter struct {
	include matcher
	exclude matcher
	trouble atomic.Pointer[error]
}

// matcher matches a whole name.
type matcher func(name string) (bool, error)

// NewFilter compiles two lists of Java regular expressions. The error names the element that does not compile.
func NewFilter(include, exclude []string) (*Filter, error) {
	in, err := compileList(include)
	if err != nil {
		return nil, err
	}
	out, err := compileList(exclude)
	if err != nil {
		return nil, err
	}
	return &Filter{include: in, exclude: out}, nil
}

// Accepts says whether the name is included and not excluded. A name that an expression takes too long over is not
// accepted, on either list.
func (f *Filter) Accepts(name string) bool {
	included, err := f.include(name)
	if err == nil && included {
		var excluded bool
		excluded, err = f.exclude(name)
		if err == nil {
			return !excluded
		}
	}
	if err != nil {
		f.trouble.CompareAndSwap(nil, &err)
	}
	return false
}

// Err is the first match that was given up, nil if there was none.
func (f *Filter) Err() error {
	if err := f.trouble.Load(); err != nil {
		return *err
	}
	return nil
}

// compileList joins the list as MM2 does. Flags, groups and even an open \Q reach over into the elements that follow, so
// only the joined expression counts; the elements are tried alone just to name the one at fault.
func compileList(list []string) (matcher, error) {
	if len(list) == 0 {
		return func(string) (bool, error) { return false, nil }, nil
	}
	joined := strings.Join(list, "|")
	m, err := compile(joined)
	if err == nil {
		return m, nil
	}
	for _, element := range list {
		if _, alone := compile(element); alone != nil {
			return nil, fmt.Errorf("compile regular expression %q: %w", element, alone)
		}
	}
	return nil, fmt.Errorf("compile regular expression %q: %w", joined, err)
}

func compile(java string) (matcher, error) {
	core, backtrack, err := translate(java)
	if err != nil {
		return nil, err
	}
	whole := `\A(?:` + core + `)\z`
	if !backtrack {
		// A count above 1000 is too much for RE2 alone, so an error here is not the last word.
		if re, err := regexp.Compile(whole); err == nil {
			return func(name string) (bool, error) { return re.MatchString(name), nil }, nil
		}
	}
	re, err := regexp2.Compile(whole, regexp2.None)
	if err != nil {
		return nil, err
	}
	re.MatchTimeout = matchTimeout
	return func(name string) (bool, error) {
		ok, err := re.MatchString(name)
		if err != nil {
			return false, fmt.Errorf("match %q with %q: given up after %s: the expression backtracks too much", name, java, matchTimeout)
		}
		return ok, nil
	}, nil
}
