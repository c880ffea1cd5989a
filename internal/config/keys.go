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
	min      int64    // least value of a number; see limits
	oneOf    []string // the only values allowed
	effect   effect
	off      string // absent: the value that asks for nothing
	meaning  string // what it does; why it has no effect
	change   string // when to change it
	own      bool   // Tandem's own key, unknown to MM2
	internal bool   // MM2 fills it in itself; not for files
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
	case class:
		return k.checkOneOf(javaTrim(value))
	case text:
		// Kafka does not trim a STRING.
		return k.checkOneOf(value)
	}
	return nil
}

func (k key) checkOneOf(value string) error {
	if k.name == "status.address" && javaTrim(value) != "" {
		if _, port, err := net.SplitHostPort(javaTrim(value)); err != nil || port == "" {
			return fmt.Errorf("must be host:port, such as 127.0.0.1:8383, or empty")
		}
	}
	if k.name == "replication.policy.separator" && !topicChars.MatchString(value) {
		return fmt.Errorf("must consist of characters that topic names may have: letters, digits, dot, underscore, hyphen")
	}
	matches := func(allowed string) bool {
		// Kafka compares security.protocol, and nothing else, without regard to case.
		return allowed == value || k.name == "security.protocol" && strings.EqualFold(allowed, value)
	}
	if len(k.oneOf) == 0 || slices.ContainsFunc(k.oneOf, matches) {
		return nil
	}
	blanks := ""
	if slices.ContainsFunc(k.oneOf, func(allowed string) bool { return allowed == javaTrim(value) }) {
		blanks = ", without blanks around it"
	}
	return fmt.Errorf("must be %s%s", orList(k.oneOf), blanks)
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
	case len(k.oneOf) > 0:
		return strings.Join(k.oneOf, ", ")
	case k.kind == boolean:
		return "true, false"
	case strings.HasSuffix(k.name, "replication.factor"):
		return "1 and up, or -1 for the broker's default"
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
