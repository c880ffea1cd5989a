package stream

// Severity orders events by how much they ask of a person.
type Severity int8

// The severities: Info is news, Warn asks for a look, Error asks for an action.
const (
	Info Severity = iota
	Warn
	Error
)

// Event is something that happened once and that a person on call may want to read. Domain packages report events;
// logs, metrics and tests listen.
type Event struct {
	Flow     Flow
	Severity Severity
	Message  string // one line: what happened, and what to do where something is to be done
	Fields   []Field
}

// Field is one named value of an event: a topic, a partition, an offset, an error.
type Field struct {
	Key   string
	Value any
}

// F makes a Field.
func F(key string, value any) Field { return Field{Key: key, Value: value} }

// Report receives events. It must be safe for concurrent use and must not block.
type Report func(Event)
