package batch

import (
	"errors"
	"fmt"
)

var (
	// ErrTruncated says that the bytes end before the batch does. At the end of a fetch answer that is normal: brokers
	// cut the last batch at the requested size. A batch whose length field is damaged upwards looks the same.
	ErrTruncated = errors.New("record batch is cut off")

	// ErrCorrupt says that bytes are not what their headers claim. Fetching again may help, shaping again does not.
	ErrCorrupt = errors.New("record batch is corrupt")
)

// TooLargeError says that one record does not fit a batch of the target topic, not even alone and compressed.
// What helps is a larger max.message.bytes on the target topic.
type TooLargeError struct {
	Offset int64 // source offset of the record
	Size   int   // the smallest batch that could be made of it
	Max    int   // the largest batch that the target takes
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("shape record at offset %d: a batch of it alone has %d bytes, the target topic takes %d (max.message.bytes)",
		e.Offset, e.Size, e.Max)
}

// corrupt wraps ErrCorrupt with what was being done to which batch and what was found.
func corrupt(verb string, base int64, format string, args ...any) error {
	return fmt.Errorf("%s batch at %d: %w: %s", verb, base, ErrCorrupt, fmt.Sprintf(format, args...))
}
