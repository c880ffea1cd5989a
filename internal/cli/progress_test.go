package cli

import (
	"bytes"
	"testing"
)

// Nothing is written where no terminal is; on one the line is written over.
func TestProgress(t *testing.T) {
	var out bytes.Buffer
	p := NewProgress(&out)
	p.Show("%d of %d", 1, 2)
	p.Clear()
	if p.Visible() || out.Len() > 0 {
		t.Errorf("%q", out.String())
	}
	p = &Progress{w: &out}
	p.Clear()
	p.Show("%d of %d", 1, 2)
	p.Clear()
	if want := "\r\x1b[K1 of 2\r\x1b[K"; out.String() != want || !p.Visible() {
		t.Errorf("%q, not %q", out.String(), want)
	}
}
