package position

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"unicode/utf16"

	"tandem/internal/stream"
)

// A position as Kafka Connect's JsonConverter writes it: UTF-8 without white space, members in this order, which is that
// of a Java HashMap. Connect looks positions up by exact bytes, and so does compaction.
//
//	key    ["MirrorSourceConnector",{"cluster":"A","partition":3,"topic":"orders"}]
//	value  {"offset":12345}
//
// cluster is the source alias, topic the source topic, offset that of the last replicated record.

// connector is the name under which a dedicated MM2 runs its source connector.
const connector = "MirrorSourceConnector"

// none stands for a position that was never stored, or was taken back.
const none stream.Upstream = -1

func encodeKey(cluster string, p stream.Partition) []byte {
	b := append([]byte(`["`+connector+`",{"cluster":`), quote(cluster)...)
	b = append(b, `,"partition":`...)
	b = strconv.AppendInt(b, int64(p.Number), 10)
	b = append(b, `,"topic":`...)
	return append(append(b, quote(p.Topic)...), `}]`...)
}

func encodeValue(last stream.Upstream) []byte {
	return append(strconv.AppendInt([]byte(`{"offset":`), int64(last), 10), '}')
}

const hexDigits = "0123456789ABCDEF"

// quote writes a JSON string as Jackson does for UTF-8 output: it escapes the quote, the backslash, control characters,
// and (the surprising one) what lies outside the basic plane, as two surrogates. encoding/json escapes <, >, & and
// U+2028 besides, and in lower case.
func quote(s string) []byte {
	b := []byte{'"'}
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\b':
			b = append(b, `\b`...)
		case r == '\t':
			b = append(b, `\t`...)
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\f':
			b = append(b, `\f`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r < 0x20:
			b = appendUnicode(b, r)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			b = appendUnicode(appendUnicode(b, high), low)
		default:
			b = append(b, string(r)...)
		}
	}
	return append(b, '"')
}

func appendUnicode(b []byte, r rune) []byte {
	return append(b, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}

// decodeKey reads a key whatever the order of its members, and tells its source alias. ok is false for keys of other
// connectors and for whatever else stands in the topic.
func decodeKey(key []byte) (cluster string, p stream.Partition, ok bool) {
	var parts []json.RawMessage
	var name string
	var members map[string]any
	if json.Unmarshal(key, &parts) != nil || len(parts) != 2 ||
		json.Unmarshal(parts[0], &name) != nil || name != connector ||
		json.Unmarshal(parts[1], &members) != nil {
		return "", p, false
	}
	cluster, isCluster := members["cluster"].(string)
	topic, isTopic := members["topic"].(string)
	number, isNumber := members["partition"].(float64) // exact for every INT32
	if !isCluster || !isTopic || !isNumber || number < 0 || number > math.MaxInt32 || number != math.Trunc(number) {
		return "", p, false
	}
	return cluster, stream.Partition{Topic: topic, Number: int32(number)}, true
}

// decodeValue reads a value. A tombstone, JSON's null, a missing or null offset and a negative one all mean, as to MM2,
// that nothing was ever replicated.
func decodeValue(value []byte) (stream.Upstream, error) {
	if value == nil {
		return none, nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(value, &members); err != nil {
		return none, fmt.Errorf("value %.100q: %w", value, err)
	}
	offset, present := members["offset"]
	if !present || string(offset) == "null" {
		return none, nil
	}
	n, err := strconv.ParseInt(string(offset), 10, 64)
	if err != nil {
		return none, fmt.Errorf("value %.100q: offset is not a whole number", value)
	}
	return stream.Upstream(max(n, int64(none))), nil
}
