package export

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/catalog"
	"tandem/internal/archive/verify/sample"
	"tandem/internal/batch"
	"tandem/internal/stream"
)

var orders = sample.Topic("orders")

// log is a partition: batches of the codecs, a transaction, a hole that compaction left, in chunks of two.
func log(t *testing.T) (*sample.Store, [][]byte) {
	t.Helper()
	st := sample.NewStore()
	w := sample.NewWriter(t, st, "w1", bundle.Options{Compression: bundle.Zstd})
	all := [][]byte{
		sample.Batch{Base: 0, Records: some(5)}.Bytes(), sample.Batch{Base: 5, Codec: batch.LZ4, Records: some(5)}.Bytes(),
		sample.Batch{Base: 10, Producer: 7, Attributes: 0x10, Records: some(3)}.Bytes(), sample.Batch{Base: 13, Producer: 7, Marker: 2}.Bytes(),
		sample.Batch{Base: 30, Codec: batch.Zstd, Last: 9, Records: some(2)}.Bytes(), sample.Batch{Base: 40, Codec: batch.Gzip, Records: some(1), Epoch: 3}.Bytes(),
	}
	for pair := range slices.Chunk(all, 2) {
		w.Append(orders, 0, 0, pair...)
		w.Flush()
	}
	return st, all
}

func some(n int) (all []sample.Record) {
	for i := range n {
		all = append(all, sample.Record{Delta: int32(i), Time: 1700000000000 + int64(i), Key: []byte{byte(i), 0xff}, Value: fmt.Appendf(nil, "value %d", i), Headers: []string{"h", "<1>"}})
	}
	return all
}

func part(t *testing.T, st *sample.Store) (catalog.Part, *catalog.Opener) {
	t.Helper()
	s, err := catalog.Load(t.Context(), st, catalog.Options{Source: "A"}, time.Time{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s.Lives[0].Parts[0], catalog.NewOpener(st, nil, 4)
}

func TestSegments(t *testing.T) {
	st, all := log(t)
	p, opener := part(t, st)
	for _, c := range []struct {
		from, to     stream.Upstream
		first, last  int // batches
		below, above int64
	}{
		{0, 41, 0, 5, 0, 0}, {0, 1 << 60, 0, 5, 0, 0}, {5, 14, 1, 3, 0, 0}, {7, 12, 1, 2, 2, 1}, {14, 30, 0, -1, 0, 0}, {35, 36, 4, 4, 5, 4},
	} {
		dir := t.TempDir()
		s, err := NewSegments(dir, "orders", 0)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Copy(t.Context(), opener, p, c.from, c.to, s.Write)
		files, err := s.Close(err)
		if err != nil {
			t.Fatal(err)
		}
		want := slices.Concat(all[c.first : c.last+1]...)
		if len(want) == 0 {
			if len(files) > 0 {
				t.Errorf("%v: %v", c, files)
			}
			continue
		}
		v, _, _ := batch.Next(want)
		path := filepath.Join(dir, "orders-0", fmt.Sprintf("%020d.log", v.BaseOffset()))
		got, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got, want) || !slices.Equal(files, []string{path}) || r.Below != c.below || r.Above != c.above {
			t.Errorf("%v: %d bytes, not %d, %+v, %v", c, len(got), len(want), r, err)
		}
		if _, err := NewSegments(dir, "orders", 0); !errors.Is(err, ErrThere) {
			t.Errorf("a second time: %v", err)
		}
	}
}

func TestSegmentsAreSplit(t *testing.T) {
	st, all := log(t)
	p, opener := part(t, st)
	dir := t.TempDir()
	s, err := NewSegments(dir, "orders", 0)
	if err != nil {
		t.Fatal(err)
	}
	s.limit = int64(len(all[0]) + 1)
	_, err = Copy(t.Context(), opener, p, 0, 1<<60, s.Write)
	files, err := s.Close(err)
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	var got []byte
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		v, _, err := batch.Next(b)
		if err != nil || filepath.Base(f) != fmt.Sprintf("%020d.log", v.BaseOffset()) || int64(len(b)) > s.limit && len(b) != len(v.Bytes()) {
			t.Errorf("%s: %d bytes, %v", f, len(b), err)
		}
		got = append(got, b...)
	}
	if !bytes.Equal(got, slices.Concat(all...)) {
		t.Error("the segments are not the log")
	}
}

// A source was truncated inside of a batch: the later chunk has the offset, and no offset comes twice.
func TestNoOffsetTwice(t *testing.T) {
	st := sample.NewStore()
	w := sample.NewWriter(t, st, "w1", bundle.Options{})
	w.Append(orders, 0, 0, sample.Batch{Base: 0, Records: some(5)}.Bytes())
	w.Flush()
	w.Event(bundle.Truncated{Topic: orders, Partition: 0, From: 5, To: 3, LeaderEpoch: 1})
	w.Seek(orders, 0, 3)
	w.Append(orders, 0, 0, sample.Batch{Base: 3, Records: some(4), Epoch: 1}.Bytes())
	w.Flush()
	p, opener := part(t, st)
	next, epochs := int64(0), []int32(nil)
	r, err := Copy(t.Context(), opener, p, 0, 1<<60, func(v batch.View) error {
		if v.BaseOffset() != next {
			t.Errorf("a batch at %d, not %d", v.BaseOffset(), next)
		}
		next = v.LastOffset() + 1
		epochs = append(epochs, v.LeaderEpoch())
		return v.Verify()
	})
	if err != nil || next != 7 || r.Rebuilt != 1 || !slices.Equal(epochs, []int32{-1, 1}) {
		t.Errorf("up to %d, %+v, %v", next, r, err)
	}
}

func TestNamesOfFolders(t *testing.T) {
	for _, name := range []string{"", "..", "a/b", "../x"} {
		if _, err := NewSegments(t.TempDir(), name, 0); (err == nil) != (name == "..") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestLines(t *testing.T) {
	st, _ := log(t)
	p, opener := part(t, st)
	l, err := NewLines(t.TempDir(), "orders", 0, 9, 31)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Copy(t.Context(), opener, p, 9, 31, l.Write)
	files, err := l.Close(err)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(files[0])
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if err != nil || len(lines) != 5 || lines[0] != `{"offset":9,"timestamp":1700000000004,"type":"CreateTime","key64":"BP8=","value":"value 4","headers":[{"key":"h","value":"<1>"}]}` {
		t.Errorf("%s, %v", b, err)
	}
}
