package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"tandem/internal/policy"
)

// Throttle bounds how fast a flow reads its source.
type Throttle struct {
	BytesPerSecond int64           // throttle.bytes.per.second; 0: unbounded
	Topics         []TopicThrottle // throttle.topics, in the order of the file; the first that matches counts, beside the flow's own
}

// TopicThrottle bounds the topics that match a pattern, all of them together.
type TopicThrottle struct {
	Pattern        string // as it stands in the file: in logs, and equal patterns are one bound before and after a reload
	Topics         *policy.Filter
	BytesPerSecond int64 // 0: unbounded
}

// parseThrottles reads a LIST of PATTERN=BYTES. A pattern may hold "=", so the last one counts.
func parseThrottles(value string) ([]TopicThrottle, error) {
	items, _ := splitList(value)
	var all []TopicThrottle
	for _, item := range items {
		at := strings.LastIndexByte(item, '=')
		if at < 0 {
			return nil, errors.New(`must be a list of PATTERN=BYTES, as in: orders\\..*=1048576, .*=4194304`)
		}
		pattern := javaTrim(item[:at])
		n, err := strconv.ParseInt(javaTrim(item[at+1:]), 10, 64)
		if err != nil || n < 0 || pattern == "" {
			return nil, fmt.Errorf("must be a list of PATTERN=BYTES: in %q, a pattern stands before the last = and a number of bytes a second, 0 and up, behind it", item)
		}
		topics, err := policy.NewFilter([]string{pattern}, nil)
		if err != nil {
			return nil, fmt.Errorf("must be a list of PATTERN=BYTES: %w", err)
		}
		all = append(all, TopicThrottle{Pattern: pattern, Topics: topics, BytesPerSecond: n})
	}
	return all, nil
}

func (b builder) throttle(connector settings) Throttle {
	topics, _ := parseThrottles(b.text(connector, "throttle.topics")) // checked
	return Throttle{BytesPerSecond: b.number(connector, "throttle.bytes.per.second", flow), Topics: topics}
}
