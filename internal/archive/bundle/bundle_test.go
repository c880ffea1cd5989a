package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"reflect"
	"slices"
	"strings"
	"testing"

	"tandem/internal/stream"
)

// forms are the ways in which a bundle can be written.
func forms() iter.Seq2[string, Options] {
	return func(yield func(string, Options) bool) {
		for _, o := range []Options{
			{}, {Compression: Zstd}, {Keeper: newKeeper("k1")}, {Compression: Zstd, Keeper: newKeeper("k1"), Blocks: NewBlocks(1 << 20)},
		} {
			if !yield(fmt.Sprintf("%s, encrypted %t", o.Compression, o.Keeper != nil), o) {
				return
			}
		}
	}
}

func readAll(tb testing.TB, object []byte, o OpenOptions) (Footer, [][]byte, error) {
	tb.Helper()
	r, err := Open(tb.Context(), bytes.NewReader(object), int64(len(object)), o)
	if err != nil {
		return Footer{}, nil, err
	}
	var all [][]byte
	for i := range r.Footer().Chunks {
		b, err := r.Chunk(tb.Context(), i, nil)
		if err != nil {
			return r.Footer(), all, err
		}
		all = append(all, b)
	}
	return r.Footer(), all, nil
}

func opened(o Options) OpenOptions {
	return OpenOptions{Name: Name("some/prefix", header()), Keeper: o.Keeper}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	for name, o := range forms() {
		t.Run(name, func(t *testing.T) {
			object, plain, want := sample(t, o)
			got, chunks, err := readAll(t, object, opened(o))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.EqualFunc(chunks, plain, bytes.Equal) {
				t.Errorf("the batches differ")
			}
			if got.String() != want.String() {
				t.Errorf("read\n%s\nwritten\n%s", got, want)
			}
			if len(got.Events) != len(bodies()) {
				t.Fatalf("%d events of %d", len(got.Events), len(bodies()))
			}
			for i, body := range bodies() {
				if u, ok := body.(Unknown); ok && u.Raw == nil {
					continue
				}
				if !reflect.DeepEqual(got.Events[i].Body, body) {
					t.Errorf("event %d: %#v, not %#v", i, got.Events[i].Body, body)
				}
			}
			if d, err := ReadDigest(bytes.NewReader(object), int64(len(object))); err != nil || d != want.Digest {
				t.Errorf("digest %s (%v), not %s", d, err, want.Digest)
			}
			if o.Keeper != nil && bytes.Contains(object, []byte("orders")) {
				t.Error("the name of a topic can be read without the key")
			}
		})
	}
}

func TestEntryTellsWhatTheBatchesAre(t *testing.T) {
	abort := func(p int64, first, marker stream.Upstream) Aborted {
		return Aborted{ProducerID: p, First: first, Marker: marker}
	}
	for name, c := range map[string]struct {
		chunk   Chunk
		batches []byte
		want    Entry
		err     string
	}{
		"nothing": {chunk: Chunk{Next: 9, LeaderEpoch: 3}, want: Entry{LeaderEpoch: 3, MinTimestamp: -1, MaxTimestamp: -1, MinExact: true}},
		"timestamps in disorder": {
			chunk:   Chunk{Next: 9},
			batches: slices.Concat(made{times: []int64{50, 40, 60}, epoch: 1}.bytes(), made{base: 5, times: []int64{45}, epoch: 2}.bytes()),
			want:    Entry{LeaderEpoch: 2, Batches: 2, Records: 4, MinTimestamp: 40, MaxTimestamp: 60, MinExact: true},
		},
		"the least of a compressed batch is not known": {
			chunk:   Chunk{Next: 9},
			batches: made{times: []int64{50, 40, 60}, codec: 3}.bytes(),
			want:    Entry{Batches: 1, Records: 3, MinTimestamp: 50, MaxTimestamp: 60},
		},
		"but it is with LogAppendTime": {
			chunk:   Chunk{Next: 9},
			batches: made{times: []int64{50, 40, 60}, codec: 3, attributes: 8}.bytes(),
			want:    Entry{Batches: 1, Records: 3, MinTimestamp: 60, MaxTimestamp: 60, MinExact: true},
		},
		"a batch that compaction emptied, and a hole": {
			chunk:   Chunk{Next: 90},
			batches: slices.Concat(made{last: 3}.bytes(), made{base: 50, times: []int64{7}, last: 30}.bytes()),
			want:    Entry{Batches: 2, Records: 1, MinTimestamp: 7, MaxTimestamp: 7, MinExact: true},
		},
		"reading began inside of a batch": {
			chunk: Chunk{First: 2, Next: 9}, batches: made{times: []int64{1, 2, 3}}.bytes(),
			want: Entry{Batches: 1, Records: 3, MinTimestamp: 1, MaxTimestamp: 3, MinExact: true},
		},
		"old messages": {
			chunk:   Chunk{Next: 9, LeaderEpoch: -1},
			batches: slices.Concat(message(0, 0, 1, 0, []byte("x")), message(1, 0, 2, 44, nil)),
			want:    Entry{LeaderEpoch: -1, Batches: 2, Records: 2, MinTimestamp: -1, MaxTimestamp: 44, MinExact: true},
		},
		"old messages, compressed": {
			chunk:   Chunk{Next: 9, LeaderEpoch: -1},
			batches: message(1, 1, 5, 44, []byte("who knows")),
			want:    Entry{LeaderEpoch: -1, Batches: 1, Records: -1, MinTimestamp: 44, MaxTimestamp: 44},
		},
		"a transaction is open at the end": {
			chunk: Chunk{Next: 9}, batches: made{base: 2, times: []int64{1}, producer: 7, attributes: 0x10}.bytes(),
			want: Entry{Batches: 1, Records: 1, MinTimestamp: 1, MaxTimestamp: 1, MinExact: true, Open: []Transaction{{7, 2}}},
		},
		"one is aborted, another committed": {
			chunk: Chunk{Next: 9, Open: []Transaction{{8, 0}}, First: 1},
			batches: slices.Concat(made{base: 2, times: []int64{1}, producer: 7, attributes: 0x10}.bytes(),
				made{base: 4, times: []int64{1}, producer: 8, marker: 1}.bytes(), made{base: 5, times: []int64{2}, producer: 7, marker: 2}.bytes()),
			want: Entry{Batches: 3, Records: 1, Markers: 2, MinTimestamp: 1, MaxTimestamp: 1, MinExact: true, Aborted: []Aborted{abort(7, 2, 5)}},
		},
		"the fetch knows more: it will be aborted": {
			chunk:   Chunk{Next: 9, Committed: true, Aborted: []stream.AbortedTransaction{{ProducerID: 7, First: 1}, {ProducerID: 9, First: 20}}},
			batches: made{base: 2, times: []int64{1}, producer: 7, attributes: 0x10}.bytes(),
			want: Entry{Batches: 1, Records: 1, MinTimestamp: 1, MaxTimestamp: 1, MinExact: true, Committed: true,
				Open: []Transaction{{7, 1}}, Aborted: []Aborted{abort(7, 1, -1)}},
		},
		"what it told of belongs to the chunk before": {
			chunk:   Chunk{First: 30, Next: 40, Committed: true, Aborted: []stream.AbortedTransaction{{ProducerID: 7, First: 10}}},
			batches: made{base: 35, times: []int64{1}, producer: 7, attributes: 0x10}.bytes(),
			want: Entry{Batches: 1, Records: 1, MinTimestamp: 1, MaxTimestamp: 1, MinExact: true, Committed: true,
				Open: []Transaction{{7, 35}}},
		},
		"unless there is no chunk before": {
			chunk:   Chunk{First: 30, Next: 40, Begins: true, Committed: true, Aborted: []stream.AbortedTransaction{{ProducerID: 7, First: 10}}},
			batches: made{base: 35, times: []int64{1}, producer: 7, marker: 2}.bytes(),
			want:    Entry{Batches: 1, Markers: 1, MinTimestamp: -1, MaxTimestamp: -1, MinExact: true, Committed: true, Aborted: []Aborted{abort(7, 10, 35)}},
		},
		"half a batch":          {chunk: Chunk{Next: 9}, batches: made{times: []int64{1}}.bytes()[:50], err: "cut off"},
		"beyond the end":        {chunk: Chunk{Next: 2}, batches: made{times: []int64{1, 2, 3}}.bytes(), err: "in a chunk of 0 to 1"},
		"before the beginning":  {chunk: Chunk{First: 3, Next: 9}, batches: made{times: []int64{1, 2, 3}}.bytes(), err: "in a chunk of 3"},
		"one batch twice":       {chunk: Chunk{Next: 9}, batches: slices.Repeat(made{times: []int64{1}}.bytes(), 2), err: "behind offset 0"},
		"ends before it begins": {chunk: Chunk{First: 3, Next: 1}, err: "ends before"},
	} {
		t.Run(name, func(t *testing.T) {
			c.chunk.Topic = topic("t")
			got, _, err := scanChunk(c.chunk, [][]byte{c.batches})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("%v, not %q", err, c.err)
				}
				return
			}
			c.want.Topic, c.want.First, c.want.Next, c.want.Plain = c.chunk.Topic, c.chunk.First, c.chunk.Next, int64(len(c.batches))
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%v\n%+v, not\n%+v", err, got, c.want)
			}
		})
	}
}

func TestZstdIsForWhatIsNotCompressed(t *testing.T) {
	text, noise := slices.Repeat([]byte("the same words "), 100), random(1500)
	for name, c := range map[string]struct {
		batches [][]byte
		want    Compression
	}{
		"text":                       {[][]byte{made{times: []int64{1}, value: text}.bytes()}, Zstd},
		"compressed by its producer": {[][]byte{made{times: []int64{1}, value: text, codec: 3}.bytes()}, None},
		"noise":                      {[][]byte{made{times: []int64{1}, value: noise}.bytes()}, None},
		"little of it compressed":    {[][]byte{made{times: []int64{1}, value: text}.bytes(), made{base: 1, times: []int64{1}, codec: 1}.bytes()}, Zstd},
		"next to nothing":            {[][]byte{made{times: []int64{1}}.bytes()}, None},
	} {
		w := begin(t, header(), Options{Compression: Zstd})
		e := appended(t, w, Chunk{Topic: topic("t"), Next: 9}, c.batches...)
		if e.Compression != c.want {
			t.Errorf("%s: %s, not %s: %s", name, e.Compression, c.want, e)
		}
	}
}

func TestWriterRefuses(t *testing.T) {
	good := made{times: []int64{1}}.bytes()
	for _, h := range []Header{
		{}, {Flow: stream.Flow{Source: "A"}, CreatedAt: noon}, {Flow: stream.Flow{Source: "A"}, Writer: "a/b", CreatedAt: noon},
		{Flow: stream.Flow{Source: "A"}, Writer: "w", Generation: -1, CreatedAt: noon}, {Flow: stream.Flow{Source: "A"}, Writer: "w"},
	} {
		if w, err := NewWriter(t.Context(), h, Options{}); err == nil {
			t.Errorf("header %+v: %v", h, w)
		}
	}
	w := begin(t, header(), Options{})
	before := w.Size()
	for name, c := range map[string]Chunk{"no topic": {Next: 9}, "negative": {Topic: topic("t"), Partition: -1, Next: 9}} {
		if e, err := w.Append(c, good); err == nil {
			t.Errorf("%s: %s", name, e)
		}
	}
	if w.Size() != before || !w.Empty() {
		t.Error("what was refused left something behind")
	}
	for _, b := range []Body{
		Gap{Topic: topic("t"), From: -1}, TopicWidened{From: -1}, Mark{Positions: []Position{{}}},
		Runs{Runs: []stream.Run{{Up: 5, Count: 5}, {Up: 6, Count: 1}}},
		TopicConfigs{Configs: []Config{{Name: "x", Value: string(random(9 << 20))}}},
		Removed{Ranges: []RemovedRange{{Topic: topic("t"), From: 5, To: 4}}}, Removed{Ranges: []RemovedRange{{Topic: topic("t"), From: -5}}},
		Removed{Runs: []RemovedRun{{Writer: "w", From: 5, To: 4}}}, Removed{Runs: []RemovedRun{{Writer: "w", Generation: -1}}},
		Compacted{Chunks: []CompactedChunk{{Chunk: 1}, {Chunk: 1}}}, Compacted{Chunks: []CompactedChunk{{Chunk: -1}}},
		Compacted{Chunks: []CompactedChunk{{Steps: []Step{{Next: 5}, {Next: 4}}}}},
	} {
		if err := w.Event(noon, b); err == nil {
			t.Errorf("event %T", b)
		}
	}
	appended(t, w, Chunk{Topic: topic("t"), Next: 9}, good)
	if _, err := w.Append(Chunk{Topic: topic("t"), First: 8, Next: 9}); err == nil || !strings.Contains(err.Error(), "ended at 9") {
		t.Errorf("an overlap: %v", err)
	}
	if err := w.Event(noon, Truncated{Topic: topic("t"), From: 9, To: 8}); err != nil {
		t.Fatal(err)
	}
	appended(t, w, Chunk{Topic: topic("t"), First: 8, Next: 9})
	twice := Position{Topic: topic("t"), Next: 9}
	if _, _, err := w.Finish(Digest{}, []Position{twice, twice}); err == nil {
		t.Error("a position twice")
	}
	finished(t, w, Digest{}, twice)
	_, err1 := w.Append(Chunk{Topic: topic("t"), First: 9, Next: 9})
	_, _, err2 := w.Finish(Digest{}, nil)
	if err := w.Event(noon, TopicDeleted{}); !errors.Is(err, errFinished) || !errors.Is(err1, errFinished) || !errors.Is(err2, errFinished) {
		t.Errorf("after its end: %v, %v, %v", err, err1, err2)
	}
}

// Blocks come back, and a second bundle in them is not the first.
func TestBlocksAreUsedAgain(t *testing.T) {
	pool := NewBlocks(4 * blockSize)
	var kept *byte
	for round := range 3 {
		w := begin(t, header(), Options{Blocks: pool})
		value := random(3*blockSize + round*1000)
		batch := made{times: []int64{1}, value: value}.bytes()
		appended(t, w, Chunk{Topic: topic("t"), Next: 1}, batch)
		object, o, _ := finished(t, w, Digest{})
		_, chunks, err := readAll(t, object, OpenOptions{})
		if err != nil || !bytes.Equal(chunks[0], batch) {
			t.Fatalf("round %d: %v", round, err)
		}
		var out bytes.Buffer
		if n, err := o.WriteTo(&out); err != nil || n != o.Size() || !bytes.Equal(out.Bytes(), object) {
			t.Fatalf("WriteTo: %d bytes, %v", n, err)
		}
		if round == 0 {
			kept = &o.blocks[0][0]
		} else if !slices.ContainsFunc(o.blocks, func(b []byte) bool { return &b[0] == kept }) {
			t.Error("the block was not used again")
		}
		o.Release()
		if n, err := o.ReadAt(make([]byte, 1), 0); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("read of what was given back: %d, %v", n, err)
		}
	}
	if len(pool.free) > 4 {
		t.Errorf("%d blocks kept", len(pool.free))
	}
}

// counting counts reads.
type counting struct {
	src   io.ReaderAt
	reads int
	bytes int
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	c.reads++
	c.bytes += len(p)
	return c.src.ReadAt(p, off)
}

func TestReadsAreFew(t *testing.T) {
	write := func(positions int) []byte {
		w := begin(t, header(), Options{})
		for p := range int32(8) {
			appended(t, w, Chunk{Topic: topic("t"), Partition: p, Next: 1}, made{times: []int64{1}, value: random(100_000)}.bytes())
		}
		var all []Position
		for p := range positions {
			id := stream.TopicID{byte(p >> 8), byte(p), byte(p * 7), byte(p * 31)}
			all = append(all, Position{Topic: Topic{Name: "t", ID: id}, Partition: int32(p * 977), Next: stream.Upstream(p)})
		}
		object, _, _ := finished(t, w, Digest{}, all...)
		return object
	}
	for _, c := range []struct{ positions, open int }{{100, 1}, {20_000, 2}} {
		object := write(c.positions)
		src := &counting{src: bytes.NewReader(object)}
		r, err := Open(t.Context(), src, int64(len(object)), OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if src.reads != c.open {
			t.Errorf("%d positions: opened with %d reads", c.positions, src.reads)
		}
		for i := range 8 {
			before := src.reads
			if _, err := r.Chunk(t.Context(), i, nil); err != nil || src.reads > before+1 {
				t.Errorf("chunk %d with %d reads: %v", i, src.reads-before, err)
			}
		}
		if src.bytes > len(object)+tailSize {
			t.Errorf("%d bytes read of an object of %d", src.bytes, len(object))
		}
	}
}
