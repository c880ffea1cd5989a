package bundle

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
)

// The bundles in testdata were written by the first version of the format, and every later program must read them as that one
// did. They are never written again: a test that fails here has found a program that cannot read old archives. Where a file is
// missing it is made; that is how the first ones came to be, and how those of a second version will.
var golden = []struct {
	file    string
	options Options
	sha     string
}{
	{"v1.tdm", Options{}, "17e6d1080278076fcb94373c0da210349b49838873b79c93eb0748dcbd78241e"},
	{"v1-zstd.tdm", Options{Compression: Zstd}, "096abb88d86007edf1307a6f315e3b711f121ed0f707f2473d82388d03750b06"},
	{"v1-zstd-encrypted.tdm", Options{Compression: Zstd, Keeper: newKeeper("k1")}, "496c4fdc50b7080249afef53a2ab1264e2a7fdc044ad5fb70011901c87b675fe"},
	{"v1-removed.tdm", Options{Compression: Zstd}, "0d790ff0d0e3920ce29faf4faaaaf74c245e83674c9f52597025fcb1f4400865"}, // with the events from 12 on
}

func TestGolden(t *testing.T) {
	for _, g := range golden {
		t.Run(g.file, func(t *testing.T) {
			_, plain, _ := sample(t, g.options)
			object := kept(t, g.file, func() []byte {
				object, _, _ := sample(t, g.options)
				return object
			})
			if sum := fmt.Sprintf("%x", sha256.Sum256(object)); sum != g.sha {
				t.Errorf("SHA-256 of the file is %s", sum)
			}
			compare(t, object, plain, g.options)
			f, _, err := readAll(t, object, opened(g.options))
			if err != nil {
				t.Fatal(err)
			}
			text := string(kept(t, strings.TrimSuffix(g.file, ".tdm")+".txt", func() []byte { return []byte(f.String()) }))
			if f.String() != text {
				t.Errorf("it is shown as\n%s\nnot\n%s", f, text)
			}
		})
	}
}

// Without compression and encryption there is one way to write a bundle: the footer's zstd apart, which may change.
func TestPlainBundleIsWrittenAsEver(t *testing.T) {
	old, _, _ := sample(t, Options{})
	again, _, f := sample(t, Options{})
	if !bytes.Equal(old, again) {
		t.Error("two bundles of the same things differ")
	}
	first := kept(t, "v1.tdm", nil)
	last := f.Chunks[len(f.Chunks)-1]
	if n := last.Position + last.Stored; !bytes.Equal(again[:n], first[:n]) {
		t.Error("header or chunks are written differently")
	}
}

// kept is a file of testdata.
func kept(t *testing.T, file string, first func() []byte) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + file)
	if errors.Is(err, fs.ErrNotExist) && first != nil {
		b = first()
		err = os.WriteFile("testdata/"+file, b, 0o644)
		t.Errorf("%s was not there and has been made", file)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}
