package config

import (
	"fmt"
	"math"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"tandem/internal/policy"
)

// scope says in which forms a key has a meaning. A key may have several.
type scope uint8

const (
	bare    scope = 1 << iota // KEY, carried to every flow
	flow                      // A->B.KEY
	cluster                   // ALIAS.KEY, for the worker of the flows into ALIAS
	process                   // KEY, for the whole process
)

// kind is the type of a value, by its name in Kafka's ConfigDef.
type kind string

const (
	boolean   kind = "BOOLEAN"
	integer   kind = "INT"
	long      kind = "LONG"
	short     kind = "SHORT"
	text      kind = "STRING"
	class     kind = "CLASS"
	list      kind = "LIST"
	regexList kind = "LIST of regular expressions"
	throttles kind = "LIST of PATTERN=BYTES"
)

// effect says what Tandem does with a key.
type effect uint8

const (
	used     effect = iota
	needless        // accepted: what it controls does not exist here, and nothing is lost
	absent          // accepted: the feature is missing, and whoever asks for it is warned
)

// key is a row of the table.
type key struct {
	name     string
	scopes   scope
	kind     kind
	def      string
	def39    string   // the default with mm2.compatibility = 3.9, where it is another
	min      int64    // least value of a number; see limits
	oneOf    []string // the only values allowed
	anyCase  bool     // of which upper and lower case are the same
	effect   effect
	quiet    []string // absent: the values that ask for nothing
	hint     string   // what to do instead of a value that is not allowed, or not there
	meaning  string   // what it does in MM2; for a key of ours, here
	here     string   // what Tandem does otherwise; empty is the same
	change   string   // when to change it
	live     bool     // a change needs no restart
	own      bool     // Tandem's own key, unknown to MM2
	internal bool     // MM2 fills it in itself; not for files
}

// anyNumber is the least value of a key without a lower bound.
const anyNumber = math.MinInt64

var (
	listSplit     = regexp.MustCompile(`[ \t\n\v\f\r]*,[ \t\n\v\f\r]*`)
	serverAddress = regexp.MustCompile(`^(?:[A-Za-z_]+://)?(?:\[[0-9A-Fa-f:.%]+\]|[^\s:\[\]]+):[0-9]{1,5}$`)
	topicChars    = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)
)

// splitList splits a LIST as Kafka does; empty says that an element was empty, which is dropped.
func splitList(s string) (items []string, empty bool) {
	s = javaTrim(s)
	if s == "" {
		return nil, false
	}
	for _, item := range listSplit.Split(s, -1) {
		if item == "" {
			empty = true
			continue
		}
		items = append(items, item)
	}
	return items, empty
}

// javaTrim is String.trim of Java: everything up to the blank goes.
func javaTrim(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return r <= ' ' })
}

// check says what is allowed if the value is not.
func (k key) check(value string) error {
	switch k.kind {
	case boolean:
		if !slices.Contains([]string{"true", "false"}, strings.ToLower(javaTrim(value))) {
			return fmt.Errorf("must be true or false")
		}
	case integer, long, short:
		return k.checkNumber(value)
	case regexList:
		items, _ := splitList(value)
		if _, err := policy.NewFilter(items, nil); err != nil {
			return fmt.Errorf("must be a list of Java regular expressions: %w", err)
		}
	case list:
		return k.checkList(value)
	case throttles:
		_, err := parseThrottles(value)
		return err
	case class, text:
		return k.checkOneOf(k.trim(value))
	}
	return nil
}

// trim drops blanks around a value, as ConfigDef does. The separator is the one key that MM2 reads without it.
func (k key) trim(value string) string {
	if k.name == "replication.policy.separator" {
		return value
	}
	return javaTrim(value)
}

func (k key) checkOneOf(value string) error {
	switch {
	case k.name == "status.address" && value != "":
		if _, port, err := net.SplitHostPort(value); err != nil || port == "" {
			return fmt.Errorf("must be host:port, such as 127.0.0.1:8383, or empty")
		}
	case k.name == "drill.schedule":
		return checkSchedule(value)
	case k.name == "replication.policy.separator" && !topicChars.MatchString(value):
		return fmt.Errorf("must consist of characters that topic names may have: letters, digits, dot, underscore, hyphen")
	case k.name == "group.id" && value == "":
		return fmt.Errorf("must not be empty; without the line it is A-mm2")
	case k.name == "group.instance.id" && value != "" && (!topicChars.MatchString(value) || len(value) > 249 || value == "." || value == ".."):
		return fmt.Errorf("must be up to 249 letters, digits, dots, underscores and hyphens")
	}
	if len(k.oneOf) == 0 || k.among(k.oneOf, value) {
		return nil
	}
	more := ""
	if k.hint != "" {
		more = "; " + k.hint
	}
	return fmt.Errorf("must be %s%s", orList(k.oneOf), more)
}

func (k key) among(words []string, value string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return w == value || k.anyCase && strings.EqualFold(w, value) })
}

// read is the value as the program reads it.
func (k key) read(value string) string {
	if k.kind == text || k.kind == class {
		return k.trim(value)
	}
	return value
}

// canonical brings values that mean the same into one form.
func (k key) canonical(value string) string {
	switch k.kind {
	case boolean:
		return strings.ToLower(javaTrim(value))
	case text:
		value = k.trim(value)
		i := slices.IndexFunc(k.oneOf, func(w string) bool { return strings.EqualFold(w, value) })
		if k.anyCase && i >= 0 {
			return k.oneOf[i]
		}
	case integer, long, short, class:
		return javaTrim(value)
	case list, regexList, throttles:
		items, _ := splitList(value)
		return strings.Join(items, ", ")
	}
	return value
}

func (k key) checkList(value string) error {
	items, _ := splitList(value)
	for _, item := range items {
		if len(k.oneOf) > 0 && !slices.Contains(k.oneOf, item) {
			return fmt.Errorf("must be a list of %s", orList(k.oneOf))
		}
		if k.name == "bootstrap.servers" && !serverAddress.MatchString(item) {
			return fmt.Errorf("must be a list of host:port")
		}
		if port, _ := strconv.Atoi(item[strings.LastIndexByte(item, ':')+1:]); k.name == "bootstrap.servers" && (port < 1 || port > math.MaxUint16) {
			return fmt.Errorf("must be a list of host:port, with ports from 1 to 65535")
		}
	}
	if len(items) == 0 && (k.name == "bootstrap.servers" || len(k.oneOf) > 0) {
		return fmt.Errorf("must not be empty")
	}
	return nil
}

func (k key) checkNumber(value string) error {
	low, high := k.limits()
	n, err := strconv.ParseInt(javaTrim(value), 10, 64)
	if err == nil && n >= low && n <= high && (n != 0 || !strings.HasSuffix(k.name, "replication.factor")) {
		return nil
	}
	switch {
	case strings.HasSuffix(k.name, "replication.factor"):
		return fmt.Errorf("must be a number from 1 to %d, or -1 for the broker's default", high)
	case k.min == anyNumber:
		return fmt.Errorf("must be a whole number")
	case high == math.MaxInt64:
		return fmt.Errorf("must be a whole number, %d or more", low)
	}
	return fmt.Errorf("must be a number from %d to %d", low, high)
}

func (k key) limits() (low, high int64) {
	switch {
	case k.kind == short, k.name == "replication.factor": // MM2 casts the latter to a short
		low, high = math.MinInt16, math.MaxInt16
	case k.kind == integer:
		low, high = math.MinInt32, math.MaxInt32
	default:
		low, high = math.MinInt64, math.MaxInt64
	}
	return max(low, k.min), high
}

// allowed describes the values for the documentation.
func (k key) allowed() string {
	switch {
	case k.kind == class:
		var names []string
		for _, c := range k.oneOf {
			names = append(names, c[strings.LastIndexByte(c, '.')+1:])
		}
		return strings.Join(names, ", ")
	case len(k.oneOf) > 0:
		return strings.Join(k.oneOf, ", ")
	case k.kind == boolean:
		return "" // the type says it
	case strings.HasSuffix(k.name, "replication.factor"):
		return "1 and up, -1: the broker's default"
	case (k.kind == integer || k.kind == long || k.kind == short) && k.min != anyNumber:
		return fmt.Sprintf("%d and up", k.min)
	case k.name == "bootstrap.servers":
		return "host:port, ..."
	}
	return ""
}

func orList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// find is the row of a key in one of the scopes.
func find(name string, in scope) (key, bool) {
	i := slices.IndexFunc(table, func(k key) bool { return k.name == name && k.scopes&in != 0 })
	if i < 0 {
		return key{}, false
	}
	return table[i], true
}
