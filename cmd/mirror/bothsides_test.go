package main

import (
	"testing"

	"tandem/internal/stream"
)

func TestTheFirstThatWasNotRead(t *testing.T) {
	at := func(offset stream.Downstream, class stream.Class, end bool) bound {
		return bound{stream.Translated{Offset: offset, Class: class}, end}
	}
	unknown := at(-1, stream.Unknown, false)
	for _, c := range []struct {
		story         string
		source, local bound
		offset        stream.Downstream
		class         stream.Class
		again         int64
	}{
		{"a record of the source first", at(10, stream.Exact, false), at(14, stream.Exact, false), 10, stream.Exact, 4},
		{"a local record first", at(14, stream.Exact, false), at(10, stream.Exact, false), 10, stream.Exact, 4},
		{"all of both was read", at(20, stream.Exact, true), at(20, stream.Exact, true), 20, stream.Exact, 0},
		{"nothing of the source is left, so far as it is known", at(10, stream.Exact, true), at(14, stream.Exact, false), 10, stream.Clamped, 4},
		{"nothing local is left, so far as it is known", at(14, stream.Exact, false), at(10, stream.Exact, true), 10, stream.Clamped, 4},
		{"beyond what is mirrored", at(10, stream.Ahead, true), at(14, stream.Exact, false), 10, stream.Ahead, 4},
		{"a near place first", at(10, stream.Clamped, false), at(14, stream.Exact, false), 10, stream.Clamped, 4},
		{"an exact place before a near one", at(14, stream.Clamped, false), at(10, stream.Exact, false), 10, stream.Exact, 4},
		{"nothing is known of the source's", unknown, at(14, stream.Exact, false), -1, stream.Unknown, 0},
		{"nothing is known of the local ones", at(14, stream.Exact, false), unknown, -1, stream.Unknown, 0},
	} {
		t.Run(c.story, func(t *testing.T) {
			got := first(c.source, c.local)
			if got.Offset != c.offset || got.Class != c.class || got.Again != c.again {
				t.Errorf("%+v, want %d, %s, %d again", got, c.offset, c.class, c.again)
			}
		})
	}
}
