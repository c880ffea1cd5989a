package batch

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// golden is a batch that Kafka wrote and what Kafka reads in it.
type golden struct {
	name string
	raw  []byte
	recs []rec
}

// readGolden reads testdata/kafka-4.3.1.txt; testdata/Golden.java says how it was made.
func readGolden(t *testing.T) []golden {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "kafka-4.3.1.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []golden
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		w := strings.Fields(lines.Text())
		if w[0] == "batch" {
			raw, err := hex.DecodeString(w[2])
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, golden{name: w[1], raw: raw})
			continue
		}
		g := &out[len(out)-1]
		g.recs = append(g.recs, parseRec(t, w))
	}
	if len(out) < 40 || lines.Err() != nil {
		t.Fatalf("%d batches, %v", len(out), lines.Err())
	}
	return out
}

// parseRec reads: record <offset> <timestamp> <key> <value> {<header key> <header value>}, bytes as "hex" or null.
func parseRec(t *testing.T, w []string) rec {
	t.Helper()
	number := func(s string) int64 {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	blob := func(s string) []byte {
		if s == "null" {
			return nil
		}
		b, err := hex.DecodeString(strings.Trim(s, `"`))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	r := rec{offset: number(w[1]), time: number(w[2]), key: blob(w[3]), value: blob(w[4])}
	for i := 5; i < len(w); i += 2 {
		r.headers = append(r.headers, kmsg.Header{Key: string(blob(w[i])), Value: blob(w[i+1])})
	}
	return r
}

func TestGolden(t *testing.T) {
	for _, g := range readGolden(t) {
		t.Run(g.name, func(t *testing.T) {
			views := frame(t, g.raw)
			if strings.HasPrefix(g.name, "marker") {
				abort, err := views[0].Aborts()
				if err != nil || !views[0].Control() || abort != (g.name == "marker_ABORT") {
					t.Fatalf("control %v, abort %v, %v", views[0].Control(), abort, err)
				}
				return
			}
			for codec := KeepCodec; codec <= Zstd; codec++ {
				got, forms, next := shapeAll(t, NewShaper(), frame(t, g.raw), 0, usual, codec)
				same(t, got, g.recs)
				if next != views[len(views)-1].LastOffset()+1 {
					t.Errorf("next %d", next)
				}
				stamped := strings.HasPrefix(g.name, "v2") && !strings.Contains(g.name, "LogAppendTime") && !strings.HasPrefix(g.name, "v2_delete_horizon_")
				if (forms[0] == FormStamp) != stamped {
					t.Errorf("forms %v", forms)
				}
			}
		})
	}
}

// What is made here, Kafka's own reader reads: every golden batch in every codec. It needs Kafka's jars:
//
//	KAFKA_LIBS=kafka-4.3.1/libs go test -run TestJavaReads ./internal/batch
func TestJavaReads(t *testing.T) {
	libs := os.Getenv("KAFKA_LIBS")
	if libs == "" {
		t.Skip("KAFKA_LIBS names no directory of Kafka's jars")
	}
	args := []string{"-cp", filepath.Join(libs, "*"), filepath.Join("testdata", "Golden.java")}
	var want []rec
	dir, s := t.TempDir(), NewShaper()
	add := func(raw []byte, recs []rec) {
		for i := range recs {
			recs[i].offset = int64(i) // a consumer of this one batch sees its own offsets
		}
		want = append(want, recs...)
		file := filepath.Join(dir, fmt.Sprintf("%05d", len(args)))
		if err := os.WriteFile(file, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, file)
	}
	for _, g := range readGolden(t) {
		if strings.HasPrefix(g.name, "marker") {
			continue
		}
		for codec := KeepCodec; codec <= Zstd; codec++ {
			out, _, err := s.Shape(nil, frame(t, g.raw), 0, usual, codec)
			if err != nil {
				t.Fatal(err)
			}
			add(out.Raw, check(t, out, Producer{ID: 5, Epoch: 1, Sequence: 7}, usual))
		}
	}
	large := orders(0, 700) // several blocks of every framing
	for codec := None; codec <= Zstd; codec++ {
		out, _, err := s.Shape(nil, frame(t, encode(t, source{recs: without(large, 350)})), 0, usual, codec)
		if err != nil || Codec(binary.BigEndian.Uint16(out.Raw[atAttributes:])) != codec {
			t.Fatal(codec, err)
		}
		add(out.Raw, check(t, out, Producer{ID: 5, Epoch: 1, Sequence: 7}, usual))
	}
	cmd := exec.Command("java", args...)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	printed, err := cmd.Output()
	if err != nil {
		t.Fatalf("java: %v\n%s", err, complaints.String())
	}
	var got []rec
	for line := range strings.Lines(string(printed)) {
		got = append(got, parseRec(t, strings.Fields(line)))
	}
	same(t, got, want)
}
