package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"
)

// demoScreen is what the demo writes on. Colours are for terminals only.
type demoScreen struct {
	out     io.Writer
	colours bool
}

func newDemoScreen(out io.Writer) *demoScreen {
	file, ok := out.(*os.File)
	colours := ok && term.IsTerminal(int(file.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return &demoScreen{out: out, colours: colours}
}

const (
	bold  = "1"
	red   = "1;31"
	green = "32"
	cyan  = "36"
)

func (s *demoScreen) paint(colour, text string) string {
	if !s.colours {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// act begins a part of the story.
func (s *demoScreen) act(number int, title string) {
	fmt.Fprintf(s.out, "\n%s\n", s.paint(bold, fmt.Sprintf("%d  %s", number, title)))
}

func (s *demoScreen) say(format string, args ...any) {
	fmt.Fprintf(s.out, "   "+format+"\n", args...)
}

// at says what happens now, with the time as the archive and the logs have it.
func (s *demoScreen) at(t time.Time, format string, args ...any) {
	s.say("%s  %s", t.UTC().Format("15:04:05"), fmt.Sprintf(format, args...))
}

// command shows what somebody would type.
func (s *demoScreen) command(args []string) {
	s.say("%s", s.paint(cyan, "$ "+strings.Join(args, " ")))
}

// output shows lines of a command.
func (s *demoScreen) output(lines ...string) {
	for _, line := range lines {
		s.say("  %s", line)
	}
}

// proof is a claim and whether it holds.
func (s *demoScreen) proof(holds bool, what, numbers string) {
	mark := s.paint(green, "ok   ")
	if !holds {
		mark = s.paint(red, "WRONG")
	}
	s.say("%s  %-24s  %s", mark, what, numbers)
}

// grouped writes 12345 as 12,345.
func grouped(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// several is a number of things, with the word for one of them.
func several(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(n) + " " + one + "s"
}
