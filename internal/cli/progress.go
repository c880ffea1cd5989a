package cli

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// Progress is a line on a terminal that is written over; anywhere else it is nothing.
type Progress struct {
	w     io.Writer
	shown bool
}

// NewProgress shows progress on w, if that is a terminal.
func NewProgress(w io.Writer) *Progress {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return &Progress{w: w}
	}
	return &Progress{}
}

// Visible says that somebody may be looking.
func (p *Progress) Visible() bool { return p.w != nil }

// Show writes the line anew.
func (p *Progress) Show(format string, args ...any) {
	if p.w != nil {
		p.shown = true
		fmt.Fprintf(p.w, "\r\x1b[K"+format, args...)
	}
}

// Clear takes the line away.
func (p *Progress) Clear() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
