package topics

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"tandem/internal/stream"
)

// Notebook remembers, across processes, which bindings of a cluster a flow made.
type Notebook interface {
	// Noted are the bindings that were noted and not taken back before the call; none where nothing was ever noted.
	Noted(ctx context.Context) ([]stream.ACL, error)
	// Note adds bindings and takes others back. After an error any of it may have been done.
	Note(ctx context.Context, add, takeBack []stream.ACL) error
}

// Log is a compacted topic.
type Log interface {
	// ReadAll calls each for every record from the beginning to what was the end when the call began, in the order of
	// offsets; with committed it leaves out records of open and aborted transactions. An error of each ends it.
	ReadAll(ctx context.Context, topic string, committed bool, each func(stream.Record) error) error
	// Append returns nil once all the records are appended, in this order. After an error any of them may have been.
	Append(ctx context.Context, topic string, records []stream.Record) error
}

// Notes are a Notebook in Tandem's own topic, one record for each binding. A tombstone takes it back.
//
//	binding    key    INT8   1    version
//	                  INT8   'B'  kind
//	                  INT8        resource type
//	                  INT8        pattern type
//	                  STRING      resource
//	                  STRING      principal
//	                  STRING      host
//	                  INT8        operation
//	                  INT8        permission
//	           value  INT8   1    version
//
// STRING is INT16 byte length and UTF-8; bytes after the last field are an error.
type Notes struct {
	log   Log
	topic string
}

// NewNotes makes the notes of a flow that stand in this topic.
func NewNotes(log Log, topic string) *Notes { return &Notes{log: log, topic: topic} }

var (
	errNoteLength  = errors.New("wrong length")
	errNoteVersion = errors.New("written by a newer Tandem; upgrade this one")
)

// notesAtOnce is how many records one Append takes.
const notesAtOnce = 500

// Noted reads the topic. A record that cannot be read is an error: who takes a binding for that of somebody else leaves it on
// the target for good.
func (n *Notes) Noted(ctx context.Context) ([]stream.ACL, error) {
	noted := map[stream.ACL]bool{}
	err := n.log.ReadAll(ctx, n.topic, true, func(r stream.Record) error {
		if len(r.Key) < 2 || r.Key[1] != stream.KindACL {
			return nil
		}
		b, err := decodeACL(r.Key)
		if err == nil && r.Value != nil {
			err = checkACLValue(r.Value)
		}
		if err != nil {
			return fmt.Errorf("record at %d: %w", r.Offset, err)
		}
		noted[b] = r.Value != nil
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read which ACLs the flow made: %w", err)
	}
	maps.DeleteFunc(noted, func(_ stream.ACL, there bool) bool { return !there })
	return slices.SortedFunc(maps.Keys(noted), stream.ACL.Compare), nil
}

// Note writes the topic.
func (n *Notes) Note(ctx context.Context, add, takeBack []stream.ACL) error {
	var records []stream.Record
	for _, b := range add {
		records = append(records, stream.Record{Key: encodeACL(b), Value: []byte{stream.TandemVersion}})
	}
	for _, b := range takeBack {
		records = append(records, stream.Record{Key: encodeACL(b)})
	}
	for part := range slices.Chunk(records, notesAtOnce) {
		if err := n.log.Append(ctx, n.topic, part); err != nil {
			return fmt.Errorf("note which ACLs the flow made: %w", err)
		}
	}
	return nil
}

func encodeACL(b stream.ACL) []byte {
	key := []byte{stream.TandemVersion, stream.KindACL, byte(b.ResourceType), byte(b.PatternType)}
	for _, s := range []string{b.Resource, b.Principal, b.Host} {
		key = binary.BigEndian.AppendUint16(key, uint16(len(s)))
		key = append(key, s...)
	}
	return append(key, byte(b.Operation), byte(b.Permission))
}

// decodeACL reads a key whose kind is known to be that of a binding.
func decodeACL(key []byte) (stream.ACL, error) {
	if key[0] != stream.TandemVersion {
		return stream.ACL{}, fmt.Errorf("key: %w", errNoteVersion)
	}
	if len(key) < 4 {
		return stream.ACL{}, fmt.Errorf("key: %w", errNoteLength)
	}
	b := stream.ACL{ResourceType: int8(key[2]), PatternType: int8(key[3])}
	rest := key[4:]
	for _, s := range []*string{&b.Resource, &b.Principal, &b.Host} {
		if len(rest) < 2 {
			return stream.ACL{}, fmt.Errorf("key: %w", errNoteLength)
		}
		n := int(int16(binary.BigEndian.Uint16(rest)))
		if rest = rest[2:]; n < 0 || len(rest) < n {
			return stream.ACL{}, fmt.Errorf("key: %w", errNoteLength)
		}
		*s, rest = string(rest[:n]), rest[n:]
	}
	if len(rest) != 2 {
		return stream.ACL{}, fmt.Errorf("key: %w", errNoteLength)
	}
	b.Operation, b.Permission = int8(rest[0]), int8(rest[1])
	return b, nil
}

func checkACLValue(value []byte) error {
	switch {
	case len(value) > 0 && value[0] > stream.TandemVersion:
		return fmt.Errorf("value: %w", errNoteVersion)
	case len(value) != 1 || value[0] != stream.TandemVersion:
		return fmt.Errorf("value: %w", errNoteLength)
	}
	return nil
}
