package bundle

import (
	"errors"
	"fmt"

	"tandem/internal/stream"
)

var (
	// ErrCorrupt says that an object is not, or no longer, what was written: damaged, cut off, or no bundle at all. A store
	// that cannot be read gives another error.
	ErrCorrupt = errors.New("bundle is damaged")

	// ErrNewer says that a bundle has a format version that this program does not know.
	ErrNewer = errors.New("bundle was written by a newer version of Tandem; read it with that version")

	// ErrName says that a whole bundle stands under a name that is not its own: it was copied or swapped.
	ErrName = errors.New("bundle stands under a name that is not its own")

	// ErrKey says that a bundle is encrypted and the key is missing, or is another one.
	ErrKey = errors.New("bundle does not open with this key")

	// ErrFull says that what was to be added does not fit: finish the bundle and begin another.
	ErrFull = errors.New("bundle is full")
)

// ChunkError says which chunk cannot be had, and so which offsets.
type ChunkError struct {
	Object    string // the object's name
	Chunk     int
	Topic     Topic
	Partition int32
	First     stream.Upstream
	Next      stream.Upstream
	Err       error
}

func (e *ChunkError) Error() string {
	return fmt.Sprintf("read chunk %d of %s, %s: %v", e.Chunk, e.Object, span(e.Topic, e.Partition, e.First, e.Next), e.Err)
}

func (e *ChunkError) Unwrap() error { return e.Err }

// damaged is an ErrCorrupt with the reason in front.
func damaged(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), ErrCorrupt)
}
