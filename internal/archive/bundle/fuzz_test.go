package bundle

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

// Whatever bytes come, a trailer is refused or stands for one footer inside of the object.
func FuzzTrailer(f *testing.F) {
	object, _, _ := sample(f, Options{})
	f.Add(object[len(object)-trailerSize:], int64(len(object)))
	f.Add(trailer{position: 0, length: 0}.encode(), int64(trailerSize))
	f.Add(trailer{position: 1 << 62, length: footerLimit}.encode(), int64(1<<62+footerLimit+trailerSize))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		tr, err := parseTrailer(b, size)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNewer) {
				t.Fatal(err)
			}
			return
		}
		if tr.position < 0 || tr.length < 0 || tr.position+tr.length+trailerSize != size || !bytes.Equal(tr.encode(), b) {
			t.Fatalf("%+v of %d bytes", tr, size)
		}
	})
}

// Whatever bytes come, a footer is refused, or reads the same once more after it was written again.
func FuzzFooter(f *testing.F) {
	for _, o := range []Options{{}, {Compression: Zstd}} {
		_, _, s := sample(f, o)
		b, start, end := again(f, s)
		f.Add(b, start, end)
	}
	b, _, _ := again(f, Footer{Header: header()})
	f.Add(b, int64(10), int64(10))
	f.Fuzz(func(t *testing.T, b []byte, start, end int64) {
		got, err := parseBody(b, start, end, noon)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		got.Header = header()
		_ = got.String()
		b, _, _ = again(t, got)
		second, err := parseBody(b, start, end, noon)
		second.Header = header()
		if err != nil || !reflect.DeepEqual(got, second) {
			t.Fatalf("%v:\n%s\nis now\n%s", err, got, second)
		}
	})
}

// again writes the body of a footer.
func again(tb testing.TB, f Footer) (b []byte, start, end int64) {
	tb.Helper()
	var chunks encoder
	for i := range f.Chunks {
		chunks.entry(&f.Chunks[i])
		end = f.Chunks[i].Position + f.Chunks[i].Stored
	}
	var events []byte
	for _, ev := range f.Events {
		var err error
		if events, err = appendEvent(events, ev, noon); err != nil {
			tb.Fatal(err)
		}
	}
	if len(f.Chunks) > 0 {
		start = f.Chunks[0].Position
	}
	return body(chunks.b, len(f.Chunks), f.Positions, events, len(f.Events)), start, end
}

// Whatever bytes come, a header is refused or is written again as it was.
func FuzzHeader(f *testing.F) {
	for _, o := range []Options{{}, {Keeper: newKeeper("k1")}} {
		object, _, s := sample(f, o)
		f.Add(object[:s.Chunks[0].Position])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, raw, rest, err := cutHeader(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNewer) {
				t.Fatal(err)
			}
			return
		}
		if len(raw)+len(rest) != len(b) {
			t.Fatalf("%d and %d of %d bytes", len(raw), len(rest), len(b))
		}
		second, _, _, err := cutHeader(h.encode())
		if err != nil || !reflect.DeepEqual(h, second) {
			t.Fatalf("%s is now %s: %v", h, second, err)
		}
	})
}

// Whatever a footer says that is whole, reading its chunks ends in bytes or in an error.
func FuzzOpen(f *testing.F) {
	for _, o := range forms() {
		object, _, _ := sample(f, o)
		f.Add(object)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, _, err := readAll(t, b, OpenOptions{Keeper: newKeeper("k1")}); err != nil && !errors.Is(err, ErrCorrupt) &&
			!errors.Is(err, ErrNewer) && !errors.Is(err, ErrKey) {
			t.Fatal(err)
		}
	})
}
