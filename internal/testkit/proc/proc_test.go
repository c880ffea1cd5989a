package proc

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	tests := []struct {
		name, text string
		want       time.Duration
		bad        bool
	}{
		{name: "plain", text: "7 (java) S 1 7 7 0 -1 4 9 0 0 0 250 50 0 0 20 0 1 0", want: 3 * time.Second},
		{name: "a command with blanks and parentheses", text: "7 (a) R (b c) S 1 7 7 0 -1 4 9 0 0 0 1 1 0 0", want: 20 * time.Millisecond},
		{name: "cut short", text: "7 (java) S 1 7 7", bad: true},
		{name: "not a number", text: "7 (java) S 1 7 7 0 -1 4 9 0 0 0 x 50 0", bad: true},
		{name: "empty", text: "", bad: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseStat([]byte(tt.text))
			if got != tt.want || (err != nil) != tt.bad {
				t.Fatalf("got %v, %v; want %v, error: %v", got, err, tt.want, tt.bad)
			}
		})
	}
}

func TestParseStatus(t *testing.T) {
	if got, err := parseStatus([]byte("Name:\tx\nVmPeak:\t  99 kB\nVmHWM:\t    2048 kB\n")); got != 2<<20 || err != nil {
		t.Fatalf("got %d, %v", got, err)
	}
	if _, err := parseStatus([]byte("Name:\tx\nState:\tZ (zombie)\n")); err == nil {
		t.Fatal("a zombie has no peak memory, yet there was no error")
	}
}

func TestLifeOfAChild(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	p, err := Start(log, "sh", "-c", "echo begins; while :; do :; done")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	if err := p.ExitedWith(); err != nil {
		t.Fatalf("a running child is reported as ended: %v", err)
	}
	// A busy loop uses processor time until it is stopped.
	until(t, func() bool { cpu, err := p.CPU(); return err == nil && cpu > 20*time.Millisecond })
	if rss, err := p.PeakRSS(); err != nil || rss < 100<<10 {
		t.Fatalf("peak memory %d, %v", rss, err)
	}
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	p.Kill()
	if err := p.ExitedWith(); err == nil || !strings.Contains(err.Error(), "begins") {
		t.Fatalf("the end does not tell the log: %v", err)
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("a signal to an ended child: %v", err)
	}
}

func TestStop(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		killed       bool
		code         int
	}{
		{name: "leaves when asked", script: `trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done`, code: 3},
		{name: "ignores SIGTERM", script: `trap '' TERM; echo ready; while :; do sleep 0.01; done`, killed: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log := filepath.Join(t.TempDir(), "log")
			p, err := Start(log, "sh", "-c", tt.script)
			if err != nil {
				t.Fatal(err)
			}
			until(t, func() bool { return strings.Contains(p.LogTail(1), "ready") })
			err = p.Stop(500 * time.Millisecond)
			var exit *exec.ExitError
			switch {
			case tt.killed != errors.Is(err, ErrKilled):
				t.Fatalf("stop: %v", err)
			case !tt.killed && (!errors.As(err, &exit) || exit.ExitCode() != tt.code):
				t.Fatalf("exit %v, want %d", err, tt.code)
			}
		})
	}
}

func TestACommandThatIsNotThere(t *testing.T) {
	_, err := Start(filepath.Join(t.TempDir(), "log"), "/no/such/command")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("got %v", err)
	}
}

// The test binary starts itself as a parent, which starts a grandchild and is killed: the grandchild must go with it.
func TestAChildDiesWithItsParent(t *testing.T) {
	if os.Getenv("PROC_TEST_PARENT") != "" {
		p, err := Start(os.DevNull, "sleep", "600")
		fmt.Println(p.PID(), err)
		select {}
	}
	parent := exec.Command(os.Args[0], "-test.run=^TestAChildDiesWithItsParent$")
	parent.Env = append(os.Environ(), "PROC_TEST_PARENT=1")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscan(bufio.NewReader(out), &pid); err != nil || pid == 0 {
		t.Fatalf("no child: %v", err)
	}
	_ = parent.Process.Kill()
	_ = parent.Wait()
	until(t, func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(stat), ") Z ") // gone, or dead and not yet collected by init
	})
}

// until polls: what these tests wait for, the kernel's bookkeeping, announces itself nowhere.
func until(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatal("waited ten seconds")
		}
	}
}
