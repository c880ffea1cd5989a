package debian

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// machine is a PATH of its own with an apt-get and a dpkg-deb that only pretend. They write down how they were called.
type machine struct {
	t          *testing.T
	bin, cache string
	calls      string
}

func newMachine(t *testing.T) machine {
	m := machine{t, t.TempDir(), filepath.Join(t.TempDir(), "debian"), filepath.Join(t.TempDir(), "calls")}
	t.Setenv("PATH", m.bin+":/usr/bin:/bin")
	t.Setenv("CALLS", m.calls)
	m.script("apt-get", `echo "$@" >> $CALLS; case "$*" in *download*) echo package > tool_1_all.deb;; esac`)
	m.script("dpkg-deb", `echo dpkg-deb $1 >> $CALLS; mkdir -p $3/usr/bin; echo '#!/bin/sh' > $3/usr/bin/a-tool; chmod +x $3/usr/bin/a-tool`)
	return m
}

func (m machine) script(name, text string) {
	m.t.Helper()
	if err := os.WriteFile(filepath.Join(m.bin, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		m.t.Fatal(err)
	}
}

func (m machine) find() (string, error) { return find(m.cache, "tool", "/usr/bin/a-tool") }

func (m machine) called() string {
	text, _ := os.ReadFile(m.calls) // none: nothing was called
	return string(text)
}

// asRoot passes over what only root is offered.
func asRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root may update the lists of packages")
	}
}

func TestWhatIsInPathIsTaken(t *testing.T) {
	m := newMachine(t)
	m.script("a-tool", "")
	got, err := m.find()
	if err != nil || got != filepath.Join(m.bin, "a-tool") || m.called() != "" {
		t.Errorf("%s, %v after %q", got, err, m.called())
	}
}

func TestFetchedOnce(t *testing.T) {
	m := newMachine(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if got, err := m.find(); err != nil || got != filepath.Join(m.cache, "tool/usr/bin/a-tool") {
				t.Errorf("%s, %v", got, err)
			}
		})
	}
	all.Wait()
	if n := strings.Count(m.called(), "download tool"); n != 1 {
		t.Errorf("%d downloads:\n%s", n, m.called())
	}
	if left, _ := filepath.Glob(filepath.Join(m.cache, "incoming-*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestListsThatLackThePackageAreUpdated(t *testing.T) {
	asRoot(t)
	m := newMachine(t)
	m.script("apt-get", `echo "$@" >> $CALLS; case "$*" in
*update*) touch $CALLS.new;;
*) test -e $CALLS.new || { echo "E: Unable to locate package tool"; exit 100; }; echo package > tool_1_all.deb;; esac`)
	if _, err := m.find(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(m.called(), "update"); got != 1 {
		t.Errorf("%d updates:\n%s", got, m.called())
	}
}

// What cannot be had is an error that says what to do, and the next try begins anew.
func TestErrors(t *testing.T) {
	for _, c := range []struct{ name, apt, dpkg, want string }{
		{"no such package", `echo "E: Unable to locate package tool"; exit 100`, "", "E: Unable to locate package tool"},
		{"nothing came", "", "", "has left 0 packages"},
		{"a broken package", `touch tool_1_all.deb`, `echo "not a Debian format archive"; mkdir $3; exit 2`, "not a Debian format archive"},
		{"a package without it", `touch tool_1_all.deb`, `mkdir $3`, "usr/bin/a-tool: no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			m.script("apt-get", c.apt)
			m.script("dpkg-deb", c.dpkg)
			_, err := m.find()
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "apt-get install tool") {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if left, _ := filepath.Glob(filepath.Join(m.cache, "incoming-*")); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
	t.Run("no apt-get", func(t *testing.T) {
		m := newMachine(t)
		t.Setenv("PATH", t.TempDir())
		if _, err := m.find(); err == nil || !strings.Contains(err.Error(), `"apt-get": executable file not found`) {
			t.Error(err)
		}
	})
}
