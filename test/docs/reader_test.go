package docs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tandem/internal/testkit/proc"
	"tandem/internal/testkit/realkafka"
	"tandem/internal/testkit/wait"
)

const (
	patience  = time.Minute // after it a condition is taken for one that will never hold
	pollEvery = 50 * time.Millisecond
)

// reader is somebody who does what the pages say, in a copy of the repository.
type reader struct {
	t               *testing.T
	dir             string
	documented      []string // commands
	demo            *begun   // that goes on while other pages are followed
	followed        []string
	primary, backup *realkafka.Cluster
}

func newReader(t *testing.T) *reader {
	t.Helper()
	r := &reader{t: t, dir: t.TempDir()}
	for _, p := range pages(t) {
		r.documented = append(r.documented, p.commands()...)
	}
	copyRepository(t, r.dir)
	return r
}

// copyRepository leaves out what a fresh clone lacks.
func copyRepository(t *testing.T, to string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		switch {
		case err != nil:
			return err
		case slices.Contains([]string{".git", ".cache", "bin", "dist"}, rel):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil // .git of a work tree is a file
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // an editor's file that is gone already
		}
		info, infoErr := entry.Info()
		if err := errors.Join(err, infoErr); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), content, info.Mode())
	})
	if err != nil {
		t.Fatal(err)
	}
}

// follow takes a command from the pages, which must have it, with some of its words replaced: pairs of old and new.
func (r *reader) follow(t *testing.T, command string, replaced ...string) string {
	t.Helper()
	if !slices.Contains(r.documented, command) {
		t.Fatalf("no page says: %s", command)
	}
	r.followed = append(r.followed, command)
	for i := 0; i < len(replaced); i += 2 {
		if !strings.Contains(command, replaced[i]) {
			t.Fatalf("%q is not in: %s", replaced[i], command)
		}
	}
	return strings.NewReplacer(replaced...).Replace(command)
}

// sh runs a command in the copy and wants exit status 0.
func (r *reader) sh(t *testing.T, line string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Dir = r.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

// interrupted runs a command until its output contains a text, then presses Ctrl-C. It returns all that was written to the end.
func (r *reader) interrupted(t *testing.T, line, text string) string {
	t.Helper()
	return r.begin(t, line).interrupt(t, text)
}

// begun is a command that runs.
type begun struct {
	line, out string
	cmd       *exec.Cmd
}

// begin starts a command; it outlives the test that starts it, but not TestCommands.
func (r *reader) begin(t *testing.T, line string) *begun {
	t.Helper()
	b := &begun{line: line, out: filepath.Join(r.t.TempDir(), "out"), cmd: exec.Command("sh", "-c", line)}
	file, err := os.Create(b.out)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	b.cmd.Dir, b.cmd.Stdout, b.cmd.Stderr, b.cmd.SysProcAttr = r.dir, file, file, &syscall.SysProcAttr{Setpgid: true}
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = syscall.Kill(-b.cmd.Process.Pid, syscall.SIGKILL) }) // none is left where all went well
	return b
}

// interrupt waits for a text and presses Ctrl-C: the whole group of processes hears of it.
func (b *begun) interrupt(t *testing.T, text string) string {
	t.Helper()
	group := -b.cmd.Process.Pid
	written := func() string {
		out, err := os.ReadFile(b.out)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	eventually(t, fmt.Sprintf("%q of %s", text, b.line), func() error {
		if !strings.Contains(written(), text) {
			return errors.New(written())
		}
		return nil
	})
	if err := syscall.Kill(group, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of "+b.line, func() error {
		if err := syscall.Kill(group, 0); !errors.Is(err, syscall.ESRCH) {
			var status syscall.WaitStatus
			_, _ = syscall.Wait4(b.cmd.Process.Pid, &status, syscall.WNOHANG, nil) // a zombie is still of the group
			return fmt.Errorf("still running: %w", err)
		}
		return nil
	})
	return written()
}

// clusters starts the two clusters of config/mm2.properties, and writes its copy.
func (r *reader) clusters(t *testing.T, more string) (file string) {
	t.Helper()
	r.primary, r.backup = realkafka.Shared(t, "primary", realkafka.Options{}), realkafka.Shared(t, "backup", realkafka.Options{})
	return r.properties(t, more)
}

// properties writes a copy of config/mm2.properties with the addresses of the clusters and more lines.
func (r *reader) properties(t *testing.T, more string) (file string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, "config/mm2.properties"))
	if err != nil {
		t.Fatal(err)
	}
	for old, address := range map[string]string{"127.0.0.1:19092": r.primary.Bootstrap, "127.0.0.1:29092": r.backup.Bootstrap} {
		if bytes.Count(text, []byte(old)) != 1 {
			t.Fatalf("config/mm2.properties does not name %s once", old)
		}
		text = bytes.ReplaceAll(text, []byte(old), []byte(address))
	}
	file = filepath.Join(t.TempDir(), "mm2.properties")
	// The default port of the status page is for one process on a machine.
	if err := os.WriteFile(file, fmt.Appendf(text, "\nstatus.address = 127.0.0.1:0\n%s", more), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// mirror is a running mirror.
type mirror struct {
	*proc.Process
	t   *testing.T
	log string
}

// start runs a command that begins with the program of the copy.
func (r *reader) start(t *testing.T, line string) *mirror {
	t.Helper()
	words := strings.Fields(line)
	log := filepath.Join(t.TempDir(), "mirror.log")
	p, err := proc.Start(log, filepath.Join(r.dir, words[0]), words[1:]...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("log of mirror:\n%s", p.LogTail(40))
		}
	})
	return &mirror{p, t, log}
}

func (m *mirror) until(what string, holds func() error) {
	m.t.Helper()
	eventually(m.t, what, func() error {
		err := holds()
		if ended := m.ExitedWith(); err != nil && ended != nil {
			m.t.Fatalf("wait for %s: %v", what, ended)
		}
		return err
	})
}

// stop is SIGTERM; the README promises an end in order within five seconds.
func (m *mirror) stop() {
	m.t.Helper()
	if err := m.Stop(5 * time.Second); err != nil {
		m.t.Fatal(err)
	}
}

// address is where the status page is served.
func (m *mirror) address() (address string) {
	m.t.Helper()
	m.until("the status page", func() error {
		text, err := os.ReadFile(m.log)
		if err != nil {
			return err
		}
		found := regexp.MustCompile(`"address":"([^"]+)"`).FindSubmatch(text)
		if found == nil {
			return errors.New("not served yet")
		}
		address = string(found[1])
		return nil
	})
	return address
}

// curl runs the command, at the address that mirror really has, until it is answered well.
func (m *mirror) curl(command string) (body string) {
	m.t.Helper()
	line := strings.Replace(command, "127.0.0.1:8383", m.address(), 1) + " --fail-with-body"
	m.until("an answer to "+line, func() error {
		cmd := exec.CommandContext(expiring(m.t, patience), "sh", "-c", line)
		out, err := cmd.Output()
		if body = string(out); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	return body
}

func eventually(t *testing.T, what string, holds func() error) {
	t.Helper()
	wait.Until(t, patience, pollEvery, what, holds)
}

// writeFile writes a file of properties.
func writeFile(t *testing.T, text string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "mm2.properties")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// expiring is a context that ends with the test, or after a time.
func expiring(t *testing.T, after time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), after)
	t.Cleanup(cancel)
	return ctx
}
