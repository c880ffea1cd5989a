package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tandem/internal/testkit/embedded"
)

// besides builds the commands that the demo runs, and has them found.
func besides(t *testing.T) {
	t.Helper()
	bin := t.TempDir()
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", bin+string(filepath.Separator), "../failover", "../archive")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv("TMPDIR", t.TempDir())
}

// leaver leaves when it sees something on the screen.
type leaver struct {
	when  string
	leave context.CancelFunc
}

func (l leaver) Write(p []byte) (int, error) {
	if l.when != "" && bytes.Contains(p, []byte(l.when)) {
		l.leave()
	}
	return len(p), nil
}

// tell runs a demo with acts that are as short as can be, until the end or, if that is not empty, until something is on the screen.
func tell(t *testing.T, until string, opts demoOptions) *running {
	t.Helper()
	opts.acts = demoActs{flow: opts.acts.flow, after: 200 * time.Millisecond, mended: 200 * time.Millisecond, patience: longest}
	opts.rate, opts.page = 500, "127.0.0.1:0"
	ctx, cancel := context.WithCancel(t.Context())
	p := &running{t: t, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		if err := demo(ctx, io.MultiWriter(&p.out, leaver{until, cancel}), &p.err, opts); err != nil {
			p.status = statusFailed
			fmt.Fprintln(&p.err, "mirror:", err)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-p.ended
		if t.Failed() {
			t.Logf("demo %+v\n%s%s", opts, &p.out, &p.err)
		}
	})
	return p
}

// longest is after which a demo is taken for one that will never come so far, on a machine that has other things to do.
const longest = 4 * time.Minute

// shows waits until something is on the screen.
func (p *running) shows(words string) {
	p.t.Helper()
	deadline := time.After(longest)
	for len(p.out.linesWith(words)) == 0 {
		select {
		case <-time.After(pollEvery):
		case <-p.ended:
			p.t.Fatalf("ended, and did not show %q", words)
		case <-deadline:
			p.t.Fatalf("does not show %q", words)
		}
	}
}

// over waits for the end, and returns the exit status.
func (p *running) over() int {
	p.t.Helper()
	select {
	case <-p.ended:
		return p.status
	case <-time.After(longest):
		p.t.Fatal("the demo does not end")
		return -1
	}
}

// TestDemo has the whole story told well, once with an order that is not billed, and several times to somebody who leaves early.
func TestDemo(t *testing.T) {
	besides(t)
	all, spoilt := tell(t, "", demoOptions{stay: true, acts: demoActs{flow: 1100 * time.Millisecond}}), tell(t, "", demoOptions{forget: 77})
	all.shows("stay until Ctrl-C")
	page := regexp.MustCompile(`http://127[^ ]+`).FindString(all.out.String())
	resp, err := http.Get(page + "healthz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the page answers %s", resp.Status)
	}
	all.cancel()
	if status := all.over(); status != 0 || all.err.String() != "" {
		t.Errorf("exit status %d, and says %q", status, &all.err)
	}
	for _, want := range []string{
		`   1 s +\d+ +\d+ +\d+ +`,
		`\d+ lost with it`,
		`ok +copied to backup +[\d,]+ orders: missing in between 0, repeated 0, different 0, out of order 0\n`,
		`ok +moved group, no gap +[\d,]+ orders billed: skipped 0, billed twice 0 `,
		`ok +topic brought back +[\d,]+ orders: lost 0, different 0, too many 0; its group reads 0 again\n`,
		`Restored [1-9]\d* records into backup`,
		`Positions of 1 group are committed`,
	} {
		want = strings.ReplaceAll(want, `\d+ lost with it`, `(\d+ orders? lost with it|none was lost with it)`)
		if !regexp.MustCompile(want).MatchString(all.out.String()) {
			t.Errorf("the screen lacks %s", want)
		}
	}
	if strings.Contains(all.out.String(), "\x1b") {
		t.Error("colours, and no terminal")
	}

	if status := spoilt.over(); status != 1 || len(spoilt.out.linesWith("WRONG", "skipped 1,")) != 1 ||
		len(spoilt.err.linesWith("mirror: 1 of the demo's claims does not hold: moved group, no gap")) != 1 {
		t.Errorf("an order is not billed: exit status %d, says %q", status, &spoilt.err)
	}
	early := start(t, "demo")
	early.shows("   1 s ")
	early.cancel()
	for when, p := range map[string]*running{"   1 s ": early, "$ failover plan": tell(t, "$ failover plan", demoOptions{})} {
		if status := p.over(); status != 1 || p.err.String() != "mirror: "+errInterrupted.Error()+"\n" {
			t.Errorf("left at %q: exit status %d, %s", when, status, &p.err)
		}
	}
	stay, err := os.ReadDir(os.Getenv("TMPDIR"))
	if err != nil || len(stay) != 1 || !strings.Contains(spoilt.err.String(), stay[0].Name()) {
		t.Errorf("left behind: %v, %v; only what went wrong is to be looked at", stay, err)
	}
}

// The default story takes less than a minute: what only takes time leaves room for commands on slow machines.
func TestDemoIsShort(t *testing.T) {
	acts := usualActs
	if sum := acts.flow + acts.after + acts.mended + 5*acts.breath + 4*time.Second; sum > 35*time.Second {
		t.Errorf("%v of waiting", sum)
	}
}

func TestDemoAlone(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	p := start(t, "demo")
	if status := p.exit(); status != 2 || !strings.Contains(p.err.String(), "failover is neither beside mirror nor in PATH") || p.out.String() != "" {
		t.Errorf("exit status %d, %q, %q", status, &p.out, &p.err)
	}
}

// TestDemoLedger: whatever goes wrong with an order is counted, and as what it is.
func TestDemoLedger(t *testing.T) {
	at := time.UnixMilli(1e12)
	order := func(number int, topic string, partition int32, offset int64) embedded.Order {
		return embedded.Order{Number: number, Topic: topic, Partition: partition, Offset: offset, Key: "k", Value: fmt.Sprint(number), At: at.Add(time.Duration(number) * time.Second)}
	}
	type record = embedded.Order
	sentTo := func(l *demoLedger, old bool, orders ...record) {
		for _, o := range orders {
			l.asked(record{Number: o.Number, Key: o.Key, Value: o.Value, At: o.At}, old)
			l.written(o)
		}
	}
	old := []record{order(1, "orders", 0, 0), order(2, "orders", 0, 1), order(3, "orders", 1, 0), order(4, "orders", 0, 2)}
	other := old[1]
	other.Value = "x"
	for _, c := range []struct {
		story  string
		copies []record
		want   death
	}{
		{"all is there", old, death{copies: copies{count: 4}, acked: 4}},
		{"the ends are not", old[:1], death{copies: copies{count: 1}, acked: 4, lost: 3, last: 2 * time.Second}},
		{"one in between is not", []record{old[0], old[2], old[3]}, death{copies: copies{count: 3}, acked: 4, lost: 1, gaps: 1}},
		{"one is there twice", append(old[:4:4], old[3]), death{copies: copies{count: 5, repeated: 1}, acked: 4}},
		{"two have changed places", []record{old[1], old[0], old[2], old[3]}, death{copies: copies{count: 4, disordered: 1}, acked: 4}},
		{"one is another", []record{old[0], other, old[2], old[3]}, death{copies: copies{count: 4, different: 1}, acked: 4, lost: 1, gaps: 1}},
		{"one is broken", []record{old[0], old[1], old[2], old[3], {Number: -1}}, death{copies: copies{count: 5, different: 1}, acked: 4}},
		{"one comes from nowhere", []record{old[0], old[1], old[2], old[3], order(9, "", 0, 3)}, death{copies: copies{count: 5, different: 1}, acked: 4}},
	} {
		l := newDemoLedger()
		sentTo(l, true, old...)
		for _, o := range c.copies {
			l.arrived(o)
		}
		if got := l.died(); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.story, got, c.want)
		}
	}

	fresh := []record{order(1, "orders", 0, 0), order(2, "orders", 1, 0), order(3, "orders", 0, 1), order(4, "orders", 0, 2)}
	early := fresh[:3] // up to the moment
	moved := fresh[2]
	moved.Offset++
	for _, c := range []struct {
		story string
		held  []record
		want  restored
	}{
		{"equal", early, restored{wanted: 3, got: 3}},
		{"nothing", nil, restored{wanted: 3, lost: 3}},
		{"one of later, too", fresh, restored{wanted: 3, got: 4, surplus: 1}},
		{"a broken one behind", append(early[:3:3], record{Number: -1, Partition: 1, Offset: 1}), restored{wanted: 3, got: 4, surplus: 1}},
		{"a hole in front", fresh[1:3], restored{wanted: 3, got: 2, lost: 1, different: 1}},
		{"another offset", []record{fresh[0], fresh[1], moved}, restored{wanted: 3, got: 3, different: 1}},
	} {
		l := newDemoLedger()
		sentTo(l, false, fresh...)
		if got := l.compare(c.held, fresh[2].At); got != c.want || got.equal() != (c.story == "equal") {
			t.Errorf("%s: %+v, want %+v", c.story, got, c.want)
		}
	}
}

func TestDemoBilling(t *testing.T) {
	l := newDemoLedger()
	for n := 1; n <= 3; n++ {
		o := embedded.Order{Number: n, Topic: "orders", Offset: int64(n - 1)}
		l.asked(o, false)
		l.written(o)
		if n == 2 {
			continue
		}
		for range n { // the third one three times
			l.read(o)
			if err := l.bill(o); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := l.sum(); n.billed != 2 || n.again != 2 || n.toBill != 1 || l.skipped(false) != 1 || l.skipped(true) != 0 {
		t.Errorf("%+v, %d skipped", n, l.skipped(false))
	}
	if !l.caughtUp("orders") {
		t.Error("it has read to the end")
	}
	if err := l.bill(embedded.Order{Number: -1}); err != errBroken { //nolint:errorlint // the very one
		t.Error(err)
	}
	if err := l.bill(embedded.Order{Number: 7}); err != nil || l.bills.unknown != 1 {
		t.Errorf("an order that nobody has written: %v", err)
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := grouped(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	if newDemoScreen(io.Discard).colours {
		t.Error("colours, and no terminal")
	}
}
